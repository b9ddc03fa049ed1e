// Trains a small network on handwritten digits, checks its gradients, and shows what it sees.
//
// The hyperparameters were chosen on a validation part of the training set (`digits --validate` repeats that
// measurement); the test set was then looked at once per seed.
#include <tapegrad.h>

#include <algorithm>
#include <array>
#include <iostream>
#include <string_view>

using namespace tapegrad;

struct DigitNet {
  nn::Dense hidden{8 * 8, 128};
  nn::Dense out{128, 10};

  Tensor operator()(Arg images) const { return out(relu(hidden(flatten(images, 1)))); }
};

constexpr int epochs = 60;
constexpr std::array<std::uint64_t, 3> seeds = {1, 2, 3};
constexpr double lowest_median = 0.96;  // of the shuffled split

DigitNet train(const Dataset& data, std::uint64_t seed, Progress& progress) {
  random::seed(seed);
  DigitNet net;
  optim::AdamW adam{net, {.lr = 2e-3, .weight_decay = 0.05}};
  for (int epoch = 0; epoch < epochs; ++epoch) {
    double total = 0;
    for (auto [images, labels] : batches(data, {.size = 32, .shuffle = true})) {
      Tape tape;
      Tensor loss = cross_entropy(net(images), labels);
      adam.step(tape.gradient(loss, net));
      total += loss.item() * static_cast<double>(labels.size());
    }
    progress.step({{"loss", total / static_cast<double>(data.size())}});
  }
  return net;
}

struct Result {
  std::array<double, seeds.size()> accuracy;
  DigitNet net;  // of the median seed

  double median() const {
    auto sorted = accuracy;
    std::sort(sorted.begin(), sorted.end());
    return sorted[1];
  }
};

Result train_three(const char* label, const Dataset& fit, const Dataset& test) {
  Progress progress{epochs * static_cast<int>(seeds.size()), {.label = label}};
  Result result{};
  std::array<DigitNet, seeds.size()> nets;
  for (std::size_t s = 0; s < seeds.size(); ++s) {
    nets[s] = train(fit, seeds[s], progress);
    result.accuracy[s] = accuracy(nets[s](test.images), test.labels);
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

// Digits side by side, darker where there is more ink.
void show(const DigitNet& net, const Dataset& data, int count) {
  const Tensor images = data.images.slice(0, 0, count);
  const Tensor predicted = argmax(net(images), {.axis = 1});
  constexpr std::string_view ink = " .:-=+*#%@";
  for (int row = 0; row < 8; ++row) {
    for (int i = 0; i < count; ++i) {
      for (int column = 0; column < 8; ++column) {
        const char c = ink[static_cast<std::size_t>(images.at({i, row, column, 0}) * 9)];
        std::cout << c << c;
      }
      std::cout << "  ";
    }
    std::cout << '\n';
  }
  for (int i = 0; i < count; ++i) {
    const double truth = data.labels.at({i});
    const double guess = predicted.at({i});
    std::cout << "  predicted " << guess << (guess == truth ? "     " : " (" + std::to_string(int(truth)) + ") ");
  }
  std::cout << '\n';
}

int main(int count, char** arguments) {
  const bool validates = count > 1 && std::string_view(arguments[1]) == "--validate";
  std::cout.precision(4);

  const auto [train_set, test_set] = load_digits();
  if (validates) {
    const auto [fit, validation] = hold_out(train_set, 297);
    report("validation part", train_three("validating", fit, validation));
    return 0;
  }
  const auto [writers, other_writers] = load_digits({.split = DigitsSplit::by_writer});

  const Result shuffled = train_three("shuffled split", train_set, test_set);
  const Result by_writer = train_three("split by writer", writers, other_writers);

  std::cout << nn::summary(shuffled.net, {1, 8, 8, 1}) << '\n';
  std::cout << "test accuracy\n";
  report("  shuffled split ", shuffled);
  report("  split by writer", by_writer);

  const GradcheckReport gradients = gradcheck(shuffled.net, test_set.images.slice(0, 0, 4));
  std::cout << '\n' << gradients << '\n';
  show(shuffled.net, test_set, 5);

  const bool is_accurate = shuffled.median() >= lowest_median;
  if (!gradients) std::cerr << "digits: the gradient check did not pass\n";
  if (!is_accurate) {
    std::cerr << "digits: the median test accuracy of the shuffled split is " << shuffled.median() << ", below "
              << lowest_median << '\n';
  }
  return gradients && is_accurate ? 0 : 1;
}
