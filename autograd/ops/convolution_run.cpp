#include "autograd/ops/convolution_run.h"

#include <cstring>
#include <utility>

#include "autograd/ops/convolution_windows.h"

namespace tapegrad::detail {
namespace {

std::int64_t window(const ConvolutionSizes& z) {
  return z.groups ? z.kernel_height * z.kernel_width * (z.in_channels / z.groups) : 0;
}
std::int64_t x_size(const ConvolutionSizes& z) { return z.batch * z.in_height * z.in_width * z.in_channels; }
std::int64_t y_size(const ConvolutionSizes& z) { return z.batch * z.out_height * z.out_width * z.out_channels; }

// Whether there is nothing to multiply.
bool is_empty(const ConvolutionSizes& z) { return x_size(z) == 0 || y_size(z) == 0 || window(z) == 0; }

// Images one pixel wide as images one pixel high: kernels run along rows.
ConvolutionSizes laid_down(ConvolutionSizes z) {
  if (z.in_width != 1 || z.out_width != 1 || z.kernel_width != 1 || z.pad_left != 0) return z;
  std::swap(z.in_height, z.in_width);
  std::swap(z.out_height, z.out_width);
  std::swap(z.kernel_height, z.kernel_width);
  std::swap(z.stride_height, z.stride_width);
  std::swap(z.pad_top, z.pad_left);
  std::swap(z.dilation_height, z.dilation_width);
  return z;
}

void sum(const WindowPlan& plan, DType dtype, const void* x, const void* weight, const void* bias, void* y) {
  if (plan.winograd && dtype == f32) return sum_winograd(plan, x, weight, bias, y);
  if (plan.is_depthwise()) return sum_depthwise(plan, dtype, x, weight, bias, y);
  if (has_few_outputs(plan, dtype)) return sum_few_outputs(plan, dtype, x, weight, bias, y);
  sum_windows(plan, dtype, x, weight, bias, y);
}

// Whether a gradient of the weight wastes less of its registers with plan a than with plan b.
bool fills_better(const WindowPlan& a, const WindowPlan& b, DType dtype) {
  const Index width = kernels::table().convolution_columns[kernel_index(dtype)] / 2;
  const auto registers = [&](const WindowPlan& plan) { return divide_up(plan.y_group(), width) * plan.x_group(); };
  return registers(a) < registers(b);
}

void fill_with_bias(DType dtype, const ConvolutionSizes& z, const void* bias, void* y) {
  const std::size_t bytes = size_of(dtype) * static_cast<std::size_t>(z.out_channels);
  for (std::int64_t pixel = 0; pixel < z.batch * z.out_height * z.out_width; ++pixel) {
    std::byte* const to = static_cast<std::byte*>(y) + static_cast<std::size_t>(pixel) * bytes;
    if (bias) {
      std::memcpy(to, bias, bytes);
    } else {
      std::memset(to, 0, bytes);
    }
  }
}

}  // namespace

void convolve(DType dtype, const ConvolutionSizes& sizes, const void* x, const void* weight, const void* bias,
              void* y) {
  const ConvolutionSizes z = laid_down(sizes);
  if (is_empty(z)) return fill_with_bias(dtype, z, bias, y);
  sum(output_plan(z), dtype, x, weight, bias, y);
}

void convolve_input_gradient(DType dtype, const ConvolutionSizes& sizes, const void* g, const void* weight, void* dx) {
  const ConvolutionSizes z = laid_down(sizes);
  const std::size_t bytes = size_of(dtype) * static_cast<std::size_t>(x_size(z));
  if (bytes == 0) return;
  if (is_empty(z)) {
    std::memset(dx, 0, bytes);
    return;
  }
  const WindowPlan plan = input_gradient_plan(z);
  if (!plan.is_whole) std::memset(dx, 0, bytes);
  if (plan.down.empty() || plan.across.empty()) return;
  sum(plan, dtype, g, weight, nullptr, dx);
}

void convolve_weight_gradient(DType dtype, const ConvolutionSizes& sizes, const void* x, const void* g, void* dweight) {
  const ConvolutionSizes z = laid_down(sizes);
  const std::size_t bytes = size_of(dtype) * static_cast<std::size_t>(z.out_channels * window(z));
  if (bytes == 0) return;
  if (is_empty(z)) {
    std::memset(dweight, 0, bytes);
    return;
  }
  const WindowPlan plan = output_plan(z);
  if (plan.is_depthwise()) return depthwise_weight_gradient(plan, dtype, x, g, dweight);
  // Registers run over the outputs. Where few of the input's channels and many of the output's would fill them better,
  // the gradient is that of the transposed convolution.
  const WindowPlan transposed = input_gradient_plan(z);
  if (transposed.is_dense() && transposed.is_whole && fills_better(transposed, plan, dtype)) {
    return window_weight_gradient(transposed, dtype, g, x, dweight);
  }
  window_weight_gradient(plan, dtype, x, g, dweight);
}

}  // namespace tapegrad::detail
