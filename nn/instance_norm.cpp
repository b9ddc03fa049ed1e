#include "nn/instance_norm.h"

namespace tapegrad::nn {

const ChannelNorm::Kind InstanceNorm1d::kind = {"InstanceNorm1d", 3, 3, "[batch, time, channels]", true};
const ChannelNorm::Kind InstanceNorm2d::kind = {"InstanceNorm2d", 4, 4, "[batch, height, width, channels]", true};

InstanceNorm1d::InstanceNorm1d(std::int64_t num_features, const InstanceNormOptions& o, SourceLocation at)
    : ChannelNorm(kind, num_features, {o.eps, o.momentum, o.affine, o.track_running_stats}, at) {}

InstanceNorm2d::InstanceNorm2d(std::int64_t num_features, const InstanceNormOptions& o, SourceLocation at)
    : ChannelNorm(kind, num_features, {o.eps, o.momentum, o.affine, o.track_running_stats}, at) {}

}  // namespace tapegrad::nn
