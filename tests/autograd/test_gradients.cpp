// Gradients: look-up, arithmetic, norms, parameters that were not reached.
#include <cmath>

#include "autograd/create.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "autograd/tape.h"
#include "tests/catch.h"
#include "tests/error_of.h"

using namespace tapegrad;
using tapegrad::tests::error_of;

namespace {

struct Model {
  Parameter weight{Tensor::from({1.0f, 2.0f})};
  Parameter bias{Tensor::from({3.0f})};
  Parameter spare{Tensor::from({5.0f, 6.0f, 7.0f})};
};

std::vector<float> values(const Tensor& x) {
  const Tensor y = x.is_contiguous() ? x : x.clone();
  const auto elements = y.span<const float>();
  return {elements.begin(), elements.end()};
}

Gradients make(const Model& m, std::vector<float> weight, float bias) {
  nn::name(m);
  Gradients g;
  const auto append = [&g](const Parameter& p, Tensor gradient) {
    g.append(p.value().block()->name.load(), p.value().block(), std::move(gradient));
  };
  append(m.weight, Tensor::from(weight, {2}));
  append(m.bias, Tensor::from({bias}));
  append(m.spare, Tensor());
  return g;
}

}  // namespace

TEST_CASE("gradients are found by name and by parameter, and come in the order of the model") {
  const Model m;
  const Gradients g = make(m, {10, 20}, 30);
  CHECK(values(g.at("weight")) == std::vector<float>{10, 20});
  CHECK(values(g[m.bias]) == std::vector<float>{30});
  CHECK(g.size() == 2);
  CHECK(g.unused() == std::vector<std::string>{"spare"});
  std::string names;
  for (auto [name, gradient] : g) names += name + to_string(gradient.shape()) + " ";
  CHECK(names == "weight[2] bias[1] ");
}

TEST_CASE("gradients that do not exist are errors that say why") {
  const Model m;
  const Gradients g = make(m, {10, 20}, 30);
  CHECK(error_of([&] { g.at("wieght"); }) ==
        "gradients: there is no parameter \"wieght\", at here; did you mean \"weight\"?");
  CHECK(error_of([&] { g.at("spare"); }) ==
        "gradients: the loss did not reach \"spare\", so it has no gradient, at here");
  const Model copy = m;
  CHECK(error_of([&] { g[copy.weight]; }) ==
        "gradients: the parameter is not one of those that the gradients were taken for, at here; a copy of a model "
        "has parameters of its own");
  Gradients sum = g;
  CHECK(error_of([&] {
          sum += make(copy, {1, 1}, 1);
        }) ==
        "Gradients::operator+=: the gradients are of other parameters (3 and 3); take both for the same model: a copy "
        "of a "
        "model has parameters of its own");
}

TEST_CASE("gradients are added and scaled without touching tensors that others hold") {
  const Model m;
  Gradients a = make(m, {1, 2}, 3);
  const Gradients b = make(m, {10, 20}, 30);
  const Gradients shared = a;
  a += b;
  a *= 0.5;
  CHECK(values(a.at("weight")) == std::vector<float>{5.5f, 11});
  CHECK(values(a.at("bias")) == std::vector<float>{16.5f});
  CHECK(values(shared.at("weight")) == std::vector<float>{1, 2});
  CHECK(values(b.at("weight")) == std::vector<float>{10, 20});
}

TEST_CASE("adding gradients reaches what one of them did not") {
  const Model m;
  Gradients a = make(m, {1, 2}, 3);
  Gradients b;
  const auto append = [&b](const Parameter& p, Tensor gradient) {
    b.append(p.value().block()->name.load(), p.value().block(), std::move(gradient));
  };
  append(m.weight, Tensor());
  append(m.bias, Tensor::from({1.0f}));
  append(m.spare, Tensor::from({7.0f, 8.0f, 9.0f}));
  a += b;
  a *= 2;
  CHECK(values(a.at("weight")) == std::vector<float>{2, 4});
  CHECK(values(a.at("bias")) == std::vector<float>{8});
  CHECK(values(a.at("spare")) == std::vector<float>{14, 16, 18});
  CHECK(values(b.at("spare")) == std::vector<float>{7, 8, 9});
  CHECK(a.unused().empty());
}

TEST_CASE("the norm is taken over all gradients, for views too") {
  struct Large {
    Parameter a{zeros({1000, 1000})};
    Parameter b{zeros({2, 3})};
  };
  const Large m;
  nn::name(m);
  Gradients g;
  g.append(m.a.value().block()->name.load(), m.a.value().block(), full({1000, 1000}, 1e-3));
  const Tensor view = transpose(Tensor::from({1.0f, 2.0f, 3.0f, 4.0f, 5.0f, 6.0f}, {3, 2}));
  g.append(m.b.value().block()->name.load(), m.b.value().block(), view);
  const double small = static_cast<double>(1e-3f);
  CHECK(g.norm() == Approx(std::sqrt(1e6 * small * small + 91)).epsilon(1e-8));
  Gradients exact;
  exact.append(m.a.value().block()->name.load(), m.a.value().block(), full({1000, 1000}, 1e-3, f64));
  exact.append(m.b.value().block()->name.load(), m.b.value().block(), view.to(f64));
  CHECK(exact.norm() == Approx(std::sqrt(92.0)).epsilon(1e-13));
  g *= 2;
  CHECK(values(g.at("b")) == std::vector<float>{2, 6, 10, 4, 8, 12});
  CHECK(view.at({0, 1}) == 3);
}

TEST_CASE("clipping moves elements into the interval and keeps NaN") {
  const Model m;
  Gradients g = make(m, {-5, 0.25f}, std::nanf(""));
  g.clip(-1, 1);
  CHECK(values(g.at("weight")) == std::vector<float>{-1, 0.25f});
  CHECK(std::isnan(g.at("bias").item()));
}

TEST_CASE("gradients that were changed are constants for a tape that recorded them") {
  Model m;
  Tape outer;
  Gradients g;
  {
    Tape inner;
    const Tensor loss = sum(square(m.weight)) * m.bias;
    g = inner.gradient(sum(loss), m, {.allow_unused = true});
  }
  g *= 1;
  const Tensor weight = g.at("weight").clone();
  CHECK_THAT(error_of([&] { outer.gradient(sum(g.at("weight")), m.weight); }),
             ContainsSubstring("is not on this tape"));
  CHECK(array_equal(weight, Tensor::from({6.0f, 12.0f})));
}

TEST_CASE("gradients of a model have the numbers of the formula") {
  const Model m;
  Tape tape;
  const Tensor loss = sum(square(m.weight) * m.bias);
  const Gradients g = tape.gradient(loss, m, {.allow_unused = true});
  CHECK(values(g.at("weight")) == std::vector<float>{6, 12});
  CHECK(values(g[m.bias]) == std::vector<float>{5});
  CHECK(g.unused() == std::vector<std::string>{"spare"});
}
