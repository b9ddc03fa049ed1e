// Matrix times vector. Memory sets the pace: every element of the matrix is read once, in the order in which it lies.
#include "autograd/kernels/fill.h"

namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME {
namespace {

/// Rows of the matrix lie in memory one after another: dot products. Each row is summed in the same way, whichever rows
/// are handled beside it.
template <class T, class Arch>
struct ByRows {
  using Vector = Batch<T, Arch>;
  static constexpr Index width = lanes<T, Arch>;
  static constexpr int chains = 2;

  /// As many rows as share one load of x.
  template <int Rows>
  TAPEGRAD_INLINE static void dot(const GemvArguments& g, Index row) {
    const T* const matrix = static_cast<const T*>(g.matrix) + row * g.row_stride;
    const T* const x = static_cast<const T*>(g.x);
    Vector sum[Rows][chains];
    static_for<Rows>([&](auto r) TAPEGRAD_INLINE_LAMBDA {
      static_for<chains>([&](auto c) TAPEGRAD_INLINE_LAMBDA { sum[r][c] = Vector(T(0)); });
    });
    Index k = 0;
    for (; k + chains * width <= g.k; k += chains * width) {
      static_for<chains>([&](auto c) TAPEGRAD_INLINE_LAMBDA {
        const Vector factor = load_all<T, Arch>(x + k + c * width);
        static_for<Rows>([&](auto r) TAPEGRAD_INLINE_LAMBDA {
          sum[r][c] = fmadd(load_all<T, Arch>(matrix + r * g.row_stride + k + c * width), factor, sum[r][c]);
        });
      });
    }
    for (; k < g.k; k += width) {
      const Index count = g.k - k < width ? g.k - k : width;
      const Vector factor = load_partial<T, Arch>(x + k, count);
      static_for<Rows>([&](auto r) TAPEGRAD_INLINE_LAMBDA {
        sum[r][0] = fmadd(load_partial<T, Arch>(matrix + r * g.row_stride + k, count), factor, sum[r][0]);
      });
    }
    T* const y = static_cast<T*>(g.y) + row;
    static_for<Rows>([&](auto r) TAPEGRAD_INLINE_LAMBDA { y[r] = horizontal_sum<T, Arch>(sum[r][0] + sum[r][1]); });
  }

  static void multiply(const GemvArguments& g) {
    Index row = g.begin;
    for (; row + 4 <= g.end; row += 4) dot<4>(g, row);
    for (; row < g.end; ++row) dot<1>(g, row);
  }
};

/// Columns of the matrix lie in memory one after another: y is a sum of columns. A strip of y stays in registers while k
/// runs; in blocks, so that a long sum does not lose what is small.
template <class T, class Arch>
struct ByColumns {
  using Vector = Batch<T, Arch>;
  static constexpr Index width = lanes<T, Arch>;
  static constexpr int vectors = 8;
  static constexpr Index k_block = 512;

  template <int Vectors, class Load, class Store>
  TAPEGRAD_INLINE static void strip(const GemvArguments& g, Index row, Load load, Store store) {
    T* const y = static_cast<T*>(g.y) + row;
    for (Index k0 = 0; k0 < g.k; k0 += k_block) {
      const Index end = k0 + k_block < g.k ? k0 + k_block : g.k;
      Vector sum[Vectors];
      static_for<Vectors>([&](auto j) TAPEGRAD_INLINE_LAMBDA { sum[j] = Vector(T(0)); });
      const T* const x = static_cast<const T*>(g.x);
      const T* column = static_cast<const T*>(g.matrix) + row + k0 * g.column_stride;
      for (Index k = k0; k < end; ++k) {
        const Vector factor(x[k]);
        static_for<Vectors>([&](auto j)
                                TAPEGRAD_INLINE_LAMBDA { sum[j] = fmadd(load(column + j * width), factor, sum[j]); });
        column += g.column_stride;
      }
      static_for<Vectors>([&](auto j) TAPEGRAD_INLINE_LAMBDA {
        store(y + j * width, k0 == 0 ? sum[j] : load(static_cast<const T*>(y) + j * width) + sum[j]);
      });
    }
  }

  static void multiply(const GemvArguments& g) {
    const auto load = [](const T* from) TAPEGRAD_INLINE_LAMBDA { return load_all<T, Arch>(from); };
    const auto store = [](T* to, Vector value) TAPEGRAD_INLINE_LAMBDA { store_all<T, Arch>(to, value); };
    Index row = g.begin;
    for (; row + vectors * width <= g.end; row += vectors * width) strip<vectors>(g, row, load, store);
    for (; row + width <= g.end; row += width) strip<1>(g, row, load, store);
    if (row == g.end) return;
    const Index count = g.end - row;
    strip<1>(
        g, row, [count](const T* from) TAPEGRAD_INLINE_LAMBDA { return load_partial<T, Arch>(from, count); },
        [count](T* to, Vector value) TAPEGRAD_INLINE_LAMBDA { store_partial<T, Arch>(to, value, count); });
  }
};

template <class T>
void add_bias(const GemvArguments& g) {
  T* const y = static_cast<T*>(g.y);
  const T* const bias = static_cast<const T*>(g.bias);
  for (Index i = g.begin; i < g.end; ++i) y[i] += bias[i * g.bias_stride];
}

template <class T, class Arch>
void gemv(const GemvArguments& g) {
  if (g.column_stride == 1) {
    ByRows<T, Arch>::multiply(g);
  } else {
    ByColumns<T, Arch>::multiply(g);
  }
  if (g.bias != nullptr) add_bias<T>(g);
}

}  // namespace

void fill_gemv(Table& table) {
  table.gemv[0] = gemv<float, TargetArch>;
  table.gemv[1] = gemv<double, TargetArch>;
}

}  // namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME
