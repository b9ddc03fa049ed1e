// Trains two recurrent cells, written in cells.h, on a text by truncated backpropagation through time, and shows how
// far back in time their gradients reach.
//
//     bptt_from_scratch [--file TEXT] [--cell both|rnn|lstm] [--steps N] [--hidden N] [--seed N]
//
// Without a file, the text is this repository's documentation. Exit status: 1 when a cell predicts the held-out text no
// better than a table of pairs of symbols does, 2 when there is no text or an option is wrong.
//
// The learning rate is the best of three on the held-out text, by which the cells gain 0.1 bits.
#include <tapegrad.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <numbers>
#include <string>
#include <vector>

#include "../options.h"
#include "cells.h"
#include "text.h"

using namespace tapegrad;

constexpr std::int64_t batch = 32;
constexpr std::int64_t window = 32;  // the gradient stops after so many steps

struct Settings {
  std::int64_t steps, hidden;
  std::uint64_t seed;
};

/// The training text as `batch` streams side by side: [batch, time].
Tensor streams_of(const Text& text) {
  const std::int64_t length = text.train.size() / batch;
  return reshape(text.train.slice(0, 0, batch * length), {batch, length});
}

template <class Cell>
void train(TextModel<Cell>& model, const Text& text, const Settings& settings, const char* label) {
  const Tensor streams = streams_of(text);
  optim::Adam adam{model, {.lr = 5e-3}};
  Progress progress{settings.steps, {.label = label}};
  auto state = zero_state(model.cell, batch);
  std::int64_t begin = 0;
  for (std::int64_t step = 0; step < settings.steps; ++step, begin += window) {
    if (begin + window >= streams.shape(1)) {
      begin = 0;
      state = zero_state(model.cell, batch);
    }
    const Tensor symbols = streams.slice(1, begin, begin + window);
    const Tensor next_symbols = streams.slice(1, begin + 1, begin + window + 1);

    Tape tape;
    auto [logits, next_state] = model(symbols, state);
    Tensor loss = cross_entropy(logits, next_symbols);
    Gradients gradients = tape.gradient(loss, model);
    optim::clip_norm(gradients, 1);
    adam.step(gradients);
    state = next_state;  // outlives its tape as a plain value, so the next window's gradient stops here

    progress.step({{"bits", loss.item() / std::numbers::ln2}});
  }
}

/// Bits per symbol of the held-out text, read from its beginning as one stream.
template <class Cell>
double held_out_bits(const TextModel<Cell>& model, const Text& text) {
  const Tensor stream = unsqueeze(text.held_out, 0);
  const std::int64_t predictions = text.held_out.size() - 1;
  auto state = zero_state(model.cell, 1);
  double total = 0;
  for (std::int64_t begin = 0; begin < predictions; begin += window) {
    const std::int64_t end = std::min(begin + window, predictions);
    auto [logits, next_state] = model(stream.slice(1, begin, end), state);
    const Tensor next_symbols = stream.slice(1, begin + 1, end + 1);
    total += cross_entropy(logits, next_symbols, {.reduction = Reduction::sum}).item();
    state = next_state;
  }
  return total / std::numbers::ln2 / static_cast<double>(predictions);
}

/// Text that the model makes up, each symbol drawn from its prediction. Bytes that are not printable show as '?'.
template <class Cell>
std::string sample(const TextModel<Cell>& model, const Text& text, int length) {
  std::string result;
  auto state = zero_state(model.cell, 1);
  auto symbol = static_cast<std::int64_t>(text.train.at({0}));
  for (int i = 0; i < length; ++i) {
    state = model.step(Tensor::from({symbol}), state);
    const Tensor p = softmax(model.head(state.front()));
    double u = random::uniform({}).item();
    for (symbol = 0; symbol + 1 < p.size() && u >= p.at({0, symbol}); ++symbol) u -= p.at({0, symbol});
    const char c = text.symbols[static_cast<std::size_t>(symbol)];
    result += c == '\n' || (c >= ' ' && c <= '~') ? c : '?';
  }
  return result;
}

struct Result {
  std::string name;
  double bits = 0;
  std::vector<double> untrained_norms = {}, norms = {};
};

template <class Cell>
Result run(const char* name, const Text& text, const Settings& settings) {
  random::seed(settings.seed);
  auto model = make_text_model<Cell>(static_cast<std::int64_t>(text.symbols.size()), settings.hidden);
  const Tensor first_window = streams_of(text).slice(1, 0, window + 1);
  Result result{.name = name, .untrained_norms = gradient_norms(model, first_window)};

  const auto start = std::chrono::steady_clock::now();
  train(model, text, settings, name);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;

  result.bits = held_out_bits(model, text);
  result.norms = gradient_norms(model, first_window);
  std::cout << '\n'
            << name << ": " << result.bits << " bits per symbol after " << settings.steps << " steps of " << batch
            << " x " << window << " symbols, " << std::lround(static_cast<double>(settings.steps) / seconds.count())
            << " steps per second. It writes:\n\n"
            << sample(model, text, 300) << '\n';
  return result;
}

/// One row per step, from the loss back; four marks less are a decade less.
void show_norms(const char* when, const std::vector<Result>& results, std::vector<double> Result::*norms) {
  std::cout << "\n|dL / dh| (lstm: |dL / dc|), " << when
            << ": steps before the loss, and the share of that at the loss\n";
  for (std::int64_t back = 0; back < window; back += back < 4 ? 1 : 4) {
    std::cout << std::setw(4) << back;
    for (const Result& result : results) {
      const double share = (result.*norms)[static_cast<std::size_t>(window - 1 - back)] / (result.*norms).back();
      const auto marks = static_cast<std::size_t>(std::min(27., std::max(0., 24 + 4 * std::log10(share))));
      std::cout << "  " << result.name << ' ' << std::left << std::setw(27) << std::string(marks, '#') << std::right
                << std::setw(9) << share;
    }
    std::cout << '\n';
  }
}

/// The pages of a folder, in alphabetical order.
std::vector<std::filesystem::path> pages(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  if (std::filesystem::is_directory(folder)) {
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      if (entry.path().extension() == ".md") files.push_back(entry.path());
    }
  }
  if (files.empty()) throw std::runtime_error("there is no page in " + folder.string() + "; name a text with --file");
  std::sort(files.begin(), files.end());
  return files;
}

int main(int count, char** arguments) try {
  const Options options(count, arguments, {"--file", "--cell", "--steps", "--hidden", "--seed"});
  const std::string file = options.text("--file", "");
  const std::string cell = options.choice("--cell", {"both", "rnn", "lstm"});
  const Settings settings{options.number("--steps", 1000, 1, 1'000'000), options.number("--hidden", 128, 1, 4096),
                          static_cast<std::uint64_t>(options.number("--seed", 1, 0, 1'000'000))};
  std::cout.precision(4);

  const Text text =
      read_text(file.empty() ? pages(TAPEGRAD_DOCS) : std::vector<std::filesystem::path>{file}, batch * (window + 1));
  const double baseline = bigram_bits(text);
  std::cout << text.train.size() << " symbols to train on, " << text.held_out.size() << " held out, "
            << text.symbols.size() << " different ones\npairs: " << baseline << " bits per symbol\n";

  std::vector<Result> results;
  if (cell != "lstm") results.push_back(run<RnnCell>("rnn", text, settings));
  if (cell != "rnn") results.push_back(run<LstmCell>("lstm", text, settings));
  show_norms("untrained", results, &Result::untrained_norms);
  show_norms("trained", results, &Result::norms);

  bool is_better = true;
  for (const Result& result : results) {
    if (result.bits < baseline) continue;
    std::cerr << "bptt_from_scratch: " << result.name << " needs " << result.bits << " bits per symbol, the pairs "
              << baseline << '\n';
    is_better = false;
  }
  return is_better ? 0 : 1;
} catch (const std::exception& error) {
  std::cerr << "bptt_from_scratch: " << error.what() << '\n';
  return 2;
}
