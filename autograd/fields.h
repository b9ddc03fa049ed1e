#pragma once
// The fields of a plain struct and their names, found by the compiler: what C++20 offers in place of reflection.
//
// - Their number is that of the initialisers that the aggregate takes.
// - References to them come from structured bindings (reflect_bindings.h).
// - Their names are read from __PRETTY_FUNCTION__ of a function that has a field's address as its template argument.
#include <cstddef>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "autograd/reflect_bindings.h"

// What is declared here is never called, so it needs no definition; Clang warns of that for models without linkage.
#ifdef __clang__
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wundefined-var-template"
#pragma clang diagnostic ignored "-Wundefined-internal"
#endif

namespace tapegrad::detail {

inline constexpr std::size_t most_fields = 64;
inline constexpr std::size_t uncountable = static_cast<std::size_t>(-1);

// ---- counting ----

/// Stands for an initialiser of any type but T (else T{any} would be a copy of T).
template <class T>
struct AnythingBut {
  template <class U>
    requires(!std::is_same_v<std::remove_cvref_t<U>, T>)
  operator U() const noexcept;
};

template <class T>
struct OnlyBaseOf {
  template <class U>
    requires(!std::is_same_v<std::remove_cvref_t<U>, T> && std::is_base_of_v<U, T>)
  operator U() const noexcept;
};

template <class T, std::size_t>
using Initialiser = AnythingBut<T>;

template <class T, std::size_t... I>
constexpr bool takes(std::index_sequence<I...>) {
  return requires { T{Initialiser<T, I>{}...}; };
}

template <class T, std::size_t... Before, std::size_t... Inside, std::size_t... After>
constexpr bool takes_nested(std::index_sequence<Before...>, std::index_sequence<Inside...>,
                            std::index_sequence<After...>) {
  return requires { T{Initialiser<T, Before>{}..., {Initialiser<T, Inside>{}...}, Initialiser<T, After>{}...}; };
}

template <class T, std::size_t n>
constexpr std::size_t count_initialisers() {
  if constexpr (takes<T>(std::make_index_sequence<n>())) {
    return n;
  } else if constexpr (n == 0) {
    return uncountable;
  } else {
    return count_initialisers<T, n - 1>();
  }
}

/// The number of fields; an array counts as its elements. `uncountable` for a struct with a reference or with far too
/// many fields; most_fields + 1 stands for more than most_fields.
template <class T>
inline constexpr std::size_t field_count =
    std::is_empty_v<T> ? 0 : count_initialisers<T, (sizeof(T) < most_fields ? sizeof(T) : most_fields) + 1>();

// An initialiser of a base class comes before those of the fields.
template <class T, std::size_t... I>
constexpr bool takes_base(std::index_sequence<I...>) {
  return requires { T{OnlyBaseOf<T>{}, Initialiser<T, I>{}...}; } || requires { T{OnlyBaseOf<T>{}}; };
}

template <class T>
constexpr bool has_base() {
  if constexpr (field_count<T> == uncountable || field_count<T> == 0) {
    return requires { T{OnlyBaseOf<T>{}}; };
  } else {
    return takes_base<T>(std::make_index_sequence<field_count<T> - 1>());
  }
}

// ---- C arrays ----

template <class T, std::size_t i, std::size_t inside, std::size_t after>
inline constexpr bool fits = takes_nested<T>(std::make_index_sequence<i>(), std::make_index_sequence<inside>(),
                                             std::make_index_sequence<after>());

// Braces with k initialisers in place of initialiser i swallow a whole array, after which there are too many others.
template <class T, std::size_t i, std::size_t k>
constexpr bool is_array_of_at_least() {
  constexpr std::size_t left = field_count<T> - i;
  if constexpr (k > left) {
    return false;
  } else if constexpr (fits<T, i, k, left - k> && !fits<T, i, k, left - k + 1>) {
    return true;
  } else {
    return is_array_of_at_least<T, i, k + 1>();
  }
}

template <class T, std::size_t i>
constexpr bool is_array_at() {
  constexpr std::size_t after = field_count<T> - i - 1;
  // Cheap proofs that the field is one value: it takes these braces and the others still have a place each.
  if constexpr (fits<T, i, 0, after> || fits<T, i, 2, after> || fits<T, i, 1, after> || fits<T, i, 3, after>) {
    return false;
  } else {
    return is_array_of_at_least<T, i, 2>();
  }
}

template <class T, std::size_t... I>
constexpr bool any_array(std::index_sequence<I...>) {
  return (is_array_at<T, I>() || ...);
}

/// True when a field is a C array of two or more elements.
template <class T>
inline constexpr bool has_array = any_array<T>(std::make_index_sequence<field_count<T>>());

// ---- names ----

template <class T>
struct Holder {
  T value;
};
// Never defined and never read: only addresses inside it are compared to names.
template <class T>
extern const Holder<T> somewhere;

// A structural type, so that an address inside a member can be a template argument.
template <class P>
struct Address {
  P pointer;
};

// Not a string_view: GCC appends what it is an alias of, and every name would read "char".
template <auto value>
constexpr const char* pretty_value() {
  return __PRETTY_FUNCTION__;
}

constexpr std::string_view last_identifier(std::string_view text) {
  constexpr auto in_word = [](char c) {
    return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  };
  std::size_t end = text.size();
  while (end > 0 && !in_word(text[end - 1])) --end;
  std::size_t begin = end;
  while (begin > 0 && in_word(text[begin - 1])) --begin;
  return text.substr(begin, end - begin);
}

template <class T, std::size_t i>
constexpr std::string_view find_field_name() {
  constexpr auto pointer = &std::get<i>(tie_fields_of_plain_struct<field_count<T>>(somewhere<T>.value).fields);
  return last_identifier(pretty_value<Address<decltype(pointer)>{pointer}>());
}

/// The name of field i of an aggregate.
template <class T, std::size_t i>
inline constexpr std::string_view field_name = find_field_name<T, i>();

/// The name of a member, without the underscore at the end of a private one.
template <auto member>
constexpr std::string_view member_name() {
  const std::string_view name = last_identifier(pretty_value<member>());
  return name.ends_with('_') ? name.substr(0, name.size() - 1) : name;
}

template <class T>
constexpr const char* pretty_type() {
  return __PRETTY_FUNCTION__;
}

/// The name of a class as its author wrote it, without namespaces: "Dense", "Residual<Dense>".
template <class T>
constexpr std::string_view type_name() {
  std::string_view text = pretty_type<T>();
  text.remove_prefix(text.find("T = ") + 4);
  text = text.substr(0, text.find_last_of(']'));
  std::size_t begin = 0;
  int depth = 0;
  for (std::size_t k = 0; k + 1 < text.size(); ++k) {
    if (text[k] == '<' || text[k] == '(') ++depth;
    if (text[k] == '>' || text[k] == ')') --depth;
    if (depth == 0 && text[k] == ':' && text[k + 1] == ':') begin = k + 2;
  }
  return text.substr(begin);
}

}  // namespace tapegrad::detail

#ifdef __clang__
#pragma clang diagnostic pop
#endif
