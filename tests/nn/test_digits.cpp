#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>

#include "autograd/create.h"
#include "nn/data.h"
#include "tests/catch.h"
#include "tests/error_of.h"

using namespace tapegrad;
using tapegrad::tests::error_of;

namespace {

/// A valid line: pixel k is k % 17.
std::string line(int label) {
  std::string text;
  for (int k = 0; k < 64; ++k) text += std::to_string(k % 17) + ",";
  return text + std::to_string(label) + "\n";
}

std::string reading_error(const std::string& text, SourceLocation at) {
  std::istringstream in(text);
  return error_of([&] { read_digits(in, "file.csv", at); }, at);
}

/// A file that is removed at the end of the scope.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& text) {
    path_ = (std::filesystem::temp_directory_path() / ("tapegrad_digits_" + std::to_string(::getpid()) + ".csv"));
    std::ofstream(path_, std::ios::binary) << text;
  }
  ~TemporaryFile() { std::filesystem::remove(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

std::array<int, 10> label_counts(const Dataset& data) {
  std::array<int, 10> counts{};
  for (std::int64_t label : std::as_const(data.labels).span<std::int64_t>()) ++counts[static_cast<std::size_t>(label)];
  return counts;
}

double sum_of(const Tensor& x) {
  double total = 0;
  for (float v : x.span<float>()) total += v;
  return total;
}

}  // namespace

TEST_CASE("the digits that are compiled in are the data set of the attribution") {
  const auto [train, test] = load_digits({.split = DigitsSplit::by_writer});
  CHECK(train.images.shape() == Shape{1347, 8, 8, 1});
  CHECK(train.labels.shape() == Shape{1347});
  CHECK(test.images.shape() == Shape{450, 8, 8, 1});
  CHECK(test.size() == 450);
  CHECK(train.images.dtype() == f32);
  CHECK(train.labels.dtype() == i64);

  // The first line of the file starts with 0,0,5,13,9,1,0,0 and has label 0; the last line is an 8.
  CHECK(train.images.at({0, 0, 2, 0}) == 5 / 16.0);
  CHECK(train.images.at({0, 0, 3, 0}) == 13 / 16.0);
  CHECK(train.images.at({0, 1, 2, 0}) == 13 / 16.0);
  CHECK(train.labels.at({0}) == 0);
  CHECK(test.labels.at({449}) == 8);

  // Known counts and sum of the whole set.
  std::array<int, 10> counts = label_counts(train);
  const std::array<int, 10> test_counts = label_counts(test);
  for (std::size_t digit = 0; digit < 10; ++digit) counts[digit] += test_counts[digit];
  CHECK(counts == std::array<int, 10>{178, 182, 177, 183, 181, 182, 181, 179, 174, 180});
  CHECK((sum_of(train.images) + sum_of(test.images)) * 16 == 561718);
}

TEST_CASE("the shuffled split is fixed, has no image twice, and differs from the split by writer") {
  const auto [train, test] = load_digits();
  CHECK(train.size() == 1347);
  CHECK(test.size() == 450);
  CHECK((sum_of(train.images) + sum_of(test.images)) * 16 == 561718);
  const auto [again, again_test] = load_digits();
  CHECK(array_equal(train.images, again.images));
  CHECK(array_equal(test.labels, again_test.labels));
  // Another order would make published accuracies incomparable.
  const std::array<std::int64_t, 12> first_labels = {1, 6, 3, 4, 4, 3, 6, 7, 0, 3, 8, 8};
  for (std::int64_t i = 0; i < 12; ++i) {
    CAPTURE(i);
    CHECK(test.labels.at({i}) == static_cast<double>(first_labels[static_cast<std::size_t>(i)]));
  }
  const auto [writers, other_writers] = load_digits({.split = DigitsSplit::by_writer});
  CHECK_FALSE(array_equal(train.labels, writers.labels));
}

TEST_CASE("hold_out cuts a validation part off") {
  const Dataset data{arange(24).to(f32), arange(24, i64)};
  const auto [fit, validation] = hold_out(data, 5);
  CHECK(fit.labels.shape() == Shape{19});
  CHECK(validation.labels.shape() == Shape{5});
  CHECK(validation.labels.at({0}) == 19);
  CHECK(validation.images.at({4}) == 23);
  for (std::int64_t count : {-1, 0, 24, 25}) {
    const auto at = SourceLocation::current();
    CHECK(error_of([&] { hold_out(data, count, at); }, at) ==
          "hold_out: cannot cut " + std::to_string(count) + " of 24 examples off, at here");
  }
  const Dataset without_labels{arange(3), Tensor()};
  CHECK(error_of([] { hold_out(Dataset{}, 1); }) == "hold_out: the data set holds no tensors, at here");
  CHECK(error_of([&] { hold_out(without_labels, 1); }) == "hold_out: the data set holds no tensors, at here");
}

TEST_CASE("a data set without tensors has no size") {
  CHECK(Dataset{zeros({4, 2}), Tensor()}.size() == 4);
  CHECK(error_of([] { Dataset{}.size(); }) == "Dataset::size: the data set holds no tensors, at here");
  const Dataset scalar{zeros({}), zeros({})};
  CHECK(error_of([&] { scalar.size(); }) == "shape: axis 0 is out of range, at here; a 0-dim tensor has no axes");
}

TEST_CASE("read_digits reads lines, with or without a newline at the end") {
  for (const std::string& text : {line(3) + line(9), line(3) + line(9).substr(0, line(9).size() - 1),
                                  line(3).substr(0, line(3).size() - 1) + "\r\n" + line(9)}) {
    std::istringstream in(text);
    const Dataset data = read_digits(in, "file.csv");
    CHECK(data.images.shape() == Shape{2, 8, 8, 1});
    CHECK(data.images.at({1, 2, 0, 0}) == 1.0);
    CHECK(data.images.at({1, 7, 7, 0}) == 12 / 16.0);
    CHECK(data.labels.at({0}) == 3);
    CHECK(data.labels.at({1}) == 9);
  }
}

TEST_CASE("read_digits names the file and the line of what is wrong") {
  const auto at = SourceLocation::current();
  const auto second_line = [&](const std::string& text) { return reading_error(line(1) + text, at); };
  const std::string good = line(7).substr(0, line(7).size() - 1);
  const std::string rest = good.substr(good.find(','));
  const std::string no_label = good.substr(0, good.rfind(','));

  CHECK(reading_error("", at) == "file.csv: the file is empty, at here");
  CHECK(second_line("") == "no error");
  CHECK(second_line("\n") == "file.csv:2: 0 values where there should be 65, at here; is the file cut short?");
  CHECK(second_line("," + rest) == "file.csv:2: value 1 is not an integer: \"\", at here");
  CHECK(second_line("x" + rest) == "file.csv:2: value 1 is not an integer: \"x\", at here");
  CHECK(second_line("1x" + rest) == "file.csv:2: value 1 is not an integer: \"1x\", at here");
  CHECK(second_line("1.5" + rest) == "file.csv:2: value 1 is not an integer: \"1.5\", at here");
  CHECK(second_line(" 1" + rest) == "file.csv:2: value 1 is not an integer: \" 1\", at here");
  CHECK(second_line("nan" + rest) == "file.csv:2: value 1 is not an integer: \"nan\", at here");
  CHECK(second_line("a\x1b[31m" + rest) == "file.csv:2: value 1 is not an integer: \"a?[31m\", at here");
  CHECK(second_line("<!DOCTYPE html> <title>404" + rest) ==
        "file.csv:2: value 1 is not an integer: \"<!DOCTYPE html> <tit...\", at here");
  CHECK(second_line(std::string("1\0", 2) + rest) == "file.csv:2: value 1 is not an integer: \"1?\", at here");
  CHECK(second_line("17" + rest) == "file.csv:2: value 1 is 17; it must be from 0 to 16, at here");
  CHECK(second_line("-1" + rest) == "file.csv:2: value 1 is -1; it must be from 0 to 16, at here");
  CHECK(second_line("99999999999999999999" + rest) ==
        "file.csv:2: value 1 is 99999999999999999999; it must be from 0 to 16, at here");
  CHECK(second_line(no_label + ",10") == "file.csv:2: the label is 10; it must be from 0 to 9, at here");
  CHECK(second_line(no_label + ",") ==
        "file.csv:2: 64 values where there should be 65, at here; is the file cut short?");
  CHECK(second_line(no_label + ",x") == "file.csv:2: the label is not an integer: \"x\", at here");
  CHECK(second_line(no_label) == "file.csv:2: 64 values where there should be 65, at here; is the file cut short?");
  CHECK(second_line("1,2,3") == "file.csv:2: 3 values where there should be 65, at here; is the file cut short?");
  CHECK(second_line(good + ",") == "file.csv:2: more than 65 values, at here");
  CHECK(second_line(good + ",1") == "file.csv:2: more than 65 values, at here");
  CHECK(second_line(std::string(100'000, '1')) == "file.csv:2: the line is longer than 255 characters, at here");
}

TEST_CASE("load_digits reads a file, and says which one when it cannot") {
  const auto at = SourceLocation::current();
  CHECK(error_of([&] { load_digits({.file = "/no/such/digits.csv"}, at); }, at) ==
        "/no/such/digits.csv: the file cannot be opened, at here");
  const std::string folder = std::filesystem::temp_directory_path();
  CHECK(error_of([&] { load_digits({.file = folder}, at); }, at) == folder + ": could not be read to its end, at here");

  std::string whole;
  for (int i = 0; i < 1797; ++i) whole += line(i % 10);
  {
    const TemporaryFile file(whole);
    const auto [train, test] = load_digits({.split = DigitsSplit::by_writer, .file = file.path()});
    CHECK(train.size() == 1347);
    CHECK(test.labels.at({0}) == 7);
  }
  {
    const TemporaryFile file(whole.substr(0, whole.size() - line(0).size()));
    CHECK(error_of([&] { load_digits({.file = file.path()}, at); }, at) ==
          file.path() + ": 1796 lines where there should be 1797, at here; is the file cut short?");
  }
  {
    const TemporaryFile file(whole.substr(0, 1000));
    CHECK(error_of([&] { load_digits({.file = file.path()}, at); }, at) ==
          file.path() + ":7: 32 values where there should be 65, at here; is the file cut short?");
  }
}

TEST_CASE("accuracy counts the rows whose largest logit is at the label") {
  const Tensor logits = Tensor::from<float>({1, 2, 0, 5, 4, 3, 0, 0, 9, 7, 7, 1}, {4, 3});
  CHECK(accuracy(logits, Tensor::from<std::int64_t>({1, 0, 2, 0})) == 1.0);
  CHECK(accuracy(logits, Tensor::from<std::int64_t>({1, 0, 2, 1})) == 0.75);  // the first of equal logits counts
  CHECK(accuracy(logits.to(f64), Tensor::from<std::int32_t>({0, 1, 0, 2})) == 0.0);
  CHECK(accuracy(logits.slice(0, 0, 4, 2), Tensor::from<std::int64_t>({1, 2})) == 1.0);
  CHECK(accuracy(Tensor::from<float>({1, 2, 5, 4}, {1, 2, 2}), Tensor::from<std::int64_t>({1, 0}, {1, 2})) == 1.0);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  CHECK(accuracy(Tensor::from<float>({nan, 2, 1, nan}, {2, 2}), Tensor::from<std::int64_t>({1, 0})) == 0.0);
}

TEST_CASE("accuracy refuses what does not fit") {
  const auto at = SourceLocation::current();
  const Tensor logits = zeros({2, 3});
  const auto error = [&](const Tensor& x, const Tensor& labels) {
    return error_of([&] { accuracy(x, labels, at); }, at);
  };
  CHECK(error(Tensor(), zeros({2}, i64)) == "accuracy: the logits are an empty handle, at here");
  CHECK(error(logits, Tensor()) == "accuracy: the labels are an empty handle, at here");
  CHECK(error(logits, zeros({3}, i64)) ==
        "accuracy: needs logits [..., classes] and labels [...], got logits f32[2, 3] and labels i64[3], at here");
  CHECK(error(logits, zeros({2, 3}, i64)) ==
        "accuracy: needs logits [..., classes] and labels [...], got logits f32[2, 3] and labels i64[2, 3], at here");
  CHECK(error(logits, zeros({2})) ==
        "accuracy: needs floating logits and integer labels, got logits f32[2, 3] and labels f32[2], at here");
  CHECK(error(zeros({2, 3}, i64), zeros({2}, i64)) ==
        "accuracy: needs floating logits and integer labels, got logits i64[2, 3] and labels i64[2], at here");
  CHECK(error(zeros({0, 3}), zeros({0}, i64)) ==
        "accuracy: there is no example in logits f32[0, 3] and labels i64[0], at here");
  CHECK(error(logits, Tensor::from<std::int64_t>({0, 3})) ==
        "accuracy: label 3 at position 1 is not one of 3 classes, at here");
  CHECK(error(logits, Tensor::from<std::int64_t>({-1, 0})) ==
        "accuracy: label -1 at position 0 is not one of 3 classes, at here");
}
