#include "autograd/touched_rows.h"

#include <algorithm>

#include "autograd/kernels/table.h"

namespace tapegrad::detail {
namespace {

// Of one row: the product of all axes but the first.
std::int64_t width_of(const Shape& shape) {
  std::int64_t width = 1;
  for (int axis = 1; axis < shape.ndim(); ++axis) width *= shape[axis];
  return width;
}

TouchedRows sum_of_parts(std::span<const IndexedRows> parts, const Shape& shape, DType type) {
  const RowSums sums(parts, shape[0], width_of(shape), type);
  Shape touched = shape;
  touched[0] = sums.count();
  TouchedRows result{sums.places(), Tensor::empty(touched, type)};
  sums.write_sums(result.values.data());
  return result;
}

}  // namespace

bool RowParts::has(std::uint32_t entry) const {
  return std::ranges::any_of(list, [entry](const Part& part) { return part.entry == entry; });
}

TouchedRows RowParts::sum(std::uint32_t entry, const Tensor& parameter) const {
  CachedVector<IndexedRows> parts;
  for (const Part& part : list) {
    if (part.entry == entry) parts.push_back(part.rows);
  }
  return sum_of_parts(parts, parameter.shape(), parameter.dtype());
}

TouchedRows sum_of(const TouchedRows& a, const TouchedRows& b, const Shape& shape) {
  const IndexedRows parts[] = {{a.rows, contiguous_elements(a.values)}, {b.rows, contiguous_elements(b.values)}};
  return sum_of_parts(parts, shape, a.values.dtype());
}

Tensor dense_rows(const TouchedRows& rows, const Shape& shape) {
  const IndexedRows part{rows.rows, contiguous_elements(rows.values)};
  const Tensor dense = Tensor::empty(shape, rows.values.dtype());
  RowSums({&part, 1}, shape[0], width_of(shape), dense.dtype()).write_table(dense.data());
  return dense;
}

Tensor sum_of(Tensor dense, const TouchedRows& rows) {
  const std::int64_t width = width_of(dense.shape());
  const Tensor values = contiguous_elements(rows.values);
  make_own(dense);
  const auto axpy = kernels::table().axpy[kernel_index(dense.dtype())];
  const std::int64_t* const places = rows.rows.data<std::int64_t>();
  for_ranges(rows.rows.size(), 0.25 * static_cast<double>(width), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      axpy(1, element_at(values, i * width), element_at(dense, places[i] * width), width);
    }
  });
  return dense;
}

void make_own(Tensor& gradient) {
  if (!gradient.is_sole_owner()) gradient = gradient.clone();
  gradient.block()->node.store(0, std::memory_order_relaxed);
}

}  // namespace tapegrad::detail
