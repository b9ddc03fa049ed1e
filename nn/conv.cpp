#include "nn/conv.h"

#include "autograd/ops/convolution_sizes.h"
#include "autograd/ops/pad.h"
#include "nn/convolution.h"

namespace tapegrad::nn {
namespace {

PadMode pad_mode_of(PaddingMode mode) { return mode == PaddingMode::reflect ? PadMode::reflect : PadMode::replicate; }

}  // namespace

Conv2d::Conv2d(std::int64_t in, std::int64_t out, Size2d kernel_size, Conv2dOptions options, SourceLocation at)
    : options_{.stride = options.stride,
               .padding = options.padding,
               .dilation = options.dilation,
               .groups = options.groups,
               .winograd = options.winograd},
      padding_mode_(options.padding_mode) {
  detail::check_convolution_layer("Conv2d", in, out, kernel_size, options.groups, detail::fault_of(options_), at);
  if (const std::string fault = detail::winograd_fault(kernel_size, options_); !fault.empty()) {
    detail::fail_op("Conv2d", fault, at, detail::winograd_hint);
  }
  const Shape shape{out, kernel_size.height, kernel_size.width, in / options.groups};
  weight = detail::convolution_values(shape, shape, at);
  if (options.bias) bias = detail::convolution_values({out}, shape, at);
}

Tensor Conv2d::operator()(Arg x) const {
  const detail::LayerScope scope(name_, x.at());
  detail::check_convolution_input(
      "Conv2d", x, weight, [&](const Inputs& in) { detail::check_convolution_inputs(in, options_.groups, false); });
  const auto convolve = [&](const Arg& input, const tapegrad::Conv2dOptions& options) {
    return bias ? conv2d(input, weight, *bias, options) : conv2d(input, weight, options);
  };
  if (padding_mode_ == PaddingMode::zeros) return detail::layer_result(name_, convolve(x, options_));
  const Padding2d& padding = options_.padding;
  const auto width = [&](std::int64_t size, int axis, std::int64_t dilation) {
    return detail::pad_width(size, padding.is_same, weight.shape(axis), dilation);
  };
  const Tensor padded = pad(x,
                            {{},
                             width(padding.size.height, 1, options_.dilation.height),
                             width(padding.size.width, 2, options_.dilation.width),
                             {}},
                            {.mode = pad_mode_of(padding_mode_)});
  tapegrad::Conv2dOptions rest = options_;
  rest.padding = 0;
  return detail::layer_result(name_, convolve(padded, rest));
}

Conv1d::Conv1d(std::int64_t in, std::int64_t out, std::int64_t kernel_size, Conv1dOptions options, SourceLocation at)
    : options_{.stride = options.stride,
               .padding = options.padding,
               .dilation = options.dilation,
               .groups = options.groups},
      padding_mode_(options.padding_mode) {
  detail::check_convolution_layer("Conv1d", in, out, kernel_size, options.groups,
                                  detail::fault_of(detail::of_images(options_)), at);
  const Shape shape{out, kernel_size, in / options.groups};
  weight = detail::convolution_values(shape, shape, at);
  if (options.bias) bias = detail::convolution_values({out}, shape, at);
}

Tensor Conv1d::operator()(Arg x) const {
  const detail::LayerScope scope(name_, x.at());
  detail::check_convolution_input(
      "Conv1d", x, weight, [&](const Inputs& in) { detail::check_convolution_inputs(in, options_.groups, true); });
  const auto convolve = [&](const Arg& input, const tapegrad::Conv1dOptions& options) {
    return bias ? conv1d(input, weight, *bias, options) : conv1d(input, weight, options);
  };
  if (padding_mode_ == PaddingMode::zeros) return detail::layer_result(name_, convolve(x, options_));
  const Padding1d& padding = options_.padding;
  const PadWidth width = detail::pad_width(padding.size, padding.is_same, weight.shape(1), options_.dilation);
  const Tensor padded = pad(x, {{}, width, {}}, {.mode = pad_mode_of(padding_mode_)});
  tapegrad::Conv1dOptions rest = options_;
  rest.padding = 0;
  return detail::layer_result(name_, convolve(padded, rest));
}

}  // namespace tapegrad::nn
