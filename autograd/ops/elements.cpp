#include "autograd/ops/elements.h"

#include <algorithm>
#include <utility>

#include "autograd/kernels/table.h"

namespace tapegrad::detail {
namespace {

// A core copies about that fast between caches; what a thread is worth in memory-bound work.
constexpr double nanoseconds_per_byte = 0.1;

std::span<const std::int64_t> used(const Strides& strides, int ndim) {
  return {strides.data(), static_cast<std::size_t>(ndim)};
}

kernels::CopyArguments copy_arguments(const Tensor& from, const Tensor& to) {
  kernels::CopyArguments c;
  c.rank = from.ndim();
  c.element_bytes = static_cast<kernels::Index>(size_of(from.dtype()));
  c.from = from.data();
  c.to = to.data();
  const Strides from_strides = from.strides();
  const Strides to_strides = to.strides();
  for (int i = 0; i < c.rank; ++i) {
    c.shape[i] = from.block()->shape[i];
    c.from_strides[i] = from_strides[static_cast<std::size_t>(i)];
    c.to_strides[i] = to_strides[static_cast<std::size_t>(i)];
  }
  return c;
}

}  // namespace

Strides contiguous_strides(const Shape& shape) {
  Strides strides{};
  std::int64_t step = 1;
  for (int i = shape.ndim() - 1; i >= 0; --i) {
    strides[static_cast<std::size_t>(i)] = step;
    step *= shape[i];
  }
  return strides;
}

const Tensor& defined(const char* op, const Arg& x) {
  const Tensor& tensor = x.tensor();
  if (!tensor.defined()) fail_op(op, "input 0 is an empty handle", x.at());
  return tensor;
}

Tensor reshaped_view(const Tensor& contiguous, const Shape& shape) {
  return Tensor::view(contiguous, shape, used(contiguous_strides(shape), shape.ndim()), 0);
}

Tensor permuted_view(const Tensor& x, std::span<const int> order) {
  const Strides strides = x.strides();
  Shape shape = x.shape();
  Strides permuted{};
  for (std::size_t k = 0; k < order.size(); ++k) {
    shape[static_cast<int>(k)] = x.block()->shape[order[k]];
    permuted[k] = strides[static_cast<std::size_t>(order[k])];
  }
  return Tensor::view(x, shape, used(permuted, x.ndim()), 0);
}

Tensor swapped_view(const Tensor& x, int axis_a, int axis_b) {
  Shape shape = x.shape();
  Strides strides = x.strides();
  std::swap(shape[axis_a], shape[axis_b]);
  std::swap(strides[static_cast<std::size_t>(axis_a)], strides[static_cast<std::size_t>(axis_b)]);
  return Tensor::view(x, shape, used(strides, x.ndim()), 0);
}

Tensor sliced_view(const Tensor& x, int axis, std::int64_t start, std::int64_t size, std::int64_t step) {
  Shape shape = x.shape();
  Strides strides = x.strides();
  std::int64_t& stride = strides[static_cast<std::size_t>(axis)];
  const std::int64_t offset = size > 0 ? start * stride : 0;
  shape[axis] = size;
  stride *= step;
  return Tensor::view(x, shape, used(strides, x.ndim()), offset);
}

void copy_elements(const Tensor& from, const Tensor& to) {
  if (from.size() == 0) return;
  const kernels::Table& table = kernels::table();
  const kernels::CopyArguments all = copy_arguments(from, to);
  if (all.rank == 0) return table.copy(all);
  const int axis = static_cast<int>(std::max_element(all.shape, all.shape + all.rank) - all.shape);
  const auto bytes_per_item = static_cast<double>(from.size() / all.shape[axis] * all.element_bytes);
  for_ranges(all.shape[axis], bytes_per_item * nanoseconds_per_byte, [&](std::int64_t begin, std::int64_t end) {
    kernels::CopyArguments part = all;
    part.shape[axis] = end - begin;
    part.from = static_cast<const std::byte*>(all.from) + begin * all.from_strides[axis] * all.element_bytes;
    part.to = static_cast<std::byte*>(all.to) + begin * all.to_strides[axis] * all.element_bytes;
    table.copy(part);
  });
}

Tensor contiguous_elements(const Tensor& x) {
  if (x.is_contiguous()) return x;
  Tensor copy = Tensor::empty(x.shape(), x.dtype());
  copy_elements(x, copy);
  return copy;
}

Tensor converted(const Tensor& x, DType type) {
  const Tensor from = contiguous_elements(x);
  Tensor to = Tensor::empty(x.shape(), type);
  const auto cast = kernels::table().cast[static_cast<int>(from.dtype())][static_cast<int>(type)];
  const auto from_bytes = static_cast<std::int64_t>(size_of(from.dtype()));
  const auto to_bytes = static_cast<std::int64_t>(size_of(type));
  const double cost = static_cast<double>(from_bytes + to_bytes) * nanoseconds_per_byte;
  for_ranges(from.size(), cost, [&](std::int64_t begin, std::int64_t end) {
    cast(from.data<std::byte>() + begin * from_bytes, to.data<std::byte>() + begin * to_bytes, end - begin);
  });
  return to;
}

Tensor as_indices(const Tensor& x) { return x.dtype() == i64 ? contiguous_elements(x) : converted(x, i64); }

double sum_contiguous(const void* x, std::int64_t n, DType type) {
  constexpr std::int64_t kernel_block = 4096;
  const auto sum_chunk = kernels::table().sum_chunk[kernel_index(type)];
  const std::int64_t chunks = chunks_for(n, nanoseconds_per_byte * static_cast<double>(size_of(type)));
  std::array<double, max_chunks> partial{};
  parallel_for(chunks, [&](std::int64_t chunk) {
    const Range range = chunk_range(n, chunks, chunk, kernel_block);
    const auto* first = static_cast<const std::byte*>(x) + range.begin * static_cast<std::int64_t>(size_of(type));
    partial[static_cast<std::size_t>(chunk)] = sum_chunk(first, range.end - range.begin);
  });
  double sum = 0;
  for (std::int64_t chunk = 0; chunk < chunks; ++chunk) sum += partial[static_cast<std::size_t>(chunk)];
  return sum;
}

Tensor sample_values(const Shape& shape, std::uint64_t seed) {
  Tensor x = Tensor::empty(shape, f64);
  std::uint64_t state = seed * 0x9e3779b97f4a7c15;
  for (std::int64_t i = 0; i < x.size(); ++i) {
    // SplitMix64 (Steele, Lea and Flood, 2014).
    std::uint64_t bits = state += 0x9e3779b97f4a7c15;
    bits = (bits ^ bits >> 30) * 0xbf58476d1ce4e5b9;
    bits = (bits ^ bits >> 27) * 0x94d049bb133111eb;
    bits ^= bits >> 31;
    x.data<double>()[i] = static_cast<double>(bits >> 11) * 0x1p-51 - 2;
  }
  return x;
}

std::string sizes_text(std::span<const std::int64_t> sizes) {
  std::string text = "[";
  for (std::int64_t size : sizes) text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  return text + "]";
}

std::string position_text(const Shape& shape, std::int64_t position) {
  Shape index = shape;
  for (int axis = shape.ndim() - 1; axis >= 0; --axis) {
    index[axis] = position % shape[axis];
    position /= shape[axis];
  }
  return to_string(index);
}

}  // namespace tapegrad::detail
