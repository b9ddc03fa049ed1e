#pragma once
// Norms: fused kernels forward and backward, differentiable to any order. Channels are the last axis.
//
//   h = (x - mean) / sqrt(var + eps),   y = h weight + bias
//
// What differs is over which elements of x mean and var are taken; var is the mean of (x - mean)^2. Weight and bias are
// numbers, or tensors of x's dtype: layer_norm(x), layer_norm(x, weight), layer_norm(x, weight, bias, {.eps = 1e-6}).
#include <optional>
#include <vector>

#include "autograd/op.h"

namespace tapegrad {

struct LayerNormOptions {
  int axes = 1;  ///< how many last axes are normalized together
  double eps = 1e-5;
};

/// Mean and variance are those of each row, over the last axes. Weight and bias have the sizes of these axes. Ba, Kiros
/// and Hinton, "Layer Normalization", 2016. Throws for integers, for more axes than x has, for a weight or bias of
/// another shape or dtype, and for a negative eps.
Tensor layer_norm(Arg x, Arg weight = 1, Arg bias = 0, const LayerNormOptions& options = {});

struct RmsNormOptions {
  int axes = 1;
  std::optional<double> eps;  ///< the machine epsilon of x's dtype (1.2e-7 for f32), as in PyTorch
};

/// x / sqrt(mean(x^2) + eps) * weight over the last axes. Zhang and Sennrich, "Root Mean Square Layer Normalization",
/// 2019. Throws as layer_norm does.
Tensor rms_norm(Arg x, Arg weight = 1, const RmsNormOptions& options = {});

struct BatchNormOptions {
  double eps = 1e-5;
  Tensor mean = {}, var = {};  ///< [channels]: what to normalize with; by default the batch's own
};

/// x [..., channels]: mean and variance are those of each channel over all other axes, or given ones. Weight and bias
/// are [channels]. Ioffe and Szegedy, "Batch Normalization", 2015. Throws as layer_norm does, for fewer than 2 axes,
/// for one of mean and var alone, and for a batch with one value per channel when none are given.
Tensor batch_norm(Arg x, Arg weight = 1, Arg bias = 0, const BatchNormOptions& options = {});

struct GroupNormOptions {
  double eps = 1e-5;
};

/// x [batch, ..., channels]: mean and variance are those of each sample and group of channels / groups neighbouring
/// channels, over the axes between. Weight and bias are [channels]. Wu and He, "Group Normalization", 2018. Throws as
/// layer_norm does, for fewer than 2 axes, for channels that are no multiple of the groups, and for groups of one
/// value.
Tensor group_norm(Arg x, std::int64_t groups, Arg weight = 1, Arg bias = 0, const GroupNormOptions& options = {});

struct InstanceNormOptions {
  double eps = 1e-5;
};

/// x [batch, ..., channels]: mean and variance are those of each sample and channel, over the axes between. Weight and
/// bias are [channels]. Ulyanov, Vedaldi and Lempitsky, "Instance Normalization", 2016. Throws as layer_norm does, for
/// fewer than 3 axes, and for one value per sample and channel.
Tensor instance_norm(Arg x, Arg weight = 1, Arg bias = 0, const InstanceNormOptions& options = {});

namespace detail {

/// batch_norm and instance_norm by x's own statistics, which are kept for the running ones: f64 [channels, 2] or
/// [batch * channels, 2] of mean and variance.
Tensor batch_norm_of_batch(const Arg& x, const Arg& weight, const Arg& bias, double eps, Tensor& statistics);
Tensor instance_norm_of_batch(const Arg& x, const Arg& weight, const Arg& bias, double eps, Tensor& statistics);

std::vector<OpDescription> normalization_ops();

}  // namespace detail

}  // namespace tapegrad
