// Softmax, log-softmax and cross-entropy over rows. A row stays in the cache between its passes, so each function
// sweeps it two or three times and evaluates one exponential per element.
#include "autograd/kernels/fill.h"
#include "autograd/kernels/lines.h"
#include "autograd/kernels/vector_math.h"

namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME {
namespace {

/// The largest element. NaN may get lost here: the exponentials bring it back.
template <class T, class Arch>
TAPEGRAD_INLINE T row_max(const T* x, Index n) {
  using Vector = Batch<T, Arch>;
  const Vector largest = combine_line<T, Arch>(
      n, -std::numeric_limits<T>::infinity(), [x](auto at) TAPEGRAD_INLINE_LAMBDA { return at.read(x); },
      [](Vector a, Vector b) TAPEGRAD_INLINE_LAMBDA { return select(a > b, a, b); });
  return horizontal_max(largest);
}

template <class T, class Arch, class Value>
TAPEGRAD_INLINE T row_sum(Index n, Value&& value) {
  using Vector = Batch<T, Arch>;
  return horizontal_sum(
      combine_line<T, Arch>(n, T(0), value, [](Vector a, Vector b) TAPEGRAD_INLINE_LAMBDA { return a + b; }));
}

/// sum(exp(x - shift)).
template <class T, class Arch>
TAPEGRAD_INLINE T sum_exp(const T* x, T shift, Index n) {
  Batch<T, Arch> sum(T(0));
  for_each_register<T, Arch>(
      n, [&](auto at) TAPEGRAD_INLINE_LAMBDA { sum += at.only(math::exp(at.read(x) - Batch<T, Arch>(shift))); });
  return horizontal_sum(sum);
}

/// out = exp(x - shift); returns its sum, the same bits as sum_exp.
template <class T, class Arch>
TAPEGRAD_INLINE T store_exp(const T* x, T* out, T shift, Index n) {
  Batch<T, Arch> sum(T(0));
  for_each_register<T, Arch>(n, [&](auto at) TAPEGRAD_INLINE_LAMBDA {
    const Batch<T, Arch> value = math::exp(at.read(x) - Batch<T, Arch>(shift));
    at.write(out, value);
    sum += at.only(value);
  });
  return horizontal_sum(sum);
}

template <class T, class Arch>
TAPEGRAD_INLINE void scale_row(T* x, T factor, Index n) {
  for_each_register<T, Arch>(n,
                             [&](auto at) TAPEGRAD_INLINE_LAMBDA { at.write(x, at.read(x) * Batch<T, Arch>(factor)); });
}

template <class T>
TAPEGRAD_INLINE T scalar_log(T x) {
  return static_cast<T>(__builtin_log(static_cast<double>(x)));
}

// ---- softmax ----

template <class T, class Arch>
void softmax(const void* x, void* out, Index n, Index begin, Index end) {
  for (Index r = begin; r < end; ++r) {
    const T* row = static_cast<const T*>(x) + r * n;
    T* y = static_cast<T*>(out) + r * n;
    const T sum = store_exp<T, Arch>(row, y, row_max<T, Arch>(row, n), n);
    scale_row<T, Arch>(y, T(1) / sum, n);
  }
}

template <class T, class Arch>
void log_softmax(const void* x, void* out, Index n, Index begin, Index end) {
  for (Index r = begin; r < end; ++r) {
    const T* row = static_cast<const T*>(x) + r * n;
    T* y = static_cast<T*>(out) + r * n;
    const T largest = row_max<T, Arch>(row, n);
    const T log_sum = scalar_log(sum_exp<T, Arch>(row, largest, n));
    for_each_register<T, Arch>(n, [&](auto at) TAPEGRAD_INLINE_LAMBDA {
      // In this order: largest + log_sum would lose the small one.
      at.write(y, (at.read(row) - Batch<T, Arch>(largest)) - Batch<T, Arch>(log_sum));
    });
  }
}

template <class T, class Arch>
void softmax_backward(const void* y, const void* g, void* dx, Index n, Index begin, Index end) {
  for (Index r = begin; r < end; ++r) {
    const T* y_row = static_cast<const T*>(y) + r * n;
    const T* g_row = static_cast<const T*>(g) + r * n;
    T* dx_row = static_cast<T*>(dx) + r * n;
    const T dot = row_sum<T, Arch>(n, [&](auto at) TAPEGRAD_INLINE_LAMBDA { return at.read(y_row) * at.read(g_row); });
    for_each_register<T, Arch>(n, [&](auto at) TAPEGRAD_INLINE_LAMBDA {
      at.write(dx_row, at.read(y_row) * (at.read(g_row) - Batch<T, Arch>(dot)));
    });
  }
}

template <class T, class Arch>
void log_softmax_backward(const void* y, const void* g, void* dx, Index n, Index begin, Index end) {
  for (Index r = begin; r < end; ++r) {
    const T* y_row = static_cast<const T*>(y) + r * n;
    const T* g_row = static_cast<const T*>(g) + r * n;
    T* dx_row = static_cast<T*>(dx) + r * n;
    const T sum = row_sum<T, Arch>(n, [&](auto at) TAPEGRAD_INLINE_LAMBDA { return at.read(g_row); });
    for_each_register<T, Arch>(n, [&](auto at) TAPEGRAD_INLINE_LAMBDA {
      at.write(dx_row, fnmadd(math::exp(at.read(y_row)), Batch<T, Arch>(sum), at.read(g_row)));
    });
  }
}

// ---- cross-entropy ----

template <class T, class Arch>
void cross_entropy(const void* x, const std::int64_t* label, void* loss, void* log_sum, Index n, Index begin,
                   Index end) {
  for (Index r = begin; r < end; ++r) {
    const T* row = static_cast<const T*>(x) + r * n;
    const T largest = row_max<T, Arch>(row, n);
    const T logarithm = scalar_log(sum_exp<T, Arch>(row, largest, n));
    static_cast<T*>(loss)[r] = logarithm - (row[label[r]] - largest);
    if (log_sum != nullptr) {
      static_cast<T*>(log_sum)[r] = largest + logarithm;
    }
  }
}

template <class T, class Arch>
void cross_entropy_backward(const void* x, const std::int64_t* label, const void* log_sum, const void* scale, void* dx,
                            Index n, Index begin, Index end) {
  using Vector = Batch<T, Arch>;
  for (Index r = begin; r < end; ++r) {
    const T* row = static_cast<const T*>(x) + r * n;
    T* dx_row = static_cast<T*>(dx) + r * n;
    const T shift = static_cast<const T*>(log_sum)[r];
    const T factor = static_cast<const T*>(scale)[r];
    for_each_register<T, Arch>(n, [&](auto at) TAPEGRAD_INLINE_LAMBDA {
      at.write(dx_row, math::exp(at.read(row) - Vector(shift)) * Vector(factor));
    });
    dx_row[label[r]] -= factor;
  }
}

template <class T, class Arch>
void cross_entropy_fused(const void* x, const std::int64_t* label, double scale, void* loss, void* dx, Index n,
                         Index begin, Index end) {
  const T factor = static_cast<T>(scale);
  for (Index r = begin; r < end; ++r) {
    const T* row = static_cast<const T*>(x) + r * n;
    T* dx_row = static_cast<T*>(dx) + r * n;
    const T largest = row_max<T, Arch>(row, n);
    const T wanted = row[label[r]];  // before dx overwrites it, should they be the same array
    const T sum = store_exp<T, Arch>(row, dx_row, largest, n);
    scale_row<T, Arch>(dx_row, factor / sum, n);
    dx_row[label[r]] -= factor;
    static_cast<T*>(loss)[r] = scalar_log(sum) - (wanted - largest);
  }
}

template <class T, class Arch>
void fill_type(Table& table, int type) {
  table.softmax[type] = softmax<T, Arch>;
  table.log_softmax[type] = log_softmax<T, Arch>;
  table.softmax_backward[type] = softmax_backward<T, Arch>;
  table.log_softmax_backward[type] = log_softmax_backward<T, Arch>;
  table.cross_entropy[type] = cross_entropy<T, Arch>;
  table.cross_entropy_backward[type] = cross_entropy_backward<T, Arch>;
  table.cross_entropy_fused[type] = cross_entropy_fused<T, Arch>;
}

}  // namespace

void fill_softmax(Table& table) {
  fill_type<float, TargetArch>(table, 0);
  fill_type<double, TargetArch>(table, 1);
}

}  // namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME
