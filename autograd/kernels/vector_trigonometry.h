// Sine, cosine, tangent and their inverses on batches of f32 and f64.
#pragma once

#include "autograd/kernels/vector_math.h"

namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME::math {

enum class Trigonometric { sine, cosine, tangent };

/// For arguments too large for the reduction: lane by lane, by the C library.
template <Trigonometric function, class T, class Arch>
__attribute__((noinline)) Batch<T, Arch> trigonometric_large(Batch<T, Arch> x, Batch<T, Arch> result) {
  alignas(64) T lane[Batch<T, Arch>::size];
  alignas(64) T value[Batch<T, Arch>::size];
  x.store_aligned(lane);
  result.store_aligned(value);
  for (std::size_t i = 0; i < Batch<T, Arch>::size; ++i) {
    const bool is_small = lane[i] <= Format<T>::trigonometric_limit && lane[i] >= -Format<T>::trigonometric_limit;
    if (!is_small) {
      const double wide = static_cast<double>(lane[i]);
      value[i] = static_cast<T>(function == Trigonometric::sine     ? ::sin(wide)
                                : function == Trigonometric::cosine ? ::cos(wide)
                                                                    : ::tan(wide));
    }
  }
  return Batch<T, Arch>::load_aligned(value);
}

template <Trigonometric function, class T, class Arch>
TAPEGRAD_INLINE Batch<T, Arch> trigonometric(Batch<T, Arch> x) {
  using F = Format<T>;
  using V = Batch<T, Arch>;
  using B = Batch<Bits<T>, Arch>;
  const V rounder(F::rounder);
  const V rounded = fmadd(x, V(T(0.63661977236758134308)), rounder);
  const V n = rounded - rounder;
  V r = x;  // minus n pi / 2: the first three products are exact
  static_for<4>([&](auto i) TAPEGRAD_INLINE_LAMBDA { r = fnmadd(n, V(F::half_pi[i]), r); });
  const V t = r * r;
  const V sine = fmadd(r * t, polynomial(t, F::sin), r);
  const V cosine = fmadd(t * t, polynomial(t, F::cos), V(T(1)) - V(T(0.5)) * t);
  const B quadrant = bitcast<Bits<T>>(rounded) + B(Bits<T>{function == Trigonometric::cosine ? 1 : 0});
  // The low bit as a float that is not 0, and as a sign; the second bit as the sign.
  const auto is_odd = bitcast<T>((quadrant & B(Bits<T>{1})) << (F::mantissa_bits + 1)) != V(T(0));
  constexpr int top = static_cast<int>(sizeof(T)) * 8 - 1;
  V result;
  if constexpr (function == Trigonometric::tangent) {
    const V sign = bitcast<T>(quadrant << top);
    result = xor_bits(select(is_odd, cosine, sine) / select(is_odd, sine, cosine), sign);
  } else {
    const V sign = bitcast<T>((quadrant & B(Bits<T>{2})) << (top - 1));
    result = xor_bits(select(is_odd, cosine, sine), sign);
  }
  const auto small = math::absolute(x) <= V(F::trigonometric_limit);
  if (xsimd::all(small)) [[likely]] {
    return result;
  }
  return trigonometric_large<function>(x, result);
}

template <class T, class Arch>
TAPEGRAD_INLINE Batch<T, Arch> sin(Batch<T, Arch> x) {
  // -0 stays -0: the reduction adds +0 to it.
  return select(x == Batch<T, Arch>(T(0)), x, trigonometric<Trigonometric::sine>(x));
}

template <class T, class Arch>
TAPEGRAD_INLINE Batch<T, Arch> cos(Batch<T, Arch> x) {
  return trigonometric<Trigonometric::cosine>(x);
}

template <class T, class Arch>
TAPEGRAD_INLINE Batch<T, Arch> tan(Batch<T, Arch> x) {
  return select(x == Batch<T, Arch>(T(0)), x, trigonometric<Trigonometric::tangent>(x));
}

// ---- inverse functions ----

/// asin(r) - r for |r| <= 1/2, by t = r^2.
template <class T, class Arch>
TAPEGRAD_INLINE Batch<T, Arch> asin_tail(Batch<T, Arch> r, Batch<T, Arch> t) {
  return r * t * polynomial(t, Format<T>::asin);
}

template <class T, class Arch>
TAPEGRAD_INLINE Batch<T, Arch> asin(Batch<T, Arch> x) {
  using F = Format<T>;
  using V = Batch<T, Arch>;
  const V half(T(0.5));
  const V a = math::absolute(x);
  const auto is_small = a < half;
  // Near 1: pi / 2 - 2 asin(sqrt((1 - a) / 2)).
  const V t = select(is_small, a * a, half - half * a);
  const V r = select(is_small, a, xsimd::sqrt(t));
  const V tail = asin_tail(r, t);
  const V large = V(F::pi[0] / 2) - ((r + r) + (tail + tail - V(F::pi[1] / 2)));
  return or_bits(select(is_small, r + tail, large), sign_bit(x));
}

template <class T, class Arch>
TAPEGRAD_INLINE Batch<T, Arch> acos(Batch<T, Arch> x) {
  using F = Format<T>;
  using V = Batch<T, Arch>;
  const V half(T(0.5));
  const V a = math::absolute(x);
  const auto is_small = a < half;
  const V t = select(is_small, a * a, half - half * a);
  const V r = select(is_small, x, xsimd::sqrt(t));
  const V tail = asin_tail(r, t);
  const V near_one = (r + r) + (tail + tail);
  const V near_minus_one = V(F::pi[0]) - ((r + r) + (tail + tail - V(F::pi[1])));
  const V middle = V(F::pi[0] / 2) - (r + (tail - V(F::pi[1] / 2)));
  return select(is_small, middle, select(x < V(T(0)), near_minus_one, near_one));
}

/// The angle of (x, y), both positive or 0, but not both 0 or both infinite; x + y must not overflow.
template <class T, class Arch>
TAPEGRAD_INLINE Batch<T, Arch> angle(Batch<T, Arch> y, Batch<T, Arch> x) {
  using F = Format<T>;
  using V = Batch<T, Arch>;
  const auto is_steep = y > V(T(2.4142135623730950488)) * x;    // tan(3 pi / 8): subtract pi / 2
  const auto is_middle = y > V(T(0.41421356237309504880)) * x;  // tan(pi / 8): subtract pi / 4
  const V numerator = select(is_steep, -x, select(is_middle, y - x, y));
  const V denominator = select(is_steep, y, select(is_middle, y + x, x));
  const V zero(T(0));
  const V offset = select(is_steep, V(F::pi[0] / 2), select(is_middle, V(F::pi[0] / 4), zero));
  const V offset_low = select(is_steep, V(F::pi[1] / 2), select(is_middle, V(F::pi[1] / 4), zero));
  const V r = numerator / denominator;
  const V t = r * r;
  return offset + (r + fmadd(r * t, polynomial(t, F::atan), offset_low));
}

template <class T, class Arch>
TAPEGRAD_INLINE Batch<T, Arch> atan(Batch<T, Arch> x) {
  return or_bits(angle(math::absolute(x), Batch<T, Arch>(T(1))), sign_bit(x));
}

/// The C library's atan2 for all signs, zeros and infinities.
template <class T, class Arch>
TAPEGRAD_INLINE Batch<T, Arch> atan2(Batch<T, Arch> y, Batch<T, Arch> x) {
  using F = Format<T>;
  using V = Batch<T, Arch>;
  const V zero(T(0));
  const V one(T(1));
  V a = math::absolute(y);
  V b = math::absolute(x);
  const auto both_zero = a + b == zero;
  const auto both_infinite = a == V(infinity<T>) && b == V(infinity<T>);
  a = select(both_infinite, one, a);
  b = select(both_zero || both_infinite, one, b);
  const auto is_large = a > V(F::large) || b > V(F::large);
  const V scale = select(is_large, V(T(1.0 / 256)), one);
  const V acute = angle(a * scale, b * scale);
  const V obtuse = V(F::pi[0]) - (acute - V(F::pi[1]));
  const auto is_left = or_bits(sign_bit(x), one) < zero;  // also for -0
  const V result = or_bits(select(is_left, obtuse, acute), sign_bit(y));
  return select(is_nan(x), x, result);
}

}  // namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME::math
