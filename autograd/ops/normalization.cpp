#include "autograd/ops/normalization.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

#include "autograd/create.h"
#include "autograd/ops/elements.h"
#include "autograd/ops/losses.h"
#include "autograd/ops/normalization_parts.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/reduce.h"

namespace tapegrad {
namespace {

using detail::apply_norm;
using detail::apply_norm_alone;
using detail::new_norm_statistics;
using detail::norm_channels;
using detail::NormAttributes;
using detail::NormKind;
using detail::NormSizes;

// ---- the norms ----

void check_of_channels(const Inputs& x, int k, const char* what, const Shape& channels) {
  const Tensor& t = x[k];
  if (t.dtype() != x[0].dtype()) {
    x.fail("x is " + describe(x[0]) + " and the " + what + " " + describe(t), "convert one of them with to()");
  }
  if (t.ndim() == 0 || t.shape() == channels) return;
  x.fail(std::string("the ") + what + " is " + describe(t) + ", not " + to_string(t.dtype(), channels) + ": x is " +
         describe(x[0]));
}

// By kind.
constexpr const char* norm_names[] = {"layer_norm", "rms_norm", "batch_norm", "group_norm", "instance_norm"};
constexpr const char* norm_docs[] = {
    "(x - mean) / sqrt(var + eps) weight + bias, with mean and var over the last axes.",
    "x / sqrt(mean(x^2) + eps) weight, with the mean over the last axes.",
    "(x - mean) / sqrt(var + eps) weight + bias, with mean and var over all axes but the last.",
    ("(x - mean) / sqrt(var + eps) weight + bias, with mean and var over the axes between the first and the last and "
     "groups of the last."),
    "(x - mean) / sqrt(var + eps) weight + bias, with mean and var over the axes between the first and the last."};

template <NormKind kind>
struct Norm {
  static constexpr bool has_bias = kind != NormKind::rms;
  static constexpr const char* name = norm_names[static_cast<int>(kind)];
  static constexpr const char* doc = norm_docs[static_cast<int>(kind)];
  using Attributes = NormAttributes;
  static constexpr Uses uses = {reads_input(0) | reads_input(1), reads_input(0)};

  static Shape shape(const Inputs& x, const Attributes& a) {
    const Shape channels = norm_channels(x[0].shape(), a);
    check_of_channels(x, 1, "weight", channels);
    if (has_bias) check_of_channels(x, 2, "bias", channels);
    return x[0].shape();
  }
  static Tensor forward(const Inputs& x, Attributes& a, const Shape&) {
    if (!a.statistics.defined()) a.statistics = new_norm_statistics(a.problem.sizes);
    return normalized(a, x[0], x[1], has_bias ? x[2] : zeros({}, x[0].dtype()));
  }
  static void vjp(Walk& w, const Attributes& a, const Tensor& g) { detail::give_norm_gradients(w, a, g, has_bias); }
  static void jvp(Tangents& t, const Attributes& a) {
    if (t.has(0)) t.give(detail::norm_gradient(a, t.input(0), t[0], 1) * t.input(1));
    if (t.has(1)) t.give(apply_norm_alone(a, t.input(0)) * t[1]);
    if (has_bias && t.has(2)) t.give(expand(t[2], t.shape()));
  }
  static std::vector<Sample<Attributes>> samples() { return detail::norm_samples(kind); }
};

// ---- which elements are normalized together ----

// The array [samples, positions, groups, width] as which a kind of norm sees a shape; of layer and RMS norm, `parts` is
// the number of axes, of group norm that of the groups.
NormAttributes attributes_of(NormKind kind, const Shape& x, std::int64_t parts, double epsilon) {
  NormAttributes a{kind, 1, {{}, epsilon, kind != NormKind::rms}};
  NormSizes& z = a.problem.sizes;
  const std::int64_t channels = x.back();
  const auto product = [&](int begin, int end) {
    std::int64_t n = 1;
    for (int k = begin; k < end; ++k) n *= x[k];
    return n;
  };
  switch (kind) {
    case NormKind::layer:
    case NormKind::rms:
      a.axes = static_cast<int>(parts);
      z.samples = product(0, x.ndim() - a.axes);
      z.width = product(x.ndim() - a.axes, x.ndim());
      break;
    case NormKind::batch:
      z.positions = product(0, x.ndim() - 1);
      z.groups = channels;
      break;
    default:
      z.samples = x[0];
      z.positions = product(1, x.ndim() - 1);
      z.groups = kind == NormKind::group ? parts : channels;
      z.width = z.groups ? channels / z.groups : 0;
  }
  return a;
}

Inputs checked_x(const char* op, const Tensor* const& x, const Arg& given, int least_axes, const char* meaning,
                 double eps) {
  detail::defined(op, given);
  const Inputs inputs(op, &x, 1, given.at());
  if (!is_floating(x->dtype())) inputs.fail(describe(*x) + " holds integers", "convert it with to(f32)");
  if (x->ndim() < least_axes) inputs.fail("x must be " + std::string(meaning) + ", not " + describe(*x));
  if (!(eps >= 0) || std::isinf(eps)) inputs.fail("eps is " + detail::decimal_text(eps));
  return inputs;
}

NormAttributes row_attributes(NormKind kind, const char* op, const Arg& x, int axes, double eps) {
  const Tensor* const tensor = &x.tensor();
  const Inputs inputs = checked_x(op, tensor, x, 1, "[..., features]", eps);
  if (axes < 1 || axes > tensor->ndim()) {
    inputs.fail("x is " + describe(*tensor) + " and cannot be normalized over its last " + std::to_string(axes) +
                " axes");
  }
  return attributes_of(kind, tensor->shape(), axes, eps);
}

NormAttributes batch_attributes(const Arg& x, double eps) {
  const Tensor* const tensor = &x.tensor();
  const Inputs inputs = checked_x("batch_norm", tensor, x, 2, "[batch, ..., channels]", eps);
  NormAttributes a = attributes_of(NormKind::batch, tensor->shape(), 1, eps);
  if (a.problem.sizes.positions < 2) {
    inputs.fail("x is " + describe(*tensor) + " [..., channels] with " + std::to_string(a.problem.sizes.positions) +
                    " values per channel, which have no variance",
                "train with a batch of at least 2, or normalize with given statistics (nn::eval)");
  }
  return a;
}

NormAttributes instance_attributes(const Arg& x, double eps) {
  const Tensor* const tensor = &x.tensor();
  const Inputs inputs = checked_x("instance_norm", tensor, x, 3, "[batch, ..., channels]", eps);
  NormAttributes a = attributes_of(NormKind::instance, tensor->shape(), 1, eps);
  if (a.problem.sizes.positions < 2 && tensor->size()) {
    inputs.fail("x is " + describe(*tensor) +
                " [batch, ..., channels] with one value per sample and channel, which has no variance");
  }
  return a;
}

// (x - mean) / sqrt(var + eps) * weight + bias for each channel, with given statistics.
Tensor batch_norm_given(const Arg& x, const Arg& weight, const Arg& bias, const BatchNormOptions& o) {
  static const auto scale_of =
      pointwise("batch_norm_scale", [](auto w, auto var, auto eps) { return w * rsqrt(var + eps); });
  static const auto formula =
      pointwise("batch_norm", [](auto v, auto mean, auto scale, auto b) { return (v - mean) * scale + b; });
  const Tensor* const tensor = &x.tensor();
  const Inputs inputs = checked_x("batch_norm", tensor, x, 2, "[batch, ..., channels]", o.eps);
  if (!o.mean.defined() || !o.var.defined()) inputs.fail("of mean and var only one is given");
  const Tensor* const all[] = {tensor, &weight.tensor(tensor->dtype()), &bias.tensor(tensor->dtype()), &o.mean, &o.var};
  const Inputs checked("batch_norm", all, 5, x.at());
  const char* const what[] = {"", "weight", "bias", "mean", "variance"};
  for (int k = 1; k < 5; ++k) check_of_channels(checked, k, what[k], {tensor->shape().back()});
  return formula(x, o.mean, scale_of(Arg(*all[1], x.at()), o.var, o.eps), *all[2]);
}

// ---- samples ----

struct NormCase {
  Shape shape;
  std::int64_t parts;
  bool of_numbers = false;  // weight and bias
};

std::vector<NormCase> cases(NormKind kind) {
  switch (kind) {
    case NormKind::layer:
    case NormKind::rms:
      return {{{3, 4}, 1},  {{2, 3, 4}, 2}, {{5}, 1},          {{2, 3, 1}, 1}, {{0, 3}, 1},
              {{2, 19}, 1}, {{2, 70}, 1},   {{2, 5}, 1, true}, {{120, 65}, 1}, {{1, 9000}, 1}};
    case NormKind::batch:
      return {{{5, 3}, 1},       {{2, 3, 2, 4}, 1}, {{4, 1}, 1},   {{3, 35}, 1},
              {{7, 2}, 1, true}, {{90, 150}, 1},    {{4500, 3}, 1}};
    case NormKind::group:
      return {{{2, 3, 4}, 2}, {{2, 2, 3, 6}, 3},    {{3, 6}, 2},       {{1, 2, 5}, 5},
              {{0, 2, 4}, 2}, {{2, 5, 4}, 1, true}, {{20, 30, 36}, 4}, {{2, 700, 8}, 2}};
    default:
      return {{{2, 3, 4}, 1},       {{2, 2, 3, 3}, 1}, {{1, 2, 1}, 1},
              {{2, 4, 2}, 1, true}, {{20, 60, 17}, 1}, {{1, 2500, 2}, 1}};
  }
}

Sample<NormAttributes> sample(NormKind kind, const NormCase& c) {
  const NormAttributes a = attributes_of(kind, c.shape, c.parts, 1e-2);
  const Shape channels = c.of_numbers ? Shape{} : norm_channels(c.shape, a);
  std::vector<Tensor> inputs = {detail::sample_values(c.shape), detail::sample_values(channels, 2)};
  if (kind != NormKind::rms) inputs.push_back(detail::sample_values(channels, 3));
  return {std::move(inputs), a};
}

}  // namespace

Tensor layer_norm(Arg x, Arg weight, Arg bias, const LayerNormOptions& o) {
  return apply_norm(row_attributes(NormKind::layer, "layer_norm", x, o.axes, o.eps), x, weight, bias);
}

Tensor rms_norm(Arg x, Arg weight, const RmsNormOptions& o) {
  const double machine = x.tensor().defined() && x.tensor().dtype() == f64
                             ? std::numeric_limits<double>::epsilon()
                             : static_cast<double>(std::numeric_limits<float>::epsilon());
  return apply_norm(row_attributes(NormKind::rms, "rms_norm", x, o.axes, o.eps.value_or(machine)), x, weight, weight);
}

Tensor batch_norm(Arg x, Arg weight, Arg bias, const BatchNormOptions& o) {
  if (o.mean.defined() || o.var.defined()) return batch_norm_given(x, weight, bias, o);
  return apply_norm(batch_attributes(x, o.eps), x, weight, bias);
}

Tensor group_norm(Arg x, std::int64_t groups, Arg weight, Arg bias, const GroupNormOptions& o) {
  const Tensor* const tensor = &x.tensor();
  const Inputs inputs = checked_x("group_norm", tensor, x, 2, "[batch, ..., channels]", o.eps);
  if (groups < 1 || tensor->shape().back() % groups) {
    inputs.fail("x is " + describe(*tensor) + ", whose " + std::to_string(tensor->shape().back()) +
                " channels do not divide into " + std::to_string(groups) + " groups");
  }
  NormAttributes a = attributes_of(NormKind::group, tensor->shape(), groups, o.eps);
  if (a.problem.sizes.averaged() < 2 && tensor->size()) {
    inputs.fail("x is " + describe(*tensor) + " with one value per sample and group, which has no variance");
  }
  return apply_norm(std::move(a), x, weight, bias);
}

Tensor instance_norm(Arg x, Arg weight, Arg bias, const InstanceNormOptions& o) {
  return apply_norm(instance_attributes(x, o.eps), x, weight, bias);
}

namespace detail {

Tensor spread_over_channels(const Tensor& of_channels, const Shape& channels) {
  return contiguous_elements(no_tape([&] { return expand(of_channels, channels); }));
}

Tensor normalized(const NormAttributes& a, const Tensor& x, const Tensor& weight, const Tensor& bias) {
  Tensor y = Tensor::empty(x.shape(), x.dtype());
  if (x.size() == 0) return y;
  const Shape channels = norm_channels(x.shape(), a);
  normalize(x.dtype(), a.problem, contiguous_elements(x).data(), spread_over_channels(weight, channels).data(),
            spread_over_channels(bias, channels).data(), a.statistics.data<double>(), y.data());
  return y;
}

Tensor apply_norm(NormAttributes a, const Arg& x, const Arg& weight, const Arg& bias) {
  switch (a.kind) {
    case NormKind::rms:
      return apply<Norm<NormKind::rms>>(std::move(a), x, weight);
    case NormKind::batch:
      return apply<Norm<NormKind::batch>>(std::move(a), x, weight, bias);
    case NormKind::group:
      return apply<Norm<NormKind::group>>(std::move(a), x, weight, bias);
    case NormKind::instance:
      return apply<Norm<NormKind::instance>>(std::move(a), x, weight, bias);
    default:
      return apply<Norm<NormKind::layer>>(std::move(a), x, weight, bias);
  }
}

Tensor apply_norm_alone(NormAttributes a, const Tensor& x) {
  a.statistics = {};
  return apply_norm(std::move(a), Arg(x), Arg(1), Arg(0));
}

std::vector<Sample<NormAttributes>> norm_samples(NormKind kind) {
  std::vector<Sample<NormAttributes>> list;
  for (const NormCase& c : cases(kind)) list.push_back(sample(kind, c));
  return list;
}

Tensor batch_norm_of_batch(const Arg& x, const Arg& weight, const Arg& bias, double eps, Tensor& statistics) {
  NormAttributes a = batch_attributes(x, eps);
  a.statistics = statistics = new_norm_statistics(a.problem.sizes);
  return apply_norm(std::move(a), x, weight, bias);
}

Tensor instance_norm_of_batch(const Arg& x, const Arg& weight, const Arg& bias, double eps, Tensor& statistics) {
  NormAttributes a = instance_attributes(x, eps);
  a.statistics = statistics = new_norm_statistics(a.problem.sizes);
  return apply_norm(std::move(a), x, weight, bias);
}

std::vector<OpDescription> normalization_ops() {
  std::vector<OpDescription> all = describe_ops<Norm<NormKind::layer>, Norm<NormKind::rms>, Norm<NormKind::batch>,
                                                Norm<NormKind::group>, Norm<NormKind::instance>>();
  std::ranges::move(norm_gradient_ops(), std::back_inserter(all));
  using Tensors = std::vector<Tensor>;
  const auto given = [](const Tensors& in) {
    return batch_norm(in[0], in[1], in[2], {.eps = 1e-2, .mean = in[3], .var = exp(in[4])});
  };
  const auto inputs = [](const Shape& shape) {
    const Shape channels{shape.back()};
    return Tensors{sample_values(shape), sample_values(channels, 2), sample_values(channels, 3),
                   sample_values(channels, 4), sample_values(channels, 5)};
  };
  for (OpDescription& op :
       describe_composites({{"batch_norm_given",
                             "batch_norm with a given mean and variance (here that of exp).",
                             "(x - mean) / sqrt(var + eps) weight + bias",
                             {{inputs({3, 4}), given}, {inputs({2, 3, 2, 5}), given}, {inputs({90, 70}), given}}}})) {
    all.push_back(std::move(op));
  }
  return all;
}

}  // namespace detail
}  // namespace tapegrad
