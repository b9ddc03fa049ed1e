#pragma once
// What the convolutional layers share. Internal.
#include "autograd/ops/conv.h"
#include "nn/layer.h"

namespace tapegrad::detail {

/// Throws unless the sizes are at least 1 and the groups divide in and out. `fault` is what is wrong with the options.
void check_convolution_layer(const char* layer, std::int64_t in, std::int64_t out, Size2d kernel_size,
                             std::int64_t groups, const std::string& fault, SourceLocation at);

/// Evenly distributed over +-1 / sqrt(fan-in of the weight).
Parameter convolution_values(const Shape& shape, const Shape& weight, SourceLocation at);

/// Calls check(Inputs) with the layer's input and weight. Throws for an empty handle and another dtype, with a hint about
/// the model.
template <class F>
void check_convolution_input(const char* layer, const Arg& x, const Parameter& weight, F&& check);
void check_layer_dtype(const char* layer, const Tensor& x, const Parameter& weight, SourceLocation at);

template <class F>
void check_convolution_input(const char* layer, const Arg& x, const Parameter& weight, F&& check) {
  check_layer_dtype(layer, x.tensor(), weight, x.at());
  const Tensor* const tensors[] = {&x.tensor(), &weight.value()};
  check(Inputs(layer, tensors, 2, x.at()));
}

}  // namespace tapegrad::detail
