#include "autograd/ops/convolution_plan.h"

#include <algorithm>
#include <cstring>

namespace tapegrad::detail {
namespace {

// One axis of a convolution, as in ConvolutionSizes.
struct Axis {
  Index in, out, kernel, stride, pad, dilation;
};

Axis down_axis(const ConvolutionSizes& z) {
  return {z.in_height, z.out_height, z.kernel_height, z.stride_height, z.pad_top, z.dilation_height};
}

Axis across_axis(const ConvolutionSizes& z) {
  return {z.in_width, z.out_width, z.kernel_width, z.stride_width, z.pad_left, z.dilation_width};
}

Lattices output_lattices(const Axis& axis) {
  return {{.count = axis.out,
           .x_step = axis.stride,
           .offset = -axis.pad,
           .offset_step = axis.dilation,
           .taps = axis.kernel}};
}

// Position p of the input meets position (p + pad - tap * dilation) / stride of the output, where that is a whole
// number: the taps that p has depend on its residue. They come in descending order, so that offsets ascend.
Lattices input_gradient_lattices(const Axis& axis) {
  Lattices lattices;
  for (Index tap = axis.kernel - 1; tap >= 0; --tap) {
    const Index shift = tap * axis.dilation - axis.pad;
    const Index residue = (shift % axis.stride + axis.stride) % axis.stride;
    const Index offset = (residue - shift) / axis.stride;
    if (residue >= axis.in) continue;
    const auto same =
        std::find_if(lattices.begin(), lattices.end(), [&](const Lattice& l) { return l.first == residue; });
    if (same == lattices.end()) {
      lattices.push_back({.first = residue,
                          .step = axis.stride,
                          .count = (axis.in - residue + axis.stride - 1) / axis.stride,
                          .offset = offset,
                          .taps = 1,
                          .tap = tap});
      continue;
    }
    if (same->taps == 1) {
      same->offset_step = offset - same->offset;
      same->tap_step = tap - same->tap;
    }
    ++same->taps;
  }
  return lattices;
}

Index positions(const Lattices& lattices) {
  Index sum = 0;
  for (const Lattice& l : lattices) sum += l.count;
  return sum;
}

double taps(const Lattices& lattices) {
  double sum = 0;
  for (const Lattice& l : lattices) sum += static_cast<double>(l.count) * static_cast<double>(l.taps);
  return sum;
}

// Further apart than this, pixels that are read together push each other out of the first cache.
constexpr Index crowded_bytes = 2048;

}  // namespace

bool WindowPlan::is_dense() const {
  return down.size() == 1 && across.size() == 1 && down[0].step == 1 && across[0].step == 1;
}

double WindowPlan::cost() const {
  return taps(down) * taps(across) * static_cast<double>(batch) * static_cast<double>(x_group()) *
         static_cast<double>(y_channels);
}

WindowPlan output_plan(const ConvolutionSizes& z) {
  const Index in_group = z.in_channels / z.groups;
  const Index window = z.kernel_height * z.kernel_width * in_group;
  return {.batch = z.batch,
          .x_height = z.in_height,
          .x_width = z.in_width,
          .x_channels = z.in_channels,
          .y_height = z.out_height,
          .y_width = z.out_width,
          .y_channels = z.out_channels,
          .groups = z.groups,
          .down = output_lattices(down_axis(z)),
          .across = output_lattices(across_axis(z)),
          .winograd = z.winograd,
          .weight_row = z.kernel_width * in_group,
          .weight_column = in_group,
          .weight_in = 1,
          .weight_out = window,
          .weight_group = z.out_channels / z.groups * window};
}

WindowPlan input_gradient_plan(const ConvolutionSizes& z) {
  WindowPlan plan = output_plan(z);
  std::swap(plan.x_height, plan.y_height);
  std::swap(plan.x_width, plan.y_width);
  std::swap(plan.x_channels, plan.y_channels);
  std::swap(plan.weight_in, plan.weight_out);
  plan.down = input_gradient_lattices(down_axis(z));
  plan.across = input_gradient_lattices(across_axis(z));
  plan.is_whole = positions(plan.down) == plan.y_height && positions(plan.across) == plan.y_width;
  return plan;
}

Reach::Reach(const Lattices& lattices) {
  offset = lattices[0].offset;
  last_offset = lattices[0].last_offset();
  x_step = lattices[0].x_step;
  for (const Lattice& l : lattices) {
    offset = std::min(offset, l.offset);
    last_offset = std::max(last_offset, l.last_offset());
    count = std::max(count, l.count);
  }
}

WindowSource::WindowSource(const WindowPlan& plan, DType dtype) : down(plan.down), across(plan.across) {
  const auto bytes = static_cast<Index>(size_of(dtype));
  const bool is_crowded = plan.x_channels * across.x_step * bytes % crowded_bytes == 0 && across.count > 1;
  is_copy = !down.is_inside(plan.x_height) || !across.is_inside(plan.x_width) || is_crowded;
  pixel_stride = plan.x_channels + (is_crowded ? 64 / bytes : 0);
  row_stride = (is_copy ? across.size(across.count) : plan.x_width) * pixel_stride;
}

void WindowSource::copy(const WindowPlan& plan, DType dtype, const std::byte* image, Index begin, Index end,
                        std::byte* to) const {
  const std::size_t bytes = size_of(dtype);
  const std::size_t row_bytes = static_cast<std::size_t>(row_stride) * bytes;
  const Index width = across.size(across.count);
  const Index first = std::clamp<Index>(-across.offset, 0, width);
  const Index last = std::clamp<Index>(plan.x_width - across.offset, first, width);
  const auto at = [&](std::byte* row, Index column) {
    return row + static_cast<std::size_t>(column * pixel_stride) * bytes;
  };
  const std::size_t pixel_bytes = static_cast<std::size_t>(plan.x_channels) * bytes;
  for (Index row = down.begin(begin); row < down.begin(begin) + down.size(end - begin); ++row, to += row_bytes) {
    if (row < 0 || row >= plan.x_height || first == last) {
      std::memset(to, 0, row_bytes);
      continue;
    }
    const std::byte* const from =
        image + static_cast<std::size_t>(row * plan.x_width + first + across.offset) * pixel_bytes;
    std::memset(to, 0, static_cast<std::size_t>(at(to, first) - to));
    if (pixel_stride == plan.x_channels) {
      std::memcpy(at(to, first), from, static_cast<std::size_t>(last - first) * pixel_bytes);
    } else {
      for (Index j = first; j < last; ++j) {
        std::memcpy(at(to, j), from + static_cast<std::size_t>(j - first) * pixel_bytes, pixel_bytes);
      }
    }
    std::memset(at(to, last), 0, static_cast<std::size_t>(to + row_bytes - at(to, last)));
  }
}

WindowRuns::WindowRuns(const WindowPlan& plan, const WindowSource& source, const Lattice& down, const Lattice& across) {
  // Neighbouring taps are one run when the channels of neighbouring pixels follow each other.
  const bool merge = plan.groups == 1 && across.offset_step == 1 && source.pixel_stride == plan.x_channels;
  length = merge ? across.taps * plan.x_channels : plan.x_group();
  for (Index a = 0; a < down.taps; ++a) {
    const Index row = down.offset + a * down.offset_step - source.down.offset;
    for (Index b = 0; b < (merge ? 1 : across.taps); ++b) {
      const Index column = across.offset + b * across.offset_step - source.across.offset;
      offset.push_back(row * source.row_stride + column * source.pixel_stride);
    }
  }
}

void copy_windows(const WindowPlan& plan, const Lattice& down, const Lattice& across, Index group, DType dtype,
                  const std::byte* x, Index begin, Index end, std::byte* to) {
  const auto bytes = static_cast<Index>(size_of(dtype));
  const auto size = static_cast<std::size_t>(plan.x_group() * bytes);
  x += group * plan.x_group() * bytes;
  for (Index pixel = begin; pixel < end; ++pixel) {
    const Index column = pixel % across.count;
    const Index row = pixel / across.count % down.count;
    const Index image = pixel / across.count / down.count;
    for (Index a = 0; a < down.taps; ++a) {
      const Index i = row * down.x_step + down.offset + a * down.offset_step;
      for (Index b = 0; b < across.taps; ++b, to += size) {
        const Index j = column * across.x_step + across.offset + b * across.offset_step;
        if (i < 0 || i >= plan.x_height || j < 0 || j >= plan.x_width) {
          std::memset(to, 0, size);
        } else {
          std::memcpy(to, x + ((image * plan.x_height + i) * plan.x_width + j) * plan.x_channels * bytes, size);
        }
      }
    }
  }
}

}  // namespace tapegrad::detail
