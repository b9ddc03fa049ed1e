#pragma once
// Functions of functions: gradients, Jacobians and Hessians of a callable at a point.
//
//     Tensor slope = grad(f, x);                        // of f(x), which is one number
//     auto [loss, gradients] = value_and_grad(f, net);  // with respect to a model's parameters: f takes the model
//     auto [y, pullback] = vjp(f, x);                   // vjp.h
//     auto [y, dy] = jvp(f, x, v);                      // jvp.h
//     Tensor j = jacobian(f, x), h = hessian(f, x), hv = hvp(f, x, v);
//
// They are made of tapes. So they nest, and under a tape of the caller's their results can be differentiated once more.
// f takes a tensor, a `const std::vector<Tensor>&`, or a model, and returns a tensor.
#include "autograd/jvp.h"
#include "autograd/tape.h"
#include "autograd/vjp.h"

namespace tapegrad {

/// f's value, and its gradient: a tensor, a vector of tensors, or the Gradients of a model.
template <class G>
struct ValueAndGrad {
  Tensor value;
  G gradient;
};

struct GradOptions {
  bool allow_unused = false;  ///< zeros for what f does not depend on, instead of an Error
};

/// How hvp differentiates the gradient.
enum class HvpMode : std::uint8_t {
  reverse_over_reverse,  ///< v pulled back through the gradient
  forward_over_reverse   ///< jvp of the gradient
};

struct HvpOptions {
  HvpMode mode = HvpMode::reverse_over_reverse;
};

namespace detail {

template <class M>
concept Model = !std::is_convertible_v<const M&, const Tensor&> && !std::is_same_v<M, std::vector<Tensor>>;

ValueAndGrad<std::vector<Tensor>> value_and_grad(const TensorFunction& f, std::vector<Tensor> xs,
                                                 const GradOptions& options, SourceLocation at);
ValueAndGrad<Gradients> value_and_grad(const std::function<Tensor()>& f, const ParameterList& parameters,
                                       const GradOptions& options, SourceLocation at);
Tensor jacobian(const TensorFunction& f, const Tensor& x, SourceLocation at);
Tensor hvp(const TensorFunction& f, const Tensor& x, const Tensor& v, HvpOptions options, SourceLocation at);
Gradients hvp(const std::function<Tensor()>& f, const ParameterList& parameters, const Gradients& v, SourceLocation at);

}  // namespace detail

/// f(x) and the gradient of f at x, of x's shape and dtype. Throws when f's value is not one number, when it does not
/// depend on x (unless `allow_unused`), and for an integer x.
template <class F>
  requires std::is_invocable_v<F&, const Tensor&>
ValueAndGrad<Tensor> value_and_grad(F&& f, const Tensor& x, const GradOptions& options = {},
                                    SourceLocation at = SourceLocation::current()) {
  auto all = detail::value_and_grad(detail::of_list(f, at), {x}, options, at);
  return {std::move(all.value), std::move(all.gradient.front())};
}

/// ... with respect to several tensors.
template <class F>
  requires std::is_invocable_v<F&, const std::vector<Tensor>&>
ValueAndGrad<std::vector<Tensor>> value_and_grad(F&& f, const std::vector<Tensor>& xs, const GradOptions& options = {},
                                                 SourceLocation at = SourceLocation::current()) {
  return detail::value_and_grad([&f](const std::vector<Tensor>& v) { return Tensor(f(v)); }, xs, options, at);
}

/// ... with respect to the parameters of a model:
///     auto [loss, gradients] = value_and_grad([&](const Net& net) { return mse(net(x), y); }, net);
///     adam.step(gradients);
template <class F, detail::Model Model>
  requires std::is_invocable_v<F&, const Model&>
ValueAndGrad<Gradients> value_and_grad(F&& f, const Model& model, const GradOptions& options = {},
                                       SourceLocation at = SourceLocation::current()) {
  return detail::value_and_grad([&] { return Tensor(f(model)); }, detail::collect_parameters(model), options, at);
}

/// The gradient alone: see value_and_grad.
template <class F, class X>
auto grad(F&& f, const X& x, const GradOptions& options = {}, SourceLocation at = SourceLocation::current()) {
  return value_and_grad(f, x, options, at).gradient;
}

/// The derivatives of every element of f(x) with respect to every element of x, J[i..., j...] = d f(x)[i...] / d x[j...]:
/// the shape is that of f(x) followed by that of x. It takes one walk per element of the result, or one forward sweep per
/// element of x, whichever are fewer; f then runs once per element, with the same random numbers. It has x's dtype, and
/// zeros where f does not depend on x.
template <class F>
  requires std::is_invocable_v<F&, const Tensor&>
Tensor jacobian(F&& f, const Tensor& x, SourceLocation at = SourceLocation::current()) {
  return detail::jacobian(detail::of_list(f, at), x, at);
}

/// The second derivatives of a function with one number as its value, H[i..., j...] = d^2 f / dx[i...] dx[j...]: the shape
/// is that of x, twice.
template <class F>
  requires std::is_invocable_v<F&, const Tensor&>
Tensor hessian(F&& f, const Tensor& x, SourceLocation at = SourceLocation::current()) {
  return jacobian([&f, at](const Tensor& v) { return grad(f, v, {.allow_unused = true}, at); }, x, at);
}

/// The Hessian times a vector, without the Hessian: sum_j d^2 f / dx_i dx_j v_j. v has the shape and dtype of x.
template <class F>
  requires std::is_invocable_v<F&, const Tensor&>
Tensor hvp(F&& f, const Tensor& x, const Tensor& v, HvpOptions options = {},
           SourceLocation at = SourceLocation::current()) {
  return detail::hvp(detail::of_list(f, at), x, v, options, at);
}

/// ... for the parameters of a model, reverse over reverse. v is a direction in their space, such as a gradient.
template <class F, detail::Model Model>
  requires std::is_invocable_v<F&, const Model&>
Gradients hvp(F&& f, const Model& model, const Gradients& v, SourceLocation at = SourceLocation::current()) {
  return detail::hvp([&] { return Tensor(f(model)); }, detail::collect_parameters(model), v, at);
}

}  // namespace tapegrad
