// pad, tril, triu and diagonal: NumPy's results, and what bad input says.
#include <limits>

#include "autograd/ops/diagonal.h"
#include "autograd/ops/pad.h"
#include "tests/autograd/op_support.h"

using namespace op_test;
using Values = std::vector<double>;

TEST_CASE("pad surrounds by a constant, a mirror image or the border") {
  const Tensor x = counting({2, 3});
  CHECK(values_of(pad(x, {{1, 0}, {0, 2}})) == Values{0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 3, 4, 5, 0, 0});
  CHECK(values_of(pad(x, {{0, 0}, {1, 1}}, {.value = -1})) == Values{-1, 0, 1, 2, -1, -1, 3, 4, 5, -1});
  CHECK(values_of(pad(counting({3}), {{2, 2}}, {.mode = PadMode::reflect})) == Values{2, 1, 0, 1, 2, 1, 0});
  CHECK(values_of(pad(counting({3}), {{0, 1}}, {.mode = PadMode::reflect})) == Values{0, 1, 2, 1});
  CHECK(values_of(pad(counting({3}), {{1, 0}}, {.mode = PadMode::reflect})) == Values{1, 0, 1, 2});
  CHECK(values_of(pad(counting({3}), {{2, 1}}, {.mode = PadMode::replicate})) == Values{0, 0, 0, 1, 2, 2});
  CHECK(values_of(pad(x, {{1, 1}, {1, 0}}, {.mode = PadMode::reflect})) ==
        Values{4, 3, 4, 5, 1, 0, 1, 2, 4, 3, 4, 5, 1, 0, 1, 2});
  CHECK(values_of(pad(x, {{0, 1}, {1, 1}}, {.mode = PadMode::replicate})) ==
        Values{0, 0, 1, 2, 2, 3, 3, 4, 5, 5, 3, 3, 4, 5, 5});
  CHECK(values_of(pad(transpose(x), {{0, 0}, {1, 0}})) == Values{0, 0, 3, 0, 1, 4, 0, 2, 5});
  CHECK(pad(full({}, 3), std::initializer_list<PadWidth>{}).item() == 3);
  CHECK(pad(zeros({0, 2}), {{1, 1}, {0, 0}}, {.value = 7}).at({1, 1}) == 7);
  CHECK(pad(zeros({0, 2}), {{0, 0}, {1, 1}}, {.mode = PadMode::replicate}).shape() == Shape{0, 4});
}

TEST_CASE("pad keeps the dtype") {
  for (const DType type : {f32, f64, i32, i64, boolean}) {
    const Tensor x = ones({2}, type);
    CHECK(pad(x, {{1, 0}}).dtype() == type);
    CHECK(values_of(pad(x, {{1, 0}})) == Values{0, 1, 1});
    CHECK(values_of(pad(x, {{1, 1}}, {.mode = PadMode::replicate})) == Values{1, 1, 1, 1});
  }
  CHECK(values_of(pad(ones({1}, i32), {{0, 1}}, {.value = -7})) == Values{1, -7});
  CHECK(error_of([&] {
          pad(ones({1}, i32), {{0, 1}}, {.value = 0.5});
        }) == "pad: i32[1] cannot hold the value 0.5, at here");
  CHECK(error_of([&] {
          pad(ones({1}, i32), {{0, 1}}, {.value = 1e10});
        }) == "pad: i32[1] cannot hold the value 1e+10, at here");
  CHECK(error_of([&] {
          pad(ones({1}, boolean), {{0, 1}}, {.value = 2});
        }) == "pad: boolean[1] cannot hold the value 2, at here");
}

TEST_CASE("pad says which width does not fit") {
  const Tensor x = zeros({2, 3});
  CHECK(error_of([&] {
          pad(x, {{1, 1}});
        }) == "pad: 1 widths for f32[2, 3], at here; one {before, after} for each axis");
  CHECK(error_of([&] {
          pad(x, {{0, 0}, {1, -1}});
        }) == "pad: the width {1, -1} of axis 1 of f32[2, 3] is negative, at here; cut with slice()");
  CHECK(error_of([&] {
          pad(x, {{2, 0}, {0, 0}}, {.mode = PadMode::reflect});
        }) == "pad: axis 0 of f32[2, 3] cannot be reflected by {2, 0}, at here; at most 1 elements on each side");
  CHECK(error_of([&] {
          pad(zeros({2, 0}), {{0, 0}, {1, 0}}, {.mode = PadMode::replicate});
        }) == "pad: axis 1 of f32[2, 0] has no elements to repeat, at here");
  CHECK(error_of([&] {
          pad(x, {{0, 0}, {0, std::int64_t{1} << 62}});
        }) == "pad: the width {0, 4611686018427387904} of axis 1 of f32[2, 3] is too large, at here");
  CHECK(error_of([&] { pad(Tensor(), {{0, 0}}); }) == "pad: input 0 is an empty handle, at here");
}

TEST_CASE("tril and triu keep one side of a diagonal") {
  const Tensor x = 1 + counting({3, 3});
  CHECK(values_of(tril(x)) == Values{1, 0, 0, 4, 5, 0, 7, 8, 9});
  CHECK(values_of(triu(x)) == Values{1, 2, 3, 0, 5, 6, 0, 0, 9});
  CHECK(values_of(tril(x, -1)) == Values{0, 0, 0, 4, 0, 0, 7, 8, 0});
  CHECK(values_of(triu(x, 1)) == Values{0, 2, 3, 0, 0, 6, 0, 0, 0});
  CHECK(values_of(tril(transpose(x))) == values_of(transpose(triu(x))));
  const std::int64_t far = std::numeric_limits<std::int64_t>::max();
  for (const std::int64_t k : {-far - 1, std::int64_t{-4}, std::int64_t{-2}, std::int64_t{2}, std::int64_t{5}, far}) {
    if (k > -far - 1) CHECK(values_of(tril(x, k - 1) + triu(x, k)) == values_of(x));
    CHECK(sum(tril(x, k)).item() == (k >= 2 ? 45 : k == -2 ? 7 : 0));
  }
  for (const DType type : {f32, f64, i32, i64, boolean}) {
    CHECK(values_of(tril(ones({2, 3}, type), 1)) == Values{1, 1, 0, 1, 1, 1});
    CHECK(values_of(triu(ones({2, 3, 2}, type)).slice(0, 1, 2)) == Values{1, 1, 0, 1, 0, 0});
  }
  CHECK(tril(zeros({0, 3})).shape() == Shape{0, 3});
  CHECK(triu(zeros({3, 0})).shape() == Shape{3, 0});
  // NaN outside of the triangle is not multiplied away but replaced.
  CHECK(values_of(triu(Tensor::from({1.0, 2.0, std::nan(""), 3.0}, {2, 2}))) == Values{1, 2, 0, 3});
  CHECK(error_of([&] { tril(zeros({3})); }) == "tril: f32[3] is not a matrix, at here; at least two axes are needed");
  CHECK(error_of([&] { triu(Tensor()); }) == "triu: input 0 is an empty handle, at here");
}

TEST_CASE("diagonal is a view of the elements of two axes") {
  const Tensor x = counting({3, 4});
  CHECK(values_of(diagonal(x)) == Values{0, 5, 10});
  CHECK(values_of(diagonal(x, {.offset = 1})) == Values{1, 6, 11});
  CHECK(values_of(diagonal(x, {.offset = 3})) == Values{3});
  CHECK(values_of(diagonal(x, {.offset = -1})) == Values{4, 9});
  CHECK(diagonal(x, {.offset = 4}).shape() == Shape{0});
  CHECK(diagonal(x, {.offset = std::numeric_limits<std::int64_t>::min()}).shape() == Shape{0});
  CHECK(diagonal(x, {.offset = std::numeric_limits<std::int64_t>::max()}).shape() == Shape{0});
  CHECK(values_of(diagonal(transpose(x), {.offset = -1})) == Values{1, 6, 11});
  CHECK(values_of(diagonal(x, {.offset = 1, .axis1 = 1, .axis2 = 0})) == Values{4, 9});
  CHECK(diagonal(x).block()->storage() == x.block()->storage());
  const Tensor y = counting({2, 3, 3});
  CHECK(diagonal(y).shape() == Shape{3, 2});
  CHECK(values_of(diagonal(y, {.axis1 = -2, .axis2 = -1})) == Values{0, 4, 8, 9, 13, 17});
  CHECK(values_of(diagonal(y, {.axis1 = 0, .axis2 = 2})) == Values{0, 10, 3, 13, 6, 16});
  CHECK(error_of([&] { diagonal(zeros({3})); }) ==
        "diagonal: axis 1 is out of range, at here; a tensor of 1 axis has axes -1 to 0");
  CHECK(error_of([&] { diagonal(x, {.axis1 = 1, .axis2 = -1}); }) ==
        "diagonal: axis 1 is named twice, at here; a diagonal needs two axes");
  CHECK(error_of([&] { diagonal(Tensor()); }) == "diagonal: input 0 is an empty handle, at here");
}

TEST_CASE("gradients of pad, triangles and diagonals agree with differences") {
  check_samples(detail::pad_ops());
  check_samples(detail::diagonal_ops());
}
