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

  /// Three neighbouring taps, pixel by pixel, that reach over each edge by one at most: neighbours of y then read the
  /// same pixels of x.
  bool shares_pixels() const {
    return p.across.step == 1 && p.across.tap_step == 1 && p.across.taps == 3 && p.across.offset >= -1 &&
           p.columns + p.across.offset + 2 <= p.across.size + 1;
  }

  /// Calls body(column, pixel) for those of pixels j, ..., j + Count + 1 of a row, as three taps see them, that exist.
  template <int Count, class F>
  TAPEGRAD_INLINE void for_neighbours(const T* row, Index j, F body) const {
    const Index first = j + p.across.offset;
    const Index stride = p.channels;
    const T* const x = row + first * stride;
    if (first >= 0) body(std::integral_constant<int, 0>{}, channels.load(x));
    static_for<Count>([&](auto k) TAPEGRAD_INLINE_LAMBDA {
      body(std::integral_constant<int, k + 1>{}, channels.load(x + (k + 1) * stride));
    });
    if (first + Count + 1 < p.across.size) {
      body(std::integral_constant<int, Count + 1>{}, channels.load(x + (Count + 1) * stride));
    }
  }

  // ---- ahead ----

  /// Fetches the part of a row that is next. A register of channels is a part of each pixel: its lines are too far
  /// apart for the processor to foresee.
  template <bool Write>
  TAPEGRAD_INLINE void fetch_ahead(Index i, Span columns) const {
    const Index row = smaller(row_of(i, p.down.taps - 1), p.down.size - 1);
    const Index x_stride = p.across.step * p.channels;
    const Index y_stride = p.y_pixel_stride;
    const T* x = pixel(row, column_of(columns.end, p.across.taps - 1));
    const T* y = output(i, columns.end);
    for (Index j = columns.end - columns.begin; j > 0; --j, x += x_stride, y += y_stride) {
      __builtin_prefetch(x);
      __builtin_prefetch(y, Write);
    }
  }

  // ---- the sums ----

  void sum(Index i, Span columns) const {
    constexpr Index group = 8;
    fetch_ahead<true>(i, columns);
    if (shares_pixels() && p.columns >= group) {
      // The last group begins early and repeats what the one before did.
      for (Index j = columns.begin; j < columns.end; j += group)
        sum_neighbours<group>(i, smaller(j, p.columns - group));
      return;
    }
    const Span inner = inner_part(columns);
    for (Index j = columns.begin; j < inner.begin; ++j) sum_pixels<1>(i, j, taps_inside(p.across, j));
    Index j = inner.begin;
    for (; j < inner.end && whole.end - whole.begin >= group; j += group) {
      sum_pixels<group>(i, smaller(j, whole.end - group), {0, p.across.taps});
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
    store<Count>(i, j, sum);
  }

  /// The same sums, term by term, where pixels are shared.
  template <int Count>
  TAPEGRAD_INLINE void sum_neighbours(Index i, Index j) const {
    Vector sum[Count];
    const Vector start = p.bias ? channels.load(static_cast<const T*>(p.bias) + first_channel) : Vector(T(0));
    static_for<Count>([&](auto k) TAPEGRAD_INLINE_LAMBDA { sum[k] = start; });
    const Index stride = p.channels;
    for (Index a = down.begin; a < down.end; ++a) {
      const T* const w = weight(a, 0);
      const Vector factor[3] = {channels.load(w), channels.load(w + stride), channels.load(w + 2 * stride)};
      for_neighbours<Count>(pixel(row_of(i, a), 0), j, [&](auto column, Vector value) TAPEGRAD_INLINE_LAMBDA {
        static_for<3>([&](auto b) TAPEGRAD_INLINE_LAMBDA {
          constexpr int k = column - b;
          if constexpr (k >= 0 && k < Count) sum[k] = fmadd(value, factor[b], sum[k]);
        });
      });
    }
    store<Count>(i, j, sum);
  }

  template <int Count>
  TAPEGRAD_INLINE void store(Index i, Index j, const Vector (&sum)[Count]) const {
    T* const y = output(i, j);
    const Index stride = p.y_pixel_stride;
    static_for<Count>([&](auto k) TAPEGRAD_INLINE_LAMBDA { channels.store(y + k * stride, sum[k]); });
  }

  // ---- the gradient in the weight ----

  void add(Index i, Span columns) const {
    fetch_ahead<false>(i, columns);
    if (shares_pixels()) {
      for (Index a = down.begin; a < down.end; ++a) add_neighbours(i, a, columns);
      return;
    }
    const Span inner = inner_part(columns);
    for (Index a = down.begin; a < down.end; ++a) {
      Index b = 0;
      for (; b + 3 <= p.across.taps; b += 3) add_taps<3>(i, a, b, inner);
      for (; b < p.across.taps; ++b) add_taps<1>(i, a, b, inner);
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
  TAPEGRAD_INLINE void add_neighbours(Index i, Index a, Span columns) const {
    constexpr int group = 4;
    Vector sum[2][3];
    static_for<3>([&](auto b) TAPEGRAD_INLINE_LAMBDA { sum[0][b] = sum[1][b] = Vector(T(0)); });
    const T* const row = pixel(row_of(i, a), 0);
    const T* g = output(i, columns.begin);
    const Index stride = p.y_pixel_stride;
    const auto add = [&](auto count, Index j) TAPEGRAD_INLINE_LAMBDA {
      Vector factor[group];
      static_for<count>([&](auto k) TAPEGRAD_INLINE_LAMBDA { factor[k] = channels.load(g + k * stride); });
      for_neighbours<count>(row, j, [&](auto column, Vector value) TAPEGRAD_INLINE_LAMBDA {
        static_for<3>([&](auto b) TAPEGRAD_INLINE_LAMBDA {
          constexpr int k = column - b;
          if constexpr (k >= 0 && k < count) sum[k % 2][b] = fmadd(value, factor[k], sum[k % 2][b]);
        });
      });
      g += count * stride;
    };
    Index j = columns.begin;
    for (; j + group <= columns.end; j += group) add(std::integral_constant<int, group>{}, j);
    for (; j < columns.end; ++j) add(std::integral_constant<int, 1>{}, j);
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
