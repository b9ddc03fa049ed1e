#pragma once
// Losses, under PyTorch's names and with its options; every one has `reduction`.
//
// Predictions and targets have equal shapes unless a loss says otherwise: [b] and [b, 1] would broadcast to [b, b]
// without a warning, so they throw. A number is the target of every prediction. Predictions are f32 or f64; targets may be integers or booleans too. The mean is
// over all elements of the unreduced loss; over none it throws. Targets are differentiable as well.
#include <string>
#include <vector>

#include "autograd/op.h"

namespace tapegrad {

enum class Reduction { none, mean, sum };

struct LossOptions {
  Reduction reduction = Reduction::mean;
};

/// (x - target)^2
Tensor mse(Arg x, Arg target, const LossOptions& options = {});

/// |x - target|; the gradient at 0 is 0
Tensor l1(Arg x, Arg target, const LossOptions& options = {});

struct HuberOptions {
  Reduction reduction = Reduction::mean;
  double delta = 1;  ///< where the parabola ends; above 0
};

/// d^2 / 2 for |d| = |x - target| up to delta, beyond it delta (|d| - delta / 2) (Huber, 1964).
Tensor huber(Arg x, Arg target, const HuberOptions& options = {});

struct SmoothL1Options {
  Reduction reduction = Reduction::mean;
  double beta = 1;  ///< where the parabola ends; 0 gives l1
};

/// huber with its delta as `beta`, divided by it: d^2 / (2 beta), beyond beta |d| - beta / 2.
Tensor smooth_l1(Arg x, Arg target, const SmoothL1Options& options = {});

struct BceOptions {
  Reduction reduction = Reduction::mean;
  Tensor weight = {};  ///< multiplies the loss of every element; it broadcasts
};

/// Binary cross-entropy of probabilities x in [0, 1]: -(target log(x) + (1 - target) log(1 - x)). The logarithms are at
/// least -100, and have no gradient there. Throws for an x outside of [0, 1].
Tensor bce(Arg x, Arg target, const BceOptions& options = {});

struct BceLogitsOptions {
  Reduction reduction = Reduction::mean;
  Tensor weight = {};      ///< multiplies the loss of every element; it broadcasts
  Tensor pos_weight = {};  ///< multiplies the term of the target: above 1 for more recall; it broadcasts
};

/// bce of sigmoid(x), without overflow or cancellation: (1 - target) softplus(x) + pos_weight target softplus(-x).
Tensor bce_logits(Arg x, Arg target, const BceLogitsOptions& options = {});

struct KlDivOptions {
  Reduction reduction = Reduction::mean;  ///< the divergence of distributions in rows is the `sum`, by the rows
  bool log_target = false;                ///< the targets are logarithms too
};

/// The terms of the Kullback-Leibler divergence of targets from x, both distributions, x as logarithms:
/// target (log(target) - x), and 0 where the target is 0. PyTorch's "batchmean" is the `sum` divided by the rows.
Tensor kl_div(Arg x, Arg target, const KlDivOptions& options = {});

struct HingeOptions {
  Reduction reduction = Reduction::mean;
  double margin = 1;
};

/// max(0, margin - target x) for targets 1 and -1: the loss of support vector machines. Throws for other targets.
Tensor hinge(Arg x, Arg target, const HingeOptions& options = {});

struct CosineSimilarityOptions {
  int axis = -1;
  double eps = 1e-8;  ///< the least norm to divide by
};

/// sum(x y) / (max(|x|, eps) max(|y|, eps)) along the axis, which is removed; x and y broadcast.
Tensor cosine_similarity(Arg x, Arg y, const CosineSimilarityOptions& options = {});

struct CosineEmbeddingOptions {
  Reduction reduction = Reduction::mean;
  double margin = 0;
};

/// Of pairs x, y [..., features] with the cosine similarity c: 1 - c where the target [...] is 1, max(0, c - margin)
/// where it is -1. Throws for other targets.
Tensor cosine_embedding(Arg x, Arg y, Arg target, const CosineEmbeddingOptions& options = {});

struct TripletOptions {
  Reduction reduction = Reduction::mean;
  double margin = 1;
  double p = 2;       ///< distances are (sum |d|^p)^(1/p), or max |d| for infinity; at least 1
  double eps = 1e-6;  ///< added to every difference d
  bool swap = false;  ///< also measure from the positive to the negative, and take the smaller distance
};

/// max(0, |anchor - positive| - |anchor - negative| + margin) for three tensors [..., features] of one shape (PyTorch's
/// triplet_margin_loss).
Tensor triplet(Arg anchor, Arg positive, Arg negative, const TripletOptions& options = {});

struct NllOptions {
  Reduction reduction = Reduction::mean;  ///< the mean is over the rows that count, by their weights
  Tensor weight = {};                     ///< [classes]: what rows of each class count; a constant
  std::int64_t ignore_index = -100;       ///< rows with this label do not count: their loss is 0
};

/// -x[label] per row, of logarithms of probabilities x [..., classes] and integer labels [...]. Throws for labels that
/// are not integers, of another shape or out of range, and for the mean of no rows or of weights that add up to 0.
Tensor nll(Arg x, Arg labels, const NllOptions& options = {});

struct CrossEntropyOptions {
  Reduction reduction = Reduction::mean;  ///< the mean is over the rows that count, by their weights
  Tensor weight = {};                     ///< [classes]: what each class counts; a constant
  std::int64_t ignore_index = -100;       ///< rows with this label do not count: their loss is 0
  double label_smoothing = 0;             ///< this part of every target is spread evenly over all classes
};

/// -log(softmax(logits)[label]) per row, averaged: logits [..., classes] and integer labels [...]. The result is 0-dim,
/// or has the shape of the labels without a reduction. Targets of the logits' shape and dtype are probabilities:
/// -sum(target log(softmax(logits))); their mean is over all rows, whatever the weights. Options combine as in PyTorch.
/// Throws as nll does, and for a label_smoothing outside of [0, 1].
Tensor cross_entropy(Arg logits, Arg target, const CrossEntropyOptions& options = {});

namespace detail {

/// "0.7": a number in a message.
std::string decimal_text(double x);

/// The mean or the sum of an unreduced loss, or itself.
Tensor reduce_loss(const char* name, Tensor losses, Reduction reduction, SourceLocation at);

std::vector<OpDescription> loss_ops();
std::vector<OpDescription> cross_entropy_ops();

}  // namespace detail

}  // namespace tapegrad
