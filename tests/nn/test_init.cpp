// Initial values: bounds, variances, orthogonality, seeds, errors.
#include <cmath>
#include <functional>

#include "autograd/create.h"
#include "autograd/ops/pointwise.h"
#include "nn/init.h"
#include "tests/catch.h"
#include "tests/error_of.h"

using namespace tapegrad;
using tapegrad::tests::error_of;

namespace {

struct Moments {
  double mean = 0;
  double variance = 0;
  double largest = 0;  // distance from the mean wanted
};

Moments moments(const Parameter& p, double center = 0) {
  Moments m;
  const Tensor x = p.value().to(f64);
  const auto elements = x.span<const double>();
  for (double v : elements) m.mean += v / static_cast<double>(elements.size());
  for (double v : elements) {
    m.variance += (v - m.mean) * (v - m.mean) / static_cast<double>(elements.size());
    m.largest = std::max(m.largest, std::abs(v - center));
  }
  return m;
}

// 120,000 elements: fan-in 300, fan-out 400 (as a convolution: 3 * 4 * 25 and 400 * 3 * 4).
Parameter matrix() { return Parameter(zeros({400, 300})); }
Parameter convolution() { return Parameter(zeros({400, 3, 4, 25})); }

// Five standard errors.
constexpr double mean_error = 5 / 346.0;
constexpr double variance_error = 5 * 1.4143 / 346.0;

void check_uniform(const Parameter& p, double bound) {
  const Moments m = moments(p);
  CHECK(m.largest <= bound * (1 + 1e-6));
  CHECK(m.largest > bound * 0.999);
  CHECK(std::abs(m.mean) < mean_error * bound / std::sqrt(3));
  CHECK(m.variance == Approx(bound * bound / 3).epsilon(variance_error));
}

void check_normal(const Parameter& p, double std, double mean = 0) {
  const Moments m = moments(p, mean);
  CHECK(m.largest > 3.7 * std);
  CHECK(m.largest < 6.4 * std);
  CHECK(std::abs(m.mean - mean) < mean_error * std);
  CHECK(m.variance == Approx(std * std).epsilon(variance_error));
}

}  // namespace

TEST_CASE("uniform, normal and constant initial values") {
  random::seed(11);
  Parameter p = matrix();
  nn::init::uniform(p, {.low = -0.5, .high = 0.5});
  check_uniform(p, 0.5);
  nn::init::uniform(p);
  CHECK(moments(p).mean == Approx(0.5).epsilon(0.01));
  nn::init::normal(p, {.mean = 2, .std = 0.02});
  check_normal(p, 0.02, 2);
  nn::init::constant(p, 0.25);
  CHECK(moments(p, 0.25).largest == 0);
}

TEST_CASE("Xavier's and He's initial values have the variance of their formula") {
  random::seed(12);
  Parameter p = matrix();
  nn::init::xavier_uniform(p, {.gain = 2});
  check_uniform(p, 2 * std::sqrt(6.0 / 700));
  nn::init::xavier_normal(p);
  check_normal(p, std::sqrt(2.0 / 700));
  nn::init::he_uniform(p);
  check_uniform(p, std::sqrt(6.0 / 300));
  nn::init::he_uniform(p, {.slope = std::sqrt(5.0)});
  check_uniform(p, 1 / std::sqrt(300.0));
  nn::init::he_normal(p, {.fan = nn::init::Fan::out});
  check_normal(p, std::sqrt(2.0 / 400));
}

TEST_CASE("fans of a convolution's weight count its window") {
  random::seed(13);
  Parameter p = convolution();
  nn::init::he_normal(p);
  check_normal(p, std::sqrt(2.0 / 300));
  nn::init::xavier_uniform(p);
  check_uniform(p, std::sqrt(6.0 / (300 + 4800)));
}

TEST_CASE("orthogonal initial values are orthogonal, whichever side is longer") {
  random::seed(14);
  for (const Shape& shape : {Shape{7, 20}, Shape{20, 7}, Shape{9, 9}, Shape{6, 2, 5}, Shape{1, 1}}) {
    Parameter p(zeros(shape, f64));
    nn::init::orthogonal(p, {.gain = 3});
    const std::int64_t rows = shape[0];
    const std::int64_t columns = shape.size() / rows;
    const auto x = p.value().span<const double>();
    const bool by_rows = rows <= columns;
    const std::int64_t count = by_rows ? rows : columns;
    const std::int64_t length = by_rows ? columns : rows;
    const auto at = [&](std::int64_t vector, std::int64_t k) {
      return x[static_cast<std::size_t>(by_rows ? vector * columns + k : k * columns + vector)];
    };
    double worst = 0;
    for (std::int64_t a = 0; a < count; ++a) {
      for (std::int64_t b = 0; b < count; ++b) {
        double dot = 0;
        for (std::int64_t k = 0; k < length; ++k) dot += at(a, k) * at(b, k);
        worst = std::max(worst, std::abs(dot - (a == b ? 9 : 0)));
      }
    }
    CHECK(worst < 1e-13);
  }
}

TEST_CASE("custom initial values, and one generator per call") {
  Parameter p(zeros({2, 3}));
  nn::init::custom(p, [](const Shape& shape) { return full(shape, 7); });
  CHECK(array_equal(p, full({2, 3}, 7)));

  random::Generator generator(5);
  random::Generator same(5);
  Parameter q(zeros({2, 3}, f64));
  Parameter r(zeros({2, 3}, f64));
  const random::Generator before = random::state();
  nn::init::normal(q, {.generator = &generator});
  nn::init::normal(r, {.generator = &same});
  CHECK(array_equal(q, r));
  nn::init::normal(r, {.generator = &same});
  CHECK_FALSE(array_equal(q, r));
  CHECK(random::state() == before);
}

TEST_CASE("errors of initial values") {
  Parameter bias(zeros({3}));
  CHECK(error_of([&] { nn::init::he_normal(bias); }) ==
        "init::he_normal: the parameter must have two axes or more, it is f32[3], at here; biases usually start at "
        "constant(parameter, 0)");
  CHECK_THAT(error_of([&] { nn::init::orthogonal(bias); }),
             StartsWith("init::orthogonal: the parameter must have two"));
  Parameter empty;
  CHECK(error_of([&] { nn::init::uniform(empty); }) ==
        "init::uniform: the parameter is empty, so it has no shape, at here");
  CHECK(error_of([&] { nn::init::custom(bias, [](const Shape&) { return zeros({4}); }); }) ==
        "Parameter::assign: f32[3] cannot take the values of f32[4], at here");
}
