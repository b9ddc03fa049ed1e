#pragma once
// From shapes and options to the sizes of a convolution, with every check of them. Internal.
#include "autograd/ops/conv.h"
#include "autograd/ops/convolution_run.h"
#include "autograd/ops/pad.h"

namespace tapegrad::detail {

/// What the convolution, its input gradient and its weight gradient have in common.
struct ConvolutionAttributes {
  ConvolutionSizes sizes;
  bool is_sequence = false;  // the tensors have no axis of height

  Shape x() const;
  Shape weight() const;
  Shape y() const;
};

/// The options of sequences as those of images.
Conv2dOptions of_images(const Conv1dOptions& options);
ConvTranspose2dOptions of_images(const ConvTranspose1dOptions& options);

/// What `padding` puts before and behind an axis of x.
PadWidth pad_width(std::int64_t padding, bool is_same, std::int64_t kernel, std::int64_t dilation);

/// What is wrong with options alone, or "".
std::string fault_of(const Conv2dOptions& options);
std::string fault_of(const ConvTranspose2dOptions& options);

/// What keeps a convolution with such a kernel and options from `winograd`, or "", also when it is not asked for.
std::string winograd_fault(Size2d kernel, const Conv2dOptions& options);
inline constexpr const char* winograd_hint = "leave .winograd out";

/// Throws unless x and weight have one floating dtype, their number of axes, and channels that fit.
void check_convolution_inputs(const Inputs& in, std::int64_t groups, bool is_sequence);
void check_transposed_convolution_inputs(const Inputs& in, std::int64_t groups, bool is_sequence);

/// Of the inputs x, weight and perhaps bias. Of sequences, only the widths among the options count. Throws for whatever
/// does not fit.
ConvolutionAttributes convolution_of(const Inputs& in, const Conv2dOptions& options, bool is_sequence);
/// ... whose input gradient is the transposed convolution of x: its y has x's shape.
ConvolutionAttributes transposed_convolution_of(const Inputs& in, const ConvTranspose2dOptions& options,
                                                bool is_sequence);

}  // namespace tapegrad::detail
