// bench_pointwise [--check] [--only NAME]
//
// Traced formulas against hand-fused loops, in f32 on one thread, kernel against kernel on arrays that exist already.
// A row gives nanoseconds per element of the hand-fused loop, and relative to it what `run` does by itself and what each
// executor does. Ratios are medians over alternating samples in one process, so a busy machine disturbs all sides alike.
// With --check the program fails when `run` misses a budget (docs/design.md).
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "autograd/kernels/built_sets.h"
#include "autograd/kernels/table.h"
#include "autograd/ops/program.h"
#include "autograd/ops/trace.h"
#include "tests/benchmarks/hand_fused.h"

namespace tapegrad::kernels {
#ifdef TAPEGRAD_HAS_SSE42
namespace sse42 {
const bench::HandFused* hand_fused_loops();
}
#endif
#ifdef TAPEGRAD_HAS_AVX2
namespace avx2 {
const bench::HandFused* hand_fused_loops();
}
#endif
#ifdef TAPEGRAD_HAS_AVX512
namespace avx512 {
const bench::HandFused* hand_fused_loops();
}
#endif
#ifdef TAPEGRAD_HAS_DEFAULT
namespace portable {
const bench::HandFused* hand_fused_loops();
}
#endif
}  // namespace tapegrad::kernels

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

// ---- measuring ----

/// This thread's time on a processor: on a busy machine, a slow loop would be interrupted more often than a fast one.
double now_ns() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

struct Contender {
  const char* name;
  std::function<void()> run;
};

/// Nanoseconds per call of the first contender, then each one's ratio to it.
std::vector<double> compare(const std::vector<Contender>& contenders) {
  constexpr double sample_ns = 40000;
  constexpr int rounds = 41;
  std::vector<int> calls;
  for (const Contender& c : contenders) {
    const double start = now_ns();
    int count = 0;
    for (; now_ns() - start < 2 * sample_ns; ++count) c.run();
    calls.push_back(std::max(1, count / 2));
  }
  std::vector<std::vector<double>> times(contenders.size());
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t k = 0; k < contenders.size(); ++k) {
      const double start = now_ns();
      for (int i = 0; i < calls[k]; ++i) contenders[k].run();
      times[k].push_back((now_ns() - start) / calls[k]);
    }
  }
  std::vector<double> results = {median(times[0])};
  for (std::size_t k = 1; k < contenders.size(); ++k) {
    std::vector<double> ratios;
    for (std::size_t r = 0; r < times[k].size(); ++r) ratios.push_back(times[k][r] / times[0][r]);
    results.push_back(median(ratios));
  }
  return results;
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

const bench::HandFused* loops_of(const std::string& set) {
  namespace kernels = tapegrad::kernels;
#ifdef TAPEGRAD_HAS_SSE42
  if (set == "sse42") return kernels::sse42::hand_fused_loops();
#endif
#ifdef TAPEGRAD_HAS_AVX2
  if (set == "avx2") return kernels::avx2::hand_fused_loops();
#endif
#ifdef TAPEGRAD_HAS_AVX512
  if (set == "avx512") return kernels::avx512::hand_fused_loops();
#endif
#ifdef TAPEGRAD_HAS_DEFAULT
  if (set == "default") return kernels::portable::hand_fused_loops();
#endif
  throw std::logic_error("no loops for " + set);
}

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
  const std::vector<double> t = compare({
      {"hand", [&] { hand(arrays.x.data(), arrays.y.data(), n); }},
      {"run", [&] { run(executable, Precision::f32, arrays.inputs(), 0, arrays.outputs(), n); }},
      {"machine", with(Executor::machine)},
      {"strips", with(Executor::strips)},
  });
  const bool passes = t[1] <= budget(n);
  std::printf("%-20s %8zu %10.4f %8.2f %8.2f %8.2f%s\n", name.c_str(), n, t[0] / static_cast<double>(n), t[1], t[2],
              t[3], passes ? "" : "  over budget");
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
  const bench::HandFused* const loops = loops_of(tapegrad::kernels::instruction_set());
  std::printf("%s\n%-20s %8s %10s %8s %8s %8s\n", tapegrad::kernels::instruction_set(), "", "elements", "hand, ns",
              "run", "machine", "strips");
  int misses = 0;
  for (const Formula& formula : formulas()) {
    if (formula.name.find(only) == std::string::npos) continue;
    const auto* hand = loops;
    while (formula.name != hand->name) ++hand;
    const unsigned all = (1U << formula.program.input_count()) - 1;
    const Program gradient = differentiate(formula.program, all).program;
    for (const std::size_t n :
         {std::size_t{64}, std::size_t{1000}, std::size_t{4096}, std::size_t{65536}, std::size_t{1} << 20}) {
      misses += !report(formula.name, formula.program, hand->forward, n);
      if (hand->backward) misses += !report(formula.name + " backward", gradient, hand->backward, n);
    }
  }
  return checks && misses > 0 ? 1 : 0;
}
