#pragma once
// Arithmetic, comparisons and choices, element by element; see pointwise.h for what all of them have in common.
#include <limits>

#include "autograd/ops/formula.h"

namespace tapegrad {

// ---- arithmetic ----

namespace formulas {
struct Add {
  static constexpr const char* name = "add";
  static constexpr const char* doc = "the sum of a and b";
  static constexpr auto formula = [](auto a, auto b) { return a + b; };
  static constexpr Domain domain[] = {{"a", -2, 2}, {"b", -2, 2}};
};
struct Subtract {
  static constexpr const char* name = "sub";
  static constexpr const char* doc = "a minus b";
  static constexpr auto formula = [](auto a, auto b) { return a - b; };
  static constexpr Domain domain[] = {{"a", -2, 2}, {"b", -2, 2}};
};
struct Multiply {
  static constexpr const char* name = "mul";
  static constexpr const char* doc = "the product of a and b, element by element";
  static constexpr auto formula = [](auto a, auto b) { return a * b; };
  static constexpr Domain domain[] = {{"a", -2, 2}, {"b", -2, 2}};
};
struct Divide {
  static constexpr const char* name = "div";
  static constexpr const char* doc = "a divided by b";
  static constexpr auto formula = [](auto a, auto b) { return a / b; };
  static constexpr Domain domain[] = {{"a", -2, 2}, {"b", 0.5, 2}};
};
struct Negate {
  static constexpr const char* name = "neg";
  static constexpr const char* doc = "minus x";
  static constexpr auto formula = [](auto x) { return -x; };
  static constexpr Domain domain[] = {{"x", -2, 2}};
};
struct Power {
  static constexpr const char* name = "pow";
  static constexpr const char* doc = "a to the power of b";
  static constexpr auto formula = [](auto a, auto b) { return pow(a, b); };
  static constexpr Domain domain[] = {{"a", 0.5, 2}, {"b", -2, 2}};
};
struct Lerp {
  static constexpr const char* name = "lerp";
  static constexpr const char* doc = "a + t (b - a)";
  static constexpr auto formula = [](auto a, auto b, auto t) { return a + t * (b - a); };
  static constexpr Domain domain[] = {{"a", -2, 2}, {"b", -2, 2}, {"t", 0, 1}};
};
}  // namespace formulas

/// a + b
inline Tensor operator+(Arg a, Arg b) { return detail::apply_formula<formulas::Add>(a, b); }
/// a - b
inline Tensor operator-(Arg a, Arg b) { return detail::apply_formula<formulas::Subtract>(a, b); }
/// a * b, element by element
inline Tensor operator*(Arg a, Arg b) { return detail::apply_formula<formulas::Multiply>(a, b); }
/// a / b; integers give f32
inline Tensor operator/(Arg a, Arg b) { return detail::apply_formula<formulas::Divide>(a, b); }
/// -x
inline Tensor operator-(Arg x) { return detail::apply_formula<formulas::Negate>(x); }
/// base^exponent. The gradient with respect to the exponent needs a positive base.
inline Tensor pow(Arg base, Arg exponent) { return detail::apply_formula<formulas::Power>(base, exponent); }
/// a + t (b - a)
inline Tensor lerp(Arg a, Arg b, Arg t) { return detail::apply_formula<formulas::Lerp>(a, b, t); }

// x += y makes x a handle to x + y: other handles to the old tensor keep its values.
inline Tensor& operator+=(Tensor& a, Arg b) {
  return a = detail::apply_formula<formulas::Add>(Arg(std::move(a), b.at()), b);
}
inline Tensor& operator-=(Tensor& a, Arg b) {
  return a = detail::apply_formula<formulas::Subtract>(Arg(std::move(a), b.at()), b);
}
inline Tensor& operator*=(Tensor& a, Arg b) {
  return a = detail::apply_formula<formulas::Multiply>(Arg(std::move(a), b.at()), b);
}
inline Tensor& operator/=(Tensor& a, Arg b) {
  return a = detail::apply_formula<formulas::Divide>(Arg(std::move(a), b.at()), b);
}

// ---- parts of a number ----

namespace formulas {  // the domains lie between steps, across which a difference says nothing
struct Absolute {
  static constexpr const char* name = "abs";
  static constexpr const char* doc = "x without its sign";
  static constexpr auto formula = [](auto x) { return abs(x); };
  static constexpr Domain domain[] = {{"x", -2, 2}};
};
struct Sign {
  static constexpr const char* name = "sign";
  static constexpr const char* doc = "-1, 0 or 1";
  static constexpr auto formula = [](auto x) { return sign(x); };
  static constexpr Domain domain[] = {{"x", 0.2, 2}};
};
struct Floor {
  static constexpr const char* name = "floor";
  static constexpr const char* doc = "the largest integer that is not above x";
  static constexpr auto formula = [](auto x) { return floor(x); };
  static constexpr Domain domain[] = {{"x", 1.1, 1.9}};
};
struct Ceil {
  static constexpr const char* name = "ceil";
  static constexpr const char* doc = "the smallest integer that is not below x";
  static constexpr auto formula = [](auto x) { return ceil(x); };
  static constexpr Domain domain[] = {{"x", 1.1, 1.9}};
};
struct Round {
  static constexpr const char* name = "round";
  static constexpr const char* doc = "the nearest integer, an even one for halves";
  static constexpr auto formula = [](auto x) { return round(x); };
  static constexpr Domain domain[] = {{"x", 1.6, 2.4}};
};
}  // namespace formulas

/// |x|; the gradient at 0 is 0
inline Tensor abs(Arg x) { return detail::apply_formula<formulas::Absolute>(x); }
/// -1, 0 or 1; NaN for NaN. The gradient is 0.
inline Tensor sign(Arg x) { return detail::apply_formula<formulas::Sign>(x); }
/// The largest integer that is not above x. The gradient is 0.
inline Tensor floor(Arg x) { return detail::apply_formula<formulas::Floor>(x); }
/// The smallest integer that is not below x. The gradient is 0.
inline Tensor ceil(Arg x) { return detail::apply_formula<formulas::Ceil>(x); }
/// The nearest integer, halves to the even one as in NumPy. The gradient is 0.
inline Tensor round(Arg x) { return detail::apply_formula<formulas::Round>(x); }

// ---- choices ----

namespace formulas {
struct Maximum {
  static constexpr const char* name = "maximum";
  static constexpr const char* doc = "the larger of a and b";
  static constexpr auto formula = [](auto a, auto b) { return maximum(a, b); };
  static constexpr Domain domain[] = {{"a", -2, 2}, {"b", -2, 2}};
};
struct Minimum {
  static constexpr const char* name = "minimum";
  static constexpr const char* doc = "the smaller of a and b";
  static constexpr auto formula = [](auto a, auto b) { return minimum(a, b); };
  static constexpr Domain domain[] = {{"a", -2, 2}, {"b", -2, 2}};
};
struct Clamp {
  static constexpr const char* name = "clamp";
  static constexpr const char* doc = "x, but at least min and at most max";
  static constexpr auto formula = [](auto x, auto min, auto max) {
    return where(x < min, min, where(x > max, max, x));
  };
  static constexpr Domain domain[] = {{"x", -2, 2}, {"min", -1.5, -0.5}, {"max", 0.5, 1.5}};
};
struct Where {
  static constexpr const char* name = "where";
  static constexpr const char* doc = "a where the condition holds, b elsewhere";
  static constexpr auto formula = [](auto condition, auto a, auto b) { return where(condition != 0, a, b); };
  static constexpr Domain domain[] = {{"condition", 0, 1}, {"a", -2, 2}, {"b", -2, 2}};
};
}  // namespace formulas

/// The larger of a and b; NaN if either is. Where they are equal each gets half of the gradient.
inline Tensor maximum(Arg a, Arg b) { return detail::apply_formula<formulas::Maximum>(a, b); }
/// The smaller of a and b; NaN if either is. Where they are equal each gets half of the gradient.
inline Tensor minimum(Arg a, Arg b) { return detail::apply_formula<formulas::Minimum>(a, b); }
struct ClampOptions {
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
};
/// x where min <= x <= max, else the bound that it passed: `clamp(x, {.min = 0})`. NaN stays NaN. The gradient of x is
/// that of the result from min to max, the bounds included, and 0 outside. Throws when min > max.
Tensor clamp(Arg x, const ClampOptions& options);
/// condition ? a : b. The gradient goes to the branch that was taken.
inline Tensor where(Arg condition, Arg a, Arg b) { return detail::apply_formula<formulas::Where>(condition, a, b); }

// ---- comparisons ----

namespace formulas {
struct Less {
  static constexpr const char* name = "less";
  static constexpr const char* doc = "true where a is less than b";
  static constexpr bool is_condition = true;
  static constexpr auto formula = [](auto a, auto b) { return (a < b).mask(); };
  static constexpr Domain domain[] = {{"a", -2, 2}, {"b", -2, 2}};
};
struct LessEqual {
  static constexpr const char* name = "less_equal";
  static constexpr const char* doc = "true where a is at most b";
  static constexpr bool is_condition = true;
  static constexpr auto formula = [](auto a, auto b) { return (a <= b).mask(); };
  static constexpr Domain domain[] = {{"a", -2, 2}, {"b", -2, 2}};
};
struct Greater {
  static constexpr const char* name = "greater";
  static constexpr const char* doc = "true where a is greater than b";
  static constexpr bool is_condition = true;
  static constexpr auto formula = [](auto a, auto b) { return (a > b).mask(); };
  static constexpr Domain domain[] = {{"a", -2, 2}, {"b", -2, 2}};
};
struct GreaterEqual {
  static constexpr const char* name = "greater_equal";
  static constexpr const char* doc = "true where a is at least b";
  static constexpr bool is_condition = true;
  static constexpr auto formula = [](auto a, auto b) { return (a >= b).mask(); };
  static constexpr Domain domain[] = {{"a", -2, 2}, {"b", -2, 2}};
};
struct Equal {
  static constexpr const char* name = "equal";
  static constexpr const char* doc = "true where a and b are equal";
  static constexpr bool is_condition = true;
  static constexpr auto formula = [](auto a, auto b) { return (a == b).mask(); };
  static constexpr Domain domain[] = {{"a", -2, 2}, {"b", -2, 2}};
};
struct NotEqual {
  static constexpr const char* name = "not_equal";
  static constexpr const char* doc = "true where a and b differ";
  static constexpr bool is_condition = true;
  static constexpr auto formula = [](auto a, auto b) { return (a != b).mask(); };
  static constexpr Domain domain[] = {{"a", -2, 2}, {"b", -2, 2}};
};
}  // namespace formulas

// Comparisons give booleans, and no gradient. NaN is unequal to everything.
inline Tensor operator<(Arg a, Arg b) { return detail::apply_formula<formulas::Less>(a, b); }
inline Tensor operator<=(Arg a, Arg b) { return detail::apply_formula<formulas::LessEqual>(a, b); }
inline Tensor operator>(Arg a, Arg b) { return detail::apply_formula<formulas::Greater>(a, b); }
inline Tensor operator>=(Arg a, Arg b) { return detail::apply_formula<formulas::GreaterEqual>(a, b); }
inline Tensor operator==(Arg a, Arg b) { return detail::apply_formula<formulas::Equal>(a, b); }
inline Tensor operator!=(Arg a, Arg b) { return detail::apply_formula<formulas::NotEqual>(a, b); }

using ArithmeticOps =
    OpList<formulas::Add, formulas::Subtract, formulas::Multiply, formulas::Divide, formulas::Negate, formulas::Power,
           formulas::Lerp, formulas::Absolute, formulas::Sign, formulas::Floor, formulas::Ceil, formulas::Round,
           formulas::Maximum, formulas::Minimum, formulas::Clamp, formulas::Where, formulas::Less, formulas::LessEqual,
           formulas::Greater, formulas::GreaterEqual, formulas::Equal, formulas::NotEqual>;

}  // namespace tapegrad
