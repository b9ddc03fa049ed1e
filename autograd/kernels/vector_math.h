// Elementary functions on batches of f32 and f64, for every instruction set. All are exact at 0 and +-infinity, keep
// NaN, overflow to infinity and underflow gradually. tests/kernels/test_vector_math.cpp holds their largest errors.
//
// Call them qualified, math::exp(x): argument-dependent lookup would also find xsimd's.
#pragma once

#include <math.h>

#include "autograd/kernels/simd.h"
#include "autograd/kernels/vector_math_coefficients.h"

namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME::math {

namespace coefficients = tapegrad::kernels::math_coefficients;

// ---- the format of T ----

template <class T>
struct Format;

template <>
struct Format<float> {
  using Bits = std::uint32_t;
  static constexpr int mantissa_bits = 23;
  static constexpr int bias = 127;
  static constexpr Bits mantissa_mask = 0x007fffff;
  static constexpr Bits one = 0x3f800000;
  static constexpr Bits sqrt_half = 0x3f3504f3;
  static constexpr float smallest_normal = 0x1p-126F;
  static constexpr float rounder = 0x1.8p23F;  // adding it leaves the nearest integer in the low bits
  static constexpr float exp_low = -104.0F;    // exp is 0 below
  static constexpr float exp_high = 89.0F;     // and infinite above
  static constexpr float pow_limit = 0x1p32F;  // larger exponents overflow or underflow, unless the base is 1
  static constexpr float trigonometric_limit = 12000.0F;
  static constexpr auto& exp = coefficients::exp_f32;
  static constexpr auto& log = coefficients::log_f32;
  static constexpr auto& log_unit = coefficients::log_unit_f32;
  static constexpr auto& log_tail = coefficients::log_tail_f32;
  static constexpr auto& ln2 = coefficients::ln2_f32;
  static constexpr auto& sin = coefficients::sin_f32;
  static constexpr auto& cos = coefficients::cos_f32;
  static constexpr auto& half_pi = coefficients::half_pi_f32;
  static constexpr auto& pi = coefficients::pi_f32;
  static constexpr auto& sinh = coefficients::sinh_f32;
  static constexpr auto& atan = coefficients::atan_f32;
  static constexpr auto& asin = coefficients::asin_f32;
  static constexpr auto& erfc = coefficients::erfc_f32;
  static constexpr float erfc_shift = 2.0F;
  static constexpr float erfc_limit = 10.1F;  // erfc is 0 above
  static constexpr float exp2_low = -150.5F;  // exp2 is 0 below
  static constexpr float exp2_high = 129.0F;  // and infinite above
  static constexpr float cosh_high = 91.0F;   // sinh and cosh are infinite above
  static constexpr float large = 0x1p120F;
};

template <>
struct Format<double> {
  using Bits = std::uint64_t;
  static constexpr int mantissa_bits = 52;
  static constexpr int bias = 1023;
  static constexpr Bits mantissa_mask = 0x000fffffffffffff;
  static constexpr Bits one = 0x3ff0000000000000;
  static constexpr Bits sqrt_half = 0x3fe6a09e667f3bcd;
  static constexpr double smallest_normal = 0x1p-1022;
  static constexpr double rounder = 0x1.8p52;
  static constexpr double exp_low = -746.0;
  static constexpr double exp_high = 710.0;
  static constexpr double pow_limit = 0x1p64;
  static constexpr double trigonometric_limit = 1.5e6;
  static constexpr auto& exp = coefficients::exp_f64;
  static constexpr auto& log = coefficients::log_f64;
  static constexpr auto& log_unit = coefficients::log_unit_f64;
  static constexpr auto& log_tail = coefficients::log_tail_f64;
  static constexpr auto& ln2 = coefficients::ln2_f64;
  static constexpr auto& sin = coefficients::sin_f64;
  static constexpr auto& cos = coefficients::cos_f64;
  static constexpr auto& half_pi = coefficients::half_pi_f64;
  static constexpr auto& pi = coefficients::pi_f64;
  static constexpr auto& sinh = coefficients::sinh_f64;
  static constexpr auto& atan = coefficients::atan_f64;
  static constexpr auto& asin = coefficients::asin_f64;
  static constexpr auto& erfc = coefficients::erfc_f64;
  static constexpr double erfc_shift = 4.0;
  static constexpr double erfc_limit = 27.5;
  static constexpr double exp2_low = -1076.0;
  static constexpr double exp2_high = 1025.0;
  static constexpr double cosh_high = 712.0;
  static constexpr double large = 0x1p1000;
};

template <class T>
using Bits = typename Format<T>::Bits;

template <class T>
inline constexpr T infinity = std::numeric_limits<T>::infinity();

template <class T>
inline constexpr T not_a_number = std::numeric_limits<T>::quiet_NaN();

// ---- pieces ----

/// c[0] + c[1] t + c[2] t^2 + ...
template <class T, class Arch, std::size_t N>
TAPEGRAD_INLINE Batch<T, Arch> polynomial(Batch<T, Arch> t, const T (&c)[N]) {
  Batch<T, Arch> sum(c[N - 1]);
  static_for<static_cast<int>(N) - 1>(
      [&](auto i) TAPEGRAD_INLINE_LAMBDA { sum = fmadd(sum, t, Batch<T, Arch>(c[N - 2 - i])); });
  return sum;
}

template <class T, class Arch>
TAPEGRAD_INLINE Batch<T, Arch> absolute(Batch<T, Arch> x) {
  return bitcast<T>(bitcast<Bits<T>>(x) & Batch<Bits<T>, Arch>(~Bits<T>{0} >> 1));
}

template <class T, class Arch>
TAPEGRAD_INLINE Batch<T, Arch> sign_bit(Batch<T, Arch> x) {
  return bitcast<T>(bitcast<Bits<T>>(x) & Batch<Bits<T>, Arch>(~(~Bits<T>{0} >> 1)));
}

template <class T, class Arch>
TAPEGRAD_INLINE Batch<T, Arch> xor_bits(Batch<T, Arch> a, Batch<T, Arch> b) {
  return bitcast<T>(bitcast<Bits<T>>(a) ^ bitcast<Bits<T>>(b));
}

template <class T, class Arch>
TAPEGRAD_INLINE Batch<T, Arch> or_bits(Batch<T, Arch> a, Batch<T, Arch> b) {
  return bitcast<T>(bitcast<Bits<T>>(a) | bitcast<Bits<T>>(b));
}

// a < b ? a : b and a > b ? a : b, as one instruction where the processor has it: with a NaN, both give b.
#if defined(__SSE2__)
TAPEGRAD_INLINE __m128 lesser(__m128 a, __m128 b) { return _mm_min_ps(a, b); }
TAPEGRAD_INLINE __m128d lesser(__m128d a, __m128d b) { return _mm_min_pd(a, b); }
TAPEGRAD_INLINE __m128 greater(__m128 a, __m128 b) { return _mm_max_ps(a, b); }
TAPEGRAD_INLINE __m128d greater(__m128d a, __m128d b) { return _mm_max_pd(a, b); }
#endif
#if defined(__AVX__)
TAPEGRAD_INLINE __m256 lesser(__m256 a, __m256 b) { return _mm256_min_ps(a, b); }
TAPEGRAD_INLINE __m256d lesser(__m256d a, __m256d b) { return _mm256_min_pd(a, b); }
TAPEGRAD_INLINE __m256 greater(__m256 a, __m256 b) { return _mm256_max_ps(a, b); }
TAPEGRAD_INLINE __m256d greater(__m256d a, __m256d b) { return _mm256_max_pd(a, b); }
#endif
#if defined(__AVX512F__)
TAPEGRAD_INLINE __m512 lesser(__m512 a, __m512 b) { return _mm512_min_ps(a, b); }
TAPEGRAD_INLINE __m512d lesser(__m512d a, __m512d b) { return _mm512_min_pd(a, b); }
TAPEGRAD_INLINE __m512 greater(__m512 a, __m512 b) { return _mm512_max_ps(a, b); }
TAPEGRAD_INLINE __m512d greater(__m512d a, __m512d b) { return _mm512_max_pd(a, b); }
#endif

/// Keeps NaN, unlike xsimd's min and max.
template <class T, class Arch>
TAPEGRAD_INLINE Batch<T, Arch> at_most(Batch<T, Arch> x, T limit) {
  const Batch<T, Arch> bound(limit);
  if constexpr (requires { lesser(bound.data, x.data); }) {
    return lesser(bound.data, x.data);
  } else {
    return select(bound < x, bound, x);
  }
}

template <class T, class Arch>
TAPEGRAD_INLINE Batch<T, Arch> at_least(Batch<T, Arch> x, T limit) {
  const Batch<T, Arch> bound(limit);
  if constexpr (requires { greater(bound.data, x.data); }) {
    return greater(bound.data, x.data);
  } else {
    return select(bound > x, bound, x);
  }
}

/// 2^k for integers k whose power is a normal number; `k_rounded` is k + rounder.
template <class T, class Arch>
TAPEGRAD_INLINE Batch<T, Arch> power_of_two(Batch<T, Arch> k_rounded) {
  using F = Format<T>;
  const Batch<T, Arch> biased = k_rounded + Batch<T, Arch>(static_cast<T>(F::bias));
  return bitcast<T>(bitcast<Bits<T>>(biased) << F::mantissa_bits);
}

/// x * 2^k for any integer k that exp can meet, rounded once.
template <class T, class Arch>
TAPEGRAD_INLINE Batch<T, Arch> scale(Batch<T, Arch> x, Batch<T, Arch> k) {
#if defined(__AVX512F__)
  if constexpr (has_avx512<Arch> && std::is_same_v<T, float>) {
    return Batch<T, Arch>(_mm512_scalef_ps(x.data, k.data));
  } else if constexpr (has_avx512<Arch> && std::is_same_v<T, double>) {
    return Batch<T, Arch>(_mm512_scalef_pd(x.data, k.data));
  } else
#endif
  {
    // In two steps, because 2^k itself may be infinite or denormal where the product is not.
    const Batch<T, Arch> rounder(Format<T>::rounder);
    const Batch<T, Arch> half_rounded = fmadd(k, Batch<T, Arch>(T(0.5)), rounder);
    const Batch<T, Arch> rest = k - (half_rounded - rounder);
    return x * power_of_two(half_rounded) * power_of_two(rest + rounder);
  }
}

/// x = k log(2) + r with an integer k and |r| <= log(2) / 2.
template <class T, class Arch>
struct ExpReduction {
  Batch<T, Arch> k;
  Batch<T, Arch> r;
};

template <class T, class Arch>
TAPEGRAD_INLINE ExpReduction<T, Arch> reduce_exp(Batch<T, Arch> x) {
  using F = Format<T>;
  const Batch<T, Arch> rounder(F::rounder);
  const Batch<T, Arch> k = fmadd(x, Batch<T, Arch>(T(1.4426950408889634074)), rounder) - rounder;
  const Batch<T, Arch> r = fnmadd(k, Batch<T, Arch>(F::ln2[0]), x);
  return {k, fnmadd(k, Batch<T, Arch>(F::ln2[1]), r)};
}

/// exp(r) - 1 for |r| <= log(2) / 2.
template <class T, class Arch>
TAPEGRAD_INLINE Batch<T, Arch> expm1_reduced(Batch<T, Arch> r) {
  return fmadd(r * r, polynomial(r, Format<T>::exp), r);
}

/// x = 2^k m with sqrt(1/2) <= m < sqrt(2), for positive finite normal x.
template <class T, class Arch>
struct LogReduction {
  Batch<T, Arch> k;
  Batch<T, Arch> m;
};

template <class T, class Arch>
TAPEGRAD_INLINE LogReduction<T, Arch> reduce_log(Batch<T, Arch> x) {
  using F = Format<T>;
  using B = Batch<Bits<T>, Arch>;
  const B shifted = bitcast<Bits<T>>(x) + B(F::one - F::sqrt_half);
  // The exponent becomes a number without a conversion, which AVX2 lacks for 64 bits: as the mantissa of 2^52.
  const T large = T(Bits<T>{1} << F::mantissa_bits);
  const B exponent = (shifted >> F::mantissa_bits) | bitcast<Bits<T>>(Batch<T, Arch>(large));
  const Batch<T, Arch> k = bitcast<T>(exponent) - Batch<T, Arch>(large + T(F::bias));
  return {k, bitcast<T>((shifted & B(F::mantissa_mask)) + B(F::sqrt_half))};
}

/// The same for positive denormal x too.
template <class T, class Arch>
TAPEGRAD_INLINE LogReduction<T, Arch> reduce_log_denormal(Batch<T, Arch> x) {
  using F = Format<T>;
  constexpr int shift = F::mantissa_bits + 2;
  const auto denormal = x < Batch<T, Arch>(F::smallest_normal);
  const LogReduction<T, Arch> reduced = reduce_log(select(denormal, x * Batch<T, Arch>(T(Bits<T>{1} << shift)), x));
  return {select(denormal, reduced.k - Batch<T, Arch>(T(shift)), reduced.k), reduced.m};
}

/// k log(2) + log(1 + f) + correction, for sqrt(1/2) <= 1 + f < sqrt(2); fdlibm's scheme, with s = f / (2 + f).
template <class T, class Arch>
TAPEGRAD_INLINE Batch<T, Arch> log_reduced(Batch<T, Arch> k, Batch<T, Arch> f, Batch<T, Arch> correction) {
  using F = Format<T>;
  using V = Batch<T, Arch>;
  const V s = f / (V(T(2)) + f);
  const V z = s * s;
  const V half_square = V(T(0.5)) * f * f;
  const V tail = fmadd(z, polynomial(z, F::log), half_square);
  const V low = fmadd(s, tail, fmadd(k, V(F::ln2[1]), correction));
  return fmadd(k, V(F::ln2[0]), f - (half_square - low));
}

/// log and log1p outside of their domain, from u = x or 1 + x.
template <class T, class Arch>
TAPEGRAD_INLINE Batch<T, Arch> log_specials(Batch<T, Arch> u, Batch<T, Arch> result) {
  using V = Batch<T, Arch>;
  const V zero(T(0));
  result = select(u < V(infinity<T>), result, u);  // infinity and NaN
  result = select(u == zero, V(-infinity<T>), result);
  return select(u < zero, V(not_a_number<T>), result);
}

// ---- exponentials and logarithms ----

template <class T, class Arch>
TAPEGRAD_INLINE Batch<T, Arch> exp(Batch<T, Arch> x) {
  using F = Format<T>;
  const auto reduced = reduce_exp(at_least(at_most(x, F::exp_high), F::exp_low));
  return math::scale(expm1_reduced(reduced.r) + Batch<T, Arch>(T(1)), reduced.k);
}

template <class T, class Arch>
TAPEGRAD_INLINE Batch<T, Arch> expm1(Batch<T, Arch> x) {
  using F = Format<T>;
  using V = Batch<T, Arch>;
  const V rounder(F::rounder);
  const auto reduced = reduce_exp(at_least(at_most(x, F::exp_high), T(-50)));
  // Half of the result, so that the power of two is finite up to the overflow.
  const V half_power = power_of_two(reduced.k - V(T(1)) + rounder);
  const V half = fmadd(half_power, expm1_reduced(reduced.r), half_power - V(T(0.5)));
  const auto tiny = math::absolute(x) < V(std::numeric_limits<T>::epsilon() / 2);
  return select(tiny, x, half + half);
}

template <class T, class Arch>
TAPEGRAD_INLINE Batch<T, Arch> log(Batch<T, Arch> x) {
  using V = Batch<T, Arch>;
  const auto reduced = reduce_log_denormal(x);
  return log_specials(x, log_reduced(reduced.k, reduced.m - V(T(1)), V(T(0))));
}

template <class T, class Arch>
TAPEGRAD_INLINE Batch<T, Arch> log1p(Batch<T, Arch> x) {
  using V = Batch<T, Arch>;
  const V one(T(1));
  const V zero(T(0));
  const V u = one + x;
  const auto reduced = reduce_log(u);
  const V rounding = select(x < one, x - (u - one), one - (u - x));  // 1 + x - u
  const auto small = reduced.k == zero;
  const V f = select(small, x, reduced.m - one);
  const V correction = select(small, zero, rounding / u);
  const V result = log_specials(u, log_reduced(reduced.k, f, correction));
  return select(x == zero, x, result);
}

// ---- functions of exponentials ----

template <class T, class Arch>
TAPEGRAD_INLINE Batch<T, Arch> sigmoid(Batch<T, Arch> x) {
  using V = Batch<T, Arch>;
  const V one(T(1));
  const V small = math::exp(-math::absolute(x));  // never overflows
  return select(x < V(T(0)), small, one) / (one + small);
}

template <class T, class Arch>
TAPEGRAD_INLINE Batch<T, Arch> softplus(Batch<T, Arch> x) {
  using V = Batch<T, Arch>;
  const V zero(T(0));
  const V e = math::exp(-math::absolute(x));
  // log(1 + e) for 0 <= e <= 1 needs no reduction.
  const V s = e / (V(T(2)) + e);
  const V z = s * s;
  return select(x <= zero, zero, x) + fmadd(s * z, polynomial(z, Format<T>::log_unit), s + s);
}

/// x P(x^2) / Q(x^2), which is within rounding of +-1 beyond the limit.
template <class Arch, std::size_t M, std::size_t N>
TAPEGRAD_INLINE Batch<float, Arch> saturating_rational(Batch<float, Arch> x, float limit, const float (&numerator)[M],
                                                       const float (&denominator)[N]) {
  const Batch<float, Arch> c = at_least(at_most(x, limit), -limit);
  const Batch<float, Arch> t = c * c;
  const Batch<float, Arch> y = c * polynomial(t, numerator) / polynomial(t, denominator);
  return at_least(at_most(y, 1.0F), -1.0F);
}

template <class T, class Arch>
TAPEGRAD_INLINE Batch<T, Arch> tanh(Batch<T, Arch> x) {
  if constexpr (std::is_same_v<T, float>) {
    return saturating_rational(x, 9.0F, coefficients::tanh_numerator_f32, coefficients::tanh_denominator_f32);
  } else {
    using V = Batch<T, Arch>;
    const V t = math::expm1(V(T(-2)) * math::absolute(x));
    return or_bits(absolute(t / (t + V(T(2)))), sign_bit(x));
  }
}

template <class T, class Arch>
TAPEGRAD_INLINE Batch<T, Arch> erf(Batch<T, Arch> x) {
  if constexpr (std::is_same_v<T, float>) {
    return saturating_rational(x, 4.0F, coefficients::erf_numerator_f32, coefficients::erf_denominator_f32);
  } else {
    using V = Batch<T, Arch>;
    const V one(T(1));
    const V small = fmadd(x, polynomial(x * x, coefficients::erf_small_f64), x);
    const V a = at_most(math::absolute(x), T(6));
    const V ratio = polynomial(a, coefficients::erf_numerator_f64) / polynomial(a, coefficients::erf_denominator_f64);
    const V large = fnmadd(math::exp(-(a * a)), ratio, one);
    return select(math::absolute(x) < one, small, or_bits(large, sign_bit(x)));
  }
}

}  // namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME::math
