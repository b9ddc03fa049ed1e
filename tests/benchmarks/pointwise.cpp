// Pointwise work on large tensors: tanh(x w + b) sigmoid(x) on a million elements with all three gradients, as a chain of
// ops and as one formula. (bench_pointwise compares the kernels of formulas with hand-fused loops.)
#include "tapegrad.h"
#include "tests/benchmarks/measure.h"

namespace bench {

using namespace tapegrad;

namespace {

struct Operands {
  Parameter x{random::normal({1000000})}, w{random::normal({1000000})}, b{random::normal({1000000})};
};

template <class Formula>
std::function<void()> chain(Formula formula) {
  auto p = std::make_shared<Operands>();
  return [=] {
    Tape tape;
    const Tensor y = sum(formula(p->x, p->w, p->b));
    tape.gradient(y, {p->x, p->w, p->b});
  };
}

const auto cell = pointwise("cell", [](auto x, auto w, auto b) { return tanh(x * w + b) * sigmoid(x); });

std::function<void()> op_by_op() {
  return chain([](Arg x, Arg w, Arg b) { return tanh(x * w + b) * sigmoid(x); });
}

std::function<void()> as_one() {
  return chain([](Arg x, Arg w, Arg b) { return cell(x, w, b); });
}

}  // namespace

std::vector<Workload> pointwise_workloads() {
  return {{"pointwise_chain_1m", op_by_op, 0}, {"pointwise_chain_1m_as_one", as_one, 0}};
}

}  // namespace bench
