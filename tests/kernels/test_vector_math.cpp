// The elementary functions of the selected instruction set against long double: largest errors in units of the last
// place, special values, and the same bits at every position.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <limits>
#include <numbers>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "autograd/kernels/table.h"
#include "tests/catch.h"

using namespace tapegrad;
using kernels::Primitive;

namespace {

template <class T>
constexpr T infinity = std::numeric_limits<T>::infinity();
template <class T>
constexpr T nan_value = std::numeric_limits<T>::quiet_NaN();

template <class T>
using BitsOf = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;

template <class T>
kernels::BlockFunction function_of(Primitive primitive, unsigned scalars = 0) {
  return kernels::table().block[sizeof(T) == 8][static_cast<std::size_t>(primitive)][scalars];
}

template <class T>
std::vector<T> evaluate(Primitive primitive, const std::vector<T>& a, const std::vector<T>& b = {}) {
  std::vector<T> out(a.size());
  function_of<T>(primitive)(out.data(), a.data(), b.data(), nullptr, nullptr, a.size());
  return out;
}

/// Equal, as zeros of one sign too, or both NaN.
template <class T>
bool same_value(T x, T y) {
  return std::isnan(x) ? std::isnan(y) : std::bit_cast<BitsOf<T>>(x) == std::bit_cast<BitsOf<T>>(y);
}

/// The distance in units of the last place of the exact value.
template <class T>
double ulps(T got, long double exact) {
  const T rounded = static_cast<T>(exact);
  if (std::isnan(rounded) || std::isnan(got)) return std::isnan(rounded) == std::isnan(got) ? 0 : 1e30;
  if (std::isinf(rounded) || std::isinf(got)) {
    // Next to the overflow, the largest number and infinity are neighbours.
    const T largest = std::numeric_limits<T>::max();
    return rounded == got || std::abs(rounded) == largest || std::abs(got) == largest ? 0 : 1e30;
  }
  const int exponent = std::max(std::ilogb(rounded == T(0) ? std::numeric_limits<T>::denorm_min() : rounded),
                                std::numeric_limits<T>::min_exponent - 1);
  const long double unit = std::ldexp(1.0L, exponent - std::numeric_limits<T>::digits + 1);
  return static_cast<double>(std::abs(static_cast<long double>(got) - exact) / unit);
}

struct Range {
  double low;
  double high;
};

/// Uniform numbers of each range, numbers of all magnitudes, and special values at random places between them.
template <class T>
std::vector<T> arguments(const std::vector<Range>& ranges, std::size_t count, unsigned seed) {
  std::mt19937_64 engine(seed);
  std::vector<T> x;
  for (const Range range : ranges) {
    std::uniform_real_distribution<double> uniform(range.low, range.high);
    for (std::size_t i = 0; i < count; ++i) x.push_back(static_cast<T>(uniform(engine)));
  }
  while (x.size() < (ranges.size() + 1) * count) {
    const T any = std::bit_cast<T>(static_cast<BitsOf<T>>(engine()));
    if (std::isfinite(any)) x.push_back(any);
  }
  using Limits = std::numeric_limits<T>;
  for (const T special : {T(0), T(-0.0), T(1), T(-1), infinity<T>, -infinity<T>, nan_value<T>, Limits::max(),
                          Limits::lowest(), Limits::min(), -Limits::min(), Limits::denorm_min(), -Limits::denorm_min(),
                          Limits::epsilon(), T(0.5), T(2), T(-0.5)}) {
    for (int repeat = 0; repeat < 3; ++repeat) {
      x.insert(x.begin() + static_cast<std::ptrdiff_t>(engine() % x.size()), special);
    }
  }
  return x;
}

using Reference = long double (*)(long double);

struct Function {
  Primitive primitive;
  Reference exact;
  double limit_f32;
  double limit_f64;
  std::vector<Range> ranges;
};

long double exact_sigmoid(long double x) { return 1 / (1 + std::exp(-x)); }
long double exact_softplus(long double x) { return std::max(x, 0.0L) + std::log1p(std::exp(-std::abs(x))); }

std::vector<Function> functions() {
  const auto of = [](auto f) -> Reference { return f; };
  return {
      {Primitive::sqrt, of([](long double x) { return std::sqrt(x); }), 0.5, 0.501, {{0, 4}, {0, 1e30}}},
      {Primitive::rsqrt, of([](long double x) { return 1 / std::sqrt(x); }), 1.5, 1.5, {{0, 4}, {0, 1e30}}},
      {Primitive::reciprocal, of([](long double x) { return 1 / x; }), 0.5, 0.501, {{-2, 2}, {-1e30, 1e30}}},
      {Primitive::exp, of([](long double x) { return std::exp(x); }), 1.5, 1.5, {{-1, 1}, {-110, 95}, {-760, 720}}},
      {Primitive::expm1, of([](long double x) { return std::expm1(x); }), 2, 2, {{-1, 1}, {-30, 95}, {-760, 720}}},
      {Primitive::log, of([](long double x) { return std::log(x); }), 1.5, 1.5, {{0, 2}, {0.9, 1.1}, {0, 1e6}}},
      {Primitive::log1p, of([](long double x) { return std::log1p(x); }), 2, 2, {{-1, 1}, {-0.01, 0.01}, {0, 1e6}}},
      {Primitive::tanh, of([](long double x) { return std::tanh(x); }), 6, 3, {{-1, 1}, {-12, 12}, {-1e-3, 1e-3}}},
      {Primitive::sigmoid, exact_sigmoid, 2.5, 2.5, {{-1, 1}, {-20, 20}, {-760, 720}}},
      {Primitive::softplus, exact_softplus, 3, 3, {{-1, 1}, {-40, 40}, {-760, 720}}},
      {Primitive::erf, of([](long double x) { return std::erf(x); }), 6, 2, {{-1, 1}, {-7, 7}, {-1e-3, 1e-3}}},
      {Primitive::sin, of([](long double x) { return std::sin(x); }), 2.5, 2, {{-1, 1}, {-100, 100}, {-2e4, 2e4}}},
      {Primitive::cos, of([](long double x) { return std::cos(x); }), 2.5, 2, {{-1, 1}, {-100, 100}, {-2e4, 2e4}}},
      {Primitive::exp2,
       of([](long double x) { return std::exp2(x); }),
       1.5,
       1.5,
       {{-1, 1}, {-160, 130}, {-1080, 1030}}},
      {Primitive::log2, of([](long double x) { return std::log2(x); }), 2.5, 2.5, {{0, 2}, {0.9, 1.1}, {0, 1e6}}},
      {Primitive::sinh,
       of([](long double x) { return std::sinh(x); }),
       2.5,
       2.5,
       {{-1, 1}, {-5, 5}, {-90, 90}, {-711, 711}}},
      {Primitive::cosh,
       of([](long double x) { return std::cosh(x); }),
       2.5,
       2.5,
       {{-1, 1}, {-5, 5}, {-90, 90}, {-711, 711}}},
      {Primitive::erfc, of([](long double x) { return std::erfc(x); }), 4, 4, {{-1, 1}, {-6, 10}, {0, 28}}},
      {Primitive::tan, of([](long double x) { return std::tan(x); }), 4, 4, {{-1, 1}, {-100, 100}, {-2e4, 2e4}}},
      {Primitive::asin,
       of([](long double x) { return std::asin(x); }),
       4,
       4,
       {{-1, 1}, {-0.01, 0.01}, {0.4, 0.6}, {0.99, 1}}},
      {Primitive::acos,
       of([](long double x) { return std::acos(x); }),
       4,
       4,
       {{-1, 1}, {-0.6, -0.4}, {-1, -0.99}, {0.99, 1}}},
      {Primitive::atan, of([](long double x) { return std::atan(x); }), 4, 4, {{-1, 1}, {-5, 5}, {-1e3, 1e3}}},
  };
}

template <class T>
void check_function(const Function& function) {
  const std::vector<T> x = arguments<T>(function.ranges, 20000, 7);
  const std::vector<T> y = evaluate(function.primitive, x);
  double worst = 0;
  T worst_at = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double error = ulps(y[i], function.exact(static_cast<long double>(x[i])));
    if (error > worst) {
      worst = error;
      worst_at = x[i];
    }
  }
  if (std::getenv("TAPEGRAD_PRINT_ULPS")) {
    WARN(kernels::table().name << " " << name(function.primitive) << (sizeof(T) == 4 ? " f32 " : " f64 ") << worst);
  }
  INFO(name(function.primitive) << (sizeof(T) == 4 ? " f32" : " f64") << ": " << worst << " ulp at " << worst_at);
  CHECK(worst <= (sizeof(T) == 4 ? function.limit_f32 : function.limit_f64));
}

template <class T>
void check_positions(Primitive primitive) {
  const bool two = kernels::arity(primitive) == 2;
  const std::vector<T> a = arguments<T>({{-3, 3}, {-100, 100}}, 40, 3);
  const std::vector<T> b = arguments<T>({{-100, 100}, {-3, 3}}, 40, 4);
  const std::vector<T> whole = evaluate(primitive, a, b);
  const kernels::BlockFunction function = function_of<T>(primitive);
  INFO(name(primitive));
  for (std::size_t length = 1; length <= a.size(); length = length < 40 ? length + 1 : length * 2) {
    const std::size_t start = length % 5;
    if (start + length > a.size()) break;
    std::vector<T> out(length + 2, T(77));
    function(out.data() + 1, a.data() + start, two ? b.data() + start : nullptr, nullptr, nullptr, length);
    REQUIRE(out.front() == T(77));
    REQUIRE(out.back() == T(77));
    for (std::size_t i = 0; i < length; ++i) REQUIRE(same_value(out[i + 1], whole[start + i]));
  }
  std::vector<T> in_place = a;
  function(in_place.data(), in_place.data(), b.data(), nullptr, nullptr, a.size());
  for (std::size_t i = 0; i < a.size(); ++i) REQUIRE(same_value(in_place[i], whole[i]));
}

template <class T>
void check_limits() {
  const T inf = infinity<T>;
  struct Case {
    Primitive primitive;
    T at;
    T value;
  };
  const Case cases[] = {
      {Primitive::exp, T(0), T(1)},
      {Primitive::exp, inf, inf},
      {Primitive::exp, -inf, T(0)},
      {Primitive::exp, T(1000), inf},
      {Primitive::exp, T(-1000), T(0)},
      {Primitive::expm1, T(-0.0), T(-0.0)},
      {Primitive::expm1, -inf, T(-1)},
      {Primitive::expm1, inf, inf},
      {Primitive::log, T(1), T(0)},
      {Primitive::log, T(0), -inf},
      {Primitive::log, T(-0.0), -inf},
      {Primitive::log, inf, inf},
      {Primitive::log, T(-1), nan_value<T>},
      {Primitive::log1p, T(-0.0), T(-0.0)},
      {Primitive::log1p, T(-1), -inf},
      {Primitive::log1p, T(-2), nan_value<T>},
      {Primitive::log1p, inf, inf},
      {Primitive::tanh, T(-0.0), T(-0.0)},
      {Primitive::tanh, inf, T(1)},
      {Primitive::tanh, -inf, T(-1)},
      {Primitive::sigmoid, T(0), T(0.5)},
      {Primitive::sigmoid, inf, T(1)},
      {Primitive::sigmoid, -inf, T(0)},
      {Primitive::softplus, inf, inf},
      {Primitive::softplus, -inf, T(0)},
      {Primitive::erf, T(-0.0), T(-0.0)},
      {Primitive::erf, inf, T(1)},
      {Primitive::erf, -inf, T(-1)},
      {Primitive::sin, T(-0.0), T(-0.0)},
      {Primitive::sin, inf, nan_value<T>},
      {Primitive::cos, T(0), T(1)},
      {Primitive::cos, -inf, nan_value<T>},
      {Primitive::exp2, T(3), T(8)},
      {Primitive::exp2, T(-2), T(0.25)},
      {Primitive::exp2, inf, inf},
      {Primitive::exp2, -inf, T(0)},
      {Primitive::log2, T(8), T(3)},
      {Primitive::log2, T(0.125), T(-3)},
      {Primitive::log2, T(0), -inf},
      {Primitive::log2, inf, inf},
      {Primitive::log2, T(-1), nan_value<T>},
      {Primitive::sinh, T(-0.0), T(-0.0)},
      {Primitive::sinh, inf, inf},
      {Primitive::sinh, -inf, -inf},
      {Primitive::cosh, T(0), T(1)},
      {Primitive::cosh, -inf, inf},
      {Primitive::erfc, T(0), T(1)},
      {Primitive::erfc, inf, T(0)},
      {Primitive::erfc, -inf, T(2)},
      {Primitive::tan, T(-0.0), T(-0.0)},
      {Primitive::tan, inf, nan_value<T>},
      {Primitive::asin, T(-0.0), T(-0.0)},
      {Primitive::asin, T(-1), static_cast<T>(-std::numbers::pi_v<long double> / 2)},
      {Primitive::asin, T(1.5), nan_value<T>},
      {Primitive::acos, T(1), T(0)},
      {Primitive::acos, T(-1), static_cast<T>(std::numbers::pi_v<long double>)},
      {Primitive::acos, inf, nan_value<T>},
      {Primitive::atan, T(-0.0), T(-0.0)},
      {Primitive::atan, inf, static_cast<T>(std::numbers::pi_v<long double> / 2)},
      {Primitive::sqrt, T(-1), nan_value<T>},
      {Primitive::rsqrt, T(0), inf},
      {Primitive::relu, nan_value<T>, nan_value<T>},
      {Primitive::relu, -inf, T(0)},
      {Primitive::sign, T(-3), T(-1)},
      {Primitive::sign, T(0), T(0)},
      {Primitive::round, T(2.5), T(2)},
      {Primitive::round, T(-1.5), T(-2)},
      {Primitive::floor, T(-1.5), T(-2)},
      {Primitive::ceil, T(1.25), T(2)},
      {Primitive::negate, T(0), T(-0.0)},
      {Primitive::abs, T(-0.0), T(0)},
  };
  for (const Case& c : cases) {
    const T got = evaluate<T>(c.primitive, {c.at})[0];
    INFO(name(c.primitive) << "(" << c.at << ") = " << got << ", not " << c.value);
    CHECK(same_value(got, c.value));
  }
  for (std::size_t i = 0; kernels::arity(static_cast<Primitive>(i)) == 1; ++i) {
    INFO(name(static_cast<Primitive>(i)) << " of NaN");
    CHECK(std::isnan(evaluate<T>(static_cast<Primitive>(i), {nan_value<T>})[0]));
  }
}

/// A function of two operands: random arguments within `limit` ulp, and special values in all pairs.
template <class T>
void check_two(Primitive primitive, long double (*exact)(long double, long double), double limit, std::vector<T> x,
               const std::vector<T>& y) {
  const std::vector<T> z = evaluate(primitive, x, y);
  double worst = 0;
  std::size_t worst_at = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double error = ulps(z[i], exact(static_cast<long double>(x[i]), static_cast<long double>(y[i])));
    if (error > worst) {
      worst = error;
      worst_at = i;
    }
  }
  if (std::getenv("TAPEGRAD_PRINT_ULPS")) {
    WARN(kernels::table().name << " " << name(primitive) << " f" << sizeof(T) * 8 << " " << worst);
  }
  INFO(worst << " ulp: " << name(primitive) << "(" << x[worst_at] << ", " << y[worst_at] << ") = " << z[worst_at]);
  CHECK(worst <= limit);

  using Limits = std::numeric_limits<T>;
  const T special[] = {T(0),
                       T(-0.0),
                       T(1),
                       T(-1),
                       T(2),
                       T(-2),
                       T(3),
                       T(-3),
                       T(0.5),
                       T(-0.5),
                       infinity<T>,
                       -infinity<T>,
                       nan_value<T>,
                       Limits::max(),
                       Limits::max() / 2,
                       Limits::min(),
                       1 + Limits::epsilon(),
                       1 - Limits::epsilon() / 2};
  for (const T a : special) {
    for (const T b : special) {
      const T got = evaluate<T>(primitive, {a}, {b})[0];
      const T right = static_cast<T>(exact(static_cast<long double>(a), static_cast<long double>(b)));
      INFO(name(primitive) << "(" << a << ", " << b << ") = " << got << ", not " << right);
      const bool is_ordinary = std::isfinite(right) && right != T(0);
      CHECK((is_ordinary ? ulps(got, right) <= limit : same_value(got, right)));
    }
  }
}

template <class T>
void check_power(double limit) {
  const std::vector<T> x = arguments<T>({{0, 3}, {0.9, 1.1}, {-4, 4}}, 10000, 11);
  std::vector<T> y = arguments<T>({{-20, 20}, {-700, 700}, {-5, 5}}, 10000, 12);
  // Whole exponents of negative bases.
  for (std::size_t i = 0; i < x.size(); i += 3) y[i] = std::round(y[i]);
  check_two<T>(Primitive::power, std::pow, limit, x, y);
}

template <class T>
void check_atan2(double limit) {
  const std::vector<T> y = arguments<T>({{-3, 3}, {0.9, 1.1}, {-1e-3, 1e-3}}, 10000, 13);
  const std::vector<T> x = arguments<T>({{-3, 3}, {0.9, 1.1}, {-4, 4}}, 10000, 14);
  check_two<T>(Primitive::atan2, std::atan2, limit, y, x);
}

}  // namespace

TEST_CASE("elementary functions are within their stated error of long double") {
  for (const Function& function : functions()) {
    check_function<float>(function);
    check_function<double>(function);
  }
}

TEST_CASE("pow is within 2 ulp for every sign, zero and infinity") {
  check_power<float>(2);
  check_power<double>(2);
}

TEST_CASE("atan2 is within 3 ulp in every quadrant, for zeros and infinities") {
  check_atan2<float>(3);
  check_atan2<double>(3);
}

TEST_CASE("elementary functions at 0, infinity, NaN and outside of their domain") {
  check_limits<float>();
  check_limits<double>();
}

TEST_CASE("the bits of an element do not depend on its position, and loops work in place") {
  for (std::size_t i = 0; kernels::arity(static_cast<Primitive>(i)) < 3; ++i) {
    check_positions<float>(static_cast<Primitive>(i));
    check_positions<double>(static_cast<Primitive>(i));
  }
}
