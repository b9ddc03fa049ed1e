// sort, argsort and topk against the standard library: order, ties, NaN, every dtype, axes and layouts.
#include "autograd/ops/sort.h"

#include <limits>
#include <numeric>

#include "autograd/ops/index.h"
#include "autograd/thread_pool.h"
#include "tests/autograd/op_support.h"

using namespace op_test;
using Values = std::vector<double>;

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

// Small numbers with many ties.
Tensor tied(const Shape& shape, DType type) {
  Tensor x = zeros(shape, i64);
  const auto v = x.span<std::int64_t>();
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = static_cast<std::int64_t>(i * i * 7 + i) % 5 - 2;
  return x.to(type);
}

// The positions of a row in stable order.
std::vector<std::int64_t> expected_order(const Values& row, bool descending) {
  std::vector<std::int64_t> positions(row.size());
  std::iota(positions.begin(), positions.end(), 0);
  std::stable_sort(positions.begin(), positions.end(), [&](std::int64_t i, std::int64_t j) {
    const double a = row[static_cast<std::size_t>(i)];
    const double b = row[static_cast<std::size_t>(j)];
    if (std::isnan(a) || std::isnan(b)) return !std::isnan(a) && std::isnan(b);
    return descending ? a > b : a < b;
  });
  return positions;
}

void check_rows(const Tensor& x, const Tensor& positions, bool descending) {
  for (std::int64_t r = 0; r < x.shape(0); ++r) {
    const auto expected = expected_order(values_of(take(x, r)), descending);
    for (std::int64_t i = 0; i < positions.shape(1); ++i) {
      CAPTURE(describe(x), r, i, descending);
      CHECK(positions.at({r, i}) == static_cast<double>(expected[static_cast<std::size_t>(i)]));
    }
  }
}

}  // namespace

TEST_CASE("sort, argsort and topk agree with a stable sort for every dtype") {
  for (DType type : {f32, f64, i32, i64, boolean}) {
    const Tensor x = tied({4, 23}, type);
    for (bool descending : {false, true}) {
      const Tensor positions = argsort(x, {.descending = descending});
      CHECK(positions.dtype() == i64);
      check_rows(x, positions, descending);
      const Tensor sorted = sort(x, {.descending = descending});
      CHECK(sorted.dtype() == type);
      CHECK(same_bits(sorted, gather(x, positions, -1)));
      const auto [values, indices] = topk(x, 6, {.largest = descending});
      check_rows(x, indices, descending);
      CHECK(same_bits(values, sorted.slice(1, 0, 6)));
      CHECK(same_bits(indices, positions.slice(1, 0, 6)));
    }
  }
}

TEST_CASE("special values: NaN is last in either direction, zeros are equal, integers keep all their bits") {
  for (DType type : {f32, f64}) {
    const Tensor x =
        Tensor::from({not_a_number, 0.0, infinity, -0.0, -not_a_number, -infinity, 1e-40, 0.0, -1e-40, -3.0}).to(type);
    CHECK(values_of(argsort(x)) == Values{5, 9, 8, 1, 3, 7, 6, 2, 0, 4});
    CHECK(values_of(argsort(x, {.descending = true})) == Values{2, 6, 1, 3, 7, 8, 9, 5, 0, 4});
    CHECK(values_of(topk(x, 3).indices) == Values{2, 6, 1});
    CHECK(values_of(topk(x, 3, {.largest = false}).indices) == Values{5, 9, 8});
    CHECK(values_of(topk(Tensor::from({not_a_number, not_a_number}).to(type), 1).indices) == Values{0});
  }
  constexpr std::int64_t least = std::numeric_limits<std::int64_t>::min();
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  const Tensor x = Tensor::from<std::int64_t>({most, least, most - 1, 0, -1});
  CHECK(values_of(argsort(x)) == Values{1, 4, 3, 2, 0});
  CHECK(values_of(argsort(x, {.descending = true})) == Values{0, 2, 3, 4, 1});
}

TEST_CASE("every axis, views and empty tensors are sorted") {
  const Tensor x = permute(irregular({5, 3, 4}), {1, 2, 0});
  for (int axis = -3; axis < 3; ++axis) {
    const Tensor moved = contiguous(transpose(x, axis, -1));
    CHECK(same_bits(sort(x, {.axis = axis}), transpose(sort(moved), axis, -1)));
    const auto [values, indices] = topk(x, 2, {.axis = axis});
    CHECK(same_bits(values, gather(x, indices, axis)));
    CHECK(same_bits(values, transpose(sort(moved, {.descending = true}).slice(-1, 0, 2), axis, -1)));
  }
  CHECK(sort(zeros({0, 3})).shape() == Shape{0, 3});
  CHECK(sort(zeros({3, 0})).shape() == Shape{3, 0});
  CHECK(topk(zeros({3, 0}), 0).values.shape() == Shape{3, 0});
  CHECK(topk(zeros({3, 2}), 0).indices.shape() == Shape{3, 0});
}

TEST_CASE("sorting gives the same on any number of threads") {
  const int before = num_threads();
  const Tensor x = tied({300, 50}, f32) + irregular({300, 50}, 1, f32) * 1e-3;
  set_num_threads(1);
  const Tensor alone = argsort(x);
  set_num_threads(4);
  CHECK(same_bits(argsort(x), alone));
  set_num_threads(before);
}

TEST_CASE("gradients go to the places that were taken") {
  Tensor x = Tensor::from({2.0, 5.0, 2.0, 7.0});
  Tape tape{{.persistent = true}};
  tape.watch(x);
  CHECK(values_of(tape.gradient(sum(sort(x) * Tensor::from({1.0, 2.0, 3.0, 4.0})), x)) == Values{1, 3, 2, 4});
  CHECK(values_of(tape.gradient(sum(topk(x, 3).values * Tensor::from({1.0, 2.0, 3.0})), x)) == Values{3, 2, 0, 1});
}

TEST_CASE("sort and topk say what does not fit") {
  const Tensor x = zeros({3, 4});
  CHECK(error_of([&] { sort(x, {.axis = 2}); }) ==
        "sort: axis 2 is out of range, at here; a tensor of 2 axes has axes -2 to 1");
  CHECK(error_of([&] { argsort(x, {.axis = -3}); }) ==
        "argsort: axis -3 is out of range, at here; a tensor of 2 axes has axes -2 to 1");
  CHECK(error_of([&] { topk(x, 5); }) ==
        "topk: k = 5 elements of axis 1 of f32[3, 4], at here; k is at least 0 and at most the size of the axis, 4");
  CHECK(error_of([&] { topk(x, -1, {.axis = 0}); }) ==
        "topk: k = -1 elements of axis 0 of f32[3, 4], at here; k is at least 0 and at most the size of the axis, 3");
  CHECK(error_of([&] { sort(Tensor()); }) == "sort: input 0 is an empty handle, at here");
}

TEST_CASE("gradients of the sort family agree with differences") { check_samples(detail::sort_ops()); }
