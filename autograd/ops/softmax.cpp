#include "autograd/ops/softmax.h"

#include "autograd/kernels/table.h"
#include "autograd/ops/elements.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/reduce.h"

namespace tapegrad {
namespace {

constexpr double nanoseconds_per_element = 0.5;

struct AxisAttributes {
  int axis;
};

// ---- rows ----

// The elements as rows along one axis. Another axis than the last is moved there, which takes a copy.
Tensor to_rows(const Tensor& x, int axis) {
  const int last = x.ndim() - 1;
  return detail::contiguous_elements(axis == last ? x : detail::swapped_view(x, axis, last));
}

Tensor from_rows(const Tensor& rows, int axis) {
  const int last = rows.ndim() - 1;
  return axis == last ? rows : detail::swapped_view(rows, axis, last);
}

// Calls f(row length, begin, end) for ranges of rows.
template <class F>
void for_rows(const Tensor& rows, F&& f) {
  if (rows.size() == 0) return;
  const std::int64_t n = rows.shape(-1);
  detail::for_ranges(rows.size() / n, nanoseconds_per_element * static_cast<double>(n),
                     [&](std::int64_t begin, std::int64_t end) { f(n, begin, end); });
}

Tensor forward_rows(const Tensor& x, int axis, kernels::RowsFunction function) {
  const Tensor rows = to_rows(x, axis);
  Tensor y = Tensor::empty(rows.shape(), x.dtype());
  for_rows(
      y, [&](std::int64_t n, std::int64_t begin, std::int64_t end) { function(rows.data(), y.data(), n, begin, end); });
  return from_rows(y, axis);
}

Tensor backward_rows(const Tensor& y, const Tensor& g, int axis, kernels::RowsBackwardFunction function) {
  const Tensor y_rows = to_rows(y, axis);
  const Tensor g_rows = to_rows(g, axis);
  Tensor dx = Tensor::empty(y_rows.shape(), y.dtype());
  for_rows(dx, [&](std::int64_t n, std::int64_t begin, std::int64_t end) {
    function(y_rows.data(), g_rows.data(), dx.data(), n, begin, end);
  });
  return from_rows(dx, axis);
}

Shape checked_shape(const Inputs& x, int axis) {
  if (!is_floating(x[0].dtype())) x.fail(describe(x[0]) + " holds integers", "convert it with to(f32)");
  normalize_axis(x.op(), axis, x[0].ndim(), x.at());
  return x[0].shape();
}

std::vector<Sample<AxisAttributes>> axis_samples() {
  const Tensor x = detail::sample_values({3, 4, 5});
  return {{{x}, {-1}},
          {{x}, {0}},
          {{x}, {1}},
          {{detail::swapped_view(x, 0, 2)}, {2}},
          {{detail::sample_values({4})}, {0}},
          {{detail::sample_values({3, 1})}, {1}},
          {{detail::sample_values({0, 3})}, {1}},
          {{detail::sample_values({60, 130})}, {1}}};
}

// ... with a second tensor of the same shape: a result and its cotangent.
std::vector<Sample<AxisAttributes>> pair_samples() {
  std::vector<Sample<AxisAttributes>> samples = axis_samples();
  for (auto& s : samples) s.inputs.push_back(detail::sample_values(s.inputs[0].shape(), 2));
  return samples;
}

// ---- softmax ----
//
// The fused backward pass is an op of its own, whose rule is written in smaller ops: a recorded walk computes the same
// bits as one that is not recorded, and can be differentiated as often as one likes.

struct SoftmaxGradient {
  static constexpr const char* name = "softmax_gradient";
  static constexpr const char* doc = "y (g - sum(g y)): the gradient of softmax from its result y.";
  using Attributes = AxisAttributes;
  static constexpr Uses uses = {reads_input(0) | reads_input(1), reads_input(0)};
  static Shape shape(const Inputs& x, const Attributes& a) { return checked_shape(x, a.axis); }
  static Tensor forward(const Inputs& x, Attributes& a, const Shape& shape) {
    if (a.axis < 0) a.axis += shape.ndim();
    return backward_rows(x[0], x[1], a.axis, kernels::table().softmax_backward[detail::kernel_index(x[0].dtype())]);
  }
  static void vjp(Walk& w, const Attributes& a, const Tensor& h) {
    const Tensor& y = w.input(0);
    const ReduceOptions along{.axis = a.axis, .keepdims = true};
    if (w.needs(0)) {
      const Tensor& g = w.input(1);
      w.give(0, h * (g - sum(g * y, along)) - g * sum(h * y, along));
    }
    if (w.needs(1)) w.give(1, apply<SoftmaxGradient>(a, Arg(y), Arg(h)));
  }
  static void jvp(Tangents& t, const Attributes& a) {
    const ReduceOptions along{.axis = a.axis, .keepdims = true};
    const Tensor& y = t.input(0);
    if (t.has(1)) t.give(y * (t[1] - sum(y * t[1], along)));
    if (!t.has(0)) return;
    const Tensor& g = t.input(1);
    t.give(t[0] * (g - sum(y * g, along)) - y * sum(t[0] * g, along));
  }
  static std::vector<Sample<Attributes>> samples() { return pair_samples(); }
};

struct Softmax {
  static constexpr const char* name = "softmax";
  static constexpr const char* doc = "exp(x) / sum(exp(x)) along an axis.";
  using Attributes = AxisAttributes;
  static constexpr Uses uses = {reads_output};
  static Shape shape(const Inputs& x, const Attributes& a) { return checked_shape(x, a.axis); }
  static Tensor forward(const Inputs& x, Attributes& a, const Shape& shape) {
    if (a.axis < 0) a.axis += shape.ndim();
    return forward_rows(x[0], a.axis, kernels::table().softmax[detail::kernel_index(x[0].dtype())]);
  }
  static void vjp(Walk& w, const Attributes& a, const Tensor& g) {
    w.give(0, apply<SoftmaxGradient>(a, Arg(w.output()), Arg(g)));
  }
  static void jvp(Tangents& t, const Attributes& a) {
    const Tensor& y = t.output();
    t.give(y * (t[0] - sum(y * t[0], {.axis = a.axis, .keepdims = true})));
  }
  static std::vector<Sample<Attributes>> samples() { return axis_samples(); }
};

struct LogSoftmaxGradient {
  static constexpr const char* name = "log_softmax_gradient";
  static constexpr const char* doc = "g - exp(y) sum(g): the gradient of log_softmax from its result y.";
  using Attributes = AxisAttributes;
  static constexpr Uses uses = {reads_input(0) | reads_input(1), reads_input(0)};
  static Shape shape(const Inputs& x, const Attributes& a) { return checked_shape(x, a.axis); }
  static Tensor forward(const Inputs& x, Attributes& a, const Shape& shape) {
    if (a.axis < 0) a.axis += shape.ndim();
    return backward_rows(x[0], x[1], a.axis, kernels::table().log_softmax_backward[detail::kernel_index(x[0].dtype())]);
  }
  static void vjp(Walk& w, const Attributes& a, const Tensor& h) {
    const Tensor p = exp(w.input(0));
    const ReduceOptions along{.axis = a.axis, .keepdims = true};
    if (w.needs(0)) w.give(0, -(h * p * sum(w.input(1), along)));
    if (w.needs(1)) w.give(1, h - sum(h * p, along));
  }
  static void jvp(Tangents& t, const Attributes& a) {
    const ReduceOptions along{.axis = a.axis, .keepdims = true};
    const Tensor p = exp(t.input(0));
    if (t.has(0)) t.give(-(t[0] * p * sum(t.input(1), along)));
    if (t.has(1)) t.give(t[1] - p * sum(t[1], along));
  }
  static std::vector<Sample<Attributes>> samples() { return pair_samples(); }
};

struct LogSoftmax {
  static constexpr const char* name = "log_softmax";
  static constexpr const char* doc = "log(softmax(x)) along an axis, without overflow.";
  using Attributes = AxisAttributes;
  static constexpr Uses uses = {reads_output};
  static Shape shape(const Inputs& x, const Attributes& a) { return checked_shape(x, a.axis); }
  static Tensor forward(const Inputs& x, Attributes& a, const Shape& shape) {
    if (a.axis < 0) a.axis += shape.ndim();
    return forward_rows(x[0], a.axis, kernels::table().log_softmax[detail::kernel_index(x[0].dtype())]);
  }
  static void vjp(Walk& w, const Attributes& a, const Tensor& g) {
    w.give(0, apply<LogSoftmaxGradient>(a, Arg(w.output()), Arg(g)));
  }
  static void jvp(Tangents& t, const Attributes& a) {
    t.give(t[0] - sum(exp(t.output()) * t[0], {.axis = a.axis, .keepdims = true}));
  }
  static std::vector<Sample<Attributes>> samples() { return axis_samples(); }
};

}  // namespace

Tensor softmax(Arg x, int axis) { return apply<Softmax>({axis}, x); }
Tensor log_softmax(Arg x, int axis) { return apply<LogSoftmax>({axis}, x); }

namespace detail {

Tensor softmax_gradient(const Tensor& y, const Tensor& g) {
  return apply<SoftmaxGradient>({y.ndim() - 1}, Arg(y), Arg(g));
}

std::vector<OpDescription> softmax_ops() {
  return describe_ops<Softmax, SoftmaxGradient, LogSoftmax, LogSoftmaxGradient>();
}

}  // namespace detail
}  // namespace tapegrad
