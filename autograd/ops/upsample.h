#pragma once
// Images and sequences of another size, by interpolation.
#include <vector>

#include "autograd/op.h"
#include "autograd/size2d.h"

namespace tapegrad {

enum class UpsampleMode : std::uint8_t {
  nearest,  ///< the element in which a position lies
  linear,   ///< between the two nearest elements of a sequence
  bilinear  ///< between the four nearest pixels of an image
};

/// PyTorch's names and defaults. Either `size` or `scale_factor` is needed: one number for both axes, or {height,
/// width}.
struct UpsampleOptions {
  Size2d size = {};
  HeightWidth<double> scale_factor = {};
  UpsampleMode mode = UpsampleMode::nearest;
  bool align_corners = false;  ///< of linear and bilinear
};

/// Sequences [batch, time, channels] or images [batch, height, width, channels] of another size, channel by channel;
/// also a smaller one. An axis of n elements gets m = size or floor(n scale_factor). Its position i takes the element or, by
/// linear interpolation, the place between two elements
///
///     floor(i / s)                        nearest, with s = m / n or, where it was given, scale_factor
///     max((i + 1/2) / s - 1/2, 0)         linear and bilinear: a pixel's value is that of its centre
///     i (n - 1) / (m - 1)                 ... with align_corners: the first and the last element keep their places
///
/// at most n - 1 (PyTorch's interpolate). Differentiable to any order: it is linear, and its gradient is its transpose.
/// Throws for another rank, for integers, for a mode that is not one of x's kind, for none or both of size and
/// scale_factor, for sizes below 1, and for align_corners with nearest.
Tensor upsample(Arg x, const UpsampleOptions& options);

namespace detail {

/// Throws what a call of `name` with these options would throw whatever its input is.
void check_upsample_options(const char* name, const UpsampleOptions& options, SourceLocation at);

std::vector<OpDescription> upsample_ops();

}  // namespace detail
}  // namespace tapegrad
