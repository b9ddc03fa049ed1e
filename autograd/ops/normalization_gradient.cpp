// The gradients of norms: one sweep for all three, and ops to differentiate them.
#include "autograd/create.h"
#include "autograd/ops/elements.h"
#include "autograd/ops/normalization_parts.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"

namespace tapegrad::detail {
namespace {

struct NormGradients {
  Tensor x, weight, bias;
};

// The gradients for a cotangent g, of which each is computed when it is `wanted`.
NormGradients gradients(const NormAttributes& a, const Tensor& x, const Tensor& weight, const Tensor& g, bool wants_x,
                        bool wants_sums) {
  const Shape channels = norm_channels(x.shape(), a);
  NormGradients d;
  if (wants_x) d.x = Tensor::empty(x.shape(), x.dtype());
  if (wants_sums) d.weight = zeros(channels, x.dtype());
  if (wants_sums) d.bias = zeros(channels, x.dtype());
  if (x.size() == 0) return d;
  NormAttributes known = a;
  if (!a.statistics.defined()) {
    known.statistics = new_norm_statistics(a.problem.sizes);
    normalized(known, x, weight, weight);
  }
  const auto data = [](const Tensor& t) { return t.defined() ? t.data() : nullptr; };
  normalize_backward(x.dtype(), a.problem, contiguous_elements(x).data(), spread_over_channels(weight, channels).data(),
                     contiguous_elements(g).data(), known.statistics.data<double>(), data(d.x), data(d.weight),
                     data(d.bias));
  return d;
}

// The mean over what is normalized together, once for each mean: x in the shape [samples, positions, groups, width].
struct Averages {
  Shape shape;

  explicit Averages(const NormSizes& z) : shape{z.samples, z.positions, z.groups, z.width} {}
  Tensor view(const Tensor& x) const { return reshape(x, shape); }
  Tensor mean(const Tensor& viewed) const { return tapegrad::mean(viewed, {.axis = {1, 3}, .keepdims = true}); }
};

// Of x, g and the weight those from `first` to `last`, for some cases of every kind of norm.
std::vector<Sample<NormAttributes>> gradient_samples(std::ptrdiff_t last, std::ptrdiff_t first) {
  std::vector<Sample<NormAttributes>> list;
  for (const NormKind kind : {NormKind::layer, NormKind::rms, NormKind::batch, NormKind::group, NormKind::instance}) {
    const std::vector<Sample<NormAttributes>> all = norm_samples(kind);
    for (const auto& s : {all.front(), all[1], all[all.size() - 2]}) {
      const std::vector<Tensor> inputs = {s.inputs[0], sample_values(s.inputs[0].shape(), 4), s.inputs[1]};
      list.push_back({{inputs.begin() + first, inputs.begin() + last}, s.attributes});
    }
  }
  return list;
}

// ---- the gradients as ops ----
//
// The backward pass is fused: one sweep gives the gradients of x, weight and bias. Each is then entered as the result
// of an op, which computes it alone in the samples below: a recorded walk computes the same bits as one that is not, and
// can be differentiated as often as one likes.

struct NormGradient {
  static constexpr const char* name = "norm_gradient";
  static constexpr const char* doc =
      "(u - mean(u) - h mean(u h)) / sqrt(var + eps) with u = g weight: the gradient of a norm in x.";
  using Attributes = NormAttributes;
  static constexpr Uses uses = {reads_input(0) | reads_input(1) | reads_input(2), reads_input(0) | reads_input(2),
                                reads_input(0) | reads_input(1)};
  static Shape shape(const Inputs& x, const Attributes&) { return x[0].shape(); }
  static Tensor forward(const Inputs& x, Attributes& a, const Shape&) {
    if (a.ready.defined()) return std::move(a.ready);
    return gradients(a, x[0], x[2], x[1], true, false).x;
  }
  // D u, for weight 1. It is linear in u and symmetric: <v, D u> = <D v, u>.
  static Tensor alone(const Attributes& a, const Tensor& x, const Tensor& u) { return norm_gradient(a, x, u, 1); }
  // The gradient of <v, D u> in x, which is also the tangent of D u along v:
  //   -(D v mean(u h) + D u mean(v h) + h mean(v D u)) / sqrt(var + eps)
  static Tensor second(const Attributes& a, const Tensor& x, const Tensor& u, const Tensor& v, const Tensor& dv) {
    static const auto formula =
        pointwise("norm_second_gradient",
                  [](auto du, auto dw, auto h, auto uh, auto vh, auto vdu) { return -(dw * uh + du * vh + h * vdu); });
    const Averages average(a.problem.sizes);
    const Tensor h = average.view(apply_norm_alone(a, x));
    const Tensor du = average.view(alone(a, x, u));
    const Tensor u_view = average.view(u);
    const Tensor v_view = average.view(v);
    const Tensor sum =
        formula(du, average.view(dv), h, average.mean(u_view * h), average.mean(v_view * h), average.mean(v_view * du));
    return reshape(sum * reciprocal_deviation(a, average, average.view(x)), x.shape());
  }
  static void vjp(Walk& w, const Attributes& a, const Tensor& v) {
    const Tensor& x = w.input(0);
    const Tensor dv = alone(a, x, v);
    if (w.needs(0)) w.give(0, second(a, x, w.input(1) * w.input(2), v, dv));
    if (w.needs(1)) w.give(1, dv * w.input(2));
    if (w.needs(2)) w.give(2, dv * w.input(1));
  }
  static void jvp(Tangents& t, const Attributes& a) {
    const Tensor& x = t.input(0);
    if (t.has(0)) t.give(second(a, x, t.input(1) * t.input(2), t[0], alone(a, x, t[0])));
    if (t.has(1)) t.give(norm_gradient(a, x, t[1], Arg(t.input(2))));
    if (t.has(2)) t.give(norm_gradient(a, x, t.input(1), Arg(t[2])));
  }
  static std::vector<Sample<Attributes>> samples() { return gradient_samples(3, 0); }

 private:
  static Tensor reciprocal_deviation(const Attributes& a, const Averages& average, const Tensor& x) {
    static const auto formula = pointwise("reciprocal_deviation", [](auto v, auto eps) { return rsqrt(v + eps); });
    const Tensor deviation = a.problem.centred ? x - average.mean(x) : x;
    return formula(average.mean(square(deviation)), a.problem.epsilon);
  }
};

struct NormWeightGradient {
  static constexpr const char* name = "norm_weight_gradient";
  static constexpr const char* doc = "sum(g h) for each channel: the gradient of a norm in its weight.";
  using Attributes = NormAttributes;
  static constexpr Uses uses = {reads_input(0) | reads_input(1), reads_input(0)};
  static Shape shape(const Inputs& x, const Attributes& a) { return norm_channels(x[0].shape(), a); }
  static Tensor forward(const Inputs& x, Attributes& a, const Shape&) {
    if (a.ready.defined()) return std::move(a.ready);
    return gradients(a, x[0], ones({}, x[0].dtype()), x[1], false, true).weight;
  }
  static void vjp(Walk& w, const Attributes& a, const Tensor& v) {
    const Tensor& x = w.input(0);
    if (w.needs(0)) w.give(0, norm_gradient(a, x, w.input(1), Arg(v)));
    if (w.needs(1)) w.give(1, apply_norm_alone(a, x) * v);
  }
  static void jvp(Tangents& t, const Attributes& a) {
    const Tensor& x = t.input(0);
    if (t.has(0)) t.give(sum_to(t.input(1) * NormGradient::alone(a, x, t[0]), t.shape()));
    if (t.has(1)) t.give(apply<NormWeightGradient>(a, Arg(x), Arg(t[1])));
  }
  static std::vector<Sample<Attributes>> samples() { return gradient_samples(2, 0); }
};

struct NormBiasGradient {
  static constexpr const char* name = "norm_bias_gradient";
  static constexpr const char* doc = "sum(g) for each channel: the gradient of a norm in its bias.";
  using Attributes = NormAttributes;
  static constexpr Uses uses = {reads_nothing};
  static constexpr bool is_linear = true;
  static Shape shape(const Inputs& x, const Attributes& a) { return norm_channels(x[0].shape(), a); }
  static Tensor forward(const Inputs& x, Attributes& a, const Shape& shape) {
    if (a.ready.defined()) return std::move(a.ready);
    return no_tape([&] { return sum_to(x[0], shape); });
  }
  static void vjp(Walk& w, const Attributes&, const Tensor& v) { w.give(0, expand(v, w.shape(0))); }
  static std::vector<Sample<Attributes>> samples() { return gradient_samples(2, 1); }
};

}  // namespace

Tensor norm_gradient(const NormAttributes& a, const Tensor& x, const Tensor& g, const Arg& weight) {
  return apply<NormGradient>(a, Arg(x), Arg(g), weight);
}

void give_norm_gradients(Walk& w, const NormAttributes& a, const Tensor& g, bool has_bias) {
  const bool wants_bias = has_bias && w.needs(2);
  if (!w.needs(0) && !w.needs(1)) return w.give(2, apply<NormBiasGradient>(a, Arg(g)));
  const Tensor& x = w.input(0);
  const Tensor weight = w.needs(0) ? w.input(1) : ones({}, x.dtype());
  NormGradients d = no_tape([&] { return gradients(a, x, weight, g, w.needs(0), w.needs(1) || wants_bias); });
  const auto with = [&](Tensor& ready) {  // handed over: the walk copies a gradient that others hold, too
    NormAttributes known = a;
    known.ready = std::move(ready);
    return known;
  };
  if (w.needs(0)) w.give(0, apply<NormGradient>(with(d.x), Arg(x), Arg(g), Arg(weight)));
  if (w.needs(1)) w.give(1, apply<NormWeightGradient>(with(d.weight), Arg(x), Arg(g)));
  if (wants_bias) w.give(2, apply<NormBiasGradient>(with(d.bias), Arg(g)));
}

std::vector<OpDescription> norm_gradient_ops() {
  return describe_ops<NormGradient, NormWeightGradient, NormBiasGradient>();
}

}  // namespace tapegrad::detail
