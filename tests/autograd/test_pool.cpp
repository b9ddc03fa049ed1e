// Pooling against plain loops over its definition: values and gradients for many options, ties, NaN, sizes, and what
// bad input says.
#include "autograd/ops/pool.h"

#include <limits>

#include "autograd/gradcheck.h"
#include "autograd/jvp.h"
#include "autograd/ops/conv.h"
#include "tests/autograd/op_support.h"

using namespace op_test;
using Values = std::vector<double>;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
const double nan_value = std::nan("");

// ---- the definition ----

// An interval [begin, end) of elements of an axis, in steps; it may reach beyond the axis.
struct Interval {
  std::int64_t begin, end, step = 1;
};

// Windows as PyTorch's documentation has them: they start at every multiple of the stride, counted from the first
// element of the padding, as long as they fit, or, in ceil_mode, as long as they start in x or in the padding before it
// and the one before them did not reach the end of the padding.
std::vector<Interval> slide(std::int64_t n, std::int64_t kernel, std::int64_t stride, std::int64_t padding,
                            std::int64_t dilation, bool ceil_mode) {
  std::vector<Interval> windows;
  const std::int64_t span = dilation * (kernel - 1) + 1;
  for (std::int64_t start = 0;; start += stride) {
    const bool fits = start + span <= n + 2 * padding;
    const bool may_stick_out = ceil_mode && start < n + padding && start - stride + span < n + 2 * padding;
    if (!fits && !may_stick_out) return windows;
    windows.push_back({start - padding, start - padding + span, dilation});
  }
}

std::vector<Interval> adapt(std::int64_t n, std::int64_t m) {
  std::vector<Interval> windows;
  for (std::int64_t i = 0; i < m; ++i) {
    const auto part = static_cast<double>(n) / static_cast<double>(m);
    windows.push_back({static_cast<std::int64_t>(std::floor(static_cast<double>(i) * part + 1e-9)),
                       static_cast<std::int64_t>(std::ceil(static_cast<double>(i + 1) * part - 1e-9))});
  }
  return windows;
}

struct Result {
  Tensor value, gradient;  // the latter of <value, cotangent>
};

Tensor cotangent_of(const Tensor& y) { return irregular(y.shape(), 5); }

// Calls f(elements in x of the window of y[b, i, j, c], as offsets) for every element of y, whose shape it returns.
template <class F>
Shape for_windows(const Tensor& x, const std::vector<Interval>& rows, const std::vector<Interval>& columns, F&& f) {
  const Shape s = x.shape();
  std::int64_t at = 0;
  for (std::int64_t b = 0; b < s[0]; ++b) {
    for (const Interval& row : rows) {
      for (const Interval& column : columns) {
        for (std::int64_t c = 0; c < s[3]; ++c, ++at) {
          std::vector<std::int64_t> elements;
          for (std::int64_t r = row.begin; r < row.end; r += row.step) {
            for (std::int64_t q = column.begin; q < column.end; q += column.step) {
              if (r < 0 || r >= s[1] || q < 0 || q >= s[2]) continue;
              elements.push_back(((b * s[1] + r) * s[2] + q) * s[3] + c);
            }
          }
          f(at, row, column, elements);
        }
      }
    }
  }
  return {s[0], static_cast<std::int64_t>(rows.size()), static_cast<std::int64_t>(columns.size()), s[3]};
}

Result max_by_loop(const Tensor& x, const std::vector<Interval>& rows, const std::vector<Interval>& columns) {
  const Values from = values_of(x);
  Values value;
  std::vector<std::int64_t> place;
  const Shape shape = for_windows(
      x, rows, columns, [&](std::int64_t, const Interval&, const Interval&, const std::vector<std::int64_t>& elements) {
        double best = -infinity;
        std::int64_t where = elements.empty() ? -1 : elements[0];
        for (const std::int64_t e : elements) {
          const double v = from[static_cast<std::size_t>(e)];
          if (v > best || std::isnan(v)) {
            best = v;
            where = e;
          }
        }
        value.push_back(best);
        place.push_back(where);
      });
  Result result{Tensor::from(value, shape), zeros(x.shape(), f64)};
  const Values g = values_of(cotangent_of(result.value));
  for (std::size_t k = 0; k < place.size(); ++k) {
    if (place[k] >= 0) result.gradient.span<double>()[static_cast<std::size_t>(place[k])] += g[k];
  }
  return result;
}

// The divisor of a mean: of a window [begin, end), what lies in x, or in x and its padding.
std::int64_t counted(const Interval& window, std::int64_t n, std::int64_t padding, bool include) {
  std::int64_t count = 0;
  for (std::int64_t e = window.begin; e < window.end; ++e) {
    count += include ? e < n + padding : e >= 0 && e < n;
  }
  return count;
}

Result mean_by_loop(const Tensor& x, const std::vector<Interval>& rows, const std::vector<Interval>& columns,
                    Size2d padding, bool include) {
  const Values from = values_of(x);
  Values value;
  std::vector<std::pair<double, std::vector<std::int64_t>>> windows;
  const Shape shape = for_windows(
      x, rows, columns,
      [&](std::int64_t, const Interval& row, const Interval& column, const std::vector<std::int64_t>& elements) {
        const auto divisor = static_cast<double>(counted(row, x.shape(1), padding.height, include) *
                                                 counted(column, x.shape(2), padding.width, include));
        double sum = 0;
        for (const std::int64_t e : elements) sum += from[static_cast<std::size_t>(e)];
        value.push_back(sum / divisor);
        windows.push_back({divisor, elements});
      });
  Result result{Tensor::from(value, shape), zeros(x.shape(), f64)};
  const Values g = values_of(cotangent_of(result.value));
  for (std::size_t k = 0; k < windows.size(); ++k) {
    const auto& [divisor, elements] = windows[k];
    for (const std::int64_t e : elements) result.gradient.span<double>()[static_cast<std::size_t>(e)] += g[k] / divisor;
  }
  return result;
}

// ---- comparison ----

// Values with and without a tape, and the gradient, in both precisions.
template <class F>
void check(const F& f, const Tensor& x, const Result& expected) {
  for (const DType type : {f64, f32}) {
    const double tolerance = type == f64 ? 1e-13 : 3e-6;
    Tensor at = x.to(type);
    const Tensor plain = f(at);
    REQUIRE(plain.shape() == expected.value.shape());
    Tape tape;
    tape.watch(at);
    const Tensor y = f(at);
    REQUIRE(same_bits(y, plain));
    const Tensor g = tape.gradient(y, at, {.seed = cotangent_of(y).to(type)});
    REQUIRE(allclose(y.to(f64), expected.value, {.rtol = tolerance, .atol = tolerance}));
    REQUIRE(is_close(g.to(f64), expected.gradient, tolerance));
  }
}

// Few values, so that windows have ties; the same ones in f32.
Tensor with_ties(const Shape& shape) { return floor(irregular(shape, 3) * 2); }

const Shape odd_sizes[] = {{2, 5, 7, 3}, {1, 6, 4, 2}, {1, 1, 9, 1}, {3, 3, 1, 20}};

}  // namespace

TEST_CASE("max_pool2d is the definition, for every combination of options") {
  int combinations = 0;
  for (const Shape& shape : odd_sizes) {
    const Tensor x = with_ties(shape);
    for (const Size2d kernel : {Size2d(1), Size2d(2), Size2d(3), Size2d(2, 1), Size2d(1, 4)}) {
      for (const Size2d stride : {Size2d(1), Size2d(2), Size2d(3, 2)}) {
        for (const Size2d padding : {Size2d(0), Size2d(kernel.height / 2, kernel.width / 2)}) {
          for (const Size2d dilation : {Size2d(1), Size2d(1, 3), Size2d(2)}) {
            for (const bool ceil_mode : {false, true}) {
              const auto rows =
                  slide(shape[1], kernel.height, stride.height, padding.height, dilation.height, ceil_mode);
              const auto columns =
                  slide(shape[2], kernel.width, stride.width, padding.width, dilation.width, ceil_mode);
              if (rows.empty() || columns.empty()) continue;
              CAPTURE(to_string(shape), kernel.height, kernel.width, stride.height, padding.height, padding.width,
                      dilation.height, dilation.width, ceil_mode);
              const auto f = [&](Arg input) {
                return max_pool2d(input, kernel,
                                  {.stride = stride, .padding = padding, .dilation = dilation, .ceil_mode = ceil_mode});
              };
              check(f, x, max_by_loop(x, rows, columns));
              ++combinations;
            }
          }
        }
      }
    }
  }
  CHECK(combinations > 300);
}

TEST_CASE("avg_pool2d is the definition, for every combination of options") {
  int combinations = 0;
  for (const Shape& shape : odd_sizes) {
    const Tensor x = irregular(shape).to(f32).to(f64);
    for (const Size2d kernel : {Size2d(1), Size2d(2), Size2d(3), Size2d(2, 1), Size2d(1, 4)}) {
      for (const Size2d stride : {Size2d(1), Size2d(2), Size2d(3, 2)}) {
        for (const Size2d padding : {Size2d(0), Size2d(kernel.height / 2, kernel.width / 2)}) {
          for (const bool ceil_mode : {false, true}) {
            for (const bool include : {false, true}) {
              const auto rows = slide(shape[1], kernel.height, stride.height, padding.height, 1, ceil_mode);
              const auto columns = slide(shape[2], kernel.width, stride.width, padding.width, 1, ceil_mode);
              if (rows.empty() || columns.empty()) continue;
              CAPTURE(to_string(shape), kernel.height, kernel.width, stride.height, padding.height, padding.width,
                      ceil_mode, include);
              const auto f = [&](Arg input) {
                return avg_pool2d(
                    input, kernel,
                    {.stride = stride, .padding = padding, .ceil_mode = ceil_mode, .count_include_pad = include});
              };
              check(f, x, mean_by_loop(x, rows, columns, padding, include));
              ++combinations;
            }
          }
        }
      }
    }
  }
  CHECK(combinations > 200);
}

TEST_CASE("pooling of sequences is that of images one element wide") {
  const Tensor x = with_ties({2, 11, 5});
  const Tensor image = unsqueeze(x, 2);
  const auto squeezed = [](const Result& r) { return Result{squeeze(r.value, 2), squeeze(r.gradient, 2)}; };
  const std::vector<Interval> one = {{0, 1}};
  for (const bool ceil_mode : {false, true}) {
    const auto dilated = slide(11, 3, 2, 1, 2, ceil_mode);
    check([&](Arg in) { return max_pool1d(in, 3, {.stride = 2, .padding = 1, .dilation = 2, .ceil_mode = ceil_mode}); },
          x, squeezed(max_by_loop(image, dilated, one)));
    const auto plain = slide(11, 4, 4, 2, 1, ceil_mode);
    for (const bool include : {false, true}) {
      check(
          [&](Arg in) {
            return avg_pool1d(in, 4, {.padding = 2, .ceil_mode = ceil_mode, .count_include_pad = include});
          },
          x, squeezed(mean_by_loop(image, plain, one, {2, 0}, include)));
    }
  }
  check([](Arg in) { return max_pool1d(in, 3); }, x, squeezed(max_by_loop(image, slide(11, 3, 3, 0, 1, false), one)));
  check([](Arg in) { return adaptive_max_pool1d(in, 4); }, x, squeezed(max_by_loop(image, adapt(11, 4), one)));
  check([](Arg in) { return adaptive_avg_pool1d(in, 4); }, x,
        squeezed(mean_by_loop(image, adapt(11, 4), one, 0, false)));
}

TEST_CASE("adaptive pooling has the windows that follow from both sizes") {
  for (const Shape& shape : odd_sizes) {
    const Tensor x = with_ties(shape);
    for (const Size2d size : {Size2d(1), Size2d(2), Size2d(3, 5), Size2d(7, 1), Size2d(12)}) {
      CAPTURE(to_string(shape), size.height, size.width);
      const auto rows = adapt(shape[1], size.height);
      const auto columns = adapt(shape[2], size.width);
      check([&](Arg in) { return adaptive_max_pool2d(in, size); }, x, max_by_loop(x, rows, columns));
      check([&](Arg in) { return adaptive_avg_pool2d(in, size); }, x, mean_by_loop(x, rows, columns, 0, false));
    }
  }
}

TEST_CASE("global pooling leaves batch and channels") {
  const Tensor x = with_ties({2, 5, 7, 3});
  const std::vector<Interval> rows = {{0, 5}};
  const std::vector<Interval> columns = {{0, 7}};
  const auto flat = [](const Result& r) { return reshape(r.value, {2, 3}); };
  CHECK(is_close(global_max_pool(x), flat(max_by_loop(x, rows, columns))));
  CHECK(is_close(global_avg_pool(x), flat(mean_by_loop(x, rows, columns, 0, false))));
  CHECK(is_close(global_avg_pool(x), reshape(adaptive_avg_pool2d(x, 1), {2, 3})));
  CHECK(is_close(global_max_pool(reshape(x, {2, 35, 3})), global_max_pool(x)));
  CHECK(global_avg_pool(zeros({0, 4, 2})).shape() == Shape{0, 2});
}

TEST_CASE("of equal elements the first is the largest, of several NaN the last") {
  const auto gradient = [](const Values& values, std::int64_t kernel) {
    Tensor x = Tensor::from(values, {1, static_cast<std::int64_t>(values.size()), 1});
    Tape tape;
    tape.watch(x);
    const Tensor y = max_pool1d(x, kernel);
    return values_of(tape.gradient(y, x, {.seed = ones_like(y)}));
  };
  CHECK(gradient({1, 3, 3, 3}, 4) == Values{0, 1, 0, 0});
  CHECK(gradient({0, -0.0}, 2) == Values{1, 0});
  CHECK(gradient({-infinity, -infinity}, 2) == Values{1, 0});
  CHECK(gradient({1, nan_value, 5, 2, infinity, 0}, 3) == Values{0, 1, 0, 0, 1, 0});
  CHECK(gradient({nan_value, 1, nan_value, 2}, 4) == Values{0, 0, 1, 0});
  const Tensor y = max_pool1d(Tensor::from({1.0, nan_value, 5.0, 2.0}, {1, 4, 1}), 2);
  CHECK(std::isnan(y.at({0, 0, 0})));
  CHECK(y.at({0, 1, 0}) == 5);
}

TEST_CASE("a window of nothing but padding is -infinity and has no gradient") {
  const Tensor x = counting({1, 4, 2}) + 1;
  const std::vector<Interval> windows = slide(4, 2, 1, 1, 5, false);
  REQUIRE(windows.size() == 1);
  const Result expected = max_by_loop(unsqueeze(x, 2), windows, {{0, 1}});
  CHECK(values_of(expected.value) == Values{-infinity, -infinity});
  check([](Arg in) { return max_pool1d(in, 2, {.stride = 1, .padding = 1, .dilation = 5}); }, x,
        {squeeze(expected.value, 2), squeeze(expected.gradient, 2)});
}

TEST_CASE("kernels of more than 255 elements remember their largest elements too") {
  for (const std::int64_t kernel : {255, 256, 300}) {
    Tensor x = irregular({2, 600, 5}).to(f32).to(f64);
    x.span<double>()[(kernel - 1) * 5] = 9;  // the last element of the first window
    const Result expected = max_by_loop(unsqueeze(x, 2), slide(600, kernel, 100, 0, 1, false), {{0, 1}});
    check([&](Arg in) { return max_pool1d(in, kernel, {.stride = 100}); }, x,
          {squeeze(expected.value, 2), squeeze(expected.gradient, 2)});
  }
  const Tensor image = with_ties({1, 20, 17, 4});
  check([](Arg in) { return adaptive_max_pool2d(in, 1); }, image, max_by_loop(image, adapt(20, 1), adapt(17, 1)));
}

TEST_CASE("pooling of nothing, and of views") {
  CHECK(max_pool2d(zeros({0, 4, 4, 2}), 2).shape() == Shape{0, 2, 2, 2});
  CHECK(avg_pool2d(zeros({2, 4, 4, 0}), 2).shape() == Shape{2, 2, 2, 0});
  Tensor empty = zeros({0, 4, 4, 2});
  Tape tape;
  tape.watch(empty);
  const Tensor y = max_pool2d(empty, 2);
  CHECK(tape.gradient(y, empty, {.seed = zeros_like(y)}).shape() == Shape{0, 4, 4, 2});
  const Tensor x = with_ties({3, 6, 5, 4});
  const Tensor turned = permute(x, {3, 2, 1, 0});
  CHECK(same_bits(max_pool2d(turned, 2), max_pool2d(contiguous(turned), 2)));
  CHECK(same_bits(avg_pool2d(turned, 2), avg_pool2d(contiguous(turned), 2)));
}

TEST_CASE("means of equal small integers are exact") {
  for (const DType type : {f32, f64}) {
    const Tensor x = full({1, 12, 12, 3}, 7, type);
    for (const std::int64_t kernel : {1, 2, 3, 5, 6}) {
      const Tensor y = avg_pool2d(x, kernel, {.stride = 1, .padding = kernel / 2, .count_include_pad = false});
      CHECK(array_equal(y, full(y.shape(), 7, type)));
    }
  }
}

TEST_CASE("derivatives of pooling, to the third order") {
  const Tensor x = irregular({1, 5, 4, 2});
  const auto f = [](Arg in) { return max_pool2d(in * in * in, {3, 2}, {.stride = {1, 2}, .padding = {1, 0}}); };
  const auto slope = [&](Arg in) { return jvp(f, in, ones_like(in.tensor())).tangent; };
  CHECK(gradcheck(f, x, {.second_order = true}));
  CHECK(gradcheck(slope, x, {.second_order = true}));
  CHECK(gradcheck([](Arg in) { return avg_pool2d(in * in * in, 3, {.stride = 2, .padding = 1, .ceil_mode = true}); }, x,
                  {.second_order = true}));
}

TEST_CASE("second order through convolution and pooling", "[tape]") {
  const Tensor images = irregular({2, 7, 6, 2});
  const Tensor weight = irregular({3, 3, 3, 2}, 2);
  const auto f = [](Arg x, Arg w) { return avg_pool2d(max_pool2d(tanh(conv2d(x, w, {.padding = 1})), 2), 2); };
  CHECK(gradcheck(f, {images, weight}, {.second_order = true}));
}

TEST_CASE("pooling says which size is wrong") {
  const Tensor x = zeros({8, 3, 32, 32});
  CHECK(error_of([&] { max_pool2d(x, 5); }) ==
        "max_pool2d: windows over 5 elements are larger than the 3 along the height of x, f32[8, 3, 32, 32], at here; "
        "the layout is that of images [batch, height, width, channels]; if x has its channels first, permute(x, {0, 2, "
        "3, 1})");
  CHECK(error_of([&] {
          avg_pool1d(zeros({8, 3, 32}), 6, {.padding = 1});
        }) ==
        "avg_pool1d: windows over 6 elements are larger than the 5, with padding, along the time of x, f32[8, 3, 32], "
        "at here; the layout is that of sequences [batch, time, channels]; if x has its channels first, transpose(x, "
        "1, 2)");
  CHECK(error_of([&] {
          max_pool2d(zeros({8, 4, 4, 3}), {1, 3}, {.dilation = 2});
        }) ==
        "max_pool2d: windows over 5 elements are larger than the 4 along the width of x, f32[8, 4, 4, 3], at here; the "
        "layout is that of images [batch, height, width, channels]; if x has its channels first, permute(x, {0, 2, 3, "
        "1})");
  CHECK(error_of([&] {
          max_pool2d(zeros({4, 4, 3}), 2);
        }) ==
        "max_pool2d: x is f32[4, 4, 3], not images [batch, height, width, channels], at here; a single one is a batch "
        "of 1: unsqueeze(x, 0)");
  CHECK(error_of([&] { max_pool1d(x, 2); }) ==
        "max_pool1d: x is f32[8, 3, 32, 32], not sequences [batch, time, channels], at here");
  CHECK(error_of([&] { avg_pool2d(x.to(i32), 2); }) ==
        "avg_pool2d: i32[8, 3, 32, 32] holds integers, at here; convert it with to(f32)");
  CHECK(error_of([&] { max_pool2d(x, {2, 0}); }) == "max_pool2d: kernel_size {2, 0} is below 1, at here");
  CHECK(error_of([&] {
          max_pool1d(zeros({1, 3, 1}), 2, {.stride = 0});
        }) == "max_pool1d: stride 0 is below 1, at here");
  CHECK(error_of([&] { max_pool2d(x, 2, {.padding = -1}); }) == "max_pool2d: padding -1 is below 0, at here");
  CHECK(error_of([&] { max_pool2d(x, 2, {.dilation = 0}); }) == "max_pool2d: dilation 0 is below 1, at here");
  CHECK(error_of([&] {
          avg_pool2d(x, {3, 2}, {.padding = {1, 2}});
        }) ==
        "avg_pool2d: padding {1, 2} is more than half of kernel_size {3, 2}, at here; more can be added by pad()");
  const std::int64_t far = std::numeric_limits<std::int64_t>::max();
  CHECK(error_of([&] { max_pool2d(x, far); }) == "max_pool2d: kernel_size 9223372036854775807 is too large, at here");
  CHECK(error_of([&] { max_pool2d(x, 2, {.stride = far}); }) ==
        "max_pool2d: stride 9223372036854775807 is too large, at here");
  CHECK(error_of([&] {
          adaptive_avg_pool2d(x, {2, 0});
        }) == "adaptive_avg_pool2d: output_size {2, 0} is below 1, at here");
  CHECK(error_of([&] { adaptive_max_pool1d(x, 2); }) ==
        "adaptive_max_pool1d: x is f32[8, 3, 32, 32], not sequences [batch, time, channels], at here");
  CHECK(error_of([&] {
          adaptive_max_pool2d(zeros({8, 0, 4, 3}), 2);
        }) ==
        "adaptive_max_pool2d: there is nothing along the height of x, f32[8, 0, 4, 3], at here; the layout is that of "
        "images [batch, height, width, channels]; if x has its channels first, permute(x, {0, 2, 3, 1})");
  CHECK(error_of([&] {
          global_avg_pool(zeros({8, 3}));
        }) == "global_avg_pool: x is f32[8, 3], not images [batch, height, width, channels], at here");
  CHECK(error_of([&] { global_max_pool(Tensor()); }) == "global_max_pool: input 0 is an empty handle, at here");
}
