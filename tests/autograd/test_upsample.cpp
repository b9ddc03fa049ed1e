// upsample against plain loops over PyTorch's formulas, and what bad input says.
#include "autograd/ops/upsample.h"

#include <limits>

#include "autograd/gradcheck.h"
#include "tests/autograd/op_support.h"

using namespace op_test;
using Values = std::vector<double>;

namespace {

// The weight of every element of an axis in position i of the result: PyTorch's area_pixel_compute_source_index.
std::vector<Values> weights(std::int64_t n, std::int64_t m, double scale, UpsampleMode mode, bool align_corners) {
  std::vector<Values> matrix(static_cast<std::size_t>(m), Values(static_cast<std::size_t>(n)));
  for (std::int64_t i = 0; i < m; ++i) {
    Values& row = matrix[static_cast<std::size_t>(i)];
    const auto position = static_cast<double>(i);
    if (mode == UpsampleMode::nearest) {
      row[std::min(static_cast<std::size_t>(position / scale + 1e-9), static_cast<std::size_t>(n - 1))] = 1;
      continue;
    }
    double source = 0;
    if (!align_corners) {
      source = std::max((position + 0.5) / scale - 0.5, 0.0);
    } else if (m > 1) {
      source = position * static_cast<double>(n - 1) / static_cast<double>(m - 1);
    }
    const auto first = std::min(static_cast<std::int64_t>(source + 1e-12), n - 1);
    const std::int64_t second = first + (first < n - 1 ? 1 : 0);
    const double lambda = source - static_cast<double>(first);
    row[static_cast<std::size_t>(first)] += 1 - lambda;
    row[static_cast<std::size_t>(second)] += lambda;
  }
  return matrix;
}

struct Result {
  Tensor value, gradient;
};

Result by_loop(const Tensor& x, const std::vector<Values>& rows, const std::vector<Values>& columns) {
  const Shape s = x.shape();
  const Shape shape{s[0], static_cast<std::int64_t>(rows.size()), static_cast<std::int64_t>(columns.size()), s[3]};
  const Values from = values_of(x);
  const Values g = values_of(irregular(shape, 5));
  Values value(static_cast<std::size_t>(shape.size()));
  Values gradient(from.size());
  std::size_t at = 0;
  for (std::int64_t b = 0; b < s[0]; ++b) {
    for (const Values& row : rows) {
      for (const Values& column : columns) {
        for (std::int64_t c = 0; c < s[3]; ++c, ++at) {
          for (std::int64_t r = 0; r < s[1]; ++r) {
            for (std::int64_t q = 0; q < s[2]; ++q) {
              const auto element = static_cast<std::size_t>(((b * s[1] + r) * s[2] + q) * s[3] + c);
              const double weight = row[static_cast<std::size_t>(r)] * column[static_cast<std::size_t>(q)];
              value[at] += weight * from[element];
              gradient[element] += weight * g[at];
            }
          }
        }
      }
    }
  }
  return {Tensor::from(value, shape), Tensor::from(gradient, s)};
}

void check(const UpsampleOptions& options, const Tensor& x, const Result& expected) {
  for (const DType type : {f64, f32}) {
    const double tolerance = type == f64 ? 1e-13 : 3e-6;
    Tensor at = x.to(type);
    Tape tape;
    tape.watch(at);
    const Tensor y = upsample(at, options);
    REQUIRE(is_close(y.to(f64), expected.value, tolerance));
    const Tensor g = tape.gradient(y, at, {.seed = irregular(y.shape(), 5).to(type)});
    REQUIRE(is_close(g.to(f64), expected.gradient, tolerance));
  }
}

}  // namespace

TEST_CASE("upsample is PyTorch's formula, for sizes and for factors") {
  using enum UpsampleMode;
  for (const Shape& shape : {Shape{2, 3, 4, 3}, {1, 5, 1, 2}, {1, 7, 10, 20}}) {
    const Tensor x = irregular(shape).to(f32).to(f64);
    for (const UpsampleMode mode : {nearest, bilinear}) {
      for (const bool align_corners : {false, true}) {
        if (align_corners && mode == nearest) continue;
        for (const Size2d size : {Size2d(1), Size2d(2, 9), Size2d(6), Size2d(14, 20), Size2d(49, 3)}) {
          CAPTURE(to_string(shape), mode, align_corners, size.height, size.width);
          const auto axis = [&](std::int64_t n, std::int64_t m) {
            return weights(n, m, static_cast<double>(m) / static_cast<double>(n), mode, align_corners);
          };
          check({.size = size, .mode = mode, .align_corners = align_corners}, x,
                by_loop(x, axis(shape[1], size.height), axis(shape[2], size.width)));
        }
        for (const HeightWidth<double> factor : {HeightWidth<double>(2), {3, 1}, {1.5, 2.6}, {0.5, 1}}) {
          CAPTURE(to_string(shape), mode, align_corners, factor.height, factor.width);
          const auto axis = [&](std::int64_t n, double scale) {
            const auto m = static_cast<std::int64_t>(static_cast<double>(n) * scale);
            return weights(n, m, scale, mode, align_corners);
          };
          check({.scale_factor = factor, .mode = mode, .align_corners = align_corners}, x,
                by_loop(x, axis(shape[1], factor.height), axis(shape[2], factor.width)));
        }
      }
    }
  }
}

TEST_CASE("upsample of sequences") {
  using enum UpsampleMode;
  const Tensor x = irregular({2, 5, 3}).to(f32).to(f64);
  for (const UpsampleMode mode : {nearest, linear}) {
    for (const double scale : {2.0, 2.5, 0.6}) {
      const auto m = static_cast<std::int64_t>(5 * scale);
      const Result expected = by_loop(unsqueeze(x, 2), weights(5, m, scale, mode, false), {{1}});
      const Result squeezed{squeeze(expected.value, 2), {}};
      CHECK(is_close(upsample(x, {.scale_factor = scale, .mode = mode}), squeezed.value));
    }
  }
  const Result aligned = by_loop(unsqueeze(x, 2), weights(5, 9, 0, linear, true), {{1}});
  CHECK(is_close(upsample(x, {.size = 9, .mode = linear, .align_corners = true}), squeeze(aligned.value, 2)));
  const Tensor steps = Tensor::from({1.0, 2.0}, {1, 2, 1});
  CHECK(values_of(upsample(steps, {.scale_factor = 2})) == Values{1, 1, 2, 2});
  CHECK(values_of(upsample(steps, {.scale_factor = 2, .mode = linear})) == Values{1, 1.25, 1.75, 2});
}

TEST_CASE("upsample of nothing, of views, and of infinities beside a place") {
  CHECK(upsample(zeros({0, 4, 4, 2}), {.scale_factor = 2}).shape() == Shape{0, 8, 8, 2});
  CHECK(upsample(zeros({1, 4, 4, 0}), {.size = 3}).shape() == Shape{1, 3, 3, 0});
  const Tensor x = irregular({3, 4, 5, 2});
  const Tensor turned = permute(x, {3, 2, 1, 0});
  const UpsampleOptions options{.size = 7, .mode = UpsampleMode::bilinear};
  CHECK(same_bits(upsample(turned, options), upsample(contiguous(turned), options)));
  const double infinity = std::numeric_limits<double>::infinity();
  const Tensor y = upsample(Tensor::from({1.0, infinity, 2.0}, {1, 3, 1}),
                            {.size = 5, .mode = UpsampleMode::linear, .align_corners = true});
  CHECK(values_of(y) == Values{1, infinity, infinity, infinity, 2});
}

TEST_CASE("upsample is linear: its second derivative is that of what surrounds it") {
  const Tensor x = irregular({1, 3, 4, 2});
  const auto f = [](Arg in) { return upsample(in * in * in, {.size = {5, 3}, .mode = UpsampleMode::bilinear}); };
  CHECK(gradcheck(f, x, {.second_order = true}));
  CHECK(gradcheck([](Arg in) { return upsample(in * in * in, {.scale_factor = 2}); }, x, {.second_order = true}));
}

TEST_CASE("upsample says what does not fit") {
  using enum UpsampleMode;
  const Tensor x = zeros({1, 4, 4, 3});
  const Tensor sequence = zeros({1, 4, 3});
  CHECK(error_of([&] { upsample(x, {}); }) ==
        "upsample: neither size nor scale_factor is given, at here; give one of them");
  CHECK(error_of([&] { upsample(x, {.size = 8, .scale_factor = 2}); }) ==
        "upsample: both size and scale_factor are given, at here; give one of them");
  CHECK(error_of([&] { upsample(x, {.size = {8, 0}}); }) == "upsample: size {8, 0} is below 1, at here");
  CHECK(error_of([&] { upsample(x, {.size = std::int64_t{1} << 40}); }) ==
        "upsample: size 1.09951e+12 is too large, at here");
  CHECK(error_of([&] { upsample(x, {.scale_factor = 0}); }) ==
        "upsample: scale_factor 0 is not a positive number, at here");
  CHECK(error_of([&] {
          upsample(x, {.scale_factor = {1, std::nan("")}});
        }) == "upsample: scale_factor {1, nan} is not a positive number, at here");
  CHECK(error_of([&] { upsample(x, {.scale_factor = 1e300}); }) ==
        "upsample: scale_factor 1e+300 is too large for f32[1, 4, 4, 3], at here");
  CHECK(error_of([&] { upsample(x, {.scale_factor = 0.2}); }) ==
        "upsample: scale_factor 0.2 leaves nothing of axis 1 of f32[1, 4, 4, 3], at here");
  CHECK(error_of([&] { upsample(x, {.size = 8, .mode = linear}); }) ==
        "upsample: x is f32[1, 4, 4, 3], at here; the mode of images is bilinear or nearest");
  CHECK(error_of([&] { upsample(sequence, {.size = 8, .mode = bilinear}); }) ==
        "upsample: x is f32[1, 4, 3], at here; the mode of sequences is linear or nearest");
  CHECK(error_of([&] {
          upsample(sequence, {.size = {8, 2}});
        }) == "upsample: x is f32[1, 4, 3], sequences, and there are two sizes, at here; give one number");
  CHECK(error_of([&] { upsample(x, {.size = 8, .align_corners = true}); }) ==
        "upsample: align_corners has no meaning for the mode nearest, at here; use linear or bilinear");
  CHECK(error_of([&] {
          upsample(zeros({4, 3}), {.size = 8});
        }) ==
        "upsample: x is f32[4, 3], not images [batch, height, width, channels] or sequences [batch, time, channels], "
        "at here");
  CHECK(error_of([&] { upsample(x.to(i32), {.size = 8}); }) ==
        "upsample: i32[1, 4, 4, 3] holds integers, at here; convert it with to(f32)");
  CHECK(error_of([&] {
          upsample(zeros({1, 0, 4, 3}), {.size = 8});
        }) == "upsample: axis 1 of f32[1, 0, 4, 3] has no elements, at here");
}
