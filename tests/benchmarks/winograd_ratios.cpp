// bench_winograd
//
// Convolutions of 3 x 3 by Winograd's F(4 x 4, 3 x 3) against the usual sums, on one thread: how many times as fast the
// result and the gradient of x are, as medians over alternating samples; and the largest error of y, beside the largest
// |y|, for weights and images that are normally distributed, the latter around 0 and around 1.
#include <cmath>
#include <cstdio>

#include "autograd/ops/convolution_run.h"
#include "tapegrad.h"
#include "tests/benchmarks/measure.h"

namespace {

using namespace tapegrad;
using tapegrad::detail::ConvolutionSizes;

struct Images {
  std::int64_t batch, size, in, out;
};

ConvolutionSizes sizes_of(const Images& m) {
  return {.batch = m.batch,
          .in_height = m.size,
          .in_width = m.size,
          .in_channels = m.in,
          .out_height = m.size,
          .out_width = m.size,
          .out_channels = m.out,
          .kernel_height = 3,
          .kernel_width = 3,
          .pad_top = 1,
          .pad_left = 1};
}

struct Ratios {
  double direct_ms, forward, gradient;
};

Ratios ratios(const Images& m) {
  const ConvolutionSizes direct = sizes_of(m);
  ConvolutionSizes winograd = direct;
  winograd.winograd = true;
  const Tensor weight = random::normal({m.out, 3, 3, m.in});
  const Tensor x = random::normal({m.batch, m.size, m.size, m.in}), dx = zeros_like(x);
  const Tensor g = random::normal({m.batch, m.size, m.size, m.out}), y = zeros_like(g);
  const auto forward = [&](const ConvolutionSizes& z) {
    return [&] { tapegrad::detail::convolve(f32, z, x.data(), weight.data(), nullptr, y.data()); };
  };
  const auto gradient = [&](const ConvolutionSizes& z) {
    return [&] { tapegrad::detail::convolve_input_gradient(f32, z, g.data(), weight.data(), dx.data()); };
  };
  const bench::ComparisonOptions options{.sample_ns = 1e7, .rounds = 31};
  const auto t = bench::compare({forward(winograd), forward(direct)}, options);
  return {t[1].ns / 1e6, t[1].ratio, bench::compare({gradient(winograd), gradient(direct)}, options)[1].ratio};
}

double error(const Images& m, double mean, bool winograd) {
  const Tensor weight = random::normal({m.out, 3, 3, m.in});
  const Tensor x = random::normal({m.batch, m.size, m.size, m.in}) + mean;
  const Tensor y = conv2d(x, weight, {.padding = 1, .winograd = winograd});
  const Tensor exact = conv2d(x.to(f64), weight.to(f64), {.padding = 1});
  return (max(abs(y.to(f64) - exact)) / max(abs(exact))).item();
}

constexpr Images rows[] = {{32, 32, 64, 64}, {32, 32, 3, 16},   {32, 32, 16, 16},  {32, 16, 32, 32}, {32, 8, 64, 64},
                           {1, 56, 64, 64},  {8, 28, 128, 128}, {8, 14, 256, 256}, {4, 7, 512, 512}};

}  // namespace

int main() {
  set_num_threads(1);
  random::seed(1);
  std::printf("%-22s %10s %9s %9s %14s\n", "", "ms", "ratios", "", "largest errors");
  std::printf("%-22s %10s %9s %9s %9s %9s %9s\n", "x, outputs", "usual", "forward", "gradient", "usual", "winograd",
              "around 1");
  for (const Images& m : rows) {
    const Ratios r = ratios(m);
    const double direct = error(m, 0, false), winograd = error(m, 0, true), around_one = error(m, 1, true);
    char name[64];
    std::snprintf(name, sizeof name, "%dx%dx%dx%d, %d", static_cast<int>(m.batch), static_cast<int>(m.size),
                  static_cast<int>(m.size), static_cast<int>(m.in), static_cast<int>(m.out));
    std::printf("%-22s %10.3f %9.2f %9.2f %9.1e %9.1e %9.1e\n", name, r.direct_ms, r.forward, r.gradient, direct,
                winograd, around_one);
  }
}
