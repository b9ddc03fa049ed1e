// The three transforms of F(4 x 4, 3 x 3) against products with their matrices.
#include <algorithm>

#include "tests/kernels/support.h"

using namespace kernel_test;
using tapegrad::kernels::winograd_taps;
using tapegrad::kernels::winograd_tile;
using tapegrad::kernels::WinogradArguments;

namespace {

// Lavin and Gray's B', G and A', row by row.
constexpr double of_input[] = {4, 0,  -5, 0, 1, 0, 0, -4, -4, 1,  1, 0, 0, 4, -4, -1, 1, 0,
                               0, -2, -1, 2, 1, 0, 0, 2,  -1, -2, 1, 0, 0, 4, 0,  -5, 0, 1};
constexpr double of_weight[] = {1 / 4.0,  0,        0,       -1 / 6.0, -1 / 6.0,  -1 / 6.0, -1 / 6.0, 1 / 6.0, -1 / 6.0,
                                1 / 24.0, 1 / 12.0, 1 / 6.0, 1 / 24.0, -1 / 12.0, 1 / 6.0,  0,        0,       1};
constexpr double of_output[] = {1, 1, 1, 1, 1, 0, 0, 1, -1, 2, -2, 0, 0, 1, 1, 4, 4, 0, 0, 1, -1, 8, -8, 1};

// matrix * element(i, j) * its transpose, at row a and column b. The matrix has n columns.
template <class F>
double sandwiched(const double* matrix, Index n, Index a, Index b, F&& element) {
  double sum = 0;
  for (Index i = 0; i < n; ++i) {
    for (Index j = 0; j < n; ++j) sum += matrix[a * n + i] * element(i, j) * matrix[b * n + j];
  }
  return sum;
}

// Tiles 3 to 9 of images with gaps between their pixels, whose last row and column are cut off.
struct Layout {
  Index channels;
  Index height = 6, width = 9, down = 2, across = 3, begin = 3, end = 10;
  Index pixel_stride = channels + 3, size = 2 * height * width * pixel_stride;
  Index tile_stride = (channels + 15) / 16 * 16, tap_stride = (end - begin) * tile_stride + 5;

  WinogradArguments arguments() const {
    return {.height = height,
            .width = width,
            .channels = channels,
            .pixel_stride = pixel_stride,
            .down = down,
            .across = across,
            .begin = begin,
            .end = end,
            .tap_stride = tap_stride,
            .tile_stride = tile_stride};
  }
  // The place of pixel (i, j) counted from the first one of tile k.
  Index row(Index k, Index i) const { return k / across % down * winograd_tile + i; }
  Index column(Index k, Index j) const { return k % across * winograd_tile + j; }
  bool is_inside(Index i, Index j) const { return i >= 0 && i < height && j >= 0 && j < width; }
  Index pixel(Index k, Index i, Index j) const { return ((k / across / down * height + i) * width + j) * pixel_stride; }
  Index tap(Index t, Index k) const { return t * tap_stride + (k - begin) * tile_stride; }
};

void check_input(const Layout& l, Index first_row, Index first_column) {
  CAPTURE(l.channels, first_row, first_column);
  const Guarded<float> x = integers<float>(l.size, 1);
  Guarded<float> taps = zeros<float>(winograd_taps * l.tap_stride);
  WinogradArguments arguments = l.arguments();
  arguments.first_row = first_row;
  arguments.first_column = first_column;
  arguments.x = x.data();
  arguments.taps = taps.data();
  table().winograd_input(arguments);
  for (Index k = l.begin; k < l.end; ++k) {
    for (Index t = 0; t < winograd_taps; ++t) {
      for (Index c = 0; c < l.channels; ++c) {
        const double expected = sandwiched(of_input, 6, t / 6, t % 6, [&](Index i, Index j) {
          const Index row = l.row(k, i) + first_row, column = l.column(k, j) + first_column;
          return l.is_inside(row, column) ? static_cast<double>(x[l.pixel(k, row, column) + c]) : 0;
        });
        REQUIRE(static_cast<double>(taps[l.tap(t, k) + c]) == expected);
      }
    }
  }
  REQUIRE(taps.intact());
}

void check_output(const Layout& l, bool has_bias) {
  CAPTURE(l.channels, has_bias);
  Guarded<float> taps = integers<float>(winograd_taps * l.tap_stride, 1);
  const Guarded<float> bias = integers<float>(l.channels, 2);
  Guarded<float> y = integers<float>(l.size, 3);
  Guarded<float> expected = y;
  for (Index k = l.begin; k < l.end; ++k) {
    for (Index i = 0; i < winograd_tile; ++i) {
      for (Index j = 0; j < winograd_tile; ++j) {
        const Index row = l.row(k, i), column = l.column(k, j);
        for (Index c = 0; c < l.channels && l.is_inside(row, column); ++c) {
          const double sum = sandwiched(
              of_output, 6, i, j, [&](Index a, Index b) { return static_cast<double>(taps[l.tap(a * 6 + b, k) + c]); });
          expected[l.pixel(k, row, column) + c] =
              static_cast<float>(sum + (has_bias ? static_cast<double>(bias[c]) : 0));
        }
      }
    }
  }
  WinogradArguments arguments = l.arguments();
  arguments.taps = taps.data();
  arguments.bias = has_bias ? bias.data() : nullptr;
  arguments.y = y.data();
  table().winograd_output(arguments);
  REQUIRE(y == expected);  // also the gaps, and the tiles before and behind
  REQUIRE(y.intact());
}

}  // namespace

TEST_CASE("winograd: transform of the input", "[winograd]") {
  for (Index channels = 1; channels <= every_tail<float>; ++channels) check_input({channels}, -1, -1);
  for (const Index row : {-9, -2, 0, 1}) check_input({5}, row, -row);
}

TEST_CASE("winograd: transform of the output", "[winograd]") {
  for (Index channels = 1; channels <= every_tail<float>; ++channels) {
    check_output({channels}, false);
    check_output({channels}, true);
  }
}

TEST_CASE("winograd: transform of the weight", "[winograd]") {
  const Index n = 2 * table().convolution_columns[0], stride = n + 3;
  const Guarded<float> weight = reals<float>(9 * stride, 1);
  Guarded<float> taps = zeros<float>(winograd_taps * stride);
  table().winograd_weight(
      {.n = n, .weight = weight.data(), .weight_stride = stride, .taps = taps.data(), .tap_stride = stride});
  for (Index t = 0; t < winograd_taps; ++t) {
    for (Index k = 0; k < stride; ++k) {
      const double expected = sandwiched(of_weight, 3, t / 6, t % 6, [&](Index i, Index j) {
        return static_cast<double>(weight[(3 * i + j) * stride + k]);
      });
      REQUIRE(near(taps[t * stride + k], k < n ? expected : 0, 8, 0.1));
    }
  }
  REQUIRE(taps.intact());
}
