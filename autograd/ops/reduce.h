#pragma once
// Reductions over chosen axes, and broadcasting with its transpose, sum_to. The definitions are in reduce.cpp (sums),
// extremes.cpp, statistics.cpp (var, norm, logsumexp) and folds.cpp (prod, any, all).
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

struct NormOptions {
  Axes axis = Axes::all();
  bool keepdims = false;
  double ord = 2;  ///< 1, 2 or infinity
};

/// A norm of the elements along the axes. ord 2: sqrt(sum(x^2)), whose gradient x / norm is taken as 0 where the norm
/// is 0; not scaled: elements beyond the root of the largest number overflow. ord 1: sum(|x|), with the gradient 0 at
/// 0. ord infinity: max(|x|); the gradient goes to the first of equal elements. These are norms of vectors, also over
/// several axes. Throws as sum does, for integers, for another ord, and for ord infinity over no elements.
Tensor norm(Arg x, const NormOptions& options = {});

struct VarianceOptions {
  Axes axis = Axes::all();
  bool keepdims = false;
  int ddof =
      0;  ///< sum((x - mean)^2) is divided by n - ddof: 1 gives the unbiased estimate of a sample (PyTorch's default)
};

/// The variance of n elements along the axes, sum((x - mean(x))^2) / (n - ddof), in two passes. NaN over no more than
/// ddof elements, as 0 / 0 (NumPy's rule; a sum that is not 0 gives infinity). Integers and booleans give f32. Throws as
/// sum does.
Tensor var(Arg x, const VarianceOptions& options = {});

/// The standard deviation sqrt(var(x)), NumPy's and PyTorch's `std` (which in C++ is a namespace). Its gradient is taken
/// as 0 where it is 0. Otherwise as var.
Tensor stddev(Arg x, const VarianceOptions& options = {});

/// log(sum(exp(x))) along the axes, computed without overflow; its gradient is the softmax. -infinity over no elements
/// and where all are -infinity (the gradient is 0 there). Integers and booleans give f32. Throws as sum does.
Tensor logsumexp(Arg x, const ReduceOptions& options = {});

/// The product of the elements along the axes; 1 over no elements. Integers and booleans are multiplied in i64 (an
/// overflow wraps around), floats in double. The gradient is exact also where elements are 0. Throws as sum does.
Tensor prod(Arg x, const ReduceOptions& options = {});

/// Whether any element along the axes is not 0 (NaN counts as true), as booleans; false over no elements. No gradient.
/// Throws as sum does.
Tensor any(Arg x, const ReduceOptions& options = {});

/// Whether all elements along the axes are not 0; true over no elements. Otherwise as any.
Tensor all(Arg x, const ReduceOptions& options = {});

/// Where along the axes the largest element is, as i64: its position in the axes taken as one, counted as reshape does;
/// the first one of equal ones, the first NaN if there is one. Not differentiable. Throws as max does.
Tensor argmax(Arg x, const ReduceOptions& options = {});

/// Where along the axes the smallest element is; otherwise as argmax.
Tensor argmin(Arg x, const ReduceOptions& options = {});

/// x broadcast to a shape by NumPy's rule, as a view: axes of size 1 are repeated, new axes come first. Throws when x
/// does not broadcast to it.
Tensor expand(Arg x, const Shape& shape);

/// The transpose of expand: sums x over the axes along which `shape` would be broadcast to x's shape. Throws when it
/// would not be.
Tensor sum_to(Arg x, const Shape& shape);

namespace detail {
std::vector<OpDescription> reduce_ops();
// Parts of reduce_ops():
std::vector<OpDescription> extreme_ops();
std::vector<OpDescription> statistics_ops();
std::vector<OpDescription> fold_ops();
}  // namespace detail

}  // namespace tapegrad
