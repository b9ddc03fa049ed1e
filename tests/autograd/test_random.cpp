// The generator and the distributions.
#include <algorithm>
#include <bit>
#include <cmath>
#include <set>

#include "autograd/create.h"
#include "autograd/random.h"
#include "autograd/thread_pool.h"
#include "tests/catch.h"
#include "tests/error_of.h"

using namespace tapegrad;
using random::Generator;
using tests::error_of;

namespace {

struct Moments {
  double mean = 0;
  double variance = 0;
  double skewness = 0;
  double kurtosis = 0;
};

Moments moments_of(const Tensor& x) {
  const auto values = x.span<const double>();
  const auto n = static_cast<double>(values.size());
  Moments m;
  for (double v : values) m.mean += v / n;
  double third = 0;
  double fourth = 0;
  for (double v : values) {
    const double d = v - m.mean;
    m.variance += d * d / n;
    third += d * d * d / n;
    fourth += d * d * d * d / n;
  }
  m.skewness = third / std::pow(m.variance, 1.5);
  m.kurtosis = fourth / (m.variance * m.variance);
  return m;
}

// FNV-1a over the bytes: changes with any bit.
std::uint64_t hash_of(const Tensor& x) {
  const auto* bytes = static_cast<const unsigned char*>(x.data());
  std::uint64_t hash = 0xCBF29CE484222325;
  for (std::int64_t i = 0; i < x.size() * static_cast<std::int64_t>(size_of(x.dtype())); ++i) {
    hash = (hash ^ bytes[i]) * 0x100000001B3;
  }
  return hash;
}

std::uint64_t hash_of_all_distributions() {
  Generator g(2011, 3);
  std::uint64_t hash = 0;
  for (DType type : {f32, f64}) {
    hash = 31 * hash + hash_of(random::uniform({1001}, {.low = -0.3, .high = 0.7, .dtype = type, .generator = &g}));
    hash = 31 * hash + hash_of(random::normal({10001}, {.mean = 1, .std = 0.1, .dtype = type, .generator = &g}));
  }
  hash = 31 * hash + hash_of(random::integers(-5, 1000, {101}, {.generator = &g}));
  return 31 * hash + hash_of(random::permutation(101, {.generator = &g}));
}

}  // namespace

TEST_CASE("Philox gives the known answers") {
  // The vectors of Random123 1.09 (kat_vectors) for philox4x32-10.
  CHECK(random::philox({0, 0, 0, 0}, {0, 0}) == random::PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  constexpr std::uint32_t all = 0xffffffff;
  CHECK(random::philox({all, all, all, all}, {all, all}) ==
        random::PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(random::philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        random::PhiloxCounter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("a generator is a value: seed, stream, position") {
  Generator a(7);
  Generator b = a;
  const Tensor first = random::uniform({5}, {.generator = &a});
  CHECK(a.position() == 1);
  CHECK(b.position() == 0);
  CHECK(array_equal(random::uniform({5}, {.generator = &b}), first));
  CHECK(a == b);
  const Tensor second = random::uniform({5}, {.generator = &a});
  CHECK_FALSE(array_equal(first, second));
  Generator again(7, 0, 1);
  CHECK(array_equal(random::uniform({5}, {.generator = &again}), second));
  Generator stream(7, 1);
  CHECK_FALSE(array_equal(random::uniform({5}, {.generator = &stream}), first));
  Generator high_seed(7 + (std::uint64_t{1} << 32));
  CHECK_FALSE(array_equal(random::uniform({5}, {.generator = &high_seed}), first));
}

TEST_CASE("an element depends on its index, not on the size of the draw") {
  for (std::int64_t n : {1, 2, 3, 4, 5, 1000}) {
    Generator a(1);
    Generator b(1);
    const Tensor some = random::normal({n}, {.generator = &a});
    const Tensor many = random::normal({100000}, {.generator = &b});
    CHECK(array_equal(some, Tensor::view(many, {n}, std::array<std::int64_t, 1>{1}, 0)));
    CHECK(a == b);
  }
}

TEST_CASE("a draw of more than 2^32 blocks takes more than one position") {
  CHECK(Generator::positions_for(0) == 1);
  CHECK(Generator::positions_for(std::uint64_t{1} << 32) == 1);
  CHECK(Generator::positions_for((std::uint64_t{1} << 32) + 1) == 2);
  Generator g(3, 0, 10);
  CHECK(g.block(std::uint64_t{1} << 32) == Generator(3, 0, 11).block(0));
  CHECK(g.block(5) != Generator(3, 0, 11).block(5));
}

TEST_CASE("the default generator is seeded, saved and put back") {
  const Generator before = random::state();
  random::seed(42);
  CHECK(random::state() == Generator(42));
  const Tensor a = random::normal({3});
  const Tensor b = random::normal({3});
  CHECK_FALSE(array_equal(a, b));
  random::set_state(Generator(42, 0, 1));
  CHECK(array_equal(random::normal({3}), b));
  random::seed(42);
  CHECK(array_equal(random::normal({3}), a));
  Generator own(42);
  CHECK(array_equal(random::normal({3}, {.generator = &own}), a));
  random::set_state(Generator(42, 9, 0));
  Generator stream(42, 9);
  CHECK(array_equal(random::uniform({3}), random::uniform({3}, {.generator = &stream})));
  random::set_state(before);
}

TEST_CASE("the same bits everywhere, with any number of threads") {
  const int threads = num_threads();
  for (int n : {1, 2, 5}) {
    set_num_threads(n);
    // Written down once; it may not change with the compiler, the instruction set, the C library or a release.
    CHECK(hash_of_all_distributions() == 0xC29B08A8E793EB7C);
  }
  set_num_threads(threads);
}

TEST_CASE("uniform") {
  Generator g(11);
  const Tensor x = random::uniform({200000}, {.dtype = f64, .generator = &g});
  const Moments m = moments_of(x);
  CHECK(m.mean == Approx(0.5).margin(0.003));
  CHECK(m.variance == Approx(1.0 / 12).margin(0.001));
  CHECK(m.skewness == Approx(0).margin(0.02));
  CHECK(m.kurtosis == Approx(1.8).margin(0.02));
  const auto [low, high] = std::minmax_element(x.span<const double>().begin(), x.span<const double>().end());
  CHECK(*low >= 0);
  CHECK(*low < 0.0001);
  CHECK(*high < 1);
  CHECK(*high > 0.9999);

  // The largest 24-bit fraction would round up to the excluded end.
  const Tensor narrow = random::uniform({100000}, {.low = 1, .high = 1 + 0x1p-22, .generator = &g});
  std::set<float> seen(narrow.span<const float>().begin(), narrow.span<const float>().end());
  CHECK(seen == std::set<float>{1.0F, 1.0F + 0x1p-23F});
  CHECK(describe(random::uniform({2, 3})) == "f32[2, 3]");
  CHECK(random::uniform({0, 3}).size() == 0);
  CHECK(random::uniform({}, {.low = 5, .high = 6}).item() >= 5);

  const std::string hint = ", at here; both must be finite, and low below high";
  CHECK(error_of([] { random::uniform({2}, {.low = 1, .high = 1}); }) ==
        "uniform: low 1 and high 1 are no range" + hint);
  CHECK(error_of([] { random::uniform({2}, {.low = -1e308, .high = 1e308}); }) ==
        "uniform: low -1e+308 and high 1e+308 are no range" + hint);
  CHECK(error_of([] { random::uniform({2}, {.low = std::nan("")}); }) ==
        "uniform: low nan and high 1 are no range" + hint);
  CHECK(error_of([] { random::uniform({2}, {.dtype = i32}); }) == "uniform: the dtype is i32, not f32 or f64, at here");
}

TEST_CASE("normal") {
  Generator g(12);
  for (DType type : {f32, f64}) {
    const Tensor drawn = random::normal({400000}, {.mean = 3, .std = 2, .dtype = type, .generator = &g});
    Tensor x = drawn;
    if (type == f32) {
      x = Tensor::empty(drawn.shape(), f64);
      std::copy_n(drawn.data<float>(), drawn.size(), x.data<double>());
    }
    const Moments m = moments_of(x);
    CHECK(m.mean == Approx(3).margin(0.015));
    CHECK(m.variance == Approx(4).margin(0.04));
    CHECK(m.skewness == Approx(0).margin(0.02));
    CHECK(m.kurtosis == Approx(3).margin(0.04));
    // The share within one, two and three deviations.
    const auto share = [&](double deviations) {
      const auto values = x.span<const double>();
      return static_cast<double>(std::count_if(values.begin(), values.end(),
                                               [&](double v) { return std::abs(v - 3) < 2 * deviations; })) /
             static_cast<double>(values.size());
    };
    CHECK(share(1) == Approx(0.682689).margin(0.003));
    CHECK(share(2) == Approx(0.954500).margin(0.0015));
    CHECK(share(3) == Approx(0.997300).margin(0.0004));
    CHECK(share(7) == 1);
  }
  CHECK(random::normal({}, {.mean = 4, .std = 0}).item() == 4);

  const std::string hint = ", at here; both must be finite, and std not negative";
  CHECK(error_of([] { random::normal({2}, {.std = -1}); }) == "normal: mean 0 and std -1 are no distribution" + hint);
  CHECK(error_of([] { random::normal({2}, {.mean = HUGE_VAL}); }) ==
        "normal: mean inf and std 1 are no distribution" + hint);
  CHECK(error_of([] { random::normal({2}, {.dtype = boolean}); }) ==
        "normal: the dtype is boolean, not f32 or f64, at here");
}

TEST_CASE("normal inverts the distribution function") {
  // Element 0 of an f64 draw comes from a known number u; then erfc(-x / sqrt(2)) / 2 must give u back.
  for (std::uint64_t seed = 0; seed < 20000; ++seed) {
    Generator g(seed);
    const random::PhiloxCounter bits = g.block(0);
    const std::uint64_t word = std::uint64_t{bits[1]} << 32 | bits[0];
    const double u = (static_cast<double>(word >> 12) + 0.5) * 0x1p-52;
    const double x = random::normal({1}, {.dtype = f64, .generator = &g}).item();
    REQUIRE(0.5 * std::erfc(-x / std::sqrt(2.0)) == Approx(u).epsilon(1e-14));
  }
}

TEST_CASE("integers") {
  Generator g(13);
  const Tensor x = random::integers(-2, 4, {60000}, {.generator = &g});
  CHECK(x.dtype() == i64);
  std::array<int, 6> counts{};
  for (std::int64_t v : x.span<const std::int64_t>()) {
    REQUIRE((v >= -2 && v < 4));
    ++counts[static_cast<std::size_t>(v + 2)];
  }
  for (int count : counts) CHECK(std::abs(count - 10000) < 400);

  const std::int64_t lowest = std::numeric_limits<std::int64_t>::min();
  const std::int64_t highest = std::numeric_limits<std::int64_t>::max();
  const Tensor wide = random::integers(lowest, highest, {1000}, {.generator = &g});
  CHECK(std::abs(std::count_if(wide.span<const std::int64_t>().begin(), wide.span<const std::int64_t>().end(),
                               [](std::int64_t v) { return v < 0; }) -
                 500) < 80);
  CHECK(random::integers(highest - 1, highest, {1}).span<const std::int64_t>()[0] == highest - 1);
  CHECK(describe(random::integers(0, 10, {2}, {.dtype = i32})) == "i32[2]");

  CHECK(error_of([] { random::integers(3, 3, {1}); }) ==
        "integers: there are none between low 3 and high 3, at here; low must be below high");
  CHECK(error_of([] { random::integers(0, 3000000000, {1}, {.dtype = i32}); }) ==
        "integers: i32 cannot hold low 0 and high 3000000000, at here");
  CHECK(error_of([] { random::integers(0, 3, {1}, {.dtype = f32}); }) ==
        "integers: the dtype is f32, not i32 or i64, at here");
}

TEST_CASE("permutation") {
  Generator g(14);
  for (std::int64_t n : {0, 1, 2, 7, 1000}) {
    Tensor x = random::permutation(n, {.generator = &g});
    CHECK(x.dtype() == i64);
    const auto values = x.span<std::int64_t>();
    std::sort(values.begin(), values.end());
    CHECK(array_equal(x, arange(static_cast<double>(n), i64)));
  }
  // All orders of three are about as frequent.
  std::array<int, 27> counts{};
  for (int i = 0; i < 6000; ++i) {
    const Tensor x = random::permutation(3, {.generator = &g});
    ++counts[static_cast<std::size_t>(9 * x.at({0}) + 3 * x.at({1}) + x.at({2}))];
  }
  int orders = 0;
  for (int count : counts) {
    if (count == 0) continue;
    ++orders;
    CHECK(std::abs(count - 1000) < 130);
  }
  CHECK(orders == 6);
  CHECK(error_of([] { random::permutation(-1); }) == "shape [-1] has a negative size, at here");
}
