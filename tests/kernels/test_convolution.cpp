// The kernels of convolutions by themselves: strides that leave gaps, edges of tiles and of images, guarded memory.
#include <algorithm>

#include "tests/kernels/support.h"

using namespace kernel_test;
using tapegrad::kernels::ConvolutionAxis;
using tapegrad::kernels::DepthwiseArguments;
using tapegrad::kernels::TapSumArguments;
using tapegrad::kernels::WindowGradientArguments;
using tapegrad::kernels::WindowSumArguments;

namespace {

/// Rows of `depth` weights for `channels` outputs in the panels that the kernels read, with `first` rows in front.
template <class T>
struct Panels {
  Index columns = table().convolution_columns[type<T>];
  Index channels, rows;
  Guarded<T> values;

  Panels(Index outputs, Index depth)
      : channels(outputs), rows(depth), values(zeros<T>((outputs + columns - 1) / columns * columns * depth)) {}

  T& at(Index row, Index o) { return values[o / columns * columns * rows + row * columns + o % columns]; }
};

/// Windows of three runs in an image whose pixels, rows and results have gaps between them.
struct Layout {
  Index images, rows, columns, run_length, channels;
  Index x_pixel = run_length + 2, x_row = x_pixel * (columns + 1), x_image = x_row * (rows + 2);
  Index y_pixel = channels + 3, y_row = y_pixel * columns + 5, y_image = y_row * rows + 7;
  std::vector<Index> runs = {x_row + 1, 0, x_pixel + 2};

  Index x_size() const { return images * x_image + x_row; }
  Index y_size() const { return images * y_image; }
};

template <class T>
void check_sums(const Layout& l) {
  CAPTURE(l.images, l.rows, l.columns, l.run_length, l.channels);
  const Guarded<T> x = integers<T>(l.x_size(), 1);
  const Index depth = static_cast<Index>(l.runs.size()) * l.run_length;
  const Guarded<T> weight = integers<T>((depth + 1) * l.channels, 2);
  Panels<T> panels(l.channels, depth + 1);
  for (Index r = 0; r <= depth; ++r) {
    for (Index o = 0; o < l.channels; ++o) panels.at(r, o) = weight[r * l.channels + o];
  }
  Guarded<T> y = integers<T>(l.y_size(), 3);
  Guarded<T> expected = y;
  for (Index n = 0; n < l.images; ++n) {
    for (Index i = 0; i < l.rows; ++i) {
      for (Index j = 0; j < l.columns; ++j) {
        for (Index o = 0; o < l.channels; ++o) {
          double sum = static_cast<double>(weight[o]);
          for (Index k = 0; k < depth; ++k) {
            const Index run = l.runs[static_cast<std::size_t>(k / l.run_length)];
            sum += static_cast<double>(x[n * l.x_image + i * l.x_row + j * l.x_pixel + run + k % l.run_length]) *
                   static_cast<double>(weight[(k + 1) * l.channels + o]);
          }
          expected[n * l.y_image + i * l.y_row + j * l.y_pixel + o] = static_cast<T>(sum);
        }
      }
    }
  }
  const WindowSumArguments arguments{.images = l.images,
                                     .rows = l.rows,
                                     .columns = l.columns,
                                     .channels = l.channels,
                                     .x = x.data(),
                                     .x_image_stride = l.x_image,
                                     .x_row_stride = l.x_row,
                                     .x_pixel_stride = l.x_pixel,
                                     .runs = static_cast<Index>(l.runs.size()),
                                     .run_offset = l.runs.data(),
                                     .run_length = l.run_length,
                                     .weight = panels.values.data(),
                                     .y = y.data(),
                                     .y_image_stride = l.y_image,
                                     .y_row_stride = l.y_row,
                                     .y_pixel_stride = l.y_pixel};
  table().window_sums[type<T>](arguments);
  REQUIRE(y == expected);  // also the gaps
  REQUIRE(y.intact());
}

template <class T>
void check_gradient(const Layout& l) {
  CAPTURE(l.rows, l.columns, l.run_length, l.channels);
  const Guarded<T> x = integers<T>(l.x_size(), 1, 2);
  const Guarded<T> g = integers<T>(l.rows * l.columns * l.y_pixel, 2, 2);
  const Index depth = static_cast<Index>(l.runs.size()) * l.run_length;
  Panels<T> panels(l.channels, depth);
  Guarded<T> expected = zeros<T>(depth * l.channels);
  for (Index k = 0; k < depth; ++k) {
    for (Index o = 0; o < l.channels; ++o) {
      panels.at(k, o) = static_cast<T>(k - o);  // is added to
      double sum = static_cast<double>(k - o);
      const Index run = l.runs[static_cast<std::size_t>(k / l.run_length)] + k % l.run_length;
      for (Index i = 0; i < l.rows; ++i) {
        for (Index j = 0; j < l.columns; ++j) {
          sum += static_cast<double>(x[i * l.x_row + j * l.x_pixel + run]) *
                 static_cast<double>(g[(i * l.columns + j) * l.y_pixel + o]);
        }
      }
      expected[k * l.channels + o] = static_cast<T>(sum);
    }
  }
  std::vector<Index> row_offset;
  for (Index i = 0; i < l.rows; ++i) row_offset.push_back(i * l.x_row);
  Workspace workspace(table().window_gradient_workspace_bytes[type<T>]);
  const WindowGradientArguments arguments{.rows = l.rows,
                                          .columns = l.columns,
                                          .channels = l.channels,
                                          .x = x.data(),
                                          .row_offset = row_offset.data(),
                                          .x_pixel_stride = l.x_pixel,
                                          .runs = static_cast<Index>(l.runs.size()),
                                          .run_offset = l.runs.data(),
                                          .run_length = l.run_length,
                                          .g = g.data(),
                                          .g_pixel_stride = l.y_pixel,
                                          .dweight = panels.values.data(),
                                          .workspace = workspace.data()};
  table().window_gradient[type<T>](arguments);
  REQUIRE(workspace.intact());
  REQUIRE(panels.values.intact());
  for (Index k = 0; k < depth; ++k) {
    for (Index o = 0; o < l.channels; ++o) {
      CAPTURE(k, o);
      REQUIRE(panels.at(k, o) == expected[k * l.channels + o]);
    }
  }
}

/// Where position i under a tap reads, or -1.
Index place(const ConvolutionAxis& axis, Index i, Index tap) {
  const Index at = i * axis.step + axis.offset + tap * axis.tap_step;
  return at >= 0 && at < axis.size ? at : -1;
}

/// Calls f(i, j, a, b, row, column) for all that meet.
template <class F>
void for_meetings(const ConvolutionAxis& down, const ConvolutionAxis& across, Index begin, Index end, Index columns,
                  F f) {
  for (Index i = begin; i < end; ++i) {
    for (Index j = 0; j < columns; ++j) {
      for (Index a = 0; a < down.taps; ++a) {
        for (Index b = 0; b < across.taps; ++b) {
          const Index row = place(down, i, a), column = place(across, j, b);
          if (row >= 0 && column >= 0) f(i, j, a, b, row, column);
        }
      }
    }
  }
}

const ConvolutionAxis axes[] = {
    {.size = 25, .step = 1, .offset = -1, .taps = 3},                 // neighbours share their pixels
    {.size = 13, .step = 1, .offset = 0, .taps = 3},                  //
    {.size = 4, .step = 1, .offset = -5, .taps = 3},                  // some windows see nothing
    {.size = 31, .step = 2, .offset = -2, .taps = 4},                 //
    {.size = 20, .step = 3, .offset = 1, .taps = 1},                  //
    {.size = 23, .step = 1, .offset = -4, .taps = 5, .tap_step = 2},  // dilated
    {.size = 1, .step = 1, .offset = -1, .taps = 3},                  //
};

}  // namespace

TEMPLATE_TEST_CASE("convolution: sums over windows", "[kernels][convolution]", float, double) {
  for (Index columns = 1; columns <= 31; ++columns) check_sums<TestType>({2, 2, columns, 3, 5});
  for (Index channels = 1; channels <= every_tail<TestType>; ++channels) {
    check_sums<TestType>({1, 2, 16, 4, channels});
    check_sums<TestType>({1, 1, 1, 1, channels});
  }
}

TEMPLATE_TEST_CASE("convolution: the gradient of such sums", "[kernels][convolution]", float, double) {
  for (Index length = 1; length <= 31; ++length) check_gradient<TestType>({1, 3, 4, length, 5});
  for (Index channels = 1; channels <= every_tail<TestType>; ++channels) {
    check_gradient<TestType>({1, 2, 5, 6, channels});
  }
  // More pixels than a block has, in one row and in many.
  check_gradient<TestType>({1, 1, 1000, 3, 9});
  check_gradient<TestType>({1, 100, 7, 3, 9});
  check_gradient<TestType>({1, 3, 193, 2, 40});
}

TEMPLATE_TEST_CASE("convolution: every channel by itself", "[kernels][convolution]", float, double) {
  const bool with_bias = GENERATE(true, false);
  for (const ConvolutionAxis& down : axes) {
    for (const ConvolutionAxis& across : axes) {
      for (const Index channels : {Index{1}, Index{19}, every_tail<TestType> - 3, every_tail<TestType>}) {
        const Index rows = 6, columns = 26, begin = 1, end = 5;
        CAPTURE(down.size, across.size, channels, with_bias);
        const Guarded<TestType> x = integers<TestType>(down.size * across.size * channels, 1, 2);
        Guarded<TestType> weight = integers<TestType>(down.taps * across.taps * channels, 2, 2);
        const Guarded<TestType> bias = integers<TestType>(channels, 3);
        const Index pixel = channels + 1, row_stride = columns * pixel + 3;
        Guarded<TestType> y = integers<TestType>(rows * row_stride, 4, 2);
        Guarded<TestType> expected = y, expected_gradient = weight;
        const Guarded<TestType> g = y;
        for (Index c = 0; c < channels; ++c) {
          for (Index i = begin; i < end; ++i) {
            for (Index j = 0; j < columns; ++j) {
              expected[i * row_stride + j * pixel + c] = with_bias ? bias[c] : TestType(0);
            }
          }
          for_meetings(down, across, begin, end, columns,
                       [&](Index i, Index j, Index a, Index b, Index row, Index column) {
                         const Index w = (a * across.taps + b) * channels + c;
                         const TestType value = x[(row * across.size + column) * channels + c];
                         expected[i * row_stride + j * pixel + c] += value * weight[w];
                         expected_gradient[w] += value * g[i * row_stride + j * pixel + c];
                       });
        }
        DepthwiseArguments arguments{.down = down,
                                     .across = across,
                                     .columns = columns,
                                     .channels = channels,
                                     .begin = begin,
                                     .end = end,
                                     .x = x.data(),
                                     .weight = weight.data(),
                                     .bias = with_bias ? bias.data() : nullptr,
                                     .y = y.data(),
                                     .y_row_stride = row_stride,
                                     .y_pixel_stride = pixel};
        table().depthwise_sums[type<TestType>](arguments);
        REQUIRE(y == expected);
        REQUIRE(y.intact());
        y = g;
        table().depthwise_gradient[type<TestType>](arguments);
        REQUIRE(weight == expected_gradient);
        REQUIRE(weight.intact());
        REQUIRE(y == g);
      }
    }
  }
}

TEMPLATE_TEST_CASE("convolution: few outputs", "[kernels][convolution]", float, double) {
  const bool with_bias = GENERATE(true, false);
  for (const ConvolutionAxis& down : axes) {
    for (const ConvolutionAxis& across : axes) {
      // More columns than are summed at once.
      for (const Index columns : {Index{26}, Index{300}}) {
        const Index rows = 6, channels = 3, begin = 1, end = 5;
        const Index first_row = std::clamp<Index>(begin * down.step + down.offset, 0, down.size);
        const Index plane = (down.size - first_row) * across.size;
        const Guarded<TestType> planes = integers<TestType>(down.taps * across.taps * channels * plane, 1);
        const Guarded<TestType> bias = integers<TestType>(channels, 3);
        const Index pixel = channels + 1, row_stride = columns * pixel + 3;
        Guarded<TestType> y = integers<TestType>(rows * row_stride, 4);
        Guarded<TestType> expected = y;
        const auto plane_of = [&](Index a, Index b, Index o) {
          return ((o * down.taps + a) * across.taps + b) * plane;
        };
        for (Index o = 0; o < channels; ++o) {
          for (Index i = begin; i < end; ++i) {
            for (Index j = 0; j < columns; ++j) {
              expected[i * row_stride + j * pixel + o] = with_bias ? bias[o] : TestType(0);
            }
          }
          for_meetings(down, across, begin, end, columns,
                       [&](Index i, Index j, Index a, Index b, Index row, Index column) {
                         expected[i * row_stride + j * pixel + o] +=
                             planes[plane_of(a, b, o) + (row - first_row) * across.size + column];
                       });
        }
        const TapSumArguments arguments{.down = down,
                                        .across = across,
                                        .columns = columns,
                                        .channels = channels,
                                        .begin = begin,
                                        .end = end,
                                        .planes = planes.data(),
                                        .first_row = first_row,
                                        .down_stride = across.taps * plane,
                                        .across_stride = plane,
                                        .channel_stride = down.taps * across.taps * plane,
                                        .bias = with_bias ? bias.data() : nullptr,
                                        .y = y.data(),
                                        .y_row_stride = row_stride,
                                        .y_pixel_stride = pixel};
        table().tap_sums[type<TestType>](arguments);
        REQUIRE(y == expected);
        REQUIRE(y.intact());
      }
    }
  }
}
