#pragma once
// Softmax and its logarithm: fused kernels forward and backward, differentiable to any order.
#include <vector>

#include "autograd/op.h"

namespace tapegrad {

/// exp(x) / sum(exp(x)) along the axis, computed from x - max(x), so that it does not overflow. Throws for integers, or
/// an axis that x does not have.
Tensor softmax(Arg x, int axis = -1);

/// log(softmax(x)) along the axis: x - log(sum(exp(x))), computed without overflow. Throws as softmax does.
Tensor log_softmax(Arg x, int axis = -1);

namespace detail {

/// y (g - sum(g y)) over the last axis: the gradient of softmax from its result y. Differentiable.
Tensor softmax_gradient(const Tensor& y, const Tensor& g);

std::vector<OpDescription> softmax_ops();

}  // namespace detail

}  // namespace tapegrad
