#pragma once
// Transposed convolutional layers: from small images to large ones.
#include <optional>

#include "autograd/ops/conv.h"
#include "nn/layer.h"

namespace tapegrad::nn {

struct ConvTranspose1dOptions {
  std::int64_t stride = 1;
  std::int64_t padding = 0;
  std::int64_t output_padding = 0;
  std::int64_t dilation = 1;
  std::int64_t groups = 1;
  bool bias = true;
};

struct ConvTranspose2dOptions {
  Size2d stride = 1;          ///< a number, or {height, width}
  Size2d padding = 0;         ///< of the convolution whose transpose this is: cut off from the result
  Size2d output_padding = 0;  ///< added to the result's size at its end
  Size2d dilation = 1;
  std::int64_t groups = 1;
  bool bias = true;
};

/// y = conv_transpose2d(x, weight, bias): x [batch, height, width, in], weight [in, kernel_height, kernel_width, out /
/// groups], bias [out], y [batch, out_height, out_width, out] with out_height = (height - 1) stride - 2 padding + dilation
/// (kernel_height - 1) + output_padding + 1. It is the input gradient of the nn::Conv2d{out, in, kernel_size} with the
/// same weight and options, plus a bias.
///
///     nn::ConvTranspose2d up{32, 16, 4, {.stride = 2, .padding = 1}};  // twice the height and width
///
/// weight and bias start evenly distributed over +-1 / sqrt(out / groups * kernel_height * kernel_width), PyTorch's default.
/// (Zeiler et al., "Deconvolutional networks", 2010.)
/// Throws for sizes and options out of range, for groups that do not divide in and out, and for an output_padding that is
/// not smaller than the stride or the dilation; when called, for an x that does not have four axes and `in` channels on
/// the last one, for another dtype, and when the padding leaves nothing of the result.
class ConvTranspose2d {
 public:
  ConvTranspose2d(std::int64_t in, std::int64_t out, Size2d kernel_size, ConvTranspose2dOptions options = {},
                  SourceLocation at = SourceLocation::current());

  Tensor operator()(Arg x) const;

  Parameter weight;
  std::optional<Parameter> bias;

 private:
  Name name_;
  tapegrad::ConvTranspose2dOptions options_;

 public:
  using fields = Fields<&ConvTranspose2d::weight, &ConvTranspose2d::bias, &ConvTranspose2d::name_>;
};

/// The same of sequences: x [batch, time, in], weight [in, kernel_size, out / groups], y [batch, out_time, out].
class ConvTranspose1d {
 public:
  ConvTranspose1d(std::int64_t in, std::int64_t out, std::int64_t kernel_size, ConvTranspose1dOptions options = {},
                  SourceLocation at = SourceLocation::current());

  Tensor operator()(Arg x) const;

  Parameter weight;
  std::optional<Parameter> bias;

 private:
  Name name_;
  tapegrad::ConvTranspose1dOptions options_;

 public:
  using fields = Fields<&ConvTranspose1d::weight, &ConvTranspose1d::bias, &ConvTranspose1d::name_>;
};

}  // namespace tapegrad::nn
