#pragma once
// Softmax, its logarithm, and cross-entropy: fused kernels forward and backward, differentiable to any order.
#include <vector>

#include "autograd/op.h"

namespace tapegrad {

/// exp(x) / sum(exp(x)) along the axis, computed from x - max(x), so that it does not overflow. Throws for integers, or
/// an axis that x does not have.
Tensor softmax(Arg x, int axis = -1);

/// log(softmax(x)) along the axis: x - log(sum(exp(x))), computed without overflow. Throws as softmax does.
Tensor log_softmax(Arg x, int axis = -1);

enum class Reduction { none, mean, sum };

struct CrossEntropyOptions {
  Reduction reduction = Reduction::mean;  ///< over all rows; `none` returns one loss per row
};

/// -log(softmax(logits)[label]) per row, averaged: logits [..., classes] and integer labels [...]. The result is 0-dim,
/// or has the shape of the labels without a reduction. Throws for labels that are not integers, of another shape or out
/// of range, for integer logits, and for the mean of no rows.
Tensor cross_entropy(Arg logits, Arg labels, const CrossEntropyOptions& options = {});

namespace detail {
std::vector<OpDescription> softmax_ops();
}

}  // namespace tapegrad
