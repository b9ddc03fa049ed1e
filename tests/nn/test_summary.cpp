// The table of a model, and what making it leaves behind.
#include "autograd/ops/pointwise.h"
#include "autograd/ops/shape.h"
#include "nn/dense.h"
#include "nn/sequential.h"
#include "nn/summary.h"
#include "tests/catch.h"
#include "tests/error_of.h"

using namespace tapegrad;
using tapegrad::tests::error_of;

namespace {

// A layer with a parameter, a buffer that every call changes, and random numbers.
class Noise {
 public:
  Tensor operator()(Arg x) const {
    const detail::LayerScope scope(name_, x.at());
    calls_.assign(calls_.value() + 1);
    return detail::layer_result(name_, x.tensor() + scale_ * random::normal(x.tensor().shape()));
  }
  const Buffer& calls() const { return calls_; }

 private:
  Parameter scale_{ones({1})};
  Buffer calls_{zeros({1})};
  nn::Name name_;

 public:
  using fields = nn::Fields<&Noise::scale_, &Noise::calls_, &Noise::name_>;
};

struct Net {
  nn::Dense hidden{64, 128};
  Noise noise;
  std::vector<nn::Dense> heads = nn::repeat(2, [] { return nn::Dense{128, 10, {.bias = false}}; });
  nn::Dense unused{1000, 1000};
  Parameter temperature{ones({1})};

  Tensor operator()(Arg images) const {
    const Tensor x = noise(relu(hidden(flatten(images, 1))));
    return (heads[0](x) + heads[1](x)) / temperature;
  }
};

}  // namespace

TEST_CASE("a summary names layers, types, outputs and parameters") {
  const Net net;
  CHECK(nn::to_string(nn::summary(net, {32, 8, 8, 1})) ==
        "Net: f32[32, 8, 8, 1] -> f32[32, 10]\n"
        "layer    type   output     parameters\n"
        "-------------------------------------\n"
        "(model)  Net    [32, 10]            1\n"
        "hidden   Dense  [32, 128]       8,320\n"
        "noise    Noise  [32, 128]           1\n"
        "heads.0  Dense  [32, 10]        1,280\n"
        "heads.1  Dense  [32, 10]        1,280\n"
        "unused   Dense  -           1,001,000\n"
        "-------------------------------------\n"
        "1,011,882 parameters, 1 in buffers, 4.0 MB\n");
}

TEST_CASE("a summary leaves buffers, the random state and an open tape as they were") {
  const Net net;
  const Tensor value = net.noise.calls().value();
  const std::uint32_t version = value.block()->version;
  random::seed(21);
  const random::Generator before = random::state();
  const Tape tape;
  nn::summary(net, {4, 64});
  CHECK(random::state() == before);
  CHECK(net.noise.calls().value().block() == value.block());
  CHECK(value.item() == 0);
  CHECK(value.block()->version == version);
  CHECK(tape.size() == 0);

  CHECK_THROWS_AS(nn::summary(net, {4, 65}), Error);
  CHECK(random::state() == before);
  CHECK(net.noise.calls().value().block() == value.block());
}

TEST_CASE("a summary of a Sequential, with integers as input") {
  const nn::Sequential net{[](const Tensor& labels) { return labels.to(f32); }, nn::Dense{3, 2}};
  const nn::Summary summary = nn::summary(net, {5, 3}, {.dtype = i64});
  CHECK(summary.input == "i64[5, 3]");
  CHECK(summary.output == "f32[5, 2]");
  REQUIRE(summary.rows.size() == 1);
  CHECK(summary.rows[0].name == "1");
  CHECK(summary.rows[0].type == "Dense");
  CHECK(summary.rows[0].output == "[5, 2]");
  CHECK(summary.parameters == 8);
}

TEST_CASE("a layer that is called twice is shown with its first result, its parameters counted once") {
  struct Twice {
    nn::Dense shared{4, 4};
    Tensor operator()(const Tensor& x) const { return shared(shared(x).slice(0, 0, 2)); }
  };
  const Twice net;
  const nn::Summary summary = nn::summary(net, {6, 4});
  REQUIRE(summary.rows.size() == 1);
  CHECK(summary.rows[0].output == "[6, 4]");
  CHECK(summary.output == "f32[2, 4]");
  CHECK(summary.parameters == 20);
}

TEST_CASE("a summary names the line of its call when the input does not fit") {
  const nn::Dense layer{3, 2};
  const std::string error =
      "Dense: the last axis of x must have 3 features: x is f32[5, 4], the weight [out, in] is f32[2, 3], at here";
  CHECK(error_of([&] { nn::summary(layer, {5, 4}); }) == error);
  CHECK(error_of([&] { nn::summary(layer, zeros({5, 4})); }) == error);
  CHECK(error_of([&] {
          nn::summary(layer, {5, 3}, {.dtype = i64});
        }) ==
        "Dense: x is i64[5, 3] and the weight f32[2, 3], at here; convert the model with nn::to(net, f32), or x with "
        ".to(f32)");
  CHECK(error_of([&] { nn::summary(Net(), Shape{}); }) ==
        "flatten: axis 1 is out of range, at here; a 0-dim tensor has no axes");
  CHECK(error_of([&] { nn::summary(layer, Tensor()); }) == "nn::summary: the input is an empty handle, at here");
}
