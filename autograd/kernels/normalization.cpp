// Norms over rows (layer and RMS norm) and down columns (batch, instance and group norm): statistics, and the loops
// that read an array once more to write the result or the gradient.
//
// A variance is computed in two passes, down columns by blocks that fit the L1 cache and whose means and squares are
// merged in double (Chan, Golub and LeVeque, 1983): nothing is lost where the mean is large. For the same reason a mean
// has two parts: x - high is exact near the mean, and what `high` lacks goes into the constant behind it.
#include "autograd/kernels/fill.h"
#include "autograd/kernels/lines.h"

namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME {
namespace {

constexpr Index smaller(Index a, Index b) { return a < b ? a : b; }

/// Elements of a row whose sums are made in T.
constexpr Index row_block = 4096;
/// Rows of a column whose sums are made in T.
constexpr Index column_block = 32;
/// Registers of neighbouring columns that go down together.
constexpr int wide = 4;

// ---- rows ----

struct Sums {
  double first = 0, second = 0;
};

/// The sums of both values of pair(access) over n elements, in blocks.
template <class T, class Arch, class Pair>
TAPEGRAD_INLINE Sums sum_pairs(Index n, Pair&& pair) {
  constexpr Index width = lanes<T, Arch>;
  constexpr int chains = 4;
  Sums total;
  for (Index begin = 0; begin < n; begin += row_block) {
    const Index end = smaller(n, begin + row_block);
    Batch<T, Arch> first[chains];
    Batch<T, Arch> second[chains];
    static_for<chains>([&](auto k) TAPEGRAD_INLINE_LAMBDA { first[k] = second[k] = Batch<T, Arch>(T(0)); });
    Index i = begin;
    for (; i + chains * width <= end; i += chains * width) {
      static_for<chains>([&](auto k) TAPEGRAD_INLINE_LAMBDA {
        pair(Access<T, Arch, false>{i + k * width, width}, first[k], second[k]);
      });
    }
    for (; i + width <= end; i += width) {
      pair(Access<T, Arch, false>{i, width}, first[0], second[0]);
    }
    if (i < end) {
      pair(Access<T, Arch, true>{i, end - i}, first[1], second[1]);
    }
    total.first += static_cast<double>(horizontal_sum((first[0] + first[1]) + (first[2] + first[3])));
    total.second += static_cast<double>(horizontal_sum((second[0] + second[1]) + (second[2] + second[3])));
  }
  return total;
}

/// Mean and variance of a row; of one that is not centred, 0 and the mean of the squares.
template <class T, class Arch, bool Centred>
TAPEGRAD_INLINE void row_statistics(const T* x, Index n, double* statistics) {
  using Vector = Batch<T, Arch>;
  const double count = static_cast<double>(n);
  T centre = 0;
  if constexpr (Centred) {
    double sum = 0;
    for (Index i = 0; i < n; i += row_block) {
      const T* const block = x + i;
      sum += static_cast<double>(horizontal_sum(combine_line<T, Arch>(
          smaller(row_block, n - i), T(0), [block](auto at) TAPEGRAD_INLINE_LAMBDA { return at.read(block); },
          [](Vector a, Vector b) TAPEGRAD_INLINE_LAMBDA { return a + b; })));
    }
    centre = static_cast<T>(sum / count);
  }
  const auto [rest, squares] =
      sum_pairs<T, Arch>(n, [&](auto at, Vector& first, Vector& second) TAPEGRAD_INLINE_LAMBDA {
        const Vector difference = at.only(at.read(x) - Vector(centre));
        if constexpr (Centred) {
          first += difference;
        }
        second = fmadd(difference, difference, second);
      });
  statistics[0] = static_cast<double>(centre) + rest / count;
  statistics[1] = (squares - rest * rest / count) / count;
}

/// What normalises a row: (x - mean) / sqrt(variance + epsilon).
template <class T, class Arch>
struct Normalizer {
  Batch<T, Arch> high, factor, rest;

  TAPEGRAD_INLINE Normalizer(const double* statistics, double epsilon) {
    const double reciprocal = 1 / __builtin_sqrt(statistics[1] + epsilon);
    const T high_part = static_cast<T>(statistics[0]);
    high = Batch<T, Arch>(high_part);
    factor = Batch<T, Arch>(static_cast<T>(reciprocal));
    rest = Batch<T, Arch>(static_cast<T>((static_cast<double>(high_part) - statistics[0]) * reciprocal));
  }
  TAPEGRAD_INLINE Batch<T, Arch> operator()(Batch<T, Arch> x) const { return fmadd(x - high, factor, rest); }
};

template <class T, class Arch, bool Centred>
TAPEGRAD_INLINE void normalize_rows_as(const NormalizeRowsArguments& a) {
  const T* const weight = static_cast<const T*>(a.weight);
  const T* const bias = static_cast<const T*>(a.bias);
  for (Index r = a.begin; r < a.end; ++r) {
    const T* const x = static_cast<const T*>(a.x) + r * a.n;
    T* const y = static_cast<T*>(a.y) + r * a.n;
    row_statistics<T, Arch, Centred>(x, a.n, a.statistics + 2 * r);
    const Normalizer<T, Arch> normalized(a.statistics + 2 * r, a.epsilon);
    for_each_register<T, Arch>(a.n, [&](auto at) TAPEGRAD_INLINE_LAMBDA {
      at.write(y, fmadd(normalized(at.read(x)), at.read(weight), at.read(bias)));
    });
  }
}

template <class T, class Arch>
void normalize_rows(const NormalizeRowsArguments& a) {
  if (a.centred) {
    normalize_rows_as<T, Arch, true>(a);
  } else {
    normalize_rows_as<T, Arch, false>(a);
  }
}

/// The sums of u = g weight and of u times the normalised x; with sums, g times that and g are added to the arrays.
template <class T, class Arch, bool WithSums>
TAPEGRAD_INLINE Sums row_dots(const T* x, const T* g, const T* weight, Index n, const Normalizer<T, Arch>& normalized,
                              T* weight_sum, T* bias_sum) {
  using Vector = Batch<T, Arch>;
  return sum_pairs<T, Arch>(n, [&](auto at, Vector& first, Vector& second) TAPEGRAD_INLINE_LAMBDA {
    const Vector value = normalized(at.read(x));
    const Vector cotangent = at.read(g);
    const Vector u = cotangent * at.read(weight);
    first += u;
    second = fmadd(u, value, second);
    if constexpr (WithSums) {
      at.write(weight_sum, fmadd(cotangent, value, at.read(weight_sum)));
      at.write(bias_sum, cotangent + at.read(bias_sum));
    }
  });
}

template <class T>
TAPEGRAD_INLINE void add_to_double(const T* from, double* to, Index n) {
  for (Index i = 0; i < n; ++i) {
    to[i] += static_cast<double>(from[i]);
  }
}

template <class T, class Arch, bool WithSums>
TAPEGRAD_INLINE void row_gradients(const NormalizeRowsBackwardArguments& a, Index begin, Index end, T* weight_sum,
                                   T* bias_sum) {
  using Vector = Batch<T, Arch>;
  const T* const weight = static_cast<const T*>(a.weight);
  const double n = static_cast<double>(a.n);
  for (Index r = begin; r < end; ++r) {
    const T* const x = static_cast<const T*>(a.x) + r * a.n;
    const T* const g = static_cast<const T*>(a.g) + r * a.n;
    const Normalizer<T, Arch> normalized(a.statistics + 2 * r, a.epsilon);
    const auto [sum, dot] = row_dots<T, Arch, WithSums>(x, g, weight, a.n, normalized, weight_sum, bias_sum);
    if (a.dx == nullptr) {
      continue;
    }
    T* const dx = static_cast<T*>(a.dx) + r * a.n;
    const Vector mean(a.centred ? static_cast<T>(sum / n) : T(0));
    const Vector slope(static_cast<T>(dot / n));
    for_each_register<T, Arch>(a.n, [&](auto at) TAPEGRAD_INLINE_LAMBDA {
      const Vector u = at.read(g) * at.read(weight);
      at.write(dx, fnmadd(normalized(at.read(x)), slope, u - mean) * normalized.factor);
    });
  }
}

template <class T, class Arch>
void normalize_rows_backward(const NormalizeRowsBackwardArguments& a) {
  if (a.weight_sum == nullptr) {
    row_gradients<T, Arch, false>(a, a.begin, a.end, nullptr, nullptr);
    return;
  }
  T* const weight_sum = static_cast<T*>(a.workspace);
  T* const bias_sum = weight_sum + a.n;
  for (Index i = 0; i < a.n; ++i) {
    a.weight_sum[i] = a.bias_sum[i] = 0;
  }
  for (Index begin = a.begin; begin < a.end; begin += column_block) {
    for (Index i = 0; i < 2 * a.n; ++i) {
      weight_sum[i] = T(0);
    }
    row_gradients<T, Arch, true>(a, begin, smaller(a.end, begin + column_block), weight_sum, bias_sum);
    add_to_double(weight_sum, a.weight_sum, a.n);
    add_to_double(bias_sum, a.bias_sum, a.n);
  }
}

// ---- columns ----

/// Calls body(column, columns, Vectors, is_partial) for strips of neighbouring columns.
template <class T, class Arch, class Body>
TAPEGRAD_INLINE void for_each_strip(Index columns, Body&& body) {
  constexpr Index width = lanes<T, Arch>;
  Index c = 0;
  for (; c + wide * width <= columns; c += wide * width) {
    body(c, wide * width, std::integral_constant<int, wide>{}, std::false_type{});
  }
  for (; c + width <= columns; c += width) {
    body(c, width, std::integral_constant<int, 1>{}, std::false_type{});
  }
  if (c < columns) {
    body(c, columns - c, std::integral_constant<int, 1>{}, std::true_type{});
  }
}

/// Merges the moments of one block of rows into those of all rows before.
template <class T>
TAPEGRAD_INLINE void merge_columns(const T* centre, const T* rest, const T* squares, Index columns, double before,
                                   double count, double* mean, double* total_squares) {
  const double share = count / (before + count);
  for (Index c = 0; c < columns; ++c) {
    const double sum = static_cast<double>(rest[c]);
    const double difference = static_cast<double>(centre[c]) + sum / count - mean[c];
    mean[c] += difference * share;
    total_squares[c] +=
        static_cast<double>(squares[c]) - sum * sum / count + difference * difference * (before * share);
  }
}

template <class T, class Arch, int Vectors, bool Partial>
TAPEGRAD_INLINE void moments_of_strip(const T* x, Index rows, Index row_stride, Index columns, double before,
                                      double* mean, double* squares) {
  using Vector = Batch<T, Arch>;
  constexpr Index width = lanes<T, Arch>;
  const auto read = [&](Index r, auto k) TAPEGRAD_INLINE_LAMBDA {
    return Access<T, Arch, Partial>{r * row_stride + k * width, columns}.read(x);
  };
  Vector centre[Vectors], sum[Vectors], square[Vectors];
  static_for<Vectors>([&](auto k) TAPEGRAD_INLINE_LAMBDA { centre[k] = sum[k] = square[k] = Vector(T(0)); });
  for (Index r = 0; r < rows; ++r) {
    static_for<Vectors>([&](auto k) TAPEGRAD_INLINE_LAMBDA { centre[k] += read(r, k); });
  }
  static_for<Vectors>([&](auto k) TAPEGRAD_INLINE_LAMBDA { centre[k] *= Vector(T(1) / static_cast<T>(rows)); });
  for (Index r = 0; r < rows; ++r) {
    static_for<Vectors>([&](auto k) TAPEGRAD_INLINE_LAMBDA {
      const Vector difference = read(r, k) - centre[k];
      sum[k] += difference;
      square[k] = fmadd(difference, difference, square[k]);
    });
  }
  alignas(64) T stored[3][Vectors * width];
  static_for<Vectors>([&](auto k) TAPEGRAD_INLINE_LAMBDA {
    centre[k].store_aligned(stored[0] + k * width);
    sum[k].store_aligned(stored[1] + k * width);
    square[k].store_aligned(stored[2] + k * width);
  });
  merge_columns(stored[0], stored[1], stored[2], columns, before, static_cast<double>(rows), mean, squares);
}

template <class T, class Arch>
void column_moments(const void* x, Index rows, Index columns, double* mean, double* squares) {
  for (Index c = 0; c < columns; ++c) {
    mean[c] = squares[c] = 0;
  }
  for (Index begin = 0; begin < rows; begin += column_block) {
    const T* const block = static_cast<const T*>(x) + begin * columns;
    const Index count = smaller(column_block, rows - begin);
    for_each_strip<T, Arch>(columns, [&](Index c, Index some, auto vectors, auto partial) TAPEGRAD_INLINE_LAMBDA {
      moments_of_strip<T, Arch, vectors, partial>(block + c, count, columns, some, static_cast<double>(begin), mean + c,
                                                  squares + c);
    });
  }
}

template <class T, class Arch, int Vectors, bool Partial>
TAPEGRAD_INLINE void dots_of_strip(const T* x, const T* g, const T* centre, Index rows, Index row_stride, Index columns,
                                   double* total, double* total_dot) {
  using Vector = Batch<T, Arch>;
  constexpr Index width = lanes<T, Arch>;
  Vector middle[Vectors], sum[Vectors], dot[Vectors];
  static_for<Vectors>([&](auto k) TAPEGRAD_INLINE_LAMBDA {
    middle[k] = Access<T, Arch, Partial>{k * width, columns}.read(centre);
    sum[k] = dot[k] = Vector(T(0));
  });
  for (Index r = 0; r < rows; ++r) {
    static_for<Vectors>([&](auto k) TAPEGRAD_INLINE_LAMBDA {
      const Access<T, Arch, Partial> at{r * row_stride + k * width, columns};
      const Vector cotangent = at.read(g);
      sum[k] += cotangent;
      dot[k] = fmadd(cotangent, at.read(x) - middle[k], dot[k]);
    });
  }
  alignas(64) T stored[2][Vectors * width];
  static_for<Vectors>([&](auto k) TAPEGRAD_INLINE_LAMBDA {
    sum[k].store_aligned(stored[0] + k * width);
    dot[k].store_aligned(stored[1] + k * width);
  });
  add_to_double(stored[0], total, columns);
  add_to_double(stored[1], total_dot, columns);
}

template <class T, class Arch>
void column_dots(const void* x, const void* g, const void* centre, Index rows, Index columns, double* sum,
                 double* dot) {
  for (Index c = 0; c < columns; ++c) {
    sum[c] = dot[c] = 0;
  }
  for (Index begin = 0; begin < rows; begin += column_block) {
    const T* const x_block = static_cast<const T*>(x) + begin * columns;
    const T* const g_block = static_cast<const T*>(g) + begin * columns;
    const Index count = smaller(column_block, rows - begin);
    for_each_strip<T, Arch>(columns, [&](Index c, Index some, auto vectors, auto partial) TAPEGRAD_INLINE_LAMBDA {
      dots_of_strip<T, Arch, vectors, partial>(x_block + c, g_block + c, static_cast<const T*>(centre) + c, count,
                                               columns, some, sum + c, dot + c);
    });
  }
}

template <class T, class Arch>
void column_affine(const void* x, const void* centre, const void* scale, const void* shift, void* y, Index rows,
                   Index columns) {
  const T* const middle = static_cast<const T*>(centre);
  const T* const factor = static_cast<const T*>(scale);
  const T* const constant = static_cast<const T*>(shift);
  for (Index r = 0; r < rows; ++r) {
    const T* const from = static_cast<const T*>(x) + r * columns;
    T* const to = static_cast<T*>(y) + r * columns;
    for_each_register<T, Arch>(columns, [&](auto at) TAPEGRAD_INLINE_LAMBDA {
      at.write(to, fmadd(at.read(from) - at.read(middle), at.read(factor), at.read(constant)));
    });
  }
}

template <class T, class Arch>
void column_affine_of_two(const ColumnAffineOfTwoArguments& a) {
  const T* const middle = static_cast<const T*>(a.centre);
  const T* const x_scale = static_cast<const T*>(a.x_scale);
  const T* const g_scale = static_cast<const T*>(a.g_scale);
  const T* const shift = static_cast<const T*>(a.shift);
  for (Index r = 0; r < a.rows; ++r) {
    const T* const x = static_cast<const T*>(a.x) + r * a.columns;
    const T* const g = static_cast<const T*>(a.g) + r * a.columns;
    T* const out = static_cast<T*>(a.out) + r * a.columns;
    for_each_register<T, Arch>(a.columns, [&](auto at) TAPEGRAD_INLINE_LAMBDA {
      const Batch<T, Arch> of_x = fmadd(at.read(x) - at.read(middle), at.read(x_scale), at.read(shift));
      at.write(out, fmadd(at.read(g), at.read(g_scale), of_x));
    });
  }
}

template <class T, class Arch>
void fill_type(Table& table, int type) {
  table.normalize_rows[type] = normalize_rows<T, Arch>;
  table.normalize_rows_backward[type] = normalize_rows_backward<T, Arch>;
  table.column_moments[type] = column_moments<T, Arch>;
  table.column_dots[type] = column_dots<T, Arch>;
  table.column_affine[type] = column_affine<T, Arch>;
  table.column_affine_of_two[type] = column_affine_of_two<T, Arch>;
}

}  // namespace

void fill_normalization(Table& table) {
  fill_type<float, TargetArch>(table, 0);
  fill_type<double, TargetArch>(table, 1);
}

}  // namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME
