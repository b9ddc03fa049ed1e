// Single operations on large tensors, forward and backward. (bench_pointwise and bench_gemm compare kernels with the
// best there is.)
#include "tapegrad.h"
#include "tests/benchmarks/measure.h"

namespace bench {

using namespace tapegrad;

namespace {

// ---- tanh(x w + b) sigmoid(x) on a million elements with all three gradients ----

struct Operands {
  Parameter x{random::normal({1000000})}, w{random::normal({1000000})}, b{random::normal({1000000})};
};

template <class Formula>
Step chain(Formula formula) {
  auto p = std::make_shared<Operands>();
  return [=] {
    Tape tape;
    const Tensor y = sum(formula(p->x, p->w, p->b));
    tape.gradient(y, {p->x, p->w, p->b});
  };
}

const auto cell = pointwise("cell", [](auto x, auto w, auto b) { return tanh(x * w + b) * sigmoid(x); });

Step op_by_op() {
  return chain([](Arg x, Arg w, Arg b) { return tanh(x * w + b) * sigmoid(x); });
}

Step as_one() {
  return chain([](Arg x, Arg w, Arg b) { return cell(x, w, b); });
}

// ---- layers ----

// Mean cross-entropy of 256 rows of 10,000 logits.
Step softmax_xent() {
  auto logits = std::make_shared<Parameter>(random::normal({256, 10000}));
  const Tensor labels = random::integers(0, 10000, {256});
  return [=] {
    Tape tape;
    tape.gradient(cross_entropy(*logits, labels), *logits);
  };
}

// 128 rows through a dense layer of 1024 x 1024, with the gradients of the input, the weight and the bias.
Step linear() {
  struct Layer {
    Parameter x{random::normal({128, 1024})};
    nn::Dense dense{1024, 1024};
  };
  auto layer = std::make_shared<Layer>();
  const Tensor upstream = random::normal({128, 1024});
  return [=] {
    Tape tape;
    tape.gradient(layer->dense(layer->x), *layer, {.seed = upstream});
  };
}

}  // namespace

std::vector<Workload> operation_workloads() {
  return {{"pointwise_chain_1m", op_by_op},
          {"pointwise_chain_1m_as_one", as_one},
          {"softmax_xent_256x10000", softmax_xent},
          {"linear_128x1024x1024", linear}};
}

}  // namespace bench
