// Convolutions of every channel by itself.
#include <cstring>

#include "autograd/ops/convolution_windows.h"

namespace tapegrad::detail {
namespace {

// One tap of one element, f32 and f64.
constexpr double nanoseconds_per_tap[] = {0.03, 0.06};

double row_cost(const WindowPlan& plan, const Lattice& down, const Lattice& across, std::size_t type) {
  return static_cast<double>(down.taps * across.taps) * static_cast<double>(across.count * plan.x_channels) *
         nanoseconds_per_tap[type];
}

kernels::DepthwiseArguments arguments_of(const WindowPlan& plan, const Lattice& down, const Lattice& across) {
  return {.down = {plan.x_height, down.x_step, down.offset, down.taps, down.offset_step},
          .across = {plan.x_width, across.x_step, across.offset, across.taps, across.offset_step},
          .columns = across.count,
          .channels = plan.x_channels,
          .y_row_stride = down.step * plan.y_width * plan.y_channels,
          .y_pixel_stride = across.step * plan.y_channels};
}

// Calls f(image, first row, end of the rows) for rows [begin, end) of all images.
template <class F>
void for_images(Index begin, Index end, Index rows, F&& f) {
  while (begin < end) {
    const Index row = begin % rows;
    const Index count = std::min(rows - row, end - begin);
    f(begin / rows, row, row + count);
    begin += count;
  }
}

// The weights of a pair of lattices as [taps down, taps across, channels].
void pack(const WindowPlan& plan, DType dtype, const Lattice& down, const Lattice& across, const void* weight,
          void* to) {
  const auto bytes = static_cast<Index>(size_of(dtype));
  const Index first = down.tap * plan.weight_row + across.tap * plan.weight_column;
  kernels::table().copy(
      {.rank = 3,
       .element_bytes = bytes,
       .shape = {down.taps, across.taps, plan.x_channels},
       .from = static_cast<const std::byte*>(weight) + first * bytes,
       .from_strides = {down.tap_step * plan.weight_row, across.tap_step * plan.weight_column, plan.weight_group},
       .to = to,
       .to_strides = {across.taps * plan.x_channels, plan.x_channels, 1}});
}

}  // namespace

void sum_depthwise(const WindowPlan& plan, DType dtype, const void* x, const void* weight, const void* bias, void* y) {
  const std::size_t type = kernel_index(dtype);
  const auto bytes = static_cast<Index>(size_of(dtype));
  for (const Lattice& down : plan.down) {
    for (const Lattice& across : plan.across) {
      const Scratch packed(static_cast<std::size_t>(down.taps * across.taps * plan.x_channels * bytes));
      pack(plan, dtype, down, across, weight, packed.get());
      kernels::DepthwiseArguments all = arguments_of(plan, down, across);
      all.weight = packed.get();
      all.bias = bias;
      const double cost = row_cost(plan, down, across, type);
      for_ranges(plan.batch * down.count, cost, [&](std::int64_t begin, std::int64_t end) {
        for_images(begin, end, down.count, [&](Index image, Index row, Index end_row) {
          kernels::DepthwiseArguments own = all;
          own.begin = row;
          own.end = end_row;
          own.x = static_cast<const std::byte*>(x) + image * plan.x_height * plan.x_width * plan.x_channels * bytes;
          const Index first = (image * plan.y_height + down.first) * plan.y_width + across.first;
          own.y = static_cast<std::byte*>(y) + first * plan.y_channels * bytes;
          kernels::table().depthwise_sums[type](own);
        });
      });
    }
  }
}

void depthwise_weight_gradient(const WindowPlan& plan, DType dtype, const void* x, const void* g, void* dweight) {
  const std::size_t type = kernel_index(dtype);
  const auto bytes = static_cast<Index>(size_of(dtype));
  const Lattice& down = plan.down[0];
  const Lattice& across = plan.across[0];
  const Index taps = down.taps * across.taps;
  const Index size = taps * plan.x_channels;
  const Index rows = plan.batch * down.count;
  const Index chunks = chunks_for(rows, row_cost(plan, down, across, type));
  const Scratch partials(static_cast<std::size_t>(chunks * size * bytes));
  parallel_for(chunks, [&](std::int64_t chunk) {
    kernels::DepthwiseArguments own = arguments_of(plan, down, across);
    own.weight = partials.get<std::byte>() + chunk * size * bytes;
    std::memset(own.weight, 0, static_cast<std::size_t>(size * bytes));
    const Range range = chunk_range(rows, chunks, chunk, 1);
    for_images(range.begin, range.end, down.count, [&](Index image, Index row, Index end_row) {
      own.begin = row;
      own.end = end_row;
      own.x = static_cast<const std::byte*>(x) + image * plan.x_height * plan.x_width * plan.x_channels * bytes;
      // The kernel only reads it.
      own.y = const_cast<std::byte*>(static_cast<const std::byte*>(g)) +
              image * plan.y_height * plan.y_width * plan.y_channels * bytes;
      kernels::table().depthwise_gradient[type](own);
    });
  });
  add_partials(dtype, partials.get(), chunks, size);
  kernels::table().copy({.rank = 2,
                         .element_bytes = bytes,
                         .shape = {plan.x_channels, taps},
                         .from = partials.get(),
                         .from_strides = {1, plan.x_channels},
                         .to = dweight,
                         .to_strides = {taps, 1}});
}

}  // namespace tapegrad::detail
