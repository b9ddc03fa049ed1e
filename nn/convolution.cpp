#include "nn/convolution.h"

#include <algorithm>
#include <cmath>

#include "autograd/random.h"

namespace tapegrad::detail {

void check_convolution_layer(const char* layer, std::int64_t in, std::int64_t out, Size2d kernel_size,
                             std::int64_t groups, const std::string& fault, SourceLocation at) {
  const std::string sizes = "in " + std::to_string(in) + ", out " + std::to_string(out);
  if (std::min({in, out, kernel_size.height, kernel_size.width}) < 1) {
    const std::string kernel =
        kernel_size.height == kernel_size.width
            ? std::to_string(kernel_size.width)
            : "{" + std::to_string(kernel_size.height) + ", " + std::to_string(kernel_size.width) + "}";
    fail(std::string(layer) + ": sizes must be at least 1: " + sizes + ", kernel_size " + kernel, at);
  }
  if (!fault.empty()) fail(std::string(layer) + ": " + fault, at);
  if (in % groups || out % groups) {
    fail(std::string(layer) + ": groups must divide in and out: " + sizes + ", groups " + std::to_string(groups), at);
  }
}

Parameter convolution_values(const Shape& shape, const Shape& weight, SourceLocation at) {
  const double bound = 1 / std::sqrt(static_cast<double>(weight.size()) / static_cast<double>(weight[0]));
  return Parameter(random::uniform(shape, {.low = -bound, .high = bound}, at));
}

void check_layer_dtype(const char* layer, const Tensor& x, const Parameter& weight, SourceLocation at) {
  if (!x.defined()) fail_op(layer, "the input is an empty handle", at);
  if (x.dtype() == weight.dtype()) return;
  fail_op(layer, "x is " + describe(x) + " and the weight " + describe(weight), at,
          std::string("convert the model with nn::to(net, ") + (is_floating(x.dtype()) ? name_of(x.dtype()) : "f32") +
              "), or x with .to(" + name_of(weight.dtype()) + ")");
}

}  // namespace tapegrad::detail
