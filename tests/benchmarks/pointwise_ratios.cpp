// bench_pointwise [--check] [--only NAME]
//
// Traced formulas against hand-fused loops, in f32 on one thread, kernel against kernel on arrays that exist already.
// A row gives nanoseconds per element of the hand-fused loop, and relative to it what `run` does by itself and what each
// executor does. Ratios are medians over alternating samples in one process, so a busy machine disturbs all sides alike.
// With --check the program fails when `run` misses a budget (docs/design.md).
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "autograd/kernels/table.h"
#include "autograd/ops/program.h"
#include "autograd/ops/trace.h"
#include "tests/benchmarks/measure.h"
#include "tests/benchmarks/set_loops.h"

namespace {

using namespace tapegrad::program;

struct Formula {
  std::string name;
  Program program;
};

std::vector<Formula> formulas() {
  return {
      {"relu", trace([](auto x) { return relu(x); })},
      {"leaky_relu", trace([](auto x) { return where(x > 0, x, 0.01 * x); })},
      {"elu", trace([](auto x) { return where(x > 0, x, expm1(x)); })},
      {"sigmoid", trace([](auto x) { return sigmoid(x); })},
      {"tanh", trace([](auto x) { return tanh(x); })},
      {"silu", trace([](auto x) { return x * sigmoid(x); })},
      {"gelu", trace([](auto x) { return 0.5 * x * (1 + erf(x * 0.70710678118654752)); })},
      {"gelu_tanh",
       trace([](auto x) { return 0.5 * x * (1 + tanh(0.79788456080286536 * x * (1 + 0.044715 * (x * x)))); })},
      {"softplus", trace([](auto x) { return softplus(x); })},
      {"mish", trace([](auto x) { return x * tanh(softplus(x)); })},
      {"hardswish", trace([](auto x) { return x * minimum(maximum(x + 3, 0), 6) * (1.0 / 6); })},
      {"cell", trace([](auto x, auto w, auto b) { return tanh(x * w + b) * sigmoid(x); })},
  };
}

// ---- the contenders ----

/// Arrays for a program's inputs and outputs, on cache lines as those of tensors are, at different places of their
/// pages.
struct Arrays {
  Arrays(int inputs, int outputs, std::size_t n) {
    for (int k = 0; k < inputs + outputs; ++k) {
      lines.emplace_back(n / std::size(Line{}.elements) + 2 * static_cast<std::size_t>(k + 1));
      float* const data = lines.back()[2 * static_cast<std::size_t>(k)].elements;
      for (std::size_t i = 0; i < n; ++i) {
        data[i] = static_cast<float>((i * 2654435761U + static_cast<std::size_t>(k) * 977) % 10007) * 8e-4F - 4;
      }
      if (k < inputs) {
        x.push_back(data);
      } else {
        y.push_back(data);
      }
    }
  }
  const void* const* inputs() const { return reinterpret_cast<const void* const*>(x.data()); }
  void* const* outputs() { return reinterpret_cast<void* const*>(y.data()); }

  struct Line {
    alignas(64) float elements[16];
  };
  std::vector<std::vector<Line>> lines;
  std::vector<const float*> x;
  std::vector<float*> y;
};

double budget(std::size_t n) {
  const bool has_avx512 = std::strcmp(tapegrad::kernels::instruction_set(), "avx512") == 0;
  if (n >= 65536) return has_avx512 ? 1.2 : 1.35;
  return n >= 4096 && has_avx512 ? 1.45 : 1e9;
}

/// False when a budget is missed.
bool report(const std::string& name, const Program& program, bench::HandFusedLoop hand, std::size_t n) {
  const Executable executable = lower(program);
  Arrays arrays(program.input_count(), program.output_count(), n);
  const auto with = [&](Executor executor) {
    return [&, executor] { run_with(executor, executable, Precision::f32, arrays.inputs(), 0, arrays.outputs(), n); };
  };
  const std::vector<bench::Comparison> t = bench::compare({
      [&] { hand(arrays.x.data(), arrays.y.data(), n); },
      [&] { run(executable, Precision::f32, arrays.inputs(), 0, arrays.outputs(), n); },
      with(Executor::machine),
      with(Executor::strips),
  });
  // A call for one element: what an op on a number pays for its kernel.
  const bool is_short_enough = n > 1 || !executable.is_single || t[1].ns <= 20;
  const bool passes = is_short_enough && t[1].ratio <= budget(n);
  std::printf("%-20s %8zu %10.4f %8.2f %8.2f %8.2f%s\n", name.c_str(), n, t[0].ns / static_cast<double>(n), t[1].ratio,
              t[2].ratio, t[3].ratio, passes ? "" : "  over budget");
  std::fflush(stdout);
  return passes;
}

}  // namespace

int main(int count, char** arguments) {
  bool checks = false;
  std::string only;
  for (int i = 1; i < count; ++i) {
    if (std::strcmp(arguments[i], "--check") == 0) {
      checks = true;
    } else if (std::strcmp(arguments[i], "--only") == 0 && i + 1 < count) {
      only = arguments[++i];
    } else {
      std::fprintf(stderr, "usage: bench_pointwise [--check] [--only NAME]\n");
      return 2;
    }
  }
  const bench::HandFused* const loops = bench::set_loops().formulas;
  std::printf("%s\n%-20s %8s %10s %8s %8s %8s\n", tapegrad::kernels::instruction_set(), "", "elements", "hand, ns",
              "run", "machine", "strips");
  int misses = 0;
  for (const Formula& formula : formulas()) {
    if (formula.name.find(only) == std::string::npos) continue;
    const auto* hand = loops;
    while (formula.name != hand->name) ++hand;
    const unsigned all = (1U << formula.program.input_count()) - 1;
    const Program gradient = differentiate(formula.program, all).program;
    for (const std::size_t n : {std::size_t{1}, std::size_t{64}, std::size_t{1000}, std::size_t{4096},
                                std::size_t{65536}, std::size_t{1} << 20}) {
      misses += !report(formula.name, formula.program, hand->forward, n);
      if (hand->backward) misses += !report(formula.name + " backward", gradient, hand->backward, n);
    }
  }
  return checks && misses > 0 ? 1 : 0;
}
