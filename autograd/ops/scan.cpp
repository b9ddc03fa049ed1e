#include "autograd/ops/scan.h"

#include "autograd/create.h"
#include "autograd/kernels/table.h"
#include "autograd/ops/elements.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/shape.h"

namespace tapegrad {
namespace {

constexpr double nanoseconds_per_element = 0.5;

using ScanKernel = void (*)(const kernels::ScanArguments&);

struct ScanAttributes {
  int axis;
  bool reverse = false;
};

// ---- running a kernel ----

// [outer, n, inner] around one axis.
struct Lines {
  std::int64_t n, inner = 1, count;

  Lines(const Shape& shape, int axis) : n(shape[axis]) {
    for (int k = axis + 1; k < shape.ndim(); ++k) inner *= shape[k];
    count = n ? shape.size() / n : 0;
  }
};

Tensor run_kernel(ScanKernel kernel, const Tensor& x, const Tensor& coefficient, const ScanAttributes& a) {
  const Tensor from = detail::contiguous_elements(x);
  const Tensor factors = coefficient.defined() ? detail::contiguous_elements(coefficient) : Tensor();
  Tensor y = Tensor::empty(x.shape(), x.dtype());
  const Lines lines(y.shape(), a.axis);
  const double cost = nanoseconds_per_element * static_cast<double>(lines.n);
  detail::for_ranges(lines.count, cost, [&](std::int64_t begin, std::int64_t end) {
    kernel({lines.n, lines.inner, from.data(), factors.defined() ? factors.data() : nullptr, y.data(), begin, end,
            a.reverse});
  });
  return y;
}

// y[k] = combine(y[k - 1], x[k]) in 64 bits, unsigned, so that an overflow wraps around. Only forwards: integers have no
// gradient.
template <class F>
Tensor scan_integers(const Tensor& x, int axis, F&& combine) {
  Tensor y = detail::converted(x, i64);
  const Lines lines(y.shape(), axis);
  auto* const values = reinterpret_cast<std::uint64_t*>(y.data<std::int64_t>());
  for (std::int64_t i = 0; i < y.size(); ++i) {
    const bool is_first = i / lines.inner % lines.n == 0;
    if (!is_first) values[i] = combine(values[i - lines.inner], values[i]);
  }
  return y;
}

Shape checked_shape(const Inputs& x, const ScanAttributes& a) {
  normalize_axis(x.op(), a.axis, x[0].ndim(), x.at());
  return x[0].shape();
}

// ---- shifts along an axis ----

// a[k] b[k - 1] along the axis, with `first(a)` at 0.
template <class F>
Tensor times_previous(const Tensor& a, const Tensor& b, int axis, F&& first) {
  const std::int64_t n = a.shape(axis);
  if (n == 0) return a;
  return concat({first(a.slice(axis, 0, 1)), a.slice(axis, 1, n) * b.slice(axis, 0, n - 1)}, axis);
}

// x[k - 1], with `first` at 0.
Tensor moved_on(const Tensor& x, int axis, double first = 0) {
  const std::int64_t n = x.shape(axis);
  if (n == 0) return x;
  return concat({full(x.slice(axis, 0, 1).shape(), first, x.dtype()), x.slice(axis, 0, n - 1)}, axis);
}

// x[k + 1], with 0 at the end.
Tensor moved_back(const Tensor& x, int axis) {
  const std::int64_t n = x.shape(axis);
  if (n == 0) return x;
  return concat({x.slice(axis, 1, n), zeros_like(x.slice(axis, 0, 1))}, axis);
}

// ---- samples ----

// Rows, columns, the middle; strided; size 1 and 0; enough for several threads.
std::vector<Sample<ScanAttributes>> scan_samples() {
  const Tensor x = detail::sample_values({3, 4, 5});
  return {{{x}, {-1}},
          {{x}, {0}},
          {{x}, {1}},
          {{detail::swapped_view(x, 0, 2)}, {1}},
          {{detail::sliced_view(x, 2, 4, 3, -2)}, {2}},
          {{detail::sample_values({7})}, {0}},
          {{detail::sample_values({3, 1, 2})}, {1}},
          {{detail::sample_values({0, 3})}, {1}},
          {{detail::sample_values({3, 0})}, {1}},
          {{detail::sample_values({600, 9})}, {1}},
          {{detail::sample_values({9, 600})}, {0}}};
}

// ---- ops ----

struct CumSum {
  static constexpr const char* name = "cumsum";
  static constexpr const char* doc = "Running sums along an axis.";
  using Attributes = ScanAttributes;
  static constexpr Uses uses = {};
  static constexpr bool is_linear = true;
  static Shape shape(const Inputs& x, const Attributes& a) { return checked_shape(x, a); }
  static Tensor forward(const Inputs& x, Attributes& a, const Shape& shape) {
    a.axis = normalize_axis(name, a.axis, shape.ndim(), x.at());
    if (!is_floating(x[0].dtype())) {
      return scan_integers(x[0], a.axis, [](std::uint64_t sum, std::uint64_t e) { return sum + e; });
    }
    return run_kernel(kernels::table().cumsum[detail::kernel_index(x[0].dtype())], x[0], {}, a);
  }
  static void vjp(Walk& w, const Attributes& a, const Tensor& g) {
    w.give(0, apply<CumSum>({a.axis, !a.reverse}, Arg(g)));
  }
  static std::vector<Sample<Attributes>> samples() {
    std::vector<Sample<Attributes>> samples = scan_samples();
    samples.push_back({{detail::sample_values({3, 4})}, {1, true}});
    return samples;
  }
};

struct LinearScan {
  static constexpr const char* name = "linear_scan";
  static constexpr const char* doc = "The recurrence y[k] = x[k] + a[k] y[k - 1] along an axis.";
  using Attributes = ScanAttributes;
  static constexpr Uses uses = {reads_input(1), reads_input(1) | reads_output};
  static Shape shape(const Inputs& x, const Attributes& a) {
    if (!(x[0].shape() == x[1].shape()) || x[0].dtype() != x[1].dtype()) {
      x.fail("x is " + describe(x[0]) + " and a is " + describe(x[1]), "shapes and dtypes must be equal");
    }
    if (!is_floating(x[0].dtype())) x.fail(describe(x[0]) + " holds integers", "convert it with to(f32)");
    return checked_shape(x, a);
  }
  static Tensor forward(const Inputs& x, Attributes& a, const Shape& shape) {
    a.axis = normalize_axis(name, a.axis, shape.ndim(), x.at());
    return run_kernel(kernels::table().linear_scan[detail::kernel_index(x[0].dtype())], x[0], x[1], a);
  }
  static void vjp(Walk& w, const Attributes& a, const Tensor& g) {
    // The cotangents of x run the other way; a[k] joins the elements k - 1 and k, one of y and one of them.
    const Tensor h = linear_scan(g, w.input(1), {a.axis, !a.reverse});
    w.give(0, h);
    if (!w.needs(1)) return;
    const auto zero = [](const Tensor& first) { return zeros_like(first); };
    w.give(1, a.reverse ? times_previous(w.output(), h, a.axis, zero) : times_previous(h, w.output(), a.axis, zero));
  }
  static void jvp(Tangents& t, const Attributes& a) {
    const auto give = [&](const Tensor& dx) { t.give(linear_scan(dx, t.input(1), {a.axis, a.reverse})); };
    if (t.has(0)) give(t[0]);
    // y[k] = x[k] + a[k] y[k - 1], or, in reverse, x[k] + a[k + 1] y[k + 1].
    if (t.has(1)) give(a.reverse ? moved_back(t[1] * t.output(), a.axis) : t[1] * moved_on(t.output(), a.axis));
  }
  static std::vector<Sample<Attributes>> samples() {
    std::vector<Sample<Attributes>> samples = scan_samples();
    for (auto& sample : samples) {
      // At most 1, so that long recurrences stay bounded.
      const Tensor a = detail::sample_values(sample.inputs[0].shape(), 2);
      for (std::int64_t i = 0; i < a.size(); ++i) a.data<double>()[i] /= 2;
      sample.inputs.push_back(a);
    }
    samples.push_back({{detail::sample_values({3, 4}), detail::sample_values({3, 4}, 2)}, {0, true}});
    samples.push_back({{detail::sample_values({2, 5}), detail::sample_values({2, 5}, 2)}, {1, true}});
    return samples;
  }
};

struct CumProd {
  static constexpr const char* name = "cumprod";
  static constexpr const char* doc = "Running products along an axis.";
  using Attributes = ScanAttributes;
  static constexpr Uses uses = {reads_input(0) | reads_output};
  static Shape shape(const Inputs& x, const Attributes& a) { return checked_shape(x, a); }
  static Tensor forward(const Inputs& x, Attributes& a, const Shape& shape) {
    a.axis = normalize_axis(name, a.axis, shape.ndim(), x.at());
    if (!is_floating(x[0].dtype())) {
      return scan_integers(x[0], a.axis, [](std::uint64_t product, std::uint64_t e) { return product * e; });
    }
    return run_kernel(kernels::table().cumprod[detail::kernel_index(x[0].dtype())], x[0], {}, a);
  }
  // Without a division, so that elements may be 0: y[k] = x[k] y[k - 1] is a recurrence, whose cotangents h run back
  // with the coefficients x; then dx[k] = h[k] y[k - 1].
  static void vjp(Walk& w, const Attributes& a, const Tensor& g) {
    const Tensor h = linear_scan(g, w.input(0), {a.axis, true});
    w.give(0, times_previous(h, w.output(), a.axis, [](const Tensor& first) { return first; }));
  }
  static void jvp(Tangents& t, const Attributes& a) {
    // y[k] = x[k] y[k - 1], with 1 in front of the first.
    t.give(linear_scan(t[0] * moved_on(t.output(), a.axis, 1), t.input(0), {a.axis}));
  }
  static std::vector<Sample<Attributes>> samples() {
    std::vector<Sample<Attributes>> samples = scan_samples();
    const auto values = [](std::initializer_list<double> list, const Shape& shape) {
      return Tensor::from(list, shape);
    };
    samples.push_back({{values({2, 0, -1, 3, 0, 0.5, 0, 0, 2, 1.5, -1, 0}, {3, 4})}, {1}});
    samples.push_back({{values({2, 0, -1, 3, 0, 0.5, 0, 0, 2, 1.5, -1, 0}, {3, 4})}, {0}});
    return samples;
  }
};

}  // namespace

Tensor cumsum(Arg x, int axis) { return apply<CumSum>({axis}, x); }
Tensor cumprod(Arg x, int axis) { return apply<CumProd>({axis}, x); }

Tensor linear_scan(Arg x, Arg a, const LinearScanOptions& options) {
  return apply<LinearScan>({options.axis, options.reverse}, x, a);
}

namespace detail {

std::vector<OpDescription> scan_ops() { return describe_ops<CumSum, CumProd, LinearScan>(); }

}  // namespace detail
}  // namespace tapegrad
