// Products, and whether any or all elements are true.
#include <cmath>

#include "autograd/create.h"
#include "autograd/ops/arrange.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/reduce_plan.h"
#include "autograd/ops/scan.h"

namespace tapegrad {
namespace {

using detail::mask_of;
using detail::reduce_outer;
using detail::ReduceAttributes;
using detail::reduction_shape;
using Plan = detail::ReducePlan;

// ---- prod ----

// In unsigned numbers, so that an overflow wraps around.
Tensor multiply_integers(const Tensor& x, const Plan& plan, const Shape& shape) {
  const Tensor from = detail::converted(plan.arrange(x), i64);
  Tensor y = Tensor::empty(shape, i64);
  for (std::int64_t r = 0; r < y.size(); ++r) {
    const std::int64_t* column = from.data<std::int64_t>() + r / plan.inner * plan.n * plan.inner + r % plan.inner;
    std::uint64_t product = 1;
    for (std::int64_t i = 0; i < plan.n; ++i) product *= static_cast<std::uint64_t>(column[i * plan.inner]);
    y.data<std::int64_t>()[r] = static_cast<std::int64_t>(product);
  }
  return y;
}

// For each element of lines [outer, n, inner], the product of the others in its line: without a division, so that
// elements may be 0.
Tensor fused_products_of_others(const Tensor& lines) {
  const Tensor x = detail::contiguous_elements(lines);
  const Tensor y = Tensor::empty(x.shape(), x.dtype());
  const auto kernel = kernels::table().products_of_others[detail::kernel_index(x.dtype())];
  const std::int64_t n = x.shape(1);
  const std::int64_t inner = x.shape(2);
  constexpr double nanoseconds_per_element = 1;
  const double cost = nanoseconds_per_element * static_cast<double>(n);
  detail::for_ranges(x.shape(0) * inner, cost, [&](std::int64_t begin, std::int64_t end) {
    kernel({n, inner, x.data(), nullptr, y.data(), begin, end, false});
  });
  return y;
}

// The same in differentiable ops, for a walk that is recorded: what stands before each element times what stands behind.
Tensor differentiable_products_of_others(const Tensor& lines) {
  const auto products_before = [](const Tensor& x) {
    return concat({ones_like(x.slice(1, 0, 1)), cumprod(x, 1).slice(1, 0, -1)}, 1);
  };
  return products_before(lines) * flip(products_before(flip(lines, 1)), 1);
}

Tensor products_of_others(const Tensor& lines) {
  const bool is_recorded = detail::record.recording != nullptr;
  return is_recorded ? differentiable_products_of_others(lines) : fused_products_of_others(lines);
}

struct Prod {
  static constexpr const char* name = "prod";
  static constexpr const char* doc = "The product of the elements along axes.";
  using Attributes = ReduceAttributes;
  static constexpr Uses uses = {reads_input(0)};
  static Shape shape(const Inputs& x, const Attributes& a) { return reduction_shape(x, a); }
  static Tensor forward(const Inputs& x, Attributes& a, const Shape& shape) {
    const Plan plan(x[0].shape(), mask_of(x, a.axis));
    if (!is_floating(x[0].dtype())) return multiply_integers(x[0], plan, shape);
    Tensor y = Tensor::empty(shape, x[0].dtype());
    if (y.size() == 0) return y;
    reduce_outer(kernels::table().prod[detail::kernel_index(y.dtype())], plan.arrange(x[0]), plan, y);
    return y;
  }
  static void vjp(Walk& w, const Attributes& a, const Tensor& g) {
    const Tensor& x = w.input(0);
    const Plan plan(x.shape(), a.axis.mask(name, x.ndim(), w.at()));
    const Tensor others = products_of_others(plan.lines(x));
    w.give(0, plan.restore(others * reshape(g, {plan.outer, 1, plan.inner}), x.shape()));
  }
  static void jvp(Tangents& t, const Attributes& a) {
    const Tensor& x = t.input(0);
    const Plan plan(x.shape(), a.axis.mask(name, x.ndim(), t.at()));
    t.give(reshape(sum(products_of_others(plan.lines(x)) * plan.lines(t[0]), {.axis = 1}), t.shape()));
  }
  static std::vector<Sample<Attributes>> samples() {
    std::vector<Sample<Attributes>> samples = detail::reduce_samples<Attributes>(true);
    for (auto& sample : samples) sample.inputs[0] = near_one(sample.inputs[0]);
    for (const Axes& axis : {Axes::all(), Axes(0), Axes(1)}) {
      samples.push_back({{Tensor::from({2.0, -1.5, 0.0, 3.0, 0.5, -1.0}, {2, 3})}, {axis}});
      samples.push_back({{Tensor::from({2.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0, -0.5, 3.0}, {3, 3})}, {axis}});
    }
    return samples;
  }

 private:
  // Values of both signs whose products neither vanish nor overflow.
  static Tensor near_one(const Tensor& x) {
    Tensor y = x.clone();
    const double spread = 0.5 / std::sqrt(static_cast<double>(y.size()) + 1);
    for (std::int64_t i = 0; i < y.size(); ++i) {
      double& value = y.data<double>()[i];
      value = (i % 3 == 1 ? -1 : 1) + spread * value;
    }
    return y;
  }
};

// ---- any, all ----

Tensor reduce_booleans(const char* name, const Arg& x, const ReduceOptions& options, kernels::ReduceFunction function) {
  const Tensor& from = detail::defined(name, x);
  const Tensor* const input = &from;
  const Inputs inputs(name, &input, 1, x.at());
  const Plan plan(from.shape(), mask_of(inputs, options.axis));
  const Tensor booleans = from.dtype() == boolean ? from : detail::converted(from, boolean);
  Tensor y = Tensor::empty(reduction_shape(inputs, options), boolean);
  if (y.size() > 0) reduce_outer(function, plan.arrange(booleans), plan, y);
  return y;
}

}  // namespace

Tensor prod(Arg x, const ReduceOptions& options) { return apply<Prod>({options.axis, options.keepdims}, x); }
Tensor any(Arg x, const ReduceOptions& options) { return reduce_booleans("any", x, options, kernels::table().any); }
Tensor all(Arg x, const ReduceOptions& options) { return reduce_booleans("all", x, options, kernels::table().all); }

namespace detail {

std::vector<OpDescription> fold_ops() {
  std::vector<OpDescription> list = describe_ops<Prod>();
  for (OpDescription& op : describe_composites(
           {{"any", "Whether any element along axes is not 0.", "",
             samples_of([](const Tensor& x, const ReduceOptions& options) { return any(x > 1.7, options); })},
            {"all", "Whether all elements along axes are not 0.", "",
             samples_of([](const Tensor& x, const ReduceOptions& options) { return all(x > -1.7, options); })}})) {
    list.push_back(std::move(op));
  }
  return list;
}

}  // namespace detail
}  // namespace tapegrad
