// Cross-entropy of integer labels and of probabilities, and nll.
#include <iterator>

#include "autograd/kernels/table.h"
#include "autograd/ops/elements.h"
#include "autograd/ops/index.h"
#include "autograd/ops/losses.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/softmax.h"

namespace tapegrad {
namespace {

// ---- the fused op: every row counts as much, and its label is a class ----
//
// Its backward pass is an op of its own, as that of softmax is.

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
  if (x.size() == 0) return loss;
  const std::int64_t n = x.shape().back();
  detail::for_ranges(labels.size(), 0.5 * static_cast<double>(n), [&](std::int64_t begin, std::int64_t end) {
    if (slope) {
      table.cross_entropy_fused[type](x.data(), label, weight, loss.data(), slope->data(), n, begin, end);
    } else {
      table.cross_entropy[type](x.data(), label, loss.data(), nullptr, n, begin, end);
    }
  });
  return loss;
}

Tensor many_labels(const Shape& shape = {60}, std::int64_t classes = 130) {
  Tensor labels = Tensor::empty(shape, i64);
  for (std::int64_t i = 0; i < labels.size(); ++i) labels.data<std::int64_t>()[i] = i * 7 % classes;
  return labels;
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
      w.give(0, detail::softmax_gradient(p, cotangent));
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
            {{x, detail::sample_values({3}, 2)}, {Reduction::none, labels}},
            {{detail::sample_values({60, 130}), detail::sample_values({}, 2)}, {Reduction::mean, many_labels()}}};
  }
};

struct CrossEntropy {
  static constexpr const char* name = "cross_entropy";
  static constexpr const char* doc = "-log(softmax(logits)[label]), over the last axis.";
  using Attributes = CrossEntropyAttributes;
  static constexpr Uses uses = {reads_input(0)};

  static Shape shape(const Inputs& x, const Attributes& a) {
    return a.reduction == Reduction::none ? x[1].shape() : Shape{};
  }
  static Tensor forward(const Inputs& x, Attributes& a, const Shape& shape) {
    a.labels = detail::as_indices(x[1]);
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
  static void jvp(Tangents& t, const Attributes& a) {
    const Tensor of_label = squeeze(gather(t[0], unsqueeze(a.labels, -1), -1), -1);
    const Tensor rows = sum(softmax(t.input(0)) * t[0], {.axis = -1}) - of_label;
    t.give(a.reduction == Reduction::none ? rows : sum(rows) * a.weight());
  }
  static std::vector<Sample<Attributes>> samples() {
    const Tensor x = detail::sample_values({3, 4});
    const Tensor labels = Tensor::from<std::int64_t>({2, 0, 3});
    return {
        {{x, labels}, {Reduction::mean}},
        {{x, labels}, {Reduction::sum}},
        {{x, labels}, {Reduction::none}},
        {{detail::swapped_view(detail::sample_values({4, 3}), 0, 1), labels}, {Reduction::mean}},
        {{detail::sample_values({2, 3, 4}), Tensor::from<std::int64_t>({0, 1, 2, 3, 3, 0}, {2, 3})}, {Reduction::none}},
        {{detail::sample_values({5}), Tensor::from<std::int64_t>({4}, Shape{})}, {Reduction::mean}},
        {{detail::sample_values({0, 5}), Tensor::empty({0}, i64)}, {Reduction::sum}},
        {{detail::sample_values({60, 130}), many_labels()}, {Reduction::mean}}};
  }
};

// ---- labels ----

void check_scores(const Inputs& x, const char* scores) {
  if (!is_floating(x[0].dtype())) {
    x.fail(std::string("the ") + scores + " are " + describe(x[0]), "convert them with to(f32)");
  }
  if (x[0].ndim() == 0) {
    x.fail(std::string("the ") + scores + " are " + describe(x[0]) + " and have no axis of classes");
  }
}

void check_labels(const Inputs& x, const char* scores, bool may_be_probabilities) {
  const Tensor& labels = x[1];
  const Shape all = x[0].shape();
  if (labels.dtype() != i64 && labels.dtype() != i32) {
    x.fail("the labels are " + describe(labels) + ", not integers",
           "convert them with to(i64)" +
               (may_be_probabilities ? ", or pass probabilities of shape " + to_string(all) : std::string()));
  }
  const Shape rows(std::span(all.begin(), static_cast<std::size_t>(all.ndim() - 1)));
  if (labels.shape() == rows) return;
  x.fail(std::string(scores) + " " + describe(x[0]) + " [..., classes] need labels of shape " + to_string(rows) +
             ", not " + to_string(labels.shape()),
         labels.shape() == all ? "pass class numbers, not one-hot rows: argmax(labels, {.axis = -1})" : "");
}

void check_weight(const Inputs& x, const Tensor& weight) {
  const std::int64_t classes = x[0].shape().back();
  if (!weight.defined() || (weight.shape() == Shape{classes} && weight.dtype() == x[0].dtype())) return;
  x.fail("the weight of the classes is " + describe(weight) + ", not " + to_string(x[0].dtype(), Shape{classes}));
}

// True when some label is `ignored`. Throws for one that is neither that nor a class.
bool find_ignored(const Inputs& x, const Tensor& labels, std::int64_t ignored) {
  const std::int64_t classes = x[0].shape().back();
  const auto values = labels.span<const std::int64_t>();
  bool found = false;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const bool is_class = values[i] >= 0 && values[i] < classes;
    found |= values[i] == ignored;
    if (is_class || values[i] == ignored) continue;
    x.fail("label " + std::to_string(values[i]) + " at position " +
               detail::position_text(labels.shape(), static_cast<std::int64_t>(i)) + " is not one of " +
               std::to_string(classes) + " classes",
           "labels count from 0; " + std::to_string(ignored) + " is ignored");
  }
  return found;
}

// What the rows count: the weight of the label's class, and nothing where the label is ignored.
struct Rows {
  Tensor labels;   // class 0 where a row is ignored
  Tensor counted;  // boolean
  Tensor weights;  // of the dtype of the scores
  double total = 0;

  Rows(const Tensor& given, const Tensor& weight, std::int64_t ignored, DType type)
      : labels(Tensor::empty(given.shape(), i64)),
        counted(Tensor::empty(given.shape(), boolean)),
        weights(Tensor::empty(given.shape(), type)) {
    const Tensor of_class = weight.defined() ? detail::contiguous_elements(weight) : Tensor();
    if (type == f32) {
      fill<float>(given, of_class, ignored);
    } else {
      fill<double>(given, of_class, ignored);
    }
  }

 private:
  template <class T>
  void fill(const Tensor& given, const Tensor& of_class, std::int64_t ignored) {
    for (std::int64_t i = 0; i < given.size(); ++i) {
      const std::int64_t label = given.data<std::int64_t>()[i];
      const bool counts = label != ignored;
      const T weight = !counts ? T{0} : of_class.defined() ? of_class.data<T>()[label] : T{1};
      labels.data<std::int64_t>()[i] = counts ? label : 0;
      counted.data<bool>()[i] = counts;
      weights.data<T>()[i] = weight;
      total += static_cast<double>(weight);
    }
  }
};

// The weighted losses of the rows that count, with `smoothing` of them from the second term, reduced. A row that does
// not count is 0, also where its loss is NaN.
Tensor reduce_rows(const Inputs& x, const Tensor& losses, const Arg& spread, double smoothing, const Rows& rows,
                   Reduction reduction) {
  static const auto formula =
      pointwise("weigh_rows", [](auto loss, auto spread_loss, auto weight, auto counts, auto part) {
        return where(counts != 0, (1 - part) * weight * loss + part * spread_loss, 0);
      });
  const Tensor weighed = formula(losses, spread, rows.weights, rows.counted, smoothing);
  if (reduction == Reduction::none) return weighed;
  if (reduction == Reduction::sum) return sum(weighed);
  if (rows.total == 0) {
    x.fail("the mean over no rows: no label of " + to_string(rows.labels.shape()) + " counts",
           "skip batches whose labels are all ignored, or of classes of weight 0");
  }
  return sum(weighed) / rows.total;
}

Tensor picked_losses(const Tensor& log_probabilities, const Tensor& labels) {
  return -squeeze(gather(log_probabilities, unsqueeze(labels, -1), -1), -1);
}

void check_not_empty(const Inputs& x, const char* scores, Reduction reduction) {
  if (reduction != Reduction::mean || x[1].size() > 0) return;
  x.fail(std::string("the mean over no rows: ") + scores + " " + describe(x[0]), "skip empty batches");
}

// ---- the public functions ----

void check_smoothing(const Inputs& x, double smoothing) {
  if (smoothing >= 0 && smoothing <= 1) return;
  x.fail("label_smoothing is " + detail::decimal_text(smoothing) + ", not from 0 to 1");
}

Tensor cross_entropy_of_labels(const Inputs& x, const CrossEntropyOptions& o) {
  const Tensor given = detail::as_indices(x[1]);
  const bool has_ignored = find_ignored(x, given, o.ignore_index);
  const Arg logits(x[0], x.at());
  if (!has_ignored && !o.weight.defined() && o.label_smoothing == 0) {
    return apply<CrossEntropy>({o.reduction}, logits, Arg(given, x.at()));
  }
  const Rows rows(given, o.weight, o.ignore_index, x[0].dtype());
  if (o.label_smoothing == 0) {
    const Tensor losses = apply<CrossEntropy>({Reduction::none}, logits, Arg(rows.labels, x.at()));
    return reduce_rows(x, losses, 0, 0, rows, o.reduction);
  }
  const Tensor log_p = log_softmax(logits);
  const Tensor spread = -mean(o.weight.defined() ? log_p * stop_gradient(o.weight) : log_p, {.axis = -1});
  return reduce_rows(x, picked_losses(log_p, rows.labels), spread, o.label_smoothing, rows, o.reduction);
}

Tensor cross_entropy_of_probabilities(const Inputs& x, const CrossEntropyOptions& o) {
  if (x[0].dtype() != x[1].dtype()) {
    x.fail("logits " + describe(x[0]) + " and probabilities " + describe(x[1]) + ": two dtypes",
           "convert one of them with to()");
  }
  static const auto formula =
      pointwise("cross_entropy", [](auto log_p, auto target, auto weight, auto kept, auto spread) {
        return -(weight * (kept * target + spread) * log_p);
      });
  const Tensor log_p = log_softmax(Arg(x[0], x.at()));
  const double classes = static_cast<double>(x[0].shape().back());
  const Tensor weight = o.weight.defined() ? stop_gradient(o.weight) : Tensor();
  const Tensor terms = formula(Arg(log_p, x.at()), x[1], weight.defined() ? Arg(weight) : Arg(1), 1 - o.label_smoothing,
                               o.label_smoothing / classes);
  if (o.reduction == Reduction::none) return sum(terms, {.axis = -1});
  const Tensor total = sum(terms);
  return o.reduction == Reduction::sum ? total : total / (static_cast<double>(x[0].size()) / classes);
}

}  // namespace

Tensor cross_entropy(Arg logits, Arg target, const CrossEntropyOptions& options) {
  const detail::LayerScope scope(detail::record.layer, logits.at());
  const Tensor* const tensors[] = {&detail::defined("cross_entropy", logits), &target.tensor(i64)};
  detail::defined("cross_entropy", target);
  const Inputs x("cross_entropy", tensors, 2, logits.at());
  check_scores(x, "logits");
  check_weight(x, options.weight);
  check_smoothing(x, options.label_smoothing);
  const bool is_probability = is_floating(x[1].dtype()) && x[1].shape() == x[0].shape();
  if (!is_probability) check_labels(x, "logits", true);
  check_not_empty(x, "logits", options.reduction);
  return is_probability ? cross_entropy_of_probabilities(x, options) : cross_entropy_of_labels(x, options);
}

Tensor nll(Arg log_probabilities, Arg labels, const NllOptions& options) {
  const detail::LayerScope scope(detail::record.layer, log_probabilities.at());
  const Tensor* const tensors[] = {&detail::defined("nll", log_probabilities), &labels.tensor(i64)};
  detail::defined("nll", labels);
  const Inputs x("nll", tensors, 2, log_probabilities.at());
  check_scores(x, "logarithms");
  check_weight(x, options.weight);
  check_labels(x, "logarithms", false);
  check_not_empty(x, "logarithms", options.reduction);
  const Tensor given = detail::as_indices(x[1]);
  find_ignored(x, given, options.ignore_index);
  const Rows rows(given, options.weight, options.ignore_index, x[0].dtype());
  return reduce_rows(x, picked_losses(x[0], rows.labels), 0, 0, rows, options.reduction);
}

namespace detail {
namespace {

std::vector<OpDescription> composites() {
  using Tensors = std::vector<Tensor>;
  constexpr Reduction none = Reduction::none;
  const Tensor x = sample_values({4, 3});
  const Tensor p = softmax(sample_values({4, 3}, 2));
  const Tensor labels = Tensor::from<std::int64_t>({2, -100, 0, 2});
  // Weights are constants of the dtype of the scores.
  const auto weight = [](const Tensors& in) { return Tensor::from({0.5, 1.25, 2.0}).to(in[0].dtype()); };
  return describe_composites(
      {{"nll",
        "Minus the logarithm of the label's probability.",
        "-x[label]",
        {{{x, labels}, [](const Tensors& in) { return nll(in[0], in[1]); }},
         {{x, labels},
          [weight](const Tensors& in) { return nll(in[0], in[1], {.weight = weight(in), .ignore_index = -100}); }},
         {{sample_values({2, 2, 3}), Tensor::from<std::int64_t>({2, 0, 1, 1}, {2, 2})},
          [](const Tensors& in) { return nll(in[0], in[1], {.reduction = none}); }},
         {{sample_values({60, 130}), many_labels()}, [](const Tensors& in) { return nll(in[0], in[1]); }},
         {{sample_values({20, 300, 4}), many_labels({20, 300}, 4)},
          [](const Tensors& in) { return nll(in[0], in[1]); }}}},
       {"cross_entropy_options",
        "cross_entropy with ignored labels, class weights, label smoothing, or probabilities as targets.",
        "-sum(target weight log(softmax(logits)))",
        {{{x, labels}, [](const Tensors& in) { return cross_entropy(in[0], in[1]); }},
         {{x, labels},
          [weight](const Tensors& in) {
            return cross_entropy(in[0], in[1], {.weight = weight(in), .label_smoothing = 0.3});
          }},
         {{x, labels},
          [](const Tensors& in) { return cross_entropy(in[0], in[1], {.reduction = none, .label_smoothing = 0.1}); }},
         {{x, p}, [](const Tensors& in) { return cross_entropy(in[0], in[1]); }},
         {{x, p},
          [weight](const Tensors& in) {
            return cross_entropy(in[0], in[1], {.reduction = none, .weight = weight(in), .label_smoothing = 0.2});
          }},
         {{sample_values({60, 130}), softmax(sample_values({60, 130}, 2))},
          [](const Tensors& in) { return cross_entropy(in[0], in[1], {.reduction = Reduction::sum}); }}}}});
}

}  // namespace

std::vector<OpDescription> cross_entropy_ops() {
  std::vector<OpDescription> all = describe_ops<CrossEntropy, CrossEntropyGradient>();
  std::ranges::move(composites(), std::back_inserter(all));
  return all;
}

}  // namespace detail
}  // namespace tapegrad
