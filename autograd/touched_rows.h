#pragma once
// Gradients of tables by the rows that were touched: what a walk collects of them, and what becomes of it. Internal.
#include "autograd/gradients.h"
#include "autograd/ops/row_sums.h"

namespace tapegrad::detail {

/// The rows that a walk's rules gave, in their order, each for the parameter of an entry.
struct RowParts {
  struct Part {
    std::uint32_t entry;
    IndexedRows rows;
  };
  CachedVector<Part> list;

  bool has(std::uint32_t entry) const;
  /// Those of the entry, added up where they touch the same row.
  TouchedRows sum(std::uint32_t entry, const Tensor& parameter) const;
};

/// The tensor whose rows these are.
Tensor dense_rows(const TouchedRows& rows, const Shape& shape);
/// Both touch rows of the same tensor.
TouchedRows sum_of(const TouchedRows& a, const TouchedRows& b, const Shape& shape);
/// In the elements of `dense`, if nobody else holds them.
Tensor sum_of(Tensor dense, const TouchedRows& rows);
/// Makes the handle the only one, so that its elements may be overwritten: the same gradient may be in use elsewhere.
/// What is written is a constant for a tape that recorded the gradient.
void make_own(Tensor& gradient);

}  // namespace tapegrad::detail
