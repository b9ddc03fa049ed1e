#include "nn/batch_norm.h"

namespace tapegrad::nn {

const ChannelNorm::Kind BatchNorm1d::kind = {"BatchNorm1d", 2, 3, "[batch, features] or [batch, time, channels]",
                                             false};
const ChannelNorm::Kind BatchNorm2d::kind = {"BatchNorm2d", 4, 4, "[batch, height, width, channels]", false};

BatchNorm1d::BatchNorm1d(std::int64_t num_features, const BatchNormOptions& o, SourceLocation at)
    : ChannelNorm(kind, num_features, {o.eps, o.momentum, o.affine, o.track_running_stats}, at) {}

BatchNorm2d::BatchNorm2d(std::int64_t num_features, const BatchNormOptions& o, SourceLocation at)
    : ChannelNorm(kind, num_features, {o.eps, o.momentum, o.affine, o.track_running_stats}, at) {}

}  // namespace tapegrad::nn
