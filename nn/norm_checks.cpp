#include "nn/norm_checks.h"

#include <cmath>

#include "autograd/ops/losses.h"

namespace tapegrad::detail {

void check_eps(const char* layer, double eps, SourceLocation at) {
  if (eps >= 0 && !std::isinf(eps)) return;
  fail(std::string(layer) + ": eps is " + decimal_text(eps) + ", not a number from 0 on", at);
}

const Tensor& checked_norm_input(const char* layer, const Arg& x, const Tensor& own) {
  const Tensor& input = x.tensor();
  if (!input.defined()) fail_op(layer, "the input is an empty handle", x.at());
  if (!is_floating(input.dtype())) fail_op(layer, "x is " + describe(input), x.at(), "convert it with to(f32)");
  if (own.defined() && own.dtype() != input.dtype()) {
    fail_op(layer, "x is " + describe(input) + " and the layer " + name_of(own.dtype()), x.at(),
            std::string("convert the model with nn::to(net, ") + name_of(input.dtype()) + "), or x with .to(" +
                name_of(own.dtype()) + ")");
  }
  return input;
}

void check_channels(const char* layer, const Arg& x, std::int64_t channels, const char* axes) {
  const Tensor& input = x.tensor();
  if (input.ndim() > 0 && input.shape().back() == channels) return;
  std::string hint;
  if ((input.ndim() == 3 || input.ndim() == 4) && input.shape(1) == channels) {
    hint = std::string("x looks like channels first, but channels come last here: permute(x, ") +
           (input.ndim() == 3 ? "{0, 2, 1})" : "{0, 2, 3, 1})");
  }
  fail_op(layer,
          "the last axis of x must have " + std::to_string(channels) + " channels: x is " + describe(input) + ", not " +
              axes,
          x.at(), hint);
}

}  // namespace tapegrad::detail
