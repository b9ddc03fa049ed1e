// Optimizers against PyTorch's numbers, who owns which parameters, clipping.
#include <cmath>
#include <vector>

#include "autograd/create.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/random.h"
#include "autograd/tape.h"
#include "autograd/thread_pool.h"
#include "nn/dense.h"
#include "optim/adam.h"
#include "optim/clip.h"
#include "optim/sgd.h"
#include "tests/catch.h"
#include "tests/error_of.h"
#include "tests/optim/golden.h"

using namespace tapegrad;
using tapegrad::tests::error_of;

namespace {

struct Model {
  Parameter x;
};

Model start(DType type) { return {Parameter(Tensor::from({1.0, -2.0, 0.5}).to(type).clone())}; }

Gradients gradients_of(const Parameter& p, Tensor gradient) {
  Gradients g;
  g.append(p.value().block()->name.load(), p.value().block(), std::move(gradient));
  return g;
}

// What make_golden.py gives to PyTorch in step 1, 2, ...
Tensor golden_gradient(const Parameter& p, int step) {
  Tensor g = p.value().to(f64).clone();
  const auto elements = g.span<double>();
  for (std::size_t k = 0; k < elements.size(); ++k) {
    const auto factor = static_cast<double>(k + 1);
    elements[k] = factor * elements[k] + 3 * std::cos(step * factor);
  }
  return g.to(p.dtype());
}

template <class Optimizer>
void check_trajectory(Optimizer& optimizer, const Model& model, const double (&golden)[4][3], double tolerance) {
  int row = 0;
  for (int step = 1; step <= 12; ++step) {
    optimizer.step(gradients_of(model.x, golden_gradient(model.x, step)));
    if (step > 3 && step < 12) continue;
    for (std::int64_t k = 0; k < 3; ++k) {
      INFO("step " << step << ", element " << k);
      CHECK(std::abs(model.x.value().at({k}) - golden[row][k]) <= tolerance * std::max(1.0, std::abs(golden[row][k])));
    }
    ++row;
  }
}

template <class Optimizer, class Options>
void check_against_golden(Options options, const double (&golden)[4][3]) {
  for (DType type : {f64, f32}) {
    Model model = start(type);
    Optimizer optimizer{model, options};
    check_trajectory(optimizer, model, golden, type == f64 ? 1e-14 : 3e-6);
  }
}

}  // namespace

TEST_CASE("SGD follows PyTorch's numbers") {
  using optim::SGD;
  using optim::SgdOptions;
  check_against_golden<SGD>(SgdOptions{.lr = 0.1}, golden::sgd);
  check_against_golden<SGD>(SgdOptions{.lr = 0.1, .weight_decay = 0.05}, golden::sgd_weight_decay);
  check_against_golden<SGD>(SgdOptions{.lr = 0.1, .momentum = 0.9}, golden::sgd_momentum);
  check_against_golden<SGD>(SgdOptions{.lr = 0.1, .momentum = 0.9, .dampening = 0.3, .weight_decay = 0.05},
                            golden::sgd_dampening);
  check_against_golden<SGD>(SgdOptions{.lr = 0.1, .momentum = 0.9, .weight_decay = 0.05, .nesterov = true},
                            golden::sgd_nesterov);
}

TEST_CASE("Adam and AdamW follow PyTorch's numbers") {
  using optim::Adam;
  using optim::AdamOptions;
  using optim::AdamW;
  using optim::AdamWOptions;
  check_against_golden<Adam>(AdamOptions{}, golden::adam);
  check_against_golden<Adam>(AdamOptions{.lr = 0.1, .betas = {0.8, 0.95}, .eps = 1e-3, .weight_decay = 0.2},
                             golden::adam_options);
  check_against_golden<Adam>(AdamOptions{.lr = 0.1, .betas = {0.5, 0.6}, .amsgrad = true}, golden::adam_amsgrad);
  check_against_golden<AdamW>(AdamWOptions{}, golden::adamw);
  check_against_golden<AdamW>(AdamWOptions{.lr = 0.1, .betas = {0.8, 0.95}, .eps = 1e-3, .weight_decay = 0.2},
                              golden::adamw_options);
  check_against_golden<AdamW>(AdamWOptions{.lr = 0.1, .betas = {0.5, 0.6}, .weight_decay = 0.2, .amsgrad = true},
                              golden::adamw_amsgrad);
}

namespace {

// Three steps on one long parameter, and on the same elements in many short ones that no thread shares.
template <class Optimizer, class Options>
void check_long_against_short(Options options) {
  constexpr std::int64_t pieces = 61;
  constexpr std::int64_t length = 1009;
  random::seed(1);
  const Tensor start = random::normal({pieces * length});
  Model long_model{Parameter(start)};
  std::vector<Parameter> short_model;
  const auto piece = [](const Tensor& x, std::int64_t k) { return x.slice(0, k * length, (k + 1) * length).clone(); };
  for (std::int64_t k = 0; k < pieces; ++k) short_model.emplace_back(piece(start, k));
  Optimizer of_long{long_model, options};
  Optimizer of_short{short_model, options};
  for (int step = 0; step < 3; ++step) {
    const Tensor gradient = random::normal({pieces * length});
    of_long.step(gradients_of(long_model.x, Tensor(gradient)));
    // One after another: a step is cut by all of its elements together.
    for (std::int64_t k = 0; k < pieces; ++k) {
      Gradients part;
      part.append(0, short_model[static_cast<std::size_t>(k)].value().block(), piece(gradient, k));
      of_short.step(part);
    }
  }
  for (std::int64_t k = 0; k < pieces; ++k) {
    if (!array_equal(piece(long_model.x, k), short_model[static_cast<std::size_t>(k)]))
      FAIL("piece " << k << " differs");
  }
}

}  // namespace

TEST_CASE("long parameters, which threads share, get the same bits as short ones") {
  const int threads = num_threads();
  for (int n : {1, 4}) {
    set_num_threads(n);
    check_long_against_short<optim::AdamW>(optim::AdamWOptions{.lr = 0.01, .amsgrad = true});
    check_long_against_short<optim::SGD>(optim::SgdOptions{.lr = 0.01, .momentum = 0.9});
  }
  set_num_threads(threads);
}

TEST_CASE("a step counts as a mutation at the caller's line") {
  Model model = start(f32);
  optim::AdamW adam{model};
  const detail::Block* const block = model.x.value().block();
  const std::uint32_t version = block->version;
  const unsigned line = __LINE__ + 1;
  adam.step(gradients_of(model.x, ones({3})));
  CHECK(block->version == version + 1);
  CHECK(block->changed_at.line() == line);
  CHECK(std::string(block->changed_by) == "AdamW::step");
}

TEST_CASE("a step is not recorded and stops an open tape from using the old values") {
  Model model = start(f32);
  optim::SGD sgd{model, {.lr = 0.1}};
  Tape tape;
  const Tensor loss = sum(square(model.x));
  const std::size_t entries = tape.size();
  sgd.step(gradients_of(model.x, ones({3})));
  CHECK(tape.size() == entries);
  CHECK_THAT(error_of([&] { tape.gradient(loss, model); }), ContainsSubstring("`SGD::step` at test_optim.cpp:"));
}

TEST_CASE("parameters without a gradient stay, and have steps of their own") {
  struct Two {
    Parameter a{ones({2})};
    Parameter b{ones({2})};
  };
  Two model;
  optim::Adam adam{model, {.lr = 0.1}};
  for (int k = 0; k < 3; ++k) adam.step(gradients_of(model.a, ones({2})));
  CHECK(array_equal(model.b, ones({2})));
  Gradients both = gradients_of(model.b, ones({2}));
  both.append(model.a.value().block()->name.load(), model.a.value().block(), ones({2}));
  adam.step(both);
  const auto state = adam.state();
  REQUIRE(state.size() == 2);
  CHECK(state[0].name == "a");
  CHECK(state[0].steps == 4);
  CHECK(state[1].steps == 1);
  CHECK(model.b.value().at({0}) == Approx(0.9));
  REQUIRE(adam.state_names().size() == 2);
  CHECK(std::string(adam.state_names()[0]) == "m");
  CHECK(state[1].tensors[0].at({0}) == Approx(0.1));
  CHECK(state[1].tensors[1].at({0}) == Approx(0.001));
}

TEST_CASE("an optimizer that gets the state of another goes on as that one") {
  Model a = start(f64);
  optim::Adam adam{a, {.lr = 0.1}};
  for (int step = 1; step <= 3; ++step) adam.step(gradients_of(a.x, golden_gradient(a.x, step)));
  Model b = a;
  optim::Adam resumed{b, {.lr = 0.1}};
  auto from = adam.state();
  auto to = resumed.state();
  to[0].steps = from[0].steps;
  for (std::size_t k = 0; k < from[0].tensors.size(); ++k) {
    const auto source = std::as_const(from[0].tensors[k]).span<const double>();
    std::copy(source.begin(), source.end(), to[0].tensors[k].span<double>().begin());
  }
  adam.step(gradients_of(a.x, golden_gradient(a.x, 4)));
  resumed.step(gradients_of(b.x, golden_gradient(b.x, 4)));
  CHECK(array_equal(a.x, b.x));
}

TEST_CASE("gradients that are views, and models that were moved, are stepped") {
  struct Matrix {
    Parameter w{zeros({2, 3})};
  };
  Matrix model;
  optim::SGD sgd{model, {.lr = 1}};
  const Tensor gradient = Tensor::from({1.0f, 2.0f, 3.0f, 4.0f, 5.0f, 6.0f}, {3, 2});
  const std::int64_t strides[] = {1, 2};
  sgd.step(gradients_of(model.w, Tensor::view(gradient, {2, 3}, strides, 0)));
  CHECK(array_equal(model.w, Tensor::from({-1.0f, -3.0f, -5.0f, -2.0f, -4.0f, -6.0f}, {2, 3})));
  Matrix moved = std::move(model);
  sgd.step(gradients_of(moved.w, ones({2, 3})));
  CHECK(moved.w.value().at({0, 0}) == -2);
}

TEST_CASE("lr and set_lr") {
  Model model = start(f32);
  optim::SGD sgd{model, {.lr = 0.5}};
  CHECK(sgd.lr() == 0.5);
  sgd.set_lr(2);
  sgd.step(gradients_of(model.x, ones({3})));
  CHECK(model.x.value().at({0}) == -1);
}

TEST_CASE("a step refuses gradients of parameters that it does not own, and changes nothing") {
  struct Net {
    nn::Dense hidden{2, 2};
    nn::Dense out{2, 1};
  };
  Net net;
  optim::AdamW adam{net};
  Net copy = net;
  const Tensor x = ones({4, 2});
  const auto gradients = [&x](Net& model) {
    Tape tape;
    return tape.gradient(sum(model.out(model.hidden(x))), model);
  };
  const Tensor before = net.out.weight.value().clone();
  Gradients foreign = gradients(copy);
  CHECK(error_of([&] { adam.step(foreign); }) ==
        "AdamW::step: this optimizer does not own `hidden.weight`, `hidden.bias`, `out.weight` and 1 more, at here; "
        "its own "
        "parameters of that name are others: were the gradients taken for a copy of the model, or was a model assigned "
        "to "
        "this one with std::move after the optimizer was made?");
  nn::Dense other{2, 1};
  Gradients some = gradients(net);
  nn::name(other);
  some.append(other.weight.value().block()->name.load(), other.weight.value().block(), zeros({1, 2}));
  CHECK(
      error_of([&] { adam.step(some); }) ==
      "AdamW::step: this optimizer does not own `weight`, at here; make the optimizer for the model that the gradients "
      "were taken for");
  CHECK(array_equal(net.out.weight, before));

  net = std::move(copy);
  CHECK_THAT(error_of([&] { adam.step(gradients(net)); }), ContainsSubstring("assigned to this one with std::move"));
}

TEST_CASE("errors of optimizers") {
  Model model = start(f32);
  struct Nothing {
    int n = 3;
  };
  Nothing nothing;
  CHECK(error_of([&] { optim::SGD{nothing}; }) ==
        "SGD: the model has no parameters, at here; is it a struct whose fields are layers?");
  CHECK(error_of([&] {
          (optim::Adam{model, {.lr = -1}});
        }) == "Adam: lr must be finite and at least 0, it is -1, at here");
  CHECK(error_of([&] {
          (optim::AdamW{model, {.betas = {0.9, 1}}});
        }) == "AdamW: betas[1] must be at least 0 and less than 1, it is 1, at here");
  CHECK(error_of([&] {
          (optim::AdamW{model, {.eps = std::nan("")}});
        }) == "AdamW: eps must be finite and at least 0, it is nan, at here");
  CHECK(error_of([&] {
          (optim::SGD{model, {.nesterov = true}});
        }) == "SGD: nesterov needs momentum above 0 and no dampening, at here");
  optim::SGD sgd{model};
  CHECK(error_of([&] { sgd.set_lr(INFINITY); }) == "SGD: lr must be finite and at least 0, it is inf, at here");
  CHECK(error_of([&] { sgd.step(gradients_of(model.x, zeros({2}))); }) ==
        "SGD::step: the gradient of `x` is f32[2] and the parameter f32[3], at here");
}

TEST_CASE("clip_norm scales gradients that are too long and returns the norm before") {
  Model model = start(f32);
  Gradients g = gradients_of(model.x, Tensor::from({3.0f, 0.0f, -4.0f}));
  CHECK(optim::clip_norm(g, 10) == 5);
  CHECK(g.norm() == 5);
  CHECK(optim::clip_norm(g, 1) == 5);
  CHECK(g.norm() == Approx(1).epsilon(1e-6));
  CHECK(g[model.x].at({0}) == Approx(0.6).epsilon(1e-6));
  Gradients bad = gradients_of(model.x, Tensor::from({3.0f, 0.0f, INFINITY}));
  CHECK(std::isinf(optim::clip_norm(bad, 1)));
  CHECK(bad[model.x].at({0}) == 3);
  CHECK(error_of([&] { optim::clip_norm(g, 0); }) == "clip_norm: the largest norm must be above 0, it is 0, at here");
}

TEST_CASE("clip_value moves elements into the interval") {
  Model model = start(f64);
  Gradients g = gradients_of(model.x, Tensor::from({3.0, 0.25, -4.0}));
  optim::clip_value(g, 0.5);
  CHECK(array_equal(g[model.x], Tensor::from({0.5, 0.25, -0.5})));
  CHECK(error_of([&] { optim::clip_value(g, -1); }) ==
        "clip_value: the largest value must not be negative, it is -1, at here");
}
