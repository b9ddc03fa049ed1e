#pragma once
// Arg: how ops take a tensor. The implicit conversion carries the caller's line, also through operators.
#include <type_traits>

#include "autograd/tensor.h"

namespace tapegrad {

class Parameter;

template <class T>
concept Number = std::is_arithmetic_v<T>;

/// A tensor, a parameter or a number as an argument of an op, with the line at which it was passed. A number is weakly
/// typed: it takes the dtype of the tensor that it meets (an integer tensor that meets a fraction becomes f32).
class Arg {
 public:
  Arg(const Tensor& x, SourceLocation at = SourceLocation::current()) : tensor_(&x), kind_(Kind::tensor), at_(at) {}
  /// An expiring tensor: the op may write its result over it, when nobody else holds it.
  Arg(Tensor&& x, SourceLocation at = SourceLocation::current()) : tensor_(&x), kind_(Kind::expiring), at_(at) {}
  Arg(const Parameter& x, SourceLocation at = SourceLocation::current());
  template <Number T>
  Arg(T value, SourceLocation at = SourceLocation::current())
      : tensor_(nullptr),
        kind_(std::is_floating_point_v<T> ? Kind::real : Kind::integer),
        at_(at),
        number_(static_cast<double>(value)) {}

  // A copy does not pass on the permission to write over the tensor: the original may be used again.
  Arg(const Arg& other)
      : tensor_(other.is_number() ? nullptr : other.tensor_),
        kind_(other.kind_ == Kind::expiring ? Kind::tensor : other.kind_),
        at_(other.at_) {
    if (is_number()) number_ = other.number_;
  }
  Arg& operator=(const Arg&) = delete;

  SourceLocation at() const { return at_; }
  bool is_number() const { return kind_ >= Kind::integer; }
  bool is_integer_number() const { return kind_ == Kind::integer; }
  /// Only when is_number().
  double number() const { return number_; }
  /// The tensor; of a number, a 0-dim one of `number_type` (a fraction is never rounded to an integer: it is f32 then).
  const Tensor& tensor(DType number_type = f32) const {
    if (!is_number()) [[likely]]
      return *tensor_;
    return materialize(number_type);
  }
  operator const Tensor&() const { return tensor(); }
  /// The tensor's block; null for a number or an empty handle.
  detail::Block* block_or_null() const { return is_number() ? nullptr : tensor_->block(); }
  bool is_expiring() const { return kind_ == Kind::expiring; }
  /// Takes the expiring tensor over. Only when is_expiring().
  Tensor take() const { return std::move(const_cast<Tensor&>(*tensor_)); }

 private:
  enum class Kind : std::uint8_t { tensor, expiring, integer, real };
  const Tensor& materialize(DType type) const;

  // No two words that are set for a tensor lie side by side: a compiler would write them as one, out of a register into
  // which it first has to pack them, and two of these are made per op.
  const Tensor* tensor_;
  Kind kind_;
  SourceLocation at_;
  double number_;                // not set for a tensor
  mutable Tensor materialized_;  // of a number
};

namespace detail {

/// A function, or an object with one operator() that is no template. It may be asked whether it takes Args, which carry
/// a line; the body of a generic lambda need not compile for them.
template <class F>
inline constexpr bool has_one_signature = std::is_pointer_v<F> || requires { &F::operator(); };

}  // namespace detail

}  // namespace tapegrad
