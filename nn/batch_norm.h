#pragma once
// Batch norm of sequences and images.
#include "nn/channel_norm.h"

namespace tapegrad::nn {

struct BatchNormOptions {
  double eps = 1e-5;
  std::optional<double> momentum = 0.1;  ///< of the running statistics; std::nullopt: the average of all batches
  bool affine = true;                    ///< weight and bias
  bool track_running_stats = true;       ///< false: evaluation, too, normalizes with the batch's own statistics
};

/// y = (x - mean) / sqrt(var + eps) * weight + bias for each feature: x [batch, features] or [batch, time, channels].
///
/// In training, mean and var are those of the batch, over all axes but the last; in evaluation, the running ones (see
/// ChannelNorm). Weight starts as 1, bias as 0. A layer is frozen by `nn::eval(net.bn)`: it then normalizes with the
/// statistics that it has, while the rest of the model trains, until the next `nn::train(net)`. (Its weight and bias
/// still have gradients: leave them out of the optimizer, too.)
/// Throws for sizes below 1, a negative eps, and a momentum that is not from 0 to 1; when called, for another number of
/// channels, axes or dtype, and in training for one value per channel.
/// Ioffe and Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift",
/// 2015.
class BatchNorm1d : public ChannelNorm {
 public:
  explicit BatchNorm1d(std::int64_t num_features, const BatchNormOptions& options = {},
                       SourceLocation at = SourceLocation::current());

 private:
  static const Kind kind;
};

/// As BatchNorm1d, of images: x [batch, height, width, channels].
class BatchNorm2d : public ChannelNorm {
 public:
  explicit BatchNorm2d(std::int64_t num_features, const BatchNormOptions& options = {},
                       SourceLocation at = SourceLocation::current());

 private:
  static const Kind kind;
};

}  // namespace tapegrad::nn
