#pragma once
// A convolution as what the kernels compute: sums over windows, for one or several lattices of pixels.
#include "autograd/cached.h"
#include "autograd/kernels/table.h"
#include "autograd/ops/convolution_run.h"

namespace tapegrad::detail {

using kernels::Index;

/// Along one axis: positions of y. Number u of them is first + u * step, and reads under its tap number k position
/// u * x_step + offset + k * offset_step of x, with weight tap + k * tap_step.
struct Lattice {
  Index first = 0, step = 1, count = 0;
  Index x_step = 1, offset = 0, offset_step = 1;
  Index taps = 0, tap = 0, tap_step = 1;

  Index last_offset() const { return offset + (taps - 1) * offset_step; }
};

using Lattices = CachedVector<Lattice>;

/// Sums over windows of x for pixels of y: a convolution, or the gradient of its input. `down` and `across` are never
/// empty lists; no lattice is without taps or positions.
struct WindowPlan {
  Index batch = 1;
  Index x_height = 1, x_width = 1, x_channels = 1;
  Index y_height = 1, y_width = 1, y_channels = 1;
  Index groups = 1;
  Lattices down, across;
  bool is_whole = true;  ///< Every pixel of y is in a lattice. The others are zero.
  bool winograd = false;
  // Strides of the weight by tap, by channel of x and of y within the group, and by group.
  Index weight_row = 0, weight_column = 0, weight_in = 0, weight_out = 0, weight_group = 0;

  Index x_group() const { return x_channels / groups; }
  Index y_group() const { return y_channels / groups; }
  bool is_depthwise() const { return groups > 1 && groups == x_channels && groups == y_channels; }
  /// All pixels of y are one lattice without gaps.
  bool is_dense() const;
  /// Multiply-adds.
  double cost() const;
};

WindowPlan output_plan(const ConvolutionSizes& sizes);
WindowPlan input_gradient_plan(const ConvolutionSizes& sizes);

/// What all lattices of an axis read of x: their positions [begin, end) read from begin * x_step + offset on.
struct Reach {
  Index offset = 0, last_offset = 0, x_step = 1, count = 0;

  explicit Reach(const Lattices& lattices);
  Index begin(Index position) const { return position * x_step + offset; }
  Index size(Index positions) const { return (positions - 1) * x_step + last_offset - offset + 1; }
  bool is_inside(Index axis_size) const { return offset >= 0 && begin(0) + size(count) <= axis_size; }
};

/// Where windows are read: in x itself, or in a copy with zeros around it.
struct WindowSource {
  Reach down, across;
  bool is_copy;
  Index pixel_stride, row_stride;  // elements

  WindowSource(const WindowPlan& plan, DType dtype);

  /// Elements of the rows that so many positions read.
  double elements(Index positions) const {
    return static_cast<double>(down.size(positions)) * static_cast<double>(row_stride);
  }
  /// Copies what positions [begin, end) read of one image.
  void copy(const WindowPlan& plan, DType dtype, const std::byte* image, Index begin, Index end, std::byte* to) const;
};

/// The windows of a pair of lattices as runs of channels that follow each other in the source.
struct WindowRuns {
  CachedVector<Index> offset;
  Index length = 0;

  WindowRuns(const WindowPlan& plan, const WindowSource& source, const Lattice& down, const Lattice& across);
  Index count() const { return static_cast<Index>(offset.size()); }
};

/// Copies the windows of pixels [begin, end) of a pair of lattices, numbered over all images, one after another: for
/// windows that are too far apart, or too few in a row, to be read in place.
void copy_windows(const WindowPlan& plan, const Lattice& down, const Lattice& across, Index group, DType dtype,
                  const std::byte* x, Index begin, Index end, std::byte* to);

}  // namespace tapegrad::detail
