#pragma once
// The only header that talks to xsimd: it hides what differs between xsimd 8.1 and the newest release.
//
// A kernel file is compiled once per instruction set, each time with its own TAPEGRAD_ARCH (an xsimd architecture)
// and TAPEGRAD_ARCH_NAME (sse42, avx2, avx512, default). Should the linker ever merge a function of two such
// compilations, an old processor would meet instructions that it does not have. Three guards prevent it:
// `xsimd` itself is renamed per instruction set on the compiler's command line, everything here lives in an inline
// namespace named after the instruction set, and kernels sit in unnamed namespaces. A test looks at the symbols.
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>
#include <xsimd/xsimd.hpp>

#if !defined(TAPEGRAD_ARCH) || !defined(TAPEGRAD_ARCH_NAME)
#error "kernel files need TAPEGRAD_ARCH and TAPEGRAD_ARCH_NAME on the command line"
#endif

// Attributes for functions and lambdas that must vanish into their caller: accumulators live in registers only then.
#define TAPEGRAD_INLINE inline __attribute__((always_inline))
#define TAPEGRAD_INLINE_LAMBDA __attribute__((always_inline))

namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME {

using TargetArch = TAPEGRAD_ARCH;

/// One SIMD register of T.
template <class T, class Arch>
using Batch = xsimd::batch<T, Arch>;

/// The result of comparing two batches.
template <class T, class Arch>
using Mask = xsimd::batch_bool<T, Arch>;

/// Elements in one batch.
template <class T, class Arch>
inline constexpr std::ptrdiff_t lanes = static_cast<std::ptrdiff_t>(Batch<T, Arch>::size);

template <class Arch>
inline constexpr bool has_avx512 = std::is_base_of_v<xsimd::avx512f, Arch>;

template <class Arch>
inline constexpr bool has_avx2 = std::is_base_of_v<xsimd::avx2, Arch> && !has_avx512<Arch>;

/// Elements that are 4 or 8 bytes wide have masked loads and stores.
template <class T>
inline constexpr bool is_maskable = sizeof(T) == 4 || sizeof(T) == 8;

// ---- loops that the compiler must unroll ----

template <class F, std::size_t... I>
TAPEGRAD_INLINE void static_for_each(F& body, std::index_sequence<I...>) {
  (body(std::integral_constant<int, static_cast<int>(I)>{}), ...);
}

/// Calls body(0), ..., body(N - 1), each index a compile-time constant.
template <int N, class F>
TAPEGRAD_INLINE void static_for(F&& body) {
  static_for_each(body, std::make_index_sequence<static_cast<std::size_t>(N)>{});
}

// ---- memory ----

template <class T, class Arch>
TAPEGRAD_INLINE Batch<T, Arch> load_all(const T* from) {
  return Batch<T, Arch>::load_unaligned(from);
}

template <class T, class Arch>
TAPEGRAD_INLINE void store_all(T* to, Batch<T, Arch> value) {
  value.store_unaligned(to);
}

#if defined(__AVX512F__)
template <class T>
TAPEGRAD_INLINE auto avx512_mask(std::ptrdiff_t count) {
  using Bits = std::conditional_t<sizeof(T) == 4, __mmask16, __mmask8>;
  return static_cast<Bits>((1U << static_cast<unsigned>(count)) - 1U);
}
#endif

#if defined(__AVX2__)
template <class T>
TAPEGRAD_INLINE __m256i avx2_mask(std::ptrdiff_t count) {
  if constexpr (sizeof(T) == 4) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  } else {
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(count), _mm256_setr_epi64x(0, 1, 2, 3));
  }
}
#endif

/// Loads the first `count` elements (0 <= count <= lanes); the others are zero. Memory behind them is not touched.
template <class T, class Arch>
TAPEGRAD_INLINE Batch<T, Arch> load_partial(const T* from, std::ptrdiff_t count) {
#if defined(__AVX512F__)
  if constexpr (has_avx512<Arch> && std::is_same_v<T, float>) {
    return Batch<T, Arch>(_mm512_maskz_loadu_ps(avx512_mask<T>(count), from));
  } else if constexpr (has_avx512<Arch> && std::is_same_v<T, double>) {
    return Batch<T, Arch>(_mm512_maskz_loadu_pd(avx512_mask<T>(count), from));
  } else if constexpr (has_avx512<Arch> && sizeof(T) == 4) {
    return Batch<T, Arch>(_mm512_maskz_loadu_epi32(avx512_mask<T>(count), from));
  } else if constexpr (has_avx512<Arch> && sizeof(T) == 8) {
    return Batch<T, Arch>(_mm512_maskz_loadu_epi64(avx512_mask<T>(count), from));
  } else
#endif
#if defined(__AVX2__)
      if constexpr (has_avx2<Arch> && std::is_same_v<T, float>) {
    return Batch<T, Arch>(_mm256_maskload_ps(from, avx2_mask<T>(count)));
  } else if constexpr (has_avx2<Arch> && std::is_same_v<T, double>) {
    return Batch<T, Arch>(_mm256_maskload_pd(from, avx2_mask<T>(count)));
  } else
#endif
  {
    alignas(64) T padded[Batch<T, Arch>::size] = {};
    for (std::ptrdiff_t i = 0; i < count; ++i) {
      padded[i] = from[i];
    }
    return Batch<T, Arch>::load_aligned(padded);
  }
}

/// Stores the first `count` elements (0 <= count <= lanes); memory behind them is not touched.
template <class T, class Arch>
TAPEGRAD_INLINE void store_partial(T* to, Batch<T, Arch> value, std::ptrdiff_t count) {
#if defined(__AVX512F__)
  if constexpr (has_avx512<Arch> && std::is_same_v<T, float>) {
    _mm512_mask_storeu_ps(to, avx512_mask<T>(count), value.data);
  } else if constexpr (has_avx512<Arch> && std::is_same_v<T, double>) {
    _mm512_mask_storeu_pd(to, avx512_mask<T>(count), value.data);
  } else if constexpr (has_avx512<Arch> && sizeof(T) == 4) {
    _mm512_mask_storeu_epi32(to, avx512_mask<T>(count), value.data);
  } else if constexpr (has_avx512<Arch> && sizeof(T) == 8) {
    _mm512_mask_storeu_epi64(to, avx512_mask<T>(count), value.data);
  } else
#endif
  {
    // Also on AVX2: AMD processors run its masked store as slow microcode.
    alignas(64) T padded[Batch<T, Arch>::size];
    value.store_aligned(padded);
    for (std::ptrdiff_t i = 0; i < count; ++i) {
      to[i] = padded[i];
    }
  }
}

/// Zeros, past the caches where the processor can: for memory that nobody reads soon. Others see them after
/// stream_fence().
TAPEGRAD_INLINE void stream_zeros(void* to, std::size_t bytes) {
#if defined(__SSE2__)
  constexpr std::size_t line = 64;
  char* next = static_cast<char*>(to);
  char* const end = next + bytes;
  const std::size_t head = (line - reinterpret_cast<std::uintptr_t>(next) % line) % line;
  if (bytes > head + line) {
    __builtin_memset(next, 0, head);
    for (next += head; next + line <= end; next += line) {
      for (std::size_t i = 0; i < line; i += 16) {
        _mm_stream_si128(reinterpret_cast<__m128i*>(next + i), _mm_setzero_si128());
      }
    }
  }
  __builtin_memset(next, 0, static_cast<std::size_t>(end - next));
#else
  __builtin_memset(to, 0, bytes);
#endif
}

TAPEGRAD_INLINE void stream_fence() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

// ---- arithmetic ----

/// a * b + c, fused where the processor can.
template <class T, class Arch>
TAPEGRAD_INLINE Batch<T, Arch> fmadd(Batch<T, Arch> a, Batch<T, Arch> b, Batch<T, Arch> c) {
#if defined(__AVX512F__)
  // xsimd before 11 multiplies and adds here.
  if constexpr (has_avx512<Arch> && std::is_same_v<T, float>) {
    return Batch<T, Arch>(_mm512_fmadd_ps(a.data, b.data, c.data));
  } else if constexpr (has_avx512<Arch> && std::is_same_v<T, double>) {
    return Batch<T, Arch>(_mm512_fmadd_pd(a.data, b.data, c.data));
  } else
#endif
    return xsimd::fma(a, b, c);
}

/// c - a * b, fused where the processor can.
template <class T, class Arch>
TAPEGRAD_INLINE Batch<T, Arch> fnmadd(Batch<T, Arch> a, Batch<T, Arch> b, Batch<T, Arch> c) {
#if defined(__AVX512F__)
  if constexpr (has_avx512<Arch> && std::is_same_v<T, float>) {
    return Batch<T, Arch>(_mm512_fnmadd_ps(a.data, b.data, c.data));
  } else if constexpr (has_avx512<Arch> && std::is_same_v<T, double>) {
    return Batch<T, Arch>(_mm512_fnmadd_pd(a.data, b.data, c.data));
  } else
#endif
    return xsimd::fnma(a, b, c);
}

/// The product of the lower halves, 32 bits each, of every lane.
template <class Arch>
TAPEGRAD_INLINE Batch<std::uint64_t, Arch> multiply_lower_halves(Batch<std::uint64_t, Arch> a,
                                                                 Batch<std::uint64_t, Arch> b) {
#if defined(__AVX512F__)
  if constexpr (has_avx512<Arch>) {
    return Batch<std::uint64_t, Arch>(_mm512_mul_epu32(a.data, b.data));
  } else
#endif
#if defined(__AVX2__)
      if constexpr (has_avx2<Arch>) {
    return Batch<std::uint64_t, Arch>(_mm256_mul_epu32(a.data, b.data));
  } else
#endif
#if defined(__SSE4_2__)
      if constexpr (std::is_base_of_v<xsimd::sse4_2, Arch> && !has_avx2<Arch> && !has_avx512<Arch>) {
    return Batch<std::uint64_t, Arch>(_mm_mul_epu32(a.data, b.data));
  } else
#endif
  {
    alignas(64) std::uint64_t left[Batch<std::uint64_t, Arch>::size];
    alignas(64) std::uint64_t right[Batch<std::uint64_t, Arch>::size];
    a.store_aligned(left);
    b.store_aligned(right);
    for (std::size_t i = 0; i < Batch<std::uint64_t, Arch>::size; ++i) {
      left[i] = (left[i] & 0xFFFFFFFF) * (right[i] & 0xFFFFFFFF);
    }
    return Batch<std::uint64_t, Arch>::load_aligned(left);
  }
}

/// select(mask, a, b): lane by lane mask ? a : b.
using xsimd::select;

/// The same bits read as lanes of another type.
template <class To, class T, class Arch>
TAPEGRAD_INLINE Batch<To, Arch> bitcast(Batch<T, Arch> value) {
#if XSIMD_VERSION_MAJOR >= 11
  return xsimd::bitwise_cast<To>(value);
#else
  return xsimd::bitwise_cast<Batch<To, Arch>>(value);
#endif
}

/// Where x is NaN. (Not x != x: with xsimd 8.1 that is false for NaN on AVX and AVX-512.)
template <class T, class Arch>
TAPEGRAD_INLINE Mask<T, Arch> is_nan(Batch<T, Arch> x) {
  return xsimd::isnan(x);
}

/// The larger of two; NaN if either is NaN. (xsimd's own max changed its mind about NaN in version 14.)
template <class T, class Arch>
TAPEGRAD_INLINE Batch<T, Arch> maximum(Batch<T, Arch> a, Batch<T, Arch> b) {
  const Batch<T, Arch> larger = select(a > b, a, b);
  return select(is_nan(a), a, larger);
}

/// The smaller of two; NaN if either is NaN.
template <class T, class Arch>
TAPEGRAD_INLINE Batch<T, Arch> minimum(Batch<T, Arch> a, Batch<T, Arch> b) {
  const Batch<T, Arch> smaller = select(a < b, a, b);
  return select(is_nan(a), a, smaller);
}

template <class T>
TAPEGRAD_INLINE T scalar_maximum(T a, T b) {
  return a > b || a != a ? a : b;
}

template <class T>
TAPEGRAD_INLINE T scalar_minimum(T a, T b) {
  return a < b || a != a ? a : b;
}

/// True in the first `count` lanes.
template <class T, class Arch>
TAPEGRAD_INLINE Mask<T, Arch> first_lanes(std::ptrdiff_t count) {
  alignas(64) static constexpr T position[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  static_assert(Batch<T, Arch>::size <= 16);
  return Batch<T, Arch>::load_aligned(position) < Batch<T, Arch>(static_cast<T>(count));
}

/// load_partial with `other` instead of zero in the lanes behind `count`.
template <class T, class Arch>
TAPEGRAD_INLINE Batch<T, Arch> load_partial_or(const T* from, std::ptrdiff_t count, T other) {
  return select(first_lanes<T, Arch>(count), load_partial<T, Arch>(from, count), Batch<T, Arch>(other));
}

// ---- across the lanes ----

/// The sum of all lanes.
template <class T, class Arch>
TAPEGRAD_INLINE T horizontal_sum(Batch<T, Arch> value) {
#if XSIMD_VERSION_MAJOR >= 9
  return xsimd::reduce_add(value);
#else
  return xsimd::hadd(value);
#endif
}

/// Combines all lanes pairwise, in a fixed tree.
template <class T, class Arch, class F>
TAPEGRAD_INLINE T horizontal_tree(Batch<T, Arch> value, F combine) {
  alignas(64) T lane[Batch<T, Arch>::size];
  value.store_aligned(lane);
  for (std::size_t half = Batch<T, Arch>::size / 2; half > 0; half /= 2) {
    for (std::size_t i = 0; i < half; ++i) {
      lane[i] = combine(lane[i], lane[i + half]);
    }
  }
  return lane[0];
}

/// The largest lane; NaN if any lane is NaN.
template <class T, class Arch>
TAPEGRAD_INLINE T horizontal_max(Batch<T, Arch> value) {
  return horizontal_tree(value, [](T a, T b) TAPEGRAD_INLINE_LAMBDA { return scalar_maximum(a, b); });
}

/// The smallest lane; NaN if any lane is NaN.
template <class T, class Arch>
TAPEGRAD_INLINE T horizontal_min(Batch<T, Arch> value) {
  return horizontal_tree(value, [](T a, T b) TAPEGRAD_INLINE_LAMBDA { return scalar_minimum(a, b); });
}

}  // namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME
