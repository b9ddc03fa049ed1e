// Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d: what they call, how they start, and what they say to bad input.
#include <cmath>

#include "autograd/create.h"
#include "autograd/gradcheck.h"
#include "autograd/ops/pad.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "autograd/random.h"
#include "nn/conv.h"
#include "nn/conv_transpose.h"
#include "nn/convert.h"
#include "nn/summary.h"
#include "tests/catch.h"
#include "tests/error_of.h"

using namespace tapegrad;
using tapegrad::tests::error_of;

namespace {

struct Net {
  nn::Conv2d conv1{1, 8, 3, {.padding = 1}};
  nn::Conv2d conv2{8, 8, {3, 1}, {.stride = 2, .groups = 8, .bias = false}};
  nn::ConvTranspose2d up{8, 2, 4, {.stride = {2, 1}}};
  Tensor operator()(Arg x) const { return up(tanh(conv2(tanh(conv1(x))))); }
};

struct SequenceNet {
  nn::Conv1d conv{2, 4, 3, {.padding = "same", .padding_mode = nn::PaddingMode::reflect}};
  nn::ConvTranspose1d up{4, 1, 2, {.stride = 2}};
  Tensor operator()(Arg x) const { return up(tanh(conv(x))); }
};

double largest(const Tensor& x) { return static_cast<double>(max(abs(x)).item()); }

}  // namespace

TEST_CASE("Conv2d is conv2d with its weight and bias") {
  random::seed(5);
  const Tensor x = random::normal({2, 7, 6, 4});
  const nn::Conv2d conv{4, 6, {3, 2}, {.stride = 2, .padding = {2, 1}, .dilation = {1, 2}, .groups = 2}};
  CHECK(conv.weight.shape() == Shape{6, 3, 2, 2});
  CHECK(conv.bias->shape() == Shape{6});
  const Tensor y =
      conv2d(x, conv.weight, *conv.bias, {.stride = 2, .padding = {2, 1}, .dilation = {1, 2}, .groups = 2});
  CHECK(array_equal(conv(x), y));
  const nn::Conv2d plain{4, 6, 3, {.padding = "same", .bias = false}};
  CHECK_FALSE(plain.bias.has_value());
  CHECK(array_equal(plain(x), conv2d(x, plain.weight, {.padding = 1})));
  CHECK(plain(x).shape() == Shape{2, 7, 6, 6});
  CHECK(nn::Conv2d{4, 6, 3}(x).shape() == Shape{2, 5, 4, 6});
  CHECK(conv(zeros({0, 7, 6, 4})).shape() == Shape{0, 5, 3, 6});
}

TEST_CASE("Conv1d is conv1d with its weight and bias") {
  random::seed(5);
  const Tensor x = random::normal({2, 9, 4});
  const nn::Conv1d conv{4, 6, 3, {.stride = 2, .padding = 2, .dilation = 2, .groups = 2}};
  CHECK(conv.weight.shape() == Shape{6, 3, 2});
  CHECK(array_equal(conv(x),
                    conv1d(x, conv.weight, *conv.bias, {.stride = 2, .padding = 2, .dilation = 2, .groups = 2})));
  const nn::Conv1d plain{4, 6, 4, {.padding = "same", .bias = false}};
  CHECK(plain(x).shape() == Shape{2, 9, 6});
}

TEST_CASE("the transposed layers are conv_transpose with their weight and bias") {
  random::seed(5);
  const Tensor x = random::normal({2, 4, 3, 4});
  const nn::ConvTranspose2d up{4, 6, {3, 2}, {.stride = {2, 3}, .padding = 1, .output_padding = {1, 0}, .groups = 2}};
  CHECK(up.weight.shape() == Shape{4, 3, 2, 3});
  CHECK(up.bias->shape() == Shape{6});
  CHECK(array_equal(up(x), conv_transpose2d(x, up.weight, *up.bias,
                                            {.stride = {2, 3}, .padding = 1, .output_padding = {1, 0}, .groups = 2})));
  CHECK(up(x).shape() == Shape{2, 8, 6, 6});
  // The way back of a convolution with the same weight.
  const nn::Conv2d down{6, 4, 3, {.stride = 2, .padding = 1, .bias = false}};
  nn::ConvTranspose2d back{4, 6, 3, {.stride = 2, .padding = 1, .output_padding = 1, .bias = false}};
  back.weight.assign(down.weight);
  Tensor image = random::normal({2, 8, 6, 6});
  Tape tape;
  tape.watch(image);
  CHECK(array_equal(tape.gradient(sum(down(image) * x), image), back(x)));
  const nn::ConvTranspose1d up1{4, 6, 2, {.stride = 2}};
  const Tensor sequence = random::normal({2, 5, 4});
  CHECK(up1.weight.shape() == Shape{4, 2, 6});
  CHECK(array_equal(up1(sequence), conv_transpose1d(sequence, up1.weight, *up1.bias, {.stride = 2})));
}

TEST_CASE("other paddings than zeros") {
  random::seed(6);
  const Tensor x = random::normal({2, 5, 6, 3});
  for (const auto mode : {nn::PaddingMode::reflect, nn::PaddingMode::replicate}) {
    const PadMode pad_mode = mode == nn::PaddingMode::reflect ? PadMode::reflect : PadMode::replicate;
    const nn::Conv2d conv{3, 4, 3, {.stride = 2, .padding = {2, 1}, .padding_mode = mode}};
    const Tensor around = pad(x, {{0, 0}, {2, 2}, {1, 1}, {0, 0}}, {.mode = pad_mode});
    CHECK(array_equal(conv(x), conv2d(around, conv.weight, *conv.bias, {.stride = 2})));
    const nn::Conv2d same{3, 4, {4, 2}, {.padding = "same", .dilation = {1, 3}, .padding_mode = mode}};
    CHECK(same(x).shape() == Shape{2, 5, 6, 4});
    const Tensor uneven = pad(x, {{0, 0}, {1, 2}, {1, 2}, {0, 0}}, {.mode = pad_mode});
    CHECK(array_equal(same(x), conv2d(uneven, same.weight, *same.bias, {.dilation = {1, 3}})));
    const Tensor sequence = random::normal({2, 7, 3});
    const nn::Conv1d conv1{3, 4, 4, {.padding = "same", .bias = false, .padding_mode = mode}};
    CHECK(array_equal(conv1(sequence),
                      conv1d(pad(sequence, {{0, 0}, {1, 2}, {0, 0}}, {.mode = pad_mode}), conv1.weight)));
  }
}

TEST_CASE("convolutions start evenly distributed over +-1 / sqrt(fan-in)") {
  random::seed(3);
  const auto check = [](const Tensor& x, double bound) {
    CHECK(largest(x) <= bound);
    CHECK(largest(x) > 0.98 * bound);
    const double mean_square = static_cast<double>(mean(square(x)).item());
    CHECK(mean_square == Approx(bound * bound / 3).epsilon(5 * 0.9 / std::sqrt(static_cast<double>(x.size()))));
  };
  const nn::Conv2d conv{16, 400, {5, 3}, {.groups = 4}};
  check(conv.weight, 1 / std::sqrt(4.0 * 15));
  check(*conv.bias, 1 / std::sqrt(4.0 * 15));
  check(nn::Conv1d(100, 100, 4).weight, 0.05);
  // PyTorch's fan-in of a transposed convolution is that of its transpose.
  check(nn::ConvTranspose2d(100, 64, {2, 3}, {.groups = 2}).weight, 1 / std::sqrt(32.0 * 6));
  check(nn::ConvTranspose1d(100, 25, 4).weight, 0.1);
}

TEST_CASE("models of convolutions: summary and gradient check") {
  random::seed(4);
  const Net net;
  CHECK(nn::to_string(nn::summary(net, {2, 9, 6, 1})) ==
        "Net: f32[2, 9, 6, 1] -> f32[2, 10, 6, 2]\n"
        "layer  type             output         parameters\n"
        "-------------------------------------------------\n"
        "conv1  Conv2d           [2, 9, 6, 8]           80\n"
        "conv2  Conv2d           [2, 4, 3, 8]           24\n"
        "up     ConvTranspose2d  [2, 10, 6, 2]         258\n"
        "-------------------------------------------------\n"
        "362 parameters, 1.4 kB\n");
  CHECK(gradcheck(net, random::normal({1, 5, 4, 1}), {.second_order = true}));
  CHECK(gradcheck(SequenceNet(), random::normal({2, 5, 2}), {.second_order = true}));
}

TEST_CASE("errors of the convolutional layers name the layer, the shapes and the caller's line") {
  const Net net;
  nn::name(net);
  CHECK(
      error_of([&] {
        net.conv1(zeros({64, 1, 28, 28}));
      }) ==
      "Conv2d: the last axis of x must have 1 channel: x is f32[64, 1, 28, 28], the weight [out, kernel_height, "
      "kernel_width, in / groups] is f32[8, 3, 3, 1], in conv1, at here; images are [batch, height, width, channels]: "
      "permute(x, {0, 2, 3, 1})");
  CHECK(
      error_of([&] {
        net.conv1(zeros({28, 28, 1}));
      }) ==
      "Conv2d: x [batch, height, width, channels] must have 4 axes, it is f32[28, 28, 1], in conv1, at here; one image "
      "becomes a batch with unsqueeze(x, 0)");
  CHECK(error_of([&] {
          net.conv1(zeros({64, 28, 28, 1}, f64));
        }) ==
        "Conv2d: x is f64[64, 28, 28, 1] and the weight f32[8, 3, 3, 1], in conv1, at here; convert the model with "
        "nn::to(net, f64), or x with .to(f32)");
  CHECK(error_of([&] {
          net.conv2(zeros({1, 2, 5, 8}));
        }) ==
        "conv2d: the kernel spans 3 x 1, more than the padded x with 2 x 5: x is f32[1, 2, 5, 8], the weight [out, "
        "kernel_height, kernel_width, in / groups] is f32[8, 3, 1, 1], in conv2, at here");
  CHECK(
      error_of([&] {
        net.up(zeros({1, 8, 5, 5}));
      }) ==
      "ConvTranspose2d: the last axis of x must have 8 channels: x is f32[1, 8, 5, 5], the weight [in, kernel_height, "
      "kernel_width, out / groups] is f32[8, 4, 4, 2], in up, at here; images are [batch, height, width, channels]: "
      "permute(x, {0, 2, 3, 1})");
  CHECK(error_of([&] { net.conv1(Tensor()); }) == "Conv2d: the input is an empty handle, in conv1, at here");
  const SequenceNet sequences;
  CHECK(error_of([&] {
          sequences.conv(zeros({3, 2, 9}));
        }) ==
        "Conv1d: the last axis of x must have 2 channels: x is f32[3, 2, 9], the weight [out, kernel, in / groups] is "
        "f32[4, 3, 2], at here; sequences are [batch, time, channels]: transpose(x, 1, 2)");
  CHECK(error_of([&] {
          sequences.conv(zeros({3, 1, 2}));
        }) == "pad: axis 1 of f32[3, 1, 2] cannot be reflected by {1, 1}, at here; at most 0 elements on each side");

  CHECK(error_of([] {
          nn::Conv2d(3, 8, {3, 0});
        }) == "Conv2d: sizes must be at least 1: in 3, out 8, kernel_size {3, 0}, at here");
  CHECK(error_of([] { nn::Conv1d(0, 8, 3); }) ==
        "Conv1d: sizes must be at least 1: in 0, out 8, kernel_size 3, at here");
  CHECK(error_of([] { nn::Conv2d(3, 8, 3, {.groups = 3}); }) ==
        "Conv2d: groups must divide in and out: in 3, out 8, groups 3, at here");
  CHECK(error_of([] { nn::ConvTranspose1d(3, 8, 3, {.groups = 2}); }) ==
        "ConvTranspose1d: groups must divide in and out: in 3, out 8, groups 2, at here");
  CHECK(error_of([] { nn::Conv2d(3, 8, 3, {.stride = 0}); }) == "Conv2d: stride must be at least 1, it is 0, at here");
  CHECK(error_of([] { nn::Conv1d(3, 8, 3, {.stride = 2, .padding = "same"}); }) ==
        "Conv1d: padding \"same\" needs stride 1, it is 2, at here");
  CHECK(error_of([] { nn::ConvTranspose2d(3, 8, 3, {.output_padding = 1}); }) ==
        "ConvTranspose2d: output_padding 1 must be smaller than the stride 1 or the dilation 1, at here");
}
