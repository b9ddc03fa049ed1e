// Two experiments on handwritten digits. Dropout against over-fitting: a net that is far too large for 150 images, with
// and without. Batch norm against layer norm: what small batches do to each, and how far a net in training is from the
// same net in evaluation.
//
//     dropout_and_norm [--images N] [--epochs N] [--norm-epochs N] [--seed N]
//
// Every number is the median of three runs, with the seeds N, N + 1 and N + 2. The settings were chosen so that there
// is something to see: this is no comparison of the best that each can do. Exit status: 1 when the loss on other images
// is not lower with dropout, or batch norm does not lose more by small batches than layer norm does; 2 when an option
// is wrong.
#include <tapegrad.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <vector>

#include "../options.h"

using namespace tapegrad;

constexpr std::size_t runs = 3;

/// Calls `run` with three seeds; it returns an array of numbers. The median of each of them.
template <class Run>
auto medians(std::uint64_t seed, Run&& run) {
  std::array<decltype(run()), runs> results;
  for (std::size_t r = 0; r < runs; ++r) {
    random::seed(seed + r);
    results[r] = run();
  }
  auto middle = results[0];
  for (std::size_t k = 0; k < middle.size(); ++k) {
    std::sort(results.begin(), results.end(), [k](const auto& a, const auto& b) { return a[k] < b[k]; });
    middle[k] = results[runs / 2][k];
  }
  return middle;
}

/// Leaves the net in evaluation.
template <class Net>
void train(Net& net, const Dataset& data, std::int64_t epochs, std::int64_t batch) {
  optim::Adam adam{net, {.lr = 1e-3}};
  for (std::int64_t epoch = 0; epoch < epochs; ++epoch) {
    // Without the last batch where it is smaller: a single image has no variance to divide by.
    for (auto [images, labels] : batches(data, {.size = batch, .shuffle = true, .drop_last = true})) {
      Tape tape;
      const Tensor loss = cross_entropy(net(images), labels);
      adam.step(tape.gradient(loss, net));
    }
  }
  nn::eval(net);
}

// ---- dropout ----

struct LargeNet {
  nn::Dropout drop;  // without parameters, so one serves both layers
  nn::Dense first{64, 512}, second{512, 512}, out{512, 10};

  Tensor operator()(Arg images) const {
    const Tensor h = drop(relu(first(flatten(images, 1))));
    return out(drop(relu(second(h))));
  }
};

/// Accuracy and loss on the images that it trained on, and on others.
using Fit = std::array<double, 4>;

Fit fit(double p, const TrainTest& data, std::int64_t epochs) {
  LargeNet net{nn::Dropout(p)};
  train(net, data.train, epochs, 25);
  Fit result;
  for (std::size_t part = 0; part < 2; ++part) {
    const auto& [images, labels] = part == 0 ? data.train : data.test;
    const Tensor logits = net(images);
    result[2 * part] = accuracy(logits, labels);
    result[2 * part + 1] = cross_entropy(logits, labels).item();
  }
  return result;
}

/// The first images of the training set to train on, and all others to test.
TrainTest few_images(const TrainTest& data, std::int64_t images) {
  const auto& [x, y] = data.train;
  const std::int64_t n = data.train.size();
  return {{x.slice(0, 0, images), y.slice(0, 0, images)},
          {concat({x.slice(0, images, n), data.test.images}), concat({y.slice(0, images, n), data.test.labels})}};
}

bool dropout_experiment(const TrainTest& all, std::int64_t images, std::int64_t epochs, std::uint64_t seed) {
  const TrainTest data = few_images(all, images);
  std::printf("%lld digits to train on, %lld others, %lld epochs\n%-18s%18s%18s\n%-18s%10s%8s%10s%8s\n",
              static_cast<long long>(images), static_cast<long long>(data.test.size()), static_cast<long long>(epochs),
              "", "trained on", "others", "", "accuracy", "loss", "accuracy", "loss");
  std::vector<double> losses;
  for (const double p : {0., 0.5, 0.8}) {
    const Fit r = medians(seed, [&] { return fit(p, data, epochs); });
    std::printf(p > 0 ? "dropout, p = %.1f  " : "no dropout        ", p);
    std::printf("%10.3f%8.4f%10.3f%8.4f\n", r[0], r[1], r[2], r[3]);
    losses.push_back(r[3]);
  }
  if (losses.back() < losses.front()) return true;
  std::cerr << "dropout_and_norm: the loss on other images is " << losses.back() << " with dropout, " << losses.front()
            << " without\n";
  return false;
}

// ---- norms ----

struct NoNorm {
  explicit NoNorm(std::int64_t) {}
  Tensor operator()(Arg x) const { return x.tensor(); }
  using fields = nn::Fields<>;
};

template <class Norm>
struct NormNet {
  nn::Dense first{64, 64}, second{64, 64}, out{64, 10};
  Norm first_norm{64}, second_norm{64};

  Tensor operator()(Arg images) const {
    const Tensor h = relu(first_norm(first(flatten(images, 1))));
    return out(relu(second_norm(second(h))));
  }
};

/// |logits in training - logits in evaluation| / |logits in evaluation| of the same images, in batches.
template <class Net>
double difference_of_modes(Net& net, const Tensor& images, std::int64_t batch) {
  nn::eval(net);
  const Tensor evaluated = net(images);
  nn::train(net);
  std::vector<Tensor> trained;
  for (std::int64_t begin = 0; begin + batch <= images.shape(0); begin += batch) {
    trained.push_back(net(images.slice(0, begin, begin + batch)));
  }
  const Tensor in_training = concat(trained), in_evaluation = evaluated.slice(0, 0, in_training.shape(0));
  return norm(in_training - in_evaluation).item() / norm(in_evaluation).item();
}

/// Test accuracy, and the difference of the two modes.
template <class Norm>
std::array<double, 2> norm_result(const TrainTest& data, std::int64_t epochs, std::int64_t batch) {
  NormNet<Norm> net;
  train(net, data.train, epochs, batch);
  return {accuracy(net(data.test.images), data.test.labels), difference_of_modes(net, data.test.images, batch)};
}

bool norm_experiment(const TrainTest& data, std::int64_t epochs, std::uint64_t seed) {
  std::printf("\n%lld digits, %lld epochs%15s%27s\n%-10s%9s%11s%11s%18s%11s\n",
              static_cast<long long>(data.train.size()), static_cast<long long>(epochs), "test accuracy",
              "training from evaluation", "batch", "no norm", "LayerNorm", "BatchNorm", "LayerNorm", "BatchNorm");
  std::vector<double> layer_accuracies, batch_accuracies;
  for (const std::int64_t batch : {2, 4, 16, 64}) {
    const auto none = medians(seed, [&] { return norm_result<NoNorm>(data, epochs, batch); });
    const auto layer_norm = medians(seed, [&] { return norm_result<nn::LayerNorm>(data, epochs, batch); });
    const auto batch_norm = medians(seed, [&] { return norm_result<nn::BatchNorm1d>(data, epochs, batch); });
    std::printf("%-10lld%9.3f%11.3f%11.3f%18.3f%11.3f\n", static_cast<long long>(batch), none[0], layer_norm[0],
                batch_norm[0], layer_norm[1], batch_norm[1]);
    layer_accuracies.push_back(layer_norm[0]);
    batch_accuracies.push_back(batch_norm[0]);
  }
  const double layer_loss = layer_accuracies.back() - layer_accuracies.front();
  const double batch_loss = batch_accuracies.back() - batch_accuracies.front();
  if (batch_loss > layer_loss) return true;
  std::cerr << "dropout_and_norm: from batches of 64 to batches of 2, batch norm loses " << batch_loss
            << " of its accuracy, layer norm " << layer_loss << '\n';
  return false;
}

int main(int count, char** arguments) try {
  const Options options(count, arguments, {"--images", "--epochs", "--norm-epochs", "--seed"});
  const std::int64_t images = options.number("--images", 150, 25, 1347);
  const std::int64_t epochs = options.number("--epochs", 200, 1, 10'000);
  const std::int64_t norm_epochs = options.number("--norm-epochs", 5, 1, 1000);
  const auto seed = static_cast<std::uint64_t>(options.number("--seed", 1, 0, 1'000'000));

  const TrainTest data = load_digits();
  const bool dropout_helps = dropout_experiment(data, images, epochs, seed);
  const bool batch_norm_depends = norm_experiment(data, norm_epochs, seed);
  return dropout_helps && batch_norm_depends ? 0 : 1;
} catch (const std::exception& error) {
  std::cerr << "dropout_and_norm: " << error.what() << '\n';
  return 2;
}
