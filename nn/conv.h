#pragma once
// Convolutional layers.
#include <optional>

#include "autograd/ops/conv.h"
#include "nn/layer.h"

namespace tapegrad::nn {

/// What surrounds the input of a convolution.
enum class PaddingMode : std::uint8_t {
  zeros,
  reflect,   ///< the input, mirrored at its first and last element
  replicate  ///< its first and its last element
};

struct Conv1dOptions {
  std::int64_t stride = 1;
  Padding1d padding = 0;  ///< a number, or "same"
  std::int64_t dilation = 1;
  std::int64_t groups = 1;
  bool bias = true;
  PaddingMode padding_mode = PaddingMode::zeros;
};

struct Conv2dOptions {
  Size2d stride = 1;      ///< a number, or {height, width}
  Padding2d padding = 0;  ///< a number, {height, width}, or "same"
  Size2d dilation = 1;
  std::int64_t groups = 1;
  bool bias = true;
  PaddingMode padding_mode = PaddingMode::zeros;
  bool winograd = false;  ///< 3 x 3 kernels in f32: faster, with larger rounding errors; see tapegrad::Conv2dOptions
};

/// y = conv2d(x, weight, bias): x [batch, height, width, in], weight [out, kernel_height, kernel_width, in / groups], bias
/// [out], y [batch, out_height, out_width, out]; autograd/ops/conv.h has the formula and the size of y.
///
///     nn::Conv2d conv{1, 16, 3, {.padding = 1}};  // in, out, kernel_size
///
/// weight and bias start evenly distributed over +-1 / sqrt(in / groups * kernel_height * kernel_width), PyTorch's
/// default. (LeCun et al., "Backpropagation applied to handwritten zip code recognition", 1989.)
/// Throws for sizes and options out of range, for groups that do not divide in and out, and for `winograd` with another
/// kernel than 3 x 3 or another stride, dilation or groups than 1; when called, for an x that
/// does not have four axes and `in` channels on the last one, for another dtype, and for a kernel larger than the padded x.
class Conv2d {
 public:
  Conv2d(std::int64_t in, std::int64_t out, Size2d kernel_size, Conv2dOptions options = {},
         SourceLocation at = SourceLocation::current());

  Tensor operator()(Arg x) const;

  Parameter weight;
  std::optional<Parameter> bias;

 private:
  Name name_;
  tapegrad::Conv2dOptions options_;
  PaddingMode padding_mode_;

 public:
  using fields = Fields<&Conv2d::weight, &Conv2d::bias, &Conv2d::name_>;
};

/// The same of sequences: x [batch, time, in], weight [out, kernel_size, in / groups], y [batch, out_time, out].
class Conv1d {
 public:
  Conv1d(std::int64_t in, std::int64_t out, std::int64_t kernel_size, Conv1dOptions options = {},
         SourceLocation at = SourceLocation::current());

  Tensor operator()(Arg x) const;

  Parameter weight;
  std::optional<Parameter> bias;

 private:
  Name name_;
  tapegrad::Conv1dOptions options_;
  PaddingMode padding_mode_;

 public:
  using fields = Fields<&Conv1d::weight, &Conv1d::bias, &Conv1d::name_>;
};

}  // namespace tapegrad::nn
