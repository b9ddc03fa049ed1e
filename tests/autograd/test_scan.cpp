// Scans and products: against plain loops, with zeros, and what bad input says.
#include <limits>

#include "autograd/ops/scan.h"
#include "autograd/thread_pool.h"
#include "tests/autograd/op_support.h"

using namespace op_test;
using Values = std::vector<double>;

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

// y[k] = step(y[k - 1], x[k]) along an axis, in long double.
template <class F>
Tensor scanned(const Tensor& x, int axis, F&& step) {
  const Tensor moved = transpose(x, axis, -1);
  Values values = values_of(moved);
  const std::int64_t n = moved.shape(-1);
  long double last = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const bool is_first = static_cast<std::int64_t>(i) % n == 0;
    last = is_first ? values[i] : step(last, values[i]);
    values[i] = static_cast<double>(last);
  }
  return transpose(Tensor::from(values, moved.shape()), axis, -1);
}

}  // namespace

TEST_CASE("cumsum and cumprod agree with plain loops") {
  for (const DType type : {f32, f64}) {
    const double tolerance = type == f32 ? 1e-6 : 1e-12;
    const Tensor x = irregular({3, 4, 5}, 1, type);
    for (const Tensor& t : {x, permute(x, {2, 0, 1}), x.slice(2, 4, -6, -2), irregular({40, 5, 20}, 2, type)}) {
      for (int axis = -3; axis < 3; ++axis) {
        CAPTURE(describe(t), axis);
        const Tensor sums = cumsum(t, axis);
        CHECK(sums.dtype() == type);
        CHECK(is_close(sums, scanned(t, axis, [](long double a, double b) { return a + b; }), tolerance));
        CHECK(is_close(cumprod(t, axis), scanned(t, axis, [](long double a, double b) { return a * b; }), tolerance));
      }
    }
  }
  CHECK(values_of(cumsum(counting({2, 3}))) == Values{0, 1, 3, 3, 7, 12});
  CHECK(cumsum(zeros({0, 3})).shape() == Shape{0, 3});
  CHECK(cumprod(zeros({3, 0})).shape() == Shape{3, 0});
}

TEST_CASE("integers and booleans are scanned in i64") {
  const Tensor x = Tensor::from<std::int32_t>({2'000'000'000, 2'000'000'000, -1, 4}, {2, 2});
  CHECK(cumsum(x).dtype() == i64);
  CHECK(values_of(cumsum(x)) == Values{2e9, 4e9, -1, 3});
  CHECK(values_of(cumsum(x, 0)) == Values{2e9, 2e9, 1'999'999'999, 2'000'000'004});
  CHECK(values_of(cumprod(x.slice(0, 1, 2))) == Values{-1, -4});
  CHECK(values_of(cumsum(Tensor::from({true, false, true}))) == Values{1, 1, 2});
  CHECK(prod(x, {.axis = 1}).dtype() == i64);
  CHECK(values_of(prod(x, {.axis = 1})) == Values{4e18, -4});
  CHECK(prod(Tensor::from({true, true})).item() == 1);

  const std::int64_t most = std::numeric_limits<std::int64_t>::max();
  const Tensor large = Tensor::from<std::int64_t>({most, 3});
  CHECK(prod(large).span<const std::int64_t>()[0] == most - 2);  // 3 most = 2^64 + most - 2
  CHECK(cumprod(large).span<const std::int64_t>()[1] == most - 2);
  CHECK(cumsum(large).span<const std::int64_t>()[1] == std::numeric_limits<std::int64_t>::min() + 2);
}

TEST_CASE("linear_scan follows its recurrence in both directions") {
  const Tensor x = Tensor::from({1.0, 2.0, 3.0, 4.0});
  const Tensor a = Tensor::from({not_a_number, 10.0, 100.0, 0.5});
  CHECK(values_of(linear_scan(x, a)) == Values{1, 12, 1203, 605.5});
  CHECK(values_of(linear_scan(x, a, {.reverse = true})) == Values{5021, 502, 5, 4});
  CHECK(values_of(linear_scan(reshape(x, {4, 1}), reshape(a, {4, 1}), {.axis = 0})) == Values{1, 12, 1203, 605.5});
  Tensor watched = a;
  Tape tape;
  tape.watch(watched);
  CHECK(values_of(tape.gradient(sum(linear_scan(x, watched)), watched)) == Values{0, 1 + 100 + 50, 12 * 1.5, 1203});
}

TEST_CASE("prod agrees with plain loops and is exact with zeros") {
  for (const DType type : {f32, f64}) {
    const double tolerance = type == f32 ? 1e-6 : 1e-13;
    for (const Tensor& x : {irregular({3, 4, 5}, 1, type), transpose(irregular({3, 4, 5}, 1, type), 0, 2)}) {
      const auto times = [](long double a, double b) { return a * b; };
      for (int axis = 0; axis < 3; ++axis) {
        const std::int64_t n = x.shape(axis);
        CHECK(is_close(prod(x, {.axis = axis, .keepdims = true}), scanned(x, axis, times).slice(axis, n - 1, n),
                       tolerance));
      }
      CHECK(is_close(prod(x, {.axis = {0, 2}}), prod(prod(x, {.axis = 2}), {.axis = 0}), tolerance));
      CHECK(is_close(prod(x), prod(reshape(x, {-1})), tolerance));
    }
  }
  CHECK(prod(zeros({0})).item() == 1);
  CHECK(values_of(prod(zeros({0, 2}), {.axis = 0})) == Values{1, 1});
  CHECK(prod(zeros({0, 2}), {.axis = 1}).shape() == Shape{0});
  CHECK(prod(full({}, 3, f64)).item() == 3);

  for (const Values& given : {Values{2, 3, 4}, {2, 0, 4}, {0, 3, 0}, {0, 0, 0}}) {
    Tensor x = Tensor::from(given, {3});
    Tape tape;
    tape.watch(x);
    CHECK(values_of(tape.gradient(prod(x), x)) ==
          Values{given[1] * given[2], given[0] * given[2], given[0] * given[1]});
  }
}

TEST_CASE("the gradient of cumprod is exact with zeros") {
  Tensor x = Tensor::from({2.0, 0.0, 3.0, 5.0});
  Tape tape;
  tape.watch(x);
  const Tensor weights = Tensor::from({1.0, 10.0, 100.0, 1000.0});
  // d/dx0: 1 + 0; d/dx1: 2 (10 + 3 (100 + 5000)); behind the zero: 0.
  CHECK(values_of(tape.gradient(sum(cumprod(x) * weights), x)) == Values{1, 2 * (10 + 300 + 15000), 0, 0});
}

TEST_CASE("a product of many f32 meets no overflow on its way") {
  Tensor x = full({4096}, 1e3);
  for (std::size_t i = 1; i < 4096; i += 2) x.span<float>()[i] = 1e-3f;
  CHECK(prod(x).item() == Approx(1).epsilon(1e-3));
}

TEST_CASE("any and all") {
  const Tensor x = Tensor::from({0.0, 1.0, 0.0, 0.0, 2.0, not_a_number}, {2, 3});
  for (const DType type : {f32, f64}) {
    const Tensor t = x.to(type);
    CHECK(any(t).dtype() == boolean);
    CHECK(any(t).item() == 1);
    CHECK(all(t).item() == 0);
    CHECK(values_of(any(t, {.axis = 0})) == Values{0, 1, 1});
    CHECK(values_of(all(t, {.axis = 0})) == Values{0, 1, 0});
    CHECK(values_of(all(transpose(t), {.axis = 1})) == Values{0, 1, 0});
    CHECK(values_of(any(t, {.axis = 1, .keepdims = true})) == Values{1, 1});
    CHECK(any(t, {.axis = 1, .keepdims = true}).shape() == Shape{2, 1});
  }
  CHECK(any(x == 2).item() == 1);
  CHECK(all(x != 3).item() == 1);
  CHECK(any(zeros({2}, i64)).item() == 0);
  CHECK(all(arange(1, 5, 1, i32)).item() == 1);
  CHECK(any(zeros({0})).item() == 0);
  CHECK(all(zeros({0})).item() == 1);
  CHECK(values_of(all(zeros({0, 2}), {.axis = 0})) == Values{1, 1});
  CHECK(any(zeros({0, 2}), {.axis = 1}).shape() == Shape{0});
  CHECK(any(full({}, 3)).item() == 1);
  const Tensor separated = counting({2, 3, 4}) == 13;
  CHECK(values_of(any(separated, {.axis = {0, 2}})) == Values{1, 0, 0});
}

TEST_CASE("any and all are the same with any number of threads") {
  const Tensor x = irregular({300, 700}, 1, f32) > 1.99;
  const int before = num_threads();
  for (const int axis : {0, 1}) {
    set_num_threads(1);
    const Tensor one = any(x, {.axis = axis});
    set_num_threads(4);
    CHECK(same_bits(one, any(x, {.axis = axis})));
    CHECK(same_bits(any(x, {.axis = axis}), sum(x, {.axis = axis}) > 0));
  }
  set_num_threads(before);
}

TEST_CASE("scans and folds say what is wrong with their input") {
  const Tensor x = zeros({2, 3});
  CHECK(error_of([&] { cumsum(x, 2); }) ==
        "cumsum: axis 2 is out of range, at here; a tensor of 2 axes has axes -2 to 1");
  CHECK(error_of([&] { cumprod(full({}, 1)); }) ==
        "cumprod: axis -1 is out of range, at here; a 0-dim tensor has no axes");
  CHECK(error_of([&] { cumsum(Tensor()); }) == "cumsum: input 0 is an empty handle, at here");
  CHECK(error_of([&] {
          linear_scan(x, zeros({3, 2}));
        }) == "linear_scan: x is f32[2, 3] and a is f32[3, 2], at here; shapes and dtypes must be equal");
  CHECK(error_of([&] { linear_scan(x, x.to(f64)); }) ==
        "linear_scan: x is f32[2, 3] and a is f64[2, 3], at here; shapes and dtypes must be equal");
  CHECK(error_of([&] { linear_scan(x.to(i32), x.to(i32)); }) ==
        "linear_scan: i32[2, 3] holds integers, at here; convert it with to(f32)");
  CHECK(error_of([&] { linear_scan(x, x, {.axis = -3}); }) ==
        "linear_scan: axis -3 is out of range, at here; a tensor of 2 axes has axes -2 to 1");
  CHECK(error_of([&] { prod(x, {.axis = {0, 0}}); }) == "prod: axis 0 is named twice, at here");
  CHECK(error_of([&] { any(x, {.axis = 3}); }) ==
        "any: axis 3 is out of range, at here; a tensor of 2 axes has axes -2 to 1");
  CHECK(error_of([&] { all(Tensor()); }) == "all: input 0 is an empty handle, at here");
}

TEST_CASE("gradients of scans and products agree with differences") {
  check_samples(detail::scan_ops());
  check_samples(detail::fold_ops());
}
