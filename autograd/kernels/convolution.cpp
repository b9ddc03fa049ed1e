// Convolutions of images whose channels come last, read in place: the channels of neighbouring taps follow each other
// in memory, so that a window is a few long runs and needs no copy of its own.
#include "autograd/kernels/convolution_axis.h"
#include "autograd/kernels/convolution_micro.h"
#include "autograd/kernels/fill.h"

namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME {
namespace {

template <class T, class Arch>
struct Windows {
  static constexpr Index width = lanes<T, Arch>;
  static constexpr Index panel_columns = Tuning<T, Arch>::columns;

  // ---- the sums ----

  static void sums(const WindowSumArguments& p) {
    const Index panel_rows = 1 + p.runs * p.run_length;
    const T* const x = static_cast<const T*>(p.x);
    T* const y = static_cast<T*>(p.y);
    for (Index o = 0; o < p.channels; o += panel_columns) {
      const T* const panel = static_cast<const T*>(p.weight) + o * panel_rows;
      for (Index n = 0; n < p.images; ++n) {
        for (Index i = 0; i < p.rows; ++i) {
          row(p, x + n * p.x_image_stride + i * p.x_row_stride, panel, smaller(panel_columns, p.channels - o),
              y + n * p.y_image_stride + i * p.y_row_stride + o);
        }
      }
    }
  }

  /// One row of y, in the columns of one panel.
  static void row(const WindowSumArguments& p, const T* x, const T* panel, Index columns, T* y) {
    const bool is_whole = columns % width == 0;
    for_tiles<T, Arch>(p.columns, [&](Index first, Index rows) {
      // Tiles write whole registers; what lies behind the last column of y is not theirs.
      alignas(64) T edge[Tuning<T, Arch>::rows * panel_columns];
      T* const c = y + first * p.y_pixel_stride;
      run_tile_function<T, Arch>(rows, columns)({.runs = p.runs,
                                                 .run_offset = p.run_offset,
                                                 .run_length = p.run_length,
                                                 .a = x + first * p.x_pixel_stride,
                                                 .a_row_stride = p.x_pixel_stride,
                                                 .a_step = 1,
                                                 .b = panel + panel_columns,
                                                 .start = panel,
                                                 .c = is_whole ? c : edge,
                                                 .c_row_stride = is_whole ? p.y_pixel_stride : panel_columns,
                                                 .accumulate = false});
      if (!is_whole) copy_columns(edge, rows, columns, c, p.y_pixel_stride);
    });
  }

  static void copy_columns(const T* edge, Index rows, Index columns, T* y, Index y_pixel_stride) {
    for (Index i = 0; i < rows; ++i) {
      for (Index j = 0; j < columns; j += width) {
        const Batch<T, Arch> value = load_all<T, Arch>(edge + i * panel_columns + j);
        store_partial<T, Arch>(y + i * y_pixel_stride + j, value, smaller(width, columns - j));
      }
    }
  }

  // ---- the gradient in the weights ----

  /// Pixels of g that are turned into a panel at once: with what they meet of x, they fit the first cache.
  static constexpr Index block_pixels = 192;

  static void gradient(const WindowGradientArguments& p) {
    const Index pieces = (p.columns + block_pixels - 1) / block_pixels;
    const Index piece = (p.columns + pieces - 1) / pieces;
    const Index block_rows = piece < block_pixels ? block_pixels / piece : 1;
    for (Index i = 0; i < p.rows; i += block_rows) {
      for (Index j = 0; j < p.columns; j += piece) {
        block(p, i, smaller(block_rows, p.rows - i), j, smaller(piece, p.columns - j));
      }
    }
  }

  static void block(const WindowGradientArguments& p, Index row, Index rows, Index column, Index columns) {
    const Index depth = p.runs * p.run_length;
    for (Index o = 0; o < p.channels; o += panel_columns) {
      const Index outputs = smaller(panel_columns, p.channels - o);
      const T* const panel = pack(p, row, rows, column, columns, o, outputs);
      const T* const x = static_cast<const T*>(p.x) + column * p.x_pixel_stride;
      T* dweight = static_cast<T*>(p.dweight) + o * depth;
      for (Index t = 0; t < p.runs; ++t) {
        for_tiles<T, Arch>(p.run_length, [&](Index first, Index count) {
          run_tile_function<T, Arch>(count, outputs)({.runs = rows,
                                                      .run_offset = p.row_offset + row,
                                                      .run_length = columns,
                                                      .a = x + p.run_offset[t] + first,
                                                      .a_row_stride = 1,
                                                      .a_step = p.x_pixel_stride,
                                                      .b = panel,
                                                      .start = zeros,
                                                      .c = dweight + first * panel_columns,
                                                      .c_row_stride = panel_columns,
                                                      .accumulate = true});
        });
        dweight += p.run_length * panel_columns;
      }
    }
  }

  /// The pixels of a block in one piece, outputs o, ..., filled up with zeros to whole registers.
  static const T* pack(const WindowGradientArguments& p, Index row, Index rows, Index column, Index columns, Index o,
                       Index outputs) {
    const T* const g = static_cast<const T*>(p.g) + o;
    if (p.g_pixel_stride == panel_columns && outputs == panel_columns && (rows == 1 || columns == p.columns)) {
      return g + (row * p.columns + column) * panel_columns;
    }
    T* to = static_cast<T*>(p.workspace);
    for (Index i = 0; i < rows; ++i) {
      const T* from = g + ((row + i) * p.columns + column) * p.g_pixel_stride;
      for (Index j = 0; j < columns; ++j) {
        for (Index k = 0; k < outputs; k += width) {
          store_all<T, Arch>(to + k, outputs - k >= width ? load_all<T, Arch>(from + k)
                                                          : load_partial<T, Arch>(from + k, outputs - k));
        }
        from += p.g_pixel_stride;
        to += panel_columns;
      }
    }
    return static_cast<const T*>(p.workspace);
  }

  alignas(64) static constexpr T zeros[panel_columns] = {};
};

// ---- few outputs ----

/// A part of a row of y that stays in registers' reach while all taps are added.
constexpr Index line_columns = 128;

/// Adds the products under one tap to columns [first, first + count) of a row of y.
template <class T>
void add_tap(const T* plane_row, const ConvolutionAxis& across, Index tap, Index first, Index count, T* line) {
  const Index start = first * across.step + across.offset + tap * across.tap_step;
  const Span columns = inside(start, across.step, count, across.size);
  if (across.step == 1) {
    for (Index j = columns.begin; j < columns.end; ++j) line[j] += plane_row[start + j];
  } else {
    for (Index j = columns.begin; j < columns.end; ++j) line[j] += plane_row[start + j * across.step];
  }
}

template <class T, class Arch>
void tap_sums(const TapSumArguments& p) {
  for (Index i = p.begin; i < p.end; ++i) {
    const Span down = taps_inside(p.down, i);
    for (Index o = 0; o < p.channels; ++o) {
      const T start = p.bias ? static_cast<const T*>(p.bias)[o] : T(0);
      for (Index first = 0; first < p.columns; first += line_columns) {
        const Index count = smaller(line_columns, p.columns - first);
        T line[line_columns];
        for (Index j = 0; j < count; ++j) line[j] = start;
        for (Index a = down.begin; a < down.end; ++a) {
          const Index row = i * p.down.step + p.down.offset + a * p.down.tap_step - p.first_row;
          const T* plane_row =
              static_cast<const T*>(p.planes) + a * p.down_stride + o * p.channel_stride + row * p.across.size;
          for (Index b = 0; b < p.across.taps; ++b) {
            add_tap(plane_row + b * p.across_stride, p.across, b, first, count, line);
          }
        }
        T* const y = static_cast<T*>(p.y) + i * p.y_row_stride + first * p.y_pixel_stride + o;
        for (Index j = 0; j < count; ++j) y[j * p.y_pixel_stride] = line[j];
      }
    }
  }
}

template <class T, class Arch>
void fill_type(Table& table, int type) {
  using Kernels = Windows<T, Arch>;
  table.window_sums[type] = Kernels::sums;
  table.window_gradient[type] = Kernels::gradient;
  table.window_gradient_workspace_bytes[type] = Kernels::block_pixels * Kernels::panel_columns * sizeof(T);
  table.convolution_columns[type] = Kernels::panel_columns;
  table.tap_sums[type] = tap_sums<T, Arch>;
}

}  // namespace

void fill_convolution(Table& table) {
  fill_type<float, TargetArch>(table, 0);
  fill_type<double, TargetArch>(table, 1);
}

}  // namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME
