#pragma once
// checkpoint: memory for time. What a function computes between its inputs and its result is not kept.
#include "autograd/callable.h"
#include "autograd/vjp.h"

namespace tapegrad {
namespace detail {

Tensor checkpoint(TensorFunction f, const std::vector<Tensor>& inputs, SourceLocation at);

/// Functions are copied into the tape; a model that will live on is referred to, since a copy has other parameters.
template <class F>
auto held(F&& f) {
  using Type = std::remove_cvref_t<F>;
  if constexpr (std::is_lvalue_reference_v<F> && !is_plain_function<Type>) {
    return [&f](const auto&... x) { return Tensor(f(x...)); };
  } else if constexpr (std::is_copy_constructible_v<Type> && is_plain_function<Type>) {
    return [f = std::forward<F>(f)](const auto&... x) { return Tensor(f(x...)); };
  } else {
    return [f = std::make_shared<Type>(std::forward<F>(f))](const auto&... x) { return Tensor((*f)(x...)); };
  }
}

}  // namespace detail

/// f(x), of whose ops the tape keeps the inputs alone: a walk runs f once more and goes back through that (Chen, Xu,
/// Zhang and Guestrin, "Training deep nets with sublinear memory cost", 2016). Without a tape it is f(x).
///     for (const Block& block : blocks) x = checkpoint(block, x);
/// - Parameters and other tracked tensors that f uses without being handed them get their gradients.
/// - Random numbers of the default generator repeat, and a Buffer that f assigns is updated once.
/// - Checkpoints nest, and can be differentiated again.
/// f must compute the same when it runs again, and must not keep tensors: outside of f those are constants. A function or
/// lambda is copied; any other object, such as a model, is referred to. What either refers to must live, unchanged, until
/// the walk: also past the end of the function around it, when that is differentiated by grad, vjp or jvp.
/// Throws when f's second result has another shape or dtype than its first, or a parameter was changed in between.
template <class F>
  requires std::is_invocable_v<F&, const Tensor&>
Tensor checkpoint(F&& f, Arg x) {
  return detail::checkpoint([g = detail::held(std::forward<F>(f))](const auto& v) { return g(v[0]); }, {x.tensor()},
                            x.at());
}

/// ... of two tensors.
template <class F>
  requires std::is_invocable_v<F&, const Tensor&, const Tensor&>
Tensor checkpoint(F&& f, Arg a, Arg b) {
  return detail::checkpoint([g = detail::held(std::forward<F>(f))](const auto& v) { return g(v[0], v[1]); },
                            {a.tensor(), b.tensor()}, a.at());
}

/// ... of three.
template <class F>
  requires std::is_invocable_v<F&, const Tensor&, const Tensor&, const Tensor&>
Tensor checkpoint(F&& f, Arg a, Arg b, Arg c) {
  return detail::checkpoint([g = detail::held(std::forward<F>(f))](const auto& v) { return g(v[0], v[1], v[2]); },
                            {a.tensor(), b.tensor(), c.tensor()}, a.at());
}

}  // namespace tapegrad
