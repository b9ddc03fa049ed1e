// Upsample, Flatten, Residual and PReLU.
#include <vector>

#include "autograd/create.h"
#include "autograd/gradcheck.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/random.h"
#include "nn/dense.h"
#include "nn/flatten.h"
#include "nn/pool.h"
#include "nn/prelu.h"
#include "nn/residual.h"
#include "nn/sequential.h"
#include "nn/summary.h"
#include "nn/upsample.h"
#include "tests/catch.h"
#include "tests/error_of.h"

using namespace tapegrad;
using tapegrad::tests::error_of;

TEST_CASE("Upsample and Flatten compute what their functions do") {
  const Tensor image = random::normal({2, 3, 4, 5});
  CHECK(array_equal(nn::Upsample{{.scale_factor = 2}}(image), upsample(image, {.scale_factor = 2})));
  CHECK(array_equal(nn::Upsample{{.size = {5, 2}, .mode = UpsampleMode::bilinear, .align_corners = true}}(image),
                    upsample(image, {.size = {5, 2}, .mode = UpsampleMode::bilinear, .align_corners = true})));
  CHECK(nn::Flatten{}(image).shape() == Shape{2, 60});
  CHECK(nn::Flatten{2}(image).shape() == Shape{2, 3, 20});
  CHECK(nn::Flatten{0}(image).shape() == Shape{120});
  CHECK(nn::Flatten{}(zeros({0, 3, 4})).shape() == Shape{0, 12});
  CHECK(error_of([] { nn::Upsample{{}}; }) ==
        "Upsample: neither size nor scale_factor is given, at here; give one of them");
  CHECK(error_of([&] { nn::Flatten{4}(image); }).starts_with("flatten: axis 4 is out of range"));
}

TEST_CASE("Residual adds what goes in, or its projection") {
  const Tensor x = random::normal({4, 3});
  const nn::Residual plain{nn::Dense{3, 3}};
  CHECK(array_equal(plain(x), x + plain.inner(x)));
  const nn::Residual wider{nn::Sequential{nn::Dense{3, 8}, relu, nn::Dense{8, 5}}, nn::Dense{3, 5, {.bias = false}}};
  CHECK(array_equal(wider(x), wider.projection(x) + wider.inner(x)));
  const nn::Residual function{relu};
  CHECK(array_equal(function(x), x + relu(x)));
  const Tensor kept = x.clone();
  nn::Residual{nn::Identity{}}(x.clone());
  CHECK(array_equal(nn::Residual{nn::Identity{}}(x), 2 * kept));
  CHECK(array_equal(x, kept));
}

TEST_CASE("the parts of Residual have names and gradients") {
  struct Net {
    nn::Residual<nn::Dense> first{nn::Dense{3, 3}};
    nn::Residual<nn::Dense, nn::Dense> second{nn::Dense{3, 2}, nn::Dense{3, 2, {.bias = false}}};
    Tensor operator()(Arg x) const { return second(first(x)); }
  };
  const Net net;
  const Tensor x = random::normal({4, 3});
  Tape tape;
  const Gradients g = tape.gradient(sum(net(x)), net);
  CHECK(g.at("first.inner.weight").shape() == Shape{3, 3});
  CHECK(g.at("second.projection.weight").shape() == Shape{2, 3});
  CHECK(nn::summary(net, {4, 3}).parameters == 12 + 8 + 6);
  CHECK(gradcheck(net, x, {.second_order = true}));
  nn::name(net);
  CHECK(error_of([&] {
          nn::Residual{nn::Dense{3, 2}}(x);
        }) ==
        "Residual: the inner layer gives f32[4, 2] and the projection f32[4, 3], at here; the shapes must be equal: "
        "without a projection, that of x");
  struct Wrong {
    std::vector<nn::Residual<nn::Dense>> blocks = {nn::Residual{nn::Dense{3, 1}}};
    Tensor operator()(Arg in) const { return blocks[0](in); }
  };
  const Wrong wrong;
  nn::name(wrong);
  CHECK(error_of([&] { wrong.blocks[0](x); }) ==
        "Residual: the inner layer gives f32[4, 1] and the projection f32[4, 3], in blocks.0, at here; the shapes must "
        "be equal: without a projection, that of x");
}

TEST_CASE("PReLU has one slope, or one for each channel") {
  const Tensor x = Tensor::from({1.0f, -2.0f, -4.0f, 0.0f, 3.0f, -1.0f}, {2, 3});
  CHECK(array_equal(nn::PReLU{}(x), Tensor::from({1.0f, -0.5f, -1.0f, 0.0f, 3.0f, -0.25f}, {2, 3})));
  nn::PReLU channels{3, {.init = 0}};
  CHECK(array_equal(channels(x), relu(x)));
  channels.weight.assign(Tensor::from({1.0f, 2.0f, 3.0f}));
  CHECK(array_equal(channels(x), Tensor::from({1.0f, -4.0f, -12.0f, 0.0f, 3.0f, -3.0f}, {2, 3})));
  Tape tape;
  const Gradients g = tape.gradient(sum(channels(x)), channels);
  CHECK(array_equal(g.at("weight"), Tensor::from({0.0f, -2.0f, -5.0f})));
  CHECK(error_of([] { nn::PReLU{0}; }) == "PReLU: num_parameters 0 is below 1, at here");
  CHECK(error_of([&] {
          channels(zeros({2, 4}));
        }) == "PReLU: the last axis of x must have 3 channels: x is f32[2, 4], the weight f32[3], at here");
  CHECK(error_of([&] {
          channels(zeros({2, 3}, f64));
        }) ==
        "PReLU: x is f64[2, 3] and the weight f32[3], at here; convert the model with nn::to, or x with .to(f32)");
  CHECK(error_of([&] { channels(Tensor()); }) == "PReLU: the input is an empty handle, at here");
}

TEST_CASE("a small network of these layers") {
  const nn::Sequential net{nn::MaxPool2d{2},          nn::PReLU{3},  nn::Upsample{{.scale_factor = 2}},
                           nn::Residual{nn::PReLU{}}, nn::Flatten{}, nn::Dense{4 * 4 * 3, 2}};
  CHECK(gradcheck(net, random::normal({2, 4, 4, 3}), {.second_order = true}));
}
