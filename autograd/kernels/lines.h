#pragma once
// Loops over one line of memory, register by register. The last, partly filled register goes through the same body as
// the others, so that an element's result does not depend on where it lies.
#include "autograd/kernels/simd.h"

namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME {
namespace {

/// Where one register lies in its line: whole, or only its first `count` elements.
template <class T, class Arch, bool Partial>
struct Access {
  std::ptrdiff_t offset;
  std::ptrdiff_t count;

  TAPEGRAD_INLINE Batch<T, Arch> read(const T* from) const {
    if constexpr (Partial) {
      return load_partial<T, Arch>(from + offset, count);
    } else {
      return load_all<T, Arch>(from + offset);
    }
  }

  TAPEGRAD_INLINE void write(T* to, Batch<T, Arch> value) const {
    if constexpr (Partial) {
      store_partial<T, Arch>(to + offset, value, count);
    } else {
      store_all<T, Arch>(to + offset, value);
    }
  }

  /// The value, with `other` in the lanes that are not in the line.
  TAPEGRAD_INLINE Batch<T, Arch> only(Batch<T, Arch> value, T other = T(0)) const {
    if constexpr (Partial) {
      return select(first_lanes<T, Arch>(count), value, Batch<T, Arch>(other));
    } else {
      return value;
    }
  }
};

/// Calls body(access) for the registers that cover n elements, in order.
template <class T, class Arch, class F>
TAPEGRAD_INLINE void for_each_register(std::ptrdiff_t n, F&& body) {
  constexpr std::ptrdiff_t width = lanes<T, Arch>;
  std::ptrdiff_t i = 0;
  for (; i + width <= n; i += width) {
    body(Access<T, Arch, false>{i, width});
  }
  if (i < n) {
    body(Access<T, Arch, true>{i, n - i});
  }
}

/// Combines value(access) over n elements in four chains, which hide the latency of `combine`.
/// `identity` must not change what it is combined with.
template <class T, class Arch, class Value, class Combine>
TAPEGRAD_INLINE Batch<T, Arch> combine_line(std::ptrdiff_t n, T identity, Value&& value, Combine&& combine) {
  constexpr std::ptrdiff_t width = lanes<T, Arch>;
  constexpr int chains = 4;
  Batch<T, Arch> total[chains];
  static_for<chains>([&](auto k) TAPEGRAD_INLINE_LAMBDA { total[k] = Batch<T, Arch>(identity); });
  std::ptrdiff_t i = 0;
  for (; i + chains * width <= n; i += chains * width) {
    static_for<chains>([&](auto k) TAPEGRAD_INLINE_LAMBDA {
      total[k] = combine(total[k], value(Access<T, Arch, false>{i + k * width, width}));
    });
  }
  for (; i + width <= n; i += width) {
    total[0] = combine(total[0], value(Access<T, Arch, false>{i, width}));
  }
  if (i < n) {
    const Access<T, Arch, true> rest{i, n - i};
    total[1] = combine(total[1], rest.only(value(rest), identity));
  }
  return combine(combine(total[0], total[1]), combine(total[2], total[3]));
}

}  // namespace
}  // namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME
