#pragma once
// The windows of pooling along one axis, and tables of taps for its kernels. Internal.
#include <algorithm>
#include <optional>

#include "autograd/kernels/table.h"
#include "autograd/ops/elements.h"
#include "autograd/ops/pool.h"

namespace tapegrad::detail {

/// The windows of pooling along one axis: that of position i of the result is the elements first(i) + k * dilation of
/// x, k < size(i), as far as they lie in x. Adaptive ones are from floor(i in / out) up to ceil((i + 1) in / out).
struct PoolAxis {
  std::int64_t in = 1, out = 1;
  std::int64_t kernel = 1;  // the largest size
  std::int64_t stride = 1, padding = 0, dilation = 1;
  bool is_adaptive = false;

  std::int64_t first(std::int64_t i) const { return is_adaptive ? i * in / out : i * stride - padding; }
  std::int64_t size(std::int64_t i) const { return is_adaptive ? ((i + 1) * in + out - 1) / out - first(i) : kernel; }

  /// Calls f(position of the result, element of x, number k), in this order.
  template <class F>
  void for_each_tap(F&& f) const {
    for (std::int64_t i = 0; i < out; ++i) {
      const std::int64_t start = first(i);
      const std::int64_t skipped = start < 0 ? (-start + dilation - 1) / dilation : 0;
      const std::int64_t count = size(i);
      for (std::int64_t k = skipped; k < count && start + k * dilation < in; ++k) f(i, start + k * dilation, k);
    }
  }
};

struct PoolAxes {
  PoolAxis height, width;  // of sequences: the time, and one element
};

/// What sizes may be at most, so that products of two do not overflow.
inline constexpr std::int64_t largest_pool_size = std::int64_t{1} << 31;

/// The tensor of the argument of the op `name`. Throws unless it is floating and has that many axes.
const Tensor& checked_pool_input(const char* name, const Arg& x, int axes);

/// The windows over x. They throw for options that do not fit it, sequences or images.
PoolAxes sliding_axes(const char* name, const Tensor& x, Size2d kernel, const MaxPool2dOptions& options,
                      SourceLocation at);
PoolAxes adaptive_axes(const char* name, const Tensor& x, Size2d output_size, SourceLocation at);

/// The taps of every position along an axis, in the memory that kernels read.
template <class Tap>
class TapTable {
 public:
  /// for_each(visit) calls visit(position, tap) for all, those of one position in their order; it is called twice.
  template <class ForEach>
  TapTable(std::int64_t positions, ForEach&& for_each)
      : positions_(positions), first_(static_cast<std::size_t>(positions + 1) * sizeof(kernels::Index)) {
    auto* const first = first_.template get<kernels::Index>();
    std::fill_n(first, positions + 1, 0);
    for_each([&](std::int64_t position, const Tap&) { ++first[position + 1]; });
    for (std::int64_t i = 0; i < positions; ++i) first[i + 1] += first[i];
    taps_.emplace(static_cast<std::size_t>(first[positions]) * sizeof(Tap));
    auto* const taps = taps_->template get<Tap>();
    for_each([&](std::int64_t position, const Tap& tap) { taps[first[position]++] = tap; });
    for (std::int64_t i = positions; i > 0; --i) first[i] = first[i - 1];
    first[0] = 0;
  }

  kernels::TapAxis<Tap> axis() const {
    return {positions_, first_.template get<kernels::Index>(), taps_->template get<Tap>()};
  }
  double taps_per_position() const {
    const auto all = static_cast<double>(first_.template get<kernels::Index>()[positions_]);
    return positions_ ? all / static_cast<double>(positions_) : 0;
  }

 private:
  std::int64_t positions_;
  Scratch first_;
  std::optional<Scratch> taps_;
};

/// A batch of images [batch, height, width, channels], or of sequences [batch, time, channels], whose width is 1.
struct ImageSizes {
  std::int64_t batch, height, width, channels;

  explicit ImageSizes(const Shape& shape)
      : batch(shape[0]), height(shape[1]), width(shape.ndim() == 4 ? shape[2] : 1), channels(shape.back()) {}
};

/// Calls f(begin, end) for ranges of the rows of images whose elements have that many taps each.
template <class F>
void for_image_rows(const ImageSizes& sizes, double taps, F&& f) {
  constexpr double nanoseconds_per_tap = 0.15;
  const double cost = nanoseconds_per_tap * (taps + 1) * static_cast<double>(sizes.width * sizes.channels);
  for_ranges(sizes.batch * sizes.height, cost, std::forward<F>(f));
}

}  // namespace tapegrad::detail
