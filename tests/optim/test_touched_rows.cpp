// Optimizers with gradients by touched rows: equal to dense ones where that is
// promised, and what else they do.
#include <cmath>
#include <vector>

#include "autograd/create.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/random.h"
#include "autograd/tape.h"
#include "autograd/thread_pool.h"
#include "nn/dense.h"
#include "nn/embedding.h"
#include "optim/adagrad.h"
#include "optim/adam.h"
#include "optim/clip.h"
#include "optim/sgd.h"
#include "tests/catch.h"
#include "tests/error_of.h"

using namespace tapegrad;
using tapegrad::tests::error_of;

namespace {

struct Model {
  nn::Embedding words;
  nn::Dense out{7, 3};
  Tensor operator()(Arg x) const { return out(tanh(words(x))); }
};

Model start(bool sparse) {
  random::seed(6);
  return Model{nn::Embedding{300, 7, {.padding_idx = 1, .sparse = sparse}}};
}

Gradients gradients_of(const Model& model, const Tensor& words) {
  Tape tape;
  return tape.gradient(sum(square(model(words))), model);
}

Tensor words_of(int step) {
  random::Generator generator(3, 0, static_cast<std::uint64_t>(step));
  return random::integers(0, 300, {20}, {.generator = &generator});
}

// The model after six steps, each with words of its own.
template <class Optimizer, class Options>
Model trained(const Options& options, bool sparse, double max_norm = 0) {
  Model model = start(sparse);
  Optimizer optimizer{model, options};
  for (int step = 0; step < 6; ++step) {
    Gradients g = gradients_of(model, words_of(step));
    CHECK(g.touched_rows("words.weight").has_value() == sparse);
    if (max_norm > 0) optim::clip_norm(g, max_norm);
    optimizer.step(g);
  }
  return model;
}

template <class Optimizer, class Options>
bool rows_do_what_dense_does(const Options& options) {
  return array_equal(trained<Optimizer>(options, true).words.weight, trained<Optimizer>(options, false).words.weight);
}

Tensor row_of(const Tensor& table, std::int64_t row) { return table.slice(0, row, row + 1).clone(); }

}  // namespace

TEST_CASE("SGD and Adagrad do the same with touched rows as with a tensor", "[optim][rows]") {
  CHECK(rows_do_what_dense_does<optim::SGD>(optim::SgdOptions{.lr = 0.1}));
  CHECK(rows_do_what_dense_does<optim::Adagrad>(optim::AdagradOptions{.lr = 0.1}));
  CHECK(rows_do_what_dense_does<optim::Adagrad>(
      optim::AdagradOptions{.lr = 0.1, .lr_decay = 0.1, .initial_accumulator_value = 0.2}));
  // The others decay what is not touched, when they see it.
  CHECK_FALSE(rows_do_what_dense_does<optim::SGD>(optim::SgdOptions{.lr = 0.1, .weight_decay = 0.1}));
  CHECK_FALSE(rows_do_what_dense_does<optim::SGD>(optim::SgdOptions{.lr = 0.1, .momentum = 0.9}));
  CHECK_FALSE(rows_do_what_dense_does<optim::Adagrad>(optim::AdagradOptions{.weight_decay = 0.1}));
  CHECK_FALSE(rows_do_what_dense_does<optim::Adam>(optim::AdamOptions{}));
}

TEST_CASE("clip_norm does the same with touched rows as with a tensor", "[optim][rows]") {
  const Model rows = trained<optim::SGD>(optim::SgdOptions{.lr = 0.1}, true, 0.1);
  const Model dense = trained<optim::SGD>(optim::SgdOptions{.lr = 0.1}, false, 0.1);
  CHECK(allclose(rows.words.weight, dense.words.weight, {.rtol = 1e-5, .atol = 1e-6}));
  CHECK(allclose(rows.out.weight, dense.out.weight, {.rtol = 1e-5, .atol = 1e-6}));
}

TEST_CASE("Adam moves the moments of touched rows only, with the bias corrections of the step", "[optim][rows]") {
  Model model = start(true);
  const Tensor before = model.words.weight.value().clone();
  optim::Adam adam{model, {.lr = 0.1}};
  adam.step(gradients_of(model, Tensor::from({4, 9, 4})));
  const Tensor after_one = model.words.weight.value().clone();
  const Gradients g = gradients_of(model, Tensor::from({9, 30}));
  const Tensor dense = g.at("words.weight");
  const Tensor m_before = adam.state()[0].tensors[0].clone();
  const Tensor v_before = adam.state()[0].tensors[1].clone();
  adam.step(g);
  const Tensor now = model.words.weight.value().clone();
  for (std::int64_t row = 0; row < 300; ++row) {
    const bool in_first = row == 4 || row == 9;
    const bool in_second = row == 9 || row == 30;
    CHECK(array_equal(row_of(after_one, row), row_of(before, row)) != in_first);
    CHECK(array_equal(row_of(now, row), row_of(after_one, row)) != in_second);
    if (!in_second) {
      CHECK(array_equal(row_of(adam.state()[0].tensors[0], row), row_of(m_before, row)));
      CHECK(array_equal(row_of(adam.state()[0].tensors[1], row), row_of(v_before, row)));
      continue;
    }
    for (std::int64_t c = 0; c < 7; ++c) {
      const double slope = dense.at({row, c});
      const double m = 0.9 * m_before.at({row, c}) + 0.1 * slope;
      const double v = 0.999 * v_before.at({row, c}) + 0.001 * slope * slope;
      const double step = 0.1 * m / (1 - 0.81) / (std::sqrt(v / (1 - 0.999 * 0.999)) + 1e-8);
      CHECK(now.at({row, c}) == Approx(after_one.at({row, c}) - step).epsilon(1e-4));
    }
  }
}

namespace {

// Large enough to be cut for threads, in the middle of rows.
template <class Optimizer, class Options>
Tensor trained_large_table(const Options& options, bool sparse, int threads) {
  set_num_threads(threads);
  random::seed(6);
  Model model{nn::Embedding{5000, 7, {.sparse = sparse}}};
  Optimizer optimizer{model, options};
  for (int step = 0; step < 3; ++step) optimizer.step(gradients_of(model, random::integers(0, 5000, {4000})));
  return model.words.weight.value().clone();
}

}  // namespace

TEST_CASE("touched rows that threads share are stepped with the same bits", "[optim][rows]") {
  const int threads = num_threads();
  const optim::AdamWOptions adamw{.lr = 0.1};
  const Tensor one = trained_large_table<optim::AdamW>(adamw, true, 1);
  for (int n : {2, 3, 7}) CHECK(array_equal(trained_large_table<optim::AdamW>(adamw, true, n), one));
  const optim::SgdOptions sgd{.lr = 0.1};
  CHECK(array_equal(trained_large_table<optim::SGD>(sgd, true, 2), trained_large_table<optim::SGD>(sgd, false, 2)));
  set_num_threads(threads);
}

TEST_CASE("a step refuses rows that are not those of the parameter", "[optim][rows]") {
  Model model = start(true);
  optim::SGD sgd{model};
  detail::Block* const table = model.words.weight.value().block();
  const auto step = [&](TouchedRows rows) {
    Gradients g;
    g.append(table->name.load(), table, std::move(rows));
    sgd.step(g);
  };
  const Tensor before = model.words.weight.value().clone();
  CHECK_THAT(error_of([&] {
               step({arange(1, 3, 1, i64), zeros({2, 8})});
             }),
             ContainsSubstring("the gradient of `words.weight` is f32[2, 8] "
                               "and the parameter f32[300, 7]"));
  CHECK_THAT(error_of([&] {
               step({arange(1, 301, 299, i64), zeros({2, 7})});
             }),
             ContainsSubstring("the gradient of `words.weight` has row 300 "
                               "behind row 1; the parameter is f32[300, 7]"));
  CHECK_THAT(error_of([&] { step({full({2}, 5, i64), zeros({2, 7})}); }), ContainsSubstring("row 5 behind row 5"));
  CHECK(array_equal(model.words.weight, before));
}
