// Symbolic reverse mode: the derivative of a program is a program.
#include <algorithm>
#include <bit>
#include <limits>

#include "autograd/error.h"
#include "autograd/ops/machine_code.h"
#include "autograd/ops/reverse_mode.h"

namespace tapegrad::program {

namespace {

// What reading one more array costs, in the unit of `cost`: a saved tensor is kept alive and comes back from memory.
constexpr int cost_of_reading = 100;
// What the machine's steps cost beside what they compute.
constexpr int cost_of_step = 10;
constexpr int cost_of_operand = 10;

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

/// The cheapest way to write down the gradients, of all inputs and, at half the weight, of the first one alone: options
/// come last, and are seldom asked for. Every other choice of them is then written in the same way, so that what is
/// saved for each alone is all that any of them together read.
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
        const int p = 2 * price(reverse.result(all), layout) + price(reverse.result(1), layout);
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
    if (node.kind == Node::Kind::input) {
      const auto position = std::lower_bound(kept.begin(), kept.end(), node.operands[0]) - kept.begin();
      place.push_back(graph.input(static_cast<int>(position)));
    } else {
      place.push_back(graph.copy(node, place));
    }
  }
  std::vector<int> outputs;
  for (const int output : program.outputs()) outputs.push_back(place[static_cast<std::size_t>(output)]);
  return Program(graph, outputs, static_cast<int>(kept.size()));
}

/// `best` has all inputs of the layout, and an output for each wanted input.
Derivative derivative_of(const Program& best, const Layout& layout, unsigned wanted) {
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

}  // namespace

Derivative differentiate(const Program& program, unsigned wanted) {
  const Layout layout{program.input_count(), program.output_count()};
  if (layout.count() > 31) throw Error("differentiate: too many inputs and outputs");
  return derivative_of(ReverseMode(program, cheapest_style(program, layout)).result(wanted), layout, wanted);
}

Derivative differentiate_by(const Program& slope) {
  const Layout layout{1, 1};
  Graph graph;
  std::vector<int> place;
  for (const Node& node : slope.nodes()) place.push_back(graph.copy(node, place));
  Calculus calculus(graph, false);
  const int gradient = calculus.multiply(place[static_cast<std::size_t>(slope.outputs()[0])], graph.input(layout.g(0)));
  return derivative_of(Program(graph, {&gradient, 1}, layout.count()), layout, 1);
}

}  // namespace tapegrad::program