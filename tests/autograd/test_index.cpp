// gather, take and their transposes against plain loops; one_hot; indices out of range.
#include "autograd/ops/index.h"

#include "autograd/thread_pool.h"
#include "tests/autograd/op_support.h"

using namespace op_test;
using Values = std::vector<double>;

namespace {

Tensor indices(std::initializer_list<std::int64_t> values, const Shape& shape) { return Tensor::from(values, shape); }

// i * 7 % size, for index tensors of any shape.
Tensor spread_indices(const Shape& shape, std::int64_t size) {
  Tensor index = zeros(shape, i64);
  const auto v = index.span<std::int64_t>();
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = static_cast<std::int64_t>(i) * 7 % size;
  return index;
}

}  // namespace

TEST_CASE("gather picks along an axis") {
  const Tensor x = counting({3, 4});
  CHECK(values_of(gather(x, indices({3, 0, 1, 1, -1, 2}, {3, 2}), 1)) == Values{3, 0, 5, 5, 11, 10});
  CHECK(values_of(gather(x, indices({2, 0, -3, 1}, {1, 4}), 0)) == Values{8, 1, 2, 7});
  CHECK(values_of(gather(transpose(x), indices({2, 0, 1, 0}, {4, 1}), -1)) == Values{8, 1, 6, 3});
  CHECK(gather(x, zeros({3, 0}, i64), 1).size() == 0);
  for (DType type : {f32, i32, i64, boolean}) {
    CHECK(gather(x.to(type), zeros({3, 1}, i32), 1).dtype() == type);
    CHECK(values_of(gather(x.to(type), ones({3, 1}, i32), 1)) == values_of(x.to(type).slice(1, 1, 2)));
  }
}

TEST_CASE("take picks whole slices") {
  const Tensor x = counting({3, 4});
  CHECK(values_of(take(x, indices({2, 0, -1}, {3}))) == Values{8, 9, 10, 11, 0, 1, 2, 3, 8, 9, 10, 11});
  CHECK(values_of(take(x, indices({3, 0}, {2}), 1)) == Values{3, 0, 7, 4, 11, 8});
  CHECK(take(x, zeros({5, 2}, i64)).shape() == Shape{5, 2, 4});
  CHECK(take(x, zeros({5, 2}, i64), -1).shape() == Shape{3, 5, 2});
  CHECK(values_of(take(x, 1)) == Values{4, 5, 6, 7});
  CHECK(take(x, zeros({0}, i64)).shape() == Shape{0, 4});
  CHECK(values_of(take(transpose(x), indices({1}, {1}))) == Values{1, 5, 9});
  const Tensor strided = indices({0, 9, 2, 9}, {4}).slice(0, 0, 4, 2);
  CHECK(values_of(take(counting({3}), strided)) == Values{0, 2});
  for (DType type : {f32, i32, i64, boolean}) {
    CHECK(values_of(take(x.to(type), indices({1, 2}, {2}))) == values_of(x.to(type).slice(0, 1, 3)));
  }
}

TEST_CASE("the transposes add up repeated indices") {
  const Tensor v = counting({3, 2});
  CHECK(values_of(scatter_add(v, indices({1, 0, 1, 1, 0, -1}, {3, 2}), 0, 2)) == Values{4, 1, 2, 8});
  CHECK(values_of(scatter_add(v, indices({2, 2, 0, 2, 1, 1}, {3, 2}), 1, 3)) == Values{0, 0, 1, 2, 0, 3, 0, 9, 0});
  CHECK(values_of(take_transpose(v, indices({3, 0, 3}, {3}), 0, 4)) == Values{2, 3, 0, 0, 0, 0, 4, 6});
  CHECK(values_of(take_transpose(transpose(v), indices({1, 1, 0}, {3}), 1, 2)) == Values{4, 2, 5, 4});
  CHECK(take_transpose(counting({2, 3}), indices({0, 0}, {2}), 0, 1).shape() == Shape{1, 3});
  CHECK(values_of(take_transpose(counting({2}), 1, 0, 3)) == Values{0, 0, 0, 1, 0, 0});
  CHECK(take_transpose(counting({2}), 1, 0, 3).shape() == Shape{3, 2});
}

TEST_CASE("<take(x), v> = <x, take_transpose(v)>, also above the size from which threads help") {
  const int before = num_threads();
  for (const auto& [shape, index_shape, axis] : {std::tuple{Shape{50, 300}, Shape{40}, 0},
                                                 {Shape{20, 30, 40}, Shape{6, 7}, 1},
                                                 {Shape{9, 500}, Shape{700}, 1}}) {
    for (DType type : {f32, f64}) {
      const Tensor x = irregular(shape, 1, type);
      const Tensor index = spread_indices(index_shape, x.shape(axis));
      set_num_threads(1);
      const Tensor y = take(x, index, axis);
      const Tensor v = irregular(y.shape(), 2, type);
      const Tensor back = take_transpose(v, index, axis, x.shape(axis));
      CHECK(back.shape() == x.shape());
      CHECK(sum(y.to(f64) * v.to(f64)).item() ==
            Approx(sum(x.to(f64) * back.to(f64)).item()).epsilon(type == f32 ? 1e-5 : 1e-11));
      set_num_threads(4);
      CHECK(same_bits(take(x, index, axis), y));
      CHECK(same_bits(take_transpose(v, index, axis, x.shape(axis)), back));
    }
  }
  const Tensor x = irregular({60, 30, 8});
  const Tensor index = spread_indices({60, 11, 8}, 30);
  const Tensor v = irregular({60, 11, 8}, 2);
  const Tensor y = gather(x, index, 1);
  const Tensor back = scatter_add(v, index, 1, 30);
  CHECK(sum(y * v).item() == Approx(sum(x * back).item()).epsilon(1e-11));
  set_num_threads(1);
  CHECK(same_bits(gather(x, index, 1), y));
  CHECK(same_bits(scatter_add(v, index, 1, 30), back));
  set_num_threads(before);
}

TEST_CASE("one_hot") {
  const Tensor y = one_hot(indices({2, 0}, {2}), 3);
  CHECK(y.dtype() == f32);
  CHECK(values_of(y) == Values{0, 0, 1, 1, 0, 0});
  CHECK(one_hot(zeros({2, 3}, i32), 4, f64).shape() == Shape{2, 3, 4});
  CHECK(one_hot(zeros({0}, i64), 4, boolean).shape() == Shape{0, 4});
  CHECK(values_of(one_hot(1, 3)) == Values{0, 1, 0});
  CHECK(error_of([&] {
          one_hot(indices({0, 3}, {2}), 3);
        }) == "one_hot: label 3 at position [1] is not one of 3 classes, at here");
  CHECK(error_of([&] {
          one_hot(indices({0, -1}, {1, 2}), 3);
        }) == "one_hot: label -1 at position [0, 1] is not one of 3 classes, at here");
  CHECK(error_of([&] { one_hot(zeros({2}), 3); }) ==
        "one_hot: the labels are f32[2], not integers, at here; convert them with to(i64)");
}

TEST_CASE("bad indices are named with their value and position") {
  const Tensor x = zeros({3, 4});
  CHECK(error_of([&] {
          take(x, indices({0, 2, 3}, {3}));
        }) == "take: index 3 at position [2] is out of range for an axis of 3, at here; indices are -3 to 2");
  CHECK(error_of([&] {
          take(x, indices({0, 0, 0, -5}, {2, 2}), 1);
        }) == "take: index -5 at position [1, 1] is out of range for an axis of 4, at here; indices are -4 to 3");
  CHECK(error_of([&] {
          gather(x, indices({0, 0, 7}, {3, 1}), 1);
        }) == "gather: index 7 at position [2, 0] is out of range for an axis of 4, at here; indices are -4 to 3");
  CHECK(error_of([&] {
          scatter_add(zeros({2}), indices({0, 5}, {2}), 0, 5);
        }) == "scatter_add: index 5 at position [1] is out of range for an axis of 5, at here; indices are -5 to 4");
  CHECK(error_of([&] {
          take_transpose(zeros({1, 4}), indices({3}, {1}), 0, 3);
        }) == "take_transpose: index 3 at position [0] is out of range for an axis of 3, at here; indices are -3 to 2");
  CHECK(error_of([&] {
          take(zeros({0, 2}), indices({0}, {1}));
        }) == "take: index 0 at position [0] is out of range for an axis of 0, at here; the axis is empty");
  CHECK(error_of([&] { take(x, zeros({2})); }) ==
        "take: the indices are f32[2], not integers, at here; convert them with to(i64)");
  CHECK(error_of([&] {
          gather(x, zeros({3, 1}, boolean), 1);
        }) == "gather: the indices are boolean[3, 1], not integers, at here; convert them with to(i64)");
}

TEST_CASE("shapes and axes that do not fit are named") {
  const Tensor x = zeros({3, 4});
  CHECK(
      error_of([&] {
        gather(x, zeros({2, 1}, i64), 1);
      }) ==
      "gather: indices i64[2, 1] do not fit f32[3, 4], at here; sizes must be equal, except along axis 1; whole slices "
      "are taken by take()");
  CHECK(error_of([&] { gather(x, zeros({3}, i64), 1); }) ==
        "gather: indices i64[3] do not fit f32[3, 4], at here; sizes must be equal, except along axis 1; whole slices "
        "are taken by take()");
  CHECK(error_of([&] { take(x, zeros({3}, i64), 2); }) ==
        "take: axis 2 is out of range, at here; a tensor of 2 axes has axes -2 to 1");
  CHECK(error_of([&] { scatter_add(x, zeros({3}, i64), 0, 3); }) ==
        "scatter_add: values f32[3, 4] and indices i64[3] differ in shape, at here");
  CHECK(error_of([&] {
          scatter_add(x, zeros({3, 4}, i64), 0, -3);
        }) == "scatter_add: the size of the axis is -3, at here");
  CHECK(error_of([&] { take_transpose(x, zeros({2}, i64), 0, 3); }) ==
        "take_transpose: values f32[3, 4] do not have the axes of indices i64[2] at axis 0, at here");
  CHECK(error_of([&] { take_transpose(zeros({2}, i32), zeros({2}, i64), 0, 3); }) ==
        "take_transpose: the values are i32[2], at here; convert them with to(f32)");
}

TEST_CASE("index_select is take with a 1-d index") {
  const Tensor x = counting({3, 4});
  CHECK(same_bits(index_select(x, indices({2, 0}, {2})), take(x, indices({2, 0}, {2}))));
  CHECK(same_bits(index_select(x, indices({-1}, {1}), 1), take(x, indices({-1}, {1}), 1)));
  CHECK(error_of([&] {
          index_select(x, zeros({2, 2}, i64));
        }) == "index_select: the index is i64[2, 2], not 1-d, at here; take() has an index of any shape");
  CHECK(error_of([&] { index_select(x, 1); }) ==
        "index_select: the index is i64[], not 1-d, at here; take() has an index of any shape");
}

TEST_CASE("masked_fill") {
  const Tensor x = counting({2, 3});
  const Tensor mask = Tensor::from({true, false, false});
  CHECK(values_of(masked_fill(x, mask, -1)) == Values{-1, 1, 2, -1, 4, 5});
  CHECK(values_of(masked_fill(x, x > 3, Tensor::from({7.0, 8.0, 9.0}))) == Values{0, 1, 2, 3, 8, 9});
  for (DType type : {f32, f64, i32, i64}) CHECK(masked_fill(x.to(type), mask, 2).dtype() == type);
  CHECK(masked_fill(x.to(i64), mask, 0.5).dtype() == f32);
  Tensor scores = counting({2, 3});
  Tape tape;
  tape.watch(scores);
  const Tensor filled = masked_fill(scores, mask, -INFINITY);
  CHECK(values_of(filled) == Values{-INFINITY, 1, 2, -INFINITY, 4, 5});
  CHECK(same_bits(tape.gradient(sum(exp(filled)), scores), exp(filled)));
}

TEST_CASE("masked_fill says what does not fit") {
  const Tensor x = zeros({2, 3});
  CHECK(error_of([&] { masked_fill(x, zeros({3}), 1); }) ==
        "masked_fill: the mask is f32[3], at here; compare, as in mask != 0, or convert it with to(boolean)");
  CHECK(
      error_of([&] { masked_fill(x, zeros({2}, boolean), 1); }) ==
      "masked_fill: shapes [2, 3] and [2] do not broadcast: axis -1 has 3 and 2, at here; sizes, counted from the last "
      "axis, must be equal or 1");
  CHECK(error_of([&] {
          masked_fill(x, zeros({4, 2, 3}, boolean), 1);
        }) == "masked_fill: the mask boolean[4, 2, 3] does not broadcast to f32[2, 3], at here");
  CHECK(error_of([&] {
          masked_fill(x, zeros({3}, boolean), zeros({4, 1, 1}));
        }) == "masked_fill: the value f32[4, 1, 1] does not broadcast to f32[2, 3], at here");
}

TEST_CASE("gradients of the index family agree with differences") { check_samples(detail::index_ops()); }
