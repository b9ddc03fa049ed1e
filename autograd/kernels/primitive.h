// The primitives that a pointwise program is made of. Every instruction set has one loop per primitive and dtype;
// `autograd/ops/program.h` builds, differentiates and runs programs of them. No SIMD here.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tapegrad::kernels {

enum class Primitive : std::uint8_t {
  // One operand, a.
  copy,
  negate,
  abs,
  sign,  // -1, 0 or 1
  floor,
  ceil,
  round,  // half to even
  relu,   // a <= 0 ? 0 : a, so that NaN stays NaN
  sqrt,
  rsqrt,  // 1 / sqrt(a)
  reciprocal,
  exp,
  expm1,
  log,
  log1p,
  tanh,
  sigmoid,
  erf,
  sin,
  cos,
  softplus,  // log(1 + exp(a))
  exp2,
  log2,
  sinh,
  cosh,
  erfc,
  tan,
  asin,
  acos,
  atan,
  // Two operands, a and b.
  add,
  subtract,
  multiply,
  divide,
  minimum,  // NaN if either is NaN
  maximum,
  power,
  atan2,  // the angle of the point (b, a)
  less,   // comparisons give 1 or 0
  less_equal,
  equal,
  not_equal,
  tanh_derivative,     // a * (1 - b * b): b is the value of tanh
  sigmoid_derivative,  // a * (b - b * b): b is the value of sigmoid
  at_least,            // a < b ? b : a
  at_most,             // b < a ? b : a
  // Three operands, a, b and c.
  fma,                    // a * b + c
  fms,                    // a * b - c
  fnma,                   // c - a * b
  select,                 // a != 0 ? b : c
  scale_unless_positive,  // a > 0 ? b : b * c
  // Four operands, a, b, c and d.
  select_less,        // a < b ? c : d
  select_less_equal,  // a <= b ? c : d
  zero_outside,       // a <= b || c <= a ? 0 : d
};

inline constexpr std::size_t primitive_count = static_cast<std::size_t>(Primitive::zero_outside) + 1;

inline constexpr int most_operands = 4;

constexpr int arity(Primitive primitive) {
  if (primitive < Primitive::add) return 1;
  if (primitive < Primitive::fma) return 2;
  return primitive < Primitive::select_less ? 3 : 4;
}

constexpr const char* name(Primitive primitive) {
  constexpr const char* names[primitive_count] = {
      "copy",
      "negate",
      "abs",
      "sign",
      "floor",
      "ceil",
      "round",
      "relu",
      "sqrt",
      "rsqrt",
      "reciprocal",
      "exp",
      "expm1",
      "log",
      "log1p",
      "tanh",
      "sigmoid",
      "erf",
      "sin",
      "cos",
      "softplus",
      "exp2",
      "log2",
      "sinh",
      "cosh",
      "erfc",
      "tan",
      "asin",
      "acos",
      "atan",
      "add",
      "subtract",
      "multiply",
      "divide",
      "minimum",
      "maximum",
      "power",
      "atan2",
      "less",
      "less_equal",
      "equal",
      "not_equal",
      "tanh_derivative",
      "sigmoid_derivative",
      "at_least",
      "at_most",
      "fma",
      "fms",
      "fnma",
      "select",
      "scale_unless_positive",
      "select_less",
      "select_less_equal",
      "zero_outside",
  };
  return names[static_cast<std::size_t>(primitive)];
}

}  // namespace tapegrad::kernels
