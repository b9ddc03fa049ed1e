// Dropout: values, the mask in every derivative, threads, errors. Its words are tested in tests/kernels.
#include "autograd/ops/dropout.h"

#include <cmath>

#include "autograd/gradcheck.h"
#include "autograd/thread_pool.h"
#include "autograd/transforms.h"
#include "tests/autograd/op_support.h"

using namespace op_test;
using random::Generator;

namespace {

// The mask of a draw by a plain loop: element 64 g + 16 k + j takes word k of block 16 g + j.
std::vector<bool> plain_mask(Generator draw, std::int64_t n, double p) {
  std::vector<bool> kept;
  for (std::int64_t i = 0; i < n; ++i) {
    const auto block = draw.block(static_cast<std::uint64_t>(i / 64 * 16 + i % 16));
    kept.push_back(block[static_cast<std::size_t>(i % 64 / 16)] >= p * 0x1p32);
  }
  return kept;
}

}  // namespace

TEMPLATE_TEST_CASE("dropout drops by its words and scales what stays", "[dropout]", float, double) {
  const DType type = std::is_same_v<TestType, float> ? f32 : f64;
  const Tensor x = irregular({7, 31}, 1, type);
  for (double p : {0.1, 0.25, 0.5, 0.9}) {
    Generator generator(3, 2, 5);
    const Generator before = generator;
    const Tensor y = dropout(x, p, &generator);
    const std::vector<bool> kept = plain_mask(before, x.size(), p);
    for (std::int64_t i = 0; i < x.size(); ++i) {
      const TestType expected =
          kept[static_cast<std::size_t>(i)] ? x.data<TestType>()[i] * static_cast<TestType>(1 / (1 - p)) : 0;
      REQUIRE(y.data<TestType>()[i] == expected);
    }
    CHECK(generator.position() == before.position() + 1);
    CHECK_FALSE(same_bits(dropout(x, p, &generator), y));
  }
}

TEST_CASE("dropout keeps the mean and drops with its probability", "[dropout]") {
  const Tensor x = ones({1000000});
  for (double p : {0.1, 0.5, 0.999}) {
    Generator generator(11);
    const Tensor y = dropout(x, p, &generator);
    double kept = 0;
    double total = 0;
    for (float v : y.span<const float>()) {
      kept += v != 0;
      total += static_cast<double>(v);
    }
    const double n = 1e6;
    const double deviation = std::sqrt(p * (1 - p) / n);
    CHECK(std::abs(kept / n - (1 - p)) < 5 * deviation);
    CHECK(std::abs(total / n - 1) < 5 * deviation / (1 - p));
  }
}

TEST_CASE("the ends: p = 0 returns x and draws nothing, p = 1 gives zeros", "[dropout]") {
  Generator generator(1);
  const Tensor x = Tensor::from({1.0f, INFINITY, NAN});
  CHECK(dropout(x, 0, &generator).block() == x.block());
  CHECK(generator == Generator(1));
  CHECK(array_equal(dropout(x, 1, &generator), zeros({3})));
  CHECK(dropout(zeros({0, 3}), 0.5, &generator).shape() == Shape{0, 3});
  // So close to 1 that no word is below: something may still stay.
  CHECK(dropout(ones({4}, f64), std::nextafter(1.0, 0.0), &generator).shape() == Shape{4});

  Tape tape;
  Tensor v = ones({3});
  tape.watch(v);
  const std::size_t before = tape.size();
  CHECK(dropout(v, 0).block() == v.block());
  CHECK(tape.size() == before);
  CHECK(array_equal(tape.gradient(sum(dropout(v, 1)), v), zeros({3})));
}

TEST_CASE("every derivative of dropout applies the same mask, and none is kept", "[dropout]") {
  Generator generator(8);
  Generator again = generator;
  const Tensor scale = dropout(ones({33, 5}, f64), 0.4, &again);
  Tensor x = irregular({33, 5});
  const Tensor g = irregular({33, 5}, 2);
  Tape tape;
  tape.watch(x);
  const std::size_t saved = tape.statistics().saved_bytes;
  const Tensor y = dropout(x, 0.4, &generator);
  CHECK(tape.statistics().saved_bytes == saved);
  CHECK(array_equal(y, x * scale));
  CHECK(array_equal(tape.gradient(y, x, {.seed = g}), g * scale));

  const auto f = [](Arg v) {
    Generator own(8);
    return square(dropout(v, 0.4, &own));
  };
  const Tensor u = irregular({33, 5}, 3);
  CHECK(is_close(jvp(f, x, u).tangent, 2 * x * scale * scale * u));
  CHECK(is_close(hvp([&](Arg v) { return sum(f(v)); }, x, u), 2 * scale * scale * u));
}

TEST_CASE("gradcheck of dropout, with random numbers that start anew in every call", "[dropout]") {
  const Tensor x = irregular({4, 3, 5});
  const auto seeded = [](auto op) {
    return [op](Arg v) {
      random::seed(21);
      return op(tanh(v));
    };
  };
  const Generator before = random::state();
  CHECK(gradcheck(seeded([](Arg v) { return dropout(v, 0.3); }), x, {.second_order = true}));
  CHECK(gradcheck(seeded([](Arg v) { return channel_dropout(v, 0.3); }), x, {.second_order = true}));
  const GradcheckReport drawn_anew = gradcheck([](Arg v) { return dropout(v, 0.3); }, x);
  CHECK_FALSE(drawn_anew);
  CHECK_FALSE(drawn_anew.violations.empty());
  random::set_state(before);
}

TEST_CASE("channel_dropout drops a channel of a sample everywhere", "[dropout]") {
  const Tensor x = irregular({6, 3, 4, 10}, 1, f32) + 3;
  Generator generator(4);
  Generator again = generator;
  const Tensor y = channel_dropout(x, 0.5, &generator);
  const std::vector<bool> kept = plain_mask(again, 60, 0.5);
  CHECK(generator.position() == again.position() + 1);
  for (std::int64_t b = 0; b < 6; ++b) {
    for (std::int64_t place = 0; place < 12; ++place) {
      for (std::int64_t c = 0; c < 10; ++c) {
        const std::int64_t i = (b * 12 + place) * 10 + c;
        REQUIRE(y.data<float>()[i] == (kept[static_cast<std::size_t>(b * 10 + c)] ? 2 * x.data<float>()[i] : 0));
      }
    }
  }
  const Tensor infinite = full({2, 2, 3}, INFINITY);
  CHECK(array_equal(channel_dropout(infinite, 1), zeros({2, 2, 3})));
  CHECK(channel_dropout(x, 0).block() == x.block());
  CHECK(channel_dropout(zeros({0, 4, 2}), 0.5).shape() == Shape{0, 4, 2});
}

TEST_CASE("dropout has the same bits with any number of threads", "[dropout]") {
  const int threads = num_threads();
  const Tensor x = irregular({517, 1001}, 1, f32);
  const auto run = [&](int n) {
    set_num_threads(n);
    Generator generator(6);
    return dropout(x, 0.5, &generator);
  };
  const Tensor one = run(1);
  for (int n : {2, 3, 7}) CHECK(same_bits(run(n), one));
  set_num_threads(threads);
}

TEST_CASE("errors of dropout", "[dropout]") {
  CHECK(error_of([] { dropout(zeros({2}), 1.5); }) ==
        "dropout: the probability p must be in [0, 1], it is 1.5, at here");
  CHECK(error_of([] { dropout(zeros({2}), NAN); }) ==
        "dropout: the probability p must be in [0, 1], it is nan, at here");
  CHECK(error_of([] { dropout(arange(3, i64), 0.5); }) ==
        "dropout: i64[3] holds integers, at here; convert it with to(f32)");
  CHECK(error_of([] { dropout(Tensor(), 0.5); }) == "dropout: input 0 is an empty handle, at here");
  CHECK(
      error_of([] {
        channel_dropout(zeros({2, 3}), 0.5);
      }) ==
      "channel_dropout: x must be [batch, ..., channels] in floating point, with three axes or more; it is f32[2, 3], "
      "at here; dropout() drops single elements of any tensor");
}
