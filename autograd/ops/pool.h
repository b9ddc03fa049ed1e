#pragma once
// Pooling: what lies under a window that slides over sequences [batch, time, channels] or images [batch, height, width,
// channels] becomes one element, channel by channel. Names, options, defaults and the rules for sizes are PyTorch's.
//
// All of them are differentiable, to any order. They throw for tensors of another rank, for integers, for sizes below
// 1, for a padding of more than half the kernel, and for a kernel that is larger than the padded input.
#include <optional>
#include <vector>

#include "autograd/op.h"
#include "autograd/size2d.h"

namespace tapegrad {

// ---- windows that slide ----
//
// Position i of the result has the window of the elements i stride - padding + k dilation, k < kernel_size. There are
// floor((n + 2 padding - dilation (kernel_size - 1) - 1) / stride) + 1 of them on an axis of n elements. With ceil_mode
// it is ceil instead of floor, without windows that would start behind the last element and the padding before the
// first one.

struct MaxPool1dOptions {
  std::optional<std::int64_t> stride = {};  ///< by default kernel_size
  std::int64_t padding = 0;                 ///< on both sides
  std::int64_t dilation = 1;
  bool ceil_mode = false;
};

struct MaxPool2dOptions {
  Size2d stride = {};  ///< by default kernel_size
  Size2d padding = 0;  ///< on both sides
  Size2d dilation = 1;
  bool ceil_mode = false;
};

/// The largest element of each window. Padding never is the largest one; a window of nothing but padding, which takes a
/// dilation, gives -infinity. A window with NaN gives NaN. The gradient goes to the largest element, of equal ones to
/// the first. What the backward pass reads is the place of the largest element in its window: one byte for each element
/// of the result, or four where a kernel has more than 255 elements.
Tensor max_pool1d(Arg x, std::int64_t kernel_size, const MaxPool1dOptions& options = {});
Tensor max_pool2d(Arg x, Size2d kernel_size, const MaxPool2dOptions& options = {});

struct AvgPool1dOptions {
  std::optional<std::int64_t> stride = {};  ///< by default kernel_size
  std::int64_t padding = 0;                 ///< on both sides
  bool ceil_mode = false;
  bool count_include_pad = true;  ///< padding counts as zeros; else the mean is that of what lies in x
};

struct AvgPool2dOptions {
  Size2d stride = {};  ///< by default kernel_size
  Size2d padding = 0;  ///< on both sides
  bool ceil_mode = false;
  bool count_include_pad = true;  ///< padding counts as zeros; else the mean is that of what lies in x
};

/// The mean of each window. The part of a window that ceil_mode has beyond the padding never counts.
Tensor avg_pool1d(Arg x, std::int64_t kernel_size, const AvgPool1dOptions& options = {});
Tensor avg_pool2d(Arg x, Size2d kernel_size, const AvgPool2dOptions& options = {});

// ---- windows that follow from the size of the result ----
//
// Position i of m has the elements from floor(i n / m) up to ceil((i + 1) n / m) of an axis of n elements; these
// windows may share elements.

Tensor adaptive_max_pool1d(Arg x, std::int64_t output_size);
Tensor adaptive_max_pool2d(Arg x, Size2d output_size);
Tensor adaptive_avg_pool1d(Arg x, std::int64_t output_size);
Tensor adaptive_avg_pool2d(Arg x, Size2d output_size);

/// The largest element, or the mean, of each channel over all axes between the first and the last one: [batch, ...,
/// channels] gives [batch, channels]. Throws for fewer than three axes, and when there is nothing to choose from.
Tensor global_max_pool(Arg x);
Tensor global_avg_pool(Arg x);

namespace detail {

/// Throws what a call of the op `name` with these options would throw whatever its input is.
void check_pool_options(const char* name, Size2d kernel_size, const MaxPool2dOptions& options, SourceLocation at);
void check_output_size(const char* name, Size2d output_size, SourceLocation at);

std::vector<OpDescription> pool_ops();

}  // namespace detail
}  // namespace tapegrad
