#pragma once
// Parameter: a tensor that is trained. Buffer: a tensor that a layer keeps up to date itself.
#include <atomic>
#include <vector>

#include "autograd/arg.h"
#include "autograd/names.h"

namespace tapegrad {

/// A trained tensor with an identity: every tape tracks it from its first use, and optimizers know it by its identity.
/// - Copy construction makes a new identity with equal values.
/// - Copy assignment writes the values into this one's elements; the identity stays. Shapes and dtypes must then agree,
///   unless this one is empty.
/// - A move carries the identity, also by assignment: an optimizer that held the old one then refuses to step.
class Parameter {
 public:
  /// Empty: `defined()` is false.
  Parameter() = default;
  /// Takes the values: the tensor's own elements when nobody else holds it, a copy otherwise. Throws for integers.
  explicit Parameter(Tensor values, SourceLocation at = SourceLocation::current());
  Parameter(const Parameter& other);
  Parameter& operator=(const Parameter& other);
  Parameter(Parameter&& other) noexcept = default;
  Parameter& operator=(Parameter&& other) noexcept = default;

  /// Writes new values of the same shape and dtype. A tape that saved the old ones notices.
  void assign(const Tensor& values, SourceLocation at = SourceLocation::current());

  bool defined() const { return value_.defined(); }
  operator const Tensor&() const { return value_; }
  const Tensor& value() const { return value_; }
  Shape shape() const { return value_.shape(); }
  std::int64_t shape(int axis, SourceLocation at = SourceLocation::current()) const { return value_.shape(axis, at); }
  DType dtype() const { return value_.dtype(); }
  int ndim() const { return value_.ndim(); }
  std::int64_t size() const { return value_.size(); }
  /// The path in the model ("hidden.weight"), once a walk over the model has met it.
  const std::string& name() const;

 private:
  Tensor value_;
};

/// Running statistics and the like: a const call of its layer may update it, no tape records it, a copy is deep.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(const Tensor& values) : value_(values.clone()) {}
  Buffer(const Buffer& other) : value_(other.defined() ? other.value_.clone() : Tensor()) {}
  Buffer& operator=(const Buffer& other) {
    value_ = other.defined() ? other.value_.clone() : Tensor();
    return *this;
  }
  Buffer(Buffer&& other) noexcept : value_(std::move(other.value_)) {}
  ~Buffer();
  Buffer& operator=(Buffer&& other) noexcept {
    value_ = std::move(other.value_);
    return *this;
  }

  bool defined() const { return value_.defined(); }
  operator const Tensor&() const { return value_; }
  const Tensor& value() const { return value_; }

  /// Writes new values of the same shape and dtype. Throws when another thread does the same at this moment.
  void assign(const Tensor& values, SourceLocation at = SourceLocation::current()) const;

  /// The right to write, for as long as it lives: what new values are computed from is then not written by another
  /// thread. Throws when another thread has it; until it ends, write through it only.
  class Writer {
   public:
    explicit Writer(const Buffer& buffer, SourceLocation at = SourceLocation::current());
    ~Writer() { buffer_.busy_.store(false, std::memory_order_release); }
    Writer(const Writer&) = delete;
    Writer& operator=(const Writer&) = delete;
    void assign(const Tensor& values, SourceLocation at = SourceLocation::current()) const;

   private:
    const Buffer& buffer_;
  };

  /// Puts another tensor in its place and returns the old one.
  Tensor exchange(Tensor other) const { return std::exchange(value_, std::move(other)); }

 private:
  mutable Tensor value_;
  mutable std::atomic<bool> busy_{false};
};

namespace detail {

/// Notes what each buffer that this thread assigns held before it was first assigned, while the journal lives.
class BufferJournal {
 public:
  struct Note {
    const Buffer* buffer;
    Tensor value;
  };

  BufferJournal();
  ~BufferJournal();
  BufferJournal(const BufferJournal&) = delete;
  BufferJournal& operator=(const BufferJournal&) = delete;

  std::vector<Note> take() { return std::move(notes_); }
  static void note(const Buffer& buffer);
  static void forget(const Buffer& buffer) noexcept;  // it is no more

 private:
  BufferJournal* before_;
  std::vector<Note> notes_;
};

/// Copies the elements of `from` over those of `to`, and counts it as a mutation by `who`. Throws when shapes or dtypes
/// differ.
void overwrite(Tensor& to, const Tensor& from, const char* who, SourceLocation at);
[[noreturn]] void fail_empty_parameter(SourceLocation at);

}  // namespace detail

inline Arg::Arg(const Parameter& x, SourceLocation at) : tensor_(&x.value()), kind_(Kind::tensor), at_(at) {
  if (!x.defined()) [[unlikely]]
    detail::fail_empty_parameter(at);
}

}  // namespace tapegrad
