#pragma once
// Reductions over chosen axes: sum, mean, max, min, norm, argmax; and broadcasting with its transpose, sum_to.
#include <vector>

#include "autograd/op.h"

namespace tapegrad {

struct ReduceOptions {
  Axes axis = Axes::all();  ///< the axes to reduce: all, one (`1`), several (`{0, 2}`) or none (`{}`)
  bool keepdims = false;    ///< keep reduced axes, with size 1
};

/// The sum of the elements along the axes; 0 over no elements. Integers and booleans are summed in i64. f32 is summed
/// in blocks that are combined in double; the bits do not depend on the number of threads. Throws for an axis that x
/// does not have or that is named twice.
Tensor sum(Arg x, const ReduceOptions& options = {});

/// The sum divided by the number of elements; NaN over no elements. Integers and booleans give f32. Throws as sum does.
Tensor mean(Arg x, const ReduceOptions& options = {});

/// The largest element along the axes, NaN if one of them is NaN. The gradient goes to the first of equal elements.
/// Throws as sum does, and when there are no elements to choose from.
Tensor max(Arg x, const ReduceOptions& options = {});

/// The smallest element along the axes; otherwise as max.
Tensor min(Arg x, const ReduceOptions& options = {});

/// The Euclidean norm along the axes, sqrt(sum(x^2)); its gradient x / norm is taken as 0 where the norm is 0. Not
/// scaled: elements beyond the root of the largest number overflow. Throws as sum does, and for integers.
Tensor norm(Arg x, const ReduceOptions& options = {});

/// Where along the axis the largest element is, as i64; the first one of equal ones, the first NaN if there is one. The
/// axis is removed. Not differentiable. Throws for an axis that x does not have, or of size 0.
Tensor argmax(Arg x, int axis = -1);

/// Where along the axis the smallest element is; otherwise as argmax.
Tensor argmin(Arg x, int axis = -1);

/// x broadcast to a shape by NumPy's rule, as a view: axes of size 1 are repeated, new axes come first. Throws when x
/// does not broadcast to it.
Tensor expand(Arg x, const Shape& shape);

/// The transpose of expand: sums x over the axes along which `shape` would be broadcast to x's shape. Throws when it
/// would not be.
Tensor sum_to(Arg x, const Shape& shape);

namespace detail {
std::vector<OpDescription> reduce_ops();
std::vector<OpDescription> extreme_ops();  // a part of reduce_ops()
}

}  // namespace tapegrad
