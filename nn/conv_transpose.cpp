#include "nn/conv_transpose.h"

#include "autograd/ops/convolution_sizes.h"
#include "nn/convolution.h"

namespace tapegrad::nn {

ConvTranspose2d::ConvTranspose2d(std::int64_t in, std::int64_t out, Size2d kernel_size, ConvTranspose2dOptions options,
                                 SourceLocation at)
    : options_{.stride = options.stride,
               .padding = options.padding,
               .output_padding = options.output_padding,
               .dilation = options.dilation,
               .groups = options.groups} {
  detail::check_convolution_layer("ConvTranspose2d", in, out, kernel_size, options.groups, detail::fault_of(options_),
                                  at);
  const Shape shape{in, kernel_size.height, kernel_size.width, out / options.groups};
  weight = detail::convolution_values(shape, shape, at);
  if (options.bias) bias = detail::convolution_values({out}, shape, at);
}

Tensor ConvTranspose2d::operator()(Arg x) const {
  const detail::LayerScope scope(name_, x.at());
  detail::check_convolution_input("ConvTranspose2d", x, weight, [&](const Inputs& in) {
    detail::check_transposed_convolution_inputs(in, options_.groups, false);
  });
  return detail::layer_result(
      name_, bias ? conv_transpose2d(x, weight, *bias, options_) : conv_transpose2d(x, weight, options_));
}

ConvTranspose1d::ConvTranspose1d(std::int64_t in, std::int64_t out, std::int64_t kernel_size,
                                 ConvTranspose1dOptions options, SourceLocation at)
    : options_{.stride = options.stride,
               .padding = options.padding,
               .output_padding = options.output_padding,
               .dilation = options.dilation,
               .groups = options.groups} {
  detail::check_convolution_layer("ConvTranspose1d", in, out, kernel_size, options.groups,
                                  detail::fault_of(detail::of_images(options_)), at);
  const Shape shape{in, kernel_size, out / options.groups};
  weight = detail::convolution_values(shape, shape, at);
  if (options.bias) bias = detail::convolution_values({out}, shape, at);
}

Tensor ConvTranspose1d::operator()(Arg x) const {
  const detail::LayerScope scope(name_, x.at());
  detail::check_convolution_input("ConvTranspose1d", x, weight, [&](const Inputs& in) {
    detail::check_transposed_convolution_inputs(in, options_.groups, true);
  });
  return detail::layer_result(
      name_, bias ? conv_transpose1d(x, weight, *bias, options_) : conv_transpose1d(x, weight, options_));
}

}  // namespace tapegrad::nn
