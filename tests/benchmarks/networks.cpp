// Whole training steps: forward, loss, backward, optimizer, over eight fixed random batches.
#include "tapegrad.h"
#include "tests/benchmarks/measure.h"

namespace bench {

using namespace tapegrad;

namespace {

struct Batch {
  Tensor x, labels;
};

std::vector<Batch> random_batches(const Shape& shape, std::int64_t classes) {
  std::vector<Batch> batches;
  for (int i = 0; i < 8; ++i) batches.push_back({random::normal(shape), random::integers(0, classes, {shape[0]})});
  return batches;
}

struct Mlp {
  nn::Dense a{784, 256}, b{256, 128}, c{128, 10};
  Tensor operator()(Arg x) const { return c(relu(b(relu(a(x))))); }
};

// ReLU network, cross-entropy, SGD with lr 0.1.
Step mlp() {
  auto net = std::make_shared<Mlp>();
  auto sgd = std::make_shared<optim::SGD>(*net, optim::SgdOptions{.lr = 0.1});
  auto batches = std::make_shared<std::vector<Batch>>(random_batches({64, 784}, 10));
  return [=, next = std::size_t{0}]() mutable {
    const Batch& batch = (*batches)[next++ % batches->size()];
    Tape tape;
    const Tensor loss = cross_entropy((*net)(batch.x), batch.labels);
    sgd->step(tape.gradient(loss, *net));
  };
}

}  // namespace

std::vector<Workload> network_workloads() { return {{"mlp_784_256_128_10_b64", mlp}}; }

}  // namespace bench
