#pragma once
// Gradients: what Tape::gradient(loss, model) returns, one tensor per parameter, in the order of the model's fields.
#include <iterator>
#include <optional>
#include <string_view>
#include <vector>

#include "autograd/parameter.h"

namespace tapegrad {
namespace detail {

/// A parameter of a model as a walk over the model found it.
struct NamedBlock {
  std::uint32_t name;  // interned path
  Block* block;        // borrowed from the model
};
using ParameterList = CachedVector<NamedBlock>;

/// Where element i of a contiguous tensor is, for a kernel that works on a range.
inline std::byte* element_at(const Tensor& x, std::int64_t i) {
  return x.data<std::byte>() + static_cast<std::size_t>(i) * size_of(x.dtype());
}

/// A parameter as the key of a look-up, with the line of the look-up.
struct ParameterAt {
  ParameterAt(const Parameter& p, SourceLocation at = SourceLocation::current()) : parameter(p), line(at) {}
  const Parameter& parameter;
  SourceLocation line;
};

}  // namespace detail

/// The gradient of a table of which few rows were used: 0 but in these rows.
struct TouchedRows {
  Tensor rows;    ///< i64 [n], ascending, each once
  Tensor values;  ///< [n, ...]: their gradients
};

/// The gradients of a loss with respect to the parameters of a model. They know the identity of their parameters, so an
/// optimizer cannot apply them to others. Parameters that the loss did not reach (`allow_unused`) have none: iteration
/// passes over them and `unused()` lists them. Arithmetic on gradients is never recorded by a tape.
///
///     for (auto [name, gradient] : tape.gradient(loss, net)) std::cout << name << '\n' << gradient;
///
/// The gradient of a table that only look-ups with {.sparse = true} used (embedding()) is kept by the rows that they
/// touched. Iteration then gives the values of these rows, without the rows of zeros between them; touched_rows() tells
/// which they are, and at() and [] make a tensor of the table's shape. Optimizers change the touched rows only.
class Gradients {
  struct Item {
    std::uint32_t name;
    Tensor parameter;  // its identity, kept alive
    Tensor gradient;   // nothing, when the loss did not reach the parameter
    Tensor rows;       // when `gradient` has these rows only
  };

 public:
  template <class T>
  struct Entry {
    const std::string& name;
    T& gradient;
  };

  template <class ItemPointer, class T>
  class Iterator {
   public:
    using value_type = Entry<T>;
    using difference_type = std::ptrdiff_t;
    using iterator_category = std::input_iterator_tag;

    Iterator() = default;
    Iterator(ItemPointer item, ItemPointer end) : item_(item), end_(end) { skip_unused(); }
    Entry<T> operator*() const { return {detail::interned(item_->name), item_->gradient}; }
    Iterator& operator++() {
      ++item_;
      skip_unused();
      return *this;
    }
    Iterator operator++(int) { return std::exchange(*this, std::next(*this)); }
    friend bool operator==(const Iterator& a, const Iterator& b) { return a.item_ == b.item_; }

   private:
    void skip_unused() {
      while (item_ != end_ && !item_->gradient.defined()) ++item_;
    }
    ItemPointer item_ = nullptr;
    ItemPointer end_ = nullptr;
  };
  using const_iterator = Iterator<const Item*, const Tensor>;
  using iterator = Iterator<Item*, Tensor>;

  /// The gradient of the parameter with that path ("hidden.weight"). Throws when there is none, with the nearest name.
  Tensor at(std::string_view name, SourceLocation at = SourceLocation::current()) const;
  /// The gradient of that very parameter. Throws when it is not of the model, or was not reached.
  Tensor operator[](const detail::ParameterAt& key) const;
  /// The gradient of the parameter with that path by touched rows; nothing where it is kept as a tensor. Throws as
  /// at().
  std::optional<TouchedRows> touched_rows(std::string_view name, SourceLocation at = SourceLocation::current()) const;

  const_iterator begin() const { return {items_.data(), items_.data() + items_.size()}; }
  const_iterator end() const { return {items_.data() + items_.size(), items_.data() + items_.size()}; }
  iterator begin() { return {items_.data(), items_.data() + items_.size()}; }
  iterator end() { return {items_.data() + items_.size(), items_.data() + items_.size()}; }

  /// The number of parameters that have a gradient.
  std::size_t size() const;
  /// The names of the parameters that the loss did not reach.
  std::vector<std::string> unused() const;

  /// Adds gradients of the same parameters (of another batch, say). Touched rows stay touched rows where both are.
  /// Throws when the parameters are others.
  Gradients& operator+=(const Gradients& other);
  Gradients& operator*=(double factor);
  /// Moves every element into [low, high]; NaN stays NaN. Touched rows become a tensor when 0 is not in there.
  Gradients& clip(double low, double high);
  /// The Euclidean norm of all elements together, sqrt(sum g^2). Sums of f32 are taken in short blocks and combined in
  /// double.
  double norm() const;

  // ---- for the tape and the optimizers ----

  void reserve(std::size_t parameters) { items_.reserve(parameters); }
  void append(std::uint32_t name, detail::Block* parameter, Tensor gradient) {
    items_.push_back({name, Tensor::share(parameter), std::move(gradient), {}});
  }
  void append(std::uint32_t name, detail::Block* parameter, TouchedRows rows) {
    items_.push_back({name, Tensor::share(parameter), std::move(rows.values), std::move(rows.rows)});
  }
  /// Calls f(name number, parameter, gradient, rows) for every parameter that has a gradient; `rows` is an empty handle
  /// where that is a tensor of the parameter's shape.
  template <class F>
  void for_each(F&& f) const {
    for (const Item& item : items_) {
      if (item.gradient.defined()) f(item.name, item.parameter, item.gradient, item.rows);
    }
  }

 private:
  std::vector<std::string> names() const;
  const Item& item(std::string_view name, SourceLocation at) const;
  static Tensor dense(const Item& item);
  static void add(Item& item, const Item& other);

  detail::CachedVector<Item> items_;
};

}  // namespace tapegrad
