#pragma once
// Kinds of callables: a plain function or lambda, whose captures are its own affair, or an object that may hold
// parameters, such as a model.
#include <functional>
#include <string_view>

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

}  // namespace tapegrad::detail
