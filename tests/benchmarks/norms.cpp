// Norms, forward and backward with all gradients, from a fixed upstream gradient.
#include "tapegrad.h"
#include "tests/benchmarks/measure.h"

namespace bench {

using namespace tapegrad;

namespace {

template <class Layer>
Step norm(const Shape& shape) {
  struct Model {
    Parameter x;
    Layer layer;
  };
  auto model = std::make_shared<Model>(Model{Parameter(random::normal(shape)), Layer(shape.back())});
  const Tensor upstream = random::normal(shape);
  return [=] {
    Tape tape;
    tape.gradient(model->layer(model->x), *model, {.seed = upstream});
  };
}

}  // namespace

std::vector<Workload> norm_workloads() {
  return {{"layernorm_4096x768",
           [] {
             return norm<nn::LayerNorm>({4096, 768});
           }},
          {"batchnorm2d_32x64x32x32", [] {
             return norm<nn::BatchNorm2d>({32, 32, 32, 64});
           }}};
}

}  // namespace bench
