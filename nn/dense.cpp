#include "nn/dense.h"

#include <cmath>

#include "autograd/ops/matmul.h"
#include "autograd/ops/shape.h"
#include "autograd/random.h"

namespace tapegrad::nn {
namespace {

Parameter initial(const Shape& shape, double bound, SourceLocation at) {
  return Parameter(random::uniform(shape, {.low = -bound, .high = bound}, at));
}

}  // namespace

Dense::Dense(std::int64_t in, std::int64_t out, DenseOptions options, SourceLocation at) {
  if (in < 1 || out < 1) {
    fail("Dense: sizes must be at least 1: in " + std::to_string(in) + ", out " + std::to_string(out), at);
  }
  const double bound = 1 / std::sqrt(static_cast<double>(in));
  weight = initial({out, in}, bound, at);
  if (options.bias) bias = initial({out}, bound, at);
}

Tensor Dense::operator()(Arg x) const {
  const detail::LayerScope scope(name_, x.at());
  const Tensor& input = x.tensor();
  if (!input.defined()) detail::fail_op("Dense", "the input is an empty handle", x.at());
  const std::int64_t in = weight.value().shape().back();
  if (input.ndim() == 0 || input.shape().back() != in) {
    std::string hint;
    if (input.ndim() > 2 && input.size() == input.shape(0) * in) hint = "did you mean flatten(x, 1)?";
    detail::fail_op("Dense",
                    "the last axis of x must have " + std::to_string(in) + " features: x is " + describe(input) +
                        ", the weight [out, in] is " + describe(weight),
                    x.at(), hint);
  }
  if (input.dtype() != weight.dtype()) {
    detail::fail_op("Dense", "x is " + describe(input) + " and the weight " + describe(weight), x.at(),
                    std::string("convert the model with nn::to(net, ") +
                        (is_floating(input.dtype()) ? name_of(input.dtype()) : "f32") + "), or x with .to(" +
                        name_of(weight.dtype()) + ")");
  }
  return detail::layer_result(name_, bias ? linear(input, weight, *bias) : matmul(input, transpose(weight)));
}

}  // namespace tapegrad::nn
