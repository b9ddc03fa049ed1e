#pragma once
// Forward mode: the derivative of a function along a direction, by a sweep forward over what the function recorded.
#include <vector>

#include "autograd/callable.h"
#include "autograd/tape.h"

namespace tapegrad {

/// A value, and its derivative along a direction: of the same shape and dtype.
struct ValueAndTangent {
  Tensor value;
  Tensor tangent;
};

namespace detail {

ValueAndTangent run_jvp(const TensorFunction& f, std::vector<Tensor> x, const std::vector<Tensor>& v,
                        SourceLocation at);

}  // namespace detail

/// f(x) and its derivative along v, the Jacobian of f at x times v:
///
///   auto [y, dy] = jvp(f, x, v);
///
/// f is any function of a tensor that returns one; x is floating, and v has its shape and dtype. f runs once, on a tape
/// of its own, over which a sweep forward carries the tangents: about the work of two or three runs of f, whatever the size
/// of x and y. What f uses besides x is a constant, parameters too. Where y does not depend on x, or is not floating, dy
/// is 0. A tape that is open around it records the sweep as well, so it can be differentiated: by gradient(), or by jvp
/// again. Throws when v does not fit x, when f changes a tensor that a derivative reads, and what f throws.
template <class F>
ValueAndTangent jvp(F&& f, Arg x, Arg v) {
  const SourceLocation at = x.at();
  const Tensor& point = x.tensor();
  const auto call = [&](const std::vector<Tensor>& in) -> Tensor { return detail::call_with_line(f, in[0], at); };
  return detail::run_jvp(call, {point}, {v.tensor(point.defined() ? point.dtype() : f32)}, at);
}
/// ... of several tensors along one direction in all of them; f takes a std::vector<Tensor>.
template <class F>
ValueAndTangent jvp(F&& f, const std::vector<Tensor>& x, const std::vector<Tensor>& v,
                    SourceLocation at = SourceLocation::current()) {
  const auto call = [&](const std::vector<Tensor>& in) -> Tensor { return f(in); };
  return detail::run_jvp(call, x, v, at);
}

/// What an op's forward rule sees while the sweep is at its entry: the tangents of its inputs, and what the op saved.
class Tangents {
 public:
  /// True when input k has a tangent; an input without one is a constant.
  bool has(int k) const { return tangent_in(k) != nullptr; }
  /// The tangent of input k, of that input's shape and dtype. Throws when it has none.
  Tensor operator[](int k) const;
  /// Input k as it was in the forward pass: saved when the gradient of a tracked input reads it (`uses`). Throws when
  /// its elements were changed since.
  const Tensor& input(int k) const { return walk_.input(k); }
  /// The op's output, when it was saved.
  const Tensor& output() const { return walk_.output(); }
  /// The tensor that the op saved in one of its slots.
  const Tensor& saved(std::size_t slot) const { return walk_.saved(slot); }
  /// Hands over a part of the result's tangent, of the result's shape and dtype. Parts are added up; no part is 0.
  void give(Tensor part);
  /// The shape and dtype of the result.
  Shape shape() const;
  DType dtype() const;
  template <class T>
  const T& attributes() const {
    return walk_.attributes<T>();
  }
  const detail::Op& op() const { return walk_.op(); }
  SourceLocation at() const { return walk_.at(); }

 private:
  friend ValueAndTangent detail::run_jvp(const detail::TensorFunction&, std::vector<Tensor>, const std::vector<Tensor>&,
                                         SourceLocation);
  Tangents(std::uint32_t first, std::uint32_t last);
  void mark_what_leads_to_the_last();
  void sweep(SourceLocation at);
  void load(std::uint32_t i);
  bool has_any() const;
  Tensor tangent_of_entry(std::uint32_t i, SourceLocation at);
  void transpose_vjp();
  std::uint64_t& slot(std::uint32_t i) const { return detail::record.slots[base_ + i - first_]; }
  detail::Block* tangent_in(int k) const;

  Walk walk_;   // stands at the entry
  Tensor sum_;  // of the parts that were given
  std::uint32_t first_, last_, base_;
  std::uint32_t cotangents_ = 0;  // the slots to which vjp rules give; 0: none yet
};

}  // namespace tapegrad
