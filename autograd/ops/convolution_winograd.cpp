// Sums over windows of 3 x 3 taps by Winograd's F(4 x 4, 3 x 3): weights and tiles of x are transformed into 36 taps,
// each tap is a product of matrices [tiles, channels of x] [channels of x, channels of y], and the products are
// transformed into tiles of y.
#include <cstring>

#include "autograd/ops/convolution_windows.h"

namespace tapegrad::detail {
namespace {

constexpr Index taps = kernels::winograd_taps;

// Transformed tiles of x that shall stay in the second cache, beside their products.
constexpr Index tile_bytes = 256 * 1024;
// With fewer tiles at once, weights that exceed that cache would be read too often; and with fewer than that for a
// thread, its products would leave registers empty.
constexpr Index enough_tiles = 28;
constexpr Index least_tiles = 14;
// Channels of y whose products are made at once: whole panels.
constexpr Index most_outputs = 64;
// Channels of x whose weights are transformed at once: their copies fit the first two caches.
constexpr Index most_inputs = 64;

constexpr double saving = 2;  // of time, about

// So many floats or more, in an odd number of cache lines: of arrays that lie so far apart, no cache puts all elements
// with the same index into one place.
constexpr Index odd_lines(Index floats) { return (divide_up(floats, 16) | 1) * 16; }

class WinogradSums {
 public:
  WinogradSums(const WindowProblem& problem, const float* x, const float* weight, const float* bias, float* y)
      : problem_(problem),
        x_(x),
        bias_(bias),
        y_(y),
        weight_stride_(odd_lines(problem.panels() * panel_size())),
        x_tile_stride_(odd_lines(plan().x_channels)),
        y_tile_stride_(odd_lines(std::min(plan().y_channels, most_outputs))),
        weight_(static_cast<std::size_t>(taps * weight_stride_) * sizeof(float)) {
    const Index fit = std::max(tile_bytes / (taps * x_tile_stride_ * problem.bytes), enough_tiles);
    const Index wanted = num_threads() == 1 ? 1 : problem.most_parts();
    tiles_ = plan().batch * down_ * across_;
    at_once_ = std::min(fit, std::max(divide_up(tiles_, wanted), least_tiles));
    at_once_ = divide_up(tiles_, divide_up(tiles_, at_once_));
    transform_weight(weight);
  }

  void run() const {
    const Index count = divide_up(tiles_, at_once_);
    const Index x_stride = odd_lines(at_once_ * x_tile_stride_);
    const Index y_stride = odd_lines(at_once_ * y_tile_stride_);
    const double cost = problem_.nanoseconds() / saving / static_cast<double>(count);
    for_ranges(count, cost, [&](Index begin, Index end) {
      const Scratch of_x(static_cast<std::size_t>(taps * x_stride) * sizeof(float));
      const Scratch of_y(static_cast<std::size_t>(taps * y_stride) * sizeof(float));
      for (Index k = begin * at_once_; k < end * at_once_; k += at_once_) {
        sum_tiles(k, std::min(k + at_once_, tiles_), {of_x.get<float>(), x_stride}, {of_y.get<float>(), y_stride});
      }
    });
  }

 private:
  // 36 arrays.
  struct Taps {
    float* first;
    Index stride;

    float* operator[](Index tap) const { return first + tap * stride; }
  };

  const WindowPlan& plan() const { return problem_.plan; }
  // A row for what sums start with, and one for each channel of x.
  Index panel_size() const { return (1 + plan().x_channels) * problem_.panel_columns(); }

  // ---- weights ----

  void transform_weight(const float* weight) {
    const double cost = static_cast<double>(taps * panel_size()) * nanoseconds_per_element_copied / 4;
    for_ranges(problem_.panels(), cost, [&](Index begin, Index end) {
      const Index columns = problem_.panel_columns();
      const Index rows = std::min(plan().x_channels, most_inputs);
      const Scratch nine(static_cast<std::size_t>(9 * rows * columns) * sizeof(float));
      for (Index panel = begin; panel < end; ++panel) {
        float* const to = weight_.get<float>() + panel * panel_size();
        for (Index tap = 0; tap < taps; ++tap) {
          std::memset(to + tap * weight_stride_, 0, static_cast<std::size_t>(columns) * sizeof(float));
        }
        for (Index c = 0; c < plan().x_channels; c += rows) {
          const Index n = std::min(rows, plan().x_channels - c) * columns;
          copy_weight(weight, panel * columns, c, n, nine.get<float>());
          kernels::table().winograd_weight({.n = n,
                                            .weight = nine.get(),
                                            .weight_stride = n,
                                            .taps = to + (1 + c) * columns,
                                            .tap_stride = weight_stride_});
        }
      }
    });
  }

  // The 9 taps of one panel, outputs o, ..., each of n elements for channels c, ... of x.
  void copy_weight(const float* weight, Index o, Index c, Index n, float* to) const {
    const Lattice& down = plan().down[0];
    const Lattice& across = plan().across[0];
    const Index columns = problem_.panel_columns();
    const Index count = std::min(columns, plan().y_channels - o);
    if (count < columns) std::memset(to, 0, static_cast<std::size_t>(9 * n) * sizeof(float));
    kernels::table().copy({.rank = 4,
                           .element_bytes = problem_.bytes,
                           .shape = {3, 3, n / columns, count},
                           .from = weight + down.tap * plan().weight_row + across.tap * plan().weight_column +
                                   c * plan().weight_in + o * plan().weight_out,
                           .from_strides = {down.tap_step * plan().weight_row, across.tap_step * plan().weight_column,
                                            plan().weight_in, plan().weight_out},
                           .to = to,
                           .to_strides = {3 * n, n, columns, 1}});
  }

  // ---- tiles ----

  void sum_tiles(Index begin, Index end, Taps of_x, Taps of_y) const {
    const WindowPlan& p = plan();
    kernels::table().winograd_input({.height = p.x_height,
                                     .width = p.x_width,
                                     .channels = p.x_channels,
                                     .pixel_stride = p.x_channels,
                                     .down = down_,
                                     .across = across_,
                                     .begin = begin,
                                     .end = end,
                                     .first_row = p.down[0].offset,
                                     .first_column = p.across[0].offset,
                                     .x = x_,
                                     .taps = of_x.first,
                                     .tap_stride = of_x.stride,
                                     .tile_stride = x_tile_stride_});
    for (Index o = 0; o < p.y_channels; o += most_outputs) {
      const Index outputs = std::min(most_outputs, p.y_channels - o);
      for (Index tap = 0; tap < taps; ++tap) multiply(of_x[tap], end - begin, tap, o, outputs, of_y[tap]);
      kernels::table().winograd_output({.height = p.y_height,
                                        .width = p.y_width,
                                        .channels = outputs,
                                        .pixel_stride = p.y_channels,
                                        .down = down_,
                                        .across = across_,
                                        .begin = begin,
                                        .end = end,
                                        .taps = of_y.first,
                                        .tap_stride = of_y.stride,
                                        .tile_stride = y_tile_stride_,
                                        .bias = bias_ ? bias_ + o : nullptr,
                                        .y = y_ + o});
    }
  }

  // Outputs o, ... of one tap: whole registers, as those of the weights are.
  void multiply(const float* x, Index tiles, Index tap, Index o, Index outputs, float* to) const {
    const Index no_offset = 0;
    const Index width = problem_.panel_columns() / 2;
    kernels::table().window_sums[problem_.type](
        {.images = 1,
         .rows = 1,
         .columns = tiles,
         .channels = divide_up(outputs, width) * width,
         .x = x,
         .x_pixel_stride = x_tile_stride_,
         .runs = 1,
         .run_offset = &no_offset,
         .run_length = plan().x_channels,
         .weight = weight_.get<float>() + tap * weight_stride_ + o / problem_.panel_columns() * panel_size(),
         .y = to,
         .y_pixel_stride = y_tile_stride_});
  }

  const WindowProblem& problem_;
  const float* x_;
  const float* bias_;
  float* y_;
  Index down_ = divide_up(plan().y_height, kernels::winograd_tile);
  Index across_ = divide_up(plan().y_width, kernels::winograd_tile);
  Index weight_stride_, x_tile_stride_, y_tile_stride_;
  Scratch weight_;
  Index tiles_, at_once_;  // of all images; of an item of work
};

}  // namespace

void sum_winograd(const WindowPlan& plan, const void* x, const void* weight, const void* bias, void* y) {
  const WindowProblem problem{plan, f32};
  WinogradSums(problem, static_cast<const float*>(x), static_cast<const float*>(weight),
               static_cast<const float*>(bias), static_cast<float*>(y))
      .run();
}

}  // namespace tapegrad::detail
