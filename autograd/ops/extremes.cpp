// The largest and the smallest elements, and where they are.
#include "autograd/ops/index.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/reduce_plan.h"
#include "autograd/ops/shape.h"

namespace tapegrad {
namespace {

using detail::kernel_index;
using detail::mask_of;
using detail::reduce_outer;
using detail::reduced_shape;
using detail::with_type;
using Plan = detail::ReducePlan;

struct ExtremeAttributes {
  Axes axis = Axes::all();
  bool keepdims = false;
  Tensor index{};  // [outer, inner]: where the extreme elements are, when a tape may ask
};

// max, or min with `sign` -1.
template <int sign>
struct Extreme {
  static constexpr const char* name = sign > 0 ? "max" : "min";
  static constexpr const char* doc =
      sign > 0 ? "The largest element along axes; the gradient goes to the first of equal ones."
               : "The smallest element along axes; the gradient goes to the first of equal ones.";
  using Attributes = ExtremeAttributes;
  static constexpr Uses uses = {};

  static Shape shape(const Inputs& x, const Attributes& a) {
    const unsigned mask = mask_of(x, a.axis);
    const Shape shape = reduced_shape(x[0].shape(), mask, a.keepdims);
    if (x[0].size() == 0 && shape.size() > 0) x.fail(describe(x[0]) + " has no elements to choose from");
    return shape;
  }
  static Tensor forward(const Inputs& x, Attributes& a, const Shape& shape) {
    const Plan plan(x[0].shape(), mask_of(x, a.axis));
    Tensor y = Tensor::empty(shape, x[0].dtype());
    const bool needs_index = detail::record.recording && is_floating(y.dtype());
    if (needs_index) a.index = Tensor::empty({plan.outer, 1, plan.inner}, i64);
    choose(x[0], plan, y, needs_index ? &a.index : nullptr);
    return y;
  }
  static void vjp(Walk& w, const Attributes& a, const Tensor& g) {
    const Shape shape = w.shape(0);
    const Plan plan(shape, a.axis.mask(name, shape.ndim(), w.at()));
    w.give(0, plan.restore(scatter_add(reshape(g, a.index.shape()), a.index, 1, plan.n), shape));
  }
  static void jvp(Tangents& t, const Attributes& a) {
    const Tensor dx = t[0];
    const Plan plan(dx.shape(), a.axis.mask(name, dx.ndim(), t.at()));
    t.give(reshape(gather(plan.lines(dx), a.index, 1), t.shape()));
  }
  static std::vector<Sample<Attributes>> samples() { return detail::reduce_samples<Attributes>(false); }

  // Writes the extreme values to y and, unless it is null, where they are.
  static void choose(const Tensor& x, const Plan& plan, Tensor& y, Tensor* index) {
    if (y.size() == 0) return;
    const Tensor arranged = plan.arrange(x);
    if (!is_floating(x.dtype())) return choose_integers(arranged, plan, y, index);
    const kernels::Table& table = kernels::table();
    const std::size_t type = kernel_index(x.dtype());
    if (!index) return reduce_outer(sign > 0 ? table.max[type] : table.min[type], arranged, plan, y);
    const auto function = sign > 0 ? table.max_index[type] : table.min_index[type];
    const double cost = detail::nanoseconds_per_read * static_cast<double>(plan.n * plan.inner);
    detail::for_ranges(plan.outer, cost, [&](std::int64_t begin, std::int64_t end) {
      function(arranged.data(), y.data(), index->data<std::int64_t>(), plan.n, plan.inner, begin, end);
    });
  }

 private:
  static void choose_integers(const Tensor& x, const Plan& plan, Tensor& y, Tensor* index) {
    with_type(x.dtype(), [&]<class T>(T*) {
      const T* from = x.data<T>();
      for (std::int64_t r = 0; r < plan.outer * plan.inner; ++r) {
        const T* column = from + r / plan.inner * plan.n * plan.inner + r % plan.inner;
        std::int64_t best = 0;
        for (std::int64_t i = 1; i < plan.n; ++i) {
          const T challenger = column[i * plan.inner];
          const T leader = column[best * plan.inner];
          if (sign > 0 ? challenger > leader : challenger < leader) best = i;
        }
        y.data<T>()[r] = column[best * plan.inner];
        if (index) index->data<std::int64_t>()[r] = best;
      }
    });
  }
};
using Max = Extreme<1>;
using Min = Extreme<-1>;

template <int sign>
Tensor arg_extreme(const char* name, const Arg& x, const ReduceOptions& options) {
  const Tensor& from = detail::defined(name, x);
  const Tensor* const input = &from;
  const Inputs inputs(name, &input, 1, x.at());
  const unsigned mask = mask_of(inputs, options.axis);
  const Shape shape = reduced_shape(from.shape(), mask, options.keepdims);
  if (from.size() == 0 && shape.size() > 0) inputs.fail(describe(from) + " has no elements to choose from");
  Tensor index = Tensor::empty(shape, i64);
  Tensor values = Tensor::empty(shape, from.dtype());
  Extreme<sign>::choose(from, Plan(from.shape(), mask), values, &index);
  return index;
}

}  // namespace

Tensor max(Arg x, const ReduceOptions& options) { return apply<Max>({options.axis, options.keepdims}, x); }
Tensor min(Arg x, const ReduceOptions& options) { return apply<Min>({options.axis, options.keepdims}, x); }
Tensor argmax(Arg x, const ReduceOptions& options) { return arg_extreme<1>("argmax", x, options); }
Tensor argmin(Arg x, const ReduceOptions& options) { return arg_extreme<-1>("argmin", x, options); }

namespace detail {

std::vector<OpDescription> extreme_ops() {
  std::vector<OpDescription> all = describe_ops<Max, Min>();
  for (OpDescription& op : describe_composites(
           {{"argmax", "Where the largest element along axes is.", "",
             samples_of([](const Tensor& x, const ReduceOptions& options) { return argmax(x, options); })},
            {"argmin", "Where the smallest element along axes is.", "",
             samples_of([](const Tensor& x, const ReduceOptions& options) { return argmin(x, options); })}})) {
    all.push_back(std::move(op));
  }
  return all;
}

}  // namespace detail
}  // namespace tapegrad
