// The wall's rows of pooling layers: every pair of two options.
#include "autograd/ops/elements.h"
#include "tests/gradcheck/layers.h"
#include "tests/gradcheck/pairwise.h"

namespace tapegrad::tests {
namespace {

std::string text_of(Size2d size) { return std::to_string(size.height) + "x" + std::to_string(size.width); }

std::string windows_text(Size2d kernel, Size2d stride, Size2d padding) {
  return "kernel " + text_of(kernel) + ", stride " + text_of(stride) + ", padding " + text_of(padding);
}

const Size2d kernels[] = {{2, 3}, 2, {3, 4}};
const Size2d strides[] = {1, {2, 3}, 2};
const Size2d paddings[] = {0, {1, 0}, 1};

LayerDescription max_pool2d_layer() {
  const Tensor inputs[] = {detail::sample_values({1, 7, 5, 3}), detail::sample_values({2, 6, 7, 2})};
  const Size2d dilations[] = {1, {2, 1}};
  LayerDescription layer{"MaxPool2d", {layer_sample("kernel 2", nn::MaxPool2d{2}, inputs[0])}};
  for (const auto& k : pairwise({3, 3, 3, 2, 2, 2})) {
    const nn::MaxPool2d pool{kernels[k[0]], {strides[k[1]], paddings[k[2]], dilations[k[3]], k[4] == 1}};
    layer.samples.push_back(layer_sample(windows_text(kernels[k[0]], strides[k[1]], paddings[k[2]]) + ", dilation " +
                                             text_of(dilations[k[3]]) + (k[4] == 1 ? ", ceil_mode" : ""),
                                         pool, inputs[k[5]]));
  }
  layer.samples.push_back(
      layer_sample("several threads", nn::MaxPool2d{2, {.stride = 1}}, detail::sample_values({2, 16, 16, 5})));
  return layer;
}

LayerDescription avg_pool2d_layer() {
  const Tensor inputs[] = {detail::sample_values({1, 7, 5, 3}), detail::sample_values({2, 6, 7, 2})};
  LayerDescription layer{"AvgPool2d", {layer_sample("kernel 2", nn::AvgPool2d{2}, inputs[0])}};
  for (const auto& k : pairwise({3, 3, 3, 2, 2, 2})) {
    const nn::AvgPool2d pool{kernels[k[0]], {strides[k[1]], paddings[k[2]], k[3] == 1, k[4] == 1}};
    layer.samples.push_back(layer_sample(windows_text(kernels[k[0]], strides[k[1]], paddings[k[2]]) +
                                             (k[3] == 1 ? ", ceil_mode" : "") +
                                             (k[4] == 1 ? "" : ", padding not counted"),
                                         pool, inputs[k[5]]));
  }
  layer.samples.push_back(
      layer_sample("several threads", nn::AvgPool2d{2, {.stride = 1}}, detail::sample_values({2, 16, 16, 5})));
  return layer;
}

LayerDescription max_pool1d_layer() {
  const Tensor inputs[] = {detail::sample_values({1, 9, 3}), detail::sample_values({2, 10, 2})};
  LayerDescription layer{"MaxPool1d", {layer_sample("kernel 3", nn::MaxPool1d{3}, inputs[0])}};
  for (const auto& k : pairwise({2, 3, 2, 2, 2, 2})) {
    const auto kernel = static_cast<std::int64_t>(k[0]) + 2;
    const auto stride = static_cast<std::int64_t>(k[1]) + 1;
    const auto padding = static_cast<std::int64_t>(k[2]);
    const auto dilation = static_cast<std::int64_t>(k[3]) + 1;
    layer.samples.push_back(layer_sample("kernel " + std::to_string(kernel) + ", stride " + std::to_string(stride) +
                                             ", padding " + std::to_string(padding) + ", dilation " +
                                             std::to_string(dilation) + (k[4] == 1 ? ", ceil_mode" : ""),
                                         nn::MaxPool1d{kernel, {stride, padding, dilation, k[4] == 1}}, inputs[k[5]]));
  }
  return layer;
}

LayerDescription avg_pool1d_layer() {
  const Tensor inputs[] = {detail::sample_values({1, 9, 3}), detail::sample_values({2, 10, 2})};
  LayerDescription layer{"AvgPool1d", {layer_sample("kernel 3", nn::AvgPool1d{3}, inputs[0])}};
  for (const auto& k : pairwise({2, 3, 2, 2, 2, 2})) {
    const auto kernel = static_cast<std::int64_t>(k[0]) + 2;
    const auto stride = static_cast<std::int64_t>(k[1]) + 1;
    const auto padding = static_cast<std::int64_t>(k[2]);
    layer.samples.push_back(layer_sample("kernel " + std::to_string(kernel) + ", stride " + std::to_string(stride) +
                                             ", padding " + std::to_string(padding) + (k[3] == 1 ? ", ceil_mode" : "") +
                                             (k[4] == 1 ? "" : ", padding not counted"),
                                         nn::AvgPool1d{kernel, {stride, padding, k[3] == 1, k[4] == 1}}, inputs[k[5]]));
  }
  return layer;
}

}  // namespace

std::vector<LayerDescription> pool_layers() {
  const Tensor image = detail::sample_values({2, 7, 5, 3});
  const Tensor single = detail::sample_values({1, 4, 5, 2});
  const Tensor sequence = detail::sample_values({2, 9, 3});
  return {
      max_pool1d_layer(),
      max_pool2d_layer(),
      avg_pool1d_layer(),
      avg_pool2d_layer(),
      {"AdaptiveMaxPool1d",
       {layer_sample("fewer", nn::AdaptiveMaxPool1d{4}, sequence),
        layer_sample("more", nn::AdaptiveMaxPool1d{11}, sequence)}},
      {"AdaptiveMaxPool2d",
       {layer_sample("fewer", nn::AdaptiveMaxPool2d{{3, 2}}, image),
        layer_sample("more", nn::AdaptiveMaxPool2d{{5, 6}}, single),
        layer_sample("1", nn::AdaptiveMaxPool2d{1}, single)}},
      {"AdaptiveAvgPool1d",
       {layer_sample("fewer", nn::AdaptiveAvgPool1d{4}, sequence),
        layer_sample("more", nn::AdaptiveAvgPool1d{11}, sequence)}},
      {"AdaptiveAvgPool2d",
       {layer_sample("fewer", nn::AdaptiveAvgPool2d{{3, 2}}, image),
        layer_sample("more", nn::AdaptiveAvgPool2d{{5, 6}}, single),
        layer_sample("1", nn::AdaptiveAvgPool2d{1}, single)}},
      {"GlobalMaxPool",
       {layer_sample("images", nn::GlobalMaxPool{}, image), layer_sample("sequences", nn::GlobalMaxPool{}, sequence)}},
      {"GlobalAvgPool",
       {layer_sample("images", nn::GlobalAvgPool{}, image), layer_sample("sequences", nn::GlobalAvgPool{}, sequence)}}};
}

}  // namespace tapegrad::tests
