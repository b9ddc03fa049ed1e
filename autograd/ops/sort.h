#pragma once
// Elements in order along an axis. Sorting is stable: equal elements keep their order. NaN comes last, in either
// direction. Gradients go to the places from which the elements were taken.
#include <vector>

#include "autograd/op.h"

namespace tapegrad {

struct SortOptions {
  int axis = -1;
  bool descending = false;  ///< the largest first
};

/// The elements in ascending order along the axis (NumPy's sort with kind="stable"). Differentiable. Throws for an axis
/// that x does not have.
Tensor sort(Arg x, const SortOptions& options = {});

/// Where the elements of sort(x) are in x, as i64: gather(x, argsort(x), -1) is sort(x). Throws as sort does.
Tensor argsort(Arg x, const SortOptions& options = {});

struct TopkOptions {
  int axis = -1;
  bool largest = true;  ///< else the smallest
};

/// Some elements along an axis, and where they were: `auto [values, indices] = topk(x, 5);`
struct ValuesAndIndices {
  Tensor values;
  Tensor indices;  ///< i64
};

/// The k largest elements along the axis, the largest first, of equal ones the first (PyTorch's topk, but NaN counts as
/// the last choice). The values are differentiable. Throws for k below 0 or above the size of the axis, and for an axis
/// that x does not have.
ValuesAndIndices topk(Arg x, std::int64_t k, const TopkOptions& options = {});

namespace detail {
std::vector<OpDescription> sort_ops();
}

}  // namespace tapegrad
