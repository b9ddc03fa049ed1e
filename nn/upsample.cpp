#include "nn/upsample.h"

namespace tapegrad::nn {

Upsample::Upsample(UpsampleOptions options, SourceLocation at) : options_(options) {
  detail::check_upsample_options("Upsample", options, at);
}

Tensor Upsample::operator()(Arg x) const {
  const detail::LayerScope scope(name_, x.at());
  return detail::layer_result(name_, upsample(x, options_));
}

}  // namespace tapegrad::nn
