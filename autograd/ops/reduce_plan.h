#pragma once
// What reductions share: how the elements of a tensor are grouped. Internal.
#include <algorithm>

#include "autograd/kernels/table.h"
#include "autograd/ops/elements.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"

namespace tapegrad::detail {

// What a thread is worth for elements that are read once.
inline constexpr double nanoseconds_per_read = 0.3;

// How a reduction over the axes in `mask` is done: over the middle axis of [outer, n, inner]. When the reduced axes are
// not neighbours, the kept axes are moved to the front first.
struct ReducePlan {
  std::int64_t outer = 1, n = 1, inner = 1;
  bool is_permuted = false;
  std::array<int, max_rank> order{};
  int ndim;

  ReducePlan(const Shape& shape, unsigned mask) : ndim(shape.ndim()) {
    int first = ndim;
    int last = -1;
    for (int k = 0; k < ndim; ++k) {
      if (!(mask >> k & 1) || shape[k] == 1) continue;
      first = std::min(first, k);
      last = k;
    }
    for (int k = first; k <= last; ++k) is_permuted |= !(mask >> k & 1) && shape[k] != 1;
    int position = 0;
    for (unsigned reduced : {0u, 1u}) {
      for (int k = 0; k < ndim; ++k) {
        if ((mask >> k & 1) == reduced) order[static_cast<std::size_t>(position++)] = k;
      }
    }
    for (int k = 0; k < ndim; ++k) {
      const bool is_reduced = mask >> k & 1;
      (is_reduced ? n : k < first || is_permuted ? outer : inner) *= shape[k];
    }
  }

  std::span<const int> axes() const { return {order.data(), static_cast<std::size_t>(ndim)}; }
  // The elements of x in the order [outer, n, inner].
  Tensor arrange(const Tensor& x) const { return contiguous_elements(is_permuted ? permuted_view(x, axes()) : x); }
  // ... and in that shape, in differentiable ops.
  Tensor lines(const Tensor& x) const { return reshape(is_permuted ? permute(x, axes()) : x, {outer, n, inner}); }
  // Back from [outer, n, inner] to the shape of the input, in differentiable ops.
  Tensor restore(const Tensor& arranged, const Shape& shape) const {
    if (!is_permuted) return reshape(arranged, shape);
    Shape permuted = shape;
    std::array<int, max_rank> inverse{};
    for (int k = 0; k < ndim; ++k) {
      const int axis = order[static_cast<std::size_t>(k)];
      permuted[k] = shape[axis];
      inverse[static_cast<std::size_t>(axis)] = k;
    }
    return permute(reshape(arranged, permuted), std::span<const int>(inverse).first(static_cast<std::size_t>(ndim)));
  }
};

inline Shape kept_shape(const Shape& shape, unsigned mask) {
  Shape kept = shape;
  for (int k = 0; k < shape.ndim(); ++k) {
    if (mask >> k & 1) kept[k] = 1;
  }
  return kept;
}

inline Shape reduced_shape(const Shape& shape, unsigned mask, bool keepdims) {
  if (keepdims) return kept_shape(shape, mask);
  Shape reduced;
  for (int k = 0; k < shape.ndim(); ++k) {
    if (!(mask >> k & 1)) reduced.append(shape[k]);
  }
  return reduced;
}

inline unsigned mask_of(const Inputs& x, const Axes& axis) { return axis.mask(x.op(), x[0].ndim(), x.at()); }

// A tensor of the reduced shape, broadcast along the reduced axes to the shape of the input.
inline Tensor spread(const Tensor& reduced, const Shape& shape, unsigned mask) {
  return expand(reshape(reduced, kept_shape(shape, mask)), shape);
}

struct ReduceAttributes {
  Axes axis = Axes::all();
  bool keepdims = false;
};

// Shape rule of reductions that keep or drop axes.
template <class Attributes>
Shape reduction_shape(const Inputs& x, const Attributes& a) {
  return reduced_shape(x[0].shape(), mask_of(x, a.axis), a.keepdims);
}

// y = primitive(y, b), with b one number.
void update(Tensor& y, kernels::Primitive primitive, double b);

// Calls a kernel for ranges of the outer axis.
inline void reduce_outer(kernels::ReduceFunction function, const Tensor& x, const ReducePlan& plan, Tensor& y) {
  const double cost = nanoseconds_per_read * static_cast<double>(plan.n * plan.inner);
  for_ranges(plan.outer, cost, [&](std::int64_t begin, std::int64_t end) {
    function(x.data(), y.data(), plan.n, plan.inner, begin, end);
  });
}

// Whole, last, first, middle, several and separated axes; strided; sizes for several threads; 0-dim, empty, size 1.
template <class Attributes>
std::vector<Sample<Attributes>> reduce_samples(bool with_empty) {
  const Tensor x = sample_values({3, 4, 5});
  std::vector<Sample<Attributes>> samples = {
      {{x}, {}},
      {{x}, {-1}},
      {{x}, {0}},
      {{x}, {1, true}},
      {{x}, {{0, 1}, true}},
      {{x}, {{0, 2}}},
      {{x}, {Axes{}}},
      {{swapped_view(x, 0, 2)}, {1}},
      {{sliced_view(x, 2, 4, 3, -2)}, {{0, 2}, true}},
      {{sample_values({})}, {}},
      {{sample_values({4, 1, 3})}, {1}},
      {{sample_values({0, 3})}, {1}},
      {{sample_values({9000})}, {}},
      {{sample_values({7, 1300})}, {0}},
      {{sample_values({1500, 6})}, {0}},
      {{sample_values({40, 250})}, {1}},
  };
  if (with_empty) samples.push_back({{sample_values({0, 3})}, {0}});
  return samples;
}

/// The same for a function reduce(x, options) that is no op of its own.
template <class F>
std::vector<OpSample> samples_of(F reduce) {
  std::vector<OpSample> samples;
  for (const auto& [inputs, a] : reduce_samples<ReduceAttributes>(false)) {
    const ReduceOptions options{a.axis, a.keepdims};
    samples.push_back({inputs, [=](const std::vector<Tensor>& in) { return reduce(in[0], options); }});
  }
  return samples;
}

}  // namespace tapegrad::detail
