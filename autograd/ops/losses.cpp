#include "autograd/ops/losses.h"

#include <cmath>
#include <cstdio>

#include "autograd/ops/elements.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/reduce.h"

namespace tapegrad {
namespace {

// What every loss begins with: its entries carry the caller's line, predictions are floating and targets fit.
class Call {
 public:
  Call(const char* name, const Arg& x)
      : name_(name), at_(x.at()), scope_(detail::record.layer, x.at()), x_(detail::defined(name, x)) {
    if (!is_floating(x_.dtype())) fail("the predictions are " + describe(x_), "convert them with to(f32)");
  }
  Call(const char* name, const Arg& x, const Arg& target) : Call(name, x) {
    if (!target.is_number()) check_equal(target, "targets");
  }

  void check_equal(const Arg& other, const char* what) const {
    const Tensor& given = detail::defined(name_, other);
    if (given.shape() == x_.shape()) return;
    fail("predictions " + describe(x_) + " and " + what + " " + describe(given) + " differ in shape",
         "reshape() or squeeze() one of them");
  }
  // A weight may repeat along axes, but must not enlarge the loss.
  void check_weight(const Tensor& weight, const char* what) const {
    if (!weight.defined() || broadcast_shapes(name_, x_.shape(), weight.shape(), at_) == x_.shape()) return;
    fail(std::string(what) + " " + describe(weight) + " does not broadcast to " + describe(x_));
  }
  [[noreturn]] void fail(const std::string& what, const std::string& hint = {}) const {
    detail::fail_op(name_, what, at_, hint);
  }

  Arg x() const { return Arg(x_, at_); }
  const Tensor& predictions() const { return x_; }
  Tensor reduce(Tensor losses, Reduction reduction) const {
    return detail::reduce_loss(name_, std::move(losses), reduction, at_);
  }

 private:
  const char* name_;
  SourceLocation at_;
  detail::LayerScope scope_;
  const Tensor& x_;
};

// A tensor, or 1 where none was given.
Arg or_one(const Tensor& weight) { return weight.defined() ? Arg(weight) : Arg(1); }

// Throws unless every target is 1 or -1.
void check_signs(const Call& call, const Arg& target) {
  const Tensor& given = target.tensor();
  const Tensor values = detail::converted(given, f64);
  for (std::int64_t i = 0; i < values.size(); ++i) {
    const double t = values.data<double>()[i];
    if (t == 1 || t == -1) continue;
    call.fail("target " + detail::decimal_text(t) + " at position " + detail::position_text(given.shape(), i) +
                  " is neither 1 nor -1",
              "targets of 0 and 1 become those as 2 * target - 1");
  }
}

// Throws for a prediction that is not a probability.
void check_probabilities(const Call& call) {
  const auto check = [&]<class T>(const T* p, const Tensor& x) {
    for (std::int64_t i = 0; i < x.size(); ++i) {
      if (!(p[i] < 0 || p[i] > 1)) continue;
      call.fail("prediction " + detail::decimal_text(p[i]) + " at position " + detail::position_text(x.shape(), i) +
                    " is not a probability",
                "bce_logits takes numbers of any size");
    }
  };
  const Tensor x = detail::contiguous_elements(call.predictions());
  if (x.dtype() == f32) {
    check(x.data<float>(), x);
  } else {
    check(x.data<double>(), x);
  }
}

}  // namespace

// ---- regression ----

Tensor mse(Arg x, Arg target, const LossOptions& options) {
  static const auto formula = pointwise("mse", [](auto a, auto t) { return square(a - t); });
  const Call call("mse", x, target);
  return call.reduce(formula(call.x(), target), options.reduction);
}

Tensor l1(Arg x, Arg target, const LossOptions& options) {
  static const auto formula = pointwise("l1", [](auto a, auto t) { return abs(a - t); });
  const Call call("l1", x, target);
  return call.reduce(formula(call.x(), target), options.reduction);
}

Tensor huber(Arg x, Arg target, const HuberOptions& options) {
  static const auto formula = pointwise("huber", [](auto a, auto t, auto delta) {
    const auto d = abs(a - t);
    return where(d < delta, 0.5 * d * d, delta * (d - 0.5 * delta));
  });
  const Call call("huber", x, target);
  if (!(options.delta > 0)) call.fail("delta is " + detail::decimal_text(options.delta) + ", not above 0");
  return call.reduce(formula(call.x(), target, options.delta), options.reduction);
}

Tensor smooth_l1(Arg x, Arg target, const SmoothL1Options& options) {
  static const auto formula = pointwise("smooth_l1", [](auto a, auto t, auto beta) {
    const auto d = abs(a - t);
    return where(d < beta, 0.5 * d * d / beta, d - 0.5 * beta);
  });
  const Call call("smooth_l1", x, target);
  if (!(options.beta >= 0)) call.fail("beta is " + detail::decimal_text(options.beta) + ", below 0");
  if (options.beta == 0) return l1(call.x(), target, {.reduction = options.reduction});
  return call.reduce(formula(call.x(), target, options.beta), options.reduction);
}

// ---- probabilities ----

Tensor bce(Arg x, Arg target, const BceOptions& options) {
  static const auto formula = pointwise("bce", [](auto p, auto t, auto weight) {
    constexpr double least = 3.720075976020836e-44;  // exp(-100)
    const auto log_p = where(p > least, log(p), -100);
    const auto log_q = where(p < 1, log1p(-p), -100);
    return weight * -(t * log_p + (1 - t) * log_q);
  });
  const Call call("bce", x, target);
  call.check_weight(options.weight, "the weight");
  check_probabilities(call);
  return call.reduce(formula(call.x(), target, or_one(options.weight)), options.reduction);
}

Tensor bce_logits(Arg x, Arg target, const BceLogitsOptions& options) {
  // Each term is positive: nothing cancels, and every derivative is smooth at 0, unlike that of a form with |x|.
  static const auto formula = pointwise("bce_logits", [](auto a, auto t, auto weight, auto pos_weight) {
    return weight * ((1 - t) * softplus(a) + pos_weight * t * softplus(-a));
  });
  const Call call("bce_logits", x, target);
  call.check_weight(options.weight, "the weight");
  call.check_weight(options.pos_weight, "the pos_weight");
  return call.reduce(formula(call.x(), target, or_one(options.weight), or_one(options.pos_weight)), options.reduction);
}

Tensor kl_div(Arg x, Arg target, const KlDivOptions& options) {
  static const auto plain = pointwise("kl_div", [](auto a, auto t) { return where(t > 0, t * (log(t) - a), 0); });
  static const auto of_logarithms = pointwise("kl_div", [](auto a, auto t) { return exp(t) * (t - a); });
  const Call call("kl_div", x, target);
  return call.reduce(options.log_target ? of_logarithms(call.x(), target) : plain(call.x(), target), options.reduction);
}

// ---- margins ----

Tensor hinge(Arg x, Arg target, const HingeOptions& options) {
  static const auto formula = pointwise("hinge", [](auto a, auto t, auto margin) { return relu(margin - t * a); });
  const Call call("hinge", x, target);
  check_signs(call, target);
  return call.reduce(formula(call.x(), target, options.margin), options.reduction);
}

Tensor cosine_similarity(Arg x, Arg y, const CosineSimilarityOptions& options) {
  static const auto quotient = pointwise("cosine_similarity", [](auto dot, auto x_norm, auto y_norm, auto eps) {
    return dot / (maximum(x_norm, eps) * maximum(y_norm, eps));
  });
  const Call call("cosine_similarity", x);
  const Tensor& other = detail::defined("cosine_similarity", y);
  if (!is_floating(other.dtype())) call.fail("y is " + describe(other), "convert it with to(f32)");
  const Shape shape = broadcast_shapes("cosine_similarity", call.predictions().shape(), other.shape(), x.at());
  normalize_axis("cosine_similarity", options.axis, shape.ndim(), x.at());
  const Tensor a = expand(call.x(), shape);
  const Tensor b = expand(y, shape);
  const int axis = options.axis;
  return quotient(sum(a * b, {.axis = axis}), norm(a, {.axis = axis}), norm(b, {.axis = axis}), options.eps);
}

Tensor cosine_embedding(Arg x, Arg y, Arg target, const CosineEmbeddingOptions& options) {
  static const auto formula =
      pointwise("cosine_embedding", [](auto c, auto t, auto margin) { return where(t > 0, 1 - c, relu(c - margin)); });
  const Call call("cosine_embedding", x);
  call.check_equal(y, "others");
  const Shape all = call.predictions().shape();
  if (all.ndim() == 0) call.fail("the tensors are 0-dim and have no axis of features");
  const Shape pairs(std::span(all.begin(), static_cast<std::size_t>(all.ndim() - 1)));
  const Tensor& signs = detail::defined("cosine_embedding", target);
  if (!(signs.shape() == pairs)) {
    call.fail("tensors " + describe(call.predictions()) + " [..., features] need targets of shape " + to_string(pairs) +
              ", not " + to_string(signs.shape()));
  }
  check_signs(call, target);
  return call.reduce(formula(cosine_similarity(call.x(), y), target, options.margin), options.reduction);
}

Tensor triplet(Arg anchor, Arg positive, Arg negative, const TripletOptions& options) {
  static const auto formula =
      pointwise("triplet", [](auto near, auto far, auto margin) { return relu(near - far + margin); });
  const Call call("triplet", anchor);
  call.check_equal(positive, "positives");
  call.check_equal(negative, "negatives");
  if (call.predictions().ndim() == 0) call.fail("the tensors are 0-dim and have no axis of features");
  if (!(options.p >= 1)) call.fail("p is " + detail::decimal_text(options.p) + ", below 1");
  const auto distance = [&](const Arg& a, const Arg& b) {
    const Tensor d = a - b + options.eps;
    const ReduceOptions along{.axis = -1};
    if (options.p == 2 || std::isinf(options.p)) return norm(d, {.axis = -1, .ord = options.p});
    if (options.p == 1) return sum(abs(d), along);
    return pow(sum(pow(abs(d), options.p), along), 1 / options.p);
  };
  const Tensor near = distance(call.x(), positive);
  Tensor far = distance(call.x(), negative);
  if (options.swap) far = minimum(far, distance(positive, negative));
  return call.reduce(formula(near, far, options.margin), options.reduction);
}

namespace detail {

std::string decimal_text(double x) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", x);
  return text;
}

Tensor reduce_loss(const char* name, Tensor losses, Reduction reduction, SourceLocation at) {
  if (reduction == Reduction::none) return losses;
  if (reduction == Reduction::sum) return sum(Arg(losses, at));
  if (losses.size() == 0) fail_op(name, "the mean over no elements: " + describe(losses), at, "skip empty batches");
  return mean(Arg(losses, at));
}

namespace {

using Tensors = std::vector<Tensor>;

Tensor numbers(const Shape& shape, std::uint64_t seed = 1) { return sample_values(shape, seed); }

// In (0, 1), away from both ends.
Tensor probabilities(const Shape& shape, std::uint64_t seed = 1) { return sigmoid(sample_values(shape, seed)); }

// 1 and -1, as integers: nobody asks for their gradient.
Tensor signs(const Shape& shape) { return (2 * (sample_values(shape, 9) > 0).to(i64) - 1); }

}  // namespace

std::vector<OpDescription> loss_ops() {
  constexpr Reduction none = Reduction::none;
  constexpr Reduction total = Reduction::sum;
  const Tensor x = numbers({3, 4});
  const Tensor t = numbers({3, 4}, 2);
  const Tensor p = probabilities({3, 4});
  const Tensor q = probabilities({3, 4}, 2);
  const Tensor row = probabilities({4}, 3);
  const Tensor scalar = numbers({});
  const Tensor large = numbers({120, 70});
  const Tensor large_target = numbers({120, 70}, 2);
  const Tensor large_probabilities = probabilities({120, 70});
  return describe_composites(
      {{"mse",
        "The squared difference.",
        "(x - target)^2",
        {{{x, t}, [](const Tensors& in) { return mse(in[0], in[1]); }},
         {{x, t}, [](const Tensors& in) { return mse(in[0], in[1], {.reduction = none}); }},
         {{scalar, scalar}, [](const Tensors& in) { return mse(in[0], in[1], {.reduction = total}); }},
         {{large, large_target}, [](const Tensors& in) { return mse(in[0], in[1]); }}}},
       {"l1",
        "The absolute difference.",
        "|x - target|",
        {{{x, t}, [](const Tensors& in) { return l1(in[0], in[1]); }},
         {{x, t}, [](const Tensors& in) { return l1(in[0], in[1], {.reduction = none}); }},
         {{large, large_target}, [](const Tensors& in) { return l1(in[0], in[1]); }}}},
       {"huber",
        "Half of the squared difference, beyond delta a line.",
        "|d| < delta ? d^2 / 2 : delta (|d| - delta / 2), d = x - target",
        {{{x, t}, [](const Tensors& in) { return huber(in[0], in[1]); }},
         {{x, t}, [](const Tensors& in) { return huber(in[0], in[1], {.reduction = none, .delta = 0.7}); }},
         {{large, large_target}, [](const Tensors& in) { return huber(in[0], in[1]); }}}},
       {"smooth_l1",
        "The absolute difference, near 0 a parabola.",
        "|d| < beta ? d^2 / (2 beta) : |d| - beta / 2, d = x - target",
        {{{x, t}, [](const Tensors& in) { return smooth_l1(in[0], in[1]); }},
         {{x, t}, [](const Tensors& in) { return smooth_l1(in[0], in[1], {.reduction = total, .beta = 0.7}); }},
         {{x, t}, [](const Tensors& in) { return smooth_l1(in[0], in[1], {.beta = 0}); }},
         {{large, large_target}, [](const Tensors& in) { return smooth_l1(in[0], in[1]); }}}},
       {"bce",
        "Binary cross-entropy of probabilities.",
        "-(target log(x) + (1 - target) log(1 - x))",
        {{{p, q}, [](const Tensors& in) { return bce(in[0], in[1]); }},
         {{p, q, row}, [](const Tensors& in) { return bce(in[0], in[1], {.reduction = none, .weight = in[2]}); }},
         {{sigmoid(large), large_probabilities}, [](const Tensors& in) { return bce(in[0], in[1]); }}}},
       {"bce_logits",
        "Binary cross-entropy of sigmoid(x).",
        "(1 - target) softplus(x) + pos_weight target softplus(-x)",
        {{{x, q}, [](const Tensors& in) { return bce_logits(in[0], in[1]); }},
         {{x, q, row},
          [](const Tensors& in) { return bce_logits(in[0], in[1], {.reduction = none, .pos_weight = in[2]}); }},
         {{x, q, row},
          [](const Tensors& in) { return bce_logits(in[0], in[1], {.reduction = total, .weight = in[2]}); }},
         {{large, large_probabilities}, [](const Tensors& in) { return bce_logits(in[0], in[1]); }}}},
       {"kl_div",
        "The terms of the Kullback-Leibler divergence of target from x, x as logarithms.",
        "target (log(target) - x)",
        {{{x, q}, [](const Tensors& in) { return kl_div(in[0], in[1]); }},
         {{x, q}, [](const Tensors& in) { return kl_div(in[0], in[1], {.reduction = none}); }},
         {{x, t}, [](const Tensors& in) { return kl_div(in[0], in[1], {.reduction = total, .log_target = true}); }},
         {{large, large_probabilities}, [](const Tensors& in) { return kl_div(in[0], in[1]); }}}},
       {"hinge",
        "How far x is from the right side of a margin; targets 1 and -1.",
        "max(0, margin - target x)",
        {{{x, signs({3, 4})}, [](const Tensors& in) { return hinge(in[0], in[1]); }},
         {{x, signs({3, 4})},
          [](const Tensors& in) { return hinge(in[0], in[1], {.reduction = none, .margin = 0.5}); }},
         {{large, signs({120, 70})}, [](const Tensors& in) { return hinge(in[0], in[1]); }}}},
       {"cosine_similarity",
        "The cosine of the angle between vectors.",
        "sum(x y) / (|x| |y|)",
        {{{x, t}, [](const Tensors& in) { return cosine_similarity(in[0], in[1]); }},
         {{x, numbers({2, 1, 4}, 2)}, [](const Tensors& in) { return cosine_similarity(in[0], in[1], {.axis = 1}); }},
         {{large, large_target}, [](const Tensors& in) { return cosine_similarity(in[0], in[1]); }}}},
       {"cosine_embedding",
        "Cosine distance of equal pairs, similarity above a margin of other ones.",
        "target > 0 ? 1 - c : max(0, c - margin), c = cosine_similarity(x, y)",
        {{{x, t, signs({3})}, [](const Tensors& in) { return cosine_embedding(in[0], in[1], in[2]); }},
         {{x, t, signs({3})},
          [](const Tensors& in) { return cosine_embedding(in[0], in[1], in[2], {.reduction = none, .margin = -0.4}); }},
         {{large, large_target, signs({120})},
          [](const Tensors& in) { return cosine_embedding(in[0], in[1], in[2]); }}}},
       {"triplet",
        "How much nearer than by a margin the positive should be than the negative.",
        "max(0, |anchor - positive| - |anchor - negative| + margin)",
        {{{x, t, numbers({3, 4}, 3)}, [](const Tensors& in) { return triplet(in[0], in[1], in[2]); }},
         {{x, t, numbers({3, 4}, 3)},
          [](const Tensors& in) {
            return triplet(in[0], in[1], in[2], {.reduction = none, .margin = 3, .swap = true});
          }},
         {{x, t, numbers({3, 4}, 3)},
          [](const Tensors& in) { return triplet(in[0], in[1], in[2], {.reduction = total, .margin = 2, .p = 3}); }},
         {{x, t, numbers({3, 4}, 3)},
          [](const Tensors& in) { return triplet(in[0], in[1], in[2], {.margin = 2, .p = 1}); }},
         {{large, large_target, numbers({120, 70}, 3)},
          [](const Tensors& in) { return triplet(in[0], in[1], in[2]); }}}}});
}

}  // namespace detail
}  // namespace tapegrad
