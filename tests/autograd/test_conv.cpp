// Convolutions against plain loops over padded copies: values, the transposes, derivatives of every order, and what bad
// input says.
#include "autograd/ops/conv.h"

#include <functional>

#include "autograd/gradcheck.h"
#include "autograd/jvp.h"
#include "autograd/random.h"
#include "autograd/thread_pool.h"
#include "tests/autograd/op_support.h"

using namespace op_test;
using Values = std::vector<double>;

namespace {

// Elements of a tensor with four axes; 0 outside of it.
class Plain {
 public:
  explicit Plain(const Tensor& x) : shape_(x.shape()), values_(values_of(x)) {}
  double operator()(std::int64_t n, std::int64_t i, std::int64_t j, std::int64_t c) const {
    if (i < 0 || j < 0 || i >= shape_[1] || j >= shape_[2]) return 0;
    return values_[static_cast<std::size_t>(((n * shape_[1] + i) * shape_[2] + j) * shape_[3] + c)];
  }

 private:
  Shape shape_;
  Values values_;
};

struct Zeros {
  std::int64_t top = 0, bottom = 0, left = 0, right = 0;
};

// The definition, output by output. Written apart from the library: groups as slices of channels, padding as a size.
Tensor plain_conv(const Tensor& x, const Tensor& weight, Zeros zeros, Size2d stride = 1, Size2d dilation = 1,
                  std::int64_t groups = 1) {
  const Plain in(x);
  const Plain w(weight);
  const std::int64_t out = weight.shape(0);
  const std::int64_t in_group = x.shape(3) / groups;
  const auto size = [](std::int64_t padded, std::int64_t kernel, std::int64_t step, std::int64_t distance) {
    std::int64_t n = 0;
    while (n * step + (kernel - 1) * distance < padded) ++n;
    return n;
  };
  const Shape shape{x.shape(0),
                    size(x.shape(1) + zeros.top + zeros.bottom, weight.shape(1), stride.height, dilation.height),
                    size(x.shape(2) + zeros.left + zeros.right, weight.shape(2), stride.width, dilation.width), out};
  Values y;
  for (std::int64_t n = 0; n < shape[0]; ++n) {
    for (std::int64_t i = 0; i < shape[1]; ++i) {
      for (std::int64_t j = 0; j < shape[2]; ++j) {
        for (std::int64_t o = 0; o < out; ++o) {
          const std::int64_t group = o / (out / groups);
          double sum = 0;
          for (std::int64_t r = 0; r < weight.shape(1); ++r) {
            for (std::int64_t s = 0; s < weight.shape(2); ++s) {
              for (std::int64_t c = 0; c < in_group; ++c) {
                sum += w(o, r, s, c) * in(n, i * stride.height - zeros.top + r * dilation.height,
                                          j * stride.width - zeros.left + s * dilation.width, group * in_group + c);
              }
            }
          }
          y.push_back(sum);
        }
      }
    }
  }
  return Tensor::from(y, shape);
}

double dot(const Tensor& a, const Tensor& b) { return sum(a.to(f64) * b.to(f64)).item(); }

// Options of every kind with what they mean for the plain loops.
struct Geometry {
  Shape x, weight;
  Conv2dOptions options{};
  Zeros zeros{};
};

std::vector<Geometry> geometries() {
  return {{{2, 5, 6, 3}, {4, 3, 3, 3}},
          {{1, 5, 6, 1}, {8, 5, 5, 1}, {.padding = 2}, {2, 2, 2, 2}},
          {{2, 6, 7, 3}, {5, 3, 2, 3}, {.stride = 2, .padding = {1, 0}}, {1, 1, 0, 0}},
          {{2, 9, 8, 2}, {3, 3, 2, 2}, {.stride = {1, 3}, .padding = {0, 4}, .dilation = {3, 2}}, {0, 0, 4, 4}},
          {{2, 5, 4, 2}, {3, 4, 2, 2}, {.padding = "same"}, {1, 2, 0, 1}},
          {{2, 5, 4, 2}, {3, 2, 3, 2}, {.padding = "same", .dilation = {3, 2}}, {1, 2, 2, 2}},
          {{2, 4, 5, 6}, {9, 3, 3, 2}, {.padding = 1, .groups = 3}, {1, 1, 1, 1}},
          {{2, 4, 5, 5}, {5, 3, 3, 1}, {.stride = 2, .padding = 1, .groups = 5}, {1, 1, 1, 1}},
          {{2, 4, 5, 3}, {6, 3, 3, 1}, {.padding = 1, .groups = 3}, {1, 1, 1, 1}},  // two results of each channel
          {{3, 4, 5, 7}, {6, 1, 1, 7}},
          {{3, 7, 4, 2}, {6, 1, 1, 2}, {.stride = 3}},
          {{1, 3, 3, 2}, {4, 3, 3, 2}},
          {{1, 1, 1, 1}, {1, 3, 3, 1}, {.padding = 4}, {4, 4, 4, 4}},
          {{2, 17, 19, 20}, {33, 3, 3, 20}, {.padding = 1}, {1, 1, 1, 1}},
          {{2, 17, 19, 3}, {16, 7, 7, 3}, {.stride = 2, .padding = 3}, {3, 3, 3, 3}},
          {{2, 17, 19, 24}, {24, 3, 3, 1}, {.padding = 1, .groups = 24}, {1, 1, 1, 1}}};
}

// The gradients of <conv2d(x, weight), g>, from the plain loops alone: these are linear in x and in weight, so that
// element k of a gradient is their value at unit vector k.
Tensor plain_gradient(const Geometry& c, const Tensor& x, const Tensor& weight, const Tensor& g, bool in_weight) {
  const Tensor& variable = in_weight ? weight : x;
  Values result;
  for (std::int64_t k = 0; k < variable.size(); ++k) {
    Tensor unit = zeros_like(variable);
    unit.span<double>()[static_cast<std::size_t>(k)] = 1;
    const Tensor y = plain_conv(in_weight ? x : unit, in_weight ? unit : weight, c.zeros, c.options.stride,
                                c.options.dilation, c.options.groups);
    result.push_back(dot(y, g));
  }
  return Tensor::from(result, variable.shape());
}

Tensors both_gradients(const Geometry& c, const Tensor& x, const Tensor& weight, const Tensor& g) {
  return gradients([&](const Tensors& in) { return conv2d(in[0], in[1], c.options); }, {x, weight}, g);
}

}  // namespace

TEST_CASE("a convolution by hand") {
  // 1 2 3 4 under [1, 10]: pairs.
  const Tensor x = Tensor::from({1.0, 2.0, 3.0, 4.0}, {1, 4, 1});
  const Tensor weight = Tensor::from({1.0, 10.0}, {1, 2, 1});
  CHECK(values_of(conv1d(x, weight)) == Values{21, 32, 43});
  CHECK(values_of(conv1d(x, weight, Tensor::from({100.0}))) == Values{121, 132, 143});
  CHECK(values_of(conv1d(x, weight, {.stride = 2})) == Values{21, 43});
  CHECK(values_of(conv1d(x, weight, {.padding = 1})) == Values{10, 21, 32, 43, 4});
  CHECK(values_of(conv1d(x, weight, {.padding = "same"})) == Values{21, 32, 43, 4});
  CHECK(values_of(conv1d(x, weight, {.padding = "valid"})) == Values{21, 32, 43});
  CHECK(values_of(conv1d(x, weight, {.dilation = 2})) == Values{31, 42});
  // Every element adds its kernel: 1 * [1, 10], 2 * [1, 10], ...
  CHECK(values_of(conv_transpose1d(x, weight)) == Values{1, 12, 23, 34, 40});
  CHECK(values_of(conv_transpose1d(x, weight, {.stride = 2})) == Values{1, 10, 2, 20, 3, 30, 4, 40});
  CHECK(values_of(conv_transpose1d(x, weight, {.padding = 1})) == Values{12, 23, 34});
  CHECK(values_of(conv_transpose1d(x, weight, {.stride = 2, .output_padding = 1})) ==
        Values{1, 10, 2, 20, 3, 30, 4, 40, 0});
  CHECK(values_of(conv_transpose1d(x, weight, Tensor::from({100.0}), {.padding = 1})) == Values{112, 123, 134});
}

TEST_CASE("a convolution of an image by hand") {
  // 0 1 2
  // 3 4 5
  // 6 7 8   under   1 10
  //                 100 1000
  const Tensor x = counting({1, 3, 3, 1});
  const Tensor weight = Tensor::from({1.0, 10.0, 100.0, 1000.0}, {1, 2, 2, 1});
  CHECK(values_of(conv2d(x, weight)) == Values{4310, 5421, 7643, 8754});
  CHECK(conv2d(x, weight).shape() == Shape{1, 2, 2, 1});
  CHECK(values_of(conv2d(x, weight, {.padding = "same"})) == Values{4310, 5421, 502, 7643, 8754, 805, 76, 87, 8});
  CHECK(values_of(conv2d(x, weight, {.stride = {2, 1}})) == Values{4310, 5421});
  // Two channels in, two out, one pixel: a matrix product.
  const Tensor pixel = Tensor::from({1.0, 2.0}, {1, 1, 1, 2});
  CHECK(values_of(conv2d(pixel, Tensor::from({1.0, 2.0, 3.0, 4.0}, {2, 1, 1, 2}), Tensor::from({10.0, 20.0}))) ==
        Values{15, 31});
  // Two groups of one channel.
  CHECK(values_of(conv2d(pixel, Tensor::from({3.0, 5.0}, {2, 1, 1, 1}), {.groups = 2})) == Values{3, 10});
}

TEST_CASE("conv2d and its gradients agree with plain loops, for every kind of options") {
  for (const Geometry& c : geometries()) {
    CAPTURE(to_string(c.x), to_string(c.weight));
    const Tensor x = irregular(c.x, 1);
    const Tensor weight = irregular(c.weight, 2);
    const Tensor bias = irregular({c.weight[0]}, 3);
    const Tensor expected = plain_conv(x, weight, c.zeros, c.options.stride, c.options.dilation, c.options.groups);
    CHECK(is_close(conv2d(x, weight, c.options), expected));
    CHECK(is_close(conv2d(x, weight, bias, c.options), expected + bias));
    const Tensor low = conv2d(x.to(f32), weight.to(f32), bias.to(f32), c.options);
    CHECK(low.dtype() == f32);
    CHECK(is_close(low.to(f64), expected + bias, 1e-4));
    if (x.size() + weight.size() > 500) continue;
    const Tensor g = irregular(expected.shape(), 4);
    const Tensors found = both_gradients(c, x, weight, g);
    CHECK(is_close(found[0], plain_gradient(c, x, weight, g, false)));
    CHECK(is_close(found[1], plain_gradient(c, x, weight, g, true)));
  }
}

TEST_CASE("conv1d is conv2d of images of height 1") {
  const auto as_image = [](const Tensor& t) { return unsqueeze(t, 1); };
  const Tensor x = irregular({2, 9, 4}, 1);
  const Tensor weight = irregular({6, 3, 2}, 2);
  const Tensor bias = irregular({6}, 3);
  const Tensor y = conv1d(x, weight, bias, {.stride = 2, .padding = 2, .dilation = 2, .groups = 2});
  CHECK(y.shape() == Shape{2, 5, 6});
  const Conv2dOptions options{.stride = {1, 2}, .padding = {0, 2}, .dilation = {1, 2}, .groups = 2};
  CHECK(same_bits(as_image(y), conv2d(as_image(x), as_image(weight), bias, options)));
  const Tensor up = conv_transpose1d(irregular({2, 5, 6}, 1), weight, {.stride = 3, .padding = 1, .groups = 2});
  CHECK(same_bits(as_image(up), conv_transpose2d(as_image(irregular({2, 5, 6}, 1)), as_image(weight),
                                                 {.stride = {1, 3}, .padding = {0, 1}, .groups = 2})));
}

TEST_CASE("conv_transpose2d is the transpose of conv2d") {
  for (const Geometry& c : geometries()) {
    if (c.options.padding.is_same) continue;
    CAPTURE(to_string(c.x), to_string(c.weight));
    const Tensor a = irregular(c.x, 1);
    const Tensor weight = irregular(c.weight, 2);
    const Tensor y = conv2d(a, weight, c.options);
    const Tensor b = irregular(y.shape(), 3);
    // What the division by the stride dropped.
    const auto dropped = [&](int axis, std::int64_t pad, std::int64_t stride, std::int64_t dilation) {
      return (c.x[axis] + 2 * pad - dilation * (c.weight[axis] - 1) - 1) % stride;
    };
    const Conv2dOptions& o = c.options;
    const Tensor back =
        conv_transpose2d(b, weight,
                         {.stride = o.stride,
                          .padding = o.padding.size,
                          .output_padding = {dropped(1, o.padding.size.height, o.stride.height, o.dilation.height),
                                             dropped(2, o.padding.size.width, o.stride.width, o.dilation.width)},
                          .dilation = o.dilation,
                          .groups = o.groups});
    REQUIRE(back.shape() == c.x);
    CHECK(dot(y, b) == Approx(dot(a, back)).epsilon(1e-12));
    CHECK(same_bits(back, both_gradients(c, a, weight, b)[0]));
  }
}

TEST_CASE("an output_padding below the dilation, but not below the stride") {
  const ConvTranspose1dOptions options{.padding = 1, .output_padding = 1, .dilation = 2};
  const Tensor x = Tensor::from({1.0, 2.0}, {1, 2, 1});
  const Tensor weight = Tensor::from({1.0, 10.0}, {1, 2, 1});
  // 1 2 10 20, without one at either end, and one more: the padding cut it off before.
  CHECK(values_of(conv_transpose1d(x, weight, options)) == Values{2, 10, 20});
  const Function f = [&](const Tensors& in) { return conv_transpose1d(in[0], in[1], in[2], options); };
  CHECK(gradcheck(f, {irregular({2, 4, 3}), irregular({3, 3, 2}, 2), irregular({2}, 3)}, {.second_order = true}));
}

TEST_CASE("the rules of every order, forward and backward") {
  const Conv2dOptions options{.stride = {2, 1}, .padding = {1, 0}, .dilation = {1, 2}, .groups = 2};
  const Function f = [&](const Tensors& in) { return conv2d(in[0], in[1], in[2], options); };
  const Tensors at = {irregular({1, 4, 5, 4}, 1), irregular({2, 2, 2, 2}, 2), irregular({2}, 3)};
  CHECK(gradient_error(f, at) < 1e-9);
  CHECK(second_order_error(f, at) < 1e-9);

  SECTION("the third order") {
    // sum(y^3) has third derivatives. The gradient of a gradient's part, by differences.
    const auto slope = [&](const Tensors& in) {
      Tape tape;
      Tensor x = in[0];
      tape.watch(x);
      const Tensor y = f({x, in[1], in[2]});
      return tape.gradient(sum(y * y * y), x);
    };
    CHECK(second_order_error(slope, {at[0], at[1], at[2]}) < 1e-7);
  }
  SECTION("vjp and jvp are transposes of each other") {
    const auto one = [&](const Tensors& x) { return f(x); };
    const Tensors u = {irregular({1, 4, 5, 4}, 11), irregular({2, 2, 2, 2}, 12), irregular({2}, 13)};
    const Tensor forward = jvp(one, at, u).tangent;
    const Tensor v = irregular(forward.shape(), 14);
    const Tensors backward = gradients(f, at, v);
    double right = 0;
    for (std::size_t k = 0; k < 3; ++k) right += dot(backward[k], u[k]);
    CHECK(dot(forward, v) == Approx(right).epsilon(1e-12));
  }
}

TEST_CASE("gradients have the same bits with and without a tape around") {
  const Tensor x = irregular({2, 9, 8, 5}, 1, f32);
  const Tensor weight = irregular({6, 3, 3, 5}, 2, f32);
  const Tensor bias = irregular({6}, 3, f32);
  const Function f = [](const Tensors& in) { return conv2d(in[0], in[1], in[2], {.padding = 1}); };
  const Tensor g = irregular({2, 9, 8, 6}, 4, f32);
  const Tensors alone = gradients(f, {x, weight, bias}, g);
  Tape outer;
  Tensors watched = {x, weight, bias};
  for (Tensor& t : watched) outer.watch(t);
  const Tensors recorded = gradients(f, watched, g);
  for (std::size_t k = 0; k < 3; ++k) CHECK(same_bits(alone[k], recorded[k]));
}

TEST_CASE("only the gradients that are asked for are computed, from any memory layout") {
  const Tensor first = irregular({2, 3, 5, 4}, 1);
  const Tensor x = permute(first, {0, 2, 3, 1});  // channels first in memory
  const Tensor weight = transpose(irregular({4, 3, 3, 2}, 2), 1, 3);
  REQUIRE(weight.shape() == Shape{4, 2, 3, 3});
  CHECK(same_bits(conv2d(x, weight), conv2d(contiguous(x), contiguous(weight))));
  const Tensor g = irregular({2, 4, 2, 4}, 3);
  const Tensors both = gradients([](const Tensors& in) { return conv2d(in[0], in[1]); }, {x, weight}, g);
  const Tensors in_x = gradients([&](const Tensors& in) { return conv2d(in[0], weight); }, {x}, g);
  const Tensors in_weight = gradients([&](const Tensors& in) { return conv2d(x, in[0]); }, {weight}, g);
  CHECK(same_bits(in_x[0], both[0]));
  CHECK(same_bits(in_weight[0], both[1]));
  // A cotangent that repeats one element.
  const Tensors ones_everywhere = gradients([](const Tensors& in) { return conv2d(in[0], in[1]); }, {x, weight},
                                            expand(ones({1}, f64), {2, 4, 2, 4}));
  CHECK(ones_everywhere[0].shape() == x.shape());
}

TEST_CASE("the same bits with any number of threads") {
  const int before = num_threads();
  for (const Geometry& c : geometries()) {
    const Tensor x = irregular(c.x, 1, f32);
    const Tensor weight = irregular(c.weight, 2, f32);
    set_num_threads(1);
    const Tensor y = conv2d(x, weight, c.options);
    const Tensor g = irregular(y.shape(), 3, f32);
    const Tensors one = both_gradients(c, x, weight, g);
    for (const int threads : {2, 3, 8}) {
      set_num_threads(threads);
      CHECK(same_bits(conv2d(x, weight, c.options), y));
      const Tensors several = both_gradients(c, x, weight, g);
      for (std::size_t k = 0; k < 2; ++k) CHECK(same_bits(several[k], one[k]));
    }
  }
  set_num_threads(before);
}

TEST_CASE("empty batches and no channels") {
  const Tensor weight = irregular({3, 3, 3, 2}, 2);
  const Tensor none = zeros({0, 5, 5, 2}, f64);
  CHECK(conv2d(none, weight).shape() == Shape{0, 3, 3, 3});
  const Tensors g =
      gradients([](const Tensors& in) { return conv2d(in[0], in[1]); }, {none, weight}, zeros({0, 3, 3, 3}, f64));
  CHECK(g[0].shape() == none.shape());
  CHECK(same_bits(g[1], zeros_like(weight)));
  const Tensor bias = Tensor::from({1.0, 2.0});
  CHECK(values_of(conv2d(zeros({1, 2, 2, 0}, f64), zeros({2, 2, 2, 0}, f64), bias)) == Values{1, 2});
  CHECK(conv2d(zeros({1, 2, 2, 3}, f64), zeros({0, 2, 2, 3}, f64)).shape() == Shape{1, 1, 1, 0});
  CHECK(conv_transpose2d(zeros({0, 2, 2, 3}, f64), zeros({3, 2, 2, 4}, f64)).shape() == Shape{0, 3, 3, 4});
  // Nothing but padding.
  CHECK(values_of(conv1d(zeros({1, 0, 1}, f64), zeros({1, 2, 1}, f64), Tensor::from({7.0}), {.padding = 1})) ==
        Values{7});
}

TEST_CASE("what convolutions say to bad input") {
  const Tensor image = zeros({2, 8, 8, 3});
  const Tensor weight = zeros({4, 3, 3, 3});
  SECTION("channels") {
    CHECK(error_of([&] {
            conv2d(zeros({2, 3, 8, 8}), weight);
          }) ==
          "conv2d: the last axis of x must have 3 channels: x is f32[2, 3, 8, 8], the weight [out, kernel_height, "
          "kernel_width, in / groups] is f32[4, 3, 3, 3], at here; images are [batch, height, width, channels]: "
          "permute(x, {0, 2, 3, 1})");
    CHECK(error_of([&] {
            conv2d(image, zeros({4, 3, 5, 5}));
          }) ==
          "conv2d: the last axis of x must have 5 channels: x is f32[2, 8, 8, 3], the weight [out, kernel_height, "
          "kernel_width, in / groups] is f32[4, 3, 5, 5], at here; weights are [out, kernel_height, kernel_width, in / "
          "groups]: permute(weight, {0, 2, 3, 1})");
    CHECK(error_of([&] {
            conv2d(zeros({2, 3, 8, 8}), zeros({4, 3, 5, 5}));
          }) ==
          "conv2d: the last axis of x must have 5 channels: x is f32[2, 3, 8, 8], the weight [out, kernel_height, "
          "kernel_width, in / groups] is f32[4, 3, 5, 5], at here; channels are the last axis: permute(x, {0, 2, 3, "
          "1}) and permute(weight, {0, 2, 3, 1})");
    CHECK(error_of([&] {
            conv2d(image, zeros({6, 3, 3, 1}));
          }) ==
          "conv2d: the last axis of x must have 1 channel: x is f32[2, 8, 8, 3], the weight [out, kernel_height, "
          "kernel_width, in / groups] is f32[6, 3, 3, 1], at here; a depthwise convolution has .groups = 3");
    CHECK(error_of([&] {
            conv2d(image, zeros({4, 3, 3, 1}));
          }) ==
          "conv2d: the last axis of x must have 1 channel: x is f32[2, 8, 8, 3], the weight [out, kernel_height, "
          "kernel_width, in / groups] is f32[4, 3, 3, 1], at here");
    CHECK(
        error_of([&] {
          conv1d(zeros({2, 8, 3}), zeros({4, 3, 5}));
        }) ==
        "conv1d: the last axis of x must have 5 channels: x is f32[2, 8, 3], the weight [out, kernel, in / groups] is "
        "f32[4, 3, 5], at here; weights are [out, kernel, in / groups]: transpose(weight, 1, 2)");
    CHECK(
        error_of([&] {
          conv1d(zeros({2, 3, 8}), zeros({4, 5, 3}));
        }) ==
        "conv1d: the last axis of x must have 3 channels: x is f32[2, 3, 8], the weight [out, kernel, in / groups] is "
        "f32[4, 5, 3], at here; sequences are [batch, time, channels]: transpose(x, 1, 2)");
    CHECK(error_of([&] {
            conv_transpose2d(zeros({2, 4, 8, 8}), weight);
          }) ==
          "conv_transpose2d: the last axis of x must have 4 channels: x is f32[2, 4, 8, 8], the weight [in, "
          "kernel_height, kernel_width, out / groups] is f32[4, 3, 3, 3], at here; images are [batch, height, width, "
          "channels]: permute(x, {0, 2, 3, 1})");
  }
  SECTION("groups") {
    CHECK(error_of([&] {
            conv2d(image, zeros({4, 3, 3, 1}), {.groups = 2});
          }) ==
          "conv2d: the last axis of x must have 2 channels: x is f32[2, 8, 8, 3], the weight [out, kernel_height, "
          "kernel_width, in / groups] is f32[4, 3, 3, 1], groups 2, at here");
    CHECK(
        error_of([&] {
          conv2d(image, zeros({4, 3, 3, 1}), {.groups = 3});
        }) ==
        "conv2d: 4 output channels cannot be divided into 3 groups: x is f32[2, 8, 8, 3], the weight f32[4, 3, 3, 1], "
        "at here");
    CHECK(error_of([&] {
            conv_transpose2d(image, zeros({3, 3, 3, 1}), {.groups = 2});
          }) ==
          "conv_transpose2d: 3 input channels cannot be divided into 2 groups: x is f32[2, 8, 8, 3], the weight f32[3, "
          "3, 3, 1], at here");
    CHECK(error_of([&] { conv2d(image, weight, {.groups = 0}); }) ==
          "conv2d: groups must be at least 1, it is 0, at here");
  }
  SECTION("axes") {
    CHECK(
        error_of([&] {
          conv2d(zeros({8, 8, 3}), weight);
        }) ==
        "conv2d: x [batch, height, width, channels] must have 4 axes, it is f32[8, 8, 3], at here; one image becomes a "
        "batch with unsqueeze(x, 0)");
    CHECK(error_of([&] {
            conv1d(image, zeros({4, 3, 3}));
          }) == "conv1d: x [batch, time, channels] must have 3 axes, it is f32[2, 8, 8, 3], at here");
    CHECK(error_of([&] {
            conv2d(image, zeros({4, 3}));
          }) ==
          "conv2d: the weight [out, kernel_height, kernel_width, in / groups] must have 4 axes, it is f32[4, 3], at "
          "here");
    CHECK(error_of([&] {
            conv2d(image, zeros({4, 3, 0, 3}));
          }) ==
          "conv2d: the kernel is empty: the weight [out, kernel_height, kernel_width, in / groups] is f32[4, 3, 0, 3], "
          "at here");
    CHECK(error_of([&] { conv2d(image, weight, zeros({3})); }) ==
          "conv2d: the bias must be [4], it is f32[3], at here");
    CHECK(error_of([&] { conv2d(image, 2); }) ==
          "conv2d: the weight [out, kernel_height, kernel_width, in / groups] must have 4 axes, it is f32[], at here");
  }
  SECTION("sizes") {
    CHECK(error_of([&] {
            conv2d(zeros({2, 2, 2, 3}), zeros({4, 5, 3, 3}), {.padding = 1});
          }) ==
          "conv2d: the kernel spans 5 x 3, more than the padded x with 4 x 4: x is f32[2, 2, 2, 3], the weight [out, "
          "kernel_height, kernel_width, in / groups] is f32[4, 5, 3, 3], at here");
    CHECK(error_of([&] {
            conv1d(zeros({2, 4, 3}), zeros({4, 3, 3}), {.dilation = 2});
          }) ==
          "conv1d: the kernel spans 5, more than the padded x with 4: x is f32[2, 4, 3], the weight [out, kernel, in / "
          "groups] is f32[4, 3, 3], at here");
    CHECK(
        error_of([&] {
          conv_transpose2d(zeros({2, 1, 2, 4}), weight, {.padding = {2, 0}});
        }) ==
        "conv_transpose2d: padding {2, 0} leaves nothing of the result: x is f32[2, 1, 2, 4], the kernel spans 3 x 3, "
        "at here");
    CHECK(error_of([&] {
            conv_transpose1d(zeros({2, 0, 4}), zeros({4, 3, 3}));
          }) == "conv_transpose1d: x f32[2, 0, 4] has no elements along an axis, at here");
    const std::int64_t huge = std::int64_t{1} << 40;
    CHECK(error_of([&] {
            conv1d(zeros({2, 4, 3}), zeros({4, 3, 3}), {.padding = huge});
          }) == "conv1d: padding 1099511627776 is too large, at here");
    CHECK(error_of([&] {
            conv1d(zeros({0, huge, 3}), zeros({4, 3, 3}));
          }) == "conv1d: f32[0, 1099511627776, 3] is too large, at here");
  }
  SECTION("options") {
    CHECK(error_of([&] { conv2d(image, weight, {.stride = 0}); }) ==
          "conv2d: stride must be at least 1, it is 0, at here");
    CHECK(error_of([&] {
            conv2d(image, weight, {.stride = {2, -1}});
          }) == "conv2d: stride must be at least 1, it is {2, -1}, at here");
    CHECK(error_of([&] { conv2d(image, weight, {.padding = -1}); }) ==
          "conv2d: padding must be at least 0, it is -1, at here");
    CHECK(error_of([&] { conv2d(image, weight, {.dilation = 0}); }) ==
          "conv2d: dilation must be at least 1, it is 0, at here");
    CHECK(error_of([&] { conv2d(image, weight, {.stride = 2, .padding = "same"}); }) ==
          "conv2d: padding \"same\" needs stride 1, it is 2, at here");
    CHECK(error_of([&] { conv2d(image, weight, {.padding = "some"}); }) ==
          "padding is a number, \"same\" or \"valid\", not \"some\", at here");
    CHECK(error_of([&] {
            conv_transpose1d(zeros({1, 4, 4}), zeros({4, 3, 3}), {.stride = 2, .output_padding = 2});
          }) == "conv_transpose1d: output_padding 2 must be smaller than the stride 2 or the dilation 1, at here");
  }
  SECTION("dtypes and handles") {
    CHECK(error_of([&] { conv2d(image.to(f64), weight); }) ==
          "conv2d: x is f64[2, 8, 8, 3] and the weight f32[4, 3, 3, 3], at here; convert one of them, with to(f32) or "
          "to(f64)");
    CHECK(error_of([&] { conv2d(image.to(i64), weight); }) ==
          "conv2d: x i64[2, 8, 8, 3] holds integers, at here; convert it with to(f32)");
    CHECK(error_of([&] { conv2d(image, weight, zeros({4}, f64)); }) ==
          "conv2d: x is f32[2, 8, 8, 3] and the bias f64[4], at here; convert one of them, with to(f64) or to(f32)");
    CHECK(error_of([&] { conv2d(Tensor(), weight); }) == "conv2d: input 0 is an empty handle, at here");
    CHECK(error_of([&] { conv2d(image, Tensor()); }) == "conv2d: the weight is an empty handle, at here");
  }
}
