// The Embedding layer: initial values, the padding row, training, errors.
#include "nn/embedding.h"

#include <cmath>

#include "autograd/create.h"
#include "autograd/ops/elements.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/random.h"
#include "nn/convert.h"
#include "nn/dense.h"
#include "optim/adam.h"
#include "tests/catch.h"
#include "tests/error_of.h"

using namespace tapegrad;
using tapegrad::tests::error_of;

TEST_CASE("Embedding starts with normally distributed vectors", "[nn][embedding]") {
  random::seed(4);
  const nn::Embedding table{400, 50};
  double total = 0;
  double squares = 0;
  for (float v : table.weight.value().span<const float>()) {
    total += static_cast<double>(v);
    squares += static_cast<double>(v) * static_cast<double>(v);
  }
  CHECK(std::abs(total / 20000) < 5 / std::sqrt(20000.0));
  CHECK(std::abs(squares / 20000 - 1) < 5 * std::sqrt(2 / 20000.0));
  CHECK(table(Tensor::from({3, 3}, {2, 1})).shape() == Shape{2, 1, 50});
}

TEST_CASE("the padding row of Embedding starts as zeros and stays so", "[nn][embedding]") {
  struct Model {
    nn::Embedding table{6, 4, {.padding_idx = -2}};
    nn::Dense out{4, 1};
    Tensor operator()(Arg x) const { return out(table(x)); }
  };
  Model model;
  CHECK(array_equal(model.table.weight.value().slice(0, 4, 5), zeros({1, 4})));
  optim::AdamW adam{model, {.lr = 0.1, .weight_decay = 0.1}};
  const Tensor before = model.table.weight.value().clone();
  for (int step = 0; step < 5; ++step) {
    Tape tape;
    const Tensor loss = sum(square(model(Tensor::from({0, 4, 5, 4, 1}))));
    adam.step(tape.gradient(loss, model));
  }
  CHECK(array_equal(model.table.weight.value().slice(0, 4, 5), zeros({1, 4})));
  CHECK_FALSE(array_equal(model.table.weight.value().slice(0, 5, 6), before.slice(0, 5, 6)));

  const nn::Embedding copy = nn::to(model.table, f64);
  CHECK(copy(Tensor::from({4})).dtype() == f64);
}

TEST_CASE("Embedding::from_pretrained", "[nn][embedding]") {
  const Tensor vectors = detail::sample_values({3, 2}).to(f32);
  const nn::Embedding table = nn::Embedding::from_pretrained(vectors, {.padding_idx = 0});
  CHECK(array_equal(table.weight, vectors));
  CHECK(table.weight.value().block() != vectors.block());
  Tape tape;
  const Tensor g = tape.gradient(sum(table(Tensor::from({0, 1, 1}))), table.weight);
  CHECK(array_equal(g, Tensor::from({0.0f, 0.0f, 2.0f, 2.0f, 0.0f, 0.0f}, {3, 2})));
}

TEST_CASE("errors of Embedding", "[nn][embedding]") {
  CHECK(error_of([] {
          (nn::Embedding{0, 3});
        }) == "Embedding: sizes must be at least 1: num_embeddings 0, embedding_dim 3, at here");
  CHECK(error_of([] {
          (nn::Embedding{4, 3, {.padding_idx = 4}});
        }) == "Embedding: padding_idx 4 is out of range for a table of 4 rows, at here");
  CHECK(error_of([] { nn::Embedding::from_pretrained(zeros({3})); }) ==
        "Embedding: the vectors must be [num_embeddings, embedding_dim], they are f32[3], at here");
  CHECK(error_of([] { nn::Embedding::from_pretrained(Tensor()); }) ==
        "Embedding: the vectors are an empty handle, at here");
  struct Model {
    nn::Embedding words{4, 3};
  };
  Model model;
  nn::name(model);
  CHECK(error_of([&] {
          model.words(Tensor::from({1, 7}));
        }) ==
        "embedding: index 7 at position [1] is out of range for a table of 4 rows, in words, at here; indices are 0 to "
        "3");
  CHECK(error_of([&] { model.words(zeros({2})); }) ==
        "embedding: the indices are f32[2], not integers, in words, at here; convert them with to(i64)");
}
