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
  Arg(const Tensor& x, SourceLocation at = SourceLocation::current()) : tensor_(&x), at_(at) {}
  /// An expiring tensor: the op may write its result over it, when nobody else holds it.
  Arg(Tensor&& x, SourceLocation at = SourceLocation::current()) : tensor_(&x), at_(at), expiring_(true) {}
  Arg(const Parameter& x, SourceLocation at = SourceLocation::current());
  template <Number T>
  Arg(T value, SourceLocation at = SourceLocation::current())
      : number_(static_cast<double>(value)), at_(at), kind_(std::is_floating_point_v<T> ? Kind::real : Kind::integer) {}

  // A copy does not pass on the permission to write over the tensor: the original may be used again.
  Arg(const Arg& other)
      : tensor_(other.tensor_ == &other.materialized_ ? nullptr : other.tensor_),
        number_(other.number_),
        at_(other.at_),
        kind_(other.kind_) {}
  Arg& operator=(const Arg&) = delete;

  SourceLocation at() const { return at_; }
  bool is_number() const { return kind_ != Kind::tensor; }
  bool is_integer_number() const { return kind_ == Kind::integer; }
  double number() const { return number_; }
  /// The tensor; of a number, a 0-dim one of `number_type` (a fraction is never rounded to an integer: it is f32 then).
  const Tensor& tensor(DType number_type = f32) const {
    if (tensor_) [[likely]]
      return *tensor_;
    return materialize(number_type);
  }
  operator const Tensor&() const { return tensor(); }
  bool is_expiring() const { return expiring_; }
  /// Takes the expiring tensor over. Only when is_expiring().
  Tensor take() const { return std::move(const_cast<Tensor&>(*tensor_)); }

 private:
  enum class Kind : std::uint8_t { tensor, integer, real };
  const Tensor& materialize(DType type) const;

  mutable const Tensor* tensor_ = nullptr;
  mutable Tensor materialized_;
  double number_ = 0;
  SourceLocation at_;
  Kind kind_ = Kind::tensor;
  bool expiring_ = false;
};

}  // namespace tapegrad
