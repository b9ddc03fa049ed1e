#pragma once
// The innermost part of a matrix product: one tile of C held in registers while k runs.
#include "autograd/kernels/simd.h"
#include "autograd/kernels/table.h"

namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
// Checks on every access of the fully unrolled tiles would take the compiler minutes and gigabytes.
inline constexpr int max_tile_rows = 3;
#else
inline constexpr int max_tile_rows = 14;
#endif

/// Sizes for one dtype and instruction set. A register tile has `rows` x `vectors` accumulators; `vectors` registers of
/// B and one broadcast element of A stay beside them. Measured: the block sizes matter much more than the tile's shape.
/// k_block in bytes fits a panel of B into L1 or L2, m_block x k_block fits L2.
template <class T, class Arch>
struct Tuning {
  static constexpr int best_rows = has_avx512<Arch> ? 14 : has_avx2<Arch> ? 6 : 4;
  static constexpr int rows = best_rows < max_tile_rows ? best_rows : max_tile_rows;
  static constexpr int vectors = 2;
  static constexpr Index columns = vectors * lanes<T, Arch>;
  static constexpr Index k_block = has_avx512<Arch> && sizeof(T) == 4 ? 768 : 512;
  static constexpr Index m_block = has_avx512<Arch> ? (sizeof(T) == 4 ? 140 : 112) : 240;
  static constexpr Index n_block = 2048;
  /// A is read in place, however often, when it is no larger.
  static constexpr Index direct_bytes = has_avx512<Arch> ? 1024 * 1024 : 0;
};

/// C tile (+)= A strip * B panel.
template <class T>
struct TileArguments {
  Index k;
  const T* a;
  Index a_row_stride;
  Index a_column_stride;
  const T* b;  // rows of `vectors` registers
  Index b_row_stride;
  T* c;
  Index c_row_stride;
  Index tail;  // columns in the last register, for tiles with Tail
  bool accumulate;
};

/// Whether load_partial is cheap enough for the inner loop. Elsewhere the last columns of B must be padded to a whole
/// register.
template <class Arch>
inline constexpr bool reads_tail_in_place = has_avx512<Arch> || has_avx2<Arch>;

/// PackedA: the strip of A lies as [k][Rows]. Tail: the last register of a row of C is partly filled.
/// Not inlined: one copy of each of these large bodies.
template <class T, class Arch, int Rows, int Vectors, bool PackedA, bool Tail>
__attribute__((noinline)) void multiply_tile(const TileArguments<T>& tile) {
  using Vector = Batch<T, Arch>;
  constexpr Index width = lanes<T, Arch>;
  // Indexed by constants only, else the compiler keeps it in memory.
  Vector sum[Rows][Vectors];
  static_for<Rows>([&](auto i) TAPEGRAD_INLINE_LAMBDA {
    static_for<Vectors>([&](auto j) TAPEGRAD_INLINE_LAMBDA { sum[i][j] = Vector(T(0)); });
  });

  const T* a = tile.a;
  const T* b = tile.b;
  const Index a_row_stride = tile.a_row_stride;
  const Index a_step = PackedA ? Rows : tile.a_column_stride;
  const Index b_step = tile.b_row_stride;
  const Index tail = tile.tail;
  for (Index k = tile.k; k > 0; --k) {
    Vector b_row[Vectors];
    static_for<Vectors>([&](auto j) TAPEGRAD_INLINE_LAMBDA {
      if constexpr (Tail && j == Vectors - 1 && reads_tail_in_place<Arch>) {
        b_row[j] = load_partial<T, Arch>(b + j * width, tail);
      } else {
        b_row[j] = load_all<T, Arch>(b + j * width);
      }
    });
    static_for<Rows>([&](auto i) TAPEGRAD_INLINE_LAMBDA {
      const Vector a_element(PackedA ? a[i] : a[i * a_row_stride]);
      static_for<Vectors>([&](auto j) TAPEGRAD_INLINE_LAMBDA { sum[i][j] = fmadd(a_element, b_row[j], sum[i][j]); });
    });
    a += a_step;
    b += b_step;
  }

  const bool accumulate = tile.accumulate;
  static_for<Rows>([&](auto i) TAPEGRAD_INLINE_LAMBDA {
    static_for<Vectors>([&](auto j) TAPEGRAD_INLINE_LAMBDA {
      T* c = tile.c + i * tile.c_row_stride + j * width;
      Vector value = sum[i][j];
      if constexpr (Tail && j == Vectors - 1) {
        if (accumulate) {
          value += load_partial<T, Arch>(c, tail);
        }
        store_partial<T, Arch>(c, value, tail);
      } else {
        if (accumulate) {
          value += load_all<T, Arch>(c);
        }
        store_all<T, Arch>(c, value);
      }
    });
  });
}

template <class T>
using TileFunction = void (*)(const TileArguments<T>& tile);

/// The functions for 1 .. rows rows.
template <class T, class Arch, int Vectors, bool PackedA, bool Tail>
struct TileFunctions {
  template <std::size_t... I>
  static TileFunction<T> get(Index rows, std::index_sequence<I...>) {
    static constexpr TileFunction<T> functions[] = {
        multiply_tile<T, Arch, static_cast<int>(I) + 1, Vectors, PackedA, Tail>...};
    return functions[rows - 1];
  }
  static TileFunction<T> get(Index rows) {
    return get(rows, std::make_index_sequence<static_cast<std::size_t>(Tuning<T, Arch>::rows)>{});
  }
};

/// The function for a tile of rows x columns, where `tail` columns lie in the last register (0: it is full).
template <class T, class Arch, bool PackedA>
TileFunction<T> tile_function(Index rows, Index columns, Index tail) {
  static_assert(Tuning<T, Arch>::vectors == 2);
  const bool two_vectors = columns > lanes<T, Arch>;
  if (tail != 0) {
    // A packed strip is read by strides here: edges are rare, and this saves a third of the code.
    return two_vectors ? TileFunctions<T, Arch, 2, false, true>::get(rows)
                       : TileFunctions<T, Arch, 1, false, true>::get(rows);
  }
  return two_vectors ? TileFunctions<T, Arch, 2, PackedA, false>::get(rows)
                     : TileFunctions<T, Arch, 1, PackedA, false>::get(rows);
}

/// Adds a row to every row of a tile of C, while it is in L1. Separate from the tile: inlined there, every such
/// variant would multiply its code.
template <class T, class Arch>
__attribute__((noinline)) void add_bias(T* c, Index c_row_stride, Index rows, Index columns, const T* bias) {
  constexpr Index width = lanes<T, Arch>;
  for (Index j = 0; j < columns; j += width) {
    const Index count = columns - j < width ? columns - j : width;
    const Batch<T, Arch> add = load_partial<T, Arch>(bias + j, count);
    for (Index i = 0; i < rows; ++i) {
      T* to = c + i * c_row_stride + j;
      if (count == width) {
        store_all<T, Arch>(to, load_all<T, Arch>(to) + add);
      } else {
        store_partial<T, Arch>(to, load_partial<T, Arch>(to, count) + add, count);
      }
    }
  }
}

}  // namespace
}  // namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME
