// Sums, extremes and their positions. Rows ([.., n, 1]) run along memory; columns ([.., n, inner]) keep a few registers
// of neighbouring columns and go down.
//
// Sums of f32 add up to block_size elements in f32 (32 per lane on AVX-512) and combine the blocks in double: as
// fast as a plain sum and an order of magnitude more accurate (measured over 16M uniform numbers: 1.6e-8 relative).
#include "autograd/kernels/fill.h"
#include "autograd/kernels/lines.h"

namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME {
namespace {

constexpr Index smaller(Index a, Index b) { return a < b ? a : b; }

// ---- what is summed ----

template <class T, class Arch>
struct Values {
  const T* x;
  TAPEGRAD_INLINE Values from(Index i) const { return {x + i}; }
  TAPEGRAD_INLINE Batch<T, Arch> add(Batch<T, Arch> sum, Index i) const { return sum + load_all<T, Arch>(x + i); }
  TAPEGRAD_INLINE Batch<T, Arch> add_partial(Batch<T, Arch> sum, Index i, Index count) const {
    return sum + load_partial<T, Arch>(x + i, count);
  }
};

template <class T, class Arch>
struct Squares {
  const T* x;
  TAPEGRAD_INLINE Squares from(Index i) const { return {x + i}; }
  TAPEGRAD_INLINE Batch<T, Arch> add(Batch<T, Arch> sum, Index i) const {
    const Batch<T, Arch> value = load_all<T, Arch>(x + i);
    return fmadd(value, value, sum);
  }
  TAPEGRAD_INLINE Batch<T, Arch> add_partial(Batch<T, Arch> sum, Index i, Index count) const {
    const Batch<T, Arch> value = load_partial<T, Arch>(x + i, count);
    return fmadd(value, value, sum);
  }
};

template <class T, class Arch>
struct Magnitudes {
  const T* x;
  TAPEGRAD_INLINE Magnitudes from(Index i) const { return {x + i}; }
  TAPEGRAD_INLINE Batch<T, Arch> add(Batch<T, Arch> sum, Index i) const {
    return sum + xsimd::abs(load_all<T, Arch>(x + i));
  }
  TAPEGRAD_INLINE Batch<T, Arch> add_partial(Batch<T, Arch> sum, Index i, Index count) const {
    return sum + xsimd::abs(load_partial<T, Arch>(x + i, count));
  }
};

template <class T, class Arch>
struct Products {
  const T* x;
  const T* y;
  TAPEGRAD_INLINE Products from(Index i) const { return {x + i, y + i}; }
  TAPEGRAD_INLINE Batch<T, Arch> add(Batch<T, Arch> sum, Index i) const {
    return fmadd(load_all<T, Arch>(x + i), load_all<T, Arch>(y + i), sum);
  }
  TAPEGRAD_INLINE Batch<T, Arch> add_partial(Batch<T, Arch> sum, Index i, Index count) const {
    return fmadd(load_partial<T, Arch>(x + i, count), load_partial<T, Arch>(y + i, count), sum);
  }
};

// ---- sums along rows ----

constexpr Index block_size = 4096;

template <class T, class Arch, class Terms>
TAPEGRAD_INLINE T sum_block(Terms terms, Index n) {
  constexpr Index width = lanes<T, Arch>;
  constexpr int chains = 8;  // hides the latency of the addition
  Batch<T, Arch> sum[chains];
  static_for<chains>([&](auto k) TAPEGRAD_INLINE_LAMBDA { sum[k] = Batch<T, Arch>(T(0)); });
  Index i = 0;
  for (; i + chains * width <= n; i += chains * width) {
    static_for<chains>([&](auto k) TAPEGRAD_INLINE_LAMBDA { sum[k] = terms.add(sum[k], i + k * width); });
  }
  for (; i + width <= n; i += width) {
    sum[0] = terms.add(sum[0], i);
  }
  if (i < n) {
    sum[1] = terms.add_partial(sum[1], i, n - i);
  }
  return horizontal_sum(((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7])));
}

template <class T, class Arch, class Terms>
double sum_terms(Terms terms, Index n) {
  double total = 0;
  for (Index i = 0; i < n; i += block_size) {
    total += static_cast<double>(sum_block<T, Arch>(terms.from(i), smaller(block_size, n - i)));
  }
  return total;
}

template <class T, class Arch, template <class, class> class Terms>
double sum_chunk(const void* x, Index n) {
  return sum_terms<T, Arch>(Terms<T, Arch>{static_cast<const T*>(x)}, n);
}

template <class T, class Arch>
double dot_chunk(const void* x, const void* y, Index n) {
  return sum_terms<T, Arch>(Products<T, Arch>{static_cast<const T*>(x), static_cast<const T*>(y)}, n);
}

// ---- sums down columns ----

/// Rows that are added in T before they go to the double sums.
constexpr Index rows_per_block = 32;

/// Registers of neighbouring columns that go down together.
constexpr int wide = 4;

/// total[c] = sum over rows of the terms in column c, for `columns` <= Vectors registers, the last partly filled if
/// Partial.
template <class T, class Arch, int Vectors, bool Partial, class Terms>
TAPEGRAD_INLINE void sum_strip(Terms terms, Index rows, Index row_stride, Index columns, double* total) {
  constexpr Index width = lanes<T, Arch>;
  for (Index c = 0; c < Vectors * width; ++c) {
    total[c] = 0;
  }
  for (Index first = 0; first < rows; first += rows_per_block) {
    const Index last = smaller(rows, first + rows_per_block);
    Batch<T, Arch> sum[Vectors];
    static_for<Vectors>([&](auto k) TAPEGRAD_INLINE_LAMBDA { sum[k] = Batch<T, Arch>(T(0)); });
    for (Index r = first; r < last; ++r) {
      static_for<Vectors>([&](auto k) TAPEGRAD_INLINE_LAMBDA {
        if constexpr (Partial) {
          sum[k] = terms.add_partial(sum[k], r * row_stride, columns);
        } else {
          sum[k] = terms.add(sum[k], r * row_stride + k * width);
        }
      });
    }
    alignas(64) T block[Vectors * width];
    static_for<Vectors>([&](auto k) TAPEGRAD_INLINE_LAMBDA { sum[k].store_aligned(block + k * width); });
    for (Index c = 0; c < Vectors * width; ++c) {
      total[c] += static_cast<double>(block[c]);
    }
  }
}

template <class T, class Arch, class Terms, class Out>
void sum_columns(Terms terms, Out* out, Index rows, Index row_stride, Index columns) {
  constexpr Index width = lanes<T, Arch>;
  alignas(64) double total[wide * width];
  Index c = 0;
  for (; c + wide * width <= columns; c += wide * width) {
    sum_strip<T, Arch, wide, false>(terms.from(c), rows, row_stride, wide * width, total);
    for (Index i = 0; i < wide * width; ++i) {
      out[c + i] = static_cast<Out>(total[i]);
    }
  }
  for (; c < columns; c += width) {
    const Index count = smaller(width, columns - c);
    if (count == width) {
      sum_strip<T, Arch, 1, false>(terms.from(c), rows, row_stride, count, total);
    } else {
      sum_strip<T, Arch, 1, true>(terms.from(c), rows, row_stride, count, total);
    }
    for (Index i = 0; i < count; ++i) {
      out[c + i] = static_cast<Out>(total[i]);
    }
  }
}

template <class T, class Arch>
void sum_columns_chunk(const void* x, double* out, Index rows, Index row_stride, Index columns) {
  sum_columns<T, Arch>(Values<T, Arch>{static_cast<const T*>(x)}, out, rows, row_stride, columns);
}

template <class T, class Arch, template <class, class> class Terms>
void sum(const void* x, void* out, Index n, Index inner, Index begin, Index end) {
  const T* source = static_cast<const T*>(x);
  T* target = static_cast<T*>(out);
  for (Index o = begin; o < end; ++o) {
    const Terms<T, Arch> terms{source + o * n * inner};
    if (inner == 1) {
      target[o] = static_cast<T>(sum_terms<T, Arch>(terms, n));
    } else {
      sum_columns<T, Arch>(terms, target + o * inner, n, inner, inner);
    }
  }
}

// ---- extremes ----

template <class T, class Arch>
struct Largest {
  static constexpr T identity = -std::numeric_limits<T>::infinity();
  static TAPEGRAD_INLINE Batch<T, Arch> better(Batch<T, Arch> a, Batch<T, Arch> b) { return maximum(a, b); }
  static TAPEGRAD_INLINE T across(Batch<T, Arch> value) { return horizontal_max(value); }
  static TAPEGRAD_INLINE bool beats(T a, T b) { return a > b; }
};

template <class T, class Arch>
struct Smallest {
  static constexpr T identity = std::numeric_limits<T>::infinity();
  static TAPEGRAD_INLINE Batch<T, Arch> better(Batch<T, Arch> a, Batch<T, Arch> b) { return minimum(a, b); }
  static TAPEGRAD_INLINE T across(Batch<T, Arch> value) { return horizontal_min(value); }
  static TAPEGRAD_INLINE bool beats(T a, T b) { return a < b; }
};

template <class T, class Arch, class Extreme>
TAPEGRAD_INLINE T row_extreme(const T* x, Index n) {
  return Extreme::across(combine_line<T, Arch>(
      n, Extreme::identity, [x](auto at) TAPEGRAD_INLINE_LAMBDA { return at.read(x); },
      [](auto a, auto b) TAPEGRAD_INLINE_LAMBDA { return Extreme::better(a, b); }));
}

/// The first position of `value`, or of a NaN if it is one; x holds it.
template <class T, class Arch>
TAPEGRAD_INLINE Index find(const T* x, Index n, T value) {
  constexpr Index width = lanes<T, Arch>;
  const Batch<T, Arch> wanted(value);
  const bool want_nan = value != value;
  Index i = 0;
  for (; i + width <= n; i += width) {
    const Batch<T, Arch> here = load_all<T, Arch>(x + i);
    if (xsimd::any(want_nan ? is_nan(here) : here == wanted)) {
      break;
    }
  }
  while (want_nan ? x[i] == x[i] : x[i] != value) {
    ++i;
  }
  return i;
}

template <class T, class Arch, int Vectors, bool Partial, class Extreme>
TAPEGRAD_INLINE void extreme_strip(const T* x, T* out, Index n, Index row_stride, Index columns) {
  constexpr Index width = lanes<T, Arch>;
  Batch<T, Arch> best[Vectors];
  static_for<Vectors>([&](auto k) TAPEGRAD_INLINE_LAMBDA { best[k] = Batch<T, Arch>(Extreme::identity); });
  for (Index r = 0; r < n; ++r) {
    const T* row = x + r * row_stride;
    static_for<Vectors>([&](auto k) TAPEGRAD_INLINE_LAMBDA {
      if constexpr (Partial) {
        best[k] = Extreme::better(best[k], load_partial<T, Arch>(row, columns));
      } else {
        best[k] = Extreme::better(best[k], load_all<T, Arch>(row + k * width));
      }
    });
  }
  static_for<Vectors>([&](auto k) TAPEGRAD_INLINE_LAMBDA {
    if constexpr (Partial) {
      store_partial<T, Arch>(out, best[k], columns);
    } else {
      store_all<T, Arch>(out + k * width, best[k]);
    }
  });
}

template <class T, class Arch, class Extreme>
void column_extremes(const T* x, T* out, Index n, Index inner) {
  constexpr Index width = lanes<T, Arch>;
  Index c = 0;
  for (; c + wide * width <= inner; c += wide * width) {
    extreme_strip<T, Arch, wide, false, Extreme>(x + c, out + c, n, inner, wide * width);
  }
  for (; c + width <= inner; c += width) {
    extreme_strip<T, Arch, 1, false, Extreme>(x + c, out + c, n, inner, width);
  }
  if (c < inner) {
    extreme_strip<T, Arch, 1, true, Extreme>(x + c, out + c, n, inner, inner - c);
  }
}

template <class T, class Arch, class Extreme>
void extreme(const void* x, void* out, Index n, Index inner, Index begin, Index end) {
  const T* source = static_cast<const T*>(x);
  T* target = static_cast<T*>(out);
  for (Index o = begin; o < end; ++o) {
    if (inner == 1) {
      target[o] = row_extreme<T, Arch, Extreme>(source + o * n, n);
    } else {
      column_extremes<T, Arch, Extreme>(source + o * n * inner, target + o * inner, n, inner);
    }
  }
}

/// Extremes and their rows for up to one register of columns. A register is compared as a whole; its lanes are looked
/// at one by one only when one of them improves, which becomes rare after a few rows.
template <class T, class Arch, class Extreme>
TAPEGRAD_INLINE void column_positions(const T* x, T* out, std::int64_t* index, Index n, Index row_stride,
                                      Index columns) {
  Batch<T, Arch> best = load_partial<T, Arch>(x, columns);
  for (Index c = 0; c < columns; ++c) {
    out[c] = x[c];
    index[c] = 0;
  }
  for (Index r = 1; r < n; ++r) {
    const T* row = x + r * row_stride;
    const Batch<T, Arch> here = load_partial<T, Arch>(row, columns);
    const Batch<T, Arch> improved = Extreme::better(best, here);
    if (xsimd::all(improved == best)) {
      continue;
    }
    for (Index c = 0; c < columns; ++c) {
      const bool settled = out[c] != out[c];  // the first NaN stays
      if (!settled && (Extreme::beats(row[c], out[c]) || row[c] != row[c])) {
        out[c] = row[c];
        index[c] = r;
      }
    }
    best = improved;
  }
}

template <class T, class Arch, class Extreme>
void extreme_index(const void* x, void* out, std::int64_t* index, Index n, Index inner, Index begin, Index end) {
  constexpr Index width = lanes<T, Arch>;
  const T* source = static_cast<const T*>(x);
  T* target = static_cast<T*>(out);
  for (Index o = begin; o < end; ++o) {
    const T* from = source + o * n * inner;
    if (inner == 1) {
      target[o] = row_extreme<T, Arch, Extreme>(from, n);
      index[o] = find<T, Arch>(from, n, target[o]);
      continue;
    }
    for (Index c = 0; c < inner; c += width) {
      column_positions<T, Arch, Extreme>(from + c, target + o * inner + c, index + o * inner + c, n, inner,
                                         smaller(width, inner - c));
    }
  }
}

template <class T, class Arch>
void fill_type(Table& table, int type) {
  table.sum[type] = sum<T, Arch, Values>;
  table.sum_of_squares[type] = sum<T, Arch, Squares>;
  table.sum_of_magnitudes[type] = sum<T, Arch, Magnitudes>;
  table.max[type] = extreme<T, Arch, Largest<T, Arch>>;
  table.min[type] = extreme<T, Arch, Smallest<T, Arch>>;
  table.max_index[type] = extreme_index<T, Arch, Largest<T, Arch>>;
  table.min_index[type] = extreme_index<T, Arch, Smallest<T, Arch>>;
  table.sum_chunk[type] = sum_chunk<T, Arch, Values>;
  table.sum_of_squares_chunk[type] = sum_chunk<T, Arch, Squares>;
  table.dot_chunk[type] = dot_chunk<T, Arch>;
  table.sum_columns_chunk[type] = sum_columns_chunk<T, Arch>;
}

}  // namespace

void fill_reduce(Table& table) {
  fill_type<float, TargetArch>(table, 0);
  fill_type<double, TargetArch>(table, 1);
}

}  // namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME
