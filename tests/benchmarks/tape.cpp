// What an op costs beyond its arithmetic: long chains of tiny ops in which every operand needs a gradient.
#include "tapegrad.h"
#include "tests/benchmarks/measure.h"

namespace bench {

using namespace tapegrad;

namespace {

// 5,000 x (x * a, x + b) on tensors of one element.
Step scalar_chain() {
  auto x0 = std::make_shared<Parameter>(random::normal({1}));
  auto a = std::make_shared<Parameter>(full({1}, 0.999));
  auto b = std::make_shared<Parameter>(full({1}, 1e-3));
  return [=] {
    Tape tape;
    Tensor x = *x0;
    for (int i = 0; i < 5000; ++i) {
      x = x * *a;
      x = x + *b;
    }
    tape.gradient(x, {*x0, *a, *b});
  };
}

// 500 x (tanh(x), x * w) on 64 elements, from an upstream gradient of ones.
Step small_chain() {
  auto x0 = std::make_shared<Parameter>(random::normal({64}));
  auto w = std::make_shared<Parameter>(full({64}, 1.5));
  const Tensor seed = ones({64});
  return [=] {
    Tape tape;
    Tensor x = *x0;
    for (int i = 0; i < 500; ++i) {
      x = tanh(x);
      x = x * *w;
    }
    tape.gradient(x, {*x0, *w}, {.seed = seed});
  };
}

}  // namespace

std::vector<Workload> tape_workloads() {
  return {{"tape_scalar_chain_10000", scalar_chain, 10000}, {"tape_small_chain_1000x64", small_chain, 1000}};
}

}  // namespace bench
