#include "autograd/ops/softmax.h"

#include "autograd/kernels/table.h"
#include "autograd/ops/elements.h"
#include "autograd/ops/index.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"

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
  static std::vector<Sample<Attributes>> samples() { return axis_samples(); }
};

// ---- cross-entropy ----

struct CrossEntropyAttributes {
  Reduction reduction;
  Tensor labels{};  // i64, contiguous, in range
  Tensor slope{};   // the gradient for a cotangent of 1, made in the forward pass when a tape may ask

  // What a row's loss counts in the result.
  double weight() const { return reduction == Reduction::mean ? 1 / static_cast<double>(labels.size()) : 1; }
};

// The loss of every row; with `slope`, its gradient times `weight` too.
Tensor row_losses(const Tensor& logits, const Tensor& labels, double weight, Tensor* slope) {
  const Tensor x = detail::contiguous_elements(logits);
  Tensor loss = Tensor::empty(labels.shape(), x.dtype());
  if (slope) *slope = Tensor::empty(x.shape(), x.dtype());
  const kernels::Table& table = kernels::table();
  const std::size_t type = detail::kernel_index(x.dtype());
  const auto* const label = labels.data<std::int64_t>();
  for_rows(x, [&](std::int64_t n, std::int64_t begin, std::int64_t end) {
    if (slope) {
      table.cross_entropy_fused[type](x.data(), label, weight, loss.data(), slope->data(), n, begin, end);
    } else {
      table.cross_entropy[type](x.data(), label, loss.data(), nullptr, n, begin, end);
    }
  });
  return loss;
}

// For every row of the reduced or unreduced loss, a factor that multiplies all of its classes.
Tensor per_row(const Tensor& g, Reduction reduction) { return reduction == Reduction::none ? unsqueeze(g, -1) : g; }

struct CrossEntropyGradient {
  static constexpr const char* name = "cross_entropy_gradient";
  static constexpr const char* doc = "g (softmax(logits) - one_hot(labels)): the gradient of cross_entropy.";
  using Attributes = CrossEntropyAttributes;
  static constexpr Uses uses = {reads_input(0) | reads_input(1), reads_input(0)};
  static Shape shape(const Inputs& x, const Attributes&) { return x[0].shape(); }
  static Tensor forward(const Inputs& x, Attributes& a, const Shape&) {
    const Tape::Pause pause;
    if (!a.slope.defined()) row_losses(x[0], a.labels, a.weight(), &a.slope);
    return a.slope * per_row(x[1], a.reduction);
  }
  static void vjp(Walk& w, const Attributes& a, const Tensor& h) {
    const Tensor& logits = w.input(0);
    const Tensor p = softmax(logits);
    if (w.needs(0)) {
      const Tensor cotangent = h * (per_row(w.input(1), a.reduction) * a.weight());
      w.give(0, apply<SoftmaxGradient>({p.ndim() - 1}, Arg(p), Arg(cotangent)));
    }
    if (w.needs(1)) {
      const Tensor slope = (p - one_hot(a.labels, p.shape(-1), p.dtype())) * a.weight();
      w.give(1, a.reduction == Reduction::none ? sum(h * slope, {.axis = -1}) : sum(h * slope));
    }
  }
  static std::vector<Sample<Attributes>> samples() {
    const Tensor x = detail::sample_values({3, 4});
    const Tensor labels = Tensor::from<std::int64_t>({2, 0, 3});
    return {{{x, detail::sample_values({}, 2)}, {Reduction::mean, labels}},
            {{x, detail::sample_values({}, 2)}, {Reduction::sum, labels}},
            {{x, detail::sample_values({3}, 2)}, {Reduction::none, labels}}};
  }
};

struct CrossEntropy {
  static constexpr const char* name = "cross_entropy";
  static constexpr const char* doc = "-log(softmax(logits)[label]), over the last axis.";
  using Attributes = CrossEntropyAttributes;
  static constexpr Uses uses = {reads_input(0)};

  static Shape shape(const Inputs& x, const Attributes& a) {
    const Tensor& logits = x[0];
    const Tensor& labels = x[1];
    if (!is_floating(logits.dtype())) x.fail("the logits are " + describe(logits), "convert them with to(f32)");
    if (logits.ndim() == 0) x.fail("the logits are " + describe(logits) + " and have no axis of classes");
    if (labels.dtype() != i64 && labels.dtype() != i32) {
      x.fail("the labels are " + describe(labels) + ", not integers", "convert them with to(i64)");
    }
    const Shape all = logits.shape();
    const Shape rows(std::span(all.begin(), static_cast<std::size_t>(all.ndim() - 1)));
    if (!(labels.shape() == rows)) {
      x.fail("logits " + describe(logits) + " [..., classes] need labels of shape " + to_string(rows) + ", not " +
                 to_string(labels.shape()),
             labels.shape() == all ? "pass class numbers, not one-hot rows: argmax(labels)" : "");
    }
    if (a.reduction == Reduction::mean && rows.size() == 0) {
      x.fail("the mean over no rows: logits " + describe(logits), "skip empty batches");
    }
    return a.reduction == Reduction::none ? rows : Shape{};
  }
  static Tensor forward(const Inputs& x, Attributes& a, const Shape& shape) {
    a.labels = detail::as_indices(x[1]);
    check_labels(x, a.labels);
    Tensor losses = row_losses(x[0], a.labels, a.weight(), detail::record.recording ? &a.slope : nullptr);
    if (a.reduction == Reduction::none) return losses;
    const double total = detail::sum_contiguous(losses.data(), losses.size(), losses.dtype()) * a.weight();
    Tensor y = Tensor::empty(shape, losses.dtype());
    if (y.dtype() == f32) {
      *y.data<float>() = static_cast<float>(total);
    } else {
      *y.data<double>() = total;
    }
    return y;
  }
  static void vjp(Walk& w, const Attributes& a, const Tensor& g) {
    w.give(0, apply<CrossEntropyGradient>(a, Arg(w.input(0)), Arg(g)));
  }
  static std::vector<Sample<Attributes>> samples() {
    const Tensor x = detail::sample_values({3, 4});
    const Tensor labels = Tensor::from<std::int64_t>({2, 0, 3});
    const Tensor many = Tensor::empty({60}, i64);
    for (std::int64_t i = 0; i < many.size(); ++i) many.data<std::int64_t>()[i] = i * 7 % 130;
    return {
        {{x, labels}, {Reduction::mean}},
        {{x, labels}, {Reduction::sum}},
        {{x, labels}, {Reduction::none}},
        {{detail::swapped_view(detail::sample_values({4, 3}), 0, 1), labels}, {Reduction::mean}},
        {{detail::sample_values({2, 3, 4}), Tensor::from<std::int64_t>({0, 1, 2, 3, 3, 0}, {2, 3})}, {Reduction::none}},
        {{detail::sample_values({5}), Tensor::from<std::int64_t>({4}, Shape{})}, {Reduction::mean}},
        {{detail::sample_values({0, 5}), Tensor::empty({0}, i64)}, {Reduction::sum}},
        {{detail::sample_values({60, 130}), many}, {Reduction::mean}}};
  }

 private:
  static void check_labels(const Inputs& x, const Tensor& labels) {
    const std::int64_t classes = x[0].shape(-1);
    const auto values = std::as_const(labels).span<const std::int64_t>();
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (values[i] >= 0 && values[i] < classes) continue;
      x.fail("label " + std::to_string(values[i]) + " at position " +
                 detail::position_text(labels.shape(), static_cast<std::int64_t>(i)) + " is not one of " +
                 std::to_string(classes) + " classes",
             "labels count from 0");
    }
  }
};

}  // namespace

Tensor softmax(Arg x, int axis) { return apply<Softmax>({axis}, x); }
Tensor log_softmax(Arg x, int axis) { return apply<LogSoftmax>({axis}, x); }

Tensor cross_entropy(Arg logits, Arg labels, const CrossEntropyOptions& options) {
  return apply<CrossEntropy>({options.reduction}, logits, labels);
}

namespace detail {

std::vector<OpDescription> softmax_ops() {
  return describe_ops<Softmax, SoftmaxGradient, LogSoftmax, LogSoftmaxGradient, CrossEntropy, CrossEntropyGradient>();
}

}  // namespace detail
}  // namespace tapegrad
