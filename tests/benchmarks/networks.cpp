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

struct LeNet {
  nn::Conv2d conv1{1, 8, 5, {.padding = 2}}, conv2{8, 16, 5, {.padding = 2}};
  nn::Dense a{784, 120}, b{120, 84}, c{84, 10};
  Tensor operator()(Arg x) const {
    const Tensor features = max_pool2d(relu(conv2(max_pool2d(relu(conv1(x)), 2))), 2);
    return c(relu(b(relu(a(flatten(features, 1))))));
  }
};

struct BasicBlock {
  std::int64_t in, out, stride;
  nn::Conv2d conv1{in, out, 3, {.stride = stride, .padding = 1, .bias = false}};
  nn::BatchNorm2d norm1{out};
  nn::Conv2d conv2{out, out, 3, {.padding = 1, .bias = false}};
  nn::BatchNorm2d norm2{out};
  std::optional<nn::Sequential<nn::Conv2d, nn::BatchNorm2d>> shortcut = make_shortcut(in, out, stride);

  Tensor operator()(Arg x) const {
    const Tensor y = norm2(conv2(relu(norm1(conv1(x)))));
    return relu(y + (shortcut ? (*shortcut)(x) : x.tensor()));
  }

  static std::optional<nn::Sequential<nn::Conv2d, nn::BatchNorm2d>> make_shortcut(std::int64_t in, std::int64_t out,
                                                                                  std::int64_t stride) {
    if (in == out && stride == 1) return {};
    return nn::Sequential{nn::Conv2d{in, out, 1, {.stride = stride, .bias = false}}, nn::BatchNorm2d{out}};
  }
};

struct ResNet8 {
  nn::Conv2d stem{3, 16, 3, {.padding = 1, .bias = false}};
  nn::BatchNorm2d norm{16};
  BasicBlock block1{16, 16, 1}, block2{16, 32, 2}, block3{32, 64, 2};
  nn::Dense out{64, 10};
  Tensor operator()(Arg x) const { return out(global_avg_pool(block3(block2(block1(relu(norm(stem(x)))))))); }
};

// Cross-entropy and a step of an optimizer over batches of such inputs.
template <class Net, class Optimizer, class OptimizerOptions>
Step training(const Shape& input, OptimizerOptions options) {
  auto net = std::make_shared<Net>();
  auto optimizer = std::make_shared<Optimizer>(*net, options);
  auto batches = std::make_shared<std::vector<Batch>>(random_batches(input, 10));
  return [=, next = std::size_t{0}]() mutable {
    const Batch& batch = (*batches)[next++ % batches->size()];
    Tape tape;
    const Tensor loss = cross_entropy((*net)(batch.x), batch.labels);
    optimizer->step(tape.gradient(loss, *net));
  };
}

Step mlp() { return training<Mlp, optim::SGD>({64, 784}, optim::SgdOptions{.lr = 0.1}); }
Step lenet() { return training<LeNet, optim::Adam>({64, 28, 28, 1}, optim::AdamOptions{.lr = 1e-3}); }
Step resnet8() {
  return training<ResNet8, optim::SGD>({32, 32, 32, 3}, optim::SgdOptions{.lr = 0.05, .momentum = 0.9});
}

}  // namespace

std::vector<Workload> network_workloads() {
  return {{"mlp_784_256_128_10_b64", mlp}, {"lenet_28x28_b64", lenet}, {"resnet8_cifar_b32", resnet8}};
}

}  // namespace bench
