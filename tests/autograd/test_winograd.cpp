// Convolutions by Winograd's F(4 x 4, 3 x 3) against the usual sums in f64: every size of a tile that is cut off, every
// number of channels, threads, memory, and what the option says to convolutions that it cannot compute.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

#include "autograd/jvp.h"
#include "autograd/ops/conv.h"
#include "autograd/ops/convolution_run.h"
#include "autograd/random.h"
#include "autograd/storage.h"
#include "autograd/thread_pool.h"
#include "nn/conv.h"
#include "tests/autograd/op_support.h"

using namespace op_test;
using detail::ConvolutionSizes;

namespace {

// What Conv2dOptions states.
constexpr double stated_error = 2e-5;

template <class T>
std::vector<T> normal_values(std::int64_t n, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> distribution;
  std::vector<T> values(static_cast<std::size_t>(n));
  for (T& value : values) value = static_cast<T>(distribution(generator));  // the same ones in f32 and in f64
  return values;
}

ConvolutionSizes square(std::int64_t batch, std::int64_t size, std::int64_t in, std::int64_t out,
                        std::int64_t padding) {
  return {.batch = batch,
          .in_height = size,
          .in_width = size,
          .in_channels = in,
          .out_height = size + 2 * padding - 2,
          .out_width = size + 2 * padding - 2,
          .out_channels = out,
          .kernel_height = 3,
          .kernel_width = 3,
          .pad_top = padding,
          .pad_left = padding};
}

// A convolution and its input gradient, from the same elements in any precision.
struct Problem {
  ConvolutionSizes z;
  std::int64_t x_size = z.batch * z.in_height * z.in_width * z.in_channels;
  std::int64_t y_size = z.batch * z.out_height * z.out_width * z.out_channels;
  std::int64_t weight_size = z.out_channels * 9 * z.in_channels;

  template <class T>
  std::vector<T> output(bool winograd, bool with_bias = true) const {
    const auto x = normal_values<T>(x_size, 1), weight = normal_values<T>(weight_size, 2);
    const auto bias = normal_values<T>(z.out_channels, 3);
    return guarded<T>(y_size, [&](T* y) {
      detail::convolve(type<T>, sizes(winograd), x.data(), weight.data(), with_bias ? bias.data() : nullptr, y);
    });
  }
  template <class T>
  std::vector<T> input_gradient(bool winograd) const {
    const auto g = normal_values<T>(y_size, 4), weight = normal_values<T>(weight_size, 2);
    return guarded<T>(
        x_size, [&](T* dx) { detail::convolve_input_gradient(type<T>, sizes(winograd), g.data(), weight.data(), dx); });
  }

  void check() const {
    CAPTURE(z.batch, z.in_height, z.in_width, z.in_channels, z.out_height, z.out_width, z.out_channels, z.pad_top,
            z.pad_left);
    REQUIRE(error(output<float>(true), output<double>(false)) <= stated_error);
    REQUIRE(error(output<float>(true, false), output<double>(false, false)) <= stated_error);
    REQUIRE(error(input_gradient<float>(true), input_gradient<double>(false)) <= stated_error);
  }

 private:
  template <class T>
  static constexpr DType type = std::is_same_v<T, float> ? f32 : f64;

  ConvolutionSizes sizes(bool winograd) const {
    ConvolutionSizes sizes = z;
    sizes.winograd = winograd;
    return sizes;
  }

  // What f writes, with a look at the memory on both sides.
  template <class T, class F>
  static std::vector<T> guarded(std::int64_t n, F&& f) {
    constexpr std::ptrdiff_t guard = 37;
    constexpr T marker = 12345;
    std::vector<T> memory(static_cast<std::size_t>(n + 2 * guard), marker);
    f(memory.data() + guard);
    const auto is_intact = [&](auto first) {
      return std::all_of(first, first + guard, [&](T v) { return v == marker; });
    };
    REQUIRE(is_intact(memory.begin()));
    REQUIRE(is_intact(memory.end() - guard));
    return {memory.begin() + guard, memory.end() - guard};
  }

  // The largest difference, beside the largest element.
  static double error(const std::vector<float>& low, const std::vector<double>& high) {
    double worst = 0, largest = 1;
    for (std::size_t i = 0; i < high.size(); ++i) {
      const double difference = std::abs(static_cast<double>(low[i]) - high[i]);
      worst = difference <= worst ? worst : difference;  // NaN, too
      largest = std::max(largest, std::abs(high[i]));
    }
    return worst / largest;
  }
};

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

double relative_error(const Tensor& a, const Tensor& b) {
  return (max(abs(a.to(f64) - b.to(f64))) / max(abs(b.to(f64)))).item();
}

// Cut into several items of work and several panels of outputs.
const Problem large[] = {{square(20, 16, 16, 40, 1)}, {square(1, 40, 33, 16, 1)}, {square(3, 31, 70, 130, 0)},
                         {square(1, 5, 300, 90, 1)},  {square(40, 4, 8, 8, 2)},   {square(2, 9, 512, 5, 1)}};

}  // namespace

TEST_CASE("winograd: every size of an image") {
  for (std::int64_t height = 1; height <= 10; ++height) {
    for (std::int64_t width = 1; width <= 10; ++width) {
      for (const std::int64_t padding : {0, 1, 2}) {
        ConvolutionSizes z = square(2, 3, 3, 4, padding);
        z.in_height = height;
        z.in_width = width;
        z.out_height = height + 2 * padding - 2;
        z.out_width = width + 2 * padding - 2;
        if (z.out_height > 0 && z.out_width > 0) Problem{z}.check();
      }
    }
  }
}

TEST_CASE("winograd: zeros in front and behind that differ, and windows that see nothing else") {
  for (const std::int64_t top : {0, 1, 3, 7}) {
    for (const std::int64_t left : {0, 2, 9}) {
      for (const std::int64_t behind : {0, 1, 6}) {
        ConvolutionSizes z = square(1, 5, 2, 3, 1);
        z.pad_top = top;
        z.pad_left = left;
        z.out_height = z.in_height + top + behind - 2;
        z.out_width = z.in_width + left + behind - 2;
        Problem{z}.check();
      }
    }
  }
}

TEST_CASE("winograd: every number of channels") {
  for (std::int64_t n = 1; n <= 35; ++n) Problem{square(1, 6, n, 36 - n, 1)}.check();
  for (const std::int64_t n : {63, 64, 65, 127, 128, 129}) Problem{square(1, 4, n, 193 - n, 1)}.check();
}

TEST_CASE("winograd: large convolutions, with the same bits for any number of threads and no new memory") {
  const int before = num_threads();
  for (const Problem& problem : large) {
    problem.check();
    set_num_threads(1);
    const std::vector<float> y = problem.output<float>(true), dx = problem.input_gradient<float>(true);
    const std::uint64_t allocations = allocator_statistics().system_allocations;
    REQUIRE(same_bits(problem.output<float>(true), y));
    REQUIRE(same_bits(problem.input_gradient<float>(true), dx));
    REQUIRE(allocator_statistics().system_allocations == allocations);
    for (const int threads : {2, 3, 7}) {
      set_num_threads(threads);
      REQUIRE(same_bits(problem.output<float>(true), y));
      REQUIRE(same_bits(problem.input_gradient<float>(true), dx));
    }
    set_num_threads(before);
  }
}

TEST_CASE("winograd: nothing to compute") {
  CHECK(conv2d(zeros({0, 4, 4, 2}), zeros({3, 3, 3, 2}), {.winograd = true}).shape() == Shape{0, 2, 2, 3});
  const Tensor bias = ones({3});
  CHECK(array_equal(conv2d(zeros({1, 4, 4, 0}), zeros({3, 3, 3, 0}), bias, {.winograd = true}), ones({1, 2, 2, 3})));
  CHECK(conv2d(zeros({1, 4, 4, 2}), zeros({0, 3, 3, 2}), {.winograd = true}).size() == 0);
}

TEST_CASE("winograd: conv2d, its gradients and its tangent are those of the usual sums") {
  random::seed(3);
  const Tensor weight = random::normal({6, 3, 3, 5}), bias = random::normal({6});
  const Tensor x = random::normal({2, 7, 9, 5}), u = random::normal({2, 7, 9, 5}), g = random::normal({2, 7, 9, 6});
  const auto convolved = [&](const Tensor& input, bool winograd) {
    return conv2d(input, weight, bias, {.padding = "same", .winograd = winograd});
  };
  const auto gradients_of = [&](bool winograd) {
    return gradients(
        [&](const Tensors& in) { return conv2d(in[0], in[1], in[2], {.padding = "same", .winograd = winograd}); },
        {x, weight, bias}, g);
  };
  const Tensor y = convolved(x, true);
  CHECK(relative_error(y, convolved(x, false)) < stated_error);
  CHECK_FALSE(op_test::same_bits(y, convolved(x, false)));  // it is another computation
  const Tensors found = gradients_of(true), expected = gradients_of(false);
  CHECK(relative_error(found[0], expected[0]) < stated_error);
  CHECK_FALSE(op_test::same_bits(found[0], expected[0]));
  CHECK(op_test::same_bits(found[1], expected[1]));
  CHECK(op_test::same_bits(found[2], expected[2]));
  const auto tangent = [&](bool winograd) {
    return jvp([&](Arg input) { return convolved(input.tensor(), winograd); }, x, u).tangent;
  };
  CHECK(relative_error(tangent(true), tangent(false)) < stated_error);

  nn::Conv2d layer{5, 6, 3, {.padding = "same", .winograd = true}};
  layer.weight.assign(weight);
  layer.bias->assign(bias);
  CHECK(op_test::same_bits(layer(x), y));
}

TEST_CASE("winograd: f64 has the usual sums") {
  const Tensor x = irregular({1, 6, 7, 3}), weight = irregular({4, 3, 3, 3}, 2);
  CHECK(op_test::same_bits(conv2d(x, weight, {.winograd = true}), conv2d(x, weight)));
}

TEST_CASE("winograd: other convolutions are refused") {
  const Tensor x = zeros({1, 9, 9, 4});
  const auto refused = [&](const Shape& weight, const Conv2dOptions& options) {
    return error_of([&] { conv2d(x, zeros(weight), options); });
  };
  const auto contains = [](const std::string& text, const std::string& part) {
    CAPTURE(text, part);
    CHECK(text.find(part) != std::string::npos);
  };
  contains(refused({2, 5, 3, 4}, {.winograd = true}),
           "conv2d: winograd needs a kernel of 3 with stride 1, dilation 1 and groups 1, not a kernel of {5, 3} with "
           "stride 1, dilation 1 and groups 1");
  contains(refused({2, 3, 3, 4}, {.stride = {1, 2}, .winograd = true}), "stride {1, 2}");
  contains(refused({2, 3, 3, 4}, {.dilation = 2, .winograd = true}), "dilation 2");
  contains(refused({4, 3, 3, 1}, {.groups = 4, .winograd = true}), "groups 4");
  contains(refused({2, 1, 1, 4}, {.winograd = true}), "leave .winograd out");
  contains(error_of([] { nn::Conv2d(4, 4, 5, {.winograd = true}); }), "Conv2d: winograd needs a kernel of 3");
  contains(error_of([] { nn::Conv2d(4, 4, 3, {.stride = 2, .winograd = true}); }), "leave .winograd out");
  CHECK_NOTHROW(nn::Conv2d(4, 4, 3, {.padding = "same", .winograd = true}));
}
