#pragma once
// Tensor: a cheap handle to a reference-counted block of elements with a shape.
#include <concepts>
#include <cstring>
#include <initializer_list>
#include <iosfwd>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "autograd/storage.h"

namespace tapegrad {

namespace detail {
// A SourceLocation that is never made of `{}`: in from(values, {}), that is the shape of a scalar.
struct CallerLine {
  CallerLine(SourceLocation line) : at(line) {}
  SourceLocation at;
};
}  // namespace detail

/// A numeric array of up to 8 axes. Copying a Tensor copies the handle; both then share the elements. A
/// default-constructed Tensor holds nothing (`defined()` is false).
class Tensor {
 public:
  Tensor() = default;
  Tensor(const Tensor& other) noexcept : block_(other.block_) {
    if (block_) detail::retain(block_);
  }
  Tensor(Tensor&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}
  Tensor& operator=(Tensor other) noexcept {
    std::swap(block_, other.block_);
    return *this;
  }
  ~Tensor() {
    if (block_) detail::drop(block_);
  }

  /// A new tensor with a copy of `values`, in C order. Throws when their number is not that of `shape`.
  template <class T>
  static Tensor from(std::span<const T> values, const Shape& shape, SourceLocation at = SourceLocation::current()) {
    return copy_of(values.data(), static_cast<std::int64_t>(values.size()), dtype_of<T>, shape, at);
  }
  template <class T>
  static Tensor from(const std::vector<T>& values, const Shape& shape, SourceLocation at = SourceLocation::current()) {
    return from(std::span<const T>(values), shape, at);
  }
  /// One axis: `Tensor::from({1.0f, 2.0f})` is f32[2].
  template <class T>
  static Tensor from(std::initializer_list<T> values, detail::CallerLine caller = SourceLocation::current()) {
    return from(std::span<const T>(values.begin(), values.size()), {static_cast<std::int64_t>(values.size())},
                caller.at);
  }
  template <class T>
  static Tensor from(std::initializer_list<T> values, const Shape& shape,
                     SourceLocation at = SourceLocation::current()) {
    return from(std::span<const T>(values.begin(), values.size()), shape, at);
  }
  /// A tensor over memory that is not its own: nothing is copied. `owner` is kept as long as the tensor or a view of it
  /// lives; without one, the caller keeps the memory alive. Writes to that memory are not watched by a tape.
  template <class T>
  static Tensor borrow(T* elements, const Shape& shape, std::shared_ptr<void> owner = {},
                       SourceLocation at = SourceLocation::current()) {
    return borrow_bytes(elements, dtype_of<T>, shape, std::move(owner), at);
  }

  bool defined() const { return block_ != nullptr; }
  /// A tensor has no truth value: compare, then reduce with item().
  explicit operator bool() const = delete;

  /// Like ndim(), size(), shape(), strides() and is_contiguous() on the path of every op, and so not checked: ask
  /// `defined()` first where a tensor may hold nothing.
  DType dtype() const { return block_->dtype(); }
  int ndim() const { return block_->ndim(); }
  /// The number of elements.
  std::int64_t size() const { return block_->size; }
  Shape shape() const {
    return Shape(std::span<const std::int64_t>(block_->shape, static_cast<std::size_t>(block_->ndim())));
  }
  /// The size of one axis; negative ones count from the end. Throws when there is no such axis.
  std::int64_t shape(int axis, SourceLocation at = SourceLocation::current()) const;
  /// The distance between neighbours along each axis, in elements.
  std::array<std::int64_t, max_rank> strides() const;
  bool is_contiguous() const { return !(block_->flags & detail::strided_flag); }

  /// The value of a tensor of one element. Throws for any other size.
  double item(SourceLocation at = SourceLocation::current()) const;
  /// The value at an index (one number per axis, negative ones count from the end). Throws when out of range.
  double at(std::initializer_list<std::int64_t> index, SourceLocation at = SourceLocation::current()) const;

  /// The elements of a contiguous tensor, to read. Throws for another dtype or a view that is not contiguous.
  template <class T>
  std::span<const T> span(SourceLocation at = SourceLocation::current()) const {
    check_span(dtype_of<std::remove_const_t<T>>, at);
    return {reinterpret_cast<const T*>(block_->data), static_cast<std::size_t>(block_->size)};
  }
  /// The elements, to write: counts as a mutation of this tensor at the caller's line. `span<const T>()` only reads.
  template <class T>
  std::span<T> span(SourceLocation at = SourceLocation::current()) {
    check_span(dtype_of<std::remove_const_t<T>>, at);
    if constexpr (!std::is_const_v<T>) mark_changed("span", at);
    return {reinterpret_cast<T*>(block_->data), static_cast<std::size_t>(block_->size)};
  }

  /// Elements start, start + step, ... before stop along one axis, as a view (NumPy's x[start:stop:step]; negative
  /// positions count from the end, positions beyond the end are cut). Differentiable. Throws for step 0.
  Tensor slice(int axis, std::int64_t start, std::int64_t stop, std::int64_t step = 1,
               SourceLocation at = SourceLocation::current()) const;
  /// The same values as another dtype; itself when it has that dtype already. Differentiable between f32 and f64.
  Tensor to(DType type, SourceLocation at = SourceLocation::current()) const;
  /// A contiguous copy with elements and identity of its own, unknown to any tape.
  Tensor clone() const;

  // ---- for the library and for own ops ----

  /// Uninitialised elements.
  static Tensor empty(const Shape& shape, DType type = f32);
  /// Uninitialised, with the shape and dtype of `other`.
  static Tensor like(const Tensor& other) { return like(*other.block_); }
  static Tensor like(const detail::Block& other) {
    if (other.flags & detail::special_flags) [[unlikely]]
      return empty_like_special(other);
    detail::Block* b = detail::allocate_small(other.size_class);
    b->size = other.size;
    b->type = other.type;
    std::memcpy(b->shape, other.shape, sizeof b->shape);  // a fixed size: faster than a loop over ndim
    return Tensor(b);
  }
  /// A view of the elements of `base`: other shape, strides (in elements) and first element.
  static Tensor view(const Tensor& base, const Shape& shape, std::span<const std::int64_t> strides,
                     std::int64_t offset);

  explicit Tensor(detail::Block* adopted) : block_(adopted) {}
  static Tensor share(detail::Block* block) {
    detail::retain(block);
    return Tensor(block);
  }
  detail::Block* block() const { return block_; }
  detail::Block* release_block() { return std::exchange(block_, nullptr); }
  /// Takes over a reference; this handle is empty before.
  void adopt(detail::Block* block) { block_ = block; }
  template <class T>
  T* data() const {
    return reinterpret_cast<T*>(block_->data);
  }
  void* data() const { return block_->data; }
  /// True when this handle is the only one and the elements are its own, so that a result may be written over them.
  bool is_sole_owner() const {
    return block_->references.load(std::memory_order_acquire) == 1 &&
           !(block_->flags & (detail::view_flag | detail::borrowed_flag | detail::leaf_flag));
  }
  /// Records a mutation, so that a tape which saved these elements notices.
  void mark_changed(const char* by, SourceLocation at) {
    detail::Block* s = block_->storage();
    ++s->version;
    s->changed_by = by;
    s->changed_at = at;
  }

 private:
  static Tensor copy_of(const void* values, std::int64_t count, DType type, const Shape& shape, SourceLocation at);
  static Tensor borrow_bytes(void* elements, DType type, const Shape& shape, std::shared_ptr<void> owner,
                             SourceLocation at);
  static Tensor empty_like_special(const detail::Block& other);
  void check_span(DType wanted, SourceLocation at) const;

  detail::Block* block_ = nullptr;
};

/// "f32[64, 784]"
std::string describe(const Tensor& x);

/// NumPy's print: nested brackets, columns aligned, long axes shortened with "...".
std::ostream& operator<<(std::ostream& out, const Tensor& x);
std::string to_string(const Tensor& x);

}  // namespace tapegrad
