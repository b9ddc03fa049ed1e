// Algebra on the graph of a derivative. Forward programs are never rewritten: it would change their rounding.
#pragma once

#include <vector>

#include "autograd/ops/program.h"

namespace tapegrad::program {

/// Builds nodes and simplifies them as it goes: zeros, ones, signs, like terms, constants to the front of products.
/// A product with where(c, u, 0) becomes where(c, product, 0), so that the branch that was not taken gives an exact
/// zero even if its own derivative is infinite.
class Calculus {
 public:
  /// `moves_factors`: a product with a derivative of tanh or sigmoid becomes one of a larger factor, which may then be
  /// combined with others; but what several gradients have in common is lost.
  Calculus(Graph& graph, bool moves_factors) : graph_(graph), moves_factors_(moves_factors) {}

  int constant(double value) { return graph_.constant(value); }
  int negate(int a);
  int add(int a, int b);
  int subtract(int a, int b);
  int multiply(int a, int b);
  int divide(int a, int b);
  /// condition ? a : b
  int where(int condition, int a, int b);
  /// factor * (1 - y * y) and factor * (y - y * y): the derivatives of tanh and sigmoid
  int tanh_derivative(int factor, int y);
  int sigmoid_derivative(int factor, int y);
  /// base^exponent
  int power(int base, double exponent) { return literal_power(graph_, base, exponent); }
  int apply(Primitive primitive, int a, int b = -1, int c = -1, int d = -1) {
    return graph_.apply(primitive, a, b, c, d);
  }

 private:
  struct Term {
    double factor;
    int base;
  };

  const Node& at(int node) const { return graph_[node]; }
  bool is(int node, Primitive primitive) const { return graph_[node].is(primitive); }
  Term term(int node) const;
  std::vector<int> factors(int node) const;
  bool same_base(int a, int b) const;
  int like_terms(int a, int b);
  int like_derivatives(int a, int b);
  int add_to_sum(int sum, int b);
  int common_factor(int a, int b);
  int scaled(double factor, int a);
  bool adds_constant(int a) const;
  int without_offset(int condition);
  int younger_condition_first(int condition, int a, int b);
  /// where(c, f(u), 0) for a = where(c, u, 0), and the mirror image; -1 for any other a.
  template <class F>
  int inside_where(int a, F f);

  Graph& graph_;
  bool moves_factors_;
};

}  // namespace tapegrad::program
