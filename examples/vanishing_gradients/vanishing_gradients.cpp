// Measures how gradients vanish on their way back through a deep net, and what holds them: first in a chain of sigmoid
// units, then in dense nets on handwritten digits, right after initialisation.
//
//     vanishing_gradients [--depths 2,5,10,20,50] [--seed N] [--svg FILE]
//
// Depths count dense layers. Exit status: 1 when what the program says about its deepest nets was not measured, 2 when
// an option is wrong or the picture cannot be written.
#include <tapegrad.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <iostream>

#include "../options.h"
#include "nets.h"
#include "svg.h"

using namespace tapegrad;

const std::vector<Activation> activations = {{"sigmoid", sigmoid}, {"tanh", tanh}, {"relu", relu}, {"swish", silu}};
const std::vector<std::string> remedies = {"plain", "BatchNorm", "LayerNorm", "residual"};  // in the order of Remedy
const std::vector<std::string> initial_values = {"default", "Xavier", "He"};                // ... of InitialValues
constexpr std::int64_t images = 256;

struct Chain {
  double product;   // of the slopes
  double gradient;  // d(last unit) / d(input) as the tape has it
};

/// `length` sigmoid units in a row, h <- sigmoid(h + b). A sigmoid with value s has the slope s (1 - s). With the bias
/// b = log(s / (1 - s)) - s, a unit that gets s gives s, so all have the same slope.
Chain chain_of_sigmoids(int length, double slope) {
  const double s = (1 + std::sqrt(1 - 4 * slope)) / 2;
  const double b = std::log(s / (1 - s)) - s;
  Tensor x = full({}, s, f64);
  Tape tape;
  tape.watch(x);
  Tensor h = x;
  for (int k = 0; k < length; ++k) h = sigmoid(h + b);
  return {std::pow(slope, length), tape.gradient(h, x).item()};
}

/// "2,10,50"
std::vector<std::int64_t> read_depths(const std::string& text) {
  std::vector<std::int64_t> depths;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (true) {
    std::int64_t depth = 0;
    const auto [next, error] = std::from_chars(at, end, depth);
    if (error != std::errc() || depth < 2 || depth > 200 || (next != end && *next != ',')) {
      throw std::runtime_error("--depths are whole numbers from 2 to 200, such as 2,10,50, not \"" + text + "\"");
    }
    depths.push_back(depth);
    if (next == end) break;
    at = next + 1;
  }
  std::sort(depths.begin(), depths.end());
  return depths;
}

/// Of the deepest nets of one activation: the first layer's gradient norm, in parts of the last one's.
using Ratios = std::array<std::array<double, 3>, 4>;  // [remedy][initial values]

/// A table of one activation, a row for each remedy and initial values, and the panel of its deepest nets.
Ratios measure(const Activation& activation, const Dataset& data, const std::vector<std::int64_t>& depths,
               std::uint64_t seed, std::vector<Panel>& panels) {
  std::printf("\n%-18s first / last layer, by number of layers%*s%lld layers\n%-18s", activation.name.c_str(),
              static_cast<int>(depths.size()) * 9 - 36, "", static_cast<long long>(depths.back()), "");
  for (std::int64_t depth : depths) std::printf("%9lld", static_cast<long long>(depth));
  std::printf("%12s%9s%9s\n", "first", "middle", "last");

  Ratios ratios{};
  panels.push_back({activation.name + ", " + std::to_string(depths.back()) + " layers: |dL / dW|", {}});
  for (std::size_t remedy = 0; remedy < remedies.size(); ++remedy) {
    for (std::size_t values = 0; values < initial_values.size(); ++values) {
      std::printf("%-10s%-8s", remedies[remedy].c_str(), initial_values[values].c_str());
      std::vector<double> norms;
      for (std::int64_t depth : depths) {
        random::seed(seed);
        const DeepNet net = make_net(depth, activation, InitialValues(values), Remedy(remedy));
        norms = gradient_norms(net, data);
        std::printf("%9.1e", norms.front() / norms.back());
      }
      std::printf("%12.1e%9.1e%9.1e\n", norms.front(), norms[norms.size() / 2], norms.back());
      ratios[remedy][values] = norms.front() / norms.back();
      panels.back().lines.push_back({remedy, values, norms});
    }
  }
  return ratios;
}

/// What the textbooks say against vanishing gradients: other initial values, or a remedy.
struct Claim {
  std::size_t activation;
  InitialValues values;
  Remedy remedy;
};

/// Prints what the first layer gets with and without, and returns whether it gets ten times as much.
bool holds(const Claim& claim, const std::vector<Ratios>& ratios) {
  const auto values = static_cast<std::size_t>(claim.values), remedy = static_cast<std::size_t>(claim.remedy);
  const double before = ratios[claim.activation][0][0], after = ratios[claim.activation][remedy][values];
  const std::string& name = activations[claim.activation].name;
  const std::string with = remedy ? remedies[remedy] : initial_values[values] + "'s values";
  std::printf("  %-9s%.1e plain, %.1e %s\n", name.c_str(), before, after, with.c_str());
  if (after > 10 * before) return true;
  std::cerr << "vanishing_gradients: " << with << " does not help the net of " << name << '\n';
  return false;
}

int main(int count, char** arguments) try {
  const Options options(count, arguments, {"--depths", "--seed", "--svg"});
  const std::vector<std::int64_t> depths = read_depths(options.text("--depths", "2,5,10,20,50"));
  const auto seed = static_cast<std::uint64_t>(options.number("--seed", 1, 0, 1'000'000));
  const std::string file = options.text("--svg", "vanishing_gradients.svg");

  const Chain chain = chain_of_sigmoids(10, 0.2);
  std::printf("ten sigmoid units of slope 0.2 in a row: 0.2^10 = %.4e, the tape's gradient is %.4e\n", chain.product,
              chain.gradient);

  const Dataset train = load_digits().train;
  const Dataset data{train.images.slice(0, 0, images), train.labels.slice(0, 0, images)};
  std::printf("\n|dL / dW| after initialisation: %lld digits, %lld units per hidden layer\n",
              static_cast<long long>(images), static_cast<long long>(width));
  std::vector<Panel> panels;
  std::vector<Ratios> ratios;
  for (const Activation& activation : activations) {
    ratios.push_back(measure(activation, data, depths, seed, panels));
  }
  write_svg(file, panels, remedies, initial_values);
  std::printf("\nthe norms of the deepest nets are in %s\n", file.c_str());

  std::printf("\nthe first of %lld layers, in parts of the last:\n", static_cast<long long>(depths.back()));
  bool all_hold = std::abs(chain.gradient / chain.product - 1) < 1e-12;
  if (!all_hold) std::cerr << "vanishing_gradients: the tape's gradient is not the product of the slopes\n";
  for (const Claim& claim : std::to_array<Claim>({{0, InitialValues::standard, Remedy::batch_norm},
                                                  {0, InitialValues::standard, Remedy::residual},
                                                  {1, InitialValues::xavier, Remedy::none},
                                                  {2, InitialValues::he, Remedy::none},
                                                  {3, InitialValues::standard, Remedy::layer_norm}})) {
    all_hold = holds(claim, ratios) && all_hold;
  }
  return all_hold ? 0 : 1;
} catch (const std::exception& error) {
  std::cerr << "vanishing_gradients: " << error.what() << '\n';
  return 2;
}
