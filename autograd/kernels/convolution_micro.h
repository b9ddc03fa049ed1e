#pragma once
// The innermost part of a convolution: a tile of sums held in registers while runs of an image pass by.
#include "autograd/kernels/gemm_micro.h"

namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME {
namespace {

/// c[i, o] (+)= start[o] + sum over t < runs and k < run_length of
///              a[run_offset[t] + i * a_row_stride + k * a_step] * b[t * run_length + k, o].
/// Rows of b have the columns of a whole tile, also where a tile of one register reads only the first half of them.
template <class T>
struct RunTile {
  Index runs;
  const Index* run_offset;
  Index run_length;
  const T* a;
  Index a_row_stride;
  Index a_step;
  const T* b;
  const T* start;
  T* c;
  Index c_row_stride;
  bool accumulate;
};

/// Beside multiply_tile, whose sums would go to memory between one run and the next.
template <class T, class Arch, int Rows, int Vectors>
__attribute__((noinline)) void sum_runs(const RunTile<T>& tile) {
  using Vector = Batch<T, Arch>;
  constexpr Index width = lanes<T, Arch>;
  // Indexed by constants only, else the compiler keeps it in memory.
  Vector sum[Rows][Vectors];
  static_for<Vectors>([&](auto j) TAPEGRAD_INLINE_LAMBDA {
    const Vector start = load_all<T, Arch>(tile.start + j * width);
    static_for<Rows>([&](auto i) TAPEGRAD_INLINE_LAMBDA { sum[i][j] = start; });
  });

  const T* b = tile.b;
  const Index a_row_stride = tile.a_row_stride;
  const Index a_step = tile.a_step;
  const Index length = tile.run_length;
  for (Index t = 0; t < tile.runs; ++t) {
    const T* a = tile.a + tile.run_offset[t];
    for (Index k = length; k > 0; --k) {
      Vector b_row[Vectors];
      static_for<Vectors>([&](auto j) TAPEGRAD_INLINE_LAMBDA { b_row[j] = load_all<T, Arch>(b + j * width); });
      static_for<Rows>([&](auto i) TAPEGRAD_INLINE_LAMBDA {
        const Vector a_element(a[i * a_row_stride]);
        static_for<Vectors>([&](auto j) TAPEGRAD_INLINE_LAMBDA { sum[i][j] = fmadd(a_element, b_row[j], sum[i][j]); });
      });
      a += a_step;
      b += Tuning<T, Arch>::columns;
    }
  }

  const bool accumulate = tile.accumulate;
  static_for<Rows>([&](auto i) TAPEGRAD_INLINE_LAMBDA {
    static_for<Vectors>([&](auto j) TAPEGRAD_INLINE_LAMBDA {
      T* const c = tile.c + i * tile.c_row_stride + j * width;
      store_all<T, Arch>(c, accumulate ? sum[i][j] + load_all<T, Arch>(c) : sum[i][j]);
    });
  });
}

template <class T>
using RunTileFunction = void (*)(const RunTile<T>& tile);

template <class T, class Arch, int Vectors>
struct RunTileFunctions {
  template <std::size_t... I>
  static RunTileFunction<T> get(Index rows, std::index_sequence<I...>) {
    static constexpr RunTileFunction<T> functions[] = {sum_runs<T, Arch, static_cast<int>(I) + 1, Vectors>...};
    return functions[rows - 1];
  }
  static RunTileFunction<T> get(Index rows) {
    return get(rows, std::make_index_sequence<static_cast<std::size_t>(Tuning<T, Arch>::rows)>{});
  }
};

/// The function for a tile of that many rows and columns.
template <class T, class Arch>
RunTileFunction<T> run_tile_function(Index rows, Index columns) {
  return columns > lanes<T, Arch> ? RunTileFunctions<T, Arch, 2>::get(rows) : RunTileFunctions<T, Arch, 1>::get(rows);
}

/// Calls body(first, rows) for tiles that cover `count` rows; they differ by at most one row.
template <class T, class Arch, class F>
TAPEGRAD_INLINE void for_tiles(Index count, F body) {
  const Index tiles = (count + Tuning<T, Arch>::rows - 1) / Tuning<T, Arch>::rows;
  Index first = 0;
  for (Index tile = 0; tile < tiles; ++tile) {
    const Index rows = count / tiles + (tile < count % tiles ? 1 : 0);
    body(first, rows);
    first += rows;
  }
}

}  // namespace
}  // namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME
