#include "autograd/ops/program.h"

#include <bit>
#include <cmath>
#include <limits>

#include "autograd/error.h"
#include "autograd/ops/trace.h"

namespace tapegrad::program {

namespace {

double sign_of(double a) { return a > 0 ? 1 : a < 0 ? -1 : a; }

double evaluate(Primitive primitive, double a, double b = 0, double c = 0, double d = 0) {
  switch (primitive) {
    case Primitive::copy:
      return a;
    case Primitive::negate:
      return -a;
    case Primitive::abs:
      return std::abs(a);
    case Primitive::sign:
      return sign_of(a);
    case Primitive::floor:
      return std::floor(a);
    case Primitive::ceil:
      return std::ceil(a);
    case Primitive::round:
      return std::nearbyint(a);
    case Primitive::relu:
      return a <= 0 ? 0 : a;
    case Primitive::sqrt:
      return std::sqrt(a);
    case Primitive::rsqrt:
      return 1 / std::sqrt(a);
    case Primitive::reciprocal:
      return 1 / a;
    case Primitive::exp:
      return std::exp(a);
    case Primitive::expm1:
      return std::expm1(a);
    case Primitive::log:
      return std::log(a);
    case Primitive::log1p:
      return std::log1p(a);
    case Primitive::tanh:
      return std::tanh(a);
    case Primitive::sigmoid:
      return 1 / (1 + std::exp(-a));
    case Primitive::erf:
      return std::erf(a);
    case Primitive::sin:
      return std::sin(a);
    case Primitive::cos:
      return std::cos(a);
    case Primitive::softplus:
      return (a <= 0 ? 0 : a) + std::log1p(std::exp(-std::abs(a)));
    case Primitive::exp2:
      return std::exp2(a);
    case Primitive::log2:
      return std::log2(a);
    case Primitive::sinh:
      return std::sinh(a);
    case Primitive::cosh:
      return std::cosh(a);
    case Primitive::erfc:
      return std::erfc(a);
    case Primitive::tan:
      return std::tan(a);
    case Primitive::asin:
      return std::asin(a);
    case Primitive::acos:
      return std::acos(a);
    case Primitive::atan:
      return std::atan(a);
    case Primitive::add:
      return a + b;
    case Primitive::subtract:
      return a - b;
    case Primitive::multiply:
      return a * b;
    case Primitive::divide:
      return a / b;
    case Primitive::minimum:
      return a < b || std::isnan(a) ? a : b;
    case Primitive::maximum:
      return a > b || std::isnan(a) ? a : b;
    case Primitive::power:
      return std::pow(a, b);
    case Primitive::atan2:
      return std::atan2(a, b);
    case Primitive::less:
      return a < b;
    case Primitive::less_equal:
      return a <= b;
    case Primitive::equal:
      return a == b;
    case Primitive::not_equal:
      return a != b;
    case Primitive::tanh_derivative:
      return a * (1 - b * b);
    case Primitive::sigmoid_derivative:
      return a * (b - b * b);
    case Primitive::at_least:
      return a < b ? b : a;
    case Primitive::at_most:
      return b < a ? b : a;
    case Primitive::fma:
      return std::fma(a, b, c);
    case Primitive::fms:
      return std::fma(a, b, -c);
    case Primitive::fnma:
      return std::fma(-a, b, c);
    case Primitive::select:
      return a == 0 ? c : b;
    case Primitive::scale_unless_positive:
      return a > 0 ? b : b * c;
    case Primitive::select_less:
      return a < b ? c : d;
    case Primitive::select_less_equal:
      return a <= b ? c : d;
    case Primitive::zero_outside:
      return a <= b || c <= a ? 0 : d;
  }
  return std::numeric_limits<double>::quiet_NaN();
}

/// Whether a and b may change places without changing a bit of the result.
bool is_commutative(Primitive primitive) {
  return primitive == Primitive::add || primitive == Primitive::multiply || primitive == Primitive::equal ||
         primitive == Primitive::not_equal;
}

// The sign of a zero counts, and a NaN equals itself.
bool same_node(const Node& a, const Node& b) {
  return a.kind == b.kind && a.primitive == b.primitive && a.operands[0] == b.operands[0] &&
         a.operands[1] == b.operands[1] && a.operands[2] == b.operands[2] && a.operands[3] == b.operands[3] &&
         std::bit_cast<std::uint64_t>(a.value) == std::bit_cast<std::uint64_t>(b.value);
}

std::size_t hash_of(const Node& node) {
  std::uint64_t hash =
      std::bit_cast<std::uint64_t>(node.value) ^ (std::uint64_t(node.primitive) << 8) ^ std::uint64_t(node.kind);
  for (const int operand : node.operands) {
    hash = (hash ^ static_cast<std::uint64_t>(operand + 1)) * 0x9e3779b97f4a7c15;
    hash ^= hash >> 29;
  }
  return static_cast<std::size_t>(hash);
}

}  // namespace

// ---- Graph ----

int Graph::input(int number) {
  Node node;
  node.kind = Node::Kind::input;
  node.operands[0] = number;
  return find_or_add(node);
}

int Graph::constant(double value) {
  Node node;
  node.kind = Node::Kind::constant;
  node.value = value;
  return find_or_add(node);
}

int Graph::apply(Primitive primitive, int a, int b, int c, int d) {
  Node node;
  node.kind = Node::Kind::primitive;
  node.primitive = primitive;
  node.operands[0] = a;
  node.operands[1] = b;
  node.operands[2] = c;
  node.operands[3] = d;
  double values[kernels::most_operands] = {};
  bool all_constant = true;
  for (int k = 0; k < node.operand_count(); ++k) {
    all_constant = all_constant && is_constant(node.operands[k]);
    values[k] = (*this)[node.operands[k]].value;
  }
  if (all_constant) return constant(evaluate(primitive, values[0], values[1], values[2], values[3]));
  if (is_commutative(primitive)) {
    Node swapped = node;
    std::swap(swapped.operands[0], swapped.operands[1]);
    const int known = find(swapped);
    if (known >= 0) return known;
  }
  return find_or_add(node);
}

int Graph::copy(const Node& node, std::span<const int> place) {
  if (node.kind == Node::Kind::input) return input(node.operands[0]);
  if (node.kind == Node::Kind::constant) return constant(node.value);
  int operands[kernels::most_operands] = {-1, -1, -1, -1};
  for (int k = 0; k < node.operand_count(); ++k) operands[k] = place[static_cast<std::size_t>(node.operands[k])];
  return apply(node.primitive, operands[0], operands[1], operands[2], operands[3]);
}

int Graph::find(const Node& node) const {
  if (buckets_.empty()) return -1;
  const std::size_t last = buckets_.size() - 1;
  for (std::size_t at = hash_of(node) & last; buckets_[at] >= 0; at = (at + 1) & last) {
    if (same_node((*this)[buckets_[at]], node)) return buckets_[at];
  }
  return -1;
}

int Graph::find_or_add(const Node& node) {
  const int known = find(node);
  if (known >= 0) return known;
  nodes_.push_back(node);
  if (nodes_.size() * 2 > buckets_.size()) {
    grow();
  } else {
    insert(size() - 1);
  }
  return size() - 1;
}

void Graph::insert(int node) {
  const std::size_t last = buckets_.size() - 1;
  std::size_t at = hash_of((*this)[node]) & last;
  while (buckets_[at] >= 0) at = (at + 1) & last;
  buckets_[at] = node;
}

void Graph::grow() {
  buckets_.assign(buckets_.empty() ? 32 : buckets_.size() * 2, -1);
  for (int node = 0; node < size(); ++node) insert(node);
}

// ---- Program ----

// The order follows from the formula alone, not from the order in which its nodes were made: in `f(x) * g(x)`, that is
// the compiler's choice.
Program::Program(const Graph& graph, std::span<const int> outputs, int input_count) : input_count_(input_count) {
  std::vector<int> place(static_cast<std::size_t>(graph.size()), -1);
  for (const int output : outputs) add_node(graph, output, place);
  for (const int output : outputs) outputs_.push_back(place[static_cast<std::size_t>(output)]);
}

/// Appends a node behind all that it needs. No recursion: a formula may be a chain of any length.
void Program::add_node(const Graph& graph, int last, std::vector<int>& place) {
  std::vector<int> pending = {last};
  while (!pending.empty()) {
    const int current = pending.back();
    Node node = graph[current];
    bool is_ready = true;
    for (int k = 0; k < node.operand_count(); ++k) {
      int& operand = node.operands[k];
      if (place[static_cast<std::size_t>(operand)] < 0) {
        pending.push_back(operand);  // the last operand comes first
        is_ready = false;
      } else {
        operand = place[static_cast<std::size_t>(operand)];
      }
    }
    if (!is_ready) continue;
    pending.pop_back();
    if (place[static_cast<std::size_t>(current)] >= 0) continue;
    if (node.kind == Node::Kind::input) reads_ |= 1U << node.operands[0];
    place[static_cast<std::size_t>(current)] = static_cast<int>(nodes_.size());
    nodes_.push_back(node);
  }
}

// ---- symbols ----

namespace {

Graph& graph_of(const Symbol& a, const Symbol& b = 0, const Symbol& c = 0) {
  Graph* graph = a.graph() ? a.graph() : b.graph() ? b.graph() : c.graph();
  for (Graph* other : {b.graph(), c.graph()}) {
    if (other && other != graph) throw Error("trace: a formula uses a value of another formula");
  }
  return *graph;
}

}  // namespace

int Symbol::node_in(Graph& graph) const {
  if (!graph_) return graph.constant(value_);
  if (graph_ != &graph) throw Error("trace: a formula uses a value of another formula");
  return node_;
}

Symbol Symbol::apply(Primitive primitive, Symbol a) {
  if (!a.graph_) return evaluate(primitive, a.value_);
  return Symbol(*a.graph_, a.graph_->apply(primitive, a.node_));
}

Symbol Symbol::apply(Primitive primitive, Symbol a, Symbol b) {
  if (!a.graph_ && !b.graph_) return evaluate(primitive, a.value_, b.value_);
  Graph& graph = graph_of(a, b);
  const int left = a.node_in(graph);
  const int right = b.node_in(graph);
  return Symbol(graph, graph.apply(primitive, left, right));
}

Symbol Symbol::apply(Primitive primitive, Symbol a, Symbol b, Symbol c) {
  if (!a.graph_ && !b.graph_ && !c.graph_) return evaluate(primitive, a.value_, b.value_, c.value_);
  Graph& graph = graph_of(a, b, c);
  const int first = a.node_in(graph);
  const int second = b.node_in(graph);
  const int third = c.node_in(graph);
  return Symbol(graph, graph.apply(primitive, first, second, third));
}

Symbol pow(Symbol base, Symbol exponent) {
  if (!base.graph()) return Symbol::apply(Primitive::power, base, exponent);
  Graph& graph = graph_of(base, exponent);
  const Node& n = graph[exponent.node_in(graph)];
  if (n.kind == Node::Kind::constant) return Symbol(graph, literal_power(graph, base.node_in(graph), n.value));
  return Symbol::apply(Primitive::power, base, exponent);
}

int literal_power(Graph& graph, int base, double exponent) {
  if (exponent == 0) return graph.constant(1);
  if (exponent == 1) return base;
  if (exponent == 0.5) return graph.apply(Primitive::sqrt, base);
  if (exponent == -0.5) return graph.apply(Primitive::rsqrt, base);
  if (exponent == -1) return graph.apply(Primitive::reciprocal, base);
  if (exponent == 2 || exponent == 3 || exponent == 4 || exponent == -2) {
    const int square = graph.apply(Primitive::multiply, base, base);
    if (exponent == 2) return square;
    if (exponent == 3) return graph.apply(Primitive::multiply, square, base);
    if (exponent == 4) return graph.apply(Primitive::multiply, square, square);
    return graph.apply(Primitive::reciprocal, square);
  }
  return graph.apply(Primitive::power, base, graph.constant(exponent));
}

}  // namespace tapegrad::program
