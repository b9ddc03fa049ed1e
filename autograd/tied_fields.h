#pragma once
// What structured bindings of a plain struct are turned into: references to its fields.
#include <cstddef>
#include <tuple>
#include <type_traits>

namespace tapegrad::detail {

template <bool reference, class... Fields>
struct TiedFields {
  static constexpr bool has_reference = reference;  // a field is declared as one
  std::tuple<Fields&...> fields;
};

template <class... Declared, class... Fields>
constexpr auto tie_values(Fields&... fields) {
  return TiedFields<(std::is_reference_v<Declared> || ...), Fields...>{{fields...}};
}

}  // namespace tapegrad::detail
