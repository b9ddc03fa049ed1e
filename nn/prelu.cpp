#include "nn/prelu.h"

#include "autograd/create.h"
#include "autograd/ops/activations.h"

namespace tapegrad::nn {

PReLU::PReLU(std::int64_t num_parameters, PReLUOptions options, SourceLocation at) {
  if (num_parameters < 1) fail("PReLU: num_parameters " + std::to_string(num_parameters) + " is below 1", at);
  weight = Parameter(full({num_parameters}, options.init, f32, at));
}

Tensor PReLU::operator()(Arg x) const {
  const detail::LayerScope scope(name_, x.at());
  const Tensor& input = x.tensor();
  if (!input.defined()) detail::fail_op("PReLU", "the input is an empty handle", x.at());
  const std::int64_t slopes = weight.size();
  if (slopes > 1 && (input.ndim() == 0 || input.shape().back() != slopes)) {
    detail::fail_op("PReLU",
                    "the last axis of x must have " + std::to_string(slopes) + " channels: x is " + describe(input) +
                        ", the weight " + describe(weight),
                    x.at());
  }
  if (input.dtype() != weight.dtype()) {
    detail::fail_op("PReLU", "x is " + describe(input) + " and the weight " + describe(weight), x.at(),
                    std::string("convert the model with nn::to, or x with .to(") + name_of(weight.dtype()) + ")");
  }
  return detail::layer_result(name_, prelu(x, weight));
}

}  // namespace tapegrad::nn
