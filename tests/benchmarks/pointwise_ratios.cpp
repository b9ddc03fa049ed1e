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
#include "autograd/ops/pointwise.h"
#include "autograd/ops/program.h"
#include "autograd/ops/trace.h"
#include "tests/benchmarks/measure.h"
#include "tests/benchmarks/set_loops.h"

namespace {

using namespace tapegrad::program;

struct Formula {
  std::string name;
  Program program;
  std::vector<float> options = {};  // the last inputs: one number for all elements
  std::optional<Program> slope = {};

  unsigned tensors() const { return ((1U << program.input_count()) - 1) >> options.size(); }
};

template <class F>
Formula shipped(std::vector<float> options = {}) {
  return {F::name, trace(F::formula), std::move(options), tapegrad::detail::slope_of<F>()};
}

std::vector<Formula> formulas_to_measure() {
  namespace formulas = tapegrad::formulas;
  return {
      shipped<formulas::Relu>(),
      shipped<formulas::LeakyRelu>({0.01F}),
      shipped<formulas::HardTanh>({-1, 1}),
      shipped<formulas::HardSigmoid>(),
      shipped<formulas::HardSwish>(),
      shipped<formulas::Elu>({0.9F}),
      shipped<formulas::Selu>(),
      shipped<formulas::Sigmoid>(),
      shipped<formulas::LogSigmoid>(),
      shipped<formulas::HyperbolicTangent>(),
      shipped<formulas::Silu>(),
      shipped<formulas::Gelu>(),
      shipped<formulas::GeluTanh>(),
      shipped<formulas::Softplus>(),
      shipped<formulas::Mish>(),
      {"cell", trace([](auto x, auto w, auto b) { return tanh(x * w + b) * sigmoid(x); })},
  };
}

/// What is measured: a formula, or the gradients of its tensors.
struct Measured {
  std::string name;
  Program program;
  bench::HandFusedLoop hand;
  std::vector<float> numbers;  // per input; only those of the mask count
  unsigned scalars = 0;        // bit k: input k is one number
};

Measured forward_of(const Formula& f, bench::HandFusedLoop hand) {
  Measured m{f.name, f.program, hand, {}, 0};
  const int tensors = f.program.input_count() - static_cast<int>(f.options.size());
  for (int k = 0; k < f.program.input_count(); ++k) {
    const bool is_option = k >= tensors;
    m.numbers.push_back(is_option ? f.options[static_cast<std::size_t>(k - tensors)] : 0);
    m.scalars |= static_cast<unsigned>(is_option) << k;
  }
  return m;
}

Measured backward_of(const Formula& f, bench::HandFusedLoop hand) {
  const Measured forward = forward_of(f, hand);
  const Derivative derivative = f.slope ? differentiate_by(*f.slope) : differentiate(f.program, f.tensors());
  Measured m{f.name + " backward", derivative.program, hand, {}, 0};
  for (std::size_t k = 0; k < derivative.sources.size(); ++k) {
    const Source source = derivative.sources[k];
    const bool is_option = source.kind == Source::Kind::input && (forward.scalars >> source.index & 1) != 0;
    m.numbers.push_back(is_option ? forward.numbers[static_cast<std::size_t>(source.index)] : 0);
    m.scalars |= static_cast<unsigned>(is_option) << k;
  }
  return m;
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
  /// The arrays without the numbers, as the hand-fused loops take them.
  std::vector<const float*> without(unsigned scalars) const {
    std::vector<const float*> arrays;
    for (std::size_t k = 0; k < x.size(); ++k) {
      if ((scalars >> k & 1) == 0) arrays.push_back(x[k]);
    }
    return arrays;
  }
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
bool report(const Measured& m, std::size_t n) {
  const Executable executable = lower(m.program);
  Arrays arrays(m.program.input_count(), m.program.output_count(), n);
  for (std::size_t k = 0; k < m.numbers.size(); ++k) {
    if ((m.scalars >> k & 1) != 0) arrays.x[k] = &m.numbers[k];
  }
  const std::vector<const float*> tensors = arrays.without(m.scalars);
  const auto with = [&](Executor executor) {
    return [&, executor] {
      run_with(executor, executable, Precision::f32, arrays.inputs(), m.scalars, arrays.outputs(), n);
    };
  };
  const std::vector<bench::Comparison> t = bench::compare({
      [&] { m.hand(tensors.data(), arrays.y.data(), n); },
      [&] { run(executable, Precision::f32, arrays.inputs(), m.scalars, arrays.outputs(), n); },
      with(Executor::machine),
      with(Executor::strips),
  });
  // A call for one element: what an op on a number pays for its kernel.
  const bool is_short_enough = n > 1 || !executable.is_single || t[1].ns <= 20;
  const bool passes = is_short_enough && t[1].ratio <= budget(n);
  std::printf("%-20s %8zu %10.4f %8.2f %8.2f %8.2f%s\n", m.name.c_str(), n, t[0].ns / static_cast<double>(n),
              t[1].ratio, t[2].ratio, t[3].ratio, passes ? "" : "  over budget");
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
  for (const Formula& formula : formulas_to_measure()) {
    if (formula.name.find(only) == std::string::npos) continue;
    const auto* hand = loops;
    while (formula.name != hand->name) ++hand;
    const Measured forward = forward_of(formula, hand->forward);
    const Measured backward = backward_of(formula, hand->backward);
    for (const std::size_t n : {std::size_t{1}, std::size_t{64}, std::size_t{1000}, std::size_t{4096},
                                std::size_t{65536}, std::size_t{1} << 20}) {
      misses += !report(forward, n);
      misses += !report(backward, n);
    }
  }
  return checks && misses > 0 ? 1 : 0;
}
