#include "autograd/ops/convolution_sizes.h"

#include <algorithm>
#include <string>

namespace tapegrad::detail {
namespace {

// No product of two sizes overflows.
constexpr std::int64_t largest_size = std::int64_t{1} << 30;

Shape sizes_of(bool is_sequence, std::int64_t first, Size2d image, std::int64_t last) {
  if (is_sequence) return {first, image.width, last};
  return {first, image.height, image.width, last};
}

std::string text_of(Size2d size, bool is_sequence) {
  const std::string width = std::to_string(size.width);
  return is_sequence ? width : std::to_string(size.height) + " x " + width;
}

std::string pair_text(Size2d size) {
  if (size.height == size.width) return std::to_string(size.width);
  return "{" + std::to_string(size.height) + ", " + std::to_string(size.width) + "}";
}

std::string range_fault(const char* name, Size2d size, std::int64_t least) {
  if (std::min(size.height, size.width) < least) {
    return std::string(name) + " must be at least " + std::to_string(least) + ", it is " + pair_text(size);
  }
  if (std::max(size.height, size.width) > largest_size) {
    return std::string(name) + " " + pair_text(size) + " is too large";
  }
  return {};
}

std::string first_of(std::initializer_list<std::string> faults) {
  for (const std::string& fault : faults) {
    if (!fault.empty()) return fault;
  }
  return {};
}

// ---- inputs ----

const char* x_layout(bool is_sequence) {
  return is_sequence ? "[batch, time, channels]" : "[batch, height, width, channels]";
}

std::string weight_layout(bool is_sequence, bool transposed) {
  const std::string kernel = is_sequence ? "kernel" : "kernel_height, kernel_width";
  return transposed ? "[in, " + kernel + ", out / groups]" : "[out, " + kernel + ", in / groups]";
}

std::string channels_to_last(const std::string& name, bool is_sequence) {
  return is_sequence ? "transpose(" + name + ", 1, 2)" : "permute(" + name + ", {0, 2, 3, 1})";
}

std::string layout_hint(bool is_sequence) {
  return std::string(is_sequence ? "sequences" : "images") + " are " + x_layout(is_sequence) + ": " +
         channels_to_last("x", is_sequence);
}

void check_dtypes(const Inputs& in) {
  static constexpr const char* names[] = {"x", "the weight", "the bias"};
  for (int k = 0; k < in.count(); ++k) {
    if (!is_floating(in[k].dtype())) {
      in.fail(std::string(names[k]) + " " + describe(in[k]) + " holds integers", "convert it with to(f32)");
    }
    if (in[k].dtype() != in[0].dtype()) {
      in.fail("x is " + describe(in[0]) + " and " + names[k] + " " + describe(in[k]),
              std::string("convert one of them, with to(") + name_of(in[k].dtype()) + ") or to(" +
                  name_of(in[0].dtype()) + ")");
    }
  }
}

void check_axes(const Inputs& in, bool is_sequence, bool transposed) {
  const Tensor& x = in[0];
  const Tensor& weight = in[1];
  const int axes = is_sequence ? 3 : 4;
  const auto fail = [&](const std::string& name, const Tensor& t, const std::string& hint) {
    in.fail(name + " must have " + std::to_string(axes) + " axes, it is " + describe(t), hint);
  };
  if (x.ndim() != axes) {
    const std::string one = is_sequence ? "one sequence" : "one image";
    fail(std::string("x ") + x_layout(is_sequence), x,
         x.ndim() == axes - 1 ? one + " becomes a batch with unsqueeze(x, 0)" : "");
  }
  if (weight.ndim() != axes) fail("the weight " + weight_layout(is_sequence, transposed), weight, "");
  for (const Tensor* t : {&x, &weight}) {
    for (const std::int64_t size : t->shape()) {
      if (size > largest_size) in.fail(describe(*t) + " is too large");
    }
  }
  for (int k = 1; k < axes - 1; ++k) {
    if (weight.shape(k) > 0) continue;
    in.fail("the kernel is empty: the weight " + weight_layout(is_sequence, transposed) + " is " + describe(weight));
  }
}

// What probably happened when the last axis of x holds another number of channels than the weight is for, or "".
std::string channels_hint(const Inputs& in, bool is_sequence, std::int64_t groups) {
  const Tensor& x = in[0];
  const Tensor& weight = in[1];
  const auto fits = [&](std::int64_t channels, std::int64_t of_group) { return channels == of_group * groups; };
  const auto to_last = [&](const char* name) { return channels_to_last(name, is_sequence); };
  // A weight with its channels first; of square kernels, so as not to take every 3 for three channels.
  const bool may_be_first = is_sequence || weight.shape(2) == weight.shape(3);
  const std::int64_t channels = x.shape(-1);
  if (fits(x.shape(1), weight.shape(-1))) return layout_hint(is_sequence);
  if (may_be_first && fits(channels, weight.shape(1))) {
    return "weights are " + weight_layout(is_sequence, false) + ": " + to_last("weight");
  }
  if (may_be_first && fits(x.shape(1), weight.shape(1))) {
    return "channels are the last axis: " + to_last("x") + " and " + to_last("weight");
  }
  if (groups == 1 && weight.shape(-1) == 1 && channels > 0 && weight.shape(0) % channels == 0) {
    return "a depthwise convolution has .groups = " + std::to_string(channels);
  }
  return {};
}

[[noreturn]] void fail_channels(const Inputs& in, std::int64_t expected, std::int64_t groups, const std::string& layout,
                                const std::string& hint) {
  in.fail("the last axis of x must have " + std::to_string(expected) + (expected == 1 ? " channel" : " channels") +
              ": x is " + describe(in[0]) + ", the weight " + layout + " is " + describe(in[1]) +
              (groups == 1 ? "" : ", groups " + std::to_string(groups)),
          hint);
}

void check_groups(const Inputs& in, std::int64_t groups, std::int64_t channels, const char* which) {
  if (channels % groups == 0) return;
  in.fail(std::to_string(channels) + " " + which + " channels cannot be divided into " + std::to_string(groups) +
          " groups: x is " + describe(in[0]) + ", the weight " + describe(in[1]));
}

void check_bias(const Inputs& in, std::int64_t channels) {
  if (in.count() < 3 || in[2].shape() == Shape{channels}) return;
  in.fail("the bias must be [" + std::to_string(channels) + "], it is " + describe(in[2]));
}

// ---- sizes ----

// A tensor [first, (height,) width, last].
Size2d middle_of(const Tensor& t, bool is_sequence) {
  return is_sequence ? Size2d(1, t.shape(1)) : Size2d(t.shape(1), t.shape(2));
}

// An option of a sequence leaves its height, of which there is 1, alone.
Size2d option_of(Size2d size, bool is_sequence, std::int64_t neutral) {
  return is_sequence ? Size2d(neutral, size.width) : size;
}

// How far the taps of a kernel reach.
std::int64_t span_of(std::int64_t kernel, std::int64_t dilation) { return dilation * (kernel - 1) + 1; }

Size2d span_of_kernel(const ConvolutionSizes& z) {
  return {span_of(z.kernel_height, z.dilation_height), span_of(z.kernel_width, z.dilation_width)};
}

// What does not depend on which of the images is the larger one.
template <class Options>
ConvolutionAttributes attributes_of(const Inputs& in, const Options& o, bool is_sequence) {
  const Size2d kernel = middle_of(in[1], is_sequence);
  const Size2d stride = option_of(o.stride, is_sequence, 1);
  const Size2d dilation = option_of(o.dilation, is_sequence, 1);
  ConvolutionAttributes a{{}, is_sequence};
  a.sizes.batch = in[0].shape(0);
  a.sizes.kernel_height = kernel.height;
  a.sizes.kernel_width = kernel.width;
  a.sizes.stride_height = stride.height;
  a.sizes.stride_width = stride.width;
  a.sizes.dilation_height = dilation.height;
  a.sizes.dilation_width = dilation.width;
  a.sizes.groups = o.groups;
  return a;
}

}  // namespace

bool is_same_padding(std::string_view text, SourceLocation at) {
  if (text == "same") return true;
  if (text == "valid") return false;
  fail("padding is a number, \"same\" or \"valid\", not \"" + std::string(text) + "\"", at);
}

Shape ConvolutionAttributes::x() const {
  return sizes_of(is_sequence, sizes.batch, {sizes.in_height, sizes.in_width}, sizes.in_channels);
}
Shape ConvolutionAttributes::weight() const {
  return sizes_of(is_sequence, sizes.out_channels, {sizes.kernel_height, sizes.kernel_width},
                  sizes.in_channels / sizes.groups);
}
Shape ConvolutionAttributes::y() const {
  return sizes_of(is_sequence, sizes.batch, {sizes.out_height, sizes.out_width}, sizes.out_channels);
}

Conv2dOptions of_images(const Conv1dOptions& o) {
  Padding2d padding(o.padding.size);
  padding.is_same = o.padding.is_same;
  return {.stride = o.stride, .padding = padding, .dilation = o.dilation, .groups = o.groups};
}

ConvTranspose2dOptions of_images(const ConvTranspose1dOptions& o) {
  return {.stride = o.stride,
          .padding = o.padding,
          .output_padding = o.output_padding,
          .dilation = o.dilation,
          .groups = o.groups};
}

PadWidth pad_width(std::int64_t padding, bool is_same, std::int64_t kernel, std::int64_t dilation) {
  if (!is_same) return {padding, padding};
  const std::int64_t all = span_of(kernel, dilation) - 1;
  return {all / 2, all - all / 2};
}

std::string fault_of(const Conv2dOptions& o) {
  const bool can_be_same = !o.padding.is_same || (o.stride.height == 1 && o.stride.width == 1);
  return first_of({range_fault("stride", o.stride, 1), range_fault("padding", o.padding.size, 0),
                   range_fault("dilation", o.dilation, 1), range_fault("groups", o.groups, 1),
                   can_be_same ? "" : "padding \"same\" needs stride 1, it is " + pair_text(o.stride)});
}

std::string winograd_fault(Size2d kernel, const Conv2dOptions& o) {
  const auto is = [](Size2d size, std::int64_t n) { return size.height == n && size.width == n; };
  if (!o.winograd || (is(kernel, 3) && is(o.stride, 1) && is(o.dilation, 1) && o.groups == 1)) return {};
  return "winograd needs a kernel of 3 with stride 1, dilation 1 and groups 1, not a kernel of " + pair_text(kernel) +
         " with stride " + pair_text(o.stride) + ", dilation " + pair_text(o.dilation) + " and groups " +
         std::to_string(o.groups);
}

std::string fault_of(const ConvTranspose2dOptions& o) {
  const bool is_small = o.output_padding.height < std::max(o.stride.height, o.dilation.height) &&
                        o.output_padding.width < std::max(o.stride.width, o.dilation.width);
  return first_of({range_fault("stride", o.stride, 1), range_fault("padding", o.padding, 0),
                   range_fault("output_padding", o.output_padding, 0), range_fault("dilation", o.dilation, 1),
                   range_fault("groups", o.groups, 1),
                   is_small ? ""
                            : "output_padding " + pair_text(o.output_padding) + " must be smaller than the stride " +
                                  pair_text(o.stride) + " or the dilation " + pair_text(o.dilation)});
}

void check_convolution_inputs(const Inputs& in, std::int64_t groups, bool is_sequence) {
  check_dtypes(in);
  check_axes(in, is_sequence, false);
  const std::int64_t expected = in[1].shape(-1) * groups;
  if (in[0].shape(-1) != expected) {
    fail_channels(in, expected, groups, weight_layout(is_sequence, false), channels_hint(in, is_sequence, groups));
  }
  check_groups(in, groups, in[1].shape(0), "output");
  check_bias(in, in[1].shape(0));
}

void check_transposed_convolution_inputs(const Inputs& in, std::int64_t groups, bool is_sequence) {
  check_dtypes(in);
  check_axes(in, is_sequence, true);
  const std::int64_t expected = in[1].shape(0);
  if (in[0].shape(-1) != expected) {
    const bool is_first = in[0].shape(1) == expected;
    fail_channels(in, expected, 1, weight_layout(is_sequence, true), is_first ? layout_hint(is_sequence) : "");
  }
  check_groups(in, groups, expected, "input");
  check_bias(in, in[1].shape(-1) * groups);
}

ConvolutionAttributes convolution_of(const Inputs& in, const Conv2dOptions& o, bool is_sequence) {
  if (const std::string fault = fault_of(o); !fault.empty()) in.fail(fault);
  check_convolution_inputs(in, o.groups, is_sequence);
  const Size2d kernel = middle_of(in[1], is_sequence);
  if (const std::string fault = winograd_fault(kernel, o); !fault.empty()) in.fail(fault, winograd_hint);
  ConvolutionAttributes a = attributes_of(in, o, is_sequence);
  a.sizes.winograd = o.winograd;
  const Size2d padding = option_of(o.padding.size, is_sequence, 0);
  const PadWidth rows = pad_width(padding.height, o.padding.is_same, kernel.height, a.sizes.dilation_height);
  const PadWidth columns = pad_width(padding.width, o.padding.is_same, kernel.width, a.sizes.dilation_width);
  const Size2d image = middle_of(in[0], is_sequence);
  const Size2d padded(image.height + rows.before + rows.after, image.width + columns.before + columns.after);
  const Size2d span = span_of_kernel(a.sizes);
  if (span.height > padded.height || span.width > padded.width) {
    in.fail("the kernel spans " + text_of(span, is_sequence) + ", more than the padded x with " +
            text_of(padded, is_sequence) + ": x is " + describe(in[0]) + ", the weight " +
            weight_layout(is_sequence, false) + " is " + describe(in[1]));
  }
  a.sizes.in_height = image.height;
  a.sizes.in_width = image.width;
  a.sizes.in_channels = in[0].shape(-1);
  a.sizes.out_height = (padded.height - span.height) / a.sizes.stride_height + 1;
  a.sizes.out_width = (padded.width - span.width) / a.sizes.stride_width + 1;
  a.sizes.out_channels = in[1].shape(0);
  a.sizes.pad_top = rows.before;
  a.sizes.pad_left = columns.before;
  return a;
}

ConvolutionAttributes transposed_convolution_of(const Inputs& in, const ConvTranspose2dOptions& o, bool is_sequence) {
  if (const std::string fault = fault_of(o); !fault.empty()) in.fail(fault);
  check_transposed_convolution_inputs(in, o.groups, is_sequence);
  ConvolutionAttributes a = attributes_of(in, o, is_sequence);
  const Size2d padding = option_of(o.padding, is_sequence, 0);
  const Size2d more = option_of(o.output_padding, is_sequence, 0);
  const Size2d image = middle_of(in[0], is_sequence);
  const Size2d span = span_of_kernel(a.sizes);
  if (image.height == 0 || image.width == 0) in.fail("x " + describe(in[0]) + " has no elements along an axis");
  a.sizes.in_height = (image.height - 1) * a.sizes.stride_height - 2 * padding.height + span.height + more.height;
  a.sizes.in_width = (image.width - 1) * a.sizes.stride_width - 2 * padding.width + span.width + more.width;
  if (a.sizes.in_height < 1 || a.sizes.in_width < 1) {
    in.fail("padding " + pair_text(o.padding) + " leaves nothing of the result: x is " + describe(in[0]) +
            ", the kernel spans " + text_of(span, is_sequence));
  }
  a.sizes.in_channels = in[1].shape(-1) * o.groups;
  a.sizes.out_height = image.height;
  a.sizes.out_width = image.width;
  a.sizes.out_channels = in[0].shape(-1);
  a.sizes.pad_top = padding.height;
  a.sizes.pad_left = padding.width;
  return a;
}

}  // namespace tapegrad::detail
