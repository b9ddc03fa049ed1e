// The shipped formulas as a program that includes <cmath> and the whole library uses them: names that the C library has
// too, values against the C library, options, dtypes and what bad options say.
#include <cmath>

#include <limits>
#include <numbers>

#include "tapegrad.h"
#include "tests/catch.h"
#include "tests/error_of.h"

using namespace tapegrad;
using tests::error_of;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

std::vector<double> values_of(const Tensor& x) {
  const Tensor copy = x.to(f64).clone();
  const auto v = copy.span<const double>();
  return {v.begin(), v.end()};
}

/// y[i] = exact(x[i]) to rounding.
template <class F>
void check_values(const char* name, const Tensor& y, const Tensor& x, F exact) {
  const std::vector<double> got = values_of(y), at = values_of(x);
  REQUIRE(got.size() == at.size());
  for (std::size_t i = 0; i < at.size(); ++i) {
    INFO(name << "(" << at[i] << ")");
    CHECK(got[i] == Approx(exact(at[i])).epsilon(1e-14).margin(1e-15));
  }
}

double sigmoid_of(double x) { return 1 / (1 + std::exp(-x)); }

std::vector<double> gradient_of(Tensor (*f)(Arg), Tensor x) {
  Tape tape;
  tape.watch(x);
  return values_of(tape.gradient(sum(f(x)), x));
}

}  // namespace

TEST_CASE("functions with names of the C library are not ambiguous and have its values") {
  const Tensor x = Tensor::from({-0.9, -0.25, -0.0, 0.0, 0.3, 0.5, 0.75});
  const Tensor positive = x + 1;
  check_values("abs", abs(x), x, [](double a) { return std::abs(a); });
  check_values("floor", floor(x), x, [](double a) { return std::floor(a); });
  check_values("ceil", ceil(x), x, [](double a) { return std::ceil(a); });
  check_values("round", round(x), x, [](double a) { return std::nearbyint(a); });
  check_values("sqrt", sqrt(positive), positive, [](double a) { return std::sqrt(a); });
  check_values("exp", exp(x), x, [](double a) { return std::exp(a); });
  check_values("exp2", exp2(x), x, [](double a) { return std::exp2(a); });
  check_values("expm1", expm1(x), x, [](double a) { return std::expm1(a); });
  check_values("log", log(positive), positive, [](double a) { return std::log(a); });
  check_values("log2", log2(positive), positive, [](double a) { return std::log2(a); });
  check_values("log1p", log1p(x), x, [](double a) { return std::log1p(a); });
  check_values("sin", sin(x), x, [](double a) { return std::sin(a); });
  check_values("cos", cos(x), x, [](double a) { return std::cos(a); });
  check_values("tan", tan(x), x, [](double a) { return std::tan(a); });
  check_values("asin", asin(x), x, [](double a) { return std::asin(a); });
  check_values("acos", acos(x), x, [](double a) { return std::acos(a); });
  check_values("atan", atan(x), x, [](double a) { return std::atan(a); });
  check_values("atan2", atan2(x, -2), x, [](double a) { return std::atan2(a, -2); });
  check_values("sinh", sinh(x), x, [](double a) { return std::sinh(a); });
  check_values("cosh", cosh(x), x, [](double a) { return std::cosh(a); });
  check_values("tanh", tanh(x), x, [](double a) { return std::tanh(a); });
  check_values("erf", erf(x), x, [](double a) { return std::erf(a); });
  check_values("erfc", erfc(x), x, [](double a) { return std::erfc(a); });
  check_values("pow", pow(positive, 1.5), positive, [](double a) { return std::pow(a, 1.5); });
  check_values("lerp", lerp(x, 2, 0.25), x, [](double a) { return std::lerp(a, 2.0, 0.25); });
  // Numbers still go to the C library.
  static_assert(std::is_same_v<decltype(round(2.5)), double> && std::is_same_v<decltype(erf(1.0)), double>);
}

TEST_CASE("functions that the C library does not have") {
  const Tensor x = Tensor::from({-4.0, -3.0, -1.5, -0.25, 0.0, 0.5, 2.0, 3.0, 5.0});
  const Tensor positive = x + 5;
  check_values("sign", sign(x), x, [](double a) { return a > 0 ? 1 : a < 0 ? -1 : 0; });
  check_values("reciprocal", reciprocal(positive), positive, [](double a) { return 1 / a; });
  check_values("rsqrt", rsqrt(positive), positive, [](double a) { return 1 / std::sqrt(a); });
  check_values("relu", relu(x), x, [](double a) { return std::max(a, 0.0); });
  check_values("hardsigmoid", hardsigmoid(x), x, [](double a) { return std::clamp(a + 3, 0.0, 6.0) / 6; });
  check_values("hardswish", hardswish(x), x, [](double a) { return a * std::clamp(a + 3, 0.0, 6.0) / 6; });
  check_values("selu", selu(x), x,
               [](double a) { return 1.0507009873554805 * (a > 0 ? a : 1.6732632423543772 * std::expm1(a)); });
  check_values("log_sigmoid", log_sigmoid(x), x, [](double a) { return std::log(sigmoid_of(a)); });
  check_values("softplus", softplus(x), x, [](double a) { return std::log1p(std::exp(a)); });
  check_values("silu", silu(x), x, [](double a) { return a * sigmoid_of(a); });
  check_values("mish", mish(x), x, [](double a) { return a * std::tanh(std::log1p(std::exp(a))); });
}

TEST_CASE("options have PyTorch's defaults and change the result") {
  const Tensor x = Tensor::from({-4.0, -1.0, -0.5, 0.0, 0.5, 1.0, 4.0});
  check_values("leaky_relu", leaky_relu(x), x, [](double a) { return a > 0 ? a : 0.01 * a; });
  check_values("leaky_relu", leaky_relu(x, 0.2), x, [](double a) { return a > 0 ? a : 0.2 * a; });
  check_values("elu", elu(x), x, [](double a) { return a > 0 ? a : std::expm1(a); });
  check_values("elu", elu(x, 0.5), x, [](double a) { return a > 0 ? a : 0.5 * std::expm1(a); });
  check_values("hardtanh", hardtanh(x), x, [](double a) { return std::clamp(a, -1.0, 1.0); });
  check_values("hardtanh", hardtanh(x, 0, 6), x, [](double a) { return std::clamp(a, 0.0, 6.0); });
  check_values("clamp", clamp(x, {.min = -0.75}), x, [](double a) { return std::max(a, -0.75); });
  check_values("clamp", clamp(x, {.max = 0.75}), x, [](double a) { return std::min(a, 0.75); });
  check_values("clamp", clamp(x, {.min = -1, .max = 2}), x, [](double a) { return std::clamp(a, -1.0, 2.0); });
  check_values("gelu", gelu(x), x, [](double a) { return a / 2 * (1 + std::erf(a / std::numbers::sqrt2)); });
  check_values("gelu", gelu(x, {.approximate = true}), x, [](double a) {
    return a / 2 * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (a + 0.044715 * a * a * a)));
  });
}

TEST_CASE("gradients at corners") {
  const Tensor x = Tensor::from({-2.0, -1.0, 0.0, 1.0, 2.0});
  using Values = std::vector<double>;
  CHECK(gradient_of([](Arg a) { return clamp(a, {.min = -1, .max = 1}); }, x) == Values{0, 1, 1, 1, 0});
  CHECK(gradient_of([](Arg a) { return hardtanh(a); }, x) == Values{0, 0, 1, 0, 0});
  CHECK(gradient_of([](Arg a) { return leaky_relu(a, 0.25); }, x) == Values{0.25, 0.25, 0.25, 1, 1});
  CHECK(gradient_of([](Arg a) { return abs(a); }, x) == Values{-1, -1, 0, 1, 1});
  CHECK(gradient_of([](Arg a) { return floor(a) * a; }, x) == Values{-2, -1, 0, 1, 2});
  const Tensor three = Tensor::from({-3.0, 3.0});
  CHECK(gradient_of([](Arg a) { return hardsigmoid(a); }, three) == Values{0, 0});
  CHECK(gradient_of([](Arg a) { return hardswish(a); }, three) == Values{0, 1});
  CHECK(gradient_of([](Arg a) { return hardswish(a); }, three.to(f32)) == Values{0, 1});
}

TEST_CASE("a derivative of one's own takes the place of the one that would be made, and is differentiated further") {
  const auto cube = pointwise(
      "cube", [](auto x) { return x * x * x; }, [](auto x) { return 3 * (x * x); });
  const auto wrong = pointwise(
      "wrong", [](auto x) { return x * x * x; }, [](auto x) { return x + 1; });
  const Tensor x = Tensor::from({2.0, -1.0, 0.5});
  CHECK(gradcheck(cube, x, {.second_order = true}));
  CHECK_FALSE(gradcheck(wrong, x));
  const auto [y, slope] = jvp([&](Arg v) { return Tensor(wrong(v)); }, x, full({3}, 2.0, f64));
  CHECK(allclose(slope, Tensor::from({6.0, 0.0, 3.0})));
  CHECK(allclose(hessian([&](Arg v) { return sum(wrong(v)); }, x),
                 Tensor::from({1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0}, {3, 3})));
}

TEST_CASE("far from 0 activations do not overflow, and neither do their gradients") {
  const Tensor x = Tensor::from({-1000.0f, -100.0f, 100.0f, 1000.0f});
  using Function = Tensor (*)(Arg);
  const Function functions[] = {
      [](Arg a) { return elu(a); },         [](Arg a) { return selu(a); },        [](Arg a) { return softplus(a); },
      [](Arg a) { return log_sigmoid(a); }, [](Arg a) { return silu(a); },        [](Arg a) { return mish(a); },
      [](Arg a) { return gelu(a); },        [](Arg a) { return sigmoid(a); },     [](Arg a) { return tanh(a); },
      [](Arg a) { return hardswish(a); },   [](Arg a) { return hardsigmoid(a); }, [](Arg a) { return erfc(a); },
  };
  for (std::size_t k = 0; k < std::size(functions); ++k) {
    INFO("function " << k);
    for (const double y : values_of(functions[k](x))) CHECK(std::isfinite(y));
    for (const double g : gradient_of(functions[k], x)) CHECK(std::isfinite(g));
  }
}

TEST_CASE("integers stay integers where the formula keeps them, and become f32 where it needs fractions") {
  const Tensor x = Tensor::from({-2, 0, 3});
  REQUIRE(x.dtype() == i32);
  CHECK(floor(x).dtype() == i32);
  CHECK(sign(x).dtype() == i32);
  CHECK(clamp(x, {.min = 0}).dtype() == f32);
  CHECK(silu(x).dtype() == f32);
  CHECK(leaky_relu(x.to(f64), 0.1).dtype() == f64);
  CHECK((x < 1).dtype() == boolean);
  CHECK(std::isnan(clamp(full({}, std::numeric_limits<double>::quiet_NaN()), {.min = 0, .max = 1}).item()));
}

TEST_CASE("booleans stay booleans where the formula only chooses among them") {
  const Tensor a = Tensor::from({true, false, true});
  const Tensor b = Tensor::from({true, true, false});
  CHECK(where(a, b, a).dtype() == boolean);
  CHECK(array_equal(where(a, b, a), Tensor::from({true, false, false})));
  CHECK(array_equal(maximum(a, b), Tensor::from({true, true, true})));
  CHECK(array_equal(minimum(a, b), Tensor::from({true, false, false})));
  CHECK((a + b).dtype() == i32);
}

TEST_CASE("a number takes the dtype of the tensors of fractions beside it, wherever they stand") {
  const Tensor mask = Tensor::from({true, false});
  const Tensor x = Tensor::from({1.0, 2.0});
  CHECK(where(mask, x, 0.5).dtype() == f64);
  CHECK(where(mask, 0.5, x).at({1}) == 2);
  CHECK(where(mask, 1, 0.5).dtype() == f32);
  CHECK((mask + 1).dtype() == i64);
}

TEST_CASE("bounds in the wrong order throw") {
  const Tensor x = Tensor::from({1.0});
  CHECK(error_of([&] { clamp(x, {.min = 3, .max = 1}); }) ==
        "clamp: the lower bound 3 is above the upper bound 1, at here");
  CHECK(error_of([&] { hardtanh(x, 2, -2); }) == "hardtanh: the lower bound 2 is above the upper bound -2, at here");
  CHECK(error_of([&] { hardtanh(x, infinity); }) ==
        "hardtanh: the lower bound inf is above the upper bound 1, at here");
  CHECK(values_of(clamp(x, {.min = 2, .max = 2})) == std::vector<double>{2});
}

TEST_CASE("a formula names the op in its errors") {
  const Tensor a = zeros({2, 3}), b = zeros({4});
  CHECK(error_of([&] { atan2(a, b); }) ==
        "atan2: shapes [2, 3] and [4] do not broadcast: axis -1 has 3 and 4, at here; sizes, counted from the last "
        "axis, must be equal or 1");
  CHECK(error_of([&] { gelu(Tensor()); }) == "gelu: an argument is an empty handle, at here");
}
