// Dropout layers: modes, seeds, checkpoints, gradient checks, errors.
#include "nn/dropout.h"

#include "autograd/checkpoint.h"
#include "autograd/create.h"
#include "autograd/gradcheck.h"
#include "autograd/ops/elements.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/random.h"
#include "autograd/transforms.h"
#include "nn/convert.h"
#include "nn/dense.h"
#include "nn/sequential.h"
#include "tests/catch.h"
#include "tests/error_of.h"

using namespace tapegrad;
using tapegrad::tests::error_of;

namespace {

template <class Layer>
Shape shape_for() {
  if constexpr (std::is_same_v<Layer, nn::Dropout2d>) return {3, 5, 2, 7};
  return {3, 5, 7};
}

struct Net {
  nn::Dense hidden{6, 9};
  nn::Dropout drop{0.4};
  nn::Dense out{9, 2};
  nn::Dropout drop_out{0.2};
  Tensor operator()(Arg x) const { return drop_out(out(drop(tanh(hidden(x))))); }
};

}  // namespace

TEMPLATE_TEST_CASE("dropout layers drop in training and return their input in evaluation", "[nn][dropout]", nn::Dropout,
                   nn::Dropout1d, nn::Dropout2d) {
  TestType layer{0.3};
  CHECK(layer.p == 0.3);
  CHECK(TestType().p == 0.5);
  Tensor x = detail::sample_values(shape_for<TestType>()).to(f32);
  random::seed(2);
  const Tensor y = layer(x);
  CHECK_FALSE(array_equal(layer(x), y));
  random::seed(2);
  CHECK(array_equal(layer(x), y));
  CHECK(allclose(y, where(y == 0, 0, x / (1 - 0.3))));
  CHECK(sum((y == 0).to(f32)).item() > 0);

  nn::eval(layer);
  const random::Generator before = random::state();
  Tape tape;
  tape.watch(x);
  const std::size_t entries = tape.size();
  CHECK(layer(x).block() == x.block());
  CHECK(tape.size() == entries);
  CHECK(random::state() == before);
  nn::train(layer);
  CHECK(layer(x).block() != x.block());
}

TEMPLATE_TEST_CASE("gradcheck of dropout layers", "[nn][dropout]", nn::Dropout, nn::Dropout1d, nn::Dropout2d) {
  const random::Generator before = random::state();
  for (double p : {0.0, 0.3, 0.9, 1.0}) {
    TestType layer{p};
    const auto f = [&](Arg x) {
      random::seed(9);
      return layer(tanh(x));
    };
    for (bool one_sample : {false, true}) {
      Shape shape = shape_for<TestType>();
      if (one_sample) shape[0] = 1;
      CHECK(gradcheck(f, detail::sample_values(shape), {.second_order = true}));
    }
  }
  random::set_state(before);
}

TEST_CASE("a checkpoint repeats the masks of its layers", "[nn][dropout]") {
  const Net net;
  const Tensor x = detail::sample_values({8, 6}).to(f32);
  const auto gradients = [&](bool saves_memory) {
    random::seed(5);
    auto result =
        value_and_grad([&](const Net& n) { return sum(square(saves_memory ? checkpoint(n, x) : n(x))); }, net);
    return std::pair(std::move(result), random::state());
  };
  const auto [plain, after_plain] = gradients(false);
  const auto [saving, after_saving] = gradients(true);
  CHECK(array_equal(plain.value, saving.value));
  for (const auto& [name, g] : plain.gradient) {
    INFO(name);
    CHECK(array_equal(g, saving.gradient.at(name)));
  }
  CHECK(after_plain == after_saving);  // what the walk drew again was not taken from the stream
}

TEST_CASE("a checkpoint around dropout can be differentiated twice", "[nn][dropout]") {
  const Net net = nn::to(Net(), f64);
  const auto f = [&](Arg x) {
    random::seed(5);
    return checkpoint(net, x);
  };
  const random::Generator before = random::state();
  CHECK(gradcheck(f, detail::sample_values({3, 6}), {.second_order = true}));
  random::set_state(before);
}

TEST_CASE("errors of dropout layers", "[nn][dropout]") {
  CHECK(error_of([] { nn::Dropout{-0.1}; }) == "Dropout: the probability p must be in [0, 1], it is -0.1, at here");
  CHECK(error_of([] { nn::Dropout2d{1.5}; }) == "Dropout2d: the probability p must be in [0, 1], it is 1.5, at here");
  CHECK(error_of([] {
          nn::Dropout2d{}(zeros({2, 3, 4}));
        }) ==
        "Dropout2d: x must be [batch, height, width, channels], it is f32[2, 3, 4], at here; Dropout drops single "
        "elements of any tensor");
  struct Model {
    nn::Dropout1d drop;
  };
  Model model;
  nn::name(model);
  CHECK(
      error_of([&] {
        model.drop(zeros({2, 3}));
      }) ==
      "Dropout1d: x must be [batch, time, channels], it is f32[2, 3], in drop, at here; Dropout drops single elements "
      "of any tensor");
  CHECK_THAT(error_of([&] { nn::Dropout{}(arange(3, i64)); }), ContainsSubstring("holds integers"));
}
