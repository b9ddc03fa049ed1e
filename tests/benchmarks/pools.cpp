// Pooling of a batch of images, forward and backward.
#include "tapegrad.h"
#include "tests/benchmarks/measure.h"

namespace bench {

using namespace tapegrad;

namespace {

// Windows of 2 by 2, side by side, over 32 images of 32 by 32 with 64 channels, with the gradient of the images.
template <class Pool>
Step pool_step(Pool pool) {
  auto images = std::make_shared<Parameter>(random::normal({32, 32, 32, 64}));
  const Tensor upstream = random::normal({32, 16, 16, 64});
  return [=] {
    Tape tape;
    tape.gradient(pool(*images), *images, {.seed = upstream});
  };
}

}  // namespace

std::vector<Workload> pool_workloads() {
  return {{"maxpool2_32x64x32x32", [] { return pool_step([](Arg x) { return max_pool2d(x, 2); }); }},
          {"avgpool2_32x64x32x32", [] { return pool_step([](Arg x) { return avg_pool2d(x, 2); }); }}};
}

}  // namespace bench
