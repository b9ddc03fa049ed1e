#pragma once
// Kinds of callables: a plain function or lambda, whose captures are its own affair, or an object that may hold
// parameters, such as a model. And how transforms call them.
#include <functional>
#include <string_view>
#include <vector>

#include "autograd/arg.h"
#include "autograd/fields.h"
#include "autograd/model_parts.h"

namespace tapegrad::detail {

template <class T>
inline constexpr bool is_std_function = false;
template <class Signature>
inline constexpr bool is_std_function<std::function<Signature>> = true;

/// A lambda.
template <class T>
constexpr bool is_closure() {
  constexpr std::string_view name = type_name<T>();
  return name.starts_with("<lambda") || name.starts_with("(lambda at");
}

template <class T>
inline constexpr bool is_plain_function =
    std::is_pointer_v<T> || is_std_function<T> || is_closure<T>() || nn::no_parameters<T>;

// ---- functions of tensors ----

using TensorFunction = std::function<Tensor(const std::vector<Tensor>&)>;

/// f(x), with the line of the caller when f takes an Arg.
template <class F>
Tensor call_with_line(F& f, const Tensor& x, SourceLocation at) {
  if constexpr (has_one_signature<std::decay_t<F>>) {
    if constexpr (std::is_invocable_v<F&, Arg>) return f(Arg(x, at));
  }
  return f(x);
}

/// A function of one tensor as one of a list of tensors.
template <class F>
TensorFunction of_list(F& f, SourceLocation at) {
  return [&f, at](const std::vector<Tensor>& x) -> Tensor { return call_with_line(f, x[0], at); };
}

}  // namespace tapegrad::detail
