#pragma once
// Transposing copies through registers, in squares of 8, 4 or 2 elements. Element types of 4 and 8 bytes.
#include "autograd/kernels/simd.h"

namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME {
namespace {

/// Side of the square that transpose_square handles.
template <class T, class Arch>
constexpr std::ptrdiff_t square_side() {
  if (std::is_base_of_v<xsimd::avx2, Arch> || has_avx512<Arch>) {
    return sizeof(T) == 4 ? 8 : 4;
  }
  return sizeof(T) == 4 ? 4 : 2;
}

#if defined(__AVX2__)
TAPEGRAD_INLINE void transpose_8x8(const float* from, std::ptrdiff_t from_stride, float* to, std::ptrdiff_t to_stride) {
  __m256 row[8];
  static_for<8>([&](auto i) TAPEGRAD_INLINE_LAMBDA { row[i] = _mm256_loadu_ps(from + i * from_stride); });
  __m256 pair[8];
  static_for<4>([&](auto i) TAPEGRAD_INLINE_LAMBDA {
    pair[2 * i] = _mm256_unpacklo_ps(row[2 * i], row[2 * i + 1]);
    pair[2 * i + 1] = _mm256_unpackhi_ps(row[2 * i], row[2 * i + 1]);
  });
  __m256 quad[8];
  static_for<2>([&](auto half) TAPEGRAD_INLINE_LAMBDA {
    constexpr int first = half * 4;
    quad[first + 0] = _mm256_shuffle_ps(pair[first], pair[first + 2], 0x44);
    quad[first + 1] = _mm256_shuffle_ps(pair[first], pair[first + 2], 0xEE);
    quad[first + 2] = _mm256_shuffle_ps(pair[first + 1], pair[first + 3], 0x44);
    quad[first + 3] = _mm256_shuffle_ps(pair[first + 1], pair[first + 3], 0xEE);
  });
  static_for<4>([&](auto i) TAPEGRAD_INLINE_LAMBDA {
    _mm256_storeu_ps(to + i * to_stride, _mm256_permute2f128_ps(quad[i], quad[i + 4], 0x20));
    _mm256_storeu_ps(to + (i + 4) * to_stride, _mm256_permute2f128_ps(quad[i], quad[i + 4], 0x31));
  });
}

TAPEGRAD_INLINE void transpose_4x4(const double* from, std::ptrdiff_t from_stride, double* to,
                                   std::ptrdiff_t to_stride) {
  __m256d row[4];
  static_for<4>([&](auto i) TAPEGRAD_INLINE_LAMBDA { row[i] = _mm256_loadu_pd(from + i * from_stride); });
  const __m256d low01 = _mm256_unpacklo_pd(row[0], row[1]);
  const __m256d high01 = _mm256_unpackhi_pd(row[0], row[1]);
  const __m256d low23 = _mm256_unpacklo_pd(row[2], row[3]);
  const __m256d high23 = _mm256_unpackhi_pd(row[2], row[3]);
  _mm256_storeu_pd(to, _mm256_permute2f128_pd(low01, low23, 0x20));
  _mm256_storeu_pd(to + to_stride, _mm256_permute2f128_pd(high01, high23, 0x20));
  _mm256_storeu_pd(to + 2 * to_stride, _mm256_permute2f128_pd(low01, low23, 0x31));
  _mm256_storeu_pd(to + 3 * to_stride, _mm256_permute2f128_pd(high01, high23, 0x31));
}
#elif defined(__SSE2__)
TAPEGRAD_INLINE void transpose_4x4(const float* from, std::ptrdiff_t from_stride, float* to, std::ptrdiff_t to_stride) {
  __m128 row0 = _mm_loadu_ps(from);
  __m128 row1 = _mm_loadu_ps(from + from_stride);
  __m128 row2 = _mm_loadu_ps(from + 2 * from_stride);
  __m128 row3 = _mm_loadu_ps(from + 3 * from_stride);
  _MM_TRANSPOSE4_PS(row0, row1, row2, row3);
  _mm_storeu_ps(to, row0);
  _mm_storeu_ps(to + to_stride, row1);
  _mm_storeu_ps(to + 2 * to_stride, row2);
  _mm_storeu_ps(to + 3 * to_stride, row3);
}

TAPEGRAD_INLINE void transpose_2x2(const double* from, std::ptrdiff_t from_stride, double* to,
                                   std::ptrdiff_t to_stride) {
  const __m128d row0 = _mm_loadu_pd(from);
  const __m128d row1 = _mm_loadu_pd(from + from_stride);
  _mm_storeu_pd(to, _mm_unpacklo_pd(row0, row1));
  _mm_storeu_pd(to + to_stride, _mm_unpackhi_pd(row0, row1));
}
#endif

/// to[c * to_stride + r] = from[r * from_stride + c] for a square of square_side().
template <class T, class Arch>
TAPEGRAD_INLINE void transpose_square(const T* from, std::ptrdiff_t from_stride, T* to, std::ptrdiff_t to_stride) {
  // The intrinsics move bits and may alias anything, so integers may pass as floats of their size.
  [[maybe_unused]] constexpr bool single = sizeof(T) == 4;
#if defined(__AVX2__)
  if constexpr (single) {
    transpose_8x8(reinterpret_cast<const float*>(from), from_stride, reinterpret_cast<float*>(to), to_stride);
  } else {
    transpose_4x4(reinterpret_cast<const double*>(from), from_stride, reinterpret_cast<double*>(to), to_stride);
  }
#elif defined(__SSE2__)
  if constexpr (single) {
    transpose_4x4(reinterpret_cast<const float*>(from), from_stride, reinterpret_cast<float*>(to), to_stride);
  } else {
    transpose_2x2(reinterpret_cast<const double*>(from), from_stride, reinterpret_cast<double*>(to), to_stride);
  }
#else
  constexpr std::ptrdiff_t side = square_side<T, Arch>();
  for (std::ptrdiff_t r = 0; r < side; ++r) {
    for (std::ptrdiff_t c = 0; c < side; ++c) {
      to[c * to_stride + r] = from[r * from_stride + c];
    }
  }
#endif
}

/// to[c * to_stride + r] = from[r * from_stride + c] for r < rows, c < columns.
template <class T, class Arch>
void transpose(const T* from, std::ptrdiff_t from_stride, T* to, std::ptrdiff_t to_stride, std::ptrdiff_t rows,
               std::ptrdiff_t columns) {
  constexpr std::ptrdiff_t side = square_side<T, Arch>();
  std::ptrdiff_t r = 0;
  for (; r + side <= rows; r += side) {
    const T* strip = from + r * from_stride;
    std::ptrdiff_t c = 0;
    for (; c + side <= columns; c += side) {
      transpose_square<T, Arch>(strip + c, from_stride, to + c * to_stride + r, to_stride);
    }
    for (; c < columns; ++c) {
      for (std::ptrdiff_t i = 0; i < side; ++i) {
        to[c * to_stride + r + i] = strip[i * from_stride + c];
      }
    }
  }
  for (; r < rows; ++r) {
    for (std::ptrdiff_t c = 0; c < columns; ++c) {
      to[c * to_stride + r] = from[r * from_stride + c];
    }
  }
}

}  // namespace
}  // namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME
