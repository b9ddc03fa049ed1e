// Adagrad against its formulas by a plain loop in double.
#include "optim/adagrad.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "autograd/create.h"
#include "autograd/ops/pointwise.h"
#include "autograd/random.h"
#include "autograd/tape.h"
#include "autograd/thread_pool.h"
#include "tests/catch.h"
#include "tests/error_of.h"

using namespace tapegrad;
using tapegrad::tests::error_of;

namespace {

struct Model {
  Parameter x;
};

Gradients gradients_of(const Parameter& p, Tensor gradient) {
  Gradients g;
  g.append(p.value().block()->name.load(), p.value().block(), std::move(gradient));
  return g;
}

double slope(double x, std::size_t k, int step) {
  const auto factor = static_cast<double>(k + 1);
  return factor * x + 3 * std::cos(step * factor);
}

void check_against_formulas(const optim::AdagradOptions& o) {
  for (DType type : {f64, f32}) {
    std::vector<double> x = {1, -2, 0.5, 3, -0.25};
    std::vector<double> sum(x.size(), o.initial_accumulator_value);
    Model model{Parameter(Tensor::from({1.0, -2.0, 0.5, 3.0, -0.25}).to(type).clone())};
    optim::Adagrad adagrad{model, o};
    for (int step = 1; step <= 12; ++step) {
      Tensor g = zeros({5}, f64);
      for (std::size_t k = 0; k < x.size(); ++k) {
        g.data<double>()[k] = slope(model.x.value().at({static_cast<std::int64_t>(k)}), k, step);
        const double own = slope(x[k], k, step) + o.weight_decay * x[k];
        sum[k] += own * own;
        x[k] -= o.lr / (1 + (step - 1) * o.lr_decay) * own / (std::sqrt(sum[k]) + o.eps);
      }
      adagrad.step(gradients_of(model.x, g.to(type)));
      for (std::size_t k = 0; k < x.size(); ++k) {
        INFO("step " << step << ", element " << k);
        const double error = std::abs(model.x.value().at({static_cast<std::int64_t>(k)}) - x[k]);
        CHECK(error <= (type == f64 ? 1e-13 : 5e-6) * std::max(1.0, std::abs(x[k])));
      }
    }
  }
}

}  // namespace

TEST_CASE("Adagrad follows its formulas", "[optim]") {
  check_against_formulas({});
  check_against_formulas({.lr = 0.5});
  check_against_formulas({.lr = 0.5, .lr_decay = 0.1, .weight_decay = 0.2});
  check_against_formulas({.lr = 1, .initial_accumulator_value = 0.3, .eps = 1e-2});
}

TEST_CASE("the state of Adagrad", "[optim]") {
  Model model{Parameter(ones({3}))};
  optim::Adagrad adagrad{model, {.initial_accumulator_value = 0.5}};
  CHECK(adagrad.lr() == 1e-2);
  CHECK(adagrad.options().eps == 1e-10);
  REQUIRE(adagrad.state_names().size() == 1);
  CHECK(std::string(adagrad.state_names()[0]) == "sum");
  adagrad.step(gradients_of(model.x, Tensor::from({1.0f, 2.0f, 0.0f})));
  CHECK(array_equal(adagrad.state()[0].tensors[0], Tensor::from({1.5f, 4.5f, 0.5f})));
}

TEST_CASE("Adagrad has the same bits with any number of threads", "[optim]") {
  const int threads = num_threads();
  const auto run = [](int n) {
    set_num_threads(n);
    random::Generator generator(1);
    Model model{Parameter(random::normal({100003}, {.generator = &generator}))};
    optim::Adagrad adagrad{model, {.lr = 0.1, .weight_decay = 0.01}};
    for (int step = 0; step < 3; ++step) {
      adagrad.step(gradients_of(model.x, random::normal({100003}, {.generator = &generator})));
    }
    return model.x.value().clone();
  };
  const Tensor one = run(1);
  for (int n : {2, 3, 7}) CHECK(array_equal(run(n), one));
  set_num_threads(threads);
}

TEST_CASE("errors of Adagrad", "[optim]") {
  Model model{Parameter(ones({3}))};
  CHECK(error_of([&] {
          (optim::Adagrad{model, {.lr_decay = -1}});
        }) == "Adagrad: lr_decay must be finite and at least 0, it is -1, at here");
  CHECK(error_of([&] {
          (optim::Adagrad{model, {.initial_accumulator_value = NAN}});
        }) == "Adagrad: initial_accumulator_value must be finite and at least 0, it is nan, at here");
}
