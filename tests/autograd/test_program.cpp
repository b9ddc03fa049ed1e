// Programs: tracing, execution of all primitives in all shapes of operands, aliasing, and printing.
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <thread>
#include <type_traits>

#include "autograd/error.h"
#include "tests/autograd/program_support.h"
#include "tests/catch.h"

using namespace tapegrad::program;
using program_test::Formula;
using program_test::formulas;
using program_test::interpret;
using program_test::program_of;
using program_test::run_at;

namespace {

constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();

template <class T>
using Arrays = std::vector<std::vector<T>>;

template <class T>
constexpr Precision precision_of = sizeof(T) == 4 ? Precision::f32 : Precision::f64;

template <class T>
Arrays<T> random_arrays(int count, std::size_t n, unsigned seed) {
  std::mt19937 engine(seed);
  std::uniform_real_distribution<T> uniform(T(0.3), T(1.7));
  Arrays<T> arrays(static_cast<std::size_t>(count), std::vector<T>(n));
  for (auto& array : arrays) {
    for (T& value : array) value = uniform(engine);
  }
  return arrays;
}

/// Runs on `inputs`; those of `scalar_mask` pass only their first element.
template <class T>
Arrays<T> run_on(const Executable& executable, const Arrays<T>& inputs, std::size_t n, unsigned scalar_mask = 0) {
  Arrays<T> outputs(executable.output_count, std::vector<T>(n, T(-77)));
  std::vector<const void*> x;
  std::vector<void*> y;
  for (const auto& input : inputs) x.push_back(input.data());
  for (auto& output : outputs) y.push_back(output.data());
  run(executable, precision_of<T>, x.data(), scalar_mask, y.data(), n);
  return outputs;
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

template <class T>
void check_values(const Program& program, std::size_t n, double tolerance) {
  const Arrays<T> inputs = random_arrays<T>(program.input_count(), n, 3);
  const Arrays<T> outputs = run_on(lower(program), inputs, n);
  for (std::size_t i = 0; i < n; ++i) {
    std::vector<long double> point;
    for (const auto& input : inputs) point.push_back(static_cast<long double>(input[i]));
    const std::vector<long double> exact = interpret(program, point);
    for (std::size_t k = 0; k < exact.size(); ++k) {
      if (std::isnan(exact[k])) {  // outside of the domain of asin
        REQUIRE(std::isnan(outputs[k][i]));
        continue;
      }
      const double scale = 1 + static_cast<double>(std::abs(exact[k]));
      REQUIRE(std::abs(static_cast<double>(outputs[k][i]) - static_cast<double>(exact[k])) <= tolerance * scale);
    }
  }
}

/// Scalar operands against the same values as arrays.
template <class T>
void check_scalars(const Program& program, std::size_t n) {
  const Executable executable = lower(program);
  const unsigned all = (1U << program.input_count()) - 1;
  for (unsigned mask = 0; mask <= all; ++mask) {
    Arrays<T> narrow = random_arrays<T>(program.input_count(), n, mask);
    Arrays<T> wide = narrow;
    for (std::size_t k = 0; k < wide.size(); ++k) {
      if ((mask >> k & 1) == 0) continue;
      wide[k].assign(n, wide[k][0]);
      narrow[k].resize(1);
    }
    const Arrays<T> expected = run_on(executable, wide, n);
    const Arrays<T> computed = run_on(executable, narrow, n, mask);
    for (std::size_t k = 0; k < expected.size(); ++k) REQUIRE(same_bits(expected[k], computed[k]));
  }
}

/// Any cut of the work gives the bits of the whole.
template <class T>
void check_cuts(const Program& program) {
  const std::size_t n = 2500;
  const Executable executable = lower(program);
  const Arrays<T> inputs = random_arrays<T>(program.input_count(), n, 9);
  const Arrays<T> whole = run_on(executable, inputs, n);
  std::size_t begin = 0;
  for (std::size_t length = 1; begin < n; length = length * 2 + 1) {
    const std::size_t end = std::min(n, begin + length);
    Arrays<T> part;
    for (const auto& input : inputs) {
      part.emplace_back(input.begin() + static_cast<std::ptrdiff_t>(begin),
                        input.begin() + static_cast<std::ptrdiff_t>(end));
    }
    const Arrays<T> outputs = run_on(executable, part, end - begin);
    for (std::size_t k = 0; k < whole.size(); ++k) {
      REQUIRE(std::memcmp(outputs[k].data(), whole[k].data() + begin, (end - begin) * sizeof(T)) == 0);
    }
    begin = end;
  }
}

/// Writes outputs over inputs in every combination.
template <class T>
void check_aliases(const Program& program, std::size_t n) {
  const Executable executable = lower(program);
  const Arrays<T> inputs = random_arrays<T>(program.input_count(), n, 21);
  const Arrays<T> expected = run_on(executable, inputs, n);
  const std::size_t input_count = inputs.size();
  const std::size_t output_count = expected.size();
  std::size_t combinations = 1;
  for (std::size_t k = 0; k < output_count; ++k) combinations *= input_count + 1;
  for (std::size_t combination = 0; combination < combinations; ++combination) {
    Arrays<T> x = inputs;
    Arrays<T> y(output_count, std::vector<T>(n));
    std::vector<const void*> from;
    std::vector<void*> to;
    std::vector<bool> taken(input_count);
    bool is_valid = true;
    for (auto& array : x) from.push_back(array.data());
    std::size_t rest = combination;
    for (std::size_t k = 0; k < output_count; ++k) {
      const std::size_t choice = rest % (input_count + 1);
      rest /= input_count + 1;
      if (choice == input_count) {
        to.push_back(y[k].data());
        continue;
      }
      is_valid = is_valid && !taken[choice];
      taken[choice] = true;
      to.push_back(x[choice].data());
    }
    if (!is_valid) continue;
    run(executable, precision_of<T>, from.data(), 0, to.data(), n);
    for (std::size_t k = 0; k < output_count; ++k) {
      REQUIRE(std::memcmp(to[k], expected[k].data(), n * sizeof(T)) == 0);
    }
  }
}

}  // namespace

TEST_CASE("every primitive computes its formula in both precisions") {
  for (std::size_t i = 0; i < tapegrad::kernels::primitive_count; ++i) {
    const Program program = program_of(static_cast<Primitive>(i));
    INFO(name(static_cast<Primitive>(i)));
    for (const std::size_t n : {1, 2, 7, 67}) {
      check_values<float>(program, n, 1e-6);
      check_values<double>(program, n, 2e-15);
    }
    check_scalars<float>(program, 1);
    check_scalars<float>(program, 37);
    check_scalars<double>(program, 37);
  }
}

TEST_CASE("formulas and their derivatives run at every length, with scalars, cut anywhere") {
  for (const Formula& formula : formulas()) {
    INFO(formula.name);
    const Program gradient = differentiate(formula.program, (1U << formula.program.input_count()) - 1).program;
    for (const Program& program : {formula.program, gradient}) {
      for (const std::size_t n : {1, 3, 16, 1025, 3000}) {
        check_values<float>(program, n, 2e-5);
        check_values<double>(program, n, 1e-13);
      }
      check_scalars<float>(program, 1);
      check_scalars<double>(program, 1100);
      check_cuts<float>(program);
      check_cuts<double>(program);
    }
  }
}

TEST_CASE("outputs may lie over inputs") {
  for (const Formula& formula : formulas()) {
    INFO(formula.name);
    const Program gradient = differentiate(formula.program, (1U << formula.program.input_count()) - 1).program;
    for (const Program& program : {formula.program, gradient}) {
      if (program.output_count() > 3) continue;
      for (const std::size_t n : {1, 5, 1500}) check_aliases<float>(program, n);
    }
  }
  const Program swap = trace([](auto x, auto y) { return std::array{y, x}; });
  for (const std::size_t n : {1, 5, 1500}) check_aliases<double>(swap, n);
}

TEST_CASE("a scalar operand inside the output array is read before it is overwritten") {
  const auto check = [](const Program& program, float first, float last) {
    std::vector<float> x(5000, 1);
    x[0] = 3;
    const void* inputs[] = {x.data(), x.data()};
    void* outputs[] = {x.data()};
    run(lower(program), Precision::f32, inputs, 2, outputs, x.size());
    CHECK(x.front() == first);
    CHECK(x.back() == last);
  };
  check(trace([](auto x, auto s) { return x * s + s; }), 12, 6);
  check(trace([](auto x, auto s) { return x * s * (x + s); }), 54, 12);
}

TEST_CASE("programs that only pass values on or make constants") {
  for (const std::size_t n : {1, 9, 2000}) {
    const Arrays<double> x = random_arrays<double>(1, n, 4);
    CHECK(same_bits(run_on(lower(trace([](auto a) { return a; })), x, n)[0], x[0]));
    CHECK(run_on(lower(trace([](auto) { return 2.5; })), x, n)[0] == std::vector<double>(n, 2.5));
    const Arrays<double> twice = run_on(lower(trace([](auto a) { return std::array{exp(a), exp(a)}; })), x, n);
    CHECK(same_bits(twice[0], twice[1]));
    CHECK(twice[0][0] == Approx(std::exp(x[0][0])));
  }
  const Executable unread = lower(trace([](auto a, auto) { return a + 1; }));
  const double one = 1;
  double result = 0;
  const void* inputs[] = {&one, nullptr};
  void* outputs[] = {&result};
  run(unread, Precision::f64, inputs, 2, outputs, 1);
  CHECK(result == 2);
  run(unread, Precision::f64, inputs, 2, outputs, 0);
}

TEST_CASE("equal expressions are computed once and constants are folded") {
  const Program program = trace([](auto x, auto y) { return exp(x * y) + exp(y * x) * (2.0 * 3 + 1); });
  // x, y, x * y, exp, 7, *, +
  CHECK(program.nodes().size() == 7);
  // The product with 7 becomes part of the sum.
  CHECK(lower(program).instructions.size() == 3);
  CHECK(trace([](auto x) { return where(x > 0, x, 0); }).nodes().size() == 4);
  CHECK(lower(trace([](auto x) { return where(x > 0, x, 0); })).instructions.size() == 1);
  CHECK(lower(trace([](auto x, auto slope) { return where(x > 0, x, slope * x); })).instructions.size() == 1);
  CHECK(lower(trace([](auto x, auto y) { return where(x > 0, y, y * 3); })).instructions.size() == 1);
  CHECK(lower(trace([](auto x, auto y) { return where(x > 0, x, y * 3); })).instructions.size() == 2);
  CHECK(lower(trace([](auto x) { return where(x > 0, x, 3 * x) + 3 * x; })).instructions.size() == 3);
  // A product that is used twice is rounded once, for both uses.
  const Program shared = trace([](auto x, auto y) { return std::array{x * y, x * y + x}; });
  CHECK(lower(shared).instructions.back().primitive == Primitive::add);
  Graph graph;
  CHECK(graph.constant(0.0) != graph.constant(-0.0));
  CHECK(graph.constant(nan_value) == graph.constant(nan_value));
}

TEST_CASE("forward programs are not rearranged") {
  // x - x is 0, but of infinity it is NaN; x * 1 and x + 0 stay as well.
  CHECK(std::isnan(run_at(trace([](auto x) { return x - x; }), {std::numeric_limits<double>::infinity()})[0]));
  CHECK(std::isnan(run_at(trace([](auto x) { return x * 0; }), {nan_value})[0]));
  CHECK(trace([](auto x) { return (x + 1) - 1; }).nodes().size() == 4);
  CHECK(run_at(trace([](auto x) { return (x + 1e20) - 1e20; }), {1})[0] == 0);
}

TEST_CASE("symbols have no truth value and do not turn into numbers") {
  CHECK_FALSE(std::is_constructible_v<bool, Condition>);
  CHECK_FALSE(std::is_constructible_v<bool, Symbol>);
  CHECK_FALSE(std::is_convertible_v<Symbol, double>);
  CHECK_FALSE(std::is_convertible_v<bool, Symbol>);
  CHECK_FALSE(std::is_convertible_v<Condition, Symbol>);
  CHECK(std::is_convertible_v<int, Symbol>);
}

TEST_CASE("the number of a formula's arguments is found") {
  const auto one = [](auto x) { return x; };
  const auto six = [](auto a, auto b, auto c, auto d, auto e, auto f) { return a + b + c + d + e + f; };
  const auto seven = [](auto a, auto, auto, auto, auto, auto, auto) { return a; };
  const auto none = [] { return 1.0; };
  CHECK(argument_count<decltype(one)> == 1);
  CHECK(argument_count<decltype(six)> == 6);
  CHECK(argument_count<decltype(seven)> == 0);
  CHECK(argument_count<decltype(none)> == 0);
  CHECK(trace(six).input_count() == 6);
  CHECK(trace([](auto, auto b) { return b; }).reads() == 2);
}

TEST_CASE("a value of another formula is refused") {
  Graph other;
  static Symbol foreign(other, other.input(0));
  CHECK_THROWS_AS(trace([](auto x) { return x + foreign; }), tapegrad::Error);
  CHECK_THROWS_AS(trace([](auto) { return foreign; }), tapegrad::Error);
}

TEST_CASE("conditions combine, and NaN fails all comparisons but one") {
  const Program inside = trace([](auto x) { return where(x >= 0 && x < 1, 1, 0); });
  CHECK(run_at(inside, {0})[0] == 1);
  CHECK(run_at(inside, {1})[0] == 0);
  CHECK(run_at(inside, {nan_value})[0] == 0);
  const Program outside = trace([](auto x) { return where(!(x >= 0) || x > 1, 1, 0); });
  CHECK(run_at(outside, {nan_value})[0] == 1);
  CHECK(run_at(outside, {0.5})[0] == 0);
  CHECK(run_at(trace([](auto x) { return where(x != x, 1, 0); }), {nan_value})[0] == 1);
  CHECK(run_at(trace([](auto x) { return where(x == x, 1, 0); }), {nan_value})[0] == 0);
}

TEST_CASE("formulas are printed with as few parentheses as their value allows") {
  const auto text = [](auto formula) { return to_string(trace(formula)); };
  CHECK(text([](auto x) { return x * sigmoid(x); }) == "x * sigmoid(x)");
  CHECK(text([](auto a, auto b) { return (a + b) * (a - b); }) == "(x0 + x1) * (x0 - x1)");
  CHECK(text([](auto a, auto b) { return a - (b - a) + b; }) == "x0 - (x1 - x0) + x1");
  CHECK(text([](auto a, auto b) { return a / (b / a) * b; }) == "x0 / (x1 / x0) * x1");
  CHECK(text([](auto x) { return -x * 2 - -x; }) == "-x * 2 - -x");
  CHECK(text([](auto x) { return x * -x; }) == "x * (-x)");
  CHECK(text([](auto x) { return -(x + 1); }) == "-(x + 1)");
  CHECK(text([](auto x) { return pow(x, 2.5) + pow(x, -1) * -0.5; }) == "pow(x, 2.5) + 1 / x * (-0.5)");
  CHECK(text([](auto x) { return where(x > 0 && x <= 2, x, 0.1); }) == "where(x > 0 && x <= 2, x, 0.1)");
  CHECK(text([](auto x, auto y) { return where(x < y || x == 0, maximum(x, y), 0); }) ==
        "where((x0 < x1 || x0 == 0), maximum(x0, x1), 0)");
  const std::string names[] = {"weight", "bias"};
  CHECK(to_string(trace([](auto w, auto b) { return exp(w) / b; }), names) == "exp(weight) / bias");
  const Program two = trace([](auto x) { return std::array{x + 1, x * 2}; });
  CHECK(to_string(two, {}, 1) == "x * 2");
}

TEST_CASE("a long formula names what it uses twice") {
  const auto nested = [](auto x) {
    for (int i = 0; i < 6; ++i) x = exp(x) * sin(exp(x));
    return x;
  };
  CHECK(to_string(trace(nested)) ==
        "t0 = exp(x); t1 = exp(t0 * sin(t0)); t2 = exp(t1 * sin(t1)); t3 = exp(t2 * sin(t2)); "
        "t4 = exp(t3 * sin(t3)); t5 = exp(t4 * sin(t4)); t5 * sin(t5)");
}

TEST_CASE("programs with many live values") {
  const auto wide = [](auto x) {
    std::vector<decltype(x)> terms;
    for (int i = 0; i < 100; ++i) terms.push_back(exp(x / (i + 2)));
    auto sum = x;
    for (int i = 0; i < 100; ++i)
      sum = sum + terms[static_cast<std::size_t>(99 - i)] * terms[static_cast<std::size_t>(i)];
    return sum;
  };
  for (const std::size_t n : {1, 100, 2000}) {
    check_values<float>(trace(wide), n, 1e-4);
    check_values<double>(trace(wide), n, 1e-12);
  }
  const auto too_wide = [](auto x) {
    auto sum = x;
    for (int i = 0; i < 300; ++i) sum = sum + x * (i + 0.5);
    return sum;
  };
  CHECK_THROWS_AS(lower(trace(too_wide)), tapegrad::Error);
}

TEST_CASE("tracing and running in several threads") {
  std::vector<std::thread> threads;
  std::vector<double> results(4);
  const Executable shared = lower(trace([](auto x) { return x * sigmoid(x) + exp(x); }));
  for (std::size_t t = 0; t < results.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int repeat = 0; repeat < 200; ++repeat) {
        const Program program = trace([](auto x) { return tanh(x) * exp(x); });
        const Derivative derivative = differentiate(program, 1);
        const Arrays<double> x = {std::vector<double>(100, static_cast<double>(t))};
        results[t] = run_on(shared, x, 100)[0][99] + run_at(program, {static_cast<double>(t)})[0];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (std::size_t t = 0; t < results.size(); ++t) {
    const double x = static_cast<double>(t);
    CHECK(results[t] == Approx(x / (1 + std::exp(-x)) + std::exp(x) + std::tanh(x) * std::exp(x)));
  }
}
