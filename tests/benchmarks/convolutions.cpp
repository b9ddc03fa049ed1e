// Convolutions of images, forward and backward, with the gradients of the input, the weight and the bias.
#include <memory>

#include "tapegrad.h"
#include "tests/benchmarks/measure.h"

namespace bench {

using namespace tapegrad;

namespace {

struct Images {
  std::int64_t batch, channels, size;
};

Step convolution(Images images, std::int64_t out_channels, std::int64_t kernel, Conv2dOptions options) {
  struct Layer {
    Parameter x, weight, bias;
  };
  auto layer = std::make_shared<Layer>(
      Layer{Parameter(random::normal({images.batch, images.size, images.size, images.channels})),
            Parameter(random::normal({out_channels, kernel, kernel, images.channels / options.groups})),
            Parameter(random::normal({out_channels}))});
  const auto forward = [=] { return conv2d(layer->x, layer->weight, layer->bias, options); };
  const Tensor upstream = random::normal(forward().shape());
  return [=] {
    Tape tape;
    tape.gradient(forward(), {layer->x, layer->weight, layer->bias}, {.seed = upstream});
  };
}

}  // namespace

std::vector<Workload> convolution_workloads() {
  return {
      {"conv3x3_32x64x32x32_64",
       [] {
         return convolution({32, 64, 32}, 64, 3, {.padding = 1});
       }},
      {"conv3x3_32x64x32x32_64_winograd",
       [] {
         return convolution({32, 64, 32}, 64, 3, {.padding = 1, .winograd = true});
       }},
      {"conv5x5_64x1x28x28_32",
       [] {
         return convolution({64, 1, 28}, 32, 5, {.padding = 2});
       }},
      {"conv3x3s2_32x64x32x32_128",
       [] {
         return convolution({32, 64, 32}, 128, 3, {.stride = 2, .padding = 1});
       }},
      {"depthwise3x3_32x64x32x32",
       [] {
         return convolution({32, 64, 32}, 64, 3, {.padding = 1, .groups = 64});
       }},
  };
}

}  // namespace bench
