#pragma once
// Group norm. It does the same in training and in evaluation.
#include <optional>

#include "nn/layer.h"

namespace tapegrad::nn {

struct GroupNormOptions {
  double eps = 1e-5;
  bool affine = true;  ///< weight and bias
};

/// y = (x - mean) / sqrt(var + eps) * weight + bias: x [batch, ..., channels], mean and var those of each sample and
/// each group of num_channels / num_groups neighbouring channels, over all axes between.
///
/// Weight and bias are [channels] and start as 1 and 0. Throws for sizes below 1, channels that are no multiple of the
/// groups, and a negative eps; when called, for another number of channels or dtype, fewer than 2 axes, and groups of
/// one value. Wu and He, "Group Normalization", 2018.
class GroupNorm {
 public:
  GroupNorm(std::int64_t num_groups, std::int64_t num_channels, const GroupNormOptions& options = {},
            SourceLocation at = SourceLocation::current());

  Tensor operator()(Arg x) const;

  std::optional<Parameter> weight, bias;

 private:
  std::int64_t groups_, channels_;
  double eps_;
  Name name_;

 public:
  using fields = Fields<&GroupNorm::weight, &GroupNorm::bias, &GroupNorm::name_>;
};

}  // namespace tapegrad::nn
