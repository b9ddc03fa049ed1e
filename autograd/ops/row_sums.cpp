#include "autograd/ops/row_sums.h"

#include <algorithm>
#include <bit>

#include "autograd/kernels/table.h"

namespace tapegrad::detail {
namespace {

constexpr double nanoseconds_per_byte = 0.08;
constexpr std::int64_t cache_bytes = std::int64_t{16} << 20;  // about what a processor's last cache keeps

struct PlacedRow {
  std::int64_t place;
  const void* source;
};

std::int64_t total(std::span<const IndexedRows> parts) {
  std::int64_t n = 0;
  for (const IndexedRows& part : parts) n += part.index.size();
  return n;
}

PlacedRow* collect(std::span<const IndexedRows> parts, std::int64_t row_bytes, PlacedRow* next) {
  for (const IndexedRows& part : parts) {
    const std::int64_t n = part.index.size();
    const std::int64_t* const index = part.index.data<std::int64_t>();
    const auto* const rows = part.rows.data<std::byte>();
    for (std::int64_t i = 0; i < n; ++i) {
      if (index[i] != part.skipped) *next++ = {index[i], rows + i * row_bytes};
    }
  }
  return next;
}

// Sorts by place, the lowest byte first; rows of one place stay in order. `spare` has as much room. Returns where the
// result is.
PlacedRow* sort_by_place(PlacedRow* rows, PlacedRow* spare, std::int64_t n, std::int64_t size) {
  const auto bits = static_cast<int>(std::bit_width(static_cast<std::uint64_t>(std::max(size - 1, std::int64_t{0}))));
  for (int shift = 0; shift < bits; shift += 8) {
    std::int64_t begin[257] = {};
    const auto digit = [shift](const PlacedRow& row) { return static_cast<std::size_t>(row.place >> shift & 255); };
    for (std::int64_t i = 0; i < n; ++i) ++begin[digit(rows[i]) + 1];
    for (std::size_t d = 1; d < 256; ++d) begin[d] += begin[d - 1];
    for (std::int64_t i = 0; i < n; ++i) spare[begin[digit(rows[i])]++] = rows[i];
    std::swap(rows, spare);
  }
  return rows;
}

}  // namespace

RowSums::RowSums(std::span<const IndexedRows> parts, std::int64_t size, std::int64_t width, DType type)
    : size_(size), width_(width), type_(type), sources_(static_cast<std::size_t>(total(parts)) * sizeof(void*)) {
  const auto bytes = static_cast<std::size_t>(total(parts)) * sizeof(PlacedRow);
  const Scratch first(bytes);
  const Scratch second(bytes);
  PlacedRow* const unsorted = first.get<PlacedRow>();
  const std::int64_t row_bytes = width * static_cast<std::int64_t>(size_of(type));
  rows_ = collect(parts, row_bytes, unsorted) - unsorted;
  const PlacedRow* const rows = sort_by_place(unsorted, second.get<PlacedRow>(), rows_, size);

  const auto begins_sum = [rows](std::int64_t i) { return i == 0 || rows[i].place != rows[i - 1].place; };
  for (std::int64_t i = 0; i < rows_; ++i) count_ += begins_sum(i);
  places_ = Tensor::empty({count_}, i64);
  starts_ = Tensor::empty({count_ + 1}, i64);
  const void** const sources = sources_.get<const void*>();
  std::int64_t* place = places_.data<std::int64_t>();
  std::int64_t* start = starts_.data<std::int64_t>();
  for (std::int64_t i = 0; i < rows_; ++i) {
    sources[i] = rows[i].source;
    if (!begins_sum(i)) continue;
    *place++ = rows[i].place;
    *start++ = i;
  }
  *start = rows_;
}

void RowSums::write(void* to, const std::int64_t* places, std::int64_t size, std::int64_t behind) const {
  const std::int64_t row_bytes = width_ * static_cast<std::int64_t>(size_of(type_));
  const std::int64_t* const start = starts_.data<std::int64_t>();
  const auto place = [places](std::int64_t sum) { return places ? places[sum] : sum; };
  kernels::RowSumArguments a;
  a.source = sources_.get<const void*>();
  a.shift = behind * row_bytes;
  a.start = start;
  a.place = places;
  a.count = count_;
  a.to = to;
  a.width = width_;
  a.exceeds_caches = size * row_bytes > cache_bytes;
  const auto kernel = kernels::table().sum_rows[kernel_index(type_)];

  // The work is a row written or added. Before place r, it is r and the rows that go to smaller places.
  const std::int64_t work = size + rows_;
  const auto first_sum_after = [&](std::int64_t done) {
    std::int64_t low = 0;
    std::int64_t high = count_;
    while (low < high) {
      const std::int64_t middle = (low + high) / 2;
      place(middle) + start[middle] < done ? low = middle + 1 : high = middle;
    }
    return low;
  };
  const auto place_after = [&](std::int64_t done, std::int64_t sum) {
    const std::int64_t lowest = sum > 0 ? place(sum - 1) + 1 : 0;
    const std::int64_t highest = sum < count_ ? place(sum) : size;
    return std::clamp(done - start[sum], lowest, highest);
  };
  const std::int64_t chunks = chunks_for(work, nanoseconds_per_byte * static_cast<double>(row_bytes));
  parallel_for(chunks, [&](std::int64_t chunk) {
    const Range range = chunk_range(work, chunks, chunk, 1);
    kernels::RowSumArguments part = a;
    part.first = first_sum_after(range.begin);
    part.begin = place_after(range.begin, part.first);
    part.end = chunk + 1 == chunks ? size : place_after(range.end, first_sum_after(range.end));
    kernel(part);
  });
}

}  // namespace tapegrad::detail
