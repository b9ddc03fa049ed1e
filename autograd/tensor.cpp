#include "autograd/tensor.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "autograd/arg.h"
#include "autograd/create.h"
#include "autograd/ops/elements.h"

namespace tapegrad {
namespace {

using Strides = std::array<std::int64_t, max_rank>;

Strides contiguous_strides(const std::int64_t* shape, int ndim) {
  Strides strides{};
  std::int64_t step = 1;
  for (int i = ndim - 1; i >= 0; --i) {
    strides[static_cast<std::size_t>(i)] = step;
    step *= shape[i];
  }
  return strides;
}

// Axes of size 1 are never stepped along, so their strides do not matter; nor do any of an empty tensor.
bool has_contiguous_strides(const Shape& shape, std::span<const std::int64_t> strides) {
  if (shape.size() == 0) return true;
  const Strides wanted = contiguous_strides(shape.begin(), shape.ndim());
  for (std::size_t i = 0; i < strides.size(); ++i) {
    if (shape[static_cast<int>(i)] != 1 && strides[i] != wanted[i]) return false;
  }
  return true;
}

void set_shape(detail::Block* block, DType type, const Shape& shape) {
  block->set_type(type, shape.ndim());
  block->size = shape.size();
  std::copy(shape.begin(), shape.end(), block->shape);
}

double element(const detail::Block& block, std::int64_t offset) {
  switch (block.dtype()) {
    case f32:
      return static_cast<double>(reinterpret_cast<const float*>(block.data)[offset]);
    case f64:
      return reinterpret_cast<const double*>(block.data)[offset];
    case i32:
      return reinterpret_cast<const std::int32_t*>(block.data)[offset];
    case i64:
      return static_cast<double>(reinterpret_cast<const std::int64_t*>(block.data)[offset]);
    case boolean:
      return reinterpret_cast<const bool*>(block.data)[offset] ? 1 : 0;
  }
  return 0;
}

void check_defined(const Tensor& x, const char* by, SourceLocation at) {
  if (!x.defined())
    fail(std::string(by) + ": the tensor holds nothing", at, "it was default-constructed or moved from");
}

}  // namespace

std::int64_t Tensor::shape(int axis, SourceLocation at) const {
  check_defined(*this, "shape", at);
  return block_->shape[normalize_axis("shape", axis, ndim(), at)];
}

Strides Tensor::strides() const {
  if (is_contiguous()) return contiguous_strides(block_->shape, ndim());
  Strides strides{};
  std::copy_n(block_->view_strides(), ndim(), strides.begin());
  return strides;
}

double Tensor::item(SourceLocation at) const {
  check_defined(*this, "item", at);
  if (size() != 1) {
    fail("item: " + describe(*this) + " has " + std::to_string(size()) + " elements, not one", at,
         "use at({...}) or reduce it first");
  }
  return element(*block_, 0);
}

double Tensor::at(std::initializer_list<std::int64_t> index, SourceLocation at) const {
  check_defined(*this, "at", at);
  if (static_cast<int>(index.size()) != ndim()) {
    fail("at: " + std::to_string(index.size()) + (index.size() == 1 ? " index" : " indices") + " for " +
             describe(*this) + ", which has " + std::to_string(ndim()) + (ndim() == 1 ? " axis" : " axes"),
         at);
  }
  const Strides stride = strides();
  std::int64_t offset = 0;
  for (int axis = 0; axis < ndim(); ++axis) {
    const std::int64_t given = index.begin()[axis];
    const std::int64_t size = block_->shape[axis];
    if (given < -size || given >= size) {
      fail("at: index " + std::to_string(given) + " is out of range for axis " + std::to_string(axis) + " of " +
               describe(*this),
           at);
    }
    offset += (given < 0 ? given + size : given) * stride[static_cast<std::size_t>(axis)];
  }
  return element(*block_, offset);
}

Tensor Tensor::clone() const {
  if (!defined()) return {};
  Tensor copy = empty(shape(), dtype());
  detail::copy_elements(*this, copy);
  return copy;
}

Tensor Tensor::empty(const Shape& shape, DType type) {
  detail::Block* block = detail::allocate_block(static_cast<std::size_t>(shape.size()) * size_of(type));
  set_shape(block, type, shape);
  return Tensor(block);
}

Tensor Tensor::empty_like_special(const detail::Block& other) {
  return empty(Shape(std::span(other.shape, static_cast<std::size_t>(other.ndim()))), other.dtype());
}

Tensor Tensor::view(const Tensor& base, const Shape& shape, std::span<const std::int64_t> strides,
                    std::int64_t offset) {
  detail::Block* storage = base.block_->storage();
  detail::Block* block = detail::allocate_small(0);
  detail::retain(storage);
  set_shape(block, base.dtype(), shape);
  const bool is_strided = !has_contiguous_strides(shape, strides);
  block->flags = static_cast<std::uint8_t>(detail::view_flag | (is_strided ? detail::strided_flag : 0));
  block->owner = storage;
  block->data = base.block_->data + offset * static_cast<std::int64_t>(size_of(base.dtype()));
  std::copy(strides.begin(), strides.end(), block->view_strides());
  return Tensor(block);
}

Tensor Tensor::copy_of(const void* values, std::int64_t count, DType type, const Shape& shape, SourceLocation at) {
  if (count != shape.size()) {
    fail("from: " + std::to_string(count) + (count == 1 ? " value" : " values") + " for " + to_string(type, shape) +
             ", which has " + std::to_string(shape.size()),
         at);
  }
  Tensor copy = empty(shape, type);
  if (count > 0) std::memcpy(copy.data(), values, static_cast<std::size_t>(count) * size_of(type));
  return copy;
}

Tensor Tensor::borrow_bytes(void* elements, DType type, const Shape& shape, std::shared_ptr<void> owner,
                            SourceLocation at) {
  if (!elements && shape.size() > 0) fail("borrow: a null pointer for " + to_string(type, shape), at);
  if (std::bit_cast<std::uintptr_t>(elements) % size_of(type) != 0) {
    fail("borrow: the pointer is not aligned for " + std::string(name_of(type)), at);
  }
  detail::Block* block = detail::allocate_small(0);
  set_shape(block, type, shape);
  block->flags = detail::borrowed_flag;
  block->data = static_cast<std::byte*>(elements);
  static_assert(sizeof(owner) <= 64, "the owner has to fit behind the header");
  new (reinterpret_cast<std::byte*>(block) + detail::header_bytes) std::shared_ptr<void>(std::move(owner));
  return Tensor(block);
}

void Tensor::check_span(DType wanted, SourceLocation at) const {
  check_defined(*this, "span", at);
  if (dtype() != wanted) {
    fail("span: " + describe(*this) + " holds " + name_of(dtype()) + ", not " + name_of(wanted), at,
         std::string("convert it with to(") + name_of(wanted) + ")");
  }
  if (!is_contiguous()) {
    fail("span: " + describe(*this) + " is a view with gaps between its elements", at, "copy it with clone()");
  }
}

std::string describe(const Tensor& x) { return x.defined() ? to_string(x.dtype(), x.shape()) : "an empty handle"; }

const Tensor& Arg::materialize(DType type) const {
  // What type a result has must not hang on a value: 2.0 times an integer tensor is f32 as 2.5 times it is, and an
  // integer is not cut down to a truth value.
  if (kind_ == Kind::real && !is_floating(type)) type = f32;
  if (kind_ == Kind::integer && type == boolean) type = i64;
  if (!materialized_.defined() || materialized_.dtype() != type) materialized_ = full(Shape{}, number_, type, at_);
  return materialized_;
}

}  // namespace tapegrad
