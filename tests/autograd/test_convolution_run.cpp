// The sums of convolutions against plain loops, over shapes of every kind.
#include "autograd/ops/convolution_run.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "autograd/storage.h"
#include "autograd/thread_pool.h"
#include "tests/catch.h"

using namespace tapegrad;
using detail::ConvolutionSizes;

namespace {

std::int64_t x_size(const ConvolutionSizes& z) { return z.batch * z.in_height * z.in_width * z.in_channels; }
std::int64_t y_size(const ConvolutionSizes& z) { return z.batch * z.out_height * z.out_width * z.out_channels; }
std::int64_t weight_size(const ConvolutionSizes& z) {
  return z.groups ? z.out_channels * z.kernel_height * z.kernel_width * (z.in_channels / z.groups) : 0;
}

std::string text(const ConvolutionSizes& z) {
  std::string s;
  for (std::int64_t n : {z.batch, z.in_height, z.in_width, z.in_channels, z.out_height, z.out_width, z.out_channels,
                         z.kernel_height, z.kernel_width, z.stride_height, z.stride_width, z.pad_top, z.pad_left,
                         z.dilation_height, z.dilation_width, z.groups}) {
    s += std::to_string(n) + ' ';
  }
  return s;
}

// Calls f(element of x, of weight, of y) for every product of the sum.
template <class F>
void for_products(const ConvolutionSizes& z, F&& f) {
  const std::int64_t taps = z.kernel_height * z.kernel_width;
  const std::int64_t in_group = z.groups ? z.in_channels / z.groups : 0;
  const std::int64_t out_group = z.groups ? z.out_channels / z.groups : 0;
  for (std::int64_t pixel = 0; pixel < z.batch * z.out_height * z.out_width; ++pixel) {
    const std::int64_t n = pixel / (z.out_height * z.out_width);
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      const std::int64_t row =
          pixel / z.out_width % z.out_height * z.stride_height + tap / z.kernel_width * z.dilation_height - z.pad_top;
      const std::int64_t column =
          pixel % z.out_width * z.stride_width + tap % z.kernel_width * z.dilation_width - z.pad_left;
      if (row < 0 || row >= z.in_height || column < 0 || column >= z.in_width) continue;
      const std::int64_t x = ((n * z.in_height + row) * z.in_width + column) * z.in_channels;
      for (std::int64_t o = 0; o < z.out_channels; ++o) {
        for (std::int64_t c = 0; c < in_group; ++c) {
          f(x + o / out_group * in_group + c, (o * taps + tap) * in_group + c, pixel * z.out_channels + o);
        }
      }
    }
  }
}

// What a sum is, and how far rounding may take it.
struct Expected {
  std::vector<double> sum, magnitude, terms;

  explicit Expected(std::int64_t n)
      : sum(static_cast<std::size_t>(n)), magnitude(static_cast<std::size_t>(n)), terms(static_cast<std::size_t>(n)) {}

  void add(std::int64_t at, double value) {
    const auto k = static_cast<std::size_t>(at);
    sum[k] += value;
    magnitude[k] += std::abs(value);
    terms[k] += 1;
  }
};

// Elements between two guards, which nothing may touch.
template <class T>
class Array {
 public:
  explicit Array(std::int64_t n) : values_(static_cast<std::size_t>(n) + 2 * guard, marker), n_(n) {}
  Array(std::int64_t n, std::mt19937& generator) : Array(n) {
    std::uniform_real_distribution<double> distribution(-1, 1);
    for (std::int64_t i = 0; i < n; ++i) data()[i] = static_cast<T>(distribution(generator));
  }

  T* data() { return values_.data() + guard; }
  const T* data() const { return values_.data() + guard; }
  double operator[](std::int64_t i) const { return static_cast<double>(data()[i]); }

  void check(const Expected& expected) const {
    for (std::size_t i = 0; i < guard; ++i) {
      REQUIRE(values_[i] == marker);
      REQUIRE(values_[values_.size() - 1 - i] == marker);
    }
    for (std::int64_t i = 0; i < n_; ++i) {
      const auto k = static_cast<std::size_t>(i);
      // The bound of a chain of that many roundings in any order.
      const double allowed =
          (expected.terms[k] + 2) * static_cast<double>(std::numeric_limits<T>::epsilon()) * expected.magnitude[k];
      if (!(std::abs((*this)[i] - expected.sum[k]) <= allowed)) {
        CAPTURE(i, (*this)[i], expected.sum[k], allowed);
        REQUIRE(false);
      }
    }
  }

  bool operator==(const Array& other) const {
    return values_.size() == other.values_.size() &&
           std::memcmp(values_.data(), other.values_.data(), values_.size() * sizeof(T)) == 0;
  }

 private:
  static constexpr std::size_t guard = 37;
  static constexpr T marker = static_cast<T>(12345);
  std::vector<T> values_;
  std::int64_t n_;
};

template <class T>
constexpr DType dtype = std::is_same_v<T, float> ? f32 : f64;

template <class T>
struct Case {
  ConvolutionSizes z;
  Array<T> x, weight, bias, g;

  explicit Case(const ConvolutionSizes& sizes, unsigned seed = 1) : Case(sizes, std::mt19937(seed)) {}
  Case(const ConvolutionSizes& sizes, std::mt19937 generator)
      : z(sizes),
        x(x_size(z), generator),
        weight(weight_size(z), generator),
        bias(z.out_channels, generator),
        g(y_size(z), generator) {}

  Array<T> output(bool with_bias = true) const {
    Array<T> y(y_size(z));
    detail::convolve(dtype<T>, z, x.data(), weight.data(), with_bias ? bias.data() : nullptr, y.data());
    return y;
  }
  Array<T> input_gradient() const {
    Array<T> dx(x_size(z));
    detail::convolve_input_gradient(dtype<T>, z, g.data(), weight.data(), dx.data());
    return dx;
  }
  Array<T> weight_gradient() const {
    Array<T> dweight(weight_size(z));
    detail::convolve_weight_gradient(dtype<T>, z, x.data(), g.data(), dweight.data());
    return dweight;
  }

  void check() const {
    CAPTURE(text(z));
    Expected y(y_size(z)), without_bias(y_size(z)), dx(x_size(z)), dweight(weight_size(z));
    for (std::int64_t i = 0; i < y_size(z); ++i) y.add(i, bias[i % z.out_channels]);
    for_products(z, [&](std::int64_t a, std::int64_t b, std::int64_t c) {
      y.add(c, x[a] * weight[b]);
      without_bias.add(c, x[a] * weight[b]);
      dx.add(a, g[c] * weight[b]);
      dweight.add(b, x[a] * g[c]);
    });
    output().check(y);
    output(false).check(without_bias);
    input_gradient().check(dx);
    weight_gradient().check(dweight);
  }
};

template <class T>
void check(const ConvolutionSizes& z) {
  Case<T>(z).check();
}

// Sizes of the output as PyTorch has them.
std::int64_t out_size(std::int64_t in, std::int64_t kernel, std::int64_t stride, std::int64_t pad_before,
                      std::int64_t pad_after, std::int64_t dilation) {
  const std::int64_t room = in + pad_before + pad_after - (kernel - 1) * dilation - 1;
  return room < 0 ? 0 : room / stride + 1;
}

struct Square {
  std::int64_t batch = 1, size = 8, in_channels = 1, out_channels = 1, kernel = 3, stride = 1, pad = 0, dilation = 1,
               groups = 1;
};

ConvolutionSizes sizes_of(const Square& s) {
  const std::int64_t out = out_size(s.size, s.kernel, s.stride, s.pad, s.pad, s.dilation);
  return {s.batch,  s.size,   s.size,   s.in_channels, out,   out,        s.out_channels, s.kernel,
          s.kernel, s.stride, s.stride, s.pad,         s.pad, s.dilation, s.dilation,     s.groups};
}

class Draw {
 public:
  explicit Draw(unsigned seed) : generator_(seed) {}
  std::int64_t operator()(std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(generator_);
  }
  std::int64_t one_of(std::initializer_list<std::int64_t> values) {
    return values.begin()[(*this)(0, static_cast<std::int64_t>(values.size()) - 1)];
  }

 private:
  std::mt19937 generator_;
};

ConvolutionSizes drawn(Draw& draw) {
  ConvolutionSizes z;
  z.batch = draw.one_of({1, 1, 2, 3, 5});
  z.in_height = draw(1, 12);
  z.in_width = draw.one_of({1, 2, 5, 9, 14, 17, 31});
  z.groups = draw.one_of({1, 1, 1, 2, 3});
  z.in_channels = z.groups * draw.one_of({1, 2, 3, 4, 8, 17});
  z.out_channels = z.groups * draw.one_of({1, 2, 5, 8, 16, 33, 50});
  if (draw(0, 4) == 0) {
    z.groups = z.out_channels = z.in_channels = draw.one_of({2, 3, 16, 19, 40});
  }
  z.kernel_height = draw.one_of({1, 1, 2, 3, 3, 5});
  z.kernel_width = draw.one_of({1, 1, 2, 3, 3, 5});
  z.stride_height = draw.one_of({1, 1, 1, 2, 3, 7});
  z.stride_width = draw.one_of({1, 1, 1, 2, 3, 7});
  z.dilation_height = draw.one_of({1, 1, 1, 2, 3});
  z.dilation_width = draw.one_of({1, 1, 1, 2, 3});
  z.pad_top = draw(0, 3);
  z.pad_left = draw(0, 3);
  z.out_height = out_size(z.in_height, z.kernel_height, z.stride_height, z.pad_top, draw(0, 3), z.dilation_height);
  z.out_width = out_size(z.in_width, z.kernel_width, z.stride_width, z.pad_left, draw(0, 3), z.dilation_width);
  return z;
}

// Shapes that the work is cut in many ways for.
const Square large[] = {
    {.batch = 20, .size = 16, .in_channels = 16, .out_channels = 40, .pad = 1},
    {.batch = 1, .size = 40, .in_channels = 33, .out_channels = 16, .pad = 1},
    {.batch = 3, .size = 31, .in_channels = 16, .out_channels = 20, .stride = 2, .pad = 1},
    {.batch = 9, .size = 28, .in_channels = 1, .out_channels = 32, .kernel = 5, .pad = 2},
    {.batch = 2, .size = 30, .in_channels = 3, .out_channels = 16, .kernel = 7, .stride = 2, .pad = 3},
    {.batch = 2, .size = 20, .in_channels = 24, .out_channels = 24, .pad = 2, .dilation = 2},
    {.batch = 5, .size = 20, .in_channels = 24, .out_channels = 36, .pad = 1, .groups = 2},
    {.batch = 5, .size = 20, .in_channels = 40, .out_channels = 40, .pad = 1, .groups = 40},
    {.batch = 3, .size = 20, .in_channels = 37, .out_channels = 37, .stride = 2, .pad = 1, .groups = 37},
    {.batch = 4, .size = 17, .in_channels = 40, .out_channels = 70, .kernel = 1},
    {.batch = 4, .size = 17, .in_channels = 40, .out_channels = 70, .kernel = 1, .stride = 2},
    // Pixels 2 KiB apart; a weight whose gradient is cut by outputs; images two pixels wide.
    {.batch = 2, .size = 4, .in_channels = 512, .out_channels = 16, .pad = 1},
    {.batch = 1, .size = 3, .in_channels = 300, .out_channels = 200, .pad = 1},
    {.batch = 30, .size = 2, .in_channels = 64, .out_channels = 32, .pad = 1},
    {.batch = 2, .size = 24, .in_channels = 32, .out_channels = 3, .pad = 1},
};

}  // namespace

TEMPLATE_TEST_CASE("convolution: drawn shapes agree with plain loops", "[convolution]", float, double) {
  Draw draw(7);
  for (int k = 0; k < 250; ++k) check<TestType>(drawn(draw));
}

TEMPLATE_TEST_CASE("convolution: every number of channels", "[convolution]", float, double) {
  for (std::int64_t n = 1; n <= 35; ++n) {
    check<TestType>(sizes_of({.size = 5, .in_channels = n, .out_channels = 36 - n, .pad = 1}));
    check<TestType>(sizes_of({.size = 5, .in_channels = n, .out_channels = n, .pad = 1, .groups = n}));
  }
}

TEMPLATE_TEST_CASE("convolution: every width", "[convolution]", float, double) {
  for (std::int64_t n = 1; n <= 44; ++n) {
    check<TestType>({.batch = 2,
                     .in_height = 2,
                     .in_width = n,
                     .in_channels = 3,
                     .out_height = 2,
                     .out_width = n,
                     .out_channels = 4,
                     .kernel_height = 3,
                     .kernel_width = 3,
                     .pad_top = 1,
                     .pad_left = 1});
  }
}

TEMPLATE_TEST_CASE("convolution: large shapes agree with plain loops", "[convolution]", float, double) {
  for (const Square& s : large) check<TestType>(sizes_of(s));
}

TEMPLATE_TEST_CASE("convolution: sequences, upright and laid down", "[convolution]", float, double) {
  const std::int64_t kernel = GENERATE(1, 3, 8);
  const std::int64_t stride = GENERATE(1, 2, 9);
  const std::int64_t out = out_size(50, kernel, stride, 2, 2, 2);
  check<TestType>({.batch = 3,
                   .in_width = 50,
                   .in_channels = 6,
                   .out_width = out,
                   .out_channels = 9,
                   .kernel_width = kernel,
                   .stride_width = stride,
                   .pad_left = 2,
                   .dilation_width = 2});
  check<TestType>({.batch = 3,
                   .in_height = 50,
                   .in_channels = 6,
                   .out_height = out,
                   .out_channels = 9,
                   .kernel_height = kernel,
                   .stride_height = stride,
                   .pad_top = 2,
                   .dilation_height = 2});
}

TEMPLATE_TEST_CASE("convolution: windows that see little but zeros", "[convolution]", float, double) {
  // The first and the last tap lie 20 million positions apart: their zeros are not written out.
  const std::int64_t far = 10'000'000;
  check<TestType>({.batch = 2,
                   .in_height = 3,
                   .in_width = 5,
                   .in_channels = 4,
                   .out_height = 3,
                   .out_width = 5,
                   .out_channels = 20,
                   .kernel_height = 1,
                   .kernel_width = 3,
                   .pad_left = far,
                   .dilation_width = far});
  check<TestType>({.batch = 2,
                   .in_height = 3,
                   .in_width = 5,
                   .in_channels = 4,
                   .out_height = 2,
                   .out_width = 3,
                   .out_channels = 20,
                   .kernel_height = 3,
                   .kernel_width = 3,
                   .stride_height = far,
                   .stride_width = far,
                   .pad_top = 1,
                   .pad_left = far - 2,
                   .groups = 2});
}

TEMPLATE_TEST_CASE("convolution: empty sizes", "[convolution]", float, double) {
  const ConvolutionSizes whole = sizes_of({.batch = 2, .size = 5, .in_channels = 4, .out_channels = 6, .pad = 1});
  check<TestType>(whole);
  for (std::int64_t ConvolutionSizes::*size :
       {&ConvolutionSizes::batch, &ConvolutionSizes::in_height, &ConvolutionSizes::in_width,
        &ConvolutionSizes::in_channels, &ConvolutionSizes::out_height, &ConvolutionSizes::out_width,
        &ConvolutionSizes::out_channels, &ConvolutionSizes::kernel_height, &ConvolutionSizes::kernel_width}) {
    ConvolutionSizes z = whole;
    z.*size = 0;
    check<TestType>(z);
  }
  ConvolutionSizes nothing = whole;
  nothing.groups = nothing.in_channels = nothing.out_channels = 0;
  check<TestType>(nothing);
}

TEMPLATE_TEST_CASE("convolution: the same bits with any number of threads", "[convolution]", float, double) {
  const int before = num_threads();
  for (const Square& s : large) {
    const Case<TestType> c(sizes_of(s));
    CAPTURE(text(c.z));
    set_num_threads(1);
    const Array<TestType> y = c.output(), dx = c.input_gradient(), dweight = c.weight_gradient();
    for (const int threads : {2, 3, 7}) {
      set_num_threads(threads);
      REQUIRE(c.output() == y);
      REQUIRE(c.input_gradient() == dx);
      REQUIRE(c.weight_gradient() == dweight);
    }
  }
  set_num_threads(before);
}

TEMPLATE_TEST_CASE("convolution: no new memory after the first call", "[convolution]", float, double) {
  const int before = num_threads();
  set_num_threads(1);
  for (const Square& s : large) {
    const Case<TestType> c(sizes_of(s));
    CAPTURE(text(c.z));
    std::uint64_t first = 0;
    for (int k = 0; k < 3; ++k) {
      (void)c.output();
      (void)c.input_gradient();
      (void)c.weight_gradient();
      if (k == 0) first = allocator_statistics().system_allocations;
    }
    REQUIRE(allocator_statistics().system_allocations == first);
  }
  set_num_threads(before);
}
