// Derivatives of programs: against differences in long double to third order, closed forms, kinks, and what they read.
#include <cmath>
#include <limits>
#include <random>

#include "autograd/error.h"
#include "tests/autograd/program_support.h"
#include "tests/catch.h"

using namespace tapegrad::program;
using program_test::evaluate;
using program_test::Formula;
using program_test::formulas;
using program_test::interpret;
using program_test::program_of;
using program_test::run_at;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();

std::vector<long double> random_point(int count, std::mt19937& engine, long double largest = 1.7L) {
  std::uniform_real_distribution<long double> uniform(0.3L, largest);
  std::vector<long double> x(static_cast<std::size_t>(count));
  for (long double& value : x) value = uniform(engine);
  return x;
}

/// sum_j g_j df_j/dx_k, by a difference of fourth order.
long double difference(const Program& f, std::vector<long double> x, const std::vector<long double>& g, int k) {
  const long double step = 1e-3L;
  const long double middle = x[static_cast<std::size_t>(k)];
  const auto at = [&](long double offset) {
    x[static_cast<std::size_t>(k)] = middle + offset;
    const std::vector<long double> y = interpret(f, x);
    long double sum = 0;
    for (std::size_t j = 0; j < y.size(); ++j) sum += g[j] * y[j];
    return sum;
  };
  const auto central = [&](long double h) { return (at(h) - at(-h)) / (2 * h); };
  // Two steps of Richardson's extrapolation: the error is of the order of step^6.
  const long double d1 = central(step), d2 = central(step / 2), d4 = central(step / 4);
  const long double e1 = (4 * d2 - d1) / 3, e2 = (4 * d4 - d2) / 3;
  return (16 * e2 - e1) / 15;
}

/// Compares the gradient of f with differences; returns the derivative for the next order.
Program check_gradient(const Program& f, std::mt19937& engine, long double largest = 1.7L) {
  const Derivative derivative = differentiate(f, (1U << f.input_count()) - 1);
  for (int repeat = 0; repeat < 3; ++repeat) {
    const std::vector<long double> x = random_point(f.input_count(), engine, largest);
    const std::vector<long double> g = random_point(f.output_count(), engine);
    const std::vector<long double> sources = program_test::sources_at(derivative, x, interpret(f, x), g);
    const std::vector<long double> gradient = interpret(derivative.program, sources);
    const std::vector<double> narrow(sources.begin(), sources.end());
    const std::vector<double> computed = run_at(derivative.program, narrow);
    for (int k = 0; k < f.input_count(); ++k) {
      const long double expected = difference(f, x, g, k);
      const auto i = static_cast<std::size_t>(k);
      INFO("input " << k << ": " << to_string(derivative.program, source_names(derivative, f), k));
      const double scale = 1 + static_cast<double>(std::abs(expected));
      CHECK(static_cast<double>(std::abs(gradient[i] - expected)) <= 1e-11 * scale);
      CHECK(std::abs(computed[i] - static_cast<double>(expected)) <= 1e-11 * scale);
    }
  }
  return derivative.program;
}

/// f'(x) as a program of x alone: y and g are written out.
Program slope(const Program& f) {
  const Derivative derivative = differentiate(f, 1);
  Graph graph;
  const auto append = [&](const Program& program, const std::vector<int>& inputs) {
    std::vector<int> place;
    for (const Node& node : program.nodes()) {
      int x[3] = {-1, -1, -1};
      for (int k = 0; k < node.operand_count(); ++k) x[k] = place[static_cast<std::size_t>(node.operands[k])];
      const bool is_input = node.kind == Node::Kind::input;
      place.push_back(is_input                            ? inputs[static_cast<std::size_t>(node.operands[0])]
                      : node.kind == Node::Kind::constant ? graph.constant(node.value)
                                                          : graph.apply(node.primitive, x[0], x[1], x[2]));
    }
    return place[static_cast<std::size_t>(program.outputs()[0])];
  };
  const int x = graph.input(0);
  const int y = append(f, {x});
  std::vector<int> inputs;
  for (const Source& source : derivative.sources) {
    inputs.push_back(source.kind == Source::Kind::input    ? x
                     : source.kind == Source::Kind::output ? y
                                                           : graph.constant(1));
  }
  const int output = append(derivative.program, inputs);
  return Program(graph, std::span(&output, 1), 1);
}

double slope_at(const Program& f, double x, double g = 1) {
  const Derivative derivative = differentiate(f, 1);
  std::vector<double> inputs;
  for (const Source& source : derivative.sources) {
    inputs.push_back(source.kind == Source::Kind::input    ? x
                     : source.kind == Source::Kind::output ? run_at(f, {x})[0]
                                                           : g);
  }
  return run_at(derivative.program, inputs)[0];
}

std::string derivative_text(const Program& f, int k = 0) {
  const Derivative derivative = differentiate(f, 1U << k);
  return to_string(derivative.program, source_names(derivative, f));
}

}  // namespace

TEST_CASE("derivatives of every primitive agree with differences to second order") {
  std::mt19937 engine(5);
  for (std::size_t i = 0; i < tapegrad::kernels::primitive_count; ++i) {
    const auto primitive = static_cast<Primitive>(i);
    INFO(name(primitive));
    const bool is_narrow = primitive == Primitive::asin || primitive == Primitive::acos || primitive == Primitive::tan;
    const long double largest = is_narrow ? 0.8L : 1.7L;
    check_gradient(check_gradient(program_of(primitive), engine, largest), engine, largest);
  }
}

TEST_CASE("derivatives of formulas agree with differences to third order") {
  std::mt19937 engine(6);
  for (const Formula& formula : formulas()) {
    INFO(formula.name);
    const Program first = check_gradient(formula.program, engine);
    const Program second = check_gradient(first, engine);
    check_gradient(second, engine);
  }
}

TEST_CASE("derivatives of one formula to fifth order have their closed forms") {
  Program power = trace([](auto x) { return pow(x, 4); });
  for (const double expected : {32.0, 48.0, 48.0, 24.0, 0.0}) {
    power = slope(power);
    CHECK(run_at(power, {2})[0] == Approx(expected));
  }
  Program wave = trace([](auto x) { return sin(x); });
  for (const double expected : {std::cos(0.7), -std::sin(0.7), -std::cos(0.7), std::sin(0.7), std::cos(0.7)}) {
    wave = slope(wave);
    CHECK(run_at(wave, {0.7})[0] == Approx(expected));
  }
  Program curve = trace([](auto x) { return tanh(x); });
  const double y = std::tanh(0.4);
  const double s = 1 - y * y;
  for (const double expected : {s, -2 * y * s, s * (6 * y * y - 2), s * y * (16 - 24 * y * y)}) {
    curve = slope(curve);
    CHECK(run_at(curve, {0.4})[0] == Approx(expected));
  }
}

TEST_CASE("a derivative is a subgradient at kinks") {
  CHECK(slope_at(trace([](auto x) { return relu(x); }), 0) == 0);
  CHECK(slope_at(trace([](auto x) { return abs(x); }), 0) == 0);
  CHECK(slope_at(trace([](auto x) { return sign(x); }), 0.5) == 0);
  CHECK(slope_at(trace([](auto x) { return floor(x) + ceil(x) + round(x); }), 0.25) == 0);
  CHECK(slope_at(trace([](auto x) { return sqrt(x); }), 0) == inf);
  CHECK(slope_at(trace([](auto x) { return maximum(x, 0.5); }), 0.5) == 0.5);
  CHECK(slope_at(trace([](auto x) { return minimum(x, 0.5); }), 0.5) == 0.5);
  CHECK(slope_at(trace([](auto x) { return maximum(x, x); }), 0.5) == 1);
  const Derivative both = differentiate(trace([](auto a, auto b) { return maximum(a, b); }), 3);
  CHECK(run_at(both.program, {2, 2, 6}) == std::vector<double>{3, 3});
  CHECK(run_at(both.program, {1, 2, 6}) == std::vector<double>{0, 6});
  CHECK(run_at(both.program, {2, 1, 6}) == std::vector<double>{6, 0});
}

TEST_CASE("where gives an exact zero to the branch that it did not take") {
  const auto safe_log = trace([](auto x) { return where(x > 0, log(x), 0); });
  CHECK(slope_at(safe_log, 0) == 0);
  CHECK(slope_at(safe_log, -1) == 0);
  CHECK(slope_at(safe_log, 2) == 0.5);
  CHECK(run_at(slope(slope(safe_log)), {0})[0] == 0);
  const auto safe_root = trace([](auto x) { return where(x > 0, tanh(sqrt(x)) * 3 / x, x); });
  CHECK(slope_at(safe_root, 0) == 1);
  CHECK(slope_at(trace([](auto x) { return where(x <= 0, 0, x); }), nan_value, 3) == 3);
}

TEST_CASE("gradients of NaN and of powers of zero") {
  CHECK(std::isnan(run_at(trace([](auto x) { return where(x <= 0, 0, x); }), {nan_value})[0]));
  CHECK(std::isnan(slope_at(trace([](auto x) { return x * x; }), nan_value)));
  CHECK(slope_at(trace([](auto x) { return pow(x, 2); }), 0) == 0);
  CHECK(slope_at(trace([](auto x) { return pow(x, 1.5); }), 0) == 0);
  const Derivative power = differentiate(trace([](auto a, auto b) { return pow(a, b); }), 3);
  const auto at = [&](double a, double b) {
    std::vector<double> inputs;
    for (const long double v : program_test::sources_at(power, {a, b}, {std::pow(a, b)}, {1})) {
      inputs.push_back(static_cast<double>(v));
    }
    return run_at(power.program, inputs);
  };
  CHECK(at(0, 0) == std::vector<double>{0, 0});
  CHECK(at(0, 1) == std::vector<double>{1, 0});
  CHECK(at(0, 2) == std::vector<double>{0, 0});
  CHECK(at(2, 3)[1] == Approx(8 * std::log(2.0)));
  CHECK(at(-2, 3)[0] == 12);
  CHECK(std::isnan(at(-2, 3)[1]));
}

TEST_CASE("a derivative reads only what it needs") {
  const auto reads = [](const Program& f, int k) {
    const Derivative d = differentiate(f, 1U << k);
    return std::pair(d.reads_inputs, d.reads_outputs);
  };
  using Reads = std::pair<unsigned, unsigned>;
  CHECK(reads(trace([](auto x) { return tanh(x); }), 0) == Reads(0, 1));
  CHECK(reads(trace([](auto x) { return sigmoid(x); }), 0) == Reads(0, 1));
  CHECK(reads(trace([](auto x) { return exp(x); }), 0) == Reads(0, 1));
  CHECK(reads(trace([](auto x) { return relu(x); }), 0) == Reads(0, 1));
  CHECK(reads(trace([](auto x) { return sqrt(x); }), 0) == Reads(0, 1));
  CHECK(reads(trace([](auto x) { return log(x); }), 0) == Reads(1, 0));
  CHECK(reads(trace([](auto x) { return x * sigmoid(x); }), 0) == Reads(1, 0));
  const Program product = trace([](auto a, auto b) { return a * b; });
  CHECK(reads(product, 0) == Reads(2, 0));
  CHECK(reads(product, 1) == Reads(1, 0));
  const Derivative both = differentiate(product, 3);
  CHECK(both.partials[0].reads_inputs == 2);
  CHECK(both.partials[1].reads_inputs == 1);
  CHECK(both.reads_inputs == 3);
}

TEST_CASE("several gradients together read what each of them reads") {
  std::vector<Formula> all = formulas();
  all.push_back({"gauss", trace([](auto x, auto m, auto s) { return exp(-((x - m) / s) * ((x - m) / s) / 2) / s; })});
  all.push_back({"quotient", trace([](auto a, auto b) { return exp(a / b) / (a / b); })});
  all.push_back({"roots", trace([](auto a, auto b) { return sqrt(rsqrt(exp(a) + b)); })});
  for (const Formula& formula : all) {
    INFO(formula.name);
    const unsigned inputs = 1U << formula.program.input_count();
    for (unsigned wanted = 1; wanted < inputs; ++wanted) {
      unsigned reads_inputs = 0;
      unsigned reads_outputs = 0;
      for (unsigned k = 1; k < inputs; k *= 2) {
        if ((wanted & k) == 0) continue;
        const Derivative alone = differentiate(formula.program, k);
        reads_inputs |= alone.reads_inputs;
        reads_outputs |= alone.reads_outputs;
      }
      const Derivative together = differentiate(formula.program, wanted);
      CHECK(together.reads_inputs == reads_inputs);
      CHECK(together.reads_outputs == reads_outputs);
    }
  }
}

TEST_CASE("a derivative that is the cotangent itself says so") {
  const auto forms = [](const Program& f) {
    std::vector<Form> result;
    for (const Partial& partial : differentiate(f, (1U << f.input_count()) - 1).partials) {
      result.push_back(partial.form);
    }
    return result;
  };
  CHECK(forms(trace([](auto a, auto b) { return a + b; })) == std::vector{Form::upstream, Form::upstream});
  CHECK(forms(trace([](auto a, auto b) { return a - b; })) == std::vector{Form::upstream, Form::negated_upstream});
  CHECK(forms(trace([](auto a, auto b) { return a * 2 + sign(b); })) == std::vector{Form::general, Form::zero});
  const Derivative difference = differentiate(trace([](auto a, auto b) { return a - b; }), 2);
  CHECK(difference.partials.size() == 1);
  CHECK(difference.partials[0].input == 1);
  CHECK(difference.program.input_count() == 1);
  CHECK(difference.sources == std::vector{Source{Source::Kind::upstream, 0}});
}

TEST_CASE("formulas of derivatives are printed in their simplest form") {
  CHECK(derivative_text(trace([](auto x) { return tanh(x); })) == "g * (1 - y * y)");
  CHECK(derivative_text(trace([](auto x) { return sigmoid(x); })) == "g * y * (1 - y)");
  CHECK(derivative_text(trace([](auto x) { return relu(x); })) == "where(y <= 0, 0, g)");
  CHECK(derivative_text(trace([](auto x) { return pow(x, 3); })) == "3 * (g * (x * x))");
  CHECK(derivative_text(trace([](auto x) { return log(x); })) == "g / x");
  CHECK(derivative_text(trace([](auto a, auto b) { return a / b; }), 1) == "-g / x1 * y");
  CHECK(derivative_text(trace([](auto x) { return cos(x); })) == "-g * sin(x)");
  CHECK(derivative_text(trace([](auto x) { return where(x > 0, log(x), 0); })) == "where(x > 0, g / x, 0)");
  CHECK(derivative_text(trace([](auto x) { return x + 3; })) == "g");
}

TEST_CASE("a program with too many inputs to differentiate throws") {
  Graph graph;
  std::vector<int> outputs;
  for (int k = 0; k < 12; ++k) outputs.push_back(graph.apply(Primitive::exp, graph.input(k)));
  CHECK_THROWS_AS(differentiate(Program(graph, outputs, 12), 1), tapegrad::Error);
}
