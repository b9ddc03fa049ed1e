#pragma once
// The three sums of a convolution on raw arrays, cut for threads: what the ops of conv.cpp call.
#include <cstdint>

#include "autograd/shape.h"

namespace tapegrad::detail {

/// The sizes of a convolution of images: x [batch, in_height, in_width, in_channels], weight [out_channels,
/// kernel_height, kernel_width, in_channels / groups], y [batch, out_height, out_width, out_channels]. Along an axis,
/// position i of y under tap k of the weight reads position i * stride + k * dilation - pad of x; what lies outside of x
/// is zero.
struct ConvolutionSizes {
  std::int64_t batch = 1;
  std::int64_t in_height = 1, in_width = 1, in_channels = 1;
  std::int64_t out_height = 1, out_width = 1, out_channels = 1;
  std::int64_t kernel_height = 1, kernel_width = 1;
  std::int64_t stride_height = 1, stride_width = 1;
  std::int64_t pad_top = 0, pad_left = 0;
  std::int64_t dilation_height = 1, dilation_width = 1;
  std::int64_t groups = 1;
  bool winograd = false;  ///< sums in f32 by F(4 x 4, 3 x 3); of 3 x 3 taps with stride, dilation and groups of 1
};

// All arrays are contiguous, f32 or f64, and of consistent sizes, of which any may be 0: the callers check. Outputs are
// overwritten. The bits of a result do not depend on the number of threads.

/// y[n, i, j, o] = bias[o] + sum over r, s, c of x[n, i', j', c] weight[o, r, s, c], c within the group of o. `bias` may
/// be null.
void convolve(DType dtype, const ConvolutionSizes& sizes, const void* x, const void* weight, const void* bias, void* y);

/// dx, the gradient of sum(g * y) in x.
void convolve_input_gradient(DType dtype, const ConvolutionSizes& sizes, const void* g, const void* weight, void* dx);

/// dweight, the gradient of sum(g * y) in weight.
void convolve_weight_gradient(DType dtype, const ConvolutionSizes& sizes, const void* x, const void* g, void* dweight);

}  // namespace tapegrad::detail
