#pragma once
// The fully connected layer.
#include <optional>

#include "nn/layer.h"

namespace tapegrad::nn {

struct DenseOptions {
  bool bias = true;
};

/// y = x W^T + b over the last axis: x [..., in], W [out, in], b [out], y [..., out]. One or more axes.
///
/// W and b start evenly distributed over +-1 / sqrt(in), PyTorch's default for Linear (He's uniform with a = sqrt(5)).
/// Throws for sizes below 1 and, when called, for another size of x's last axis or another dtype.
class Dense {
 public:
  Dense(std::int64_t in, std::int64_t out, DenseOptions options = {}, SourceLocation at = SourceLocation::current());

  Tensor operator()(Arg x) const;

  Parameter weight;
  std::optional<Parameter> bias;

 private:
  Name name_;

 public:
  using fields = Fields<&Dense::weight, &Dense::bias, &Dense::name_>;
};

}  // namespace tapegrad::nn
