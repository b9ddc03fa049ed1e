#include "autograd/ops/upsample.h"

#include <cmath>
#include <cstdio>

#include "autograd/ops/resample.h"

namespace tapegrad {
namespace {

// Position i of the result lies at (i + offset) numerator / denominator - offset in x.
struct UpsampleAxis {
  static constexpr const char* name = "upsample";
  static constexpr const char* doc = "Images of another size by interpolation; also the transpose of that.";
  std::int64_t in = 1, out = 1;
  double numerator = 1, denominator = 1;
  double offset = 0;
  bool is_linear = false;

  bool has_weights() const { return is_linear; }
  double divisor(std::int64_t) const { return 1; }
  template <class F>
  void for_each_term(F&& f) const {
    for (std::int64_t i = 0; i < out; ++i) {
      const double place = (static_cast<double>(i) + offset) * numerator / denominator - offset;
      const double below = std::floor(std::clamp(place, 0.0, static_cast<double>(in - 1)));
      const auto element = static_cast<std::int64_t>(below);
      const double fraction = place - below;
      if (is_linear && fraction > 0 && element + 1 < in) {
        f(i, element, 1 - fraction);
        f(i, element + 1, fraction);
      } else {
        f(i, element, 1.0);
      }
    }
  }
  static std::vector<Sample<detail::ResampleAttributes<UpsampleAxis>>> samples();
};

using Upsample = detail::Resample<UpsampleAxis>;

constexpr std::int64_t largest_size = std::int64_t{1} << 31;

std::string text_of(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}

template <class T>
std::string text_of(const HeightWidth<T>& size) {
  const auto one = [](T value) { return text_of(static_cast<double>(value)); };
  return size.height == size.width ? one(size.height) : "{" + one(size.height) + ", " + one(size.width) + "}";
}

UpsampleAxis upsample_axis(std::int64_t in, std::int64_t size, double scale_factor, const UpsampleOptions& o) {
  UpsampleAxis axis;
  axis.in = in;
  axis.out = o.size.is_given() ? size : static_cast<std::int64_t>(static_cast<double>(in) * scale_factor);
  axis.is_linear = o.mode != UpsampleMode::nearest;
  if (o.align_corners) {
    axis.numerator = axis.out > 1 ? static_cast<double>(in - 1) : 0;
    axis.denominator = axis.out > 1 ? static_cast<double>(axis.out - 1) : 1;
    return axis;
  }
  axis.numerator = o.size.is_given() ? static_cast<double>(in) : 1;
  axis.denominator = o.size.is_given() ? static_cast<double>(size) : scale_factor;
  axis.offset = axis.is_linear ? 0.5 : 0;
  return axis;
}

// What of the options depends on the number of axes.
void check_input(const Inputs& inputs, const UpsampleOptions& o) {
  const Tensor& x = inputs[0];
  const bool is_image = x.ndim() == 4;
  if (!is_image && x.ndim() != 3) {
    inputs.fail("x is " + describe(x) +
                ", not images [batch, height, width, channels] or sequences [batch, time, channels]");
  }
  if (!is_floating(x.dtype())) inputs.fail(describe(x) + " holds integers", "convert it with to(f32)");
  if (o.mode == (is_image ? UpsampleMode::linear : UpsampleMode::bilinear)) {
    inputs.fail("x is " + describe(x),
                is_image ? "the mode of images is bilinear or nearest" : "the mode of sequences is linear or nearest");
  }
  if (!is_image && (o.size.height != o.size.width || o.scale_factor.height != o.scale_factor.width)) {
    inputs.fail("x is " + describe(x) + ", sequences, and there are two sizes", "give one number");
  }
}

}  // namespace

Tensor upsample(Arg x, const UpsampleOptions& o) {
  const Tensor* const from = &detail::defined("upsample", x);
  const Inputs inputs("upsample", &from, 1, x.at());
  detail::check_upsample_options("upsample", o, x.at());
  check_input(inputs, o);
  const auto axis_of = [&](int k, std::int64_t size, double scale_factor) {
    const std::int64_t n = from->shape()[k];
    if (n < 1) inputs.fail("axis " + std::to_string(k) + " of " + describe(*from) + " has no elements");
    if (!o.size.is_given() && !(static_cast<double>(n) * scale_factor <= static_cast<double>(largest_size))) {
      inputs.fail("scale_factor " + text_of(o.scale_factor) + " is too large for " + describe(*from));
    }
    const UpsampleAxis axis = upsample_axis(n, size, scale_factor, o);
    if (axis.out < 1) {
      inputs.fail("scale_factor " + text_of(o.scale_factor) + " leaves nothing of axis " + std::to_string(k) + " of " +
                  describe(*from));
    }
    return axis;
  };
  const UpsampleAxis height = axis_of(1, o.size.height, o.scale_factor.height);
  const bool is_image = from->ndim() == 4;
  return apply<Upsample>({height, is_image ? axis_of(2, o.size.width, o.scale_factor.width) : UpsampleAxis{}}, x);
}

namespace detail {

void check_upsample_options(const char* name, const UpsampleOptions& o, SourceLocation at) {
  if (o.size.is_given() == o.scale_factor.is_given()) {
    fail_op(name, o.size.is_given() ? "both size and scale_factor are given" : "neither size nor scale_factor is given",
            at, "give one of them");
  }
  if (o.size.is_given() && std::min(o.size.height, o.size.width) < 1) {
    fail_op(name, "size " + text_of(o.size) + " is below 1", at);
  }
  if (std::max(o.size.height, o.size.width) > largest_size)
    fail_op(name, "size " + text_of(o.size) + " is too large", at);
  const auto is_positive = [](double factor) { return factor > 0 && std::isfinite(factor); };
  if (o.scale_factor.is_given() && !(is_positive(o.scale_factor.height) && is_positive(o.scale_factor.width))) {
    fail_op(name, "scale_factor " + text_of(o.scale_factor) + " is not a positive number", at);
  }
  if (o.align_corners && o.mode == UpsampleMode::nearest) {
    fail_op(name, "align_corners has no meaning for the mode nearest", at, "use linear or bilinear");
  }
}

}  // namespace detail

// ---- samples ----

namespace {

std::vector<Sample<detail::ResampleAttributes<UpsampleAxis>>> UpsampleAxis::samples() {
  using enum UpsampleMode;
  struct Case {
    Tensor x;
    UpsampleOptions options;
  };
  const Tensor x = detail::sample_values({2, 3, 4, 3});
  const Tensor sequence = detail::sample_values({2, 5, 3});
  const Tensor large = detail::sample_values({2, 16, 16, 7});
  const Case cases[] = {
      {x, {.scale_factor = 2}},
      {x, {.scale_factor = 2, .mode = bilinear}},
      {x, {.scale_factor = {1.5, 0.5}, .mode = bilinear}},
      {x, {.size = {5, 7}}},
      {x, {.size = {2, 9}, .mode = bilinear, .align_corners = true}},
      {x, {.size = 1, .mode = bilinear, .align_corners = true}},
      {x, {.size = {2, 3}}},
      {sequence, {.scale_factor = 2.5}},
      {sequence, {.size = 8, .mode = linear}},
      {sequence, {.size = 3, .mode = linear, .align_corners = true}},
      {detail::sample_values({0, 3, 2, 2}), {.scale_factor = 3, .mode = bilinear}},
      {large, {.scale_factor = 2, .mode = bilinear}},
      {large, {.scale_factor = 3}},
  };
  std::vector<Sample<detail::ResampleAttributes<UpsampleAxis>>> samples;
  for (const auto& [input, o] : cases) {
    for (const bool transposed : {false, true}) {
      Shape shape = input.shape();
      detail::ResampleAttributes<UpsampleAxis> a{
          upsample_axis(shape[1], o.size.height, o.scale_factor.height, o), {}, transposed};
      if (shape.ndim() == 4) a.width = upsample_axis(shape[2], o.size.width, o.scale_factor.width, o);
      if (transposed) shape[1] = a.height.out;
      if (transposed && shape.ndim() == 4) shape[2] = a.width.out;
      samples.push_back({{detail::sample_values(shape)}, a});
    }
  }
  return samples;
}

}  // namespace

namespace detail {

std::vector<OpDescription> upsample_ops() { return describe_ops<Upsample>(); }

}  // namespace detail
}  // namespace tapegrad
