// Variances, norms and logsumexp: against plain loops, at their limits, and what bad input says.
#include <limits>

#include "tests/autograd/op_support.h"

using namespace op_test;
using Values = std::vector<double>;

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

// The rows over which a reduction of x goes: each has the elements of one result.
std::vector<Values> rows_of(const Tensor& x, const Axes& axis) {
  const unsigned mask = axis.mask("test", x.ndim(), SourceLocation::current());
  std::vector<int> order;
  std::int64_t kept = 1;
  for (const bool is_reduced : {false, true}) {
    for (int k = 0; k < x.ndim(); ++k) {
      if ((mask >> k & 1) != is_reduced) continue;
      order.push_back(k);
      if (!is_reduced) kept *= x.shape(k);
    }
  }
  const Values all = values_of(permute(x, order));
  std::vector<Values> rows;
  const auto n = static_cast<std::ptrdiff_t>(all.size()) / kept;
  for (std::ptrdiff_t r = 0; r < kept; ++r) rows.emplace_back(all.begin() + r * n, all.begin() + (r + 1) * n);
  return rows;
}

long double variance(const Values& row, int ddof) {
  long double mean = 0, sum = 0;
  for (const double v : row) mean += v / static_cast<long double>(row.size());
  for (const double v : row) sum += (v - mean) * (v - mean);
  return sum / static_cast<long double>(static_cast<int>(row.size()) - ddof);
}

template <class F>
Tensor expected(const Tensor& x, const Axes& axis, const Shape& shape, F&& of_row) {
  Values values;
  for (const Values& row : rows_of(x, axis)) values.push_back(static_cast<double>(of_row(row)));
  return Tensor::from(values, shape);
}

}  // namespace

TEST_CASE("var, stddev, norms and logsumexp agree with plain loops") {
  for (const DType type : {f32, f64}) {
    const double tolerance = type == f32 ? 3e-6 : 1e-13;
    const Tensor x = irregular({3, 4, 5}, 1, type);
    for (const Tensor& t : {x, permute(x, {2, 0, 1}), x.slice(2, 4, -6, -2), irregular({40, 30, 20}, 2, type)}) {
      for (const Axes& axis : {Axes::all(), Axes(0), Axes(1), Axes(-1), Axes{0, 2}, Axes{0, 1}, Axes{-1, 1}}) {
        CAPTURE(describe(t));
        const Shape shape = sum(t, {.axis = axis}).shape();
        for (const int ddof : {0, 1}) {
          const Tensor found = var(t, {.axis = axis, .ddof = ddof});
          CHECK(found.dtype() == type);
          CHECK(is_close(found, expected(t, axis, shape, [&](const Values& row) { return variance(row, ddof); }),
                         tolerance));
          CHECK(is_close(stddev(t, {.axis = axis, .keepdims = true, .ddof = ddof}),
                         sqrt(var(t, {.axis = axis, .keepdims = true, .ddof = ddof})), tolerance));
        }
        const auto fold = [&](auto&& step) {
          return expected(t, axis, shape, [&](const Values& row) {
            long double total = 0;
            for (const double v : row) total = step(total, static_cast<long double>(v));
            return total;
          });
        };
        const Tensor magnitudes = fold([](long double s, long double v) { return s + std::abs(v); });
        CHECK(is_close(norm(t, {.axis = axis, .ord = 1}), magnitudes, tolerance));
        const Tensor largest = fold([](long double s, long double v) { return std::max(s, std::abs(v)); });
        CHECK(is_close(norm(t, {.axis = axis, .ord = infinity}), largest, tolerance));
        const Tensor exponentials = fold([](long double s, long double v) { return s + std::exp(v); });
        CHECK(is_close(logsumexp(t, {.axis = axis}), log(exponentials), tolerance));
      }
    }
  }
}

TEST_CASE("a variance keeps its digits far from 0") {
  const Tensor x = irregular({4096}, 1, f64);
  CHECK(is_close(var(x + 1e6), var(x), 1e-9));
  CHECK(var((x + 1000).to(f32)).item() == Approx(var(x).item()).epsilon(1e-4));
  CHECK(var(full({9}, 0.1)).item() < 1e-15);
}

TEST_CASE("variances over too few elements follow NumPy") {
  CHECK(std::isnan(var(zeros({0})).item()));
  CHECK(std::isnan(var(ones({1}), {.ddof = 1}).item()));
  CHECK(std::isnan(stddev(ones({2, 1}), {.axis = 1, .ddof = 1}).at({1})));
  CHECK(var(Tensor::from({1.0, 2.0}), {.ddof = 3}).item() == infinity);
  CHECK(var(zeros({0, 3}), {.axis = 1}).shape() == Shape{0});
  CHECK(var(full({}, 3, f64)).item() == 0);
  CHECK(var(Tensor::from({true, false})).item() == 0.25);
  CHECK(var(Tensor::from<std::int64_t>({1, 3})).dtype() == f32);
}

TEST_CASE("the gradient of stddev is 0 where it is 0, at every order") {
  Tensor x = Tensor::from({2.0, 2.0, 3.0, 4.0}, {2, 2});
  Tape outer;
  outer.watch(x);
  Tensor g;
  {
    Tape inner;
    Tensor z = x;
    inner.watch(z);
    g = inner.gradient(sum(stddev(z, {.axis = 1})), z);
  }
  CHECK(is_close(g, Tensor::from({0.0, 0.0, -0.5, 0.5}, {2, 2})));
  for (const double v : values_of(outer.gradient(sum(square(g) * 3 + g), x))) CHECK(std::isfinite(v));
}

TEST_CASE("gradients of norms at 0 and at equal magnitudes") {
  Tensor x = Tensor::from({0.0, -2.0, 2.0, -1.0});
  Tape tape{{.persistent = true}};
  tape.watch(x);
  CHECK(values_of(tape.gradient(norm(x, {.ord = 1}), x)) == Values{0, -1, 1, -1});
  CHECK(values_of(tape.gradient(norm(x, {.ord = infinity}), x)) == Values{0, -1, 0, 0});
  Tensor zero = zeros({2}, f64);
  tape.watch(zero);
  CHECK(values_of(tape.gradient(norm(zero, {.ord = infinity}), zero)) == Values{0, 0});
}

TEST_CASE("norms of nothing") {
  CHECK(norm(zeros({0}), {.ord = 1}).item() == 0);
  CHECK(norm(zeros({0, 3}), {.axis = 1, .ord = infinity}).shape() == Shape{0});
  CHECK(norm(full({}, -3, f64), {.ord = 1}).item() == 3);
  CHECK(norm(full({}, -3, f64), {.ord = infinity}).item() == 3);
}

TEST_CASE("logsumexp neither overflows nor underflows") {
  CHECK(logsumexp(Tensor::from({1000.0, 1000.0})).item() == Approx(1000 + std::log(2.0)));
  CHECK(logsumexp(Tensor::from({-1000.0f, -1001.0f})).item() == Approx(-1000 + std::log1p(std::exp(-1.0))));
  CHECK(logsumexp(Tensor::from({1e300, -1e300})).item() == 1e300);
  CHECK(logsumexp(Tensor::from({infinity, 0.0})).item() == infinity);
  CHECK(logsumexp(Tensor::from({infinity, -infinity})).item() == infinity);
  CHECK(std::isnan(logsumexp(Tensor::from({infinity, not_a_number})).item()));
  CHECK(logsumexp(zeros({0})).item() == -infinity);
  CHECK(values_of(logsumexp(zeros({0, 2}), {.axis = 0})) == Values{-infinity, -infinity});
  CHECK(logsumexp(zeros({0, 2}), {.axis = 1, .keepdims = true}).shape() == Shape{0, 1});
  CHECK(logsumexp(full({}, 3, f64)).item() == 3);
  CHECK(logsumexp(Tensor::from<std::int32_t>({0, 0})).item() == Approx(std::log(2.0)));
}

TEST_CASE("a row of -infinity has the logsumexp -infinity and the gradient 0") {
  for (const DType type : {f32, f64}) {
    Tensor x = Tensor::from({-infinity, -infinity, -infinity, 0.0}, {2, 2}).to(type);
    Tape tape;
    tape.watch(x);
    const Tensor y = logsumexp(x, {.axis = 1});
    CHECK(values_of(y) == Values{-infinity, 0});
    CHECK(values_of(tape.gradient(sum(y), x)) == Values{0, 0, 0, 1});
  }
}

TEST_CASE("statistics say what is wrong with their input") {
  const Tensor x = zeros({2, 3});
  CHECK(error_of([&] { var(x, {.axis = 2}); }) ==
        "var: axis 2 is out of range, at here; a tensor of 2 axes has axes -2 to 1");
  CHECK(error_of([&] { stddev(x, {.axis = {1, -1}}); }) == "stddev: axis 1 is named twice, at here");
  CHECK(error_of([&] { logsumexp(Tensor()); }) == "logsumexp: input 0 is an empty handle, at here");
  CHECK(error_of([&] { norm(x, {.ord = 3}); }) == "norm: ord 3 is not one of 1, 2 and infinity, at here");
  CHECK(error_of([&] { norm(x, {.ord = -infinity}); }) == "norm: ord -inf is not one of 1, 2 and infinity, at here");
  CHECK(error_of([&] { norm(x, {.axis = 4, .ord = infinity}); }) ==
        "norm: axis 4 is out of range, at here; a tensor of 2 axes has axes -2 to 1");
  CHECK(error_of([&] {
          norm(zeros({0, 3}), {.axis = 0, .ord = infinity});
        }) == "norm: f32[0, 3] has no elements to choose from, at here");
  CHECK(error_of([&] { norm(arange(3, i32), {.ord = infinity}); }) ==
        "norm: i32[3] has no norm, at here; convert it with to(f32)");
  CHECK(error_of([&] { norm(arange(3, i32), {.ord = 1}); }) ==
        "norm: i32[3] has no norm, at here; convert it with to(f32)");
}

TEST_CASE("gradients of statistics agree with differences") { check_samples(detail::statistics_ops()); }
