// Pooling and resampling of images with channels last: registers hold neighbouring channels of one pixel, so that a
// window is a loop over pixels, and what the windows are is a matter of tables of offsets.
#include "autograd/kernels/fill.h"

namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME {
namespace {

/// Registers that take one walk over a window together.
constexpr int wide = 4;

/// An integer as wide as T: what holds the number of a tap in a lane.
template <class T>
using LaneInteger = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;

/// Neighbouring channels: `vectors` whole registers, or the first `count` lanes of one.
template <class T, class Arch, int vectors, bool partial>
struct Channels {
  static constexpr int registers = vectors;
  static constexpr Index width = lanes<T, Arch>;
  using Integer = LaneInteger<T>;
  Index count;

  template <int k>
  TAPEGRAD_INLINE Batch<T, Arch> load(const T* from) const {
    if constexpr (partial) {
      return load_partial<T, Arch>(from, count);
    } else {
      return load_all<T, Arch>(from + k * width);
    }
  }

  template <int k>
  TAPEGRAD_INLINE void store(T* to, Batch<T, Arch> value) const {
    if constexpr (partial) {
      store_partial<T, Arch>(to, value, count);
    } else {
      store_all<T, Arch>(to + k * width, value);
    }
  }

  template <class Stored>
  TAPEGRAD_INLINE void load_numbers(const Stored* from, Batch<Integer, Arch> (&numbers)[vectors]) const {
    alignas(64) Integer lane[vectors * width];
    for (Index i = 0; i < (partial ? count : vectors * width); ++i) {
      lane[i] = from[i];
    }
    static_for<vectors>(
        [&](auto k) TAPEGRAD_INLINE_LAMBDA { numbers[k] = Batch<Integer, Arch>::load_aligned(lane + k * width); });
  }

  template <class Stored>
  TAPEGRAD_INLINE void store_numbers(Stored* to, const Batch<T, Arch> (&numbers)[vectors]) const {
    alignas(64) Integer lane[vectors * width];
    static_for<vectors>([&](auto k)
                            TAPEGRAD_INLINE_LAMBDA { bitcast<Integer>(numbers[k]).store_aligned(lane + k * width); });
    for (Index i = 0; i < (partial ? count : vectors * width); ++i) {
      to[i] = static_cast<Stored>(lane[i]);
    }
  }
};

/// The taps of one position of the result.
template <class Tap>
struct Window {
  const Tap* row;
  const Tap* last_row;
  const Tap* column;
  const Tap* last_column;
};

/// Calls body(channels, window, from, to): for one pixel of the result and some of its channels, with the offsets of
/// these in one image of `from` and in the whole of `to`.
template <class T, class Arch, class Arguments, class F>
TAPEGRAD_INLINE void for_each_pixel(const Arguments& a, F&& body) {
  using Tap = std::remove_cvref_t<decltype(*a.height.taps)>;
  constexpr Index width = lanes<T, Arch>;
  Index to = a.begin * a.width.positions * a.channels;
  for (Index row = a.begin; row < a.end; ++row) {
    const Index image = row / a.height.positions;
    const Index i = row - image * a.height.positions;
    for (Index j = 0; j < a.width.positions; ++j) {
      const Window<Tap> window{a.height.taps + a.height.first[i], a.height.taps + a.height.first[i + 1],
                               a.width.taps + a.width.first[j], a.width.taps + a.width.first[j + 1]};
      const Index from = image * a.from_image;
      Index c = 0;
      for (; c + wide * width <= a.channels; c += wide * width) {
        body(Channels<T, Arch, wide, false>{width}, window, i, j, from + c, to + c);
      }
      for (; c + width <= a.channels; c += width) {
        body(Channels<T, Arch, 1, false>{width}, window, i, j, from + c, to + c);
      }
      if (c < a.channels) {
        body(Channels<T, Arch, 1, true>{a.channels - c}, window, i, j, from + c, to + c);
      }
      to += a.channels;
    }
  }
}

// ---- the largest element ----

template <class T, class Arch, class Stored>
void max_pool_index(const MaxPoolArguments& a) {
  using Register = Batch<T, Arch>;
  using Integers = Batch<LaneInteger<T>, Arch>;
  for_each_pixel<T, Arch>(
      a, [&](auto channels, auto window, Index, Index, Index from, Index to) TAPEGRAD_INLINE_LAMBDA {
        constexpr int vectors = decltype(channels)::registers;
        const bool is_empty = window.row == window.last_row || window.column == window.last_column;
        Register best[vectors];
        Register number[vectors];  // the bits of integers: they are moved only
        static_for<vectors>([&](auto k) TAPEGRAD_INLINE_LAMBDA {
          best[k] = Register(-std::numeric_limits<T>::infinity());
          number[k] = bitcast<T>(Integers(is_empty ? -1 : window.row->number + window.column->number));
        });
        for (const WindowTap* row = window.row; row != window.last_row; ++row) {
          for (const WindowTap* column = window.column; column != window.last_column; ++column) {
            const T* x = static_cast<const T*>(a.from) + from + row->offset + column->offset;
            const Register here = bitcast<T>(Integers(row->number + column->number));
            static_for<vectors>([&](auto k) TAPEGRAD_INLINE_LAMBDA {
              const Register value = channels.template load<k>(x);
              const auto is_better = (value > best[k]) | is_nan(value);
              best[k] = select(is_better, value, best[k]);
              number[k] = select(is_better, here, number[k]);
            });
          }
        }
        static_for<vectors>(
            [&](auto k) TAPEGRAD_INLINE_LAMBDA { channels.template store<k>(static_cast<T*>(a.to) + to, best[k]); });
        channels.store_numbers(static_cast<Stored*>(a.index) + to, number);
      });
}

template <class T, class Arch>
void max_pool_values(const MaxPoolArguments& a) {
  using Register = Batch<T, Arch>;
  for_each_pixel<T, Arch>(
      a, [&](auto channels, auto window, Index, Index, Index from, Index to) TAPEGRAD_INLINE_LAMBDA {
        constexpr int vectors = decltype(channels)::registers;
        Register best[vectors];
        static_for<vectors>([&](auto k)
                                TAPEGRAD_INLINE_LAMBDA { best[k] = Register(-std::numeric_limits<T>::infinity()); });
        for (const WindowTap* row = window.row; row != window.last_row; ++row) {
          for (const WindowTap* column = window.column; column != window.last_column; ++column) {
            const T* x = static_cast<const T*>(a.from) + from + row->offset + column->offset;
            static_for<vectors>([&](auto k) TAPEGRAD_INLINE_LAMBDA {
              const Register value = channels.template load<k>(x);
              best[k] = select((value > best[k]) | is_nan(value), value, best[k]);
            });
          }
        }
        static_for<vectors>(
            [&](auto k) TAPEGRAD_INLINE_LAMBDA { channels.template store<k>(static_cast<T*>(a.to) + to, best[k]); });
      });
}

template <class T, class Arch>
void max_pool(const MaxPoolArguments& a) {
  if (a.index == nullptr) return max_pool_values<T, Arch>(a);
  if (a.has_wide_index) return max_pool_index<T, Arch, std::int32_t>(a);
  max_pool_index<T, Arch, std::uint8_t>(a);
}

/// The sum of the elements of a window whose number is that of the index, which lies beside `to` or beside `from`.
template <class T, class Arch, class Stored, bool index_beside_to>
void add_numbered(const MaxPoolArguments& a) {
  using Register = Batch<T, Arch>;
  using Integer = LaneInteger<T>;
  using Integers = Batch<Integer, Arch>;
  for_each_pixel<T, Arch>(
      a, [&](auto channels, auto window, Index, Index, Index from, Index to) TAPEGRAD_INLINE_LAMBDA {
        constexpr int vectors = decltype(channels)::registers;
        Register sum[vectors];
        static_for<vectors>([&](auto k) TAPEGRAD_INLINE_LAMBDA { sum[k] = Register(T(0)); });
        Integers number[vectors];
        if constexpr (index_beside_to) {
          channels.load_numbers(static_cast<const Stored*>(a.index) + to, number);
        }
        for (const WindowTap* row = window.row; row != window.last_row; ++row) {
          for (const WindowTap* column = window.column; column != window.last_column; ++column) {
            const Index at = from + row->offset + column->offset;
            const Integers here(row->number + column->number);
            if constexpr (!index_beside_to) {
              channels.load_numbers(static_cast<const Stored*>(a.index) + at, number);
            }
            static_for<vectors>([&](auto k) TAPEGRAD_INLINE_LAMBDA {
              const Integers value = bitcast<Integer>(channels.template load<k>(static_cast<const T*>(a.from) + at));
              sum[k] += bitcast<T>(select(number[k] == here, value, Integers(Integer(0))));
            });
          }
        }
        static_for<vectors>(
            [&](auto k) TAPEGRAD_INLINE_LAMBDA { channels.template store<k>(static_cast<T*>(a.to) + to, sum[k]); });
      });
}

template <class T, class Arch, bool index_beside_to>
void add_numbered_elements(const MaxPoolArguments& a) {
  if (a.has_wide_index) return add_numbered<T, Arch, std::int32_t, index_beside_to>(a);
  add_numbered<T, Arch, std::uint8_t, index_beside_to>(a);
}

// ---- weighted sums ----

/// Rows of a window are added up by themselves, which keeps more digits of large windows.
template <class T, class Arch, bool weighted>
void resample_images(const ResampleArguments& a) {
  using Register = Batch<T, Arch>;
  for_each_pixel<T, Arch>(
      a, [&](auto channels, auto window, Index i, Index j, Index from, Index to) TAPEGRAD_INLINE_LAMBDA {
        constexpr int vectors = decltype(channels)::registers;
        Register sum[vectors];
        static_for<vectors>([&](auto k) TAPEGRAD_INLINE_LAMBDA { sum[k] = Register(T(0)); });
        for (const WeightedTap* row = window.row; row != window.last_row; ++row) {
          Register line[vectors];
          static_for<vectors>([&](auto k) TAPEGRAD_INLINE_LAMBDA { line[k] = Register(T(0)); });
          for (const WeightedTap* column = window.column; column != window.last_column; ++column) {
            const T* x = static_cast<const T*>(a.from) + from + row->offset + column->offset;
            const Register weight(static_cast<T>(column->weight));
            static_for<vectors>([&](auto k) TAPEGRAD_INLINE_LAMBDA {
              const Register value = channels.template load<k>(x);
              line[k] = weighted ? fmadd(weight, value, line[k]) : line[k] + value;
            });
          }
          const Register weight(static_cast<T>(row->weight));
          static_for<vectors>([&](auto k) TAPEGRAD_INLINE_LAMBDA {
            sum[k] = weighted ? fmadd(weight, line[k], sum[k]) : sum[k] + line[k];
          });
        }
        const auto divisor = static_cast<T>(a.height_divisor[i] * a.width_divisor[j]);
        static_for<vectors>([&](auto k) TAPEGRAD_INLINE_LAMBDA {
          const Register result = divisor == T(1) ? sum[k] : sum[k] / Register(divisor);
          channels.template store<k>(static_cast<T*>(a.to) + to, result);
        });
      });
}

template <class T, class Arch>
void resample(const ResampleArguments& a) {
  if (a.is_weighted) return resample_images<T, Arch, true>(a);
  resample_images<T, Arch, false>(a);
}

template <class T, class Arch>
void fill_type(Table& table, int type) {
  table.max_pool[type] = max_pool<T, Arch>;
  table.max_pool_select[type] = add_numbered_elements<T, Arch, true>;
  table.max_pool_scatter[type] = add_numbered_elements<T, Arch, false>;
  table.resample[type] = resample<T, Arch>;
}

}  // namespace

void fill_pool(Table& table) {
  fill_type<float, TargetArch>(table, 0);
  fill_type<double, TargetArch>(table, 1);
}

}  // namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME
