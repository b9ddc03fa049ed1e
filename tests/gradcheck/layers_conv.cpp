// The wall's rows of the convolutional layers: every pair of two options.
#include "autograd/ops/elements.h"
#include "tests/gradcheck/layers.h"
#include "tests/gradcheck/pairwise.h"

namespace tapegrad::tests {
namespace {

constexpr nn::PaddingMode modes[] = {nn::PaddingMode::zeros, nn::PaddingMode::reflect, nn::PaddingMode::replicate};
constexpr const char* mode_names[] = {"zeros", "reflect", "replicate"};

std::string text_of(Size2d size) { return std::to_string(size.height) + "x" + std::to_string(size.width); }
std::string text_of(const Padding2d& padding) { return padding.is_same ? "same" : text_of(padding.size); }

// "kernel 3x3, stride 2x2, ..."
std::string options_text(std::initializer_list<std::pair<const char*, std::string>> options) {
  std::string text;
  for (const auto& [name, value] : options) text += (text.empty() ? "" : ", ") + std::string(name) + " " + value;
  return text;
}

LayerDescription conv2d_layer() {
  const Tensor inputs[] = {detail::sample_values({1, 7, 5, 4}), detail::sample_values({2, 6, 5, 4})};
  const Size2d kernels[] = {1, 3, {3, 2}};
  const Size2d strides[] = {1, 2, {3, 1}};
  const Padding2d paddings[] = {0, 1, {2, 1}, "same"};
  const Size2d dilations[] = {1, {1, 2}, 2};
  const std::int64_t groups[] = {1, 2, 4};
  LayerDescription layer{"Conv2d", {}};
  for (const auto& k : pairwise({3, 3, 4, 3, 3, 2, 3, 2})) {
    const Padding2d& padding = paddings[k[2]];
    const Size2d stride = padding.is_same ? 1 : strides[k[1]];
    const nn::Conv2d conv{4, 4, kernels[k[0]],
                          nn::Conv2dOptions{stride, padding, dilations[k[3]], groups[k[4]], k[5] == 0, modes[k[6]]}};
    layer.samples.push_back(layer_sample(options_text({{"kernel", text_of(kernels[k[0]])},
                                                       {"stride", text_of(stride)},
                                                       {"padding", text_of(padding)},
                                                       {"dilation", text_of(dilations[k[3]])},
                                                       {"groups", std::to_string(groups[k[4]])},
                                                       {"bias", k[5] == 0 ? "true" : "false"},
                                                       {"mode", mode_names[k[6]]}}),
                                         conv, inputs[k[7]]));
  }
  const auto add = [&](const char* options, const nn::Conv2d& conv, const Shape& input) {
    layer.samples.push_back(layer_sample(options, conv, detail::sample_values(input)));
  };
  add("one channel", nn::Conv2d{1, 5, 3, {.padding = 1}}, {2, 5, 7, 1});
  add("three channels", nn::Conv2d{3, 5, 3, {.stride = 2, .padding = 1}}, {1, 7, 6, 3});
  add("two results of each channel", nn::Conv2d{3, 6, 3, {.padding = 1, .groups = 3}}, {2, 3, 5, 3});
  add("same, uneven", nn::Conv2d{2, 3, {2, 4}, {.padding = "same"}}, {1, 3, 5, 2});
  add("several threads", nn::Conv2d{16, 32, 3, {.padding = 1}}, {2, 11, 13, 16});
  for (const nn::PaddingMode mode : modes) {
    const nn::Conv2d conv{3, 5, 3, {.padding = 1, .padding_mode = mode, .winograd = true}};
    layer.samples.push_back(layer_sample(std::string("winograd, ") + mode_names[static_cast<std::size_t>(mode)], conv,
                                         detail::sample_values({2, 5, 6, 3}), 2e-5));
  }
  return layer;
}

LayerDescription conv1d_layer() {
  const Tensor inputs[] = {detail::sample_values({1, 9, 4}), detail::sample_values({3, 8, 4})};
  const std::int64_t kernels[] = {1, 2, 3};
  const std::int64_t strides[] = {1, 2, 3};
  const Padding1d paddings[] = {0, 2, "same"};
  const std::int64_t groups[] = {1, 2, 4};
  LayerDescription layer{"Conv1d", {}};
  for (const auto& k : pairwise({3, 3, 3, 2, 3, 2, 3, 2})) {
    const Padding1d& padding = paddings[k[2]];
    const std::int64_t stride = padding.is_same ? 1 : strides[k[1]];
    const auto dilation = static_cast<std::int64_t>(k[3] + 1);
    const nn::Conv1d conv{4, 8, kernels[k[0]],
                          nn::Conv1dOptions{stride, padding, dilation, groups[k[4]], k[5] == 0, modes[k[6]]}};
    layer.samples.push_back(
        layer_sample(options_text({{"kernel", std::to_string(kernels[k[0]])},
                                   {"stride", std::to_string(stride)},
                                   {"padding", padding.is_same ? "same" : std::to_string(padding.size)},
                                   {"dilation", std::to_string(dilation)},
                                   {"groups", std::to_string(groups[k[4]])},
                                   {"bias", k[5] == 0 ? "true" : "false"},
                                   {"mode", mode_names[k[6]]}}),
                     conv, inputs[k[7]]));
  }
  return layer;
}

LayerDescription conv_transpose2d_layer() {
  const Tensor inputs[] = {detail::sample_values({1, 3, 5, 4}), detail::sample_values({2, 4, 3, 4})};
  const Size2d kernels[] = {1, 3, {3, 2}};
  const Size2d strides[] = {2, 1, {3, 2}};
  const Size2d paddings[] = {0, {1, 0}, 1};
  const Size2d more[] = {0, {1, 0}, 1};
  const std::int64_t groups[] = {1, 2, 4};
  LayerDescription layer{"ConvTranspose2d", {}};
  for (const auto& k : pairwise({3, 3, 3, 3, 2, 3, 2, 2})) {
    const Size2d dilation = static_cast<std::int64_t>(k[4] + 1);
    const bool has_room = strides[k[1]].height > 1 || dilation.height > 1;
    const Size2d output_padding = has_room ? more[k[3]] : 0;
    const nn::ConvTranspose2d conv{
        4, 4, kernels[k[0]],
        nn::ConvTranspose2dOptions{strides[k[1]], paddings[k[2]], output_padding, dilation, groups[k[5]], k[6] == 0}};
    layer.samples.push_back(layer_sample(options_text({{"kernel", text_of(kernels[k[0]])},
                                                       {"stride", text_of(strides[k[1]])},
                                                       {"padding", text_of(paddings[k[2]])},
                                                       {"output_padding", text_of(output_padding)},
                                                       {"dilation", text_of(dilation)},
                                                       {"groups", std::to_string(groups[k[5]])},
                                                       {"bias", k[6] == 0 ? "true" : "false"}}),
                                         conv, inputs[k[7]]));
  }
  return layer;
}

LayerDescription conv_transpose1d_layer() {
  const Tensor x = detail::sample_values({2, 5, 4});
  LayerDescription layer{"ConvTranspose1d", {}};
  for (const auto& k : pairwise({3, 3, 2, 2, 2, 2})) {
    const auto kernel = static_cast<std::int64_t>(k[0] + 1);
    const auto stride = static_cast<std::int64_t>(k[1] + 1);
    const auto padding = static_cast<std::int64_t>(k[2]);
    const auto dilation = static_cast<std::int64_t>(k[3] + 1);
    const auto groups = static_cast<std::int64_t>(2 * k[4] + 2);
    const std::int64_t output_padding = stride > 1 || dilation > 1 ? static_cast<std::int64_t>(k[5]) : 0;
    const nn::ConvTranspose1d conv{
        4, 4, kernel, nn::ConvTranspose1dOptions{stride, padding, output_padding, dilation, groups, k[5] == 0}};
    layer.samples.push_back(layer_sample(options_text({{"kernel", std::to_string(kernel)},
                                                       {"stride", std::to_string(stride)},
                                                       {"padding", std::to_string(padding)},
                                                       {"output_padding", std::to_string(output_padding)},
                                                       {"dilation", std::to_string(dilation)},
                                                       {"groups", std::to_string(groups)},
                                                       {"bias", k[5] == 0 ? "true" : "false"}}),
                                         conv, x));
  }
  layer.samples.push_back(layer_sample("batch of 1", nn::ConvTranspose1d{4, 3, 4, {.stride = 2, .padding = 1}},
                                       detail::sample_values({1, 7, 4})));
  return layer;
}

}  // namespace

std::vector<LayerDescription> convolution_layers() {
  return {conv1d_layer(), conv2d_layer(), conv_transpose1d_layer(), conv_transpose2d_layer()};
}

}  // namespace tapegrad::tests
