#pragma once
// Instance norm of sequences and images.
#include "nn/channel_norm.h"

namespace tapegrad::nn {

struct InstanceNormOptions {
  double eps = 1e-5;
  std::optional<double> momentum = 0.1;  ///< of the running statistics; std::nullopt: the average of all batches
  bool affine = false;                   ///< weight and bias
  bool track_running_stats = false;      ///< true: evaluation normalizes with running statistics
};

/// y = (x - mean) / sqrt(var + eps), then * weight + bias if `affine`: x [batch, time, channels], mean and var those of
/// each sample and channel, over time.
///
/// With running statistics (see ChannelNorm), those of a batch are the averages of its samples' ones. Throws as
/// BatchNorm1d does; when called by its own statistics, for one value per sample and channel.
/// Ulyanov, Vedaldi and Lempitsky, "Instance Normalization: The Missing Ingredient for Fast Stylization", 2016.
class InstanceNorm1d : public ChannelNorm {
 public:
  explicit InstanceNorm1d(std::int64_t num_features, const InstanceNormOptions& options = {},
                          SourceLocation at = SourceLocation::current());

 private:
  static const Kind kind;
};

/// As InstanceNorm1d, of images: x [batch, height, width, channels], over height and width.
class InstanceNorm2d : public ChannelNorm {
 public:
  explicit InstanceNorm2d(std::int64_t num_features, const InstanceNormOptions& options = {},
                          SourceLocation at = SourceLocation::current());

 private:
  static const Kind kind;
};

}  // namespace tapegrad::nn
