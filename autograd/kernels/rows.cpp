// Picking rows by index, and its transpose: adding rows to where they were picked from.
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

template <class T, class Arch>
void scatter_add_rows(const void* rows, const std::int64_t* index, void* to, Index count, Index width, Index begin,
                      Index end) {
  constexpr Index step = lanes<T, Arch>;
  for (Index r = 0; r < count; ++r) {
    const T* source = static_cast<const T*>(rows) + r * width;
    T* target = static_cast<T*>(to) + index[r] * width;
    Index c = begin;
    for (; c + step <= end; c += step) {
      store_all<T, Arch>(target + c, load_all<T, Arch>(target + c) + load_all<T, Arch>(source + c));
    }
    if (c < end) {
      const Index left = end - c;
      store_partial<T, Arch>(target + c,
                             load_partial<T, Arch>(target + c, left) + load_partial<T, Arch>(source + c, left), left);
    }
  }
}

}  // namespace

void fill_rows(Table& table) {
  table.gather_rows = gather_rows<TargetArch>;
  table.scatter_add_rows[0] = scatter_add_rows<float, TargetArch>;
  table.scatter_add_rows[1] = scatter_add_rows<double, TargetArch>;
}

}  // namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME
