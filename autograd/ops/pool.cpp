#include "autograd/ops/pool.h"

#include <iterator>

#include "autograd/ops/reduce.h"
#include "autograd/ops/resample.h"

namespace tapegrad {
namespace {

using detail::ImageSizes;
using detail::PoolAxes;
using detail::PoolAxis;

// ---- the largest elements ----

struct MaxPoolAttributes {
  PoolAxis height, width;
  Tensor index{};  // of the result's shape: the numbers of the largest elements in their windows, as kernels have them

  std::int64_t taps() const { return height.kernel * width.kernel; }
  DType index_type() const { return taps() <= 255 ? boolean : i32; }  // as bytes: one is stored as a boolean is
};

Shape with_sizes(Shape shape, std::int64_t height, std::int64_t width) {
  shape[1] = height;
  if (shape.ndim() == 4) shape[2] = width;
  return shape;
}

using MaxPoolKernel = void (*)(const kernels::MaxPoolArguments&);

// Fills y from x by one of the three kernels; `transposed`: x has the sizes of the pooled images.
void run_max_pool(MaxPoolKernel kernel, const MaxPoolAttributes& a, bool transposed, const Tensor& x, Tensor& y) {
  using kernels::WindowTap;
  const Tensor from = detail::contiguous_elements(x);
  const ImageSizes source(from.shape());
  const ImageSizes sizes(y.shape());
  const auto table_of = [&](const PoolAxis& axis, std::int64_t unit, std::int64_t numbers) {
    return detail::TapTable<WindowTap>(transposed ? axis.in : axis.out, [&](auto visit) {
      axis.for_each_tap([&](std::int64_t position, std::int64_t element, std::int64_t k) {
        const auto number = static_cast<std::int32_t>(k * numbers);
        if (!transposed) return visit(position, {element * unit, number});
        visit(element, {position * unit, number});
      });
    });
  };
  const auto height = table_of(a.height, source.width * source.channels, a.width.kernel);
  const auto width = table_of(a.width, source.channels, 1);
  kernels::MaxPoolArguments arguments{height.axis(), width.axis(), sizes.channels};
  arguments.from_image = source.height * source.width * source.channels;
  arguments.from = from.data();
  arguments.to = y.data();
  arguments.index = a.index.defined() ? a.index.data() : nullptr;
  arguments.has_wide_index = a.index_type() == i32;
  detail::for_image_rows(sizes, height.taps_per_position() * width.taps_per_position(),
                         [&](std::int64_t begin, std::int64_t end) {
                           kernels::MaxPoolArguments part = arguments;
                           part.begin = begin;
                           part.end = end;
                           kernel(part);
                         });
}

std::vector<Sample<MaxPoolAttributes>> max_pool_samples();
std::vector<Sample<MaxPoolAttributes>> indexed_samples(bool pooled);

// The elements whose numbers are in the index, and the transpose of that: each other's gradients.
struct MaxPoolScatter;

struct MaxPoolSelect {
  static constexpr const char* name = "max_pool_select";
  static constexpr const char* doc =
      "The elements where the largest ones of another tensor were: the derivative of max_pool.";
  using Attributes = MaxPoolAttributes;
  static constexpr Uses uses = {};
  static constexpr bool is_linear = true;
  static Shape shape(const Inputs& x, const Attributes& a) {
    return with_sizes(x[0].shape(), a.height.out, a.width.out);
  }
  static Tensor forward(const Inputs& x, Attributes& a, const Shape& shape) {
    Tensor y = Tensor::empty(shape, x[0].dtype());
    run_max_pool(kernels::table().max_pool_select[detail::kernel_index(y.dtype())], a, false, x[0], y);
    return y;
  }
  static void vjp(Walk& w, const Attributes& a, const Tensor& g);
  static std::vector<Sample<Attributes>> samples() { return indexed_samples(false); }
};

struct MaxPoolScatter {
  static constexpr const char* name = "max_pool_scatter";
  static constexpr const char* doc =
      "Elements brought to where the largest ones were, and added: the gradient of max_pool.";
  using Attributes = MaxPoolAttributes;
  static constexpr Uses uses = {};
  static constexpr bool is_linear = true;
  static Shape shape(const Inputs& x, const Attributes& a) { return with_sizes(x[0].shape(), a.height.in, a.width.in); }
  static Tensor forward(const Inputs& x, Attributes& a, const Shape& shape) {
    Tensor y = Tensor::empty(shape, x[0].dtype());
    run_max_pool(kernels::table().max_pool_scatter[detail::kernel_index(y.dtype())], a, true, x[0], y);
    return y;
  }
  static void vjp(Walk& w, const Attributes& a, const Tensor& g) { w.give(0, apply<MaxPoolSelect>(a, Arg(g))); }
  static std::vector<Sample<Attributes>> samples() { return indexed_samples(true); }
};

void MaxPoolSelect::vjp(Walk& w, const Attributes& a, const Tensor& g) { w.give(0, apply<MaxPoolScatter>(a, Arg(g))); }

struct MaxPool {
  static constexpr const char* name = "max_pool";
  static constexpr const char* doc = "The largest element of each window, channel by channel.";
  using Attributes = MaxPoolAttributes;
  static constexpr Uses uses = {};
  static Shape shape(const Inputs& x, const Attributes& a) {
    return with_sizes(x[0].shape(), a.height.out, a.width.out);
  }
  static Tensor forward(const Inputs& x, Attributes& a, const Shape& shape) {
    Tensor y = Tensor::empty(shape, x[0].dtype());
    if (detail::record.recording) a.index = Tensor::empty(shape, a.index_type());
    run_max_pool(kernels::table().max_pool[detail::kernel_index(y.dtype())], a, false, x[0], y);
    return y;
  }
  static void vjp(Walk& w, const Attributes& a, const Tensor& g) { w.give(0, apply<MaxPoolScatter>(a, Arg(g))); }
  static void jvp(Tangents& t, const Attributes& a) { t.give(apply<MaxPoolSelect>(a, Arg(t[0]))); }
  static std::vector<Sample<Attributes>> samples() { return max_pool_samples(); }
};

// ---- means ----

struct MeanAxis {
  static constexpr const char* name = "avg_pool";
  static constexpr const char* doc = "The mean of each window, channel by channel; also the transpose of that.";
  PoolAxis windows;
  bool count_include_pad = true;
  std::int64_t in = windows.in, out = windows.out;

  template <class F>
  void for_each_term(F&& f) const {
    windows.for_each_tap([&](std::int64_t position, std::int64_t element, std::int64_t) { f(position, element, 1.0); });
  }
  bool has_weights() const { return false; }
  double divisor(std::int64_t i) const {
    const std::int64_t first = windows.first(i);
    const std::int64_t last = first + windows.size(i);
    if (count_include_pad) return static_cast<double>(std::min(last, in + windows.padding) - first);
    return static_cast<double>(std::min(last, in) - std::max<std::int64_t>(first, 0));
  }
  static std::vector<Sample<detail::ResampleAttributes<MeanAxis>>> samples();
};

using AvgPool = detail::Resample<MeanAxis>;

// ---- the ops on their axes ----

Tensor max_over(const char* name, const Arg& x, const PoolAxes& axes) {
  MaxPoolAttributes a{axes.height, axes.width};
  if (a.taps() > detail::largest_pool_size - 1) {
    detail::fail_op(name, "windows of " + std::to_string(a.taps()) + " elements are too large", x.at());
  }
  return apply<MaxPool>(std::move(a), x);
}

Tensor mean_over(const Arg& x, const PoolAxes& axes, bool count_include_pad) {
  return apply<AvgPool>({{axes.height, count_include_pad}, {axes.width, count_include_pad}}, x);
}

Tensor slide_max(const char* name, const Arg& x, int axes, Size2d kernel_size, const MaxPool2dOptions& options) {
  const Tensor& from = detail::checked_pool_input(name, x, axes);
  return max_over(name, x, detail::sliding_axes(name, from, kernel_size, options, x.at()));
}

Tensor slide_mean(const char* name, const Arg& x, int axes, Size2d kernel_size, const AvgPool2dOptions& o) {
  const Tensor& from = detail::checked_pool_input(name, x, axes);
  const MaxPool2dOptions windows{o.stride, o.padding, 1, o.ceil_mode};
  return mean_over(x, detail::sliding_axes(name, from, kernel_size, windows, x.at()), o.count_include_pad);
}

Tensor adapt_max(const char* name, const Arg& x, int axes, Size2d output_size) {
  return max_over(name, x, detail::adaptive_axes(name, detail::checked_pool_input(name, x, axes), output_size, x.at()));
}

Tensor adapt_mean(const char* name, const Arg& x, int axes, Size2d output_size) {
  return mean_over(x, detail::adaptive_axes(name, detail::checked_pool_input(name, x, axes), output_size, x.at()),
                   false);
}

Size2d both(const std::optional<std::int64_t>& stride) { return stride ? Size2d(*stride) : Size2d(); }

// All axes between the first and the last one.
ReduceOptions inner_axes(const char* name, const Arg& x) {
  const Tensor& from = detail::defined(name, x);
  const Tensor& image = detail::checked_pool_input(name, x, from.ndim() == 3 ? 3 : 4);
  detail::adaptive_axes(name, image, 1, x.at());
  return {.axis = image.ndim() == 4 ? Axes{1, 2} : Axes{1}};
}

}  // namespace

Tensor max_pool1d(Arg x, std::int64_t kernel_size, const MaxPool1dOptions& o) {
  return slide_max("max_pool1d", x, 3, kernel_size, {both(o.stride), o.padding, o.dilation, o.ceil_mode});
}
Tensor max_pool2d(Arg x, Size2d kernel_size, const MaxPool2dOptions& options) {
  return slide_max("max_pool2d", x, 4, kernel_size, options);
}
Tensor avg_pool1d(Arg x, std::int64_t kernel_size, const AvgPool1dOptions& o) {
  return slide_mean("avg_pool1d", x, 3, kernel_size, {both(o.stride), o.padding, o.ceil_mode, o.count_include_pad});
}
Tensor avg_pool2d(Arg x, Size2d kernel_size, const AvgPool2dOptions& options) {
  return slide_mean("avg_pool2d", x, 4, kernel_size, options);
}

Tensor adaptive_max_pool1d(Arg x, std::int64_t output_size) {
  return adapt_max("adaptive_max_pool1d", x, 3, output_size);
}
Tensor adaptive_max_pool2d(Arg x, Size2d output_size) { return adapt_max("adaptive_max_pool2d", x, 4, output_size); }
Tensor adaptive_avg_pool1d(Arg x, std::int64_t output_size) {
  return adapt_mean("adaptive_avg_pool1d", x, 3, output_size);
}
Tensor adaptive_avg_pool2d(Arg x, Size2d output_size) { return adapt_mean("adaptive_avg_pool2d", x, 4, output_size); }

Tensor global_max_pool(Arg x) { return max(x, inner_axes("global_max_pool", x)); }
Tensor global_avg_pool(Arg x) { return mean(x, inner_axes("global_avg_pool", x)); }

// ---- samples ----

namespace {

PoolAxes sliding(const Tensor& x, Size2d kernel_size, const MaxPool2dOptions& options) {
  return detail::sliding_axes("sample", x, kernel_size, options, SourceLocation::current());
}
PoolAxes adaptive(const Tensor& x, Size2d output_size) {
  return detail::adaptive_axes("sample", x, output_size, SourceLocation::current());
}

struct PoolSample {
  Tensor x;
  PoolAxes axes;
};

// Values that differ by 1/4 and more within 3 by 3 pixels, so that differences of many do not change their order.
Tensor distant_values(const Shape& shape) {
  Tensor x = detail::sample_values(shape);
  for (std::int64_t i = 0; i < x.size(); ++i) {
    const std::int64_t c = i % shape[3];
    const std::int64_t column = i / shape[3] % shape[2];
    const std::int64_t row = i / shape[3] / shape[2] % shape[1];
    x.data<double>()[i] = 0.02 * x.data<double>()[i] + static_cast<double>((4 * row + column + c) % 16) / 4;
  }
  return x;
}

// Windows side by side, overlapping, with gaps and dilated; padding; sequences; adaptive ones, also to more elements
// than there are; blocks of channels and their tails; enough for several threads; a kernel of more than 255 elements.
std::vector<PoolSample> pool_samples(bool dilated) {
  const Tensor x = detail::sample_values({2, 5, 7, 3});
  const Tensor sequence = detail::sample_values({2, 9, 3});
  const Tensor many_channels = detail::sample_values({1, 4, 4, 37});
  const Tensor large = distant_values({2, 48, 48, 5});
  const Tensor empty = detail::sample_values({0, 4, 4, 2});
  const Tensor small = detail::sample_values({1, 3, 2, 2});
  const Tensor lengthy = detail::sample_values({1, 300, 2});
  const Size2d dilation = dilated ? Size2d(2, 1) : Size2d(1);
  return {{x, sliding(x, 2, {})},
          {x, sliding(x, {3, 2}, {.stride = {1, 2}, .padding = 1, .dilation = dilation})},
          {x, sliding(x, 3, {.stride = 2, .padding = 1, .ceil_mode = true})},
          {x, sliding(x, {1, 2}, {.stride = 3, .ceil_mode = true})},
          {sequence, sliding(sequence, 4, {.stride = 3})},
          {sequence, sliding(sequence, 3, {.stride = 1, .padding = 1, .dilation = dilation})},
          {many_channels, sliding(many_channels, {2, 3}, {.stride = 1})},
          {empty, sliding(empty, 2, {})},
          {x, adaptive(x, {3, 2})},
          {small, adaptive(small, {5, 4})},
          {sequence, adaptive(sequence, 4)},
          {lengthy, sliding(lengthy, 260, {.stride = 20})},
          {large, sliding(large, 3, {.stride = 2})}};
}

std::vector<Sample<MaxPoolAttributes>> max_pool_samples() {
  std::vector<Sample<MaxPoolAttributes>> samples;
  for (const PoolSample& s : pool_samples(true)) samples.push_back({{s.x}, {s.axes.height, s.axes.width}});
  return samples;
}

// With the places of the largest elements of x, of an input of x's shape or of the pooled one.
std::vector<Sample<MaxPoolAttributes>> indexed_samples(bool pooled) {
  std::vector<Sample<MaxPoolAttributes>> samples;
  for (const PoolSample& s : pool_samples(true)) {
    MaxPoolAttributes a{s.axes.height, s.axes.width};
    Tensor y = Tensor::empty(with_sizes(s.x.shape(), a.height.out, a.width.out), f64);
    a.index = Tensor::empty(y.shape(), a.index_type());
    run_max_pool(kernels::table().max_pool[1], a, false, s.x, y);
    samples.push_back({{detail::sample_values(pooled ? y.shape() : s.x.shape(), 2)}, a});
  }
  return samples;
}

std::vector<Sample<detail::ResampleAttributes<MeanAxis>>> MeanAxis::samples() {
  std::vector<Sample<detail::ResampleAttributes<MeanAxis>>> samples;
  for (const PoolSample& s : pool_samples(false)) {
    for (const bool transposed : {false, true}) {
      for (const bool count : {false, true}) {
        if (s.axes.height.is_adaptive && count) continue;
        const detail::ResampleAttributes<MeanAxis> a{{s.axes.height, count}, {s.axes.width, count}, transposed};
        const Shape pooled = with_sizes(s.x.shape(), a.height.out, a.width.out);
        samples.push_back({{transposed ? detail::sample_values(pooled) : s.x}, a});
      }
    }
  }
  return samples;
}

std::vector<OpDescription> global_pools() {
  using Tensors = std::vector<Tensor>;
  const Tensor x = detail::sample_values({2, 3, 4, 5});
  const Tensor large = detail::sample_values({9, 30, 40, 3});
  const auto samples = [&](Tensor (*pool)(Arg)) {
    const auto apply = [pool](const Tensors& in) { return pool(in[0]); };
    return std::vector<OpSample>{{{x}, apply}, {{detail::sample_values({2, 7, 3})}, apply}, {{large}, apply}};
  };
  return describe_composites(
      {{"global_max_pool", "The largest element of each channel.", "max(x, {1, 2})", samples(global_max_pool)},
       {"global_avg_pool", "The mean of each channel.", "mean(x, {1, 2})", samples(global_avg_pool)}});
}

}  // namespace

namespace detail {

std::vector<OpDescription> pool_ops() {
  std::vector<OpDescription> all = describe_ops<MaxPool, MaxPoolSelect, MaxPoolScatter, AvgPool>();
  std::ranges::move(global_pools(), std::back_inserter(all));
  return all;
}

}  // namespace detail
}  // namespace tapegrad
