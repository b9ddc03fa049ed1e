// Optimizer steps alone, over ten tensors of a million elements with gradients that stay the same.
#include "tapegrad.h"
#include "tests/benchmarks/measure.h"

namespace bench {

using namespace tapegrad;

namespace {

struct TenMillion {
  std::vector<Parameter> p = [] {
    std::vector<Parameter> all;
    for (int i = 0; i < 10; ++i) all.emplace_back(random::normal({1000000}));
    return all;
  }();
};

Gradients fixed_gradients(const TenMillion& model) {
  Tape tape;
  Tensor all = full({}, 0.0F);
  for (const Parameter& p : model.p) all = all + sum(p * random::normal({1000000}));
  return tape.gradient(all, model);
}

template <class Optimizer, class Options>
Step step_of(const Options& options) {
  auto model = std::make_shared<TenMillion>();
  auto optimizer = std::make_shared<Optimizer>(*model, options);
  auto gradients = std::make_shared<Gradients>(fixed_gradients(*model));
  return [=] { optimizer->step(*gradients); };
}

Step adam() { return step_of<optim::Adam>(optim::AdamOptions{}); }
Step sgd_momentum() { return step_of<optim::SGD>(optim::SgdOptions{.lr = 0.1, .momentum = 0.9}); }

}  // namespace

std::vector<Workload> optimizer_workloads() {
  return {{"adam_step_10m", adam}, {"sgd_momentum_step_10m", sgd_momentum}};
}

}  // namespace bench
