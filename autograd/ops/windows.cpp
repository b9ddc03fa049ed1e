#include "autograd/ops/windows.h"

namespace tapegrad::detail {
namespace {

std::string text_of(Size2d size) {
  if (size.height == size.width) return std::to_string(size.height);
  return "{" + std::to_string(size.height) + ", " + std::to_string(size.width) + "}";
}

const char* layout_of(int axes) {
  return axes == 4 ? "images [batch, height, width, channels]" : "sequences [batch, time, channels]";
}

[[noreturn]] void fail_axis(const char* name, const std::string& what, const char* axis, const Tensor& x,
                            SourceLocation at) {
  fail_op(name, what + " the " + axis + " of x, " + describe(x), at,
          std::string("the layout is that of ") + layout_of(x.ndim()) + "; if x has its channels first, " +
              (x.ndim() == 4 ? "permute(x, {0, 2, 3, 1})" : "transpose(x, 1, 2)"));
}

// PyTorch's rule for the number of windows.
PoolAxis sliding_axis(std::int64_t in, std::int64_t kernel, std::int64_t stride, std::int64_t padding,
                      std::int64_t dilation, bool ceil_mode) {
  PoolAxis axis{in, 0, kernel, stride, padding, dilation};
  const std::int64_t behind_first = in + 2 * padding - dilation * (kernel - 1) - 1 + (ceil_mode ? stride - 1 : 0);
  if (behind_first < 0) return axis;
  axis.out = behind_first / stride + 1;
  if (ceil_mode && (axis.out - 1) * stride >= in + padding) --axis.out;
  return axis;
}

PoolAxis adaptive_axis(std::int64_t in, std::int64_t out) {
  PoolAxis axis{in, out};
  axis.is_adaptive = true;
  for (std::int64_t i = 0; i < out; ++i) axis.kernel = std::max(axis.kernel, axis.size(i));
  return axis;
}

template <class MakeAxis>
PoolAxes axes_of(const Tensor& x, MakeAxis&& make) {
  const bool is_image = x.ndim() == 4;
  return {make(x.shape()[1], 0, is_image ? "height" : "time"), is_image ? make(x.shape()[2], 1, "width") : PoolAxis{}};
}

}  // namespace

const Tensor& checked_pool_input(const char* name, const Arg& x, int axes) {
  const Tensor& from = defined(name, x);
  if (from.ndim() != axes) {
    fail_op(name, "x is " + describe(from) + ", not " + layout_of(axes), x.at(),
            from.ndim() == axes - 1 ? "a single one is a batch of 1: unsqueeze(x, 0)" : "");
  }
  if (!is_floating(from.dtype())) {
    fail_op(name, describe(from) + " holds integers", x.at(), "convert it with to(f32)");
  }
  return from;
}

PoolAxes sliding_axes(const char* name, const Tensor& x, Size2d kernel, const MaxPool2dOptions& o, SourceLocation at) {
  check_pool_options(name, kernel, o, at);
  const Size2d stride = o.stride.is_given() ? o.stride : kernel;
  return axes_of(x, [&](std::int64_t n, int k, const char* axis_name) {
    const auto of = [&](Size2d size) { return k == 0 ? size.height : size.width; };
    const std::int64_t span = of(o.dilation) * (of(kernel) - 1) + 1;
    if (n < 1) fail_axis(name, "there is nothing along", axis_name, x, at);
    const PoolAxis axis = sliding_axis(n, of(kernel), of(stride), of(o.padding), of(o.dilation), o.ceil_mode);
    if (axis.out < 1) {
      fail_axis(name,
                "windows over " + std::to_string(span) + " elements are larger than the " +
                    std::to_string(n + 2 * of(o.padding)) + (of(o.padding) ? ", with padding, along" : " along"),
                axis_name, x, at);
    }
    return axis;
  });
}

PoolAxes adaptive_axes(const char* name, const Tensor& x, Size2d output_size, SourceLocation at) {
  check_output_size(name, output_size, at);
  return axes_of(x, [&](std::int64_t n, int k, const char* axis_name) {
    if (n < 1) fail_axis(name, "there is nothing along", axis_name, x, at);
    return adaptive_axis(n, k == 0 ? output_size.height : output_size.width);
  });
}

void check_pool_options(const char* name, Size2d kernel_size, const MaxPool2dOptions& o, SourceLocation at) {
  const auto check = [&](const char* what, Size2d size, std::int64_t least) {
    const std::int64_t low = std::min(size.height, size.width);
    const std::int64_t high = std::max(size.height, size.width);
    if (low < least) fail_op(name, std::string(what) + " " + text_of(size) + " is below " + std::to_string(least), at);
    if (high > largest_pool_size) fail_op(name, std::string(what) + " " + text_of(size) + " is too large", at);
  };
  check("kernel_size", kernel_size, 1);
  if (o.stride.is_given()) check("stride", o.stride, 1);
  check("padding", o.padding, 0);
  check("dilation", o.dilation, 1);
  if (o.padding.height > kernel_size.height / 2 || o.padding.width > kernel_size.width / 2) {
    fail_op(name, "padding " + text_of(o.padding) + " is more than half of kernel_size " + text_of(kernel_size), at,
            "more can be added by pad()");
  }
}

void check_output_size(const char* name, Size2d size, SourceLocation at) {
  if (std::min(size.height, size.width) < 1) fail_op(name, "output_size " + text_of(size) + " is below 1", at);
  if (std::max(size.height, size.width) > largest_pool_size) {
    fail_op(name, "output_size " + text_of(size) + " is too large", at);
  }
}

}  // namespace tapegrad::detail
