#pragma once
// vjp: a function's value, and its pullback: cotangents of the result to cotangents of the inputs.
#include <memory>

#include "autograd/callable.h"
#include "autograd/tape.h"

namespace tapegrad {
namespace detail {

/// One call of a function with all that a tape recorded of it. Where a tape records already, the entries are that
/// tape's; else they are the call's own.
class RecordedCall {
 public:
  RecordedCall(const TensorFunction& f, const std::vector<Tensor>& inputs, SourceLocation at);
  ~RecordedCall();
  RecordedCall(const RecordedCall&) = delete;
  RecordedCall& operator=(const RecordedCall&) = delete;

  const Tensor& value() const;
  std::vector<Tensor> pull_back(const Tensor& cotangent, SourceLocation at);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace detail

/// u -> J' u, for the J of one call at one point. It may be called any number of times, but not by two threads at once,
/// and gives zeros for an input that the result does not depend on. Copies share what was recorded.
///
/// It owns that record, and may outlive the scope in which it was made. But a pullback that was made while a tape
/// recorded is part of that tape: what it computes is recorded there, so that it can be differentiated again, and it
/// throws once the tape has ended, or has been walked without being persistent. Made without a tape, it throws for a cotangent that a tape tracks.
template <class Cotangents>
class Pullback {
 public:
  explicit Pullback(std::shared_ptr<detail::RecordedCall> call) : call_(std::move(call)) {}

  /// The cotangent has the result's shape and dtype; those returned have the inputs'.
  Cotangents operator()(const Tensor& cotangent, SourceLocation at = SourceLocation::current()) const {
    std::vector<Tensor> all = call_->pull_back(cotangent, at);
    if constexpr (std::is_same_v<Cotangents, Tensor>) {
      return std::move(all.front());
    } else {
      return all;
    }
  }

 private:
  std::shared_ptr<detail::RecordedCall> call_;
};

template <class Cotangents>
struct Vjp {
  Tensor value;
  Pullback<Cotangents> pullback;
};

/// f(x) and the pullback of f at x:
///     auto [y, pullback] = vjp(f, x);
///     Tensor dx = pullback(dy);
/// f takes a tensor and returns one. Parameters in f are constants to the pullback. Throws for an integer x.
template <class F>
  requires std::is_invocable_v<F&, const Tensor&>
Vjp<Tensor> vjp(F&& f, const Tensor& x, SourceLocation at = SourceLocation::current()) {
  const auto call = std::make_shared<detail::RecordedCall>(detail::of_list(f, at), std::vector<Tensor>{x}, at);
  return {call->value(), Pullback<Tensor>(call)};
}

/// ... of a function of several tensors, which takes a `const std::vector<Tensor>&`.
template <class F>
  requires std::is_invocable_v<F&, const std::vector<Tensor>&>
Vjp<std::vector<Tensor>> vjp(F&& f, const std::vector<Tensor>& xs, SourceLocation at = SourceLocation::current()) {
  const auto call = std::make_shared<detail::RecordedCall>([&f](const auto& v) { return Tensor(f(v)); }, xs, at);
  return {call->value(), Pullback<std::vector<Tensor>>(call)};
}

}  // namespace tapegrad
