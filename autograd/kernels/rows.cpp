// Picking rows by index, and its transpose: rows added up where they were picked from.
#include "autograd/kernels/fill.h"

namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME {
namespace {

/// RowBytes is a constant where a call of memcpy would cost more than the row.
template <class RowBytes>
TAPEGRAD_INLINE void gather(const void* from, const std::int64_t* index, void* to, RowBytes row_bytes, Index begin,
                            Index end) {
  const Index bytes = row_bytes;
  const char* source = static_cast<const char*>(from);
  char* target = static_cast<char*>(to);
  for (Index r = begin; r < end; ++r) {
    __builtin_memcpy(target + r * bytes, source + index[r] * bytes, static_cast<std::size_t>(bytes));
  }
}

template <class Arch>
void gather_rows(const void* from, const std::int64_t* index, void* to, Index row_bytes, Index begin, Index end) {
  switch (row_bytes) {
    case 4:
      return gather(from, index, to, std::integral_constant<Index, 4>{}, begin, end);
    case 8:
      return gather(from, index, to, std::integral_constant<Index, 8>{}, begin, end);
    default:
      return gather(from, index, to, row_bytes, begin, end);
  }
}

/// to[c] = the sum of source[k][c] over the sources, for all c < width: a strip of registers at a time.
template <class T, class Arch>
TAPEGRAD_INLINE void add_up(const void* const* source, Index sources, Index shift, T* to, Index width) {
  const auto row = [=](Index k) TAPEGRAD_INLINE_LAMBDA {
    return reinterpret_cast<const T*>(static_cast<const char*>(source[k]) + shift);
  };
  constexpr Index step = lanes<T, Arch>;
  constexpr int strip = 8;
  Index c = 0;
  for (; c + strip * step <= width; c += strip * step) {
    Batch<T, Arch> sum[strip];
    static_for<strip>([&](auto i) TAPEGRAD_INLINE_LAMBDA { sum[i] = load_all<T, Arch>(row(0) + c + i * step); });
    for (Index k = 1; k < sources; ++k) {
      const T* const from = row(k) + c;
      static_for<strip>([&](auto i) TAPEGRAD_INLINE_LAMBDA { sum[i] += load_all<T, Arch>(from + i * step); });
    }
    static_for<strip>([&](auto i) TAPEGRAD_INLINE_LAMBDA { store_all<T, Arch>(to + c + i * step, sum[i]); });
  }
  for (; c + step <= width; c += step) {
    Batch<T, Arch> sum = load_all<T, Arch>(row(0) + c);
    for (Index k = 1; k < sources; ++k) sum += load_all<T, Arch>(row(k) + c);
    store_all<T, Arch>(to + c, sum);
  }
  for (; c < width; ++c) {
    T sum = row(0)[c];
    for (Index k = 1; k < sources; ++k) sum += row(k)[c];
    to[c] = sum;
  }
}

template <class T, class Arch>
void sum_rows(const RowSumArguments& a) {
  T* const to = static_cast<T*>(a.to);
  const auto clear = [&](Index begin, Index end) TAPEGRAD_INLINE_LAMBDA {
    const std::size_t bytes = static_cast<std::size_t>((end - begin) * a.width) * sizeof(T);
    if (a.exceeds_caches) {
      stream_zeros(to + begin * a.width, bytes);
    } else {
      __builtin_memset(to + begin * a.width, 0, bytes);
    }
  };
  Index next = a.begin;
  for (Index s = a.first; s < a.count; ++s) {
    const Index place = a.place != nullptr ? a.place[s] : s;
    if (place >= a.end) break;
    if (place > next) clear(next, place);
    add_up<T, Arch>(a.source + a.start[s], a.start[s + 1] - a.start[s], a.shift, to + place * a.width, a.width);
    next = place + 1;
  }
  if (a.end > next) clear(next, a.end);
  if (a.exceeds_caches) stream_fence();
}

}  // namespace

void fill_rows(Table& table) {
  table.gather_rows = gather_rows<TargetArch>;
  table.sum_rows[0] = sum_rows<float, TargetArch>;
  table.sum_rows[1] = sum_rows<double, TargetArch>;
}

}  // namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME
