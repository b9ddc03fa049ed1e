// Symbolic reverse mode: the derivative of a program is a program.
#include <algorithm>
#include <bit>
#include <limits>
#include <numbers>
#include <utility>

#include "autograd/error.h"
#include "autograd/ops/calculus.h"
#include "autograd/ops/machine_code.h"
#include "autograd/ops/program.h"

namespace tapegrad::program {

namespace {

// What reading one more array costs, in the unit of `cost`: a saved tensor is kept alive and comes back from memory.
constexpr int cost_of_reading = 100;
// What the machine's steps cost beside what they compute.
constexpr int cost_of_step = 10;
constexpr int cost_of_operand = 10;

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
    for (const Node& node : nodes()) {
      switch (node.kind) {
        case Node::Kind::input:
          value_.push_back(graph_.input(node.operands[0]));
          break;
        case Node::Kind::constant:
          value_.push_back(graph_.constant(node.value));
          break;
        case Node::Kind::primitive:
          value_.push_back(copied(node));
          break;
      }
    }
    adjoint_.assign(nodes().size(), -1);
  }

  int copied(const Node& node) {
    const int index = static_cast<int>(value_.size());
    const auto& outputs = program_.outputs();
    const auto output = std::find(outputs.begin(), outputs.end(), index);
    if (style_.uses_outputs && output != outputs.end()) {
      return graph_.input(layout_.y(static_cast<int>(output - outputs.begin())));
    }
    int operands[3] = {-1, -1, -1};
    for (int k = 0; k < node.operand_count(); ++k) operands[k] = value_[static_cast<std::size_t>(node.operands[k])];
    return graph_.apply(node.primitive, operands[0], operands[1], operands[2]);
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
        ternary(node, g);
        break;
    }
  }

  /// The gradient of the operand a of y = primitive(a).
  int unary(Primitive primitive, int a, int y, int g);
  int bell(double factor, int a, int g);
  void binary(const Node& node, int y, int g);
  void ternary(const Node& node, int g);
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

int ReverseMode::unary(Primitive primitive, int a, int y, int g) {
  Calculus& c = calculus_;
  const int one = c.constant(1);
  switch (primitive) {
    case Primitive::copy:
      return g;
    case Primitive::negate:
      return c.negate(g);
    case Primitive::abs:
      return c.multiply(g, c.apply(Primitive::sign, a));
    case Primitive::relu:
      return c.where(c.apply(Primitive::less_equal, y, c.constant(0)), c.constant(0), g);
    case Primitive::sqrt:
      return c.divide(c.multiply(c.constant(0.5), g), y);
    case Primitive::rsqrt:
      return product({c.constant(-0.5), g, y, c.multiply(y, y)});
    case Primitive::reciprocal:
      return c.negate(product({g, y, y}));
    case Primitive::exp:
      return c.multiply(g, y);
    case Primitive::expm1:
      // exp(a) is cheaper than an expm1 that nothing else needs.
      return c.multiply(g, graph_[y].kind == Node::Kind::input ? c.add(y, one) : c.apply(Primitive::exp, a));
    case Primitive::log:
      return c.divide(g, a);
    case Primitive::log1p:
      return c.divide(g, c.add(one, a));
    case Primitive::tanh:
      return c.tanh_derivative(g, y);
    case Primitive::sigmoid:
      return c.sigmoid_derivative(g, y);
    case Primitive::erf:
      return bell(2 * std::numbers::inv_sqrtpi, a, g);
    case Primitive::erfc:
      return bell(-2 * std::numbers::inv_sqrtpi, a, g);
    case Primitive::sin:
      return c.multiply(g, c.apply(Primitive::cos, a));
    case Primitive::cos:
      return c.negate(c.multiply(g, c.apply(Primitive::sin, a)));
    case Primitive::softplus:
      return c.multiply(g, c.apply(Primitive::sigmoid, a));
    case Primitive::exp2:
      return product({c.constant(std::numbers::ln2), g, y});
    case Primitive::log2:
      return c.divide(c.multiply(c.constant(std::numbers::log2e), g), a);
    case Primitive::sinh:
      return c.multiply(g, c.apply(Primitive::cosh, a));
    case Primitive::cosh:
      return c.multiply(g, c.apply(Primitive::sinh, a));
    case Primitive::tan:
      return c.multiply(g, c.add(one, c.multiply(y, y)));
    case Primitive::asin:
      return c.multiply(g, c.apply(Primitive::rsqrt, c.subtract(one, c.multiply(a, a))));
    case Primitive::acos:
      return c.negate(c.multiply(g, c.apply(Primitive::rsqrt, c.subtract(one, c.multiply(a, a)))));
    case Primitive::atan:
      return c.divide(g, c.add(one, c.multiply(a, a)));
    default:  // sign, floor, ceil, round: constant between their steps
      return c.constant(0);
  }
}

/// factor * g * exp(-a^2)
int ReverseMode::bell(double factor, int a, int g) {
  Calculus& c = calculus_;
  const int exponential = c.apply(Primitive::exp, c.negate(c.multiply(a, a)));
  return product({c.constant(factor), g, exponential});
}

void ReverseMode::binary(const Node& node, int y, int g) {
  Calculus& c = calculus_;
  const int left = node.operands[0];
  const int right = node.operands[1];
  const int a = value_[static_cast<std::size_t>(left)];
  const int b = value_[static_cast<std::size_t>(right)];
  switch (node.primitive) {
    case Primitive::add:
      accumulate(left, g);
      accumulate(right, g);
      break;
    case Primitive::subtract:
      accumulate(left, g);
      accumulate(right, c.negate(g));
      break;
    case Primitive::multiply:
      accumulate(left, c.multiply(g, b));
      accumulate(right, c.multiply(g, a));
      break;
    case Primitive::divide: {
      const int quotient = c.divide(g, b);
      accumulate(left, quotient);
      accumulate(right, c.negate(c.multiply(quotient, y)));
      break;
    }
    case Primitive::minimum:
    case Primitive::maximum:
      extreme(node, g);
      break;
    case Primitive::power:
      power(node, y, g);
      break;
    case Primitive::atan2: {
      const int share = c.divide(g, c.add(c.multiply(a, a), c.multiply(b, b)));
      accumulate(left, c.multiply(share, b));
      accumulate(right, c.negate(c.multiply(share, a)));
      break;
    }
    case Primitive::tanh_derivative:
      accumulate(left, c.tanh_derivative(g, b));
      accumulate(right, product({c.constant(-2), g, a, b}));
      break;
    case Primitive::sigmoid_derivative:
      accumulate(left, c.sigmoid_derivative(g, b));
      accumulate(right, c.multiply(c.multiply(g, a), c.subtract(c.constant(1), c.multiply(c.constant(2), b))));
      break;
    default:  // comparisons
      break;
  }
}

/// The gradient goes to the operand that was chosen, in halves if they are equal; NaN passes it to both.
void ReverseMode::extreme(const Node& node, int g) {
  Calculus& c = calculus_;
  const int a = value_[static_cast<std::size_t>(node.operands[0])];
  const int b = value_[static_cast<std::size_t>(node.operands[1])];
  if (a == b) return accumulate(node.operands[0], g);
  const bool is_maximum = node.is(Primitive::maximum);
  const int a_below = c.apply(Primitive::less, a, b);
  const int b_below = c.apply(Primitive::less, b, a);
  const int shared = c.where(c.apply(Primitive::equal, a, b), c.multiply(c.constant(0.5), g), g);
  accumulate(node.operands[0], c.where(is_maximum ? a_below : b_below, c.constant(0), shared));
  accumulate(node.operands[1], c.where(is_maximum ? b_below : a_below, c.constant(0), shared));
}

void ReverseMode::power(const Node& node, int y, int g) {
  Calculus& c = calculus_;
  const int base = value_[static_cast<std::size_t>(node.operands[0])];
  const int exponent = value_[static_cast<std::size_t>(node.operands[1])];
  const int zero = c.constant(0);
  if (is_constant(node.operands[1])) {
    const double n = graph_[exponent].value;
    accumulate(node.operands[0], product({c.constant(n), g, c.power(base, n - 1)}));
    return;
  }
  if (!is_constant(node.operands[0])) {
    // 0^0 = 1 has slope 0 in its base, which 0 * 0^-1 would turn into NaN.
    const int lower = c.apply(Primitive::power, base, c.subtract(exponent, c.constant(1)));
    const int slope = product({g, exponent, lower});
    accumulate(node.operands[0], c.where(c.apply(Primitive::equal, exponent, zero), zero, slope));
  }
  // 0^b does not change with b > 0, though log(0) is infinite; at b = 0 PyTorch's choice, 0.
  const int slope = product({g, y, c.apply(Primitive::log, base)});
  const int is_flat = c.multiply(c.apply(Primitive::equal, base, zero), c.apply(Primitive::less_equal, zero, exponent));
  accumulate(node.operands[1], graph_.is_constant(is_flat, 0) ? slope : c.where(is_flat, zero, slope));
}

void ReverseMode::ternary(const Node& node, int g) {
  Calculus& c = calculus_;
  const int first = node.operands[0];
  const int second = node.operands[1];
  const int third = node.operands[2];
  const int a = value_[static_cast<std::size_t>(first)];
  const int b = value_[static_cast<std::size_t>(second)];
  const int zero = c.constant(0);
  switch (node.primitive) {
    case Primitive::fma:
    case Primitive::fms:
    case Primitive::fnma: {
      const int g_product = node.is(Primitive::fnma) ? c.negate(g) : g;
      accumulate(first, c.multiply(g_product, b));
      accumulate(second, c.multiply(g_product, a));
      accumulate(third, node.is(Primitive::fms) ? c.negate(g) : g);
      break;
    }
    case Primitive::select:
      accumulate(second, c.where(a, g, zero));
      accumulate(third, c.where(a, zero, g));
      break;
    case Primitive::scale_unless_positive:
      accumulate(second, c.apply(node.primitive, a, g, value_[static_cast<std::size_t>(third)]));
      accumulate(third, c.apply(Primitive::select_positive, a, zero, c.multiply(g, b)));
      break;
    default:  // select_positive and so on
      accumulate(second, c.apply(node.primitive, a, g, zero));
      accumulate(third, c.apply(node.primitive, a, zero, g));
      break;
  }
}

// ---- the cheapest derivative, without the inputs that it does not read ----

bool worth_trying(const Program& program, Style style) { return !style.multiplies_last || program.output_count() == 1; }

int price(const Program& derivative, const Layout& layout) {
  const unsigned saved = derivative.reads() & ((1U << layout.g(0)) - 1);
  const Executable executable = lower(derivative);
  // Without room for it in the machine, every instruction reads its operands and writes its result.
  const auto steps =
      static_cast<int>(executable.steps.empty() ? executable.instructions.size() : executable.steps.size());
  const int operands = executable.steps.empty() ? 3 * steps : memory_operands(executable.steps);
  return cost(executable) + cost_of_step * steps + cost_of_operand * operands + cost_of_reading * std::popcount(saved);
}

/// The cheapest way to write down the gradients, of all inputs and of the first one alone: options come last, and are
/// seldom asked for. Every other choice of them is then written in the same way, so that what is saved for each alone is
/// all that any of them together read.
Style cheapest_style(const Program& program, const Layout& layout) {
  const unsigned all = (1U << layout.inputs) - 1;
  Style best{};
  int best_price = std::numeric_limits<int>::max();
  for (const bool uses_outputs : {true, false}) {
    for (const bool multiplies_last : {false, true}) {
      for (const bool moves_factors : {true, false}) {
        const Style style{uses_outputs, multiplies_last, moves_factors};
        if (!worth_trying(program, style)) continue;
        ReverseMode reverse(program, style);
        const int p = price(reverse.result(all), layout) + price(reverse.result(1), layout);
        if (p >= best_price) continue;
        best = style;
        best_price = p;
      }
    }
  }
  return best;
}

/// What one output of the derivative reads, as a mask of the layout's inputs.
unsigned reads_of(const Program& derivative, int output) {
  const auto& nodes = derivative.nodes();
  std::vector<unsigned> reads(nodes.size());
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (nodes[i].kind == Node::Kind::input) reads[i] = 1U << nodes[i].operands[0];
    for (int k = 0; k < nodes[i].operand_count(); ++k)
      reads[i] |= reads[static_cast<std::size_t>(nodes[i].operands[k])];
  }
  return reads[static_cast<std::size_t>(derivative.outputs()[static_cast<std::size_t>(output)])];
}

Form form_of(const Program& derivative, int output, const Layout& layout) {
  const auto& nodes = derivative.nodes();
  const Node& node = nodes[static_cast<std::size_t>(derivative.outputs()[static_cast<std::size_t>(output)])];
  const auto is_upstream = [&](const Node& n) {
    return layout.outputs == 1 && n.kind == Node::Kind::input && n.operands[0] == layout.g(0);
  };
  if (node.kind == Node::Kind::constant && node.value == 0) return Form::zero;
  if (is_upstream(node)) return Form::upstream;
  const bool negated = node.is(Primitive::negate) && is_upstream(nodes[static_cast<std::size_t>(node.operands[0])]);
  return negated ? Form::negated_upstream : Form::general;
}

Program without_unread_inputs(const Program& program, std::vector<int>& kept) {
  Graph graph;
  std::vector<int> place;
  for (int k = 0; k < program.input_count(); ++k) {
    if ((program.reads() >> k & 1) != 0) kept.push_back(k);
  }
  for (const Node& node : program.nodes()) {
    int operands[3] = {-1, -1, -1};
    for (int k = 0; k < node.operand_count(); ++k) operands[k] = place[static_cast<std::size_t>(node.operands[k])];
    switch (node.kind) {
      case Node::Kind::input: {
        const auto position = std::lower_bound(kept.begin(), kept.end(), node.operands[0]) - kept.begin();
        place.push_back(graph.input(static_cast<int>(position)));
        break;
      }
      case Node::Kind::constant:
        place.push_back(graph.constant(node.value));
        break;
      case Node::Kind::primitive:
        place.push_back(graph.apply(node.primitive, operands[0], operands[1], operands[2]));
        break;
    }
  }
  std::vector<int> outputs;
  for (const int output : program.outputs()) outputs.push_back(place[static_cast<std::size_t>(output)]);
  return Program(graph, outputs, static_cast<int>(kept.size()));
}

}  // namespace

Derivative differentiate(const Program& program, unsigned wanted) {
  const Layout layout{program.input_count(), program.output_count()};
  if (layout.count() > 31) throw Error("differentiate: too many inputs and outputs");
  const Program best = ReverseMode(program, cheapest_style(program, layout)).result(wanted);
  Derivative derivative;
  int output = 0;
  for (int k = 0; k < layout.inputs; ++k) {
    if ((wanted >> k & 1) == 0) continue;
    Partial partial;
    partial.input = k;
    partial.form = form_of(best, output, layout);
    const unsigned reads = reads_of(best, output);
    partial.reads_inputs = reads & ((1U << layout.inputs) - 1);
    partial.reads_outputs = reads >> layout.inputs & ((1U << layout.outputs) - 1);
    derivative.reads_inputs |= partial.reads_inputs;
    derivative.reads_outputs |= partial.reads_outputs;
    derivative.partials.push_back(partial);
    ++output;
  }
  std::vector<int> kept;
  derivative.program = without_unread_inputs(best, kept);
  for (const int input : kept) derivative.sources.push_back(layout.source(input));
  return derivative;
}

}  // namespace tapegrad::program
