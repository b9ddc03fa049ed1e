// Trains a small residual network on images of ten classes, checks its gradients, and shows what it got wrong.
//
//   digits                        the handwritten digits that are compiled in: three seeds, two splits
//   digits --validate yes         the same on a validation part of the training set: the choices below were made with it
//   digits --data FOLDER          MNIST or another data set in IDX files; --epochs 12
//   digits --data fashion-mnist   Debian's package dataset-fashion-mnist; --flips yes: half of the batches in a mirror
#include <tapegrad.h>

#include <algorithm>
#include <array>
#include <iostream>
#include <string>

#include "../options.h"
#include "network.h"
#include "pictures.h"

constexpr std::array<std::uint64_t, 3> seeds = {1, 2, 3};
constexpr double lowest_median = 0.985;  // of the shuffled split

struct Training {
  std::int64_t epochs = 40;
  std::int64_t width = 32;
  std::int64_t batch = 32;
  double lr = 2e-3;
  double weight_decay = 0.05;
  std::int64_t shift = 1;  // pixels
  bool flips = false;      // left and right mean the same
};

// The same images a little further up, down, left or right: one shift for all of a batch.
Tensor moved(const Tensor& images, const Training& training) {
  const std::int64_t s = training.shift, height = images.shape(1), width = images.shape(2);
  const Tensor framed = pad(images, {{0, 0}, {s, s}, {s, s}, {0, 0}});
  const Tensor draws = random::integers(0, 2 * s + 1, {2});
  const auto top = static_cast<std::int64_t>(draws.at({0})), left = static_cast<std::int64_t>(draws.at({1}));
  const Tensor result = framed.slice(1, top, top + height).slice(2, left, left + width);
  if (training.flips && random::integers(0, 2, {1}).at({0}) == 1) return flip(result, 2);
  return result.clone();
}

DigitNet train(const Dataset& data, std::uint64_t seed, const Training& training, Progress& progress) {
  random::seed(seed);
  DigitNet net{.width = training.width};
  optim::AdamW adam{net, {.lr = training.lr, .weight_decay = training.weight_decay}};
  const auto steps = static_cast<double>(training.epochs * ((data.size() + training.batch - 1) / training.batch));
  double step = 0;
  for (std::int64_t epoch = 0; epoch < training.epochs; ++epoch) {
    double total = 0;
    for (auto [images, labels] : batches(data, {.size = training.batch, .shuffle = true})) {
      adam.set_lr(training.lr * std::min(1.0, 1.2 * (1 - step++ / steps)));  // falls to zero
      Tape tape;
      Tensor loss = cross_entropy(net(moved(images, training)), labels);
      adam.step(tape.gradient(loss, net));
      total += loss.item() * static_cast<double>(labels.size());
    }
    progress.step({{"loss", total / static_cast<double>(data.size())}});
  }
  nn::eval(net);
  return net;
}

// The logits of all images, some at a time.
Tensor logits_of(const DigitNet& net, const Dataset& data) {
  std::vector<Tensor> parts;
  for (auto [images, labels] : batches(data, {.size = 500})) parts.push_back(net(images));
  return concat(parts, 0);
}

struct Result {
  std::array<double, seeds.size()> accuracy{};
  DigitNet net{};  // of the median seed

  double median() const {
    auto sorted = accuracy;
    std::sort(sorted.begin(), sorted.end());
    return sorted[1];
  }
};

Result train_three(const char* label, const Dataset& fit, const Dataset& test, const Training& training) {
  Progress progress{training.epochs * static_cast<std::int64_t>(seeds.size()), {.label = label}};
  Result result;
  std::vector<DigitNet> nets;
  for (std::size_t s = 0; s < seeds.size(); ++s) {
    nets.push_back(train(fit, seeds[s], training, progress));
    result.accuracy[s] = accuracy(logits_of(nets[s], test), test.labels);
  }
  for (std::size_t s = 0; s < seeds.size(); ++s) {
    if (result.accuracy[s] == result.median()) result.net = std::move(nets[s]);
  }
  return result;
}

void report(const char* split, const Result& result) {
  std::cout << split << "  seeds";
  for (double a : result.accuracy) std::cout << "  " << a;
  std::cout << "  median  " << result.median() << '\n';
}

// Table, picture and some of the mistakes.
void show_mistakes(const Tensor& logits, const Dataset& test, const std::string& picture) {
  const Tensor predicted = argmax(logits, {.axis = 1});
  print_confusion(predicted, test.labels);
  std::vector<std::int64_t> wrong = mistakes(predicted, test.labels, 100);
  write_picture(picture, test.images, wrong);
  std::cout << "misclassified images: " << picture << '\n';
  wrong.resize(std::min<std::size_t>(wrong.size(), test.images.shape(2) < 20 ? 5 : 2));
  show(test.images, predicted, test.labels, wrong);
}

bool check_gradients(const DigitNet& net, const Tensor& images) {
  const GradcheckReport gradients = gradcheck(net, images);
  std::cout << '\n' << gradients << '\n';
  if (!gradients) std::cerr << "digits: the gradient check did not pass\n";
  return bool(gradients);
}

int run_digits(const Training& training, bool validates, const std::string& picture) {
  const auto [train_set, test_set] = load_digits();
  if (validates) {
    const auto [fit, validation] = hold_out(train_set, 297);
    report("validation part", train_three("validating", fit, validation, training));
    return 0;
  }
  const auto [writers, other_writers] = load_digits({.split = DigitsSplit::by_writer});
  const Result shuffled = train_three("shuffled split", train_set, test_set, training);
  const Result by_writer = train_three("split by writer", writers, other_writers, training);

  std::cout << nn::summary(shuffled.net, {1, 8, 8, 1}) << "\ntest accuracy\n";
  report("  shuffled split ", shuffled);
  report("  split by writer", by_writer);
  const bool is_right = check_gradients(shuffled.net, test_set.images.slice(0, 0, 4));
  show_mistakes(logits_of(shuffled.net, test_set), test_set, picture);
  if (shuffled.median() >= lowest_median) return is_right ? 0 : 1;
  std::cerr << "digits: the median test accuracy of the shuffled split is " << shuffled.median() << ", below "
            << lowest_median << '\n';
  return 1;
}

int run_folder(const std::string& folder, const Training& training, bool validates, const std::string& picture) {
  TrainTest data = load_idx(folder);
  if (validates) {
    const auto [fit, validation] = hold_out(data.train, data.train.size() / 6);
    data = {fit, validation};
  }
  Progress progress{training.epochs, {.label = "training"}};
  const DigitNet net = train(data.train, seeds[0], training, progress);
  std::cout << nn::summary(net, data.test.images.slice(0, 0, 1).shape());
  const bool is_right = check_gradients(net, data.test.images.slice(0, 0, 1));
  const Tensor logits = logits_of(net, data.test);
  show_mistakes(logits, data.test, picture);
  std::cout << (validates ? "validation" : "test") << " accuracy  " << accuracy(logits, data.test.labels) << '\n';
  return is_right ? 0 : 1;
}

int run(int count, char** arguments) {
  const Options options(count, arguments,
                        {"--data", "--validate", "--epochs", "--width", "--batch", "--flips", "--picture"});
  std::string folder = options.text("--data", "");
  const bool is_fashion = folder == "fashion-mnist";
  if (is_fashion) folder = fashion_mnist_folder();
  if (is_fashion && folder.empty()) throw std::runtime_error("install Debian's package dataset-fashion-mnist first");

  Training training;
  if (!folder.empty()) training = {.epochs = 12, .width = 16, .batch = 128, .lr = 4e-3, .shift = 2};
  // Clothes look alike from both sides; a digit seen in a mirror is none.
  const std::vector<std::string> mirrored = {"yes", "no"}, as_it_is = {"no", "yes"};
  training.flips = options.choice("--flips", is_fashion ? mirrored : as_it_is) == "yes";
  training.epochs = options.number("--epochs", training.epochs, 1, 1000);
  training.width = options.number("--width", training.width, 1, 256);
  training.batch = options.number("--batch", training.batch, 2, 10000);
  const bool validates = options.choice("--validate", {"no", "yes"}) == "yes";
  const std::string picture = options.text("--picture", "misclassified.pgm");
  std::cout.precision(4);
  return folder.empty() ? run_digits(training, validates, picture) : run_folder(folder, training, validates, picture);
}

int main(int count, char** arguments) {
  try {
    return run(count, arguments);
  } catch (const std::exception& error) {
    std::cerr << "digits: " << error.what() << '\n';
    return 2;
  }
}
