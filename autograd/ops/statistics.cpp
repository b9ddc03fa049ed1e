// Variances, norms and logsumexp.
#include <cmath>
#include <cstdio>
#include <limits>

#include "autograd/create.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/reduce_plan.h"

namespace tapegrad {
namespace {

using detail::kept_shape;
using detail::kernel_index;
using detail::mask_of;
using detail::reduce_outer;
using detail::reduce_samples;
using detail::ReduceAttributes;
using detail::reduction_shape;
using kernels::Primitive;
using Plan = detail::ReducePlan;

// ---- var, stddev ----

struct VarianceAttributes {
  Axes axis = Axes::all();
  bool keepdims = false;
  int ddof = 0;
};

// The variance, or with `root` its square root.
template <bool root>
struct Variance {
  static constexpr const char* name = root ? "stddev" : "var";
  static constexpr const char* doc =
      root ? "The standard deviation along axes, sqrt(var(x))." : "The variance along axes, mean((x - mean(x))^2).";
  using Attributes = VarianceAttributes;
  static constexpr Uses uses = {root ? reads_input(0) | reads_output : reads_input(0)};
  static Shape shape(const Inputs& x, const Attributes& a) { return reduction_shape(x, a); }
  static Tensor forward(const Inputs& x, Attributes& a, const Shape&) {
    static const auto squared_difference =
        pointwise("squared_difference", [](auto v, auto m) { return square(v - m); });
    const Tape::Pause pause;
    const Tensor means = mean(x[0], {.axis = a.axis, .keepdims = true});
    Tensor y = sum(squared_difference(x[0], means), {.axis = a.axis, .keepdims = a.keepdims});
    detail::update(y, Primitive::divide, divisor(x[0].shape(), mask_of(x, a.axis), a.ddof));
    if (root) detail::update(y, Primitive::sqrt, 0);
    return y;
  }
  static void vjp(Walk& w, const Attributes& a, const Tensor& g) {
    const Tensor& x = w.input(0);
    const unsigned mask = a.axis.mask(name, x.ndim(), w.at());
    const double factor = (root ? 1 : 2) / divisor(x.shape(), mask, a.ddof);
    const Tensor scaled = (root ? over_stddev(g, w.output()) : g) * factor;
    w.give(0, (x - mean(x, {.axis = a.axis, .keepdims = true})) * reshape(scaled, kept_shape(x.shape(), mask)));
  }
  static void jvp(Tangents& t, const Attributes& a) {
    const Tensor& x = t.input(0);
    const double factor = (root ? 1 : 2) / divisor(x.shape(), a.axis.mask(name, x.ndim(), t.at()), a.ddof);
    const Tensor deviation = x - mean(x, {.axis = a.axis, .keepdims = true});
    const Tensor dy = sum(deviation * t[0], {.axis = a.axis, .keepdims = a.keepdims}) * factor;
    t.give(root ? over_stddev(dy, t.output()) : dy);
  }
  static std::vector<Sample<Attributes>> samples() {
    std::vector<Sample<Attributes>> samples = reduce_samples<Attributes>(false);
    samples.push_back({{detail::sample_values({3, 4})}, {1, false, 1}});
    samples.push_back({{detail::sample_values({3, 4, 2})}, {{0, 2}, true, 2}});
    return samples;
  }

 private:
  // The inner choice keeps the division, and with it every further derivative, finite where the result is 0.
  static Tensor over_stddev(const Tensor& v, const Tensor& result) {
    static const auto formula = pointwise(
        "over_stddev", [](auto a, auto stddev) { return where(stddev == 0, 0, a / where(stddev == 0, 1, stddev)); });
    return formula(v, result);
  }
  static double divisor(const Shape& shape, unsigned mask, int ddof) {
    return std::max(0.0, static_cast<double>(Plan(shape, mask).n) - ddof);
  }
};

// ---- norm ----

struct NormAttributes {
  Axes axis = Axes::all();
  bool keepdims = false;
  bool is_euclidean = true;  // or the sum of magnitudes
};

struct Norm {
  static constexpr const char* name = "norm";
  static constexpr const char* doc = "A norm along axes: sqrt(sum(x^2)), or sum(|x|).";
  using Attributes = NormAttributes;
  static constexpr Uses uses = {reads_input(0) | reads_output};
  static Shape shape(const Inputs& x, const Attributes& a) {
    if (!is_floating(x[0].dtype())) x.fail(describe(x[0]) + " has no norm", "convert it with to(f32)");
    return reduction_shape(x, a);
  }
  static Tensor forward(const Inputs& x, Attributes& a, const Shape& shape) {
    const Plan plan(x[0].shape(), mask_of(x, a.axis));
    Tensor y = Tensor::empty(shape, x[0].dtype());
    if (y.size() == 0) return y;
    const kernels::Table& table = kernels::table();
    const std::size_t type = kernel_index(y.dtype());
    const auto function = a.is_euclidean ? table.sum_of_squares[type] : table.sum_of_magnitudes[type];
    reduce_outer(function, plan.arrange(x[0]), plan, y);
    if (a.is_euclidean) detail::update(y, Primitive::sqrt, 0);
    return y;
  }
  static void vjp(Walk& w, const Attributes& a, const Tensor& g) {
    const Tensor& x = w.input(0);
    const Shape kept = kept_shape(x.shape(), a.axis.mask(name, x.ndim(), w.at()));
    w.give(0, a.is_euclidean ? x * reshape(over_norm(g, w.output()), kept) : signed_as(reshape(g, kept), x));
  }
  static void jvp(Tangents& t, const Attributes& a) {
    const Tensor& x = t.input(0);
    const ReduceOptions along{.axis = a.axis, .keepdims = a.keepdims};
    t.give(a.is_euclidean ? over_norm(sum(x * t[0], along), t.output()) : sum(signed_as(t[0], x), along));
  }
  static std::vector<Sample<Attributes>> samples() {
    std::vector<Sample<Attributes>> samples = reduce_samples<Attributes>(false);
    for (auto& sample : reduce_samples<Attributes>(true)) {
      sample.attributes.is_euclidean = false;
      samples.push_back(std::move(sample));
    }
    return samples;
  }

 private:
  // The inner choice keeps the division, and with it every further derivative, finite where the norm is 0.
  static Tensor over_norm(const Tensor& v, const Tensor& result) {
    static const auto formula =
        pointwise("over_norm", [](auto a, auto norm) { return where(norm == 0, 0, a / where(norm == 0, 1, norm)); });
    return formula(v, result);
  }
  static Tensor signed_as(const Tensor& v, const Tensor& x) {
    static const auto formula = pointwise("signed_as", [](auto a, auto b) { return a * sign(b); });
    return formula(v, x);
  }
};

Tensor largest_magnitude(const Arg& x, const NormOptions& options) {
  const Tensor& from = detail::defined("norm", x);
  const Tensor* const input = &from;
  const Inputs inputs("norm", &input, 1, x.at());
  const Shape shape = reduction_shape(inputs, options);
  if (!is_floating(from.dtype())) inputs.fail(describe(from) + " has no norm", "convert it with to(f32)");
  if (from.size() == 0 && shape.size() > 0) inputs.fail(describe(from) + " has no elements to choose from");
  return max(Arg(abs(x), x.at()), {.axis = options.axis, .keepdims = options.keepdims});
}

// ---- logsumexp ----

struct LogSumExp {
  static constexpr const char* name = "logsumexp";
  static constexpr const char* doc = "log(sum(exp(x))) along axes, without overflow.";
  using Attributes = ReduceAttributes;
  static constexpr Uses uses = {reads_input(0) | reads_output};
  static Shape shape(const Inputs& x, const Attributes& a) { return reduction_shape(x, a); }
  static Tensor forward(const Inputs& x, Attributes& a, const Shape& shape) {
    static const auto shifted_exp = pointwise("shifted_exp", [](auto v, auto largest) {
      return exp(v - where(abs(largest) == std::numeric_limits<double>::infinity(), 0, largest));
    });
    static const auto shifted_log = pointwise("shifted_log", [](auto sum, auto largest) {
      return where(abs(largest) == std::numeric_limits<double>::infinity(), largest, log(sum) + largest);
    });
    const Tape::Pause pause;
    const DType type = is_floating(x[0].dtype()) ? x[0].dtype() : f32;
    const Plan plan(x[0].shape(), mask_of(x, a.axis));
    if (plan.n == 0) return full(shape, -std::numeric_limits<double>::infinity(), type);
    const Tensor from = x[0].to(type);
    const ReduceOptions kept{.axis = a.axis, .keepdims = true};
    const Tensor largest = max(from, kept);
    return reshape(shifted_log(sum(shifted_exp(from, largest), kept), largest), shape);
  }
  static void vjp(Walk& w, const Attributes& a, const Tensor& g) {
    const Tensor& x = w.input(0);
    const Shape kept = kept_shape(x.shape(), a.axis.mask(name, x.ndim(), w.at()));
    w.give(0, softmax_times(x, reshape(w.output(), kept), reshape(g, kept)));
  }
  static void jvp(Tangents& t, const Attributes& a) {
    const Tensor& x = t.input(0);
    const Shape kept = kept_shape(x.shape(), a.axis.mask(name, x.ndim(), t.at()));
    const ReduceOptions along{.axis = a.axis, .keepdims = a.keepdims};
    t.give(sum(softmax_times(x, reshape(t.output(), kept), t[0]), along));
  }
  static std::vector<Sample<Attributes>> samples() { return reduce_samples<Attributes>(false); }

 private:
  // Where all elements are -infinity, so is the result, and the derivative is 0.
  static Tensor softmax_times(const Tensor& x, const Tensor& result, const Tensor& factor) {
    static const auto formula = pointwise("softmax_times", [](auto v, auto y, auto a) {
      const auto is_nothing = y == -std::numeric_limits<double>::infinity();
      return where(is_nothing, 0, a * exp(v - where(is_nothing, 0, y)));
    });
    return formula(x, result, factor);
  }
};

}  // namespace

Tensor var(Arg x, const VarianceOptions& options) {
  return apply<Variance<false>>({options.axis, options.keepdims, options.ddof}, x);
}

Tensor stddev(Arg x, const VarianceOptions& options) {
  return apply<Variance<true>>({options.axis, options.keepdims, options.ddof}, x);
}

Tensor norm(Arg x, const NormOptions& options) {
  if (options.ord == std::numeric_limits<double>::infinity()) return largest_magnitude(x, options);
  if (options.ord != 1 && options.ord != 2) {
    char text[32];
    std::snprintf(text, sizeof text, "%g", options.ord);
    detail::fail_op("norm", std::string("ord ") + text + " is not one of 1, 2 and infinity", x.at());
  }
  return apply<Norm>({options.axis, options.keepdims, options.ord == 2}, x);
}

Tensor logsumexp(Arg x, const ReduceOptions& options) { return apply<LogSumExp>({options.axis, options.keepdims}, x); }

namespace detail {

std::vector<OpDescription> statistics_ops() {
  std::vector<OpDescription> all = describe_ops<Variance<false>, Variance<true>, Norm, LogSumExp>();
  Composite largest{"norm_inf", "norm(x, {.ord = infinity}): the largest magnitude along axes.", "max(abs(x))", {}};
  std::vector<Sample<ReduceAttributes>> samples = reduce_samples<ReduceAttributes>(false);
  // Among many elements there are near ties, of which differences say nothing.
  std::erase_if(samples, [](const auto& sample) { return sample.inputs[0].size() > 1000; });
  const Tensor separated = sample_values({40, 250});
  for (std::int64_t r = 0; r < 40; ++r) separated.data<double>()[r * 251] = r % 2 ? 3 : -3;
  samples.push_back({{separated}, {1}});
  for (const auto& sample : samples) {
    const auto [axis, keepdims] = sample.attributes;
    largest.samples.push_back({sample.inputs, [axis = axis, keepdims = keepdims](const std::vector<Tensor>& x) {
                                 return norm(x[0], {axis, keepdims, std::numeric_limits<double>::infinity()});
                               }});
  }
  for (OpDescription& op : describe_composites({largest})) all.push_back(std::move(op));
  return all;
}

}  // namespace detail
}  // namespace tapegrad
