// Running sums, running products and linear recurrences. Lines that lie side by side share registers (the compiler
// vectorises the loops over `Lanes`); rows go four at a time, so that they hide each other's latency.
#include "autograd/kernels/fill.h"

namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME {
namespace {

constexpr Index smaller(Index a, Index b) { return a < b ? a : b; }

// ---- what follows `last` at a position ----

template <class T>
struct Sum {
  const T* x;
  TAPEGRAD_INLINE double next(double last, Index at) const { return last + static_cast<double>(x[at]); }
};

template <class T>
struct Product {
  const T* x;
  TAPEGRAD_INLINE double next(double last, Index at) const { return last * static_cast<double>(x[at]); }
};

template <class T>
struct Recurrence {
  const T* x;
  const T* coefficient;
  TAPEGRAD_INLINE double next(double last, Index at) const {
    return static_cast<double>(x[at]) + static_cast<double>(coefficient[at]) * last;
  }
};

// ---- lines ----

/// `Lanes` lines of n elements, each `stride` from the next, and line from line `lane_stride`.
template <class T, int Lanes, class Step>
TAPEGRAD_INLINE void scan_lines(Step step, T* __restrict out, Index n, Index stride, Index lane_stride) {
  double last[Lanes];
  static_for<Lanes>([&](auto lane) TAPEGRAD_INLINE_LAMBDA {
    out[lane * lane_stride] = step.x[lane * lane_stride];
    last[lane] = static_cast<double>(step.x[lane * lane_stride]);
  });
  for (Index i = 1; i < n; ++i) {
    static_for<Lanes>([&](auto lane) TAPEGRAD_INLINE_LAMBDA {
      const Index at = i * stride + lane * lane_stride;
      last[lane] = step.next(last[lane], at);
      out[at] = static_cast<T>(last[lane]);
    });
  }
}

/// out[k] = the product of all elements of the line but x[k].
template <class T, int Lanes>
TAPEGRAD_INLINE void multiply_others(const T* x, T* __restrict out, Index n, Index stride, Index lane_stride) {
  double before[Lanes];
  double behind[Lanes];
  static_for<Lanes>([&](auto lane) TAPEGRAD_INLINE_LAMBDA { before[lane] = behind[lane] = 1; });
  for (Index i = 0; i < n; ++i) {
    static_for<Lanes>([&](auto lane) TAPEGRAD_INLINE_LAMBDA {
      const Index at = i * stride + lane * lane_stride;
      out[at] = static_cast<T>(before[lane]);
      before[lane] *= static_cast<double>(x[at]);
    });
  }
  for (Index i = n - 1; i >= 0; --i) {
    static_for<Lanes>([&](auto lane) TAPEGRAD_INLINE_LAMBDA {
      const Index at = i * stride + lane * lane_stride;
      out[at] = static_cast<T>(static_cast<double>(out[at]) * behind[lane]);
      behind[lane] *= static_cast<double>(x[at]);
    });
  }
}

/// Calls body(lanes, start, stride, lane_stride) for strips of lines; `start` is the first visited element's position.
template <class Body>
TAPEGRAD_INLINE void for_each_strip(const ScanArguments& a, Body body) {
  if (a.n == 0) {
    return;
  }
  const bool is_rows = a.inner == 1;
  const Index stride = a.reverse ? -a.inner : a.inner;
  Index count = 0;
  for (Index line = a.begin; line < a.end; line += count) {
    const Index column = line % a.inner;
    const Index start = line / a.inner * a.n * a.inner + column + (a.reverse ? (a.n - 1) * a.inner : 0);
    const Index left = is_rows ? a.end - line : smaller(a.end - line, a.inner - column);
    if (!is_rows && left >= 16) {
      body(std::integral_constant<int, 16>{}, start, stride, Index{1});
      count = 16;
    } else if (left >= 4) {
      body(std::integral_constant<int, 4>{}, start, stride, is_rows ? a.n : Index{1});
      count = 4;
    } else {
      body(std::integral_constant<int, 1>{}, start, stride, Index{1});
      count = 1;
    }
  }
}

template <class T, template <class> class Step>
void scan_elements(const ScanArguments& a) {
  const T* const x = static_cast<const T*>(a.x);
  T* const out = static_cast<T*>(a.out);
  for_each_strip(a, [&](auto lanes, Index start, Index stride, Index lane_stride) TAPEGRAD_INLINE_LAMBDA {
    scan_lines<T, lanes>(Step<T>{x + start}, out + start, a.n, stride, lane_stride);
  });
}

template <class T>
void linear_scan(const ScanArguments& a) {
  const T* const x = static_cast<const T*>(a.x);
  const T* const coefficient = static_cast<const T*>(a.coefficient) + (a.reverse ? a.inner : 0);
  T* const out = static_cast<T*>(a.out);
  for_each_strip(a, [&](auto lanes, Index start, Index stride, Index lane_stride) TAPEGRAD_INLINE_LAMBDA {
    scan_lines<T, lanes>(Recurrence<T>{x + start, coefficient + start}, out + start, a.n, stride, lane_stride);
  });
}

template <class T>
void products_of_others(const ScanArguments& a) {
  const T* const x = static_cast<const T*>(a.x);
  T* const out = static_cast<T*>(a.out);
  for_each_strip(a, [&](auto lanes, Index start, Index stride, Index lane_stride) TAPEGRAD_INLINE_LAMBDA {
    multiply_others<T, lanes>(x + start, out + start, a.n, stride, lane_stride);
  });
}

template <class T>
void fill_type(Table& table, int type) {
  table.cumsum[type] = scan_elements<T, Sum>;
  table.cumprod[type] = scan_elements<T, Product>;
  table.linear_scan[type] = linear_scan<T>;
  table.products_of_others[type] = products_of_others<T>;
}

}  // namespace

void fill_scan(Table& table) {
  fill_type<float>(table, 0);
  fill_type<double>(table, 1);
}

}  // namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME
