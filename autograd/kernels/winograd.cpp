// Convolutions with 3 x 3 taps by Winograd's F(4 x 4, 3 x 3): a tile of 4 x 4 pixels of y from 6 x 6 pixels of x with
// 36 products of channels instead of 144 (Lavin and Gray, "Fast algorithms for convolutional neural networks", 2016).
//
//     y = A' [(G w G') * (B' x B)] A,    * element by element, summed over the channels of x
//
// The three matrices are those of the points 0, 1, -1, 2, -2 and infinity. Here are their products with a vector, and
// in two dimensions with the columns first, then with the rows; docs/convolutions.md says where they come from.
#include "autograd/kernels/convolution_axis.h"
#include "autograd/kernels/fill.h"

namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME {
namespace {

constexpr int tile = winograd_tile;
constexpr int span = tile + 2;

template <class Arch>
struct Winograd {
  using Vector = Batch<float, Arch>;
  static constexpr Index width = lanes<float, Arch>;

  static TAPEGRAD_INLINE Vector add(float a, Vector x, Vector y) { return fmadd<float, Arch>(Vector(a), x, y); }
  static TAPEGRAD_INLINE Vector subtract(float a, Vector x, Vector y) { return fnmadd<float, Arch>(Vector(a), x, y); }

  // ---- one dimension ----

  struct Input {
    static constexpr int in = span, out = span;
    static TAPEGRAD_INLINE void apply(const Vector* d, Vector* v) {
      const Vector even1 = subtract(4, d[2], d[4]), odd1 = subtract(4, d[1], d[3]);
      const Vector even2 = d[4] - d[2], odd2 = d[3] - d[1];
      v[0] = add(4, d[0], subtract(5, d[2], d[4]));
      v[1] = even1 + odd1;
      v[2] = even1 - odd1;
      v[3] = add(2, odd2, even2);
      v[4] = subtract(2, odd2, even2);
      v[5] = add(4, d[1], subtract(5, d[3], d[5]));
    }
  };

  struct Weight {
    static constexpr int in = 3, out = span;
    static TAPEGRAD_INLINE void apply(const Vector* w, Vector* u) {
      const Vector even1 = (w[0] + w[2]) * Vector(-1 / 6.0F);
      const Vector even2 = add(4, w[2], w[0]) * Vector(1 / 24.0F);
      u[0] = w[0] * Vector(0.25F);
      u[1] = subtract(1 / 6.0F, w[1], even1);
      u[2] = add(1 / 6.0F, w[1], even1);
      u[3] = add(1 / 12.0F, w[1], even2);
      u[4] = subtract(1 / 12.0F, w[1], even2);
      u[5] = w[2];
    }
  };

  struct Output {
    static constexpr int in = span, out = tile;
    static TAPEGRAD_INLINE void apply(const Vector* m, Vector* y) {
      const Vector even1 = m[1] + m[2], odd1 = m[1] - m[2];
      const Vector even2 = m[3] + m[4], odd2 = m[3] - m[4];
      y[0] = m[0] + even1 + even2;
      y[1] = add(2, odd2, odd1);
      y[2] = add(4, even2, even1);
      y[3] = add(8, odd2, odd1 + m[5]);
    }
  };

  // ---- two dimensions ----

  /// Rows and columns of registers in memory.
  struct Grid {
    Index row, column;
  };

  /// Not inlined: one copy of each of these bodies, for tiles inside of an image and for those at its edges. `bias` is
  /// of the output only.
  template <class OneD>
  static __attribute__((noinline)) void transform(const float* from, Grid from_strides, float* to, Grid to_strides,
                                                  Vector bias = Vector(0.0F)) {
    Vector half[OneD::out][OneD::in];
    static_for<OneD::in>([&](auto j) TAPEGRAD_INLINE_LAMBDA {
      Vector column[OneD::in], result[OneD::out];
      static_for<OneD::in>([&](auto i) TAPEGRAD_INLINE_LAMBDA {
        column[i] = load_all<float, Arch>(from + i * from_strides.row + j * from_strides.column);
      });
      OneD::apply(column, result);
      static_for<OneD::out>([&](auto i) TAPEGRAD_INLINE_LAMBDA { half[i][j] = result[i]; });
    });
    static_for<OneD::out>([&](auto i) TAPEGRAD_INLINE_LAMBDA {
      Vector result[OneD::out];
      OneD::apply(half[i], result);
      static_for<OneD::out>([&](auto j) TAPEGRAD_INLINE_LAMBDA {
        if constexpr (std::is_same_v<OneD, Output>) result[j] += bias;
        store_all<float, Arch>(to + i * to_strides.row + j * to_strides.column, result[j]);
      });
    });
  }

  static constexpr Grid of_taps(Index stride) { return {span * stride, stride}; }

  // ---- tiles ----

  static void weight(const WinogradWeightArguments& p) {
    for (Index k = 0; k < p.n; k += width) {
      transform<Weight>(static_cast<const float*>(p.weight) + k, {3 * p.weight_stride, p.weight_stride},
                        static_cast<float*>(p.taps) + k, of_taps(p.tap_stride));
    }
  }

  static void input(const WinogradArguments& p) {
    for (Index k = p.begin; k < p.end; ++k) {
      const Index row = k / p.across % p.down * tile + p.first_row;
      const Index column = k % p.across * tile + p.first_column;
      const Span rows = inside(row, 1, span, p.height);
      const Span columns = inside(column, 1, span, p.width);
      const bool is_whole = rows.end - rows.begin == span && columns.end - columns.begin == span;
      const Index first = ((k / p.across / p.down * p.height + row) * p.width + column) * p.pixel_stride;
      const float* const x = static_cast<const float*>(p.x);
      float* const to = static_cast<float*>(p.taps) + (k - p.begin) * p.tile_stride;
      for (Index c = 0; c < p.channels; c += width) {
        if (is_whole && p.channels - c >= width) {
          transform<Input>(x + first + c, {p.width * p.pixel_stride, p.pixel_stride}, to + c, of_taps(p.tap_stride));
          continue;
        }
        alignas(64) float patch[span * span * width] = {};
        for (Index i = rows.begin; i < rows.end; ++i) {
          for (Index j = columns.begin; j < columns.end; ++j) {
            const float* const from = x + (first + (i * p.width + j) * p.pixel_stride + c);
            store_all<float, Arch>(patch + (i * span + j) * width, load_up_to(from, p.channels - c));
          }
        }
        transform<Input>(patch, of_taps(width), to + c, of_taps(p.tap_stride));
      }
    }
  }

  static void output(const WinogradArguments& p) {
    for (Index k = p.begin; k < p.end; ++k) {
      const Index row = k / p.across % p.down * tile;
      const Index column = k % p.across * tile;
      const Index rows = smaller(tile, p.height - row);
      const Index columns = smaller(tile, p.width - column);
      const Index first = ((k / p.across / p.down * p.height + row) * p.width + column) * p.pixel_stride;
      float* const y = static_cast<float*>(p.y) + first;
      const float* const from = static_cast<const float*>(p.taps) + (k - p.begin) * p.tile_stride;
      for (Index c = 0; c < p.channels; c += width) {
        const Index count = p.channels - c;
        const Vector bias = p.bias ? load_up_to(static_cast<const float*>(p.bias) + c, count) : Vector(0.0F);
        if (rows == tile && columns == tile && count >= width) {
          transform<Output>(from + c, of_taps(p.tap_stride), y + c, {p.width * p.pixel_stride, p.pixel_stride}, bias);
          continue;
        }
        alignas(64) float patch[tile * tile * width];
        transform<Output>(from + c, of_taps(p.tap_stride), patch, {tile * width, width}, bias);
        for (Index i = 0; i < rows; ++i) {
          for (Index j = 0; j < columns; ++j) {
            store_partial<float, Arch>(y + (i * p.width + j) * p.pixel_stride + c,
                                       load_all<float, Arch>(patch + (i * tile + j) * width), smaller(width, count));
          }
        }
      }
    }
  }

  static TAPEGRAD_INLINE Vector load_up_to(const float* from, Index count) {
    return count >= width ? load_all<float, Arch>(from) : load_partial<float, Arch>(from, count);
  }
};

}  // namespace

void fill_winograd(Table& table) {
  table.winograd_weight = Winograd<TargetArch>::weight;
  table.winograd_input = Winograd<TargetArch>::input;
  table.winograd_output = Winograd<TargetArch>::output;
}

}  // namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME
