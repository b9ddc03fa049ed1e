#include "autograd/random.h"

#include <atomic>
#include <bit>
#include <cmath>
#include <cstdio>
#include <limits>
#include <utility>

#include "autograd/thread_pool.h"

// The bits must not depend on the processor: no fused multiply-add.
#if defined(__clang__)
#pragma clang fp contract(off)
#elif defined(__GNUC__)
#pragma GCC optimize("-ffp-contract=off")
#endif

namespace tapegrad::random {
namespace {

// The default generator without a lock. Its stream is 0 unless set_state said otherwise.
std::atomic<std::uint64_t> default_seed{0};
std::atomic<std::uint64_t> default_position{0};
std::atomic<std::uint32_t> default_stream{0};

thread_local Generator* stand_in = nullptr;  // for the default generator

std::uint64_t word64(const PhiloxCounter& bits, int half) {
  return std::uint64_t{bits[static_cast<std::size_t>(2 * half + 1)]} << 32 | bits[static_cast<std::size_t>(2 * half)];
}

// The upper half of a * b: scales 64 random bits to 0 ... b - 1.
std::uint64_t multiply_high(std::uint64_t a, std::uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<std::uint64_t>(static_cast<Wide>(a) * b >> 64);
}

// out[i] = make(bits of element i), which are a quarter (32 bits) or a half (64 bits) of a block.
template <class T, class Make>
void generate(Tensor& x, Generator* generator, int per_block, double nanoseconds, const Make& make) {
  const std::int64_t blocks = (x.size() + per_block - 1) / per_block;
  const Generator draw = reserve(generator, static_cast<std::uint64_t>(blocks));
  T* out = x.data<T>();
  const std::int64_t chunks = chunks_for(x.size(), nanoseconds);
  parallel_for(chunks, [&](std::int64_t chunk) {
    const Range range = chunk_range(blocks, chunks, chunk);
    for (std::int64_t block = range.begin; block < range.end; ++block) {
      const PhiloxCounter bits = draw.block(static_cast<std::uint64_t>(block));
      const std::int64_t first = block * per_block;
      for (int k = 0; k < per_block && first + k < x.size(); ++k) out[first + k] = make(bits, k);
    }
  });
}

// 0 <= u < 1, a multiple of 2^-24 or 2^-53.
float uniform24(const PhiloxCounter& bits, int k) {
  return static_cast<float>(bits[static_cast<std::size_t>(k)] >> 8) * 0x1p-24F;
}
double uniform53(const PhiloxCounter& bits, int k) { return static_cast<double>(word64(bits, k) >> 11) * 0x1p-53; }

// 0 < u < 1, symmetric about 1/2.
double open_uniform32(const PhiloxCounter& bits, int k) {
  return (static_cast<double>(bits[static_cast<std::size_t>(k)]) + 0.5) * 0x1p-32;
}
double open_uniform52(const PhiloxCounter& bits, int k) {
  return (static_cast<double>(word64(bits, k) >> 12) + 0.5) * 0x1p-52;
}

// Rounding low + (high - low) * u may reach `high`.
template <class T>
T scale(double low, double high, double u) {
  const T x = static_cast<T>(low + (high - low) * u);
  return x < static_cast<T>(high) ? x : std::nextafter(static_cast<T>(high), -std::numeric_limits<T>::infinity());
}

// The natural logarithm of a normal positive number, to 1e-15: x = 2^k m with m near 1; log m = 2 artanh((m-1)/(m+1))
// by its series. Own code, as the bits of std::log are the C library's choice.
double log_of(double x) {
  std::uint64_t bits = std::bit_cast<std::uint64_t>(x);
  // Cut at sqrt(1/2), so that m is between that and sqrt(2).
  constexpr std::uint64_t sqrt_half = 0x3FE6A09E667F3BCD;
  const std::int64_t k = static_cast<std::int64_t>(bits - sqrt_half) >> 52;
  bits -= static_cast<std::uint64_t>(k) << 52;
  const double m = std::bit_cast<double>(bits);
  const double s = (m - 1) / (m + 1);
  const double s2 = s * s;
  double sum = 0;
  for (int i = 21; i >= 3; i -= 2) sum = (sum + 1.0 / i) * s2;
  return static_cast<double>(k) * 0.69314718055994530942 + 2 * s * (1 + sum);
}

template <std::size_t N>
double polynomial(const double (&coefficients)[N], double x) {
  double sum = 0;
  for (double c : coefficients) sum = sum * x + c;
  return sum;
}

// Coefficients of PPND16, highest power first.
constexpr double middle_top[] = {2509.0809287301226727, 33430.575583588128105, 67265.770927008700853,
                                 45921.953931549871457, 13731.693765509461125, 1971.5909503065514427,
                                 133.14166789178437745, 3.3871328727963666080};
constexpr double middle_bottom[] = {
    5226.4952788528545610, 28729.085735721942674, 39307.895800092710610, 21213.794301586595867,
    5394.1960214247511077, 687.18700749205790830, 42.313330701600911252, 1.0};
constexpr double near_top[] = {7.74545014278341407640e-4, .0227238449892691845833, .241780725177450611770,
                               1.27045825245236838258,    3.64784832476320460504,  5.76949722146069140550,
                               4.63033784615654529590,    1.42343711074968357734};
constexpr double near_bottom[] = {
    1.05075007164441684324e-9, 5.475938084995344946e-4, .0151986665636164571966, .148103976427480074590,
    .689767334985100004550,    1.67638483018380384940,  2.05319162663775882187,  1.0};
constexpr double far_top[] = {2.01033439929228813265e-7, 2.71155556874348757815e-5, .00124266094738807843860,
                              .0265321895265761230930,   .296560571828504891230,    1.78482653991729133580,
                              5.46378491116411436990,    6.65790464350110377720};
constexpr double far_bottom[] = {
    2.04426310338993978564e-15, 1.4215117583164458887e-7, 1.8463183175100546818e-5, 7.868691311456132591e-4,
    .0148753612908506148525,    .136929880922735805310,   .599832206555887937690,   1.0};

// The x below which a standard normal variable is with probability p.
double inverse_normal(double p) {
  const double q = p - 0.5;
  if (std::abs(q) <= 0.425) {
    const double r = 0.180625 - q * q;
    return q * polynomial(middle_top, r) / polynomial(middle_bottom, r);
  }
  const double r = std::sqrt(-log_of(q < 0 ? p : 1 - p));
  const double x = r <= 5 ? polynomial(near_top, r - 1.6) / polynomial(near_bottom, r - 1.6)
                          : polynomial(far_top, r - 5) / polynomial(far_bottom, r - 5);
  return q < 0 ? -x : x;
}

void check_floating(const char* by, DType type, SourceLocation at) {
  if (is_floating(type)) return;
  fail(std::string(by) + ": the dtype is " + name_of(type) + ", not f32 or f64", at);
}

std::string text_of(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", value);
  return text;
}

}  // namespace

Generator reserve(Generator* generator, std::uint64_t blocks) {
  if (!generator) generator = stand_in;
  if (generator) return generator->reserve(blocks);
  const std::uint64_t position = default_position.fetch_add(Generator::positions_for(blocks));
  return Generator(default_seed.load(), default_stream.load(), position);
}

void seed(std::uint64_t n) { set_state(Generator(n)); }

StandIn::StandIn(Generator& generator) : before_(std::exchange(stand_in, &generator)) {}
StandIn::~StandIn() { stand_in = before_; }

Generator state() {
  if (stand_in) return *stand_in;
  return Generator(default_seed.load(), default_stream.load(), default_position.load());
}

void set_state(const Generator& generator) {
  if (stand_in) {
    *stand_in = generator;
    return;
  }
  default_seed.store(generator.seed());
  default_stream.store(generator.stream());
  default_position.store(generator.position());
}

Tensor uniform(const Shape& shape, UniformOptions options, SourceLocation at) {
  check_floating("uniform", options.dtype, at);
  const double low = options.low;
  const double high = options.high;
  // Also false for NaN, and for a distance that is not finite.
  if (!(low < high && high - low <= std::numeric_limits<double>::max())) {
    fail("uniform: low " + text_of(low) + " and high " + text_of(high) + " are no range", at,
         "both must be finite, and low below high");
  }
  Tensor x = Tensor::empty(shape, options.dtype);
  if (options.dtype == f32) {
    generate<float>(x, options.generator, 4, 5, [=](const PhiloxCounter& bits, int k) {
      return scale<float>(low, high, static_cast<double>(uniform24(bits, k)));
    });
  } else {
    generate<double>(x, options.generator, 2, 6,
                     [=](const PhiloxCounter& bits, int k) { return scale<double>(low, high, uniform53(bits, k)); });
  }
  return x;
}

Tensor normal(const Shape& shape, NormalOptions options, SourceLocation at) {
  check_floating("normal", options.dtype, at);
  const double mean = options.mean;
  const double std = options.std;
  if (!(std >= 0) || !std::isfinite(mean) || !std::isfinite(std)) {
    fail("normal: mean " + text_of(mean) + " and std " + text_of(std) + " are no distribution", at,
         "both must be finite, and std not negative");
  }
  Tensor x = Tensor::empty(shape, options.dtype);
  if (options.dtype == f32) {
    generate<float>(x, options.generator, 4, 20, [=](const PhiloxCounter& bits, int k) {
      return static_cast<float>(mean + std * inverse_normal(open_uniform32(bits, k)));
    });
  } else {
    generate<double>(x, options.generator, 2, 25, [=](const PhiloxCounter& bits, int k) {
      return mean + std * inverse_normal(open_uniform52(bits, k));
    });
  }
  return x;
}

Tensor integers(std::int64_t low, std::int64_t high, const Shape& shape, IntegerOptions options, SourceLocation at) {
  if (options.dtype != i32 && options.dtype != i64) {
    fail(std::string("integers: the dtype is ") + name_of(options.dtype) + ", not i32 or i64", at);
  }
  const std::string bounds = "low " + std::to_string(low) + " and high " + std::to_string(high);
  if (low >= high) fail("integers: there are none between " + bounds, at, "low must be below high");
  constexpr std::int64_t i32_end = std::int64_t{1} << 31;
  if (options.dtype == i32 && (low < -i32_end || high > i32_end)) fail("integers: i32 cannot hold " + bounds, at);
  Tensor x = Tensor::empty(shape, options.dtype);
  const std::uint64_t count = static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low);
  const auto make = [=](const PhiloxCounter& bits, int k) {
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(low) + multiply_high(word64(bits, k), count));
  };
  if (options.dtype == i64) {
    generate<std::int64_t>(x, options.generator, 2, 6, make);
  } else {
    generate<std::int32_t>(x, options.generator, 2, 6,
                           [=](const PhiloxCounter& bits, int k) { return static_cast<std::int32_t>(make(bits, k)); });
  }
  return x;
}

Tensor permutation(std::int64_t n, PermutationOptions options, SourceLocation at) {
  Tensor x = Tensor::empty(Shape({n}, at), i64);
  const Generator draw = reserve(options.generator, static_cast<std::uint64_t>(n + 1) / 2);
  std::int64_t* out = x.data<std::int64_t>();
  for (std::int64_t i = 0; i < n; ++i) out[i] = i;
  for (std::int64_t i = n - 1; i > 0; --i) {
    const std::uint64_t word = word64(draw.block(static_cast<std::uint64_t>(i / 2)), static_cast<int>(i % 2));
    std::swap(out[i], out[multiply_high(word, static_cast<std::uint64_t>(i) + 1)]);
  }
  return x;
}

}  // namespace tapegrad::random
