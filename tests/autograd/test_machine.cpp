// The ways to run a program give the same bits: random programs through all executors, every form of the accumulator
// machine, every tail, and memory behind the results.
#include <cmath>
#include <cstring>
#include <random>
#include <set>

#include "autograd/kernels/machine.h"
#include "autograd/ops/machine_code.h"
#include "tests/autograd/program_support.h"
#include "tests/catch.h"

using namespace tapegrad::program;
namespace machine = tapegrad::kernels::machine;

namespace {

constexpr std::size_t guard = 40;  // elements in front of and behind an array
constexpr double marker = -77;

template <class T>
struct Arrays {
  Arrays(int count, std::size_t size) : n(size), data(static_cast<std::size_t>(count)) {
    for (auto& array : data) array.assign(n + 2 * guard, T(marker));
  }

  std::vector<void*> pointers() {
    std::vector<void*> list;
    for (auto& array : data) list.push_back(array.data() + guard);
    return list;
  }
  bool is_intact() const {
    for (const auto& array : data) {
      for (std::size_t i = 0; i < guard; ++i) {
        if (array[i] != T(marker) || array[n + guard + i] != T(marker)) return false;
      }
    }
    return true;
  }

  std::size_t n;
  std::vector<std::vector<T>> data;
};

template <class T>
Arrays<T> random_inputs(int count, std::size_t n, unsigned seed) {
  std::mt19937 engine(seed);
  std::uniform_real_distribution<T> uniform(T(-2), T(2));
  Arrays<T> arrays(count, n);
  for (auto& array : arrays.data) {
    for (std::size_t i = 0; i < n; ++i) array[guard + i] = uniform(engine);
  }
  return arrays;
}

/// NaN has many forms, of which operations on two of them may give either.
template <class T>
bool same(const Arrays<T>& a, const Arrays<T>& b) {
  for (std::size_t k = 0; k < a.data.size(); ++k) {
    for (std::size_t i = guard; i < guard + a.n; ++i) {
      const T x = a.data[k][i];
      const T y = b.data[k][i];
      if (std::isnan(x) && std::isnan(y)) continue;
      if (std::memcmp(&x, &y, sizeof(T)) != 0) return false;
    }
  }
  return true;
}

template <class T>
constexpr Precision precision_of = sizeof(T) == 4 ? Precision::f32 : Precision::f64;

template <class Run, class T>
Arrays<T> outputs_of(const Executable& e, Arrays<T>& x, Run run_it) {
  Arrays<T> y(e.output_count, x.n);
  const std::vector<void*> to = y.pointers();
  std::vector<const void*> from;
  for (void* pointer : x.pointers()) from.push_back(pointer);
  run_it(from.data(), to.data());
  REQUIRE(y.is_intact());
  return y;
}

template <class T>
void check_executors(const Executable& e, std::size_t n, unsigned scalars) {
  Arrays<T> x = random_inputs<T>(e.input_count, n, 5);
  const auto with = [&](Executor executor) {
    return outputs_of(e, x, [&](const void* const* from, void* const* to) {
      REQUIRE(run_with(executor, e, precision_of<T>, from, scalars, to, n));
    });
  };
  const Arrays<T> strips = with(Executor::strips);
  CAPTURE(n, scalars, sizeof(T));
  REQUIRE(same(strips, with(Executor::machine)));
  REQUIRE(same(strips, outputs_of(e, x, [&](const void* const* from, void* const* to) {
                 run(e, precision_of<T>, from, scalars, to, n);
               })));
  // One element after the other.
  if (n > 70) return;
  REQUIRE(same(strips, outputs_of(e, x, [&](const void* const* from, void* const* to) {
                 for (std::size_t i = 0; i < n; ++i) {
                   std::vector<const void*> x_i;
                   std::vector<void*> y_i;
                   for (std::size_t k = 0; k < e.input_count; ++k) {
                     x_i.push_back(static_cast<const T*>(from[k]) + (scalars >> k & 1 ? 0 : i));
                   }
                   for (std::size_t k = 0; k < e.output_count; ++k) y_i.push_back(static_cast<T*>(to[k]) + i);
                   run(e, precision_of<T>, x_i.data(), 0, y_i.data(), 1);
                 }
               })));
}

/// A program of random primitives of three inputs and a constant.
Program random_program(std::mt19937& engine) {
  const auto below = [&](int n) { return static_cast<int>(engine() % static_cast<unsigned>(n)); };
  Graph graph;
  std::vector<int> values = {graph.input(0), graph.input(1), graph.input(2), graph.constant(0.75)};
  for (int length = 3 + below(12); length > 0; --length) {
    const auto primitive = static_cast<Primitive>(below(tapegrad::kernels::primitive_count));
    int x[4] = {-1, -1, -1, -1};
    for (int k = 0; k < tapegrad::kernels::arity(primitive); ++k) {
      // Mostly the newest values, so that they meet in the accumulators.
      const int count = static_cast<int>(values.size());
      x[k] = values[static_cast<std::size_t>(below(3) == 0 ? below(count) : count - 1 - below(std::min(count, 2)))];
    }
    values.push_back(graph.apply(primitive, x[0], x[1], x[2], x[3]));
  }
  std::vector<int> outputs = {values.back()};
  for (int more = below(3); more > 0; --more)
    outputs.push_back(values[values.size() - 1 - static_cast<std::size_t>(more)]);
  return Program(graph, outputs, 3);
}

}  // namespace

TEST_CASE("executors agree on all formulas, their gradients, tails and scalars") {
  for (const auto& formula : program_test::formulas()) {
    INFO(formula.name);
    const unsigned all = (1U << formula.program.input_count()) - 1;
    for (const Program& program : {formula.program, differentiate(formula.program, all).program}) {
      const Executable e = lower(program);
      const unsigned masks = 1U << e.input_count;
      for (std::size_t n = 1; n <= 70; ++n) check_executors<float>(e, n, static_cast<unsigned>(n) % masks);
      for (const std::size_t n : {127, 128, 300, 4000}) check_executors<float>(e, n, 0);
      for (std::size_t n = 1; n <= 40; ++n) check_executors<double>(e, n, static_cast<unsigned>(n) % masks);
      for (unsigned mask = 0; mask < masks; ++mask) check_executors<double>(e, 81, mask);
    }
  }
}

TEST_CASE("executors agree on random programs, which reach every form of the machine") {
  std::mt19937 engine(17);
  std::set<int> codes;
  for (int i = 0; i < 60000 && codes.size() < machine::code_count; ++i) {
    const Executable e = lower(random_program(engine));
    REQUIRE(!e.steps.empty());
    const std::size_t before = codes.size();
    for (const machine::Step& step : e.steps) codes.insert(step.code);
    if (i >= 300 && codes.size() == before) continue;
    INFO(to_string(e.steps));
    // Tiles of all widths, and a rest.
    check_executors<float>(e, 16 * 13 + 5, i % 5 == 0 ? 2 : 0);
    check_executors<double>(e, 8 * 13 + 3, 0);
  }
  for (int code = 0; code < static_cast<int>(machine::code_count); ++code) {
    CAPTURE(code);
    CHECK(codes.count(code) == 1);
  }
}

TEST_CASE("machine code keeps values in the accumulators") {
  const auto code = [](auto formula) { return to_string(lower(trace(formula)).steps); };
  CHECK(code([](auto x) { return x * sigmoid(x); }) == "load 0\nsigmoid a\nmultiply a 0\nstore, next tile 1\n");
  CHECK(code([](auto x, auto y) { return sqrt(x) - sqrt(y); }) ==
        "load 0\nsqrt a\nstore 3\nload 1\nsqrt a\nsubtract 3 a\nstore, next tile 2\n");
  CHECK(code([](auto) { return 2.5; }) == "load number 2\nstore, next tile 1\n");
  CHECK(code([](auto x) { return sin(x); }) == "sin 0 -> 1\nnext tile\n");
  CHECK(code([](auto x, auto y) { return std::array{x, y}; }) == "load 1\nstore 3\nload 0\nstore, next tile 2\n");
}

TEST_CASE("the machine leaves what it has no room for to the strips") {
  const auto wide = [](auto x) {
    std::vector<decltype(x)> terms;
    for (int i = 0; i < 80; ++i) terms.push_back(exp(x / (i + 2)));
    auto sum = x;
    for (int i = 0; i < 80; ++i)
      sum = sum + terms[static_cast<std::size_t>(79 - i)] * terms[static_cast<std::size_t>(i)];
    return sum;
  };
  const Executable e = lower(trace(wide));
  CHECK(e.steps.empty());
  float x = 1, y = 0;
  const void* from[] = {&x};
  void* to[] = {&y};
  CHECK_FALSE(run_with(Executor::machine, e, Precision::f32, from, 0, to, 1));
  CHECK(run_with(Executor::strips, e, Precision::f32, from, 0, to, 1));
}

TEST_CASE("the machine refuses to write over what it still reads") {
  const Executable e = lower(trace([](auto x, auto y) { return std::array{x * y, exp(x)}; }));
  float x[20] = {}, y[20] = {}, other[20] = {};
  const void* from[] = {x, y};
  for (const bool overlaps : {false, true}) {
    void* to[] = {other, overlaps ? x : y};
    CHECK(run_with(Executor::machine, e, Precision::f32, from, 0, to, 20) !=
          ((e.read_after_store[1] & (overlaps ? 1 : 2)) != 0));
  }
}
