#pragma once
// What a model may hold, and how a class says what of it a walk visits.
//
// A model is a struct without constructors, base classes and private members; its fields are found by the compiler. A
// class lists what it trains: `using fields = nn::Fields<&Dense::weight, &Dense::bias, &Dense::name_>;`.
// Vectors, arrays, tuples, optionals, smart pointers and nested structs are walked; their elements are called 0, 1, ...
// Numbers, enums, strings, pointers, functions, shapes, plain tensors, generators, pointwise functions and objects
// without state hold no parameters and are passed over. Anything else is a compile error that says what to write: a
// parameter is never silently left out.
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>

#include "autograd/names.h"
#include "autograd/parameter.h"

namespace tapegrad {

namespace random {
class Generator;
}

namespace nn {

/// The members of a class that a walk visits. Written inside the class, so private ones work too. `Fields<>` says that
/// it has no parameters.
template <auto... members>
struct Fields {};

/// In place of Fields: the class is a container, and the elements of that member are its own (called 0, 1, ...).
template <auto member>
struct Elements {};

/// Says that a type holds no parameters, so that walks pass over it:
///     template <> inline constexpr bool tapegrad::nn::no_parameters<std::function<double(int)>> = true;
template <class T>
inline constexpr bool no_parameters = false;
template <>
inline constexpr bool no_parameters<Tensor> = true;
template <>
inline constexpr bool no_parameters<Shape> = true;
template <>
inline constexpr bool no_parameters<Axes> = true;
template <>
inline constexpr bool no_parameters<std::string> = true;
template <>
inline constexpr bool no_parameters<std::string_view> = true;
template <>
inline constexpr bool no_parameters<random::Generator> = true;

class Mode;

}  // namespace nn

namespace detail {

template <class T>
concept HasFields = requires { typename T::fields; };
template <class T>
concept PointsToOne = requires(T& pointer) {
  *pointer;
  static_cast<bool>(pointer);
  pointer.reset();
};
template <class T>
concept Sequence = requires(T& sequence) {
  typename T::value_type;
  sequence.begin();
  sequence.end();
  sequence.size();
} && !requires { typename T::key_type; };
template <class T>
concept TupleLike = requires { std::tuple_size<T>::value; };

/// What a walk hands over. Everything else it goes into.
template <class T>
inline constexpr bool is_leaf =
    std::is_same_v<T, Parameter> || std::is_same_v<T, Buffer> || std::is_same_v<T, nn::Mode>;

template <class T>
constexpr bool is_passed_over() {
  if constexpr (is_leaf<T> || std::is_same_v<T, nn::Name>) {
    return false;
  } else if constexpr (std::is_scalar_v<T> || nn::no_parameters<T>) {
    return true;
  } else if constexpr (HasFields<T>) {
    return std::is_same_v<typename T::fields, nn::Fields<>>;
  } else if constexpr (std::is_empty_v<T>) {
    return true;
  } else if constexpr (Sequence<T>) {
    return is_passed_over<std::remove_cv_t<typename T::value_type>>();
  } else {
    return false;
  }
}

}  // namespace detail
}  // namespace tapegrad
