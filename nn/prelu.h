#pragma once
// The rectifier whose slope is learned.
#include "nn/layer.h"

namespace tapegrad::nn {

struct PReLUOptions {
  double init = 0.25;  ///< the slopes at the start
};

/// y = x for x > 0, else weight x (He et al., 2015). The weight [num_parameters] is one slope for all, or one for each
/// channel: of each position of the last axis.
///
/// Throws for num_parameters below 1 and, when called, for another dtype and where there are several slopes, but not as
/// many as x's last axis has channels.
class PReLU {
 public:
  explicit PReLU(std::int64_t num_parameters = 1, PReLUOptions options = {},
                 SourceLocation at = SourceLocation::current());
  Tensor operator()(Arg x) const;

  Parameter weight;

 private:
  Name name_;

 public:
  using fields = Fields<&PReLU::weight, &PReLU::name_>;
};

}  // namespace tapegrad::nn
