#pragma once
// What each primitive computes, on one batch. The direct loops and the accumulator machine both evaluate these
// expressions, so that an element's bits do not depend on which of them runs.
#include "autograd/kernels/primitive.h"
#include "autograd/kernels/vector_exponential.h"
#include "autograd/kernels/vector_trigonometry.h"

namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME {
namespace {

template <class T>
using V = Batch<T, TargetArch>;

template <Primitive primitive, class T>
TAPEGRAD_INLINE V<T> compute(V<T> a) {
  const V<T> zero(T(0));
  const V<T> one(T(1));
  if constexpr (primitive == Primitive::copy) {
    return a;
  } else if constexpr (primitive == Primitive::negate) {
    return math::xor_bits(a, V<T>(T(-0.0)));
  } else if constexpr (primitive == Primitive::abs) {
    return math::absolute(a);
  } else if constexpr (primitive == Primitive::sign) {
    return select(a > zero, one, select(a < zero, V<T>(T(-1)), a));
  } else if constexpr (primitive == Primitive::floor) {
    return xsimd::floor(a);
  } else if constexpr (primitive == Primitive::ceil) {
    return xsimd::ceil(a);
  } else if constexpr (primitive == Primitive::round) {
    return xsimd::nearbyint(a);
  } else if constexpr (primitive == Primitive::relu) {
    return select(a <= zero, zero, a);
  } else if constexpr (primitive == Primitive::sqrt) {
    return xsimd::sqrt(a);
  } else if constexpr (primitive == Primitive::rsqrt) {
    return one / xsimd::sqrt(a);
  } else if constexpr (primitive == Primitive::reciprocal) {
    return one / a;
  } else if constexpr (primitive == Primitive::exp) {
    return math::exp(a);
  } else if constexpr (primitive == Primitive::expm1) {
    return math::expm1(a);
  } else if constexpr (primitive == Primitive::log) {
    return math::log(a);
  } else if constexpr (primitive == Primitive::log1p) {
    return math::log1p(a);
  } else if constexpr (primitive == Primitive::tanh) {
    return math::tanh(a);
  } else if constexpr (primitive == Primitive::sigmoid) {
    return math::sigmoid(a);
  } else if constexpr (primitive == Primitive::erf) {
    return math::erf(a);
  } else if constexpr (primitive == Primitive::sin) {
    return math::sin(a);
  } else if constexpr (primitive == Primitive::cos) {
    return math::cos(a);
  } else if constexpr (primitive == Primitive::softplus) {
    return math::softplus(a);
  } else if constexpr (primitive == Primitive::exp2) {
    return math::exp2(a);
  } else if constexpr (primitive == Primitive::log2) {
    return math::log2(a);
  } else if constexpr (primitive == Primitive::sinh) {
    return math::sinh(a);
  } else if constexpr (primitive == Primitive::cosh) {
    return math::cosh(a);
  } else if constexpr (primitive == Primitive::erfc) {
    return math::erfc(a);
  } else if constexpr (primitive == Primitive::tan) {
    return math::tan(a);
  } else if constexpr (primitive == Primitive::asin) {
    return math::asin(a);
  } else if constexpr (primitive == Primitive::acos) {
    return math::acos(a);
  } else {
    static_assert(primitive == Primitive::atan);
    return math::atan(a);
  }
}

template <Primitive primitive, class T>
TAPEGRAD_INLINE V<T> compute(V<T> a, V<T> b) {
  const V<T> zero(T(0));
  const V<T> one(T(1));
  if constexpr (primitive == Primitive::add) {
    return a + b;
  } else if constexpr (primitive == Primitive::subtract) {
    return a - b;
  } else if constexpr (primitive == Primitive::multiply) {
    return a * b;
  } else if constexpr (primitive == Primitive::divide) {
    return a / b;
  } else if constexpr (primitive == Primitive::minimum) {
    return minimum(a, b);
  } else if constexpr (primitive == Primitive::maximum) {
    return maximum(a, b);
  } else if constexpr (primitive == Primitive::power) {
    return math::pow(a, b);
  } else if constexpr (primitive == Primitive::atan2) {
    return math::atan2(a, b);
  } else if constexpr (primitive == Primitive::less) {
    return select(a < b, one, zero);
  } else if constexpr (primitive == Primitive::less_equal) {
    return select(a <= b, one, zero);
  } else if constexpr (primitive == Primitive::equal) {
    return select(a == b, one, zero);
  } else if constexpr (primitive == Primitive::not_equal) {
    return select(a == b, zero, one);
  } else if constexpr (primitive == Primitive::tanh_derivative) {
    return a * fnmadd(b, b, one);
  } else if constexpr (primitive == Primitive::sigmoid_derivative) {
    return a * fnmadd(b, b, b);
  } else if constexpr (primitive == Primitive::at_least) {
    return select(b > a, b, a);  // one instruction, where the processor's own maximum is this choice
  } else {
    static_assert(primitive == Primitive::at_most);
    return select(b < a, b, a);
  }
}

template <Primitive primitive, class T>
TAPEGRAD_INLINE V<T> compute(V<T> a, V<T> b, V<T> c) {
  const V<T> zero(T(0));
  if constexpr (primitive == Primitive::fma) {
    return fmadd(a, b, c);
  } else if constexpr (primitive == Primitive::fms) {
    return fmadd(a, b, -c);
  } else if constexpr (primitive == Primitive::fnma) {
    return fnmadd(a, b, c);
  } else if constexpr (primitive == Primitive::select) {
    return select(a == zero, c, b);
  } else {
    static_assert(primitive == Primitive::scale_unless_positive);
    return b * select(a > zero, V<T>(T(1)), c);
  }
}

template <Primitive primitive, class T>
TAPEGRAD_INLINE V<T> compute(V<T> a, V<T> b, V<T> c, V<T> d) {
  if constexpr (primitive == Primitive::select_less) {
    return select(a < b, c, d);
  } else if constexpr (primitive == Primitive::select_less_equal) {
    return select(a <= b, c, d);
  } else {
    static_assert(primitive == Primitive::zero_outside);
    return select((a <= b) | (c <= a), V<T>(T(0)), d);
  }
}

/// Long expressions fill the processor by themselves; unrolling them would only cost code.
constexpr int unroll_of(Primitive primitive) {
  switch (primitive) {
    case Primitive::exp:
    case Primitive::tanh:
    case Primitive::sigmoid:
      return 2;
    case Primitive::expm1:
    case Primitive::log:
    case Primitive::log1p:
    case Primitive::erf:
    case Primitive::sin:
    case Primitive::cos:
    case Primitive::softplus:
    case Primitive::exp2:
    case Primitive::log2:
    case Primitive::sinh:
    case Primitive::cosh:
    case Primitive::erfc:
    case Primitive::tan:
    case Primitive::asin:
    case Primitive::acos:
    case Primitive::atan:
    case Primitive::power:
    case Primitive::atan2:
      return 1;
    default:
      return 4;
  }
}

}  // namespace
}  // namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME
