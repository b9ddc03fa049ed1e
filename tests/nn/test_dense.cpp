// Dense, Sequential, repeat.
#include <cmath>
#include <vector>

#include "autograd/create.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "autograd/random.h"
#include "nn/convert.h"
#include "nn/dense.h"
#include "nn/sequential.h"
#include "tests/catch.h"
#include "tests/error_of.h"

using namespace tapegrad;
using tapegrad::tests::error_of;

namespace {

// [in 3, out 2], W = [[1, 2, 3], [4, 5, 6]], b = [10, 20].
nn::Dense small() {
  nn::Dense dense{3, 2};
  dense.weight.assign(Tensor::from({1.0f, 2.0f, 3.0f, 4.0f, 5.0f, 6.0f}, {2, 3}));
  dense.bias->assign(Tensor::from({10.0f, 20.0f}));
  return dense;
}

}  // namespace

TEST_CASE("Dense computes x W^T + b over the last axis, for any number of axes") {
  const nn::Dense dense = small();
  CHECK(array_equal(dense(Tensor::from({1.0f, 0.0f, -1.0f})), Tensor::from({8.0f, 18.0f})));
  const Tensor x = arange(12).to(f32);
  const Tensor flat = dense(reshape(x, {4, 3}));
  CHECK(array_equal(flat, Tensor::from({18.0f, 37.0f, 36.0f, 82.0f, 54.0f, 127.0f, 72.0f, 172.0f}, {4, 2})));
  CHECK(array_equal(dense(reshape(x, {2, 2, 3})), reshape(flat, {2, 2, 2})));
  CHECK(dense(zeros({0, 3})).shape() == Shape{0, 2});
  CHECK(dense(zeros({5, 0, 3})).shape() == Shape{5, 0, 2});
}

TEST_CASE("Dense without bias") {
  nn::Dense dense{3, 2, {.bias = false}};
  CHECK_FALSE(dense.bias.has_value());
  dense.weight.assign(ones({2, 3}));
  CHECK(array_equal(dense(Tensor::from({1.0f, 2.0f, 3.0f})), Tensor::from({6.0f, 6.0f})));
}

TEST_CASE("Dense starts evenly distributed over +-1 / sqrt(in)") {
  random::seed(3);
  const nn::Dense dense{100, 400};
  for (const Tensor& x : {dense.weight.value(), dense.bias->value()}) {
    double sum = 0;
    double sum_of_squares = 0;
    double largest = 0;
    for (float v : x.span<const float>()) {
      sum += static_cast<double>(v);
      sum_of_squares += static_cast<double>(v) * static_cast<double>(v);
      largest = std::max(largest, std::abs(static_cast<double>(v)));
    }
    const auto n = static_cast<double>(x.size());
    CHECK(largest <= 0.1);
    CHECK(largest > 0.098);
    CHECK(std::abs(sum / n) < 5 * 0.1 / std::sqrt(3 * n));
    CHECK(sum_of_squares / n == Approx(0.01 / 3).epsilon(5 * 0.9 / std::sqrt(n)));
  }
  random::seed(3);
  const nn::Dense same{100, 400};
  CHECK(array_equal(same.weight, dense.weight));
  CHECK(array_equal(*same.bias, *dense.bias));
}

TEST_CASE("the gradients of Dense") {
  const nn::Dense dense = small();
  Tensor x = Tensor::from({1.0f, 2.0f, 3.0f, -1.0f, 0.0f, 1.0f}, {2, 3});
  Tape tape;
  tape.watch(x);
  const Tensor loss = sum(dense(x) * Tensor::from({1.0f, 2.0f}));
  const Tensor dx = tape.gradient(loss, x);
  CHECK(array_equal(dx, Tensor::from({9.0f, 12.0f, 15.0f, 9.0f, 12.0f, 15.0f}, {2, 3})));
}

TEST_CASE("the gradients of Dense's parameters are contiguous, of their shape") {
  const nn::Dense dense = small();
  const Tensor x = Tensor::from({1.0f, 2.0f, 3.0f, -1.0f, 0.0f, 1.0f}, {2, 3});
  Tape tape;
  const Gradients g = tape.gradient(sum(dense(x) * Tensor::from({1.0f, 2.0f})), dense);
  CHECK(array_equal(g.at("weight"), Tensor::from({0.0f, 2.0f, 4.0f, 0.0f, 4.0f, 8.0f}, {2, 3})));
  CHECK(g.at("weight").is_contiguous());
  CHECK(array_equal(g[*dense.bias], Tensor::from({2.0f, 4.0f})));
}

TEST_CASE("errors of Dense name the layer, the shapes and the caller's line") {
  struct Net {
    nn::Dense hidden{784, 16};
  };
  const Net net;
  CHECK(error_of([&] {
          net.hidden(zeros({64, 100}));
        }) ==
        "Dense: the last axis of x must have 784 features: x is f32[64, 100], the weight [out, in] is f32[16, 784], at "
        "here");
  nn::name(net);
  CHECK(error_of([&] {
          net.hidden(zeros({64, 28, 28}));
        }) ==
        "Dense: the last axis of x must have 784 features: x is f32[64, 28, 28], the weight [out, in] is f32[16, 784], "
        "in "
        "hidden, at here; did you mean flatten(x, 1)?");
  CHECK(error_of([&] { net.hidden(1.0); }) ==
        "Dense: the last axis of x must have 784 features: x is f32[], the weight [out, in] is f32[16, 784], in "
        "hidden, at "
        "here");
  CHECK(error_of([&] {
          net.hidden(zeros({64, 784}, f64));
        }) ==
        "Dense: x is f64[64, 784] and the weight f32[16, 784], in hidden, at here; convert the model with nn::to(net, "
        "f64), "
        "or x with .to(f32)");
  CHECK(error_of([&] { net.hidden(Tensor()); }) == "Dense: the input is an empty handle, in hidden, at here");
  CHECK(error_of([] { nn::Dense(0, 10); }) == "Dense: sizes must be at least 1: in 0, out 10, at here");
  CHECK(error_of([] { nn::repeat(-1, [] { return nn::Dense{1, 1}; }); }) == "repeat: -1 layers, at here");
}

TEST_CASE("Sequential calls its parts one after another") {
  nn::Sequential net{nn::Dense{3, 4}, relu, [](const Tensor& x) { return x * 2; }, nn::Dense{4, 2}};
  const Tensor x = random::normal({5, 3});
  const Tensor expected = net.get<3>()(relu(net.get<0>()(x)) * 2);
  CHECK(array_equal(net(x), expected));
  CHECK(array_equal(nn::Sequential<>()(x), x));
  const Tensor kept = x.clone();
  const nn::Sequential activations{relu, relu};
  activations(x);
  CHECK(array_equal(x, kept));
}

TEST_CASE("the layers of repeat have initial values of their own") {
  const auto layers = nn::repeat(3, [] { return nn::Dense{4, 4}; });
  CHECK(layers.size() == 3);
  CHECK_FALSE(array_equal(layers[0].weight, layers[1].weight));
}

TEST_CASE("a model in double gives nearly the same results") {
  const nn::Sequential net{nn::Dense{3, 8}, tapegrad::tanh, nn::Dense{8, 2}};
  const auto exact = nn::to(net, f64);
  const Tensor x = random::normal({5, 3});
  CHECK(allclose(net(x), exact(x.to(f64)), {.rtol = 1e-5, .atol = 1e-6}));
}
