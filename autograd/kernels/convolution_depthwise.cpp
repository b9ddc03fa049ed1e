// Convolutions of every channel by itself: registers run over channels, and each image is read in place. Windows that
// reach over the edge of the image leave out what lies outside.
#include "autograd/kernels/convolution_axis.h"
#include "autograd/kernels/fill.h"

namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME {
namespace {

/// Those of `count` positions that read inside of the image under every tap.
constexpr Span whole_positions(const ConvolutionAxis& axis, Index count) {
  const Span low = inside(axis.offset, axis.step, count, axis.size);
  const Span high = inside(axis.offset + (axis.taps - 1) * axis.tap_step, axis.step, count, axis.size);
  const Index begin = larger(low.begin, high.begin);
  return {begin, larger(begin, smaller(low.end, high.end))};
}

/// Loads and stores of one register of channels, of which Tail says that only the first `count` exist.
template <class T, class Arch, bool Tail>
struct Channels {
  using Vector = Batch<T, Arch>;
  Index count;

  TAPEGRAD_INLINE Vector load(const T* from) const {
    if constexpr (Tail) {
      return load_partial<T, Arch>(from, count);
    } else {
      return load_all<T, Arch>(from);
    }
  }
  TAPEGRAD_INLINE void store(T* to, Vector value) const {
    if constexpr (Tail) {
      store_partial<T, Arch>(to, value, count);
    } else {
      store_all<T, Arch>(to, value);
    }
  }
};

template <class T, class Arch, bool Tail>
struct Depthwise {
  using Vector = Batch<T, Arch>;

  const DepthwiseArguments& p;
  Channels<T, Arch, Tail> channels;
  Index first_channel;
  Span whole;  ///< pixels of a row that read inside of the image under all taps across
  Span down;   ///< taps down that read inside of it

  const T* pixel(Index row, Index column) const {
    return static_cast<const T*>(p.x) + (row * p.across.size + column) * p.channels + first_channel;
  }
  T* weight(Index a, Index b) const {
    return static_cast<T*>(p.weight) + (a * p.across.taps + b) * p.channels + first_channel;
  }
  T* output(Index i, Index j) const {
    return static_cast<T*>(p.y) + i * p.y_row_stride + j * p.y_pixel_stride + first_channel;
  }
  Index row_of(Index i, Index a) const { return i * p.down.step + p.down.offset + a * p.down.tap_step; }
  Index column_of(Index j, Index b) const { return j * p.across.step + p.across.offset + b * p.across.tap_step; }

  /// Those of some columns that read inside of the image under all taps across.
  Span inner_part(Span columns) const {
    const Index begin = smaller(larger(columns.begin, whole.begin), columns.end);
    return {begin, larger(begin, smaller(columns.end, whole.end))};
  }

  /// Three neighbouring taps, pixel by pixel: neighbours of y then read the same pixels of x.
  bool shares_pixels() const { return p.across.step == 1 && p.across.tap_step == 1 && p.across.taps == 3; }

  // ---- the sums ----

  void sum(Index i, Span columns) const {
    constexpr Index group = 8;
    const Span inner = inner_part(columns);
    for (Index j = columns.begin; j < inner.begin; ++j) sum_pixels<1>(i, j, taps_inside(p.across, j));
    Index j = inner.begin;
    for (; j < inner.end && whole.end - whole.begin >= group; j += group) {
      // The last group begins early and repeats what the one before did.
      const Index first = smaller(j, whole.end - group);
      if (shares_pixels()) {
        sum_neighbours<group>(i, first);
      } else {
        sum_pixels<group>(i, first, {0, p.across.taps});
      }
    }
    for (; j < inner.end; ++j) sum_pixels<1>(i, j, {0, p.across.taps});
    for (j = inner.end; j < columns.end; ++j) sum_pixels<1>(i, j, taps_inside(p.across, j));
  }

  /// `Count` neighbours of y share the loads of the weights.
  template <int Count>
  TAPEGRAD_INLINE void sum_pixels(Index i, Index j, Span across) const {
    Vector sum[Count];
    const Vector start = p.bias ? channels.load(static_cast<const T*>(p.bias) + first_channel) : Vector(T(0));
    static_for<Count>([&](auto k) TAPEGRAD_INLINE_LAMBDA { sum[k] = start; });
    const Index step = p.across.step * p.channels;
    for (Index a = down.begin; a < down.end; ++a) {
      const T* x = pixel(row_of(i, a), column_of(j, across.begin));
      const T* w = weight(a, across.begin);
      for (Index b = across.begin; b < across.end; ++b) {
        const Vector factor = channels.load(w);
        static_for<Count>([&](auto k)
                              TAPEGRAD_INLINE_LAMBDA { sum[k] = fmadd(channels.load(x + k * step), factor, sum[k]); });
        x += p.across.tap_step * p.channels;
        w += p.channels;
      }
    }
    static_for<Count>([&](auto k) TAPEGRAD_INLINE_LAMBDA { channels.store(output(i, j + k), sum[k]); });
  }

  /// The same sums, term by term, where pixels are shared.
  template <int Count>
  TAPEGRAD_INLINE void sum_neighbours(Index i, Index j) const {
    Vector sum[Count];
    const Vector start = p.bias ? channels.load(static_cast<const T*>(p.bias) + first_channel) : Vector(T(0));
    static_for<Count>([&](auto k) TAPEGRAD_INLINE_LAMBDA { sum[k] = start; });
    for (Index a = down.begin; a < down.end; ++a) {
      const T* const x = pixel(row_of(i, a), column_of(j, 0));
      const T* const w = weight(a, 0);
      const Vector factor[3] = {channels.load(w), channels.load(w + p.channels), channels.load(w + 2 * p.channels)};
      static_for<Count + 2>([&](auto column) TAPEGRAD_INLINE_LAMBDA {
        const Vector value = channels.load(x + column * p.channels);
        static_for<3>([&](auto b) TAPEGRAD_INLINE_LAMBDA {
          constexpr int k = column - b;
          if constexpr (k >= 0 && k < Count) sum[k] = fmadd(value, factor[b], sum[k]);
        });
      });
    }
    static_for<Count>([&](auto k) TAPEGRAD_INLINE_LAMBDA { channels.store(output(i, j + k), sum[k]); });
  }

  // ---- the gradient in the weight ----

  void add(Index i, Span columns) const {
    const Span inner = inner_part(columns);
    for (Index a = down.begin; a < down.end; ++a) {
      if (shares_pixels()) {
        add_neighbours(i, a, inner);
      } else {
        Index b = 0;
        for (; b + 3 <= p.across.taps; b += 3) add_taps<3>(i, a, b, inner);
        for (; b < p.across.taps; ++b) add_taps<1>(i, a, b, inner);
      }
      for (Index j = columns.begin; j < inner.begin; ++j) add_pixel(i, j, a);
      for (Index j = inner.end; j < columns.end; ++j) add_pixel(i, j, a);
    }
  }

  /// `Count` neighbouring taps share the loads of the gradient of y. Two sums for each, so that fewer multiply-adds
  /// wait for the one before.
  template <int Count>
  TAPEGRAD_INLINE void add_taps(Index i, Index a, Index b, Span inner) const {
    Vector sum[2][Count];
    static_for<Count>([&](auto k) TAPEGRAD_INLINE_LAMBDA { sum[0][k] = sum[1][k] = Vector(T(0)); });
    const Index step = p.across.step * p.channels;
    const Index tap_step = p.across.tap_step * p.channels;
    const T* x = pixel(row_of(i, a), column_of(inner.begin, b));
    const T* g = output(i, inner.begin);
    const auto add = [&](auto which) TAPEGRAD_INLINE_LAMBDA {
      const Vector factor = channels.load(g);
      static_for<Count>([&](auto k) TAPEGRAD_INLINE_LAMBDA {
        sum[which][k] = fmadd(channels.load(x + k * tap_step), factor, sum[which][k]);
      });
      x += step;
      g += p.y_pixel_stride;
    };
    Index j = inner.begin;
    for (; j + 2 <= inner.end; j += 2) {
      add(std::integral_constant<int, 0>{});
      add(std::integral_constant<int, 1>{});
    }
    if (j < inner.end) add(std::integral_constant<int, 0>{});
    static_for<Count>([&](auto k) TAPEGRAD_INLINE_LAMBDA {
      T* const w = weight(a, b + k);
      channels.store(w, channels.load(w) + (sum[0][k] + sum[1][k]));
    });
  }

  /// All three taps of one row of the window, where pixels are shared.
  TAPEGRAD_INLINE void add_neighbours(Index i, Index a, Span inner) const {
    constexpr int group = 4;
    Vector sum[2][3];
    static_for<3>([&](auto b) TAPEGRAD_INLINE_LAMBDA { sum[0][b] = sum[1][b] = Vector(T(0)); });
    const T* x = pixel(row_of(i, a), column_of(inner.begin, 0));
    const T* g = output(i, inner.begin);
    const auto add = [&](auto count) TAPEGRAD_INLINE_LAMBDA {
      Vector factor[group];
      static_for<count>([&](auto k) TAPEGRAD_INLINE_LAMBDA { factor[k] = channels.load(g + k * p.y_pixel_stride); });
      static_for<count + 2>([&](auto column) TAPEGRAD_INLINE_LAMBDA {
        const Vector value = channels.load(x + column * p.channels);
        static_for<3>([&](auto b) TAPEGRAD_INLINE_LAMBDA {
          constexpr int k = column - b;
          if constexpr (k >= 0 && k < count) sum[k % 2][b] = fmadd(value, factor[k], sum[k % 2][b]);
        });
      });
      x += count * p.channels;
      g += count * p.y_pixel_stride;
    };
    Index j = inner.begin;
    for (; j + group <= inner.end; j += group) add(std::integral_constant<int, group>{});
    for (; j < inner.end; ++j) add(std::integral_constant<int, 1>{});
    static_for<3>([&](auto b) TAPEGRAD_INLINE_LAMBDA {
      T* const w = weight(a, b);
      channels.store(w, channels.load(w) + (sum[0][b] + sum[1][b]));
    });
  }

  /// All taps of one row of the window at a pixel near the edge.
  void add_pixel(Index i, Index j, Index a) const {
    const Vector factor = channels.load(output(i, j));
    const Span across = taps_inside(p.across, j);
    for (Index b = across.begin; b < across.end; ++b) {
      T* const w = weight(a, b);
      channels.store(w, fmadd(channels.load(pixel(row_of(i, a), column_of(j, b))), factor, channels.load(w)));
    }
  }
};

/// Calls body(kernels of one register of channels, row, columns) for all of them, in the order in which they lie in
/// memory: the processor then foresees what is read next.
template <class T, class Arch, class F>
TAPEGRAD_INLINE void for_parts(const DepthwiseArguments& p, F body) {
  constexpr Index width = lanes<T, Arch>;
  constexpr Index part_columns = 8;
  const Span whole = whole_positions(p.across, p.columns);
  for (Index i = p.begin; i < p.end; ++i) {
    const Span down = taps_inside(p.down, i);
    for (Index j = 0; j < p.columns; j += part_columns) {
      const Span columns = {j, smaller(j + part_columns, p.columns)};
      Index c = 0;
      for (; c + width <= p.channels; c += width) {
        body(Depthwise<T, Arch, false>{p, {width}, c, whole, down}, i, columns);
      }
      if (c < p.channels) body(Depthwise<T, Arch, true>{p, {p.channels - c}, c, whole, down}, i, columns);
    }
  }
}

template <class T, class Arch>
void depthwise_sums(const DepthwiseArguments& p) {
  for_parts<T, Arch>(p, [](const auto& kernels, Index i, Span columns) { kernels.sum(i, columns); });
}

template <class T, class Arch>
void depthwise_gradient(const DepthwiseArguments& p) {
  for_parts<T, Arch>(p, [](const auto& kernels, Index i, Span columns) { kernels.add(i, columns); });
}

template <class T, class Arch>
void fill_type(Table& table, int type) {
  table.depthwise_sums[type] = depthwise_sums<T, Arch>;
  table.depthwise_gradient[type] = depthwise_gradient<T, Arch>;
}

}  // namespace

void fill_convolution_depthwise(Table& table) {
  fill_type<float, TargetArch>(table, 0);
  fill_type<double, TargetArch>(table, 1);
}

}  // namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME
