// From a program to instructions: multiply-adds are fused, values get slots, and outputs are written in place.
#include <algorithm>

#include "autograd/error.h"
#include "autograd/ops/machine_code.h"
#include "autograd/ops/program.h"

namespace tapegrad::program {

namespace {

constexpr int slot_limit = 256;

/// Nanoseconds for 1,000 elements in f32 from the second-level cache.
int cost_of(Primitive primitive) {
  switch (primitive) {
    case Primitive::exp:
    case Primitive::sigmoid:
    case Primitive::tanh:
    case Primitive::exp2:
      return 300;
    case Primitive::erf:
    case Primitive::expm1:
    case Primitive::log:
    case Primitive::log2:
    case Primitive::asin:
    case Primitive::acos:
    case Primitive::atan:
    case Primitive::sinh:
    case Primitive::cosh:
      return 400;
    case Primitive::log1p:
    case Primitive::softplus:
    case Primitive::sin:
    case Primitive::cos:
    case Primitive::tan:
    case Primitive::erfc:
    case Primitive::atan2:
      return 700;
    case Primitive::power:
      return 2000;
    case Primitive::divide:
    case Primitive::reciprocal:
    case Primitive::sqrt:
    case Primitive::rsqrt:
      return 100;
    default:
      return 60;
  }
}

/// Replaces pairs of primitives by one where the first has no other use.
class Fusion {
 public:
  explicit Fusion(const Program& program) : nodes_(program.nodes()), uses_(nodes_.size()) {
    for (const Node& node : nodes_) {
      for (int k = 0; k < node.operand_count(); ++k) ++uses_[static_cast<std::size_t>(node.operands[k])];
    }
    for (const int output : program.outputs()) ++uses_[static_cast<std::size_t>(output)];
    for (Node& node : nodes_) {
      if (node.is(Primitive::add) || node.is(Primitive::subtract)) fuse_product(node);
      if (node.is(Primitive::select)) fuse_comparison(node);
      if (node.is(Primitive::multiply)) fuse_choice(node);
    }
  }

  const std::vector<Node>& nodes() const { return nodes_; }

 private:
  const Node& at(int node) const { return nodes_[static_cast<std::size_t>(node)]; }
  bool only_here(int node, Primitive primitive) const {
    return at(node).is(primitive) && uses_[static_cast<std::size_t>(node)] == 1;
  }
  bool is_number(int node) const { return at(node).kind == Node::Kind::constant; }
  bool is_zero(int node) const { return is_number(node) && at(node).value == 0; }
  bool is_one(int node) const { return is_number(node) && at(node).value == 1; }

  static void become(Node& node, Primitive primitive, int a, int b, int c = -1, int d = -1) {
    node.primitive = primitive;
    node.operands[0] = a;
    node.operands[1] = b;
    node.operands[2] = c;
    node.operands[3] = d;
  }

  void fuse_product(Node& node) {
    const int a = node.operands[0];
    const int b = node.operands[1];
    const bool adds = node.is(Primitive::add);
    if (only_here(a, Primitive::multiply)) {
      become(node, adds ? Primitive::fma : Primitive::fms, at(a).operands[0], at(a).operands[1], b);
    } else if (only_here(b, Primitive::multiply)) {
      become(node, adds ? Primitive::fma : Primitive::fnma, at(b).operands[0], at(b).operands[1], a);
    }
  }

  /// Also of a comparison with other uses: to compare again costs less than to keep the result.
  void fuse_comparison(Node& node) {
    const int mask = node.operands[0];
    const bool strict = at(mask).is(Primitive::less);
    if (!strict && !at(mask).is(Primitive::less_equal)) return;
    become(node, strict ? Primitive::select_less : Primitive::select_less_equal, at(mask).operands[0],
           at(mask).operands[1], node.operands[1], node.operands[2]);
    if (strict && is_zero(node.operands[0])) return fuse_scaling(node);
    fuse_bound(node);
    if (!strict) fuse_bounds(node);
  }

  /// The larger or the smaller of two. Where they are equal either will do; so a zero's sign may change.
  void fuse_bound(Node& node) {
    const auto [a, b, c, d] = node.operands;
    if (c == b && d == a) become(node, Primitive::at_least, a, b);
    if (c == a && d == b) become(node, Primitive::at_most, b, a);
  }

  /// Nested choices that hold a value between two bounds, or take what is outside of them as zero.
  void fuse_bounds(Node& node) {
    if (!node.is(Primitive::select_less_equal)) return;
    const auto [a, b, outside, otherwise] = node.operands;
    const Node& inner = at(otherwise);
    const bool holds_below = inner.is(Primitive::at_most) && inner.operands[0] == a && outside == b;
    if (holds_below && is_number(b) && is_number(inner.operands[1]) && at(b).value <= at(inner.operands[1]).value) {
      become(node, Primitive::at_least, otherwise, b);
    }
    if (!is_zero(outside) || !only_here(otherwise, Primitive::select_less_equal) || !is_zero(inner.operands[2])) return;
    if (inner.operands[1] == a) become(node, Primitive::zero_outside, a, b, inner.operands[0], inner.operands[3]);
    if (inner.operands[0] == b) become(node, Primitive::zero_outside, b, inner.operands[1], a, inner.operands[3]);
  }

  /// a > 0 ? b : b * c, which is leaky_relu and its derivative.
  void fuse_scaling(Node& node) {
    const int value = node.operands[2];
    const int product = node.operands[3];
    if (!only_here(product, Primitive::multiply)) return;
    const int left = at(product).operands[0];
    const int right = at(product).operands[1];
    if (left != value && right != value) return;
    become(node, Primitive::scale_unless_positive, node.operands[1], value, left == value ? right : left);
  }

  /// (a > 0 ? 1 : c) * b, as the derivative of elu.
  void fuse_choice(Node& node) {
    for (const int k : {0, 1}) {
      const Node& choice = at(node.operands[k]);
      if (!only_here(node.operands[k], Primitive::select_less) || !is_zero(choice.operands[0])) continue;
      if (!is_one(choice.operands[2])) continue;
      return become(node, Primitive::scale_unless_positive, choice.operands[1], node.operands[1 - k],
                    choice.operands[3]);
    }
  }

  std::vector<Node> nodes_;
  std::vector<int> uses_;
};

/// Operands first. The last output is computed first and the first one last: a caller that writes its first result over
/// an input then needs no copy.
std::vector<int> schedule(const std::vector<Node>& nodes, const std::vector<int>& outputs) {
  std::vector<int> order;
  std::vector<char> done(nodes.size());
  std::vector<int> stack;
  for (auto output = outputs.rbegin(); output != outputs.rend(); ++output) {
    stack.push_back(*output);
    while (!stack.empty()) {
      const int i = stack.back();
      const Node& node = nodes[static_cast<std::size_t>(i)];
      bool ready = true;
      for (int k = node.operand_count(); k-- > 0;) {
        const int operand = node.operands[k];
        if (done[static_cast<std::size_t>(operand)]) continue;
        stack.push_back(operand);
        ready = false;
      }
      if (!ready) continue;
      stack.pop_back();
      if (done[static_cast<std::size_t>(i)]) continue;
      done[static_cast<std::size_t>(i)] = 1;
      order.push_back(i);
    }
  }
  return order;
}

class Lowering {
 public:
  explicit Lowering(const Program& program)
      : program_(program),
        fusion_(program),
        nodes_(fusion_.nodes()),
        order_(schedule(nodes_, program.outputs())),
        slot_(nodes_.size(), -1),
        output_of_(nodes_.size(), -1),
        uses_left_(nodes_.size()) {
    result_.input_count = static_cast<std::uint8_t>(program.input_count());
    result_.output_count = static_cast<std::uint8_t>(program.output_count());
    result_.read_after_store.resize(static_cast<std::size_t>(program.output_count()));
    for (const int i : order_) {
      for (int k = 0; k < at(i).operand_count(); ++k) ++uses_left_[static_cast<std::size_t>(at(i).operands[k])];
    }
    place_inputs_and_constants();
    for (const int i : order_) {
      if (at(i).operand_count() > 0) emit(i);
    }
    copy_other_outputs();
    finish();
  }

  Executable take() { return std::move(result_); }

 private:
  const Node& at(int node) const { return nodes_[static_cast<std::size_t>(node)]; }
  int& slot(int node) { return slot_[static_cast<std::size_t>(node)]; }
  int output_slot(int output) const { return program_.input_count() + output; }

  void place_inputs_and_constants() {
    const auto& outputs = program_.outputs();
    for (std::size_t k = outputs.size(); k-- > 0;) {
      if (at(outputs[k]).operand_count() > 0) output_of_[static_cast<std::size_t>(outputs[k])] = static_cast<int>(k);
    }
    next_slot_ = output_slot(program_.output_count());
    for (const int i : order_) {
      if (at(i).kind == Node::Kind::input) slot(i) = at(i).operands[0];
      if (at(i).kind != Node::Kind::constant) continue;
      slot(i) = next_slot_++;
      result_.constants.push_back(at(i).value);
      result_.constants_f32.push_back(static_cast<float>(at(i).value));
    }
    first_scratch_ = next_slot_;
  }

  void emit(int i) {
    Instruction instruction;
    instruction.primitive = at(i).primitive;
    for (int k = 0; k < at(i).operand_count(); ++k) {
      const int operand = at(i).operands[k];
      instruction.operands[k] = static_cast<std::uint8_t>(slot(operand));
      note_read(operand);
      // The operand's scratch may already take this result.
      if (--uses_left_[static_cast<std::size_t>(operand)] == 0 && slot(operand) >= first_scratch_) {
        free_.push_back(slot(operand));
      }
    }
    slot(i) = destination(i);
    instruction.destination = static_cast<std::uint8_t>(slot(i));
    push(instruction);
  }

  int destination(int i) {
    const int output = output_of_[static_cast<std::size_t>(i)];
    if (output >= 0) {
      written_.push_back(output);
      return output_slot(output);
    }
    if (free_.empty()) return next_slot_++;
    const int reused = free_.back();
    free_.pop_back();
    return reused;
  }

  /// Outputs that were written before this read of an input.
  void note_read(int operand) {
    if (at(operand).kind != Node::Kind::input) return;
    const unsigned bit = 1U << at(operand).operands[0];
    for (const int output : written_) result_.read_after_store[static_cast<std::size_t>(output)] |= bit;
    result_.reads |= bit;
  }

  /// Outputs that are an input, a constant, or the same as another output.
  void copy_other_outputs() {
    for (int k = program_.output_count(); k-- > 0;) {
      const int node = program_.outputs()[static_cast<std::size_t>(k)];
      if (output_of_[static_cast<std::size_t>(node)] == k) continue;
      note_read(node);
      written_.push_back(k);
      Instruction instruction;
      instruction.destination = static_cast<std::uint8_t>(output_slot(k));
      instruction.operands[0] = static_cast<std::uint8_t>(slot(node));
      push(instruction);
    }
  }

  void push(const Instruction& instruction) {
    result_.instructions.push_back(instruction);
    result_.cost += cost_of(instruction.primitive);
  }

  void finish() {
    if (next_slot_ > slot_limit || program_.input_count() > 31) throw Error("pointwise: the formula is too long");
    result_.scratch_count = static_cast<std::uint8_t>(next_slot_ - first_scratch_);
    for (const unsigned reads : result_.read_after_store) result_.stores_early = result_.stores_early || reads != 0;
  }

  const Program& program_;
  Fusion fusion_;
  const std::vector<Node>& nodes_;
  std::vector<int> order_;
  std::vector<int> slot_;
  std::vector<int> output_of_;  // the output that a node's result is written to, or -1
  std::vector<int> uses_left_;
  std::vector<int> free_;
  std::vector<int> written_;
  int next_slot_ = 0;
  int first_scratch_ = 0;
  Executable result_;
};

}  // namespace

Executable lower(const Program& program) {
  Executable executable = Lowering(program).take();
  const unsigned inputs = executable.input_count;
  executable.is_direct = executable.constants.empty() && executable.scratch_count == 0;
  for (const Instruction& i : executable.instructions) {
    for (int k = 0; k < kernels::arity(i.primitive); ++k) executable.is_direct &= i.operands[k] < inputs;
  }
  if (executable.is_direct && executable.instructions.size() == 1 && executable.output_count == 1) {
    const Instruction& i = executable.instructions[0];
    const auto operands = static_cast<unsigned>(kernels::arity(i.primitive));
    executable.is_single = inputs == operands && operands <= 3 && i.operands[0] == 0 &&
                           (operands < 2 || i.operands[1] == 1) && (operands < 3 || i.operands[2] == 2);
    executable.single = i.primitive;
  }
  executable.steps = machine_code(executable);
  return executable;
}

}  // namespace tapegrad::program
