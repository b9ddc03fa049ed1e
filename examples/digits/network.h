#pragma once
// A small residual network for images (He, Zhang, Ren and Sun, "Deep residual learning for image recognition", 2016).
#include <tapegrad.h>

#include <optional>

using namespace tapegrad;

// Two convolutions, and the input added to their result. A stride halves the image and changes the number of channels;
// then a 1x1 convolution does the same to the input.
struct Block {
  std::int64_t in, out, stride = 1;

  nn::Conv2d conv1{in, out, 3, {.stride = stride, .padding = 1, .bias = false}};
  nn::BatchNorm2d norm1{out};
  nn::Conv2d conv2{out, out, 3, {.padding = 1, .bias = false}};
  nn::BatchNorm2d norm2{out};
  std::optional<nn::Conv2d> shortcut = make_shortcut(in, out, stride);

  Tensor operator()(Arg x) const {
    const Tensor y = norm2(conv2(relu(norm1(conv1(x)))));
    return relu(y + (shortcut ? (*shortcut)(x) : x.tensor()));
  }

  static std::optional<nn::Conv2d> make_shortcut(std::int64_t in, std::int64_t out, std::int64_t stride) {
    if (in == out && stride == 1) return {};
    return nn::Conv2d{in, out, 1, {.stride = stride, .bias = false}};
  }
};

struct DigitNet {
  std::int64_t width = 16;  // channels of the first half; the blocks double them

  nn::Conv2d stem{1, width, 3, {.padding = 1, .bias = false}};
  nn::BatchNorm2d norm{width};
  Block block1{.in = width, .out = width};
  Block block2{.in = width, .out = 2 * width, .stride = 2};
  Block block3{.in = 2 * width, .out = 4 * width, .stride = 2};
  nn::Dense out{4 * width, 10};

  Tensor operator()(Arg images) const {
    Tensor x = block3(block2(block1(relu(norm(stem(images))))));
    return out(mean(x, {.axis = {1, 2}}));  // global average pooling
  }
};
