// Relatives of exp and log on batches of f32 and f64: to base 2, hyperbolic, and the tail of the bell curve.
#pragma once

#include "autograd/kernels/vector_power.h"

namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME::math {

/// Exact for integers.
template <class T, class Arch>
TAPEGRAD_INLINE Batch<T, Arch> exp2(Batch<T, Arch> x) {
  using F = Format<T>;
  using V = Batch<T, Arch>;
  const V rounder(F::rounder);
  const V c = at_least(at_most(x, F::exp2_high), F::exp2_low);
  const V k = (c + rounder) - rounder;
  const V r = (c - k) * V(T(0.69314718055994530942));
  return math::scale(expm1_reduced(r) + V(T(1)), k);
}

/// Exact for powers of 2.
template <class T, class Arch>
TAPEGRAD_INLINE Batch<T, Arch> log2(Batch<T, Arch> x) {
  using V = Batch<T, Arch>;
  const V zero(T(0));
  const auto reduced = reduce_log_denormal(x);
  const V log_m = log_reduced(zero, reduced.m - V(T(1)), zero);
  return log_specials(x, fmadd(log_m, V(T(1.4426950408889634074)), reduced.k));
}

/// exp(a) / 2, which is finite where cosh(a) is.
template <class T, class Arch>
TAPEGRAD_INLINE Batch<T, Arch> half_exp(Batch<T, Arch> a) {
  using V = Batch<T, Arch>;
  const auto reduced = reduce_exp(at_most(a, Format<T>::cosh_high));
  return math::scale(expm1_reduced(reduced.r) + V(T(1)), reduced.k - V(T(1)));
}

template <class T, class Arch>
TAPEGRAD_INLINE Batch<T, Arch> cosh(Batch<T, Arch> x) {
  const Batch<T, Arch> e = half_exp(math::absolute(x));
  return e + Batch<T, Arch>(T(0.25)) / e;
}

template <class T, class Arch>
TAPEGRAD_INLINE Batch<T, Arch> sinh(Batch<T, Arch> x) {
  using V = Batch<T, Arch>;
  const V a = math::absolute(x);
  const V e = half_exp(a);
  const V large = or_bits(e - V(T(0.25)) / e, sign_bit(x));
  const V t = x * x;
  return select(a < V(T(1)), fmadd(x * t, polynomial(t, Format<T>::sinh), x), large);
}

/// 1 - erf(x) without cancellation: exp(-a^2) P(q) / (1 + 2 a) for a = |x|.
template <class T, class Arch>
TAPEGRAD_INLINE Batch<T, Arch> erfc(Batch<T, Arch> x) {
  using F = Format<T>;
  using V = Batch<T, Arch>;
  const V one(T(1));
  const V shift(F::erfc_shift);
  const V a = at_most(math::absolute(x), F::erfc_limit);
  // One division for 1 / (a + shift) and 1 / (1 + 2 a) would not be accurate enough.
  const V q = (a - shift) / (a + shift);
  const V square = a * a;
  const V square_low = product_error(a, a, square);
  const V bell = math::exp(-square);
  const V tail = fnmadd(bell, square_low, bell) * (polynomial(q, F::erfc) / fmadd(a, V(T(2)), one));
  const V result = select(x < V(T(0)), V(T(2)) - tail, tail);
  if constexpr (std::is_same_v<T, float>) {
    return select(x == V(T(0)), one, result);
  } else {
    // Where the two factors have opposite slopes, 1 - erf(x) rounds less often.
    const V erf = fmadd(x, polynomial(x * x, coefficients::erf_small_f64), x);
    return select(a < V(T(0.5)), one - erf, result);
  }
}

}  // namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME::math
