#pragma once
// Walks over models: the parameters, buffers and layers of plain structs, with their paths.
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "autograd/fields.h"
#include "autograd/gradients.h"
#include "autograd/model_parts.h"
#include "autograd/names.h"

namespace tapegrad {
namespace detail {

/// A walk. The visitor is called as `visitor(path, leaf)` for the leaves that it takes; `visitor.enter(path, object)`
/// and `visitor.leave(path, object)`, if it has them, are called around structs and layers.
template <class Visitor>
class ModelWalk {
 public:
  explicit ModelWalk(Visitor& visitor) : visitor_(visitor) {}

  template <class T>
  void walk(T& object) {
    using Type = std::remove_const_t<T>;
    static_assert(!std::is_array_v<Type>, "a model cannot hold a C array: use std::array");
    if constexpr (std::is_array_v<Type> || is_passed_over<Type>()) {
      return;
    } else if constexpr (std::is_same_v<Type, nn::Name>) {
      object.set(path_);
    } else if constexpr (is_leaf<Type>) {
      hand_over(object);
    } else if constexpr (HasFields<Type>) {
      enter(object);
      walk_fields(object, typename Type::fields{});
      leave(object);
    } else if constexpr (Sequence<Type>) {
      std::size_t index = 0;
      for (auto& element : object) walk_element(element, index++);
    } else if constexpr (PointsToOne<Type>) {
      if (object) walk(*object);
    } else if constexpr (TupleLike<Type>) {
      walk_tuple(object, std::make_index_sequence<std::tuple_size_v<Type>>());
    } else {
      walk_struct(object);
    }
  }

 private:
  template <class T>
  void hand_over(T& leaf) {
    using Type = std::remove_const_t<T>;
    if constexpr (std::is_same_v<Type, Parameter>) {
      if (!leaf.defined()) return;
      auto& name = leaf.value().block()->name;
      const std::uint32_t known = name.load(std::memory_order_acquire);
      const std::uint32_t current = path_.name(known);
      if (current != known) name.store(current, std::memory_order_release);
    }
    if constexpr (std::is_invocable_v<Visitor&, const Path&, T&>) {
      visitor_(path_, leaf);
    } else {
      static_assert(!std::is_invocable_v<Visitor&, const Path&, Type&>,
                    "a model cannot hold a const layer or parameter: its values could not change");
    }
  }

  template <class T>
  void enter(T& object) {
    if constexpr (requires { visitor_.enter(path_, object); }) visitor_.enter(path_, object);
  }
  template <class T>
  void leave(T& object) {
    if constexpr (requires { visitor_.leave(path_, object); }) visitor_.leave(path_, object);
  }

  template <class T>
  void walk_step(T& field, std::string_view name) {
    using Type = std::remove_const_t<T>;
    if constexpr (!std::is_array_v<Type> && is_passed_over<Type>()) {
      return;
    } else if constexpr (std::is_same_v<Type, nn::Name> || std::is_same_v<Type, nn::Mode>) {
      walk(field);  // these belong to the layer that holds them
    } else {
      const Path::Step step(path_, name);
      walk(field);
    }
  }

  template <class T>
  void walk_element(T& element, std::size_t index) {
    const Path::Step step(path_, index);
    walk(element);
  }

  template <class T, auto... members>
  void walk_fields(T& object, nn::Fields<members...>) {
    (walk_step(object.*members, member_name<members>()), ...);
  }

  template <class T, auto member>
  void walk_fields(T& object, nn::Elements<member>) {
    walk(object.*member);
  }

  template <class T, std::size_t... I>
  void walk_tuple(T& tuple, std::index_sequence<I...>) {
    const auto walk_one = [&](auto& element, std::size_t index) {
      if constexpr (!is_passed_over<std::remove_cvref_t<decltype(element)>>()) walk_element(element, index);
    };
    (walk_one(std::get<I>(tuple), I), ...);
  }

  template <class T>
  void walk_struct(T& object) {
    using Type = std::remove_const_t<T>;
    static_assert(std::is_aggregate_v<Type>,
                  "the parameters of this type cannot be found: it has constructors, private members or virtual "
                  "functions. Remove them, or write in it `using fields = nn::Fields<&Type::weight, &Type::bias>;`. If "
                  "it holds no parameters (std::function, std::map, std::variant, ...), write after it `template <> "
                  "inline constexpr bool tapegrad::nn::no_parameters<Type> = true;`");
    if constexpr (std::is_aggregate_v<Type>) walk_aggregate(object);
  }

  template <class T>
  void walk_aggregate(T& object) {
    using Type = std::remove_const_t<T>;
    constexpr std::size_t count = field_count<Type>;
    static_assert(!has_base<Type>(),
                  "the fields of a struct with a base class cannot be found: make the base a member, or write in the "
                  "struct `using fields = nn::Fields<&Model::a, &Model::b>;`");
    if constexpr (!has_base<Type>()) {
      static_assert(
          count != uncountable,
          "the fields of this struct cannot be counted: it holds a reference (hold the value, or a pointer to "
          "what belongs to another model), or more than 64 fields (group some in a struct), or write in it "
          "`using fields = nn::Fields<&Model::a, &Model::b>;`");
      static_assert(
          count == uncountable || count <= most_fields,
          "a struct of more than 64 fields: group some in a struct, std::vector or std::array, or write in it "
          "`using fields = nn::Fields<&Model::a, &Model::b>;`");
      if constexpr (count <= most_fields) walk_counted(object);
    }
  }

  template <class T>
  void walk_counted(T& object) {
    using Type = std::remove_const_t<T>;
    static_assert(
        !has_array<Type>,
        "the fields of a struct with a C array cannot be found: use std::array, or write in the struct `using "
        "fields = nn::Fields<&Model::a, &Model::b>;` without the array");
    if constexpr (!has_array<Type>) walk_tied(object, std::make_index_sequence<field_count<Type>>());
  }

  template <class T, std::size_t... I>
  void walk_tied(T& object, std::index_sequence<I...>) {
    using Type = std::remove_const_t<T>;
    const auto tied = tie_fields_of_plain_struct<field_count<Type>>(object);
    static_assert(!tied.has_reference,
                  "a model cannot hold a reference: hold the value, or a pointer to what belongs to another model");
    if constexpr (!tied.has_reference) {
      enter(object);
      (walk_step(std::get<I>(tied.fields), field_name<Type, I>), ...);
      leave(object);
    }
  }

  Visitor& visitor_;
  Path path_;
};

/// Walks over a model (also a const one) and names its layers and parameters.
template <class Model, class Visitor>
void walk_model(Model& model, Visitor&& visitor) {
  ModelWalk<std::remove_reference_t<Visitor>>(visitor).walk(model);
}

/// Appends a parameter, unless it is there already: models may share one through std::shared_ptr.
void append_once(ParameterList& list, const Parameter& parameter);

/// The parameters in the order of the fields; no malloc once names and free lists have warmed up.
template <class Model>
ParameterList collect_parameters(const Model& model) {
  ParameterList list;
  walk_model(model, [&list](const Path&, const Parameter& parameter) { append_once(list, parameter); });
  return list;
}

}  // namespace detail

namespace nn {

/// A parameter with its path in the model. P is Parameter, or const Parameter for a const model.
template <class P>
struct NamedParameter {
  std::string name;
  P* parameter;
};

/// The parameters of a model in the order of its fields:
///     for (auto& [name, parameter] : nn::parameters(net)) nn::init::normal(*parameter, {.std = 0.02});
template <class Model>
auto parameters(Model& model) {
  using P = std::conditional_t<std::is_const_v<Model>, const Parameter, Parameter>;
  std::vector<NamedParameter<P>> list;
  detail::walk_model(model, [&list](const detail::Path& path, P& parameter) {
    for (const auto& known : list) {
      if (known.parameter == &parameter) return;  // shared through std::shared_ptr
    }
    list.push_back({std::string(path.text()), &parameter});
  });
  return list;
}

/// Tells every layer of the model its path, as an optimizer, a gradient or a summary do too.
template <class Model>
void name(const Model& model) {
  detail::walk_model(model, [](const detail::Path&, const Parameter&) {});
}

}  // namespace nn
}  // namespace tapegrad
