#include "autograd/shape.h"

#include <algorithm>

#include "autograd/tape.h"

namespace tapegrad {
namespace {

// Far above any memory, and low enough that no product of sizes, strides or bytes overflows.
constexpr std::int64_t max_elements = std::int64_t{1} << 56;

std::string join(std::span<const std::int64_t> sizes) {
  std::string text = "[";
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(sizes[i]);
  }
  return text + "]";
}

bool has_too_many_elements(std::span<const std::int64_t> sizes) {
  std::int64_t elements = 1;
  for (std::int64_t size : sizes) {
    // An axis of size 0 does not excuse the others: partial products are computed too.
    if (__builtin_mul_overflow(elements, std::max<std::int64_t>(size, 1), &elements) || elements > max_elements) {
      return true;
    }
  }
  return false;
}

void check_sizes(std::span<const std::int64_t> sizes, SourceLocation at) {
  if (sizes.size() > static_cast<std::size_t>(max_rank)) {
    fail("shape " + join(sizes) + " has " + std::to_string(sizes.size()) + " axes, at most 8 are possible", at);
  }
  for (std::int64_t size : sizes) {
    if (size < 0) fail("shape " + join(sizes) + " has a negative size", at);
  }
  if (has_too_many_elements(sizes)) fail("shape " + join(sizes) + " has too many elements", at);
}

}  // namespace

const char* name_of(DType type) {
  constexpr const char* names[] = {"f32", "f64", "i32", "i64", "boolean"};
  return names[static_cast<int>(type)];
}

Shape::Shape(std::span<const std::int64_t> sizes, SourceLocation at) : ndim_(static_cast<int>(sizes.size())) {
  check_sizes(sizes, at);
  std::copy(sizes.begin(), sizes.end(), size_.begin());
}

void Shape::append(std::int64_t size, SourceLocation at) {
  std::array<std::int64_t, max_rank + 1> sizes{};
  std::copy(begin(), end(), sizes.begin());
  sizes[static_cast<std::size_t>(ndim_)] = size;
  check_sizes({sizes.data(), static_cast<std::size_t>(ndim_) + 1}, at);
  size_[static_cast<std::size_t>(ndim_)] = size;
  ++ndim_;
}

std::string to_string(const Shape& shape) { return join({shape.begin(), shape.end()}); }

std::string to_string(DType type, const Shape& shape) { return name_of(type) + to_string(shape); }

Shape broadcast_shapes(const char* op, const Shape& a, const Shape& b, SourceLocation at) {
  const bool a_is_longer = a.ndim() >= b.ndim();
  Shape result = a_is_longer ? a : b;
  const Shape& shorter = a_is_longer ? b : a;
  const int offset = result.ndim() - shorter.ndim();
  for (int i = shorter.ndim() - 1; i >= 0; --i) {
    std::int64_t& size = result[i + offset];
    if (shorter[i] == size || shorter[i] == 1) continue;
    if (size != 1) {
      const std::int64_t a_size = a_is_longer ? size : shorter[i];
      const std::int64_t b_size = a_is_longer ? shorter[i] : size;
      detail::fail_op(op,
                      "shapes " + to_string(a) + " and " + to_string(b) + " do not broadcast: axis " +
                          std::to_string(i - shorter.ndim()) + " has " + std::to_string(a_size) + " and " +
                          std::to_string(b_size),
                      at, "sizes, counted from the last axis, must be equal or 1");
    }
    size = shorter[i];
  }
  if (has_too_many_elements({result.begin(), result.end()})) {  // [2^40, 1] and [1, 2^40]
    detail::fail_op(op, "shape " + to_string(result) + " has too many elements", at);
  }
  return result;
}

int normalize_axis(const char* op, int axis, int ndim, SourceLocation at) {
  if (axis >= -ndim && axis < ndim) return axis < 0 ? axis + ndim : axis;
  const std::string what = "axis " + std::to_string(axis) + " is out of range";
  if (ndim == 0) detail::fail_op(op, what, at, "a 0-dim tensor has no axes");
  detail::fail_op(op, what, at,
                  "a tensor of " + std::to_string(ndim) + (ndim == 1 ? " axis" : " axes") + " has axes " +
                      std::to_string(-ndim) + " to " + std::to_string(ndim - 1));
}

Axes::Axes(std::initializer_list<int> axes) : count_(static_cast<int>(axes.size())) {
  // More than there is room for is an error for every tensor; mask() reports it with the caller's line.
  std::copy_n(axes.begin(), std::min(axes.size(), axis_.size()), axis_.begin());
}

unsigned Axes::mask(const char* op, int ndim, SourceLocation at) const {
  if (all_) return (1U << ndim) - 1;
  if (count_ > max_rank) {
    detail::fail_op(op, std::to_string(count_) + " axes named, at most 8 are possible", at);
  }
  unsigned chosen = 0;
  for (int i = 0; i < count_; ++i) {
    const int axis = normalize_axis(op, axis_[static_cast<std::size_t>(i)], ndim, at);
    const unsigned bit = 1U << axis;
    if (chosen & bit) detail::fail_op(op, "axis " + std::to_string(axis) + " is named twice", at);
    chosen |= bit;
  }
  return chosen;
}

}  // namespace tapegrad
