#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <numeric>
#include <sstream>
#include <string_view>
#include <vector>

#include "autograd/random.h"
#include "nn/data.h"
#include "nn/rows.h"

namespace tapegrad {

namespace detail {
extern const std::string_view digits_csv;  // generated from nn/data/digits.csv
}

namespace {

constexpr std::int64_t line_count = 1797;
constexpr int side = 8;
constexpr int pixels = side * side;
constexpr int max_pixel = 16;
constexpr std::uint64_t split_seed = 1;

struct Example {
  std::array<float, pixels> image;
  std::int64_t label;
};

/// The text in quotation marks, shortened, with "?" for what does not print.
std::string quoted(std::string_view text) {
  std::string result(text.substr(0, 20));
  std::ranges::replace_if(
      result, [](char c) { return c < ' ' || c > '~'; }, '?');
  return '"' + result + (text.size() > result.size() ? "...\"" : "\"");
}

/// Reads one line; throws an Error that starts with `place` ("digits.csv:12").
class LineParser {
 public:
  LineParser(std::string_view line, const std::string& place, SourceLocation at)
      : rest_(line), place_(place), at_(at) {}

  Example parse() {
    Example example{};
    for (int k = 0; k < pixels; ++k) {
      example.image[static_cast<std::size_t>(k)] = static_cast<float>(integer(k, max_pixel)) / max_pixel;
    }
    example.label = integer(pixels, 9);
    if (has_comma_) fail(place_ + ": more than " + std::to_string(pixels + 1) + " values", at_);
    return example;
  }

 private:
  /// The next value, an integer from 0 to `largest`, with the comma behind it.
  int integer(int index, int largest) {
    if (rest_.empty()) {
      fail(place_ + ": " + std::to_string(index) + " values where there should be " + std::to_string(pixels + 1), at_,
           "is the file cut short?");
    }
    const std::size_t comma = rest_.find(',');
    const std::string_view text = rest_.substr(0, comma);
    has_comma_ = comma != std::string_view::npos;
    rest_.remove_prefix(has_comma_ ? comma + 1 : rest_.size());

    int value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const auto which = [index] { return index < pixels ? "value " + std::to_string(index + 1) : "the label"; };
    if (text.empty() || error == std::errc::invalid_argument || end != text.data() + text.size()) {
      fail(place_ + ": " + which() + " is not an integer: " + quoted(text), at_);
    }
    if (error != std::errc{} || value < 0 || value > largest) {
      fail(place_ + ": " + which() + " is " + std::string(text) + "; it must be from 0 to " + std::to_string(largest),
           at_);
    }
    return value;
  }

  std::string_view rest_;
  const std::string& place_;
  SourceLocation at_;
  bool has_comma_ = false;
};

std::vector<Example> read_examples(std::istream& in, const std::string& name, SourceLocation at) {
  std::vector<Example> examples;
  // The longest line is 65 two-digit values with their commas; a longer one is never held in memory.
  std::array<char, 256> buffer;
  for (std::size_t number = 1; in.getline(buffer.data(), buffer.size()) || in.gcount() > 0; ++number) {
    const std::string place = name + ":" + std::to_string(number);
    if (in.fail()) fail(place + ": the line is longer than " + std::to_string(buffer.size() - 1) + " characters", at);
    const auto length = static_cast<std::size_t>(in.gcount()) - (in.eof() ? 0 : 1);  // the newline is counted, not kept
    std::string_view line(buffer.data(), length);
    if (line.ends_with('\r')) line.remove_suffix(1);
    examples.push_back(LineParser(line, place, at).parse());
  }
  if (in.bad()) fail(name + ": could not be read to its end", at);
  if (examples.empty()) fail(name + ": the file is empty", at);
  return examples;
}

Dataset to_dataset(const std::vector<Example>& examples) {
  const auto n = static_cast<std::int64_t>(examples.size());
  Dataset data{Tensor::empty({n, side, side, 1}, f32), Tensor::empty({n}, i64)};
  float* image = data.images.data<float>();
  std::int64_t* label = data.labels.data<std::int64_t>();
  for (const Example& example : examples) {
    image = std::copy(example.image.begin(), example.image.end(), image);
    *label++ = example.label;
  }
  return data;
}

Dataset rows(const Dataset& data, const std::int64_t* first, std::int64_t count) {
  return {detail::take_rows(data.images, first, count), detail::take_rows(data.labels, first, count)};
}

Dataset load_all(const std::string& file, SourceLocation at) {
  if (file.empty()) {
    std::istringstream in{std::string(detail::digits_csv)};
    return read_digits(in, "digits.csv", at);
  }
  std::ifstream in(file, std::ios::binary);
  if (!in) fail(file + ": the file cannot be opened", at);
  Dataset data = read_digits(in, file, at);
  if (data.size() != line_count) {
    fail(file + ": " + std::to_string(data.size()) + " lines where there should be " + std::to_string(line_count), at,
         "is the file cut short?");
  }
  return data;
}

}  // namespace

Dataset read_digits(std::istream& in, const std::string& name, SourceLocation at) {
  return to_dataset(read_examples(in, name, at));
}

TrainTest load_digits(const DigitsOptions& options, SourceLocation at) {
  const Dataset all = load_all(options.file, at);
  const std::int64_t train_count = all.size() * 3 / 4;
  random::Generator generator(split_seed);
  Tensor order = random::permutation(all.size(), {.generator = &generator}, at);
  if (options.split == DigitsSplit::by_writer) {
    std::iota(order.data<std::int64_t>(), order.data<std::int64_t>() + all.size(), 0);
  }
  const std::int64_t* index = order.data<std::int64_t>();
  return {rows(all, index, train_count), rows(all, index + train_count, all.size() - train_count)};
}

std::int64_t Dataset::size(SourceLocation at) const {
  if (!images.defined()) fail("Dataset::size: the data set holds no tensors", at);
  return images.shape(0, at);
}

TrainValidation hold_out(const Dataset& data, std::int64_t count, SourceLocation at) {
  if (!data.images.defined() || !data.labels.defined()) fail("hold_out: the data set holds no tensors", at);
  const std::int64_t n = data.size(at);
  if (count < 1 || count >= n) {
    fail("hold_out: cannot cut " + std::to_string(count) + " of " + std::to_string(n) + " examples off", at);
  }
  const auto cut = [&](std::int64_t first, std::int64_t stop) {
    return Dataset{data.images.slice(0, first, stop, 1, at), data.labels.slice(0, first, stop, 1, at)};
  };
  return {cut(0, n - count), cut(n - count, n)};
}

}  // namespace tapegrad
