#include <algorithm>
#include <vector>

#include "autograd/create.h"
#include "autograd/random.h"
#include "nn/batches.h"
#include "tests/catch.h"
#include "tests/error_of.h"

using namespace tapegrad;
using tapegrad::tests::error_of;

namespace {

/// Example i has image [i, i + 0.5] and label i.
Dataset numbered(std::int64_t n) {
  Dataset data{Tensor::empty({n, 2}), arange(static_cast<double>(n), i64)};
  auto image = data.images.span<float>();
  for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
    image[2 * i] = static_cast<float>(i);
    image[2 * i + 1] = static_cast<float>(i) + 0.5f;
  }
  return data;
}

/// All labels, in the order of the batches; checks on the way that images and labels stay together.
std::vector<std::int64_t> labels_of(const Batches& range) {
  std::vector<std::int64_t> all;
  for (const auto& [images, labels] : range) {
    REQUIRE(images.shape(0) == labels.shape(0));
    for (std::int64_t i = 0; i < labels.size(); ++i) {
      REQUIRE(images.at({i, 0}) == labels.at({i}));
      REQUIRE(images.at({i, 1}) == labels.at({i}) + 0.5);
      all.push_back(static_cast<std::int64_t>(labels.at({i})));
    }
  }
  return all;
}

std::vector<std::int64_t> in_order(std::int64_t n) {
  std::vector<std::int64_t> numbers;
  for (std::int64_t i = 0; i < n; ++i) numbers.push_back(i);
  return numbers;
}

}  // namespace

TEST_CASE("batches come in order and the last one may be smaller") {
  std::vector<std::int64_t> sizes;
  for (auto [images, labels] : batches(numbered(10), {.size = 4})) sizes.push_back(labels.size());
  CHECK(sizes == std::vector<std::int64_t>{4, 4, 2});
  CHECK(labels_of(batches(numbered(10), {.size = 4})) == in_order(10));
  CHECK(batches(numbered(10), {.size = 4}).size() == 3);
  CHECK(batches(numbered(10), {.size = 100}).size() == 1);
  CHECK(labels_of(batches(numbered(3), {.size = 100})) == in_order(3));
}

TEST_CASE("drop_last leaves an incomplete batch out") {
  CHECK(labels_of(batches(numbered(10), {.size = 4, .drop_last = true})) == in_order(8));
  CHECK(labels_of(batches(numbered(8), {.size = 4, .drop_last = true})) == in_order(8));
  CHECK(batches(numbered(3), {.size = 4, .drop_last = true}).size() == 0);
}

TEST_CASE("a shuffled range has every example once") {
  const std::vector<std::int64_t> order = labels_of(batches(numbered(1000), {.size = 32, .shuffle = true}));
  CHECK(order != in_order(1000));
  std::vector<std::int64_t> sorted = order;
  std::ranges::sort(sorted);
  CHECK(sorted == in_order(1000));
}

TEST_CASE("the order of a seeded range depends on the seed and the epoch only") {
  const Dataset data = numbered(100);
  const auto order = [&](std::uint64_t seed, std::uint32_t epoch) {
    return labels_of(batches(data, {.size = 7, .shuffle = true, .seed = seed, .epoch = epoch}));
  };
  const auto first = order(5, 0);
  random::uniform({3});  // a seeded range does not use the default generator
  CHECK(order(5, 0) == first);
  CHECK(order(5, 1) != first);
  CHECK(order(6, 0) != first);
}

TEST_CASE("without a seed, each range has a new order, which random::seed repeats") {
  const Dataset data = numbered(100);
  const auto order = [&] { return labels_of(batches(data, {.size = 7, .shuffle = true})); };
  const random::Generator before = random::state();
  random::seed(1);
  const auto first = order();
  const auto second = order();
  random::seed(1);
  CHECK(order() == first);
  CHECK(order() == second);
  CHECK(first != second);
  random::set_state(before);
}

TEST_CASE("a range can be walked twice and gives the same batches") {
  const Batches range = batches(numbered(20), {.size = 6, .shuffle = true});
  CHECK(labels_of(range) == labels_of(range));
}

TEST_CASE("batches are tensors of their own") {
  Dataset data = numbered(4);
  for (auto [images, labels] : batches(data, {.size = 4})) images.span<float>()[0] = 99;
  CHECK(data.images.at({0, 0}) == 0);
}

TEST_CASE("batches take any two tensors, also views and other dtypes") {
  const Tensor inputs = arange(0, 12, 1, f64).slice(0, 0, 12, 2);
  const Tensor targets = arange(6, i32);
  for (auto [x, y] : batches(inputs, targets, {.size = 6})) {
    CHECK(x.dtype() == f64);
    CHECK(y.dtype() == i32);
    CHECK(x.at({5}) == 10);
    CHECK(y.at({5}) == 5);
  }
}

TEST_CASE("batches without elements per example still count the examples") {
  int count = 0;
  for (auto [x, y] : batches(zeros({5, 0}), zeros({5}, i64), {.size = 2})) {
    CHECK(x.shape(1) == 0);
    ++count;
  }
  CHECK(count == 3);
}

TEST_CASE("batches refuse what cannot be cut into batches") {
  const auto at = SourceLocation::current();
  CHECK(error_of([&] { batches(numbered(0), {}, at); }, at) == "batches: the data set is empty: f32[0, 2], at here");
  CHECK(error_of([&] { batches(numbered(3), {.size = 0}, at); }, at) ==
        "batches: size is 0; it must be at least 1, at here");
  CHECK(error_of([&] { batches(numbered(3), {.size = -4}, at); }, at) ==
        "batches: size is -4; it must be at least 1, at here");
  CHECK(error_of(
            [&] {
              batches(zeros({3, 2}), zeros({4}), {}, at);
            },
            at) == "batches: f32[3, 2] has 3 examples and f32[4] has 4, at here");
  CHECK(error_of([&] { batches(zeros({}), zeros({}), {}, at); }, at) ==
        "batches: the first axis counts the examples, but got f32[] and f32[], at here");
  CHECK(error_of([&] { batches(Dataset{}, {}, at); }, at) == "batches: the data set holds no tensors, at here");
}
