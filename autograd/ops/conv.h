#pragma once
// Convolutions of sequences and of images, and their transposes. Channels are the last axis.
#include <cstddef>
#include <string_view>
#include <vector>

#include "autograd/op.h"
#include "autograd/size2d.h"

namespace tapegrad {

namespace detail {
/// True for "same", false for "valid". Throws for another text.
bool is_same_padding(std::string_view text, SourceLocation at);
}  // namespace detail

/// The zeros on each side of a sequence: a number; "same", so many that the size stays (the extra one of an odd number
/// comes at the end); or "valid", none.
struct Padding1d {
  std::int64_t size = 0;
  bool is_same = false;

  constexpr Padding1d(std::int64_t each_side) : size(each_side) {}
  template <std::size_t n>
  Padding1d(const char (&text)[n], SourceLocation at = SourceLocation::current())
      : is_same(detail::is_same_padding({text, n - 1}, at)) {}
};

/// ... of an image: a number, {height, width}, "same" or "valid".
struct Padding2d {
  Size2d size = 0;
  bool is_same = false;

  constexpr Padding2d(std::int64_t each_side) : size(each_side) {}
  constexpr Padding2d(std::int64_t height, std::int64_t width) : size(height, width) {}
  template <std::size_t n>
  Padding2d(const char (&text)[n], SourceLocation at = SourceLocation::current())
      : is_same(detail::is_same_padding({text, n - 1}, at)) {}
};

struct Conv1dOptions {
  std::int64_t stride = 1;
  Padding1d padding = 0;
  std::int64_t dilation = 1;
  std::int64_t groups = 1;
};

struct Conv2dOptions {
  Size2d stride = 1;
  Padding2d padding = 0;
  Size2d dilation = 1;  ///< the distance of neighbouring taps of the kernel
  std::int64_t groups = 1;
  /// In f32, y and the gradient of x by Winograd's F(4 x 4, 3 x 3), with a quarter of the multiplications: 1.5 to 3
  /// times as fast with 16 to 256 channels, slower with a few. Rounding errors are some ten times as large, 2e-5 of the
  /// largest element with 512 channels; and one NaN or infinity of x makes NaN of every tile of 4 x 4 pixels that reads
  /// it. f64 and the gradient of the weight have the usual sums. Throws unless the kernel is 3 x 3 with stride,
  /// dilation and groups of 1. docs/convolutions.md has the measurement. (Lavin and Gray, "Fast algorithms for
  /// convolutional neural networks", 2016.)
  bool winograd = false;
};

/// The sliding product of images with a kernel (a cross-correlation, as everywhere in deep learning):
///
///     y[n, i, j, o] = bias[o] + sum over r, s, c of x[n, i stride + r dilation - padding, ..., c] weight[o, r, s, c]
///
/// x [batch, height, width, in], weight [out, kernel_height, kernel_width, in / groups], bias [out] or none, y [batch,
/// out_height, out_width, out] with out_height = (height + 2 padding - dilation (kernel_height - 1) - 1) / stride + 1,
/// rounded down. What lies outside of x is zero. Groups: channel o sees only the in / groups channels of its group;
/// `groups` = in is a depthwise convolution. f32 and f64; the bits do not depend on the number of threads. Every
/// derivative is a convolution again, so that any order works.
/// Throws when shapes do not fit, for two dtypes, for options out of range, and for a kernel larger than the padded x.
Tensor conv2d(Arg x, Arg weight, const Conv2dOptions& options = {});
Tensor conv2d(Arg x, Arg weight, Arg bias, const Conv2dOptions& options = {});

/// ... of sequences: x [batch, time, in], weight [out, kernel, in / groups], bias [out] or none, y [batch, out_time, out].
Tensor conv1d(Arg x, Arg weight, const Conv1dOptions& options = {});
Tensor conv1d(Arg x, Arg weight, Arg bias, const Conv1dOptions& options = {});

struct ConvTranspose1dOptions {
  std::int64_t stride = 1;
  std::int64_t padding = 0;
  std::int64_t output_padding = 0;
  std::int64_t dilation = 1;
  std::int64_t groups = 1;
};

struct ConvTranspose2dOptions {
  Size2d stride = 1;
  Size2d padding = 0;         ///< what the convolution is padded by: cut off from the result
  Size2d output_padding = 0;  ///< added to the result's size at its end; smaller than the stride or the dilation
  Size2d dilation = 1;
  std::int64_t groups = 1;
};

/// The transpose of conv2d as a linear map of images, which is also its gradient with respect to them: every pixel of x
/// adds its kernel, times its value, to the result (Zeiler et al., "Deconvolutional networks", 2010). With the
/// same weight array and options, sum(conv2d(a, weight) * b) is sum(a * conv_transpose2d(b, weight)).
/// x [batch, height, width, in], weight [in, kernel_height, kernel_width, out / groups], bias [out] or none, y [batch,
/// out_height, out_width, out] with out_height = (height - 1) stride - 2 padding + dilation (kernel_height - 1) +
/// output_padding + 1. A stride makes several sizes shrink to one, so the way back has to choose: by output_padding.
/// Throws as conv2d does, and when the padding leaves nothing of the result.
Tensor conv_transpose2d(Arg x, Arg weight, const ConvTranspose2dOptions& options = {});
Tensor conv_transpose2d(Arg x, Arg weight, Arg bias, const ConvTranspose2dOptions& options = {});

/// ... of sequences: x [batch, time, in], weight [in, kernel, out / groups].
Tensor conv_transpose1d(Arg x, Arg weight, const ConvTranspose1dOptions& options = {});
Tensor conv_transpose1d(Arg x, Arg weight, Arg bias, const ConvTranspose1dOptions& options = {});

namespace detail {
std::vector<OpDescription> convolution_ops();
}

}  // namespace tapegrad
