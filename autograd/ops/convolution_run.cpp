#include "autograd/ops/convolution_run.h"

#include <algorithm>

namespace tapegrad::detail {
namespace {

// Calls f(offset of a pixel of x, of one of y, of a tap) for all that meet.
template <class F>
void for_meetings(const ConvolutionSizes& z, F&& f) {
  for (std::int64_t n = 0; n < z.batch; ++n) {
    for (std::int64_t i = 0; i < z.out_height; ++i) {
      for (std::int64_t j = 0; j < z.out_width; ++j) {
        for (std::int64_t r = 0; r < z.kernel_height; ++r) {
          for (std::int64_t s = 0; s < z.kernel_width; ++s) {
            const std::int64_t row = i * z.stride_height + r * z.dilation_height - z.pad_top;
            const std::int64_t column = j * z.stride_width + s * z.dilation_width - z.pad_left;
            if (row < 0 || row >= z.in_height || column < 0 || column >= z.in_width) continue;
            f((n * z.in_height + row) * z.in_width + column, (n * z.out_height + i) * z.out_width + j,
              r * z.kernel_width + s);
          }
        }
      }
    }
  }
}

// Calls f(element of x, of weight, of y) for every product of the sum.
template <class F>
void for_products(const ConvolutionSizes& z, F&& f) {
  const std::int64_t taps = z.kernel_height * z.kernel_width;
  const std::int64_t in_group = z.in_channels / z.groups;
  const std::int64_t out_group = z.out_channels / z.groups;
  for_meetings(z, [&](std::int64_t x, std::int64_t y, std::int64_t tap) {
    for (std::int64_t o = 0; o < z.out_channels; ++o) {
      const std::int64_t first = o / out_group * in_group;
      for (std::int64_t c = 0; c < in_group; ++c) {
        f(x * z.in_channels + first + c, (o * taps + tap) * in_group + c, y * z.out_channels + o);
      }
    }
  });
}

template <class F>
void with_type(DType dtype, F&& f) {
  if (dtype == f32) f(float{});
  if (dtype == f64) f(double{});
}

}  // namespace

void convolve(DType dtype, const ConvolutionSizes& z, const void* x, const void* weight, const void* bias, void* y) {
  with_type(dtype, [&]<class T>(T) {
    T* const out = static_cast<T*>(y);
    for (std::int64_t k = 0; k < z.batch * z.out_height * z.out_width * z.out_channels; ++k) {
      out[k] = bias ? static_cast<const T*>(bias)[k % z.out_channels] : T{0};
    }
    for_products(z, [&](std::int64_t a, std::int64_t b, std::int64_t c) {
      out[c] += static_cast<const T*>(x)[a] * static_cast<const T*>(weight)[b];
    });
  });
}

void convolve_input_gradient(DType dtype, const ConvolutionSizes& z, const void* g, const void* weight, void* dx) {
  with_type(dtype, [&]<class T>(T) {
    T* const out = static_cast<T*>(dx);
    std::fill_n(out, z.batch * z.in_height * z.in_width * z.in_channels, T{0});
    for_products(z, [&](std::int64_t a, std::int64_t b, std::int64_t c) {
      out[a] += static_cast<const T*>(g)[c] * static_cast<const T*>(weight)[b];
    });
  });
}

void convolve_weight_gradient(DType dtype, const ConvolutionSizes& z, const void* x, const void* g, void* dweight) {
  with_type(dtype, [&]<class T>(T) {
    T* const out = static_cast<T*>(dweight);
    const std::int64_t size =
        z.out_channels * z.kernel_height * z.kernel_width * (z.groups ? z.in_channels / z.groups : 0);
    std::fill_n(out, size, T{0});
    for_products(z, [&](std::int64_t a, std::int64_t b, std::int64_t c) {
      out[b] += static_cast<const T*>(x)[a] * static_cast<const T*>(g)[c];
    });
  });
}

}  // namespace tapegrad::detail
