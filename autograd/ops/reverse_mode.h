#pragma once
// One walk back over a program, by the rules of reverse_mode.cpp; differentiate.cpp chooses how it is written down.
#include <algorithm>
#include <vector>

#include "autograd/ops/calculus.h"
#include "autograd/ops/program.h"

namespace tapegrad::program {

/// How to write a derivative down; the cheapest way wins.
struct Style {
  bool uses_outputs;     // f's outputs are inputs of the derivative, instead of being computed again
  bool multiplies_last;  // the derivative for g = 1, times g
  bool moves_factors;    // see Calculus
};

/// The inputs of the derivative before unread ones are dropped: x, then y, then g.
struct Layout {
  int inputs;
  int outputs;
  int y(int k) const { return inputs + k; }
  int g(int k) const { return inputs + outputs + k; }
  int count() const { return inputs + 2 * outputs; }
  Source source(int input) const {
    if (input < inputs) return {Source::Kind::input, input};
    if (input < inputs + outputs) return {Source::Kind::output, input - inputs};
    return {Source::Kind::upstream, input - inputs - outputs};
  }
};

/// One walk back over a program.
class ReverseMode {
 public:
  ReverseMode(const Program& program, Style style)
      : program_(program),
        layout_{program.input_count(), program.output_count()},
        style_(style),
        calculus_(graph_, style.moves_factors),
        gradients_(static_cast<std::size_t>(program.input_count()), -1) {
    copy_forward();
    walk();
  }

  /// The gradients of the wanted inputs, with all inputs of the layout.
  Program result(unsigned wanted) {
    std::vector<int> outputs;
    for (int k = 0; k < layout_.inputs; ++k) {
      if ((wanted >> k & 1) == 0) continue;
      int gradient = gradients_[static_cast<std::size_t>(k)];
      if (gradient < 0) gradient = graph_.constant(0);
      if (style_.multiplies_last) gradient = calculus_.multiply(gradient, graph_.input(layout_.g(0)));
      outputs.push_back(gradient);
    }
    return Program(graph_, outputs, layout_.count());
  }

 private:
  const std::vector<Node>& nodes() const { return program_.nodes(); }

  void copy_forward() {
    for (const Node& node : nodes()) value_.push_back(copied(node));
    adjoint_.assign(nodes().size(), -1);
  }

  int copied(const Node& node) {
    const int index = static_cast<int>(value_.size());
    const auto& outputs = program_.outputs();
    const auto output = std::find(outputs.begin(), outputs.end(), index);
    if (node.kind == Node::Kind::primitive && style_.uses_outputs && output != outputs.end()) {
      return graph_.input(layout_.y(static_cast<int>(output - outputs.begin())));
    }
    return graph_.copy(node, value_);
  }

  void walk() {
    for (int k = 0; k < layout_.outputs; ++k) {
      const int seed = style_.multiplies_last ? graph_.constant(1) : graph_.input(layout_.g(k));
      accumulate(program_.outputs()[static_cast<std::size_t>(k)], seed);
    }
    for (std::size_t i = nodes().size(); i-- > 0;) {
      if (adjoint_[i] < 0) continue;
      const Node& node = nodes()[i];
      if (node.kind == Node::Kind::input) gradients_[static_cast<std::size_t>(node.operands[0])] = adjoint_[i];
      if (node.kind == Node::Kind::primitive) rule(node, value_[i], adjoint_[i]);
    }
  }

  void accumulate(int node, int gradient) {
    const auto i = static_cast<std::size_t>(node);
    if (nodes()[i].kind == Node::Kind::constant || graph_.is_constant(gradient, 0)) return;
    adjoint_[i] = adjoint_[i] < 0 ? gradient : calculus_.add(adjoint_[i], gradient);
  }

  bool is_constant(int node) const { return nodes()[static_cast<std::size_t>(node)].kind == Node::Kind::constant; }

  int product(std::initializer_list<int> factors) {
    int result = *factors.begin();
    for (auto factor = factors.begin() + 1; factor != factors.end(); ++factor) {
      result = calculus_.multiply(result, *factor);
    }
    return result;
  }

  void rule(const Node& node, int y, int g) {
    switch (kernels::arity(node.primitive)) {
      case 1:
        accumulate(node.operands[0], unary(node.primitive, value_[static_cast<std::size_t>(node.operands[0])], y, g));
        break;
      case 2:
        binary(node, y, g);
        break;
      default:
        ternary_or_more(node, g);
        break;
    }
  }

  /// The gradient of the operand a of y = primitive(a).
  int unary(Primitive primitive, int a, int y, int g);
  int bell(double factor, int a, int g);
  void binary(const Node& node, int y, int g);
  void ternary_or_more(const Node& node, int g);
  void power(const Node& node, int y, int g);
  void extreme(const Node& node, int g);

  const Program& program_;
  Layout layout_;
  Style style_;
  Graph graph_;
  Calculus calculus_;
  std::vector<int> value_;      // of each node of the program: its node in the graph
  std::vector<int> adjoint_;    // the gradient that arrived there, or -1
  std::vector<int> gradients_;  // of the inputs
};

}  // namespace tapegrad::program
