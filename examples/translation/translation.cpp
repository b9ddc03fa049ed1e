// How much shift invariance pooling buys: nets are trained on digits in the middle of a larger frame, and tested on
// digits that are moved by up to four pixels.
//
//     translation [--epochs N] [--seed N]
//
// Exit status: 1 when the order that the textbooks promise was not measured, 2 when an option is wrong.
#include <tapegrad.h>

#include <array>
#include <cstdio>
#include <iostream>
#include <utility>

#include "../options.h"

using namespace tapegrad;

constexpr std::int64_t largest_shift = 4;
constexpr std::int64_t frame = 8 + 2 * largest_shift;

/// Digits in the frame, `right` and `down` pixels from its middle: [n, 16, 16, 1].
Tensor framed(const Tensor& images, std::int64_t right, std::int64_t down) {
  return pad(
      images,
      {{0, 0}, {largest_shift + down, largest_shift - down}, {largest_shift + right, largest_shift - right}, {0, 0}});
}

// ---- the nets ----

struct DenseNet {
  nn::Dense hidden{frame * frame, 64}, out{64, 10};
  Tensor operator()(Arg x) const { return out(relu(hidden(flatten(x, 1)))); }
};

constexpr nn::Conv2dOptions same = {.padding = 1};
constexpr nn::Conv2dOptions halving = {.stride = 2, .padding = 1};

/// Two convolutions that halve the image, and what becomes of its 4 x 4 places.
struct StridedNet {
  nn::Conv2d first{1, 8, 3, halving}, second{8, 16, 3, halving};
  nn::Dense out{4 * 4 * 16, 10};
  Tensor operator()(Arg x) const { return out(flatten(relu(second(relu(first(x)))), 1)); }
};

/// The same parameters, but it is a pooling layer that halves.
template <class Pool>
struct PoolingNet {
  nn::Conv2d first{1, 8, 3, same}, second{8, 16, 3, same};
  nn::Dense out{4 * 4 * 16, 10};
  Pool pool{2};
  Tensor operator()(Arg x) const { return out(flatten(pool(relu(second(pool(relu(first(x)))))), 1)); }
};

/// What is left of each channel is its largest value, wherever it is. In between, the image is halved or not.
template <bool halves>
struct GlobalNet {
  // The second convolution sees 3 x 3 places of the half image, or as far apart ones of the whole image.
  nn::Conv2d first{1, 8, 3, same}, second{8, 16, 3, halves ? same : nn::Conv2dOptions{.padding = 2, .dilation = 2}};
  nn::Dense out{16, 10};
  nn::MaxPool2d pool{2};
  Tensor operator()(Arg x) const {
    const Tensor h = relu(first(x));
    return out(global_max_pool(relu(second(halves ? pool(h) : h))));
  }
};

// ---- the experiment ----

using Accuracies = std::array<double, largest_shift + 1>;  // by shift

template <class Net>
Net trained(const TrainTest& data, std::int64_t epochs) {
  Net net;
  optim::Adam adam{net, {.lr = 3e-3}};
  const Tensor centred = framed(data.train.images, 0, 0);
  for (std::int64_t epoch = 0; epoch < epochs; ++epoch) {
    for (auto [images, labels] : batches(centred, data.train.labels, {.size = 32, .shuffle = true})) {
      Tape tape;
      const Tensor loss = cross_entropy(net(images), labels);
      adam.step(tape.gradient(loss, net));
    }
  }
  return net;
}

/// The mean accuracy on digits moved by that many pixels to the right, left, bottom and top.
template <class Net>
double accuracy_at(std::int64_t shift, const Net& net, const Dataset& test) {
  double total = 0;
  for (const auto& [right, down] : std::to_array<std::pair<int, int>>({{1, 0}, {-1, 0}, {0, 1}, {0, -1}})) {
    total += accuracy(net(framed(test.images, right * shift, down * shift)), test.labels);
  }
  return total / 4;
}

/// A row of the table.
template <class Net>
Accuracies measure(const char* name, const TrainTest& data, std::int64_t epochs, std::uint64_t seed) {
  random::seed(seed);
  const Net net = trained<Net>(data, epochs);
  std::int64_t parameters = 0;
  for (const auto& [_, parameter] : nn::parameters(net)) parameters += parameter->size();
  std::printf("%-32s%10lld  ", name, static_cast<long long>(parameters));
  Accuracies by_shift;
  for (std::size_t shift = 0; shift < by_shift.size(); ++shift) {
    by_shift[shift] = accuracy_at(static_cast<std::int64_t>(shift), net, data.test);
    std::printf("%7.3f", by_shift[shift]);
  }
  std::printf("\n");
  std::fflush(stdout);
  return by_shift;
}

/// Says on stderr what was not measured.
bool expect(bool is_so, const char* claim) {
  if (!is_so) std::cerr << "translation: not measured: " << claim << '\n';
  return is_so;
}

int main(int count, char** arguments) try {
  const Options options(count, arguments, {"--epochs", "--seed"});
  const std::int64_t epochs = options.number("--epochs", 10, 1, 10'000);
  const auto seed = static_cast<std::uint64_t>(options.number("--seed", 1, 0, 1'000'000));
  const TrainTest data = load_digits();

  std::printf("test accuracy of nets that saw only digits in the middle, %lld epochs\n%-32s%10s  pixels:%2d",
              static_cast<long long>(epochs), "", "parameters", 0);
  for (int shift = 1; shift <= largest_shift; ++shift) std::printf("%7d", shift);
  std::printf("\n");
  const Accuracies dense = measure<DenseNet>("dense", data, epochs, seed);
  const Accuracies strided = measure<StridedNet>("convolutions with strides", data, epochs, seed);
  const Accuracies max = measure<PoolingNet<nn::MaxPool2d>>("... with max pooling", data, epochs, seed);
  measure<PoolingNet<nn::AvgPool2d>>("... with average pooling", data, epochs, seed);
  const Accuracies both = measure<GlobalNet<true>>("... with max, then global pooling", data, epochs, seed);
  const Accuracies global = measure<GlobalNet<false>>("... with global pooling only", data, epochs, seed);

  std::printf("\nof its accuracy in the middle, each keeps at a shift of 1 and of 4 pixels:\n");
  const auto kept = [](const char* name, const Accuracies& a) {
    std::printf("  %-32s%5.0f %%%7.0f %%\n", name, 100 * a[1] / a[0], 100 * a[largest_shift] / a[0]);
  };
  kept("dense", dense);
  kept("max pooling", max);
  kept("max, then global pooling", both);
  kept("global pooling only", global);

  const bool is_measured = expect(max[1] > dense[1] && max[1] > strided[1],
                                  "max pooling is better at one pixel than strides, and than a dense net") &&
                           expect(both[1] > max[1], "global pooling is better at one pixel than max pooling") &&
                           expect(global[largest_shift] > 2 * max[largest_shift],
                                  "global pooling only is twice as good at four pixels as max pooling");
  return is_measured ? 0 : 1;
} catch (const std::exception& error) {
  std::cerr << "translation: " << error.what() << '\n';
  return 2;
}
