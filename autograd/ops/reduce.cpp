#include "autograd/ops/reduce.h"

#include <algorithm>
#include <iterator>

#include "autograd/create.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/reduce_plan.h"

namespace tapegrad {
namespace {

using detail::kernel_index;
using detail::mask_of;
using detail::nanoseconds_per_read;
using detail::reduce_outer;
using detail::reduce_samples;
using detail::ReduceAttributes;
using detail::spread;
using detail::update;
using detail::with_type;
using kernels::Primitive;
using Plan = detail::ReducePlan;

// ---- sums ----

// y[c] = sum over the rows of x [n, inner], by several threads: each adds up a range of rows or of columns.
template <class T>
void sum_rows(const T* x, T* y, std::int64_t n, std::int64_t inner) {
  const auto sum_chunk = kernels::table().sum_columns_chunk[kernel_index(dtype_of<T>)];
  const std::int64_t chunks = chunks_for(n * inner, nanoseconds_per_read);
  const bool cut_rows = n >= 64 * chunks;
  const std::int64_t partials = cut_rows ? chunks : 1;
  const detail::Scratch scratch(static_cast<std::size_t>(partials * inner) * sizeof(double));
  auto* const partial = scratch.get<double>();
  parallel_for(chunks, [&](std::int64_t chunk) {
    const Range range = chunk_range(cut_rows ? n : inner, chunks, chunk);
    const std::int64_t count = range.end - range.begin;
    if (cut_rows) {
      sum_chunk(x + range.begin * inner, partial + chunk * inner, count, inner, inner);
    } else if (count > 0) {
      sum_chunk(x + range.begin, partial + range.begin, n, inner, count);
    }
  });
  for (std::int64_t c = 0; c < inner; ++c) {
    double sum = partial[c];
    for (std::int64_t p = 1; p < partials; ++p) sum += partial[p * inner + c];
    y[c] = static_cast<T>(sum);
  }
}

template <class T>
void sum_floats(const Tensor& x, const Plan& plan, Tensor& y) {
  if (plan.outer > 1 || chunks_for(x.size(), nanoseconds_per_read) == 1) {
    reduce_outer(kernels::table().sum[kernel_index(x.dtype())], x, plan, y);
  } else if (plan.inner == 1) {
    *y.data<T>() = static_cast<T>(detail::sum_contiguous(x.data(), plan.n, x.dtype()));
  } else {
    sum_rows(x.data<T>(), y.data<T>(), plan.n, plan.inner);
  }
}

// y = f(y, element) for the elements of a dtype without kernels. y holds the start values.
template <class From, class To, class F>
void fold(const Tensor& x, const Plan& plan, Tensor& y, F&& f) {
  const From* from = x.data<From>();
  for (std::int64_t o = 0; o < plan.outer; ++o) {
    To* const to = y.data<To>() + o * plan.inner;
    for (std::int64_t i = 0; i < plan.n; ++i) {
      for (std::int64_t c = 0; c < plan.inner; ++c) to[c] = f(to[c], *from++);
    }
  }
}

// The sum over the axes in `mask`; integers in i64.
Tensor sum_over(const Tensor& x, unsigned mask, const Shape& shape) {
  const Plan plan(x.shape(), mask);
  const Tensor arranged = plan.arrange(x);
  if (!is_floating(x.dtype())) {
    Tensor y = zeros(shape, i64);
    with_type(x.dtype(), [&]<class T>(T*) {
      fold<T, std::int64_t>(arranged, plan, y,
                            [](std::int64_t sum, T e) { return sum + static_cast<std::int64_t>(e); });
    });
    return y;
  }
  Tensor y = Tensor::empty(shape, x.dtype());
  if (y.size() == 0) return y;
  if (x.dtype() == f32) {
    sum_floats<float>(arranged, plan, y);
  } else {
    sum_floats<double>(arranged, plan, y);
  }
  return y;
}

// ---- ops ----

struct Sum {
  static constexpr const char* name = "sum";
  static constexpr const char* doc = "The sum of the elements along axes.";
  using Attributes = ReduceAttributes;
  static constexpr Uses uses = {};
  static constexpr bool is_linear = true;
  static Shape shape(const Inputs& x, const Attributes& a) { return detail::reduction_shape(x, a); }
  static Tensor forward(const Inputs& x, Attributes& a, const Shape& shape) {
    return sum_over(x[0], mask_of(x, a.axis), shape);
  }
  static void vjp(Walk& w, const Attributes& a, const Tensor& g) {
    const Shape shape = w.shape(0);
    w.give(0, spread(g, shape, a.axis.mask(name, shape.ndim(), w.at())));
  }
  static std::vector<Sample<Attributes>> samples() { return reduce_samples<Attributes>(true); }
};

struct Mean {
  static constexpr const char* name = "mean";
  static constexpr const char* doc = "The mean of the elements along axes.";
  using Attributes = ReduceAttributes;
  static constexpr Uses uses = {};
  static constexpr bool is_linear = true;
  static Shape shape(const Inputs& x, const Attributes& a) { return detail::reduction_shape(x, a); }
  static Tensor forward(const Inputs& x, Attributes& a, const Shape& shape) {
    const unsigned mask = mask_of(x, a.axis);
    const double count = static_cast<double>(Plan(x[0].shape(), mask).n);
    Tensor y = sum_over(x[0], mask, shape);
    if (is_floating(y.dtype())) {
      update(y, Primitive::divide, count);
      return y;
    }
    Tensor means = Tensor::empty(shape, f32);
    for (std::int64_t i = 0; i < y.size(); ++i) {
      means.data<float>()[i] = static_cast<float>(static_cast<double>(y.data<std::int64_t>()[i]) / count);
    }
    return means;
  }
  static void vjp(Walk& w, const Attributes& a, const Tensor& g) {
    const Shape shape = w.shape(0);
    const unsigned mask = a.axis.mask(name, shape.ndim(), w.at());
    w.give(0, spread(g / static_cast<double>(Plan(shape, mask).n), shape, mask));
  }
  static std::vector<Sample<Attributes>> samples() { return reduce_samples<Attributes>(false); }
};

// ---- broadcasting ----

struct ToShape {
  Shape shape;
};

// The axes of `large` along which `small` is broadcast to it, or ~0u when it is not possible.
unsigned broadcast_mask(const Shape& small, const Shape& large) {
  const int extra = large.ndim() - small.ndim();
  if (extra < 0) return ~0u;
  unsigned mask = (1u << extra) - 1;
  for (int k = 0; k < small.ndim(); ++k) {
    if (small[k] == large[k + extra]) continue;
    if (small[k] != 1) return ~0u;
    mask |= 1u << (k + extra);
  }
  return mask;
}

struct Expand {
  static constexpr const char* name = "expand";
  static constexpr const char* doc = "Broadcast to a shape, as a view.";
  using Attributes = ToShape;
  static constexpr Uses uses = {};
  static constexpr bool is_linear = true;
  static Shape shape(const Inputs& x, const Attributes& a) {
    if (broadcast_mask(x[0].shape(), a.shape) == ~0u) {
      x.fail(describe(x[0]) + " does not broadcast to " + to_string(a.shape),
             "sizes, counted from the last axis, must be equal or 1");
    }
    return a.shape;
  }
  static Tensor forward(const Inputs& x, Attributes&, const Shape& shape) {
    const detail::Strides own = x[0].strides();
    detail::Strides strides{};
    const int extra = shape.ndim() - x[0].ndim();
    for (int k = extra; k < shape.ndim(); ++k) {
      const bool is_repeated = x[0].block()->shape[k - extra] != shape[k];
      strides[static_cast<std::size_t>(k)] = is_repeated ? 0 : own[static_cast<std::size_t>(k - extra)];
    }
    return Tensor::view(x[0], shape, std::span(strides).first(static_cast<std::size_t>(shape.ndim())), 0);
  }
  static void vjp(Walk& w, const Attributes&, const Tensor& g) { w.give(0, g); }  // the walk sums
  static std::vector<Sample<Attributes>> samples() {
    return {{{detail::sample_values({3, 1})}, {{2, 3, 4}}},
            {{detail::sample_values({})}, {{2, 2}}},
            {{detail::swapped_view(detail::sample_values({4, 1, 2}), 0, 2)}, {{2, 3, 4}}},
            {{detail::sample_values({1})}, {{0}}},
            {{detail::sample_values({90, 1})}, {{2, 90, 170}}}};
  }
};

struct SumTo {
  static constexpr const char* name = "sum_to";
  static constexpr const char* doc = "Summed over the axes along which the shape would be broadcast.";
  using Attributes = ToShape;
  static constexpr Uses uses = {};
  static constexpr bool is_linear = true;
  static Shape shape(const Inputs& x, const Attributes& a) {
    if (broadcast_mask(a.shape, x[0].shape()) == ~0u) {
      x.fail(to_string(a.shape) + " does not broadcast to " + describe(x[0]),
             "sizes, counted from the last axis, must be equal or 1");
    }
    return a.shape;
  }
  static Tensor forward(const Inputs& x, Attributes&, const Shape& shape) {
    return sum_over(x[0], broadcast_mask(shape, x[0].shape()), shape);
  }
  static void vjp(Walk& w, const Attributes&, const Tensor& g) { w.give(0, expand(g, w.shape(0))); }
  static std::vector<Sample<Attributes>> samples() {
    const Tensor x = detail::sample_values({2, 3, 4});
    return {{{x}, {{3, 1}}},
            {{x}, {{1, 3, 1}}},
            {{x}, {{4}}},
            {{x}, {Shape{}}},
            {{detail::sample_values({0, 3})}, {{3}}},
            {{detail::sample_values({90, 170})}, {{170}}}};
  }
};

}  // namespace

Tensor sum(Arg x, const ReduceOptions& options) { return apply<Sum>({options.axis, options.keepdims}, x); }
Tensor mean(Arg x, const ReduceOptions& options) { return apply<Mean>({options.axis, options.keepdims}, x); }

Tensor expand(Arg x, const Shape& shape) {
  const Tensor& from = detail::defined("expand", x);
  return from.shape() == shape ? from : apply<Expand>({shape}, x);
}

Tensor sum_to(Arg x, const Shape& shape) {
  const Tensor& from = detail::defined("sum_to", x);
  return from.shape() == shape ? from : apply<SumTo>({shape}, x);
}

namespace detail {

void update(Tensor& y, Primitive primitive, double b) {
  const float b_f32 = static_cast<float>(b);
  const void* operand = y.dtype() == f32 ? static_cast<const void*>(&b_f32) : &b;
  const auto function = kernels::table().block[kernel_index(y.dtype())][static_cast<std::size_t>(primitive)];
  const unsigned scalars = kernels::arity(primitive) == 2 ? 2 : 0;
  function[scalars](y.data(), y.data(), operand, nullptr, nullptr, static_cast<std::size_t>(y.size()));
}

std::vector<OpDescription> reduce_ops() {
  std::vector<OpDescription> all = describe_ops<Sum, Mean, Expand, SumTo>();
  for (const auto part : {&extreme_ops, &statistics_ops, &fold_ops}) {
    std::ranges::move(part(), std::back_inserter(all));
  }
  return all;
}

}  // namespace detail
}  // namespace tapegrad
