// flip, roll, tile, repeat and meshgrid: NumPy's results, and what bad input says.
#include "autograd/ops/arrange.h"

#include "tests/autograd/op_support.h"

using namespace op_test;
using Values = std::vector<double>;

TEST_CASE("flip is a view in reverse order") {
  const Tensor x = counting({2, 3});
  CHECK(values_of(flip(x)) == Values{5, 4, 3, 2, 1, 0});
  CHECK(values_of(flip(x, 0)) == Values{3, 4, 5, 0, 1, 2});
  CHECK(values_of(flip(x, {-1})) == Values{2, 1, 0, 5, 4, 3});
  CHECK(values_of(flip(flip(x, 1), 1)) == values_of(x));
  CHECK(flip(x).block()->storage() == x.block()->storage());
  CHECK(flip(x, Axes{}).block() == x.block());
  CHECK(flip(zeros({0, 3})).shape() == Shape{0, 3});
  CHECK(flip(full({}, 3)).item() == 3);
  CHECK(values_of(flip(Tensor::from({true, false, false}))) == Values{0, 0, 1});
  CHECK(error_of([&] { flip(x, 2); }) == "flip: axis 2 is out of range, at here; a tensor of 2 axes has axes -2 to 1");
  CHECK(error_of([&] { flip(x, {0, -2}); }) == "flip: axis 0 is named twice, at here");
  CHECK(error_of([&] { flip(Tensor()); }) == "flip: input 0 is an empty handle, at here");
}

TEST_CASE("roll moves elements on and around") {
  const Tensor x = counting({2, 3});
  CHECK(values_of(roll(x, 1)) == Values{5, 0, 1, 2, 3, 4});
  CHECK(values_of(roll(x, -1)) == Values{1, 2, 3, 4, 5, 0});
  CHECK(values_of(roll(x, 1, 1)) == Values{2, 0, 1, 5, 3, 4});
  CHECK(values_of(roll(x, -4, -1)) == Values{1, 2, 0, 4, 5, 3});
  CHECK(values_of(roll(x, 1, 0)) == Values{3, 4, 5, 0, 1, 2});
  CHECK(values_of(roll(x, {1, 1}, {0, 1})) == Values{5, 3, 4, 2, 0, 1});
  CHECK(values_of(roll(x, {1, 1}, {1, 1})) == Values{1, 2, 0, 4, 5, 3});
  CHECK(roll(x, 3, 1).block() == x.block());
  CHECK(values_of(roll(transpose(x), 1)) == Values{5, 0, 3, 1, 4, 2});
  CHECK(values_of(roll(arange(4, i64), -9)) == Values{1, 2, 3, 0});
  CHECK(roll(zeros({0, 3}), 1, 0).shape() == Shape{0, 3});
  CHECK(roll(zeros({0, 3}), 1).shape() == Shape{0, 3});
  CHECK(roll(full({}, 3), 5).item() == 3);
  CHECK(error_of([&] { roll(x, 1, 2); }) ==
        "roll: axis 2 is out of range, at here; a tensor of 2 axes has axes -2 to 1");
  CHECK(error_of([&] { roll(x, {1, 2}, {0}); }) == "roll: 2 shifts for 1 axes, at here; one shift for each axis");
  CHECK(error_of([&] { roll(Tensor(), 1); }) == "roll: input 0 is an empty handle, at here");
}

TEST_CASE("tile lays out the whole tensor") {
  const Tensor x = counting({2, 2});
  CHECK(values_of(tile(x, 2)) == Values{0, 1, 0, 1, 2, 3, 2, 3});
  CHECK(values_of(tile(x, {2, 1})) == Values{0, 1, 2, 3, 0, 1, 2, 3});
  CHECK(tile(x, {2, 1, 3}).shape() == Shape{2, 2, 6});
  CHECK(values_of(tile(counting({2}), {2, 2})) == Values{0, 1, 0, 1, 0, 1, 0, 1});
  CHECK(tile(counting({2}), {2, 2}).shape() == Shape{2, 4});
  CHECK(values_of(tile(transpose(x), {1, 2})) == Values{0, 2, 0, 2, 1, 3, 1, 3});
  CHECK(tile(counting({2, 3, 4}), {5}).shape() == Shape{2, 3, 20});
  CHECK(tile(x, {0, 3}).shape() == Shape{0, 6});
  CHECK(tile(zeros({0, 2}), {2, 2}).shape() == Shape{0, 4});
  CHECK(tile(x, {1, 1}).block() == x.block());
  CHECK(tile(ones({1, 1, 1, 1, 1, 1, 1, 1}), {2, 2, 2, 2, 2, 2, 2, 2}).size() == 256);
  CHECK(tile(full({}, 3), 2).shape() == Shape{2});
  CHECK(values_of(tile(Tensor::from<std::int32_t>({1, 2}), 2)) == Values{1, 2, 1, 2});
  CHECK(error_of([&] { tile(x, {2, -1}); }) == "tile: -1 repetitions, at here; a number of 0 or more");
  CHECK(error_of([&] {
          tile(x, {1, 1, 1, 1, 1, 1, 1, 1, 1});
        }) == "shape [1, 1, 1, 1, 1, 1, 1, 2, 2] has 9 axes, at most 8 are possible, at here");
  CHECK(error_of([&] { tile(x, std::int64_t{1} << 62); }) ==
        "shape [2, 4611686018427387904, 2] has too many elements, at here");
  CHECK(error_of([&] { tile(Tensor(), 2); }) == "tile: input 0 is an empty handle, at here");
}

TEST_CASE("repeat repeats each element") {
  const Tensor x = counting({2, 2});
  CHECK(values_of(repeat(x, 2)) == Values{0, 0, 1, 1, 2, 2, 3, 3});
  CHECK(repeat(x, 2).shape() == Shape{8});
  CHECK(values_of(repeat(x, 2, 0)) == Values{0, 1, 0, 1, 2, 3, 2, 3});
  CHECK(values_of(repeat(x, 3, -1)) == Values{0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3});
  CHECK(values_of(repeat(x, {0, 2}, 1)) == Values{1, 1, 3, 3});
  CHECK(values_of(repeat(x, std::vector<std::int64_t>{2, 1}, 0)) == Values{0, 1, 0, 1, 2, 3});
  CHECK(values_of(repeat(transpose(x), 2, 1)) == Values{0, 0, 2, 2, 1, 1, 3, 3});
  CHECK(repeat(x, 0, 1).shape() == Shape{2, 0});
  CHECK(repeat(zeros({0, 2}), 3, 1).shape() == Shape{0, 6});
  CHECK(values_of(repeat(Tensor::from({true, false}), 2)) == Values{1, 1, 0, 0});
  CHECK(error_of([&] { repeat(x, -2, 0); }) == "repeat: -2 repetitions, at here; a number of 0 or more");
  CHECK(error_of([&] { repeat(x, {1, -1}, 0); }) == "repeat: -1 repetitions, at here; a number of 0 or more");
  CHECK(error_of([&] {
          repeat(x, {1, 2, 3}, 0);
        }) == "repeat: 3 numbers for axis 0 of f64[2, 2], at here; one for each of its elements");
  CHECK(error_of([&] { repeat(x, 2, 2); }) ==
        "repeat: axis 2 is out of range, at here; a tensor of 2 axes has axes -2 to 1");
  CHECK(error_of([&] { repeat(x, std::int64_t{1} << 62, 1); }) ==
        "shape [4, 4611686018427387904, 1] has too many elements, at here");
  CHECK(error_of([&] { repeat(Tensor(), 2); }) == "repeat: input 0 is an empty handle, at here");
}

TEST_CASE("meshgrid has the coordinates of a grid") {
  const Tensor a = counting({3});
  const Tensor b = 10 * counting({2});
  const std::vector<Tensor> xy = meshgrid({a, b});
  REQUIRE(xy.size() == 2);
  CHECK(xy[0].shape() == Shape{2, 3});
  CHECK(values_of(xy[0]) == Values{0, 1, 2, 0, 1, 2});
  CHECK(values_of(xy[1]) == Values{0, 0, 0, 10, 10, 10});
  CHECK(xy[0].block()->storage() == a.block()->storage());
  const std::vector<Tensor> ij = meshgrid({a, b}, {.indexing = Indexing::ij});
  CHECK(values_of(ij[0]) == Values{0, 0, 1, 1, 2, 2});
  CHECK(values_of(ij[1]) == Values{0, 10, 0, 10, 0, 10});
  const std::vector<Tensor> three = meshgrid(std::vector<Tensor>{a, b, counting({4})});
  CHECK(three[2].shape() == Shape{2, 3, 4});
  CHECK(three[0].at({1, 2, 3}) == 2);
  CHECK(three[1].at({1, 2, 3}) == 10);
  CHECK(three[2].at({1, 2, 3}) == 3);
  CHECK(meshgrid({a, 5})[1].shape() == Shape{1, 3});
  CHECK(values_of(meshgrid({a})[0]) == Values{0, 1, 2});
  CHECK(meshgrid(std::vector<Tensor>{}).empty());
  CHECK(meshgrid({a, zeros({0})})[0].shape() == Shape{0, 3});
  CHECK(error_of([&] {
          meshgrid({a, zeros({2, 2})});
        }) == "meshgrid: input 1 is f32[2, 2], at here; a grid is made of vectors");
  CHECK(error_of([&] { meshgrid({Tensor(), a}); }) == "meshgrid: input 0 is an empty handle, at here");
}

TEST_CASE("gradients of rearrangements agree with differences") { check_samples(detail::arrange_ops()); }
