// The text of a program.
#include <algorithm>
#include <cstdio>

#include "autograd/ops/program.h"

namespace tapegrad::program {

namespace {

// How tightly an expression binds; an operand that binds less needs parentheses.
enum Level { comparison = 0, sum = 1, product = 2, atom = 3 };

struct Text {
  std::string text;
  Level level = atom;
};

// Above so many operations, what is used twice gets a name.
constexpr int longest_inline = 30;

class Printer {
 public:
  Printer(const Program& program, std::span<const std::string> input_names)
      : nodes_(program.nodes()), names_(nodes_.size()) {
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      if (nodes_[i].kind != Node::Kind::input) continue;
      const auto k = static_cast<std::size_t>(nodes_[i].operands[0]);
      names_[i] = k < input_names.size() ? input_names[k] : program.input_count() == 1 ? "x" : "x" + std::to_string(k);
    }
  }

  std::string print(int output) {
    if (size_of(output) <= longest_inline) return show(output).text;
    std::string result;
    int count = 0;
    const std::vector<int> uses = uses_below(output);
    for (int i = 0; i < output; ++i) {
      if (uses[static_cast<std::size_t>(i)] < 2 || nodes_[static_cast<std::size_t>(i)].operand_count() == 0) continue;
      const std::string name = "t" + std::to_string(count++);
      result += name + " = " + show(i).text + "; ";
      names_[static_cast<std::size_t>(i)] = name;
    }
    return result + show(output).text;
  }

 private:
  const Node& at(int node) const { return nodes_[static_cast<std::size_t>(node)]; }

  /// Operations when everything is written out.
  int size_of(int output) const {
    std::vector<int> sizes(nodes_.size());
    for (std::size_t i = 0; i <= static_cast<std::size_t>(output); ++i) {
      int size = nodes_[i].operand_count() > 0 ? 1 : 0;
      for (int k = 0; k < nodes_[i].operand_count(); ++k) {
        size += sizes[static_cast<std::size_t>(nodes_[i].operands[k])];
      }
      sizes[i] = std::min(size, longest_inline + 1);
    }
    return sizes[static_cast<std::size_t>(output)];
  }

  std::vector<int> uses_below(int output) const {
    std::vector<int> uses(nodes_.size());
    uses[static_cast<std::size_t>(output)] = 1;
    for (int i = output; i >= 0; --i) {
      if (uses[static_cast<std::size_t>(i)] == 0) continue;
      for (int k = 0; k < at(i).operand_count(); ++k) ++uses[static_cast<std::size_t>(at(i).operands[k])];
    }
    return uses;
  }

  Text show(int node) const {
    if (!names_[static_cast<std::size_t>(node)].empty()) return {names_[static_cast<std::size_t>(node)], atom};
    if (at(node).kind == Node::Kind::constant) return number(at(node).value);
    return operation(at(node));
  }

  static Text number(double value) {
    char buffer[32];
    std::snprintf(buffer, sizeof buffer, "%.6g", value);
    return {buffer, buffer[0] == '-' ? product : atom};
  }

  std::string operand(int node, Level least) const {
    const Text text = show(node);
    return text.level < least ? "(" + text.text + ")" : text.text;
  }

  Text infix(int a, const char* symbol, int b, Level level) const {
    return {operand(a, level) + symbol + operand(b, static_cast<Level>(level + 1)), level};
  }

  /// less(0, x) came from x > 0.
  Text compare(int a, const char* symbol, const char* mirrored, int b) const {
    const bool mirror = at(a).kind == Node::Kind::constant;
    return mirror ? infix(b, mirrored, a, comparison) : infix(a, symbol, b, comparison);
  }

  /// A mask where `where` chooses by it.
  std::string condition(int node) const {
    const Node& n = at(node);
    if (n.is(Primitive::multiply)) return condition(n.operands[0]) + " && " + condition(n.operands[1]);
    if (n.is(Primitive::maximum)) return "(" + condition(n.operands[0]) + " || " + condition(n.operands[1]) + ")";
    return show(node).text;
  }

  Text where(const std::string& mask, int b, int c) const {
    return {"where(" + mask + ", " + show(b).text + ", " + show(c).text + ")", atom};
  }

  Text call(const char* function, const Node& node) const {
    std::string text = std::string(function) + "(";
    for (int k = 0; k < node.operand_count(); ++k) text += (k > 0 ? ", " : "") + show(node.operands[k]).text;
    return {text + ")", atom};
  }

  Text operation(const Node& node) const {
    const int a = node.operands[0];
    const int b = node.operands[1];
    const int c = node.operands[2];
    switch (node.primitive) {
      case Primitive::copy:
        return show(a);
      case Primitive::negate:
        return {"-" + operand(a, product), product};
      case Primitive::reciprocal:
        return {"1 / " + operand(a, atom), product};
      case Primitive::add:
        return infix(a, " + ", b, sum);
      case Primitive::subtract:
        return infix(a, " - ", b, sum);
      case Primitive::multiply:
        return infix(a, " * ", b, product);
      case Primitive::divide:
        return infix(a, " / ", b, product);
      case Primitive::power:
        return call("pow", node);
      case Primitive::less:
        return compare(a, " < ", " > ", b);
      case Primitive::less_equal:
        return compare(a, " <= ", " >= ", b);
      case Primitive::equal:
        return compare(a, " == ", " == ", b);
      case Primitive::not_equal:
        return compare(a, " != ", " != ", b);
      case Primitive::tanh_derivative:
        return {factor(a) + "(1 - " + operand(b, product) + " * " + operand(b, atom) + ")", product};
      case Primitive::sigmoid_derivative:
        return {factor(a) + operand(b, atom) + " * (1 - " + operand(b, product) + ")", product};
      case Primitive::fma:
        return {operand(a, product) + " * " + operand(b, atom) + " + " + operand(c, product), sum};
      case Primitive::fms:
        return {operand(a, product) + " * " + operand(b, atom) + " - " + operand(c, product), sum};
      case Primitive::fnma:
        return {operand(c, sum) + " - " + operand(a, product) + " * " + operand(b, atom), sum};
      case Primitive::select:
        return where(condition(a), b, c);
      default:
        return call(kernels::name(node.primitive), node);
    }
  }

  /// "a * ", or nothing for 1.
  std::string factor(int node) const {
    const bool is_one = at(node).kind == Node::Kind::constant && at(node).value == 1;
    return is_one ? "" : operand(node, product) + " * ";
  }

  const std::vector<Node>& nodes_;
  std::vector<std::string> names_;
};

}  // namespace

std::string to_string(const Program& program, std::span<const std::string> input_names, int output) {
  return Printer(program, input_names).print(program.outputs()[static_cast<std::size_t>(output)]);
}

std::vector<std::string> source_names(const Derivative& derivative, const Program& of,
                                      std::span<const std::string> input_names) {
  const auto numbered = [](const char* name, int index, int count) {
    return count == 1 ? std::string(name) : name + std::to_string(index);
  };
  std::vector<std::string> names;
  for (const Source& source : derivative.sources) {
    const auto index = static_cast<std::size_t>(source.index);
    switch (source.kind) {
      case Source::Kind::input:
        names.push_back(index < input_names.size() ? input_names[index]
                                                   : numbered("x", source.index, of.input_count()));
        break;
      case Source::Kind::output:
        names.push_back(numbered("y", source.index, of.output_count()));
        break;
      case Source::Kind::upstream:
        names.push_back(numbered("g", source.index, of.output_count()));
        break;
    }
  }
  return names;
}

}  // namespace tapegrad::program
