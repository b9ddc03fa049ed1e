#pragma once
// The upsampling layer.
#include "autograd/ops/upsample.h"
#include "nn/layer.h"

namespace tapegrad::nn {

/// upsample: sequences or images of another size: `nn::Upsample{{.scale_factor = 2, .mode = UpsampleMode::bilinear}}`.
/// Formulas, defaults and what a call throws stand beside the function. Has no parameters. Throws for options that fit
/// no input.
class Upsample {
 public:
  explicit Upsample(UpsampleOptions options, SourceLocation at = SourceLocation::current());
  Tensor operator()(Arg x) const;

 private:
  UpsampleOptions options_;
  Name name_;

 public:
  using fields = Fields<&Upsample::name_>;
};

}  // namespace tapegrad::nn
