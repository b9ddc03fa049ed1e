#pragma once
// Rows added up by where they go: the gradient of rows that were picked by index. Internal.
#include <span>

#include "autograd/ops/elements.h"

namespace tapegrad::detail {

/// Rows and the place of each. `index` holds integers in [0, size) of the table that they go to; rows whose index is
/// `skipped` go nowhere.
struct IndexedRows {
  Tensor index;  ///< i64, contiguous, of n elements
  Tensor rows;   ///< contiguous: n rows
  std::int64_t skipped = -1;
};

/// Sums of rows that go to the same place of a table [size, width]. They are added in the order in which they were
/// given: sums have the same bits however threads share the work.
class RowSums {
 public:
  /// The parts must live as long as this object, and hold elements of the type.
  RowSums(std::span<const IndexedRows> parts, std::int64_t size, std::int64_t width, DType type);

  /// The number of places to which some row goes.
  std::int64_t count() const { return count_; }
  /// These places, ascending: i64 [count].
  const Tensor& places() const { return places_; }
  /// Writes the sums, [count, width].
  void write_sums(void* to) const { write(to, nullptr, count_, 0); }
  /// Writes the whole table, [size, width]: the sums at their places, and zeros. `behind`: each row's place is that of the
  /// row so many rows before it.
  void write_table(void* to, std::int64_t behind = 0) const { write(to, places_.data<std::int64_t>(), size_, behind); }

 private:
  void write(void* to, const std::int64_t* places, std::int64_t size, std::int64_t behind) const;

  std::int64_t size_, width_;
  DType type_;
  std::int64_t rows_ = 0;  // that go somewhere
  std::int64_t count_ = 0;
  Scratch sources_;  // where each row lies, sorted by its place
  Tensor places_;
  Tensor starts_;  // the first row of each sum, and the end: i64 [count + 1]
};

}  // namespace tapegrad::detail
