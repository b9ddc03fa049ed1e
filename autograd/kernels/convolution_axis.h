#pragma once
// What windows see of an image whose edge they reach over.
#include "autograd/kernels/simd.h"
#include "autograd/kernels/table.h"

namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME {
namespace {

constexpr Index smaller(Index a, Index b) { return a < b ? a : b; }
constexpr Index larger(Index a, Index b) { return a > b ? a : b; }

/// a / b, rounded up; b > 0.
constexpr Index divide_up(Index a, Index b) { return a > 0 ? (a + b - 1) / b : -(-a / b); }

/// Numbers begin, begin + 1, ... before end.
struct Span {
  Index begin, end;
};

/// Those of `count` numbers n for which 0 <= first + n * step < size.
constexpr Span inside(Index first, Index step, Index count, Index size) {
  const Index begin = smaller(larger(divide_up(-first, step), 0), count);
  return {begin, larger(begin, smaller(divide_up(size - first, step), count))};
}

/// The taps under which position i reads inside of the image.
constexpr Span taps_inside(const ConvolutionAxis& axis, Index i) {
  return inside(i * axis.step + axis.offset, axis.tap_step, axis.taps, axis.size);
}

}  // namespace
}  // namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME
