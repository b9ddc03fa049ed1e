// Copies between strided arrays, fill, and conversion between element types. Plain loops over integers of the element's
// size: the compiler vectorises them for the instruction set of this file.
#include "autograd/kernels/fill.h"
#include "autograd/kernels/transpose.h"

namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME {
namespace {

constexpr Index smaller(Index a, Index b) { return a < b ? a : b; }

struct Dimension {
  Index size;
  Index from_stride;
  Index to_stride;
};

/// The dimensions of a copy, outermost first, without those of size 1 and with neighbours merged where both arrays
/// step through them as through one.
struct Dimensions {
  int rank = 0;
  Dimension at[max_copy_rank];

  explicit Dimensions(const CopyArguments& arguments) {
    for (int i = 0; i < arguments.rank; ++i) {
      if (arguments.shape[i] != 1) {
        add({arguments.shape[i], arguments.from_strides[i], arguments.to_strides[i]});
      }
    }
    if (rank == 0) {
      add({1, 1, 1});
    }
  }

  void add(Dimension next) {
    if (rank > 0) {
      Dimension& last = at[rank - 1];
      if (last.from_stride == next.size * next.from_stride && last.to_stride == next.size * next.to_stride) {
        last = {last.size * next.size, next.from_stride, next.to_stride};
        return;
      }
    }
    at[rank++] = next;
  }

  /// The innermost dimension that meets a condition, or -1.
  template <class F>
  int find(F condition) const {
    int i = rank - 1;
    while (i >= 0 && !condition(at[i])) {
      --i;
    }
    return i;
  }

  Dimension remove(int i) {
    const Dimension removed = at[i];
    --rank;
    for (; i < rank; ++i) {
      at[i] = at[i + 1];
    }
    return removed;
  }
};

/// Calls body(from offset, to offset) for every index into `dimensions`.
template <class F>
TAPEGRAD_INLINE void for_each_offset(const Dimensions& dimensions, F body) {
  Index index[max_copy_rank] = {};
  Index from = 0;
  Index to = 0;
  while (true) {
    body(from, to);
    int i = dimensions.rank - 1;
    for (; i >= 0; --i) {
      const Dimension& dimension = dimensions.at[i];
      from += dimension.from_stride;
      to += dimension.to_stride;
      if (++index[i] < dimension.size) {
        break;
      }
      from -= dimension.size * dimension.from_stride;
      to -= dimension.size * dimension.to_stride;
      index[i] = 0;
    }
    if (i < 0) {
      return;
    }
  }
}

template <class T>
TAPEGRAD_INLINE void copy_line(const T* from, T* to, Dimension line) {
  if (line.from_stride == 1 && line.to_stride == 1) {
    __builtin_memcpy(to, from, static_cast<std::size_t>(line.size) * sizeof(T));
  } else if (line.from_stride == 0 && line.to_stride == 1) {
    const T value = *from;
    for (Index i = 0; i < line.size; ++i) {
      to[i] = value;
    }
  } else {
    for (Index i = 0; i < line.size; ++i) {
      to[i * line.to_stride] = from[i * line.from_stride];
    }
  }
}

/// A plane where `from` runs along `fast_from` and `to` along `fast_to`.
template <class T, class Arch>
void copy_plane(const T* from, T* to, Dimension fast_from, Dimension fast_to) {
  // Narrow enough that the lines written by one strip are still cached when the next strip writes beside it.
  constexpr Index block = 64;
  for (Index c = 0; c < fast_from.size; c += block) {
    transpose<T, Arch>(from + c, fast_to.from_stride, to + c * fast_from.to_stride, fast_from.to_stride, fast_to.size,
                       smaller(block, fast_from.size - c));
  }
}

template <class T, class Arch>
void copy_elements(const CopyArguments& arguments) {
  for (int i = 0; i < arguments.rank; ++i) {
    if (arguments.shape[i] == 0) {
      return;
    }
  }
  const T* from = static_cast<const T*>(arguments.from);
  T* to = static_cast<T*>(arguments.to);
  Dimensions dimensions(arguments);
  const int contiguous_from = dimensions.find([](Dimension dimension) { return dimension.from_stride == 1; });
  const int contiguous_to = dimensions.find([](Dimension dimension) { return dimension.to_stride == 1; });
  if constexpr (is_maskable<T>) {
    if (contiguous_from >= 0 && contiguous_to >= 0 && contiguous_from != contiguous_to) {
      const Dimension fast_from = dimensions.at[contiguous_from];
      const Dimension fast_to = dimensions.at[contiguous_to];
      dimensions.remove(contiguous_from > contiguous_to ? contiguous_from : contiguous_to);
      dimensions.remove(contiguous_from > contiguous_to ? contiguous_to : contiguous_from);
      for_each_offset(dimensions, [&](Index from_offset, Index to_offset) {
        copy_plane<T, Arch>(from + from_offset, to + to_offset, fast_from, fast_to);
      });
      return;
    }
  }
  const Dimension line = dimensions.remove(contiguous_to >= 0 ? contiguous_to : dimensions.rank - 1);
  for_each_offset(dimensions, [&](Index from_offset, Index to_offset)
                                  TAPEGRAD_INLINE_LAMBDA { copy_line(from + from_offset, to + to_offset, line); });
}

template <class Arch>
void copy(const CopyArguments& arguments) {
  switch (arguments.element_bytes) {
    case 1:
      return copy_elements<std::uint8_t, Arch>(arguments);
    case 4:
      return copy_elements<std::uint32_t, Arch>(arguments);
    default:
      return copy_elements<std::uint64_t, Arch>(arguments);
  }
}

template <class T>
TAPEGRAD_INLINE void fill_elements(void* to, const void* value, Index n) {
  T element;
  __builtin_memcpy(&element, value, sizeof(T));
  T* target = static_cast<T*>(to);
  for (Index i = 0; i < n; ++i) {
    target[i] = element;
  }
}

template <class Arch>
void fill_bytes(void* to, const void* value, Index n, Index element_bytes) {
  switch (element_bytes) {
    case 1:
      return fill_elements<std::uint8_t>(to, value, n);
    case 4:
      return fill_elements<std::uint32_t>(to, value, n);
    default:
      return fill_elements<std::uint64_t>(to, value, n);
  }
}

// ---- conversion ----

/// How a boolean is stored: one byte, 0 or 1.
enum class Boolean : std::uint8_t {};

template <class To, class From>
TAPEGRAD_INLINE To convert(From value) {
  if constexpr (std::is_same_v<From, Boolean>) {
    return static_cast<To>(static_cast<std::uint8_t>(value));
  } else if constexpr (std::is_same_v<To, Boolean>) {
    return static_cast<Boolean>(value != From(0));
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    // The smallest integer is a power of two and exact as a float; the largest is not.
    constexpr From lowest = static_cast<From>(std::numeric_limits<To>::min());
    if (value != value) {
      return 0;
    }
    if (value < lowest) {
      return std::numeric_limits<To>::min();
    }
    return value >= -lowest ? std::numeric_limits<To>::max() : static_cast<To>(value);
  } else {
    return static_cast<To>(value);
  }
}

template <class From, class To, class Arch>
void cast(const void* from, void* to, Index n) {
  const From* source = static_cast<const From*>(from);
  To* target = static_cast<To*>(to);
  for (Index i = 0; i < n; ++i) {
    target[i] = convert<To>(source[i]);
  }
}

template <class From, class Arch>
void fill_casts(CastFunction (&row)[5]) {
  row[0] = cast<From, float, Arch>;
  row[1] = cast<From, double, Arch>;
  row[2] = cast<From, std::int32_t, Arch>;
  row[3] = cast<From, std::int64_t, Arch>;
  row[4] = cast<From, Boolean, Arch>;
}

}  // namespace

void fill_copy(Table& table) {
  table.copy = copy<TargetArch>;
  table.fill = fill_bytes<TargetArch>;
  fill_casts<float, TargetArch>(table.cast[0]);
  fill_casts<double, TargetArch>(table.cast[1]);
  fill_casts<std::int32_t, TargetArch>(table.cast[2]);
  fill_casts<std::int64_t, TargetArch>(table.cast[3]);
  fill_casts<Boolean, TargetArch>(table.cast[4]);
}

}  // namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME
