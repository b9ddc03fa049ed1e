#pragma once
// Choosing elements by integer tensors, and the transposes of that. Indices are i64 (i32 is converted); negative ones
// count from the end, as in NumPy. An index out of range throws with its value, its position and the axis's size.
#include <vector>

#include "autograd/op.h"

namespace tapegrad {

/// y[i, j] = x[index[i, j], j] for axis 0, and so on (NumPy's take_along_axis). `index` has x's sizes except along the
/// axis; the result has its shape. Differentiable in x.
Tensor gather(Arg x, Arg index, int axis);

/// The transpose of gather: y[index[i, j], j] += values[i, j] into zeros, for axis 0 of that size, and so on.
/// `index` has the shape of `values`. Differentiable in values.
Tensor scatter_add(Arg values, Arg index, int axis, std::int64_t size);

/// Whole slices along an axis (NumPy's take with an axis; an embedding look-up): in the result, the axis is replaced by
/// the axes of `index`. x [n, d] and index [b, t] give [b, t, d]. Differentiable in x.
Tensor take(Arg x, Arg index, int axis = 0);

/// take with a 1-d index, under PyTorch's name: x [n, d] and index [b] give [b, d]. Throws for an index of other rank.
Tensor index_select(Arg x, Arg index, int axis = 0);

/// The transpose of take: adds the slices of `values`, which has `index`'s axes at position `axis`, into zeros of that
/// size. values [b, t, d] and index [b, t] give [size, d]. Repeated indices add up in order. Differentiable in values.
Tensor take_transpose(Arg values, Arg index, int axis, std::int64_t size);

/// 1 at the label and 0 elsewhere: labels [b] give [b, classes]. Not differentiable. Here a negative label is out of
/// range.
Tensor one_hot(Arg labels, std::int64_t classes, DType type = f32);

/// `value` where the boolean mask holds, x elsewhere. The mask is broadcast to x's shape, `value` (a number or a tensor)
/// too. Differentiable in x and in value; infinite values are fine: masked_fill(scores, mask, -INFINITY). Throws for a
/// mask that is not boolean, or that x's shape cannot hold.
Tensor masked_fill(Arg x, Arg mask, Arg value);

namespace detail {
std::vector<OpDescription> index_ops();
}

}  // namespace tapegrad
