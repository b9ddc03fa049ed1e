// Tracing: a captureless generic lambda is called once with symbols and leaves its formula behind as a Program.
//
//   const Program swish = program::trace([](auto x) { return x * sigmoid(x); });
#pragma once

#include <array>
#include <cstddef>
#include <type_traits>
#include <utility>

#include "autograd/ops/program.h"

namespace tapegrad::program {

class Condition;

/// The value that a traced lambda computes with: a node of the graph under construction, or a number.
/// Its functions are found by argument-dependent lookup, from lambdas written anywhere.
class Symbol {
 public:
  template <class T>
    requires(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>)
  Symbol(T value) : value_(static_cast<double>(value)) {}  // NOLINT: numbers mix with symbols
  Symbol(Graph& graph, int node) : graph_(&graph), node_(node) {}

  /// A formula has no control flow: choose values with where(condition, a, b).
  explicit operator bool() const = delete;

  Symbol& operator+=(Symbol b) { return *this = *this + b; }
  Symbol& operator-=(Symbol b) { return *this = *this - b; }
  Symbol& operator*=(Symbol b) { return *this = *this * b; }
  Symbol& operator/=(Symbol b) { return *this = *this / b; }

  friend Symbol operator+(Symbol a) { return a; }
  friend Symbol operator-(Symbol a) { return apply(Primitive::negate, a); }
  friend Symbol operator+(Symbol a, Symbol b) { return apply(Primitive::add, a, b); }
  friend Symbol operator-(Symbol a, Symbol b) { return apply(Primitive::subtract, a, b); }
  friend Symbol operator*(Symbol a, Symbol b) { return apply(Primitive::multiply, a, b); }
  friend Symbol operator/(Symbol a, Symbol b) { return apply(Primitive::divide, a, b); }

  /// The node of this value in the graph; a number becomes a constant of it.
  int node_in(Graph& graph) const;
  Graph* graph() const { return graph_; }

  static Symbol apply(Primitive primitive, Symbol a);
  static Symbol apply(Primitive primitive, Symbol a, Symbol b);
  static Symbol apply(Primitive primitive, Symbol a, Symbol b, Symbol c);

 private:
  Graph* graph_ = nullptr;  // null: a number
  int node_ = -1;
  double value_ = 0;
};

/// The result of a comparison: a choice for `where`, not something to branch on.
class Condition {
 public:
  explicit Condition(Symbol mask) : mask_(mask) {}

  /// `if (x > 0)` does not compile: a formula has no control flow. Write where(x > 0, a, b).
  explicit operator bool() const = delete;

  Symbol mask() const { return mask_; }  // 1 or 0

 private:
  Symbol mask_;
};

inline Condition operator<(Symbol a, Symbol b) { return Condition(Symbol::apply(Primitive::less, a, b)); }
inline Condition operator>(Symbol a, Symbol b) { return Condition(Symbol::apply(Primitive::less, b, a)); }
inline Condition operator<=(Symbol a, Symbol b) { return Condition(Symbol::apply(Primitive::less_equal, a, b)); }
inline Condition operator>=(Symbol a, Symbol b) { return Condition(Symbol::apply(Primitive::less_equal, b, a)); }
inline Condition operator==(Symbol a, Symbol b) { return Condition(Symbol::apply(Primitive::equal, a, b)); }
inline Condition operator!=(Symbol a, Symbol b) { return Condition(Symbol::apply(Primitive::not_equal, a, b)); }
inline Condition operator&&(Condition a, Condition b) { return Condition(a.mask() * b.mask()); }
inline Condition operator||(Condition a, Condition b) {
  return Condition(Symbol::apply(Primitive::maximum, a.mask(), b.mask()));
}
inline Condition operator!(Condition a) { return Condition(Symbol::apply(Primitive::equal, a.mask(), 0)); }

/// condition ? a : b. NaN fails every comparison except `!=`.
inline Symbol where(Condition condition, Symbol a, Symbol b) {
  return Symbol::apply(Primitive::select, condition.mask(), a, b);
}

inline Symbol abs(Symbol x) { return Symbol::apply(Primitive::abs, x); }
inline Symbol sign(Symbol x) { return Symbol::apply(Primitive::sign, x); }
inline Symbol floor(Symbol x) { return Symbol::apply(Primitive::floor, x); }
inline Symbol ceil(Symbol x) { return Symbol::apply(Primitive::ceil, x); }
/// To the nearest integer, halves to the even one.
inline Symbol round(Symbol x) { return Symbol::apply(Primitive::round, x); }
inline Symbol relu(Symbol x) { return Symbol::apply(Primitive::relu, x); }
inline Symbol square(Symbol x) { return x * x; }
inline Symbol sqrt(Symbol x) { return Symbol::apply(Primitive::sqrt, x); }
/// 1 / sqrt(x)
inline Symbol rsqrt(Symbol x) { return Symbol::apply(Primitive::rsqrt, x); }
/// 1 / x
inline Symbol reciprocal(Symbol x) { return Symbol::apply(Primitive::reciprocal, x); }
inline Symbol exp(Symbol x) { return Symbol::apply(Primitive::exp, x); }
/// exp(x) - 1, accurate near 0
inline Symbol expm1(Symbol x) { return Symbol::apply(Primitive::expm1, x); }
inline Symbol log(Symbol x) { return Symbol::apply(Primitive::log, x); }
/// log(1 + x), accurate near 0
inline Symbol log1p(Symbol x) { return Symbol::apply(Primitive::log1p, x); }
inline Symbol tanh(Symbol x) { return Symbol::apply(Primitive::tanh, x); }
/// 1 / (1 + exp(-x))
inline Symbol sigmoid(Symbol x) { return Symbol::apply(Primitive::sigmoid, x); }
inline Symbol exp2(Symbol x) { return Symbol::apply(Primitive::exp2, x); }
inline Symbol log2(Symbol x) { return Symbol::apply(Primitive::log2, x); }
inline Symbol sinh(Symbol x) { return Symbol::apply(Primitive::sinh, x); }
inline Symbol cosh(Symbol x) { return Symbol::apply(Primitive::cosh, x); }
inline Symbol erf(Symbol x) { return Symbol::apply(Primitive::erf, x); }
/// 1 - erf(x), accurate for large x
inline Symbol erfc(Symbol x) { return Symbol::apply(Primitive::erfc, x); }
inline Symbol sin(Symbol x) { return Symbol::apply(Primitive::sin, x); }
inline Symbol cos(Symbol x) { return Symbol::apply(Primitive::cos, x); }
inline Symbol tan(Symbol x) { return Symbol::apply(Primitive::tan, x); }
inline Symbol asin(Symbol x) { return Symbol::apply(Primitive::asin, x); }
inline Symbol acos(Symbol x) { return Symbol::apply(Primitive::acos, x); }
inline Symbol atan(Symbol x) { return Symbol::apply(Primitive::atan, x); }
/// The angle of the point (x, y), from -pi to pi.
inline Symbol atan2(Symbol y, Symbol x) { return Symbol::apply(Primitive::atan2, y, x); }
/// log(1 + exp(x))
inline Symbol softplus(Symbol x) { return Symbol::apply(Primitive::softplus, x); }
/// NaN if either is NaN.
inline Symbol minimum(Symbol a, Symbol b) { return Symbol::apply(Primitive::minimum, a, b); }
inline Symbol maximum(Symbol a, Symbol b) { return Symbol::apply(Primitive::maximum, a, b); }
/// Small literal exponents (2, 3, 4, -1, -2, 1/2, -1/2) become products, quotients and roots.
Symbol pow(Symbol base, Symbol exponent);

namespace detail {

// Converts to a symbol only, so that a lambda's parameters are counted as it would be called.
template <class Formula, std::size_t... I>
constexpr bool takes(std::index_sequence<I...>) {
  return std::is_invocable_v<const Formula&, decltype((void)I, std::declval<Symbol>())...>;
}

template <class Formula, std::size_t N = 1>
constexpr std::size_t argument_count() {
  if constexpr (N > 6) {
    return 0;
  } else if constexpr (takes<Formula>(std::make_index_sequence<N>{})) {
    return N;
  } else {
    return argument_count<Formula, N + 1>();
  }
}

inline Program finish(Graph& graph, Symbol output, int input_count) {
  const int node = output.node_in(graph);
  return Program(graph, std::span(&node, 1), input_count);
}

template <std::size_t N>
Program finish(Graph& graph, const std::array<Symbol, N>& outputs, int input_count) {
  std::array<int, N> nodes;
  for (std::size_t k = 0; k < N; ++k) nodes[k] = outputs[k].node_in(graph);
  return Program(graph, nodes, input_count);
}

}  // namespace detail

/// The number of arguments of a formula, 1 to 6; 0 if it cannot be called with symbols.
template <class Formula>
inline constexpr std::size_t argument_count = detail::argument_count<Formula>();

/// The program of a captureless generic lambda of 1 to 6 arguments, which returns a value or a std::array of values
/// (one output each). The program computes what was written, in that order; equal expressions are computed once.
template <class Formula>
Program trace(const Formula& formula) {
  static_assert(std::is_empty_v<Formula>,
                "a traced formula must not capture: its values would be frozen at the first call; "
                "pass them as further arguments");
  static_assert(
      argument_count<Formula> > 0,
      "a traced formula takes 1 to 6 arguments of type auto, and uses only the functions of autograd/ops/trace.h");
  Graph graph;
  return [&]<std::size_t... I>(std::index_sequence<I...>) {
    return detail::finish(graph, formula(Symbol(graph, graph.input(static_cast<int>(I)))...), sizeof...(I));
  }(std::make_index_sequence<argument_count<Formula>>{});
}

}  // namespace tapegrad::program
