#pragma once
// Elementary functions, element by element; see pointwise.h for what all of them have in common.
//
// The kernels are within 4 units in the last place (f32 tanh and erf: 6), exact at 0 and infinities, and keep NaN.
#include "autograd/ops/formula.h"

namespace tapegrad {

// ---- powers and roots ----

namespace formulas {
struct Reciprocal {
  static constexpr const char* name = "reciprocal";
  static constexpr const char* doc = "one divided by x";
  static constexpr auto formula = [](auto x) { return reciprocal(x); };
  static constexpr Domain domain[] = {{"x", 0.5, 3}};
};
struct Square {
  static constexpr const char* name = "square";
  static constexpr const char* doc = "x times x";
  static constexpr auto formula = [](auto x) { return x * x; };
  static constexpr Domain domain[] = {{"x", -2, 2}};
};
struct SquareRoot {
  static constexpr const char* name = "sqrt";
  static constexpr const char* doc = "the square root";
  static constexpr auto formula = [](auto x) { return sqrt(x); };
  static constexpr Domain domain[] = {{"x", 0.5, 3}};
};
struct ReciprocalRoot {
  static constexpr const char* name = "rsqrt";
  static constexpr const char* doc = "one divided by the square root";
  static constexpr auto formula = [](auto x) { return rsqrt(x); };
  static constexpr Domain domain[] = {{"x", 0.5, 3}};
};
}  // namespace formulas

/// 1 / x
inline Tensor reciprocal(Arg x) { return detail::apply_formula<formulas::Reciprocal>(x); }
/// x^2
inline Tensor square(Arg x) { return detail::apply_formula<formulas::Square>(x); }
/// The square root. The gradient at 0 is infinite.
inline Tensor sqrt(Arg x) { return detail::apply_formula<formulas::SquareRoot>(x); }
/// 1 / sqrt(x)
inline Tensor rsqrt(Arg x) { return detail::apply_formula<formulas::ReciprocalRoot>(x); }

// ---- exponentials and logarithms ----

namespace formulas {
struct Exponential {
  static constexpr const char* name = "exp";
  static constexpr const char* doc = "e to the power of x";
  static constexpr auto formula = [](auto x) { return exp(x); };
  static constexpr Domain domain[] = {{"x", -2, 2}};
};
struct Exponential2 {
  static constexpr const char* name = "exp2";
  static constexpr const char* doc = "2 to the power of x";
  static constexpr auto formula = [](auto x) { return exp2(x); };
  static constexpr Domain domain[] = {{"x", -2, 2}};
};
struct ExponentialMinus1 {
  static constexpr const char* name = "expm1";
  static constexpr const char* doc = "e to the power of x, minus one";
  static constexpr auto formula = [](auto x) { return expm1(x); };
  static constexpr Domain domain[] = {{"x", -2, 2}};
};
struct Logarithm {
  static constexpr const char* name = "log";
  static constexpr const char* doc = "the natural logarithm";
  static constexpr auto formula = [](auto x) { return log(x); };
  static constexpr Domain domain[] = {{"x", 0.5, 3}};
};
struct Logarithm2 {
  static constexpr const char* name = "log2";
  static constexpr const char* doc = "the logarithm to base 2";
  static constexpr auto formula = [](auto x) { return log2(x); };
  static constexpr Domain domain[] = {{"x", 0.5, 3}};
};
struct Logarithm1Plus {
  static constexpr const char* name = "log1p";
  static constexpr const char* doc = "the natural logarithm of 1 + x";
  static constexpr auto formula = [](auto x) { return log1p(x); };
  static constexpr Domain domain[] = {{"x", -0.5, 2}};
};
}  // namespace formulas

/// e^x
inline Tensor exp(Arg x) { return detail::apply_formula<formulas::Exponential>(x); }
/// 2^x
inline Tensor exp2(Arg x) { return detail::apply_formula<formulas::Exponential2>(x); }
/// e^x - 1, accurate near 0
inline Tensor expm1(Arg x) { return detail::apply_formula<formulas::ExponentialMinus1>(x); }
/// The natural logarithm.
inline Tensor log(Arg x) { return detail::apply_formula<formulas::Logarithm>(x); }
/// The logarithm to base 2.
inline Tensor log2(Arg x) { return detail::apply_formula<formulas::Logarithm2>(x); }
/// log(1 + x), accurate near 0
inline Tensor log1p(Arg x) { return detail::apply_formula<formulas::Logarithm1Plus>(x); }

// ---- trigonometric functions ----

namespace formulas {
struct Sine {
  static constexpr const char* name = "sin";
  static constexpr const char* doc = "the sine";
  static constexpr auto formula = [](auto x) { return sin(x); };
  static constexpr Domain domain[] = {{"x", -4, 4}};
};
struct Cosine {
  static constexpr const char* name = "cos";
  static constexpr const char* doc = "the cosine";
  static constexpr auto formula = [](auto x) { return cos(x); };
  static constexpr Domain domain[] = {{"x", -4, 4}};
};
struct Tangent {
  static constexpr const char* name = "tan";
  static constexpr const char* doc = "the tangent";
  static constexpr auto formula = [](auto x) { return tan(x); };
  static constexpr Domain domain[] = {{"x", -1.2, 1.2}};
};
struct Arcsine {
  static constexpr const char* name = "asin";
  static constexpr const char* doc = "the angle whose sine is x";
  static constexpr auto formula = [](auto x) { return asin(x); };
  static constexpr Domain domain[] = {{"x", -0.9, 0.9}};
};
struct Arccosine {
  static constexpr const char* name = "acos";
  static constexpr const char* doc = "the angle whose cosine is x";
  static constexpr auto formula = [](auto x) { return acos(x); };
  static constexpr Domain domain[] = {{"x", -0.9, 0.9}};
};
struct Arctangent {
  static constexpr const char* name = "atan";
  static constexpr const char* doc = "the angle whose tangent is x";
  static constexpr auto formula = [](auto x) { return atan(x); };
  static constexpr Domain domain[] = {{"x", -3, 3}};
};
struct Arctangent2 {
  static constexpr const char* name = "atan2";
  static constexpr const char* doc = "the angle of the point (x, y)";
  static constexpr auto formula = [](auto y, auto x) { return atan2(y, x); };
  static constexpr Domain domain[] = {{"y", -2, 2}, {"x", 0.5, 2}};
};
}  // namespace formulas

/// The sine of an angle in radians.
inline Tensor sin(Arg x) { return detail::apply_formula<formulas::Sine>(x); }
/// The cosine of an angle in radians.
inline Tensor cos(Arg x) { return detail::apply_formula<formulas::Cosine>(x); }
/// The tangent of an angle in radians.
inline Tensor tan(Arg x) { return detail::apply_formula<formulas::Tangent>(x); }
/// The angle from -pi/2 to pi/2 whose sine is x; NaN for |x| > 1. The gradient at -1 and 1 is infinite.
inline Tensor asin(Arg x) { return detail::apply_formula<formulas::Arcsine>(x); }
/// The angle from 0 to pi whose cosine is x; NaN for |x| > 1. The gradient at -1 and 1 is infinite.
inline Tensor acos(Arg x) { return detail::apply_formula<formulas::Arccosine>(x); }
/// The angle from -pi/2 to pi/2 whose tangent is x.
inline Tensor atan(Arg x) { return detail::apply_formula<formulas::Arctangent>(x); }
/// The angle from -pi to pi of the point (x, y), in every quadrant; 0 for y = x = 0, where the gradient is NaN.
inline Tensor atan2(Arg y, Arg x) { return detail::apply_formula<formulas::Arctangent2>(y, x); }

// ---- hyperbolic functions ----

namespace formulas {
struct HyperbolicSine {
  static constexpr const char* name = "sinh";
  static constexpr const char* doc = "the hyperbolic sine";
  static constexpr auto formula = [](auto x) { return sinh(x); };
  static constexpr Domain domain[] = {{"x", -2, 2}};
};
struct HyperbolicCosine {
  static constexpr const char* name = "cosh";
  static constexpr const char* doc = "the hyperbolic cosine";
  static constexpr auto formula = [](auto x) { return cosh(x); };
  static constexpr Domain domain[] = {{"x", -2, 2}};
};
struct HyperbolicTangent {
  static constexpr const char* name = "tanh";
  static constexpr const char* doc = "the hyperbolic tangent";
  static constexpr auto formula = [](auto x) { return tanh(x); };
  static constexpr Domain domain[] = {{"x", -2, 2}};
};
}  // namespace formulas

/// (e^x - e^-x) / 2
inline Tensor sinh(Arg x) { return detail::apply_formula<formulas::HyperbolicSine>(x); }
/// (e^x + e^-x) / 2
inline Tensor cosh(Arg x) { return detail::apply_formula<formulas::HyperbolicCosine>(x); }
/// The hyperbolic tangent, sinh(x) / cosh(x).
inline Tensor tanh(Arg x) { return detail::apply_formula<formulas::HyperbolicTangent>(x); }

// ---- the error function ----

namespace formulas {
struct ErrorFunction {
  static constexpr const char* name = "erf";
  static constexpr const char* doc = "the error function";
  static constexpr auto formula = [](auto x) { return erf(x); };
  static constexpr Domain domain[] = {{"x", -2, 2}};
};
struct ErrorFunctionComplement {
  static constexpr const char* name = "erfc";
  static constexpr const char* doc = "one minus the error function";
  static constexpr auto formula = [](auto x) { return erfc(x); };
  static constexpr Domain domain[] = {{"x", -2, 2}};
};
}  // namespace formulas

/// The integral of 2 / sqrt(pi) e^(-t^2) from 0 to x.
inline Tensor erf(Arg x) { return detail::apply_formula<formulas::ErrorFunction>(x); }
/// 1 - erf(x), accurate for large x
inline Tensor erfc(Arg x) { return detail::apply_formula<formulas::ErrorFunctionComplement>(x); }

using ElementaryOps =
    OpList<formulas::Reciprocal, formulas::Square, formulas::SquareRoot, formulas::ReciprocalRoot,
           formulas::Exponential, formulas::Exponential2, formulas::ExponentialMinus1, formulas::Logarithm,
           formulas::Logarithm2, formulas::Logarithm1Plus, formulas::Sine, formulas::Cosine, formulas::Tangent,
           formulas::Arcsine, formulas::Arccosine, formulas::Arctangent, formulas::Arctangent2,
           formulas::HyperbolicSine, formulas::HyperbolicCosine, formulas::HyperbolicTangent, formulas::ErrorFunction,
           formulas::ErrorFunctionComplement>;

}  // namespace tapegrad
