// What the tests of programs share: an interpreter in long double, and formulas of all kinds.
#pragma once

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "autograd/ops/program.h"
#include "autograd/ops/trace.h"

namespace program_test {

using tapegrad::kernels::Primitive;
using tapegrad::program::Derivative;
using tapegrad::program::Executable;
using tapegrad::program::Graph;
using tapegrad::program::Node;
using tapegrad::program::Precision;
using tapegrad::program::Program;
using tapegrad::program::Source;

inline long double evaluate(Primitive primitive, long double a, long double b, long double c, long double d) {
  switch (primitive) {
    case Primitive::copy:
      return a;
    case Primitive::negate:
      return -a;
    case Primitive::abs:
      return std::abs(a);
    case Primitive::sign:
      return a > 0 ? 1 : a < 0 ? -1 : a;
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
      return std::log1p(std::exp(a));
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
      return std::isnan(a) || a < b ? a : b;
    case Primitive::maximum:
      return std::isnan(a) || a > b ? a : b;
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
      return a * b * (1 - b);
    case Primitive::at_least:
      return a < b ? b : a;
    case Primitive::at_most:
      return b < a ? b : a;
    case Primitive::fma:
      return a * b + c;
    case Primitive::fms:
      return a * b - c;
    case Primitive::fnma:
      return c - a * b;
    case Primitive::select:
      return a != 0 ? b : c;
    case Primitive::scale_unless_positive:
      return a > 0 ? b : b * c;
    case Primitive::select_less:
      return a < b ? c : d;
    case Primitive::select_less_equal:
      return a <= b ? c : d;
    case Primitive::zero_outside:
      return a <= b || c <= a ? 0 : d;
  }
  return 0;
}

/// All outputs of a program at one point.
inline std::vector<long double> interpret(const Program& program, const std::vector<long double>& inputs) {
  std::vector<long double> value;
  for (const Node& node : program.nodes()) {
    long double operand[4] = {};
    for (int k = 0; k < node.operand_count(); ++k) operand[k] = value[static_cast<std::size_t>(node.operands[k])];
    switch (node.kind) {
      case Node::Kind::input:
        value.push_back(inputs[static_cast<std::size_t>(node.operands[0])]);
        break;
      case Node::Kind::constant:
        value.push_back(static_cast<long double>(node.value));
        break;
      case Node::Kind::primitive:
        value.push_back(evaluate(node.primitive, operand[0], operand[1], operand[2], operand[3]));
        break;
    }
  }
  std::vector<long double> outputs;
  for (const int output : program.outputs()) outputs.push_back(value[static_cast<std::size_t>(output)]);
  return outputs;
}

inline int input_mask(const Program& program) { return (1 << program.input_count()) - 1; }

/// What a derivative's inputs are at a point of f: the x it reads, the y it reads, and g.
inline std::vector<long double> sources_at(const Derivative& derivative, const std::vector<long double>& x,
                                           const std::vector<long double>& y, const std::vector<long double>& g) {
  std::vector<long double> values;
  for (const Source& source : derivative.sources) {
    const auto& from = source.kind == Source::Kind::input ? x : source.kind == Source::Kind::output ? y : g;
    values.push_back(from[static_cast<std::size_t>(source.index)]);
  }
  return values;
}

/// f(x) through run, in f64.
inline std::vector<double> run_at(const Program& program, const std::vector<double>& x) {
  const Executable executable = tapegrad::program::lower(program);
  std::vector<const void*> inputs;
  for (const double& value : x) inputs.push_back(&value);
  std::vector<double> y(static_cast<std::size_t>(program.output_count()));
  std::vector<void*> outputs;
  for (double& value : y) outputs.push_back(&value);
  tapegrad::program::run(executable, Precision::f64, inputs.data(), 0, outputs.data(), 1);
  return y;
}

/// A primitive as a program of its own.
inline Program program_of(Primitive primitive) {
  Graph graph;
  const int arity = tapegrad::kernels::arity(primitive);
  int x[4] = {-1, -1, -1, -1};
  for (int k = 0; k < arity; ++k) x[k] = graph.input(k);
  const int output = graph.apply(primitive, x[0], x[1], x[2], x[3]);
  return Program(graph, std::span(&output, 1), arity);
}

struct Formula {
  std::string name;
  Program program;
};

inline std::vector<Formula> formulas() {
  using tapegrad::program::trace;
  return {
      {"swish", trace([](auto x) { return x * sigmoid(x); })},
      {"gelu", trace([](auto x) { return 0.5 * x * (1 + erf(x * 0.70710678118654752)); })},
      {"gelu_tanh", trace([](auto x) { return 0.5 * x * (1 + tanh(0.79788456 * (x + 0.044715 * pow(x, 3)))); })},
      {"mish", trace([](auto x) { return x * tanh(softplus(x)); })},
      {"leaky_relu", trace([](auto x, auto slope) { return where(x > 0, x, slope * x); })},
      {"elu", trace([](auto x) { return where(x > 0, x, expm1(x)); })},
      {"elu_gradient", trace([](auto x, auto g) { return where(x > 0, 1, exp(x)) * g; })},
      {"gaussian", trace([](auto x, auto m, auto s) { return exp(-square((x - m) / s) / 2) / s; })},
      {"lerp", trace([](auto a, auto b, auto w) { return a + (b - a) * w; })},
      {"cell", trace([](auto x, auto w, auto b) { return tanh(x * w + b) * sigmoid(x); })},
      {"powers", trace([](auto x, auto y) { return pow(x, 5) + pow(x, -2) + pow(x, y) + pow(2, x) + pow(y, 1.5); })},
      {"roots", trace([](auto x) { return sqrt(x) + rsqrt(x) * reciprocal(x) + pow(x, 4) - pow(x, -0.5); })},
      {"logs", trace([](auto x, auto y) { return log(x) * log1p(y) - x / y + abs(x - y); })},
      {"waves", trace([](auto x) { return sin(x) * cos(2 * x) - cos(x) / 3; })},
      {"choices", trace([](auto x, auto y) { return maximum(x, y) * minimum(x * x, y) + relu(x - 1); })},
      {"branches", trace([](auto x) { return where(x > 0 && x < 2, log(x), where(!(x > 1) || x == 3, x, 0)); })},
      {"two_outputs", trace([](auto x, auto y) {
         return std::array{x * y, exp(x * y) - y};
       })},
      {"opposites", trace([](auto x, auto y) {
         const auto d = x * x - y;
         return std::array{d, -d};
       })},
      {"three_outputs", trace([](auto x, auto y) {
         const auto s = sigmoid(x);
         return std::array{s, s * tanh(y), where(x > y, s, y)};
       })},
  };
}

}  // namespace program_test
