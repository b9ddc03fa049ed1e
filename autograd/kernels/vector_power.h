// pow on batches of f32 and f64: a logarithm in twice the precision, times the exponent, and exp.
#pragma once

#include "autograd/kernels/vector_math.h"

namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME::math {

/// A sum of two numbers, the second one below the rounding of the first.
template <class T, class Arch>
struct Double {
  Batch<T, Arch> high;
  Batch<T, Arch> low;
};

/// a + b exactly, for |a| >= |b| or a = 0.
template <class T, class Arch>
TAPEGRAD_INLINE Double<T, Arch> exact_sum(Batch<T, Arch> a, Batch<T, Arch> b) {
  const Batch<T, Arch> high = a + b;
  return {high, b - (high - a)};
}

/// a * b - rounded, where rounded = a * b.
template <class T, class Arch>
TAPEGRAD_INLINE Batch<T, Arch> product_error(Batch<T, Arch> a, Batch<T, Arch> b, Batch<T, Arch> rounded) {
#if defined(__FMA__) || defined(__AVX512F__)
  return fmadd(a, b, -rounded);
#else
  // Dekker, 1971: products of halves are exact.
  const Batch<T, Arch> splitter(sizeof(T) == 4 ? T(4097) : T(134217729));
  const Batch<T, Arch> a_scaled = a * splitter;
  const Batch<T, Arch> a_high = a_scaled - (a_scaled - a);
  const Batch<T, Arch> b_scaled = b * splitter;
  const Batch<T, Arch> b_high = b_scaled - (b_scaled - b);
  const Batch<T, Arch> a_low = a - a_high;
  const Batch<T, Arch> b_low = b - b_high;
  return ((a_high * b_high - rounded) + a_high * b_low + a_low * b_high) + a_low * b_low;
#endif
}

/// dividend - quotient * divisor without rounding, for a rounded quotient.
template <class T, class Arch>
TAPEGRAD_INLINE Batch<T, Arch> division_remainder(Batch<T, Arch> dividend, Batch<T, Arch> divisor,
                                                  Batch<T, Arch> quotient) {
#if defined(__FMA__) || defined(__AVX512F__)
  return fnmadd(quotient, divisor, dividend);
#else
  const Batch<T, Arch> product = quotient * divisor;
  return (dividend - product) - product_error(quotient, divisor, product);
#endif
}

template <class T, class Arch>
TAPEGRAD_INLINE Double<T, Arch> exact_product(Batch<T, Arch> a, Batch<T, Arch> b) {
  const Batch<T, Arch> high = a * b;
  return {high, product_error(a, b, high)};
}

/// log(x) for positive finite x to about one and a half times the precision of T.
template <class T, class Arch>
TAPEGRAD_INLINE Double<T, Arch> log_double(Batch<T, Arch> x) {
  using F = Format<T>;
  using V = Batch<T, Arch>;
  const auto reduced = reduce_log_denormal(x);
  const V f = reduced.m - V(T(1));
  const V d = reduced.m + V(T(1));
  const V d_low = f - (d - V(T(2)));
  const V s = f / d;
  const V s_low = fnmadd(s, d_low, division_remainder(f, d, s)) / d;
  const auto z = exact_product(s, s);
  const V z_low = fmadd(s + s, s_low, z.low);
  // 2 s + 2/3 s z, both in two parts; the rest of the series in one.
  const auto cube = exact_product(s, z.high);
  const V cube_low = fmadd(s, z_low, fmadd(s_low, z.high, cube.low));
  constexpr T two_thirds = T(2) / T(3);
  constexpr T two_thirds_low = static_cast<T>(2.0L / 3.0L - static_cast<long double>(two_thirds));
  const auto third = exact_product(cube.high, V(two_thirds));
  const V third_low = fmadd(cube.high, V(two_thirds_low), fmadd(cube_low, V(two_thirds), third.low));
  const V rest = s * z.high * z.high * polynomial(z.high, F::log_tail);
  const auto log_m = exact_sum(s + s, third.high);
  const V log_m_low = log_m.low + (s_low + s_low + third_low + rest);
  const auto sum = exact_sum(reduced.k * V(F::ln2[0]), log_m.high);
  const V low = sum.low + fmadd(reduced.k, V(F::ln2[1]), log_m_low);
  return exact_sum(sum.high, low);
}

/// Infinite and NaN operands: lane by lane, by the C library.
template <class T, class Arch>
__attribute__((noinline)) Batch<T, Arch> pow_specials(Batch<T, Arch> x, Batch<T, Arch> y, Batch<T, Arch> result) {
  alignas(64) T x_lane[Batch<T, Arch>::size];
  alignas(64) T y_lane[Batch<T, Arch>::size];
  alignas(64) T value[Batch<T, Arch>::size];
  x.store_aligned(x_lane);
  y.store_aligned(y_lane);
  result.store_aligned(value);
  for (std::size_t i = 0; i < Batch<T, Arch>::size; ++i) {
    const bool finite = x_lane[i] - x_lane[i] == T(0) && y_lane[i] - y_lane[i] == T(0);
    if (!finite) {
      value[i] = static_cast<T>(::pow(static_cast<double>(x_lane[i]), static_cast<double>(y_lane[i])));
    }
  }
  return Batch<T, Arch>::load_aligned(value);
}

/// The C library's pow for all signs, zeros and infinities.
template <class T, class Arch>
TAPEGRAD_INLINE Batch<T, Arch> pow(Batch<T, Arch> x, Batch<T, Arch> y) {
  using F = Format<T>;
  using V = Batch<T, Arch>;
  const V zero(T(0));
  const V one(T(1));
  const auto logarithm = log_double(math::absolute(x));
  const V exponent = at_least(at_most(y, F::pow_limit), -F::pow_limit);
  const V product = exponent * logarithm.high;
  const V product_low = fmadd(exponent, logarithm.low, product_error(exponent, logarithm.high, product));
  const auto in_range = product >= V(F::exp_low) && product <= V(F::exp_high);
  const auto reduced = reduce_exp(at_least(at_most(product, F::exp_high), F::exp_low));
  const V r = reduced.r + select(in_range, product_low, zero);
  V result = math::scale(expm1_reduced(r) + one, reduced.k);

  result = select(x == zero, select(y < zero, V(infinity<T>), zero), result);
  const auto is_integer = xsimd::floor(y) == y;
  const V half = V(T(0.5)) * y;
  const auto is_odd = is_integer && xsimd::floor(half) != half;
  result = select(is_odd, or_bits(result, sign_bit(x)), result);
  result = select(x < zero && !is_integer, V(not_a_number<T>), result);
  result = select(y == zero || x == one, one, result);

  const auto finite = x - x == zero && y - y == zero;
  if (xsimd::all(finite)) [[likely]] {
    return result;
  }
  return pow_specials(x, y, result);
}

}  // namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME::math
