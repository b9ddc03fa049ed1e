// Embedding: values and gradients by plain loops, the padding row, threads, errors.
#include "autograd/ops/embedding.h"

#include <cmath>

#include "autograd/gradcheck.h"
#include "autograd/thread_pool.h"
#include "autograd/transforms.h"
#include "tests/autograd/op_support.h"

using namespace op_test;

namespace {

Tensor some_indices(const Shape& shape, std::int64_t end) {
  Tensor all = Tensor::empty(shape, i64);
  for (std::int64_t i = 0; i < all.size(); ++i) all.data<std::int64_t>()[i] = (i * i + 3 * i) % end;
  return all;
}

// The gradient of the table by a plain loop.
Tensor plain_gradient(const Tensor& index, const Tensor& g, std::int64_t rows, std::int64_t padding = -1) {
  const std::int64_t width = g.shape(-1);
  Tensor table = zeros({rows, width}, f64);
  const Tensor values = g.to(f64).clone();
  for (std::int64_t i = 0; i < index.size(); ++i) {
    const std::int64_t row = index.data<std::int64_t>()[i];
    if (row == padding) continue;
    for (std::int64_t c = 0; c < width; ++c)
      table.data<double>()[row * width + c] += values.data<double>()[i * width + c];
  }
  return table;
}

Tensor gradient_of(const Tensor& index, const Tensor& table, const Tensor& g, EmbeddingOptions options = {}) {
  Tape tape;
  Tensor w = table;
  tape.watch(w);
  return tape.gradient(embedding(index, w, options), w, {.seed = g});
}

}  // namespace

TEMPLATE_TEST_CASE("embedding looks rows up, and adds their gradients up", "[embedding]", float, double) {
  const DType type = std::is_same_v<TestType, float> ? f32 : f64;
  for (const Shape& shape : {Shape{5, 3}, Shape{1, 1}, Shape{300, 2}, Shape{70, 67}}) {
    for (const Shape& index_shape : {Shape{}, Shape{4}, Shape{3, 5}, Shape{2, 2, 40}, Shape{0, 3}}) {
      CAPTURE(to_string(shape), to_string(index_shape));
      const Tensor table = irregular(shape, 1, type);
      const Tensor index = some_indices(index_shape, shape[0]);
      const Tensor y = embedding(index, table);
      Shape expected = index_shape;
      expected.append(shape[1]);
      REQUIRE(y.shape() == expected);
      for (std::int64_t i = 0; i < index.size(); ++i) {
        const std::int64_t row = index.data<std::int64_t>()[i];
        for (std::int64_t c = 0; c < shape[1]; ++c) {
          REQUIRE(y.data<TestType>()[i * shape[1] + c] == table.data<TestType>()[row * shape[1] + c]);
        }
      }
      const Tensor g = irregular(expected, 2, type);
      const Tensor gradient = gradient_of(index, table, g);
      CHECK(gradient.dtype() == type);
      CHECK(is_close(gradient.to(f64), plain_gradient(index, g, shape[0]), type == f64 ? 1e-13 : 1e-5));
    }
  }
}

TEST_CASE("embedding takes i32, views and single numbers", "[embedding]") {
  const Tensor table = irregular({5, 3});
  const Tensor index = some_indices({3, 4}, 5);
  CHECK(same_bits(embedding(index.to(i32), table), embedding(index, table)));
  CHECK(same_bits(embedding(transpose(index), table), transpose(embedding(index, table), 0, 1)));
  CHECK(same_bits(embedding(2, table), reshape(table.slice(0, 2, 3), {3})));
  const Tensor g = irregular({4, 3, 3}, 2);
  CHECK(same_bits(gradient_of(transpose(index), table, transpose(g, 1, 2)),
                  gradient_of(transpose(index).clone(), table, transpose(g, 1, 2).clone())));
}

TEST_CASE("the padding row reads as it is and has no gradient", "[embedding]") {
  const Tensor table = irregular({6, 5});
  const Tensor index = some_indices({4, 7}, 6);
  const Tensor g = irregular({4, 7, 5}, 2);
  for (std::int64_t padding : {0, 4, -2, -6}) {
    const std::int64_t row = padding < 0 ? padding + 6 : padding;
    const EmbeddingOptions options{.padding_idx = padding};
    CHECK(same_bits(embedding(index, table, options), embedding(index, table)));
    CHECK(is_close(gradient_of(index, table, g, options), plain_gradient(index, g, 6, row)));
    // It is a constant: for jvp as well.
    const auto f = [&](Arg w) { return embedding(index, w, options); };
    const Tensor u = irregular({6, 5}, 3);
    const Tensor tangent = jvp(f, table, u).tangent;
    CHECK(std::abs(sum(tangent * g).item() - sum(u * plain_gradient(index, g, 6, row)).item()) < 1e-12);
  }
  CHECK(
      array_equal(gradient_of(full({3}, 2.0, i64), table, ones({3, 5}, f64), {.padding_idx = 2}), zeros({6, 5}, f64)));
}

TEST_CASE("embedding is differentiated to second order", "[embedding]") {
  const Tensor index = some_indices({3, 4}, 5);
  const auto f = [&](Arg w) { return square(embedding(index, tanh(w))); };
  CHECK(gradcheck(f, irregular({5, 3}), {.second_order = true}));
  const auto padded = [&](Arg w) {
    const Tensor is_padding = reshape(arange(5, i64) == 1, {5, 1});
    return square(embedding(index, where(is_padding, 0, tanh(w)), {.padding_idx = 1}));
  };
  CHECK(gradcheck(padded, irregular({5, 3}), {.second_order = true}));
}

TEST_CASE("the gradient of a table has the same bits with any number of threads", "[embedding]") {
  const int threads = num_threads();
  // Skewed: most look-ups are of few rows.
  for (std::int64_t rows : {3, 1000, 40000}) {
    Tensor index = Tensor::empty({3000}, i64);
    for (std::int64_t i = 0; i < 3000; ++i) index.data<std::int64_t>()[i] = i % 3 ? i % 2 : i * i % rows;
    const Tensor g = irregular({3000, 19}, 1, f32);
    const auto run = [&](int n) {
      set_num_threads(n);
      return gradient_of(index, zeros({rows, 19}), g);
    };
    const Tensor one = run(1);
    CHECK(is_close(one.to(f64), plain_gradient(index, g, rows), 1e-4));
    for (int n : {2, 3, 7}) CHECK(same_bits(run(n), one));
  }
  set_num_threads(threads);
}

TEST_CASE("errors of embedding", "[embedding]") {
  const Tensor table = zeros({5, 3});
  CHECK(error_of([&] {
          embedding(Tensor::from({0, 4, 1, 5}, {2, 2}), table);
        }) ==
        "embedding: index 5 at position [1, 1] is out of range for a table of 5 rows, at here; indices are 0 to 4");
  CHECK(error_of([&] {
          embedding(Tensor::from({0, -1}), table);
        }) == "embedding: index -1 at position [1] is out of range for a table of 5 rows, at here; indices are 0 to 4");
  CHECK(error_of([&] { embedding(zeros({2}), table); }) ==
        "embedding: the indices are f32[2], not integers, at here; convert them with to(i64)");
  CHECK(error_of([&] {
          embedding(table, Tensor::from({0, 1}));
        }) == "embedding: the indices are f32[5, 3], not integers, at here; the indices come first, then the table");
  CHECK(error_of([&] { embedding(Tensor::from({0}), zeros({3})); }) ==
        "embedding: the table must be [rows, width], it is f32[3], at here");
  CHECK(error_of([&] {
          embedding(Tensor::from({0}), zeros({0, 3}));
        }) == "embedding: index 0 at position [0] is out of range for a table of 0 rows, at here; the table is empty");
  CHECK(error_of([&] { embedding(Tensor::from({0}), table, {.padding_idx = -6}); }) ==
        "embedding: padding_idx -6 is out of range for a table of 5 rows, at here");
}
