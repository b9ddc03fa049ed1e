#pragma once
// Text as symbols, and what a table of pairs of symbols predicts: the baseline.
#include <tapegrad.h>

#include <array>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

using namespace tapegrad;

struct Text {
  std::string symbols;  // the distinct bytes, in order
  Tensor train;         // [n] i64: positions in `symbols`
  Tensor held_out;
};

/// Throws for what cannot be read, is empty, is larger than 16 MiB, or holds a zero byte, which no text does.
inline std::string read_text_file(const std::filesystem::path& file) {
  constexpr std::streamsize limit = 16 << 20;
  std::ifstream in(file, std::ios::binary);
  std::string content(static_cast<std::size_t>(limit) + 1, '\0');
  in.read(content.data(), limit + 1);
  content.resize(static_cast<std::size_t>(in.gcount()));
  if (!in.is_open() || in.bad()) throw std::runtime_error(file.string() + " cannot be read");
  if (content.empty()) throw std::runtime_error(file.string() + " is empty");
  if (content.size() > limit) throw std::runtime_error(file.string() + " is larger than 16 MiB");
  const std::size_t zero = content.find('\0');
  if (zero == std::string::npos) return content;
  throw std::runtime_error(file.string() + " is not a text: byte " + std::to_string(zero) + " is zero");
}

/// The last tenth of every file is held out. Throws also for files that have less than `least_train` bytes together in
/// the other parts.
inline Text read_text(const std::vector<std::filesystem::path>& files, std::int64_t least_train) {
  std::string train, held_out;
  for (const std::filesystem::path& file : files) {
    const std::string content = read_text_file(file);
    const std::size_t cut = content.size() - content.size() / 10;
    train += content.substr(0, cut);
    held_out += content.substr(cut);
  }
  if (static_cast<std::int64_t>(train.size()) < least_train || held_out.size() < 2) {
    throw std::runtime_error("the text has " + std::to_string(train.size() + held_out.size()) + " bytes; at least " +
                             std::to_string(least_train * 10 / 9 + 1) + " are needed");
  }

  Text text;
  std::array<std::int64_t, 256> position{};
  for (const char c : train + held_out) position[static_cast<unsigned char>(c)] = 1;
  for (std::size_t byte = 0; byte < position.size(); ++byte) {
    if (!position[byte]) continue;
    position[byte] = static_cast<std::int64_t>(text.symbols.size());
    text.symbols += static_cast<char>(byte);
  }
  const auto encode = [&](const std::string& part) {
    std::vector<std::int64_t> numbers;
    for (const char c : part) numbers.push_back(position[static_cast<unsigned char>(c)]);
    return Tensor::from(numbers, {static_cast<std::int64_t>(numbers.size())});
  };
  text.train = encode(train);
  text.held_out = encode(held_out);
  return text;
}

/// Bits per symbol of the held-out text when each is predicted from the one before, by how often the pair (a, b) is in
/// the training text: p(b | a) = (count(a, b) + 1) / (count(a) + number of symbols).
inline double bigram_bits(const Text& text) {
  const std::size_t symbols = text.symbols.size();
  std::vector<double> pairs(symbols * symbols, 1), firsts(symbols, static_cast<double>(symbols));
  const auto each_pair = [](const Tensor& part, auto&& f) {
    const auto s = part.span<const std::int64_t>();
    for (std::size_t i = 1; i < s.size(); ++i) f(static_cast<std::size_t>(s[i - 1]), static_cast<std::size_t>(s[i]));
  };
  each_pair(text.train, [&](std::size_t a, std::size_t b) {
    ++pairs[a * symbols + b];
    ++firsts[a];
  });
  double bits = 0;
  each_pair(text.held_out,
            [&](std::size_t a, std::size_t b) { bits -= std::log2(pairs[a * symbols + b] / firsts[a]); });
  return bits / static_cast<double>(text.held_out.size() - 1);
}
