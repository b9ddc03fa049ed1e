// Reductions against plain loops, their gradients, and what bad input says.
#include <cmath>
#include <limits>

#include "autograd/thread_pool.h"
#include "tests/autograd/op_support.h"

using namespace op_test;
using Values = std::vector<double>;

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

// Folds the elements of x over the axes in `mask`, in long double, into a tensor with kept axes.
template <class F>
Tensor fold(const Tensor& x, unsigned mask, long double start, F&& f) {
  Shape kept = x.shape();
  for (int k = 0; k < x.ndim(); ++k) {
    if (mask >> k & 1) kept[k] = 1;
  }
  const Values from = values_of(x);
  std::vector<long double> to(static_cast<std::size_t>(kept.size()), start);
  for (std::size_t i = 0; i < from.size(); ++i) {
    std::int64_t rest = static_cast<std::int64_t>(i);
    std::int64_t position = 0;
    std::int64_t step = 1;
    for (int k = x.ndim() - 1; k >= 0; --k) {
      const std::int64_t index = rest % x.shape(k);
      rest /= x.shape(k);
      if (mask >> k & 1) continue;
      position += index * step;
      step *= x.shape(k);
    }
    to[static_cast<std::size_t>(position)] = f(to[static_cast<std::size_t>(position)], from[i]);
  }
  return Tensor::from(Values(to.begin(), to.end()), kept);
}

struct Case {
  Tensor x;
  Axes axis;
};

// Every choice of axes of some tensors, contiguous and not, below and above the size from which threads help.
std::vector<Case> cases(DType type) {
  const Tensor x = irregular({3, 4, 5}, 1, type);
  std::vector<Tensor> tensors = {x, permute(x, {2, 0, 1}), x.slice(2, 4, -6, -2), irregular({2, 1, 3, 1}, 2, type),
                                 irregular({40, 30, 20}, 3, type)};
  std::vector<Case> result;
  for (const Tensor& t : tensors) {
    result.push_back({t, Axes::all()});
    result.push_back({t, Axes{}});
    for (int a = 0; a < t.ndim(); ++a) {
      result.push_back({t, a});
      for (int b = 0; b < a; ++b) result.push_back({t, {a, b - t.ndim()}});
    }
  }
  for (const Shape& shape : {Shape{30000}, Shape{3, 9000}, Shape{9000, 3}, Shape{20, 3000}, Shape{3000, 20}}) {
    result.push_back({irregular(shape, 4, type), Axes::all()});
    result.push_back({irregular(shape, 4, type), 0});
    result.push_back({irregular(shape, 4, type), -1});
  }
  return result;
}

}  // namespace

TEST_CASE("sum, mean, max, min and norm agree with plain loops over every choice of axes") {
  for (DType type : {f32, f64}) {
    const double tolerance = type == f32 ? 2e-6 : 1e-13;
    for (const auto& [x, axis] : cases(type)) {
      const unsigned mask = axis.mask("test", x.ndim(), SourceLocation::current());
      CAPTURE(describe(x), mask);
      const ReduceOptions keep{.axis = axis, .keepdims = true};
      const Tensor total = fold(x, mask, 0, [](long double s, double e) { return s + e; });
      const Tensor squares = fold(x, mask, 0, [](long double s, double e) { return s + e * e; });
      const double count = static_cast<double>(x.size() / total.size());
      CHECK(sum(x, keep).dtype() == type);
      CHECK(is_close(sum(x, keep), total, tolerance * std::sqrt(count)));
      CHECK(is_close(mean(x, keep), total / count, tolerance));
      CHECK(is_close(norm(x, {.axis = axis, .keepdims = true}), sqrt(squares), tolerance * std::sqrt(count)));
      CHECK(same_bits(max(x, keep).to(f64),
                      fold(x, mask, -9, [](long double s, double e) { return std::max<long double>(s, e); })));
      CHECK(same_bits(min(x, keep).to(f64),
                      fold(x, mask, 9, [](long double s, double e) { return std::min<long double>(s, e); })));
      const Tensor dropped = sum(x, {.axis = axis});
      CHECK(dropped.ndim() == x.ndim() - __builtin_popcount(mask));
      CHECK(same_bits(reshape(dropped, total.shape()), sum(x, keep)));
    }
  }
}

TEST_CASE("a sum is exact where a running sum in its own precision is not") {
  CHECK(sum(full({1 << 20}, 0.1)).item() == Approx(104857.6).epsilon(1e-6));
  CHECK(mean(full({1 << 20}, 0.1)).item() == Approx(0.1).epsilon(1e-6));
  CHECK(sum(full({1 << 18, 3}, 0.1), {.axis = 0}).at({2}) == Approx(26214.4).epsilon(1e-6));
}

TEST_CASE("sums have the same bits with any number of threads") {
  const std::vector<Tensor> tensors = {irregular({100000}, 1, f32), irregular({3000, 40}, 1, f32),
                                       irregular({40, 3000}, 1, f32), irregular({30, 40, 50}, 1, f32)};
  const auto all = [&] {
    std::vector<Tensor> results;
    for (const Tensor& x : tensors) {
      for (int axis = 0; axis < x.ndim(); ++axis) {
        results.push_back(sum(x, {.axis = axis}));
        results.push_back(norm(x, {.axis = axis}));
      }
      results.push_back(sum(x));
    }
    return results;
  };
  const int before = num_threads();
  set_num_threads(1);
  const std::vector<Tensor> one = all();
  for (int threads : {2, 5}) {
    set_num_threads(threads);
    const std::vector<Tensor> several = all();
    for (std::size_t i = 0; i < one.size(); ++i) CHECK(same_bits(one[i], several[i]));
  }
  set_num_threads(before);
}

TEST_CASE("integers and booleans are summed in i64 and averaged in f32") {
  const Tensor x = Tensor::from<std::int32_t>({2'000'000'000, 2'000'000'000, -1, 4}, {2, 2});
  CHECK(sum(x).dtype() == i64);
  CHECK(sum(x).item() == 4'000'000'003.0);
  CHECK(values_of(sum(x, {.axis = 0})) == Values{1'999'999'999, 2'000'000'004});
  CHECK(sum(Tensor::from({true, false, true, true})).item() == 3);
  CHECK(mean(Tensor::from({true, false, true, true})).dtype() == f32);
  CHECK(mean(Tensor::from({true, false, true, true})).item() == 0.75);
  CHECK(max(x).dtype() == i32);
  CHECK(max(x).item() == 2'000'000'000);
  CHECK(values_of(min(x, {.axis = 1})) == Values{2'000'000'000, -1});
  CHECK(error_of([&] { norm(x); }) == "norm: i32[2, 2] has no norm, at here; convert it with to(f32)");
}

TEST_CASE("empty axes: the sum is 0, the mean NaN, and there is no largest element") {
  const Tensor x = zeros({0, 3});
  CHECK(sum(x).item() == 0);
  CHECK(values_of(sum(x, {.axis = 0})) == Values{0, 0, 0});
  CHECK(sum(x, {.axis = 1}).shape() == Shape{0});
  CHECK(std::isnan(mean(x).item()));
  CHECK(std::isnan(mean(x, {.axis = 0}).at({1})));
  CHECK(values_of(norm(x, {.axis = 0})) == Values{0, 0, 0});
  CHECK(max(x, {.axis = 1}).shape() == Shape{0});
  CHECK(error_of([&] { max(x); }) == "max: f32[0, 3] has no elements to choose from, at here");
  CHECK(error_of([&] { min(x, {.axis = 0}); }) == "min: f32[0, 3] has no elements to choose from, at here");
  CHECK(error_of([&] { argmax(x, {.axis = 0}); }) == "argmax: f32[0, 3] has no elements to choose from, at here");
}

TEST_CASE("a number without axes") {
  const Tensor x = full({}, 3, f64);
  CHECK(sum(x).item() == 3);
  CHECK(mean(x).item() == 3);
  CHECK(max(x, {.axis = Axes{}}).item() == 3);
  CHECK(norm(-x).item() == 3);
  CHECK(error_of([&] { sum(x, {.axis = 0}); }) == "sum: axis 0 is out of range, at here; a 0-dim tensor has no axes");
}

TEST_CASE("bad axes are named") {
  const Tensor x = zeros({2, 3});
  CHECK(error_of([&] { sum(x, {.axis = 2}); }) ==
        "sum: axis 2 is out of range, at here; a tensor of 2 axes has axes -2 to 1");
  CHECK(error_of([&] { mean(x, {.axis = {0, -2}}); }) == "mean: axis 0 is named twice, at here");
  CHECK(error_of([&] { argmax(x, {.axis = -3}); }) ==
        "argmax: axis -3 is out of range, at here; a tensor of 2 axes has axes -2 to 1");
  CHECK(error_of([&] { sum(Tensor()); }) == "sum: input 0 is an empty handle, at here");
}

TEST_CASE("argmax and argmin take the first of equal elements") {
  const Tensor x = Tensor::from({1.0, 7.0, 7.0, 0.0, 5.0, 0.0}, {2, 3});
  for (DType type : {f32, f64, i32, i64}) {
    CHECK(argmax(x.to(type)).dtype() == i64);
    CHECK(values_of(argmax(x.to(type), {.axis = -1})) == Values{1, 1});
    CHECK(argmax(x.to(type)).item() == 1);
    CHECK(argmin(x.to(type), {.keepdims = true}).at({0, 0}) == 3);
    CHECK(argmax(x.to(type), {.axis = 1, .keepdims = true}).shape() == Shape{2, 1});
    CHECK(values_of(argmax(reshape(x.to(type), {1, 2, 3}), {.axis = {0, 2}})) == Values{1, 1});
    CHECK(values_of(argmin(x.to(type), {.axis = 1})) == Values{0, 0});
    CHECK(values_of(argmax(x.to(type), {.axis = 0})) == Values{0, 0, 0});
    CHECK(values_of(argmax(transpose(x.to(type)), {.axis = 0})) == Values{1, 1});
  }
  CHECK(argmax(Tensor::from({3.0, 4.0})).item() == 1);
  CHECK(values_of(argmax(Tensor::from({1.0, not_a_number, 9.0, not_a_number}, {2, 2}), {.axis = 1})) == Values{1, 1});
}

TEST_CASE("NaN is passed on by every reduction") {
  for (DType type : {f32, f64}) {
    Tensor x = irregular({3, 40}, 1, f64);
    x.span<double>()[50] = not_a_number;
    const Tensor y = x.to(type);
    const auto passes_on = [&](auto reduce) {
      CHECK(std::isnan(reduce(y, Axes::all()).item()));
      const Tensor rows = reduce(y, 1);
      CHECK_FALSE(std::isnan(rows.at({0})));
      CHECK(std::isnan(rows.at({1})));
      CHECK(std::isnan(reduce(y, 0).at({10})));
    };
    for (auto* reduce : {&sum, &mean, &max, &min, &prod, &logsumexp}) {
      passes_on([&](const Tensor& t, const Axes& axis) { return (*reduce)(t, {.axis = axis}); });
    }
    for (auto* reduce : {&var, &stddev}) {
      passes_on([&](const Tensor& t, const Axes& axis) { return (*reduce)(t, {.axis = axis}); });
    }
    for (const double ord : {1.0, 2.0, HUGE_VAL}) {
      passes_on([&](const Tensor& t, const Axes& axis) { return norm(t, {.axis = axis, .ord = ord}); });
    }
  }
}

TEST_CASE("the gradient of max goes to the first of equal elements") {
  Tensor x = Tensor::from({1.0, 7.0, 7.0, 9.0, 5.0, 9.0}, {2, 3});
  Tape tape{{.persistent = true}};
  tape.watch(x);
  CHECK(values_of(tape.gradient(sum(max(x, {.axis = 1})), x)) == Values{0, 1, 0, 1, 0, 0});
  CHECK(values_of(tape.gradient(max(x), x)) == Values{0, 0, 0, 1, 0, 0});
  CHECK(values_of(tape.gradient(sum(min(-x, {.axis = 0})), x)) == Values{0, -1, 0, -1, 0, -1});
}

TEST_CASE("max and min have the same value whether they are recorded or not") {
  Tensor x = irregular({7, 33});
  const Tensor plain = max(x, {.axis = 1});
  Tape tape;
  tape.watch(x);
  CHECK(same_bits(plain, max(x, {.axis = 1})));
}

TEST_CASE("the gradient of norm is 0 at 0, at every order") {
  Tensor x = Tensor::from({0.0, 0.0, 3.0, 4.0}, {2, 2});
  Tape outer;
  outer.watch(x);
  Tensor g;
  {
    Tape inner;
    Tensor z = x;
    inner.watch(z);
    g = inner.gradient(sum(norm(z, {.axis = 1})), z);
  }
  CHECK(is_close(g, Tensor::from({0.0, 0.0, 0.6, 0.8}, {2, 2})));
  for (double v : values_of(outer.gradient(sum(square(g) * 3 + g), x))) CHECK(std::isfinite(v));
}

TEST_CASE("expand repeats without a copy and sum_to undoes it") {
  const Tensor x = counting({3, 1});
  const Tensor y = expand(x, {2, 3, 2});
  CHECK(y.data() == x.data());
  CHECK(values_of(y) == Values{0, 0, 1, 1, 2, 2, 0, 0, 1, 1, 2, 2});
  CHECK(values_of(sum_to(y, {3, 1})) == Values{0, 4, 8});
  CHECK(values_of(sum_to(counting({2, 3}), {3})) == Values{3, 5, 7});
  CHECK(values_of(sum_to(counting({2, 3}), {2, 1})) == Values{3, 12});
  CHECK(sum_to(counting({2, 3}), {}).item() == 15);
  CHECK(sum_to(x, {3, 1}).block() == x.block());
  CHECK(expand(x, {3, 1}).block() == x.block());
  CHECK(expand(x, {3, 0}).size() == 0);
  CHECK(
      error_of([&] {
        expand(x, {2, 4});
      }) ==
      "expand: f64[3, 1] does not broadcast to [2, 4], at here; sizes, counted from the last axis, must be equal or 1");
  CHECK(error_of([&] { expand(x, {3}); }) ==
        "expand: f64[3, 1] does not broadcast to [3], at here; sizes, counted from the last axis, must be equal or 1");
  CHECK(
      error_of([&] {
        sum_to(x, {2, 1});
      }) ==
      "sum_to: [2, 1] does not broadcast to f64[3, 1], at here; sizes, counted from the last axis, must be equal or 1");
}

TEST_CASE("gradients of reductions agree with differences") { check_samples(detail::reduce_ops()); }
