#pragma once
// Activation functions, element by element; see pointwise.h for what all of them have in common. Names, options and
// defaults are PyTorch's. An option is an input of the formula, to which the function passes a number.
#include <numbers>

#include "autograd/ops/formula.h"

namespace tapegrad {

// ---- of straight lines ----

namespace formulas {
struct Relu {
  static constexpr const char* name = "relu";
  static constexpr const char* doc = "the larger of x and 0";
  static constexpr auto formula = [](auto x) { return relu(x); };
  static constexpr Domain domain[] = {{"x", -2, 2}};
};
struct LeakyRelu {
  static constexpr const char* name = "leaky_relu";
  static constexpr const char* doc = "x, or slope times x where x is negative";
  static constexpr auto formula = [](auto x, auto negative_slope) { return where(x > 0, x, negative_slope * x); };
  static constexpr Domain domain[] = {{"x", -2, 2}, {"negative_slope", 0.01, 0.3}};
};
struct HardTanh {
  static constexpr const char* name = "hardtanh";
  static constexpr const char* doc = "x, but at least min_val and at most max_val";
  static constexpr auto formula = [](auto x, auto min_val, auto max_val) {
    return where(x <= min_val, min_val, where(x >= max_val, max_val, x));
  };
  static constexpr Domain domain[] = {{"x", -2, 2}, {"min_val", -1.5, -0.5}, {"max_val", 0.5, 1.5}};
};
struct HardSigmoid {
  static constexpr const char* name = "hardsigmoid";
  static constexpr const char* doc = "a sigmoid of three straight lines";
  static constexpr auto formula = [](auto x) {
    const auto y = x + 3;
    return where(y <= 0, 0, where(y >= 6, 6, y)) * (1.0 / 6);
  };
  static constexpr Domain domain[] = {{"x", -5, 5}};
};
struct HardSwish {
  static constexpr const char* name = "hardswish";
  static constexpr const char* doc = "x times its hardsigmoid";
  static constexpr auto formula = [](auto x) {
    const auto y = x + 3;
    return x * (where(y <= 0, 0, where(y >= 6, 6, y)) * (1.0 / 6));
  };
  static constexpr double third = 0x1.5555555555556p-2;  // rounded up: -3 is then outside in f64 too
  static constexpr auto slope = [](auto x) {
    const auto inside = x * third + 0.5;
    const auto bounded = where(inside <= -0.5, 0, inside);  // x <= -3
    return where(bounded >= 1.5, 1, bounded);               // x >= 3
  };
  static constexpr Domain domain[] = {{"x", -5, 5}};
};
}  // namespace formulas

/// max(x, 0); the gradient at 0 is 0
inline Tensor relu(Arg x) { return detail::apply_formula<formulas::Relu>(x); }
/// x for x > 0, else negative_slope x
inline Tensor leaky_relu(Arg x, double negative_slope = 0.01) {
  return detail::apply_formula<formulas::LeakyRelu>(x, negative_slope);
}
/// x for x > 0, else weight x, where the weight is a tensor that is learned (He et al., 2015)
inline Tensor prelu(Arg x, Arg weight) { return detail::apply_formula<formulas::LeakyRelu>(x, weight); }
/// x / 6 + 1/2 between -3 and 3, 0 below and 1 above (Courbariaux et al., 2015); the gradient at -3 and 3 is 0
inline Tensor hardsigmoid(Arg x) { return detail::apply_formula<formulas::HardSigmoid>(x); }
/// x hardsigmoid(x) (Howard et al., 2019)
inline Tensor hardswish(Arg x) { return detail::apply_formula<formulas::HardSwish>(x); }
/// x between min_val and max_val, and the bound that it passed outside; the gradient at the bounds is 0, unlike clamp's.
/// Throws when min_val > max_val.
Tensor hardtanh(Arg x, double min_val = -1, double max_val = 1);

// ---- smooth ----

namespace formulas {
struct Elu {
  static constexpr const char* name = "elu";
  static constexpr const char* doc = "x, or alpha (e^x - 1) where x is negative";
  static constexpr auto formula = [](auto x, auto alpha) { return where(x > 0, x, alpha * expm1(x)); };
  static constexpr Domain domain[] = {{"x", -2, 2}, {"alpha", 0.5, 1.5}};
};
struct Selu {
  static constexpr const char* name = "selu";
  static constexpr const char* doc = "elu with the scale that keeps mean 0 and variance 1";
  static constexpr auto formula = [](auto x) {
    return 1.0507009873554805 * where(x > 0, x, 1.6732632423543772 * expm1(x));
  };
  static constexpr Domain domain[] = {{"x", -2, 2}};
};
struct Sigmoid {
  static constexpr const char* name = "sigmoid";
  static constexpr const char* doc = "1 / (1 + e^-x)";
  static constexpr auto formula = [](auto x) { return sigmoid(x); };
  static constexpr Domain domain[] = {{"x", -3, 3}};
};
struct LogSigmoid {
  static constexpr const char* name = "log_sigmoid";
  static constexpr const char* doc = "the logarithm of the sigmoid";
  static constexpr auto formula = [](auto x) { return -softplus(-x); };
  static constexpr Domain domain[] = {{"x", -3, 3}};
};
struct Softplus {
  static constexpr const char* name = "softplus";
  static constexpr const char* doc = "the logarithm of 1 + e^x";
  static constexpr auto formula = [](auto x) { return softplus(x); };
  static constexpr Domain domain[] = {{"x", -3, 3}};
};
struct Silu {
  static constexpr const char* name = "silu";
  static constexpr const char* doc = "x times its sigmoid";
  static constexpr auto formula = [](auto x) { return x * sigmoid(x); };
  static constexpr Domain domain[] = {{"x", -4, 4}};
};
struct Mish {
  static constexpr const char* name = "mish";
  static constexpr const char* doc = "x times tanh(softplus(x))";
  static constexpr auto formula = [](auto x) { return x * tanh(softplus(x)); };
  static constexpr Domain domain[] = {{"x", -4, 4}};
};
struct Gelu {
  static constexpr const char* name = "gelu";
  static constexpr const char* doc = "x times the normal distribution function of x";
  static constexpr auto formula = [](auto x) { return 0.5 * x * (1 + erf(std::numbers::sqrt2 / 2 * x)); };
  static constexpr Domain domain[] = {{"x", -3, 3}};
};
struct GeluTanh {
  static constexpr const char* name = "gelu_tanh";
  static constexpr const char* doc = "gelu with tanh in place of erf";
  static constexpr auto formula = [](auto x) {
    return 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * (x * x * x))));  // sqrt(2 / pi)
  };
  static constexpr Domain domain[] = {{"x", -3, 3}};
};
}  // namespace formulas

/// x for x > 0, else alpha (e^x - 1) (Clevert et al., 2015)
inline Tensor elu(Arg x, double alpha = 1) { return detail::apply_formula<formulas::Elu>(x, alpha); }
/// 1.0507 elu(x, 1.6733): keeps mean 0 and variance 1 from layer to layer (Klambauer et al., 2017)
inline Tensor selu(Arg x) { return detail::apply_formula<formulas::Selu>(x); }
/// 1 / (1 + e^-x)
inline Tensor sigmoid(Arg x) { return detail::apply_formula<formulas::Sigmoid>(x); }
/// log(sigmoid(x)) = -softplus(-x), without overflow
inline Tensor log_sigmoid(Arg x) { return detail::apply_formula<formulas::LogSigmoid>(x); }
/// log(1 + e^x), without overflow
inline Tensor softplus(Arg x) { return detail::apply_formula<formulas::Softplus>(x); }
/// x sigmoid(x), also called swish (Elfwing et al., 2017)
inline Tensor silu(Arg x) { return detail::apply_formula<formulas::Silu>(x); }
/// x tanh(softplus(x)) (Misra, 2019)
inline Tensor mish(Arg x) { return detail::apply_formula<formulas::Mish>(x); }
struct GeluOptions {
  bool approximate = false;  ///< 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), which GPT-2 uses
};
/// x times the probability that a standard normal number is below x: 0.5 x (1 + erf(x / sqrt(2))) (Hendrycks and Gimpel,
/// 2016).
inline Tensor gelu(Arg x, const GeluOptions& options = {}) {
  return options.approximate ? detail::apply_formula<formulas::GeluTanh>(x) : detail::apply_formula<formulas::Gelu>(x);
}

using ActivationOps =
    OpList<formulas::Relu, formulas::LeakyRelu, formulas::HardTanh, formulas::HardSigmoid, formulas::HardSwish,
           formulas::Elu, formulas::Selu, formulas::Sigmoid, formulas::LogSigmoid, formulas::Softplus, formulas::Silu,
           formulas::Mish, formulas::Gelu, formulas::GeluTanh>;

}  // namespace tapegrad
