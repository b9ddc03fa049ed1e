// The matrix product against plain loops: every layout of the operands, batches, gradients, and what bad input says.
#include "autograd/ops/matmul.h"

#include <functional>

#include "autograd/thread_pool.h"
#include "tests/autograd/op_support.h"

using namespace op_test;
using Values = std::vector<double>;

namespace {

// a [m, k] b [k, n] by three loops.
Tensor plain_product(const Tensor& a, const Tensor& b) {
  const std::int64_t m = a.shape(0);
  const std::int64_t k = a.shape(1);
  const std::int64_t n = b.shape(1);
  const Values x = values_of(a);
  const Values y = values_of(b);
  Values z(static_cast<std::size_t>(m * n));
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (std::int64_t c = 0; c < k; ++c)
        sum += x[static_cast<std::size_t>(i * k + c)] * y[static_cast<std::size_t>(c * n + j)];
      z[static_cast<std::size_t>(i * n + j)] = sum;
    }
  }
  return Tensor::from(z, {m, n});
}

// The same matrix with its elements at other places in memory.
std::vector<Tensor> layouts(const Tensor& x) {
  const std::int64_t rows = x.shape(0);
  const std::int64_t columns = x.shape(1);
  Tensor wide = concat({x, x}, 1).slice(1, 0, columns);
  Tensor gaps = reshape(stack({x, x}, 2), {rows, 2 * columns}).slice(1, 0, 2 * columns, 2);
  Tensor backwards = contiguous(x.slice(0, rows - 1, -rows - 1, -1)).slice(0, rows - 1, -rows - 1, -1);
  return {x, transpose(contiguous(transpose(x))), wide, gaps, backwards};
}

}  // namespace

TEST_CASE("matmul agrees with plain loops for every size and layout") {
  const std::vector<std::array<std::int64_t, 3>> sizes = {{1, 1, 1},    {3, 4, 2},     {1, 7, 9},   {5, 1, 6},
                                                          {13, 33, 17}, {64, 64, 64},  {70, 40, 1}, {1, 300, 130},
                                                          {150, 90, 3}, {130, 260, 70}};
  for (DType type : {f32, f64}) {
    const double tolerance = type == f32 ? 2e-5 : 1e-12;
    for (const auto& [m, k, n] : sizes) {
      const Tensor a = irregular({m, k}, 1, type);
      const Tensor b = irregular({k, n}, 2, type);
      const Tensor expected = plain_product(a, b);
      for (const Tensor& left : layouts(a)) {
        for (const Tensor& right : layouts(b)) {
          CAPTURE(m, k, n, left.strides(), right.strides());
          const Tensor y = matmul(left, right);
          CHECK(y.dtype() == type);
          CHECK(is_close(y, expected, tolerance));
        }
      }
    }
  }
}

TEST_CASE("matmul has the same bits with any number of threads") {
  const int before = num_threads();
  for (DType type : {f32, f64}) {
    const std::vector<std::pair<Tensor, Tensor>> pairs = {
        {irregular({200, 300}, 1, type), irregular({300, 190}, 2, type)},
        {irregular({500, 200}, 1, type), irregular({200, 5}, 2, type)},
        {irregular({2, 400}, 1, type), transpose(irregular({600, 400}, 2, type))},
        {irregular({30, 40, 20}, 1, type), irregular({30, 20, 40}, 2, type)},
        {irregular({3, 120, 130}, 1, type), irregular({3, 130, 140}, 2, type)},
    };
    for (const auto& [a, b] : pairs) {
      set_num_threads(1);
      const Tensor one = matmul(a, b);
      for (int threads : {2, 3, 8}) {
        set_num_threads(threads);
        CHECK(same_bits(matmul(a, b), one));
      }
    }
  }
  set_num_threads(before);
}

TEST_CASE("a large product is shared by threads") {
  const int before = num_threads();
  set_num_threads(2);
  const Tensor a = irregular({300, 300}, 1, f32);
  const std::uint64_t regions = thread_pool_statistics().regions;
  matmul(a, a);
  CHECK(thread_pool_statistics().regions > regions);
  set_num_threads(before);
}

TEST_CASE("vectors count as a row on the left and as a column on the right") {
  const Tensor m = counting({2, 3});
  const Tensor v = Tensor::from({1.0, 10.0, 100.0});
  CHECK(values_of(matmul(m, v)) == Values{210, 543});
  CHECK(matmul(m, v).shape() == Shape{2});
  CHECK(values_of(matmul(v, transpose(m))) == Values{210, 543});
  CHECK(matmul(v, v).shape() == Shape{});
  CHECK(matmul(v, v).item() == 10101);
  CHECK(matmul(counting({4, 2, 3}), v).shape() == Shape{4, 2});
  CHECK(matmul(v, counting({4, 3, 2})).shape() == Shape{4, 2});
  CHECK(matmul(v.slice(0, 2, -4, -1), v).item() == 300);
}

TEST_CASE("batch axes are broadcast") {
  const Tensor a = irregular({2, 1, 3, 4});
  const Tensor b = irregular({5, 4, 2}, 2);
  const Tensor y = matmul(a, b);
  REQUIRE(y.shape() == Shape{2, 5, 3, 2});
  for (std::int64_t i = 0; i < 2; ++i) {
    for (std::int64_t j = 0; j < 5; ++j) {
      const Tensor left = reshape(a.slice(0, i, i + 1), {3, 4});
      const Tensor right = reshape(b.slice(0, j, j + 1), {4, 2});
      CHECK(is_close(reshape(y.slice(0, i, i + 1).slice(1, j, j + 1), {3, 2}), plain_product(left, right)));
    }
  }
  const Tensor w = irregular({2, 4}, 3);
  const Tensor merged = matmul(irregular({3, 5, 4}), transpose(w));
  CHECK(is_close(reshape(merged, {15, 2}), plain_product(irregular({15, 4}), transpose(w))));
  const Tensor turned = transpose(irregular({3, 4, 5}));
  for (std::int64_t i = 0; i < 3; ++i) {
    const Tensor left = squeeze(turned.slice(0, i, i + 1), 0);
    CHECK(is_close(squeeze(matmul(turned, transpose(w)).slice(0, i, i + 1), 0), plain_product(left, transpose(w))));
  }
  CHECK(is_close(matmul(expand(irregular({1, 3, 4}), {6, 3, 4}), irregular({6, 4, 2}, 2)).slice(0, 5, 6),
                 matmul(irregular({1, 3, 4}), irregular({6, 4, 2}, 2).slice(0, 5, 6))));
}

TEST_CASE("empty products") {
  CHECK(matmul(zeros({0, 3}), zeros({3, 2})).shape() == Shape{0, 2});
  const Tensor y = matmul(zeros({2, 0}), zeros({0, 3}));
  CHECK(y.shape() == Shape{2, 3});
  CHECK(values_of(y) == Values{0, 0, 0, 0, 0, 0});
  CHECK(matmul(zeros({0}), zeros({0})).item() == 0);
  CHECK(matmul(zeros({0, 2, 3}), zeros({3, 4})).shape() == Shape{0, 2, 4});
  CHECK(values_of(matmul(zeros({2, 1, 0}), zeros({2, 0, 1}))) == Values{0, 0});
}

TEST_CASE("NaN and infinity are not lost") {
  Tensor a = zeros({2, 3});
  a.span<float>()[1] = std::numeric_limits<float>::infinity();
  const Tensor y = matmul(a, zeros({3, 2}));
  CHECK(std::isnan(y.at({0, 0})));
  CHECK(y.at({1, 1}) == 0);
}

TEST_CASE("linear has the bits of matmul and an addition, also for one row and threads") {
  struct RestoreThreads {
    int before = num_threads();
    ~RestoreThreads() { set_num_threads(before); }
  } restore;
  for (DType type : {f32, f64}) {
    const Tensor weight = irregular({150, 300}, 2, type);
    const Tensor bias = irregular({150}, 3, type);
    for (const Shape& shape : {Shape{300}, Shape{1, 300}, Shape{7, 300}, Shape{2, 90, 300}, Shape{0, 300}}) {
      const Tensor x = irregular(shape, 1, type);
      CAPTURE(shape, type);
      for (const Tensor& w : {weight, transpose(contiguous(transpose(weight)))}) {
        set_num_threads(1);
        const Tensor expected = matmul(x, transpose(w)) + bias;
        for (int threads : {1, 3}) {
          set_num_threads(threads);
          CHECK(same_bits(linear(x, w, bias), expected));
        }
      }
    }
  }
}

TEST_CASE("linear says what does not fit") {
  const Tensor x = zeros({8, 4});
  CHECK(error_of([&] {
          linear(x, zeros({3, 5}), zeros({3}));
        }) == "linear: x [..., in], weight [out, in] and bias [out] do not fit: [8, 4], [3, 5], [3], at here");
  CHECK(error_of([&] {
          linear(x, zeros({3, 4}), zeros({4}));
        }) == "linear: x [..., in], weight [out, in] and bias [out] do not fit: [8, 4], [3, 4], [4], at here");
  CHECK(error_of([&] {
          linear(zeros({}), zeros({3, 4}), zeros({3}));
        }) == "linear: x [..., in], weight [out, in] and bias [out] do not fit: [], [3, 4], [3], at here");
  CHECK(error_of([&] {
          linear(x, zeros({3, 4}, f64), zeros({3}));
        }) == "linear: x, weight and bias must have one floating dtype: f32[8, 4], f64[3, 4], f32[3], at here");
}

TEST_CASE("a product with a vector has the same bits with any number of threads") {
  struct RestoreThreads {
    int before = num_threads();
    ~RestoreThreads() { set_num_threads(before); }
  } restore;
  const Tensor m = irregular({700, 900}, 1, f32);
  const Tensor x = irregular({900}, 2, f32);
  const Tensor row = irregular({1, 700}, 3, f32);
  for (const auto& product :
       std::vector<std::function<Tensor()>>{[&] { return matmul(m, x); }, [&] { return matmul(row, m); },
                                            [&] {
                                              return matmul(transpose(m), reshape(row, {700, 1}));
                                            },
                                            [&] { return matmul(x, transpose(m)); }}) {
    set_num_threads(1);
    const Tensor expected = product();
    for (int threads : {2, 3, 7}) {
      set_num_threads(threads);
      CHECK(same_bits(product(), expected));
    }
  }
}

TEST_CASE("matmul says what does not fit") {
  const Tensor a = zeros({64, 784});
  CHECK(error_of([&] {
          matmul(a, zeros({128, 10}));
        }) == "matmul: inner dimensions differ: [64, 784] x [128, 10] (784 and 128), at here");
  CHECK(error_of([&] { matmul(zeros({3}), zeros({4})); }) ==
        "matmul: inner dimensions differ: [3] x [4] (3 and 4), at here");
  CHECK(
      error_of([&] {
        matmul(zeros({2, 5, 3}), zeros({4, 3, 6}));
      }) ==
      "matmul: batch axes differ: [2, 5, 3] x [4, 3, 6] (2 and 4 at axis 0), at here; batch sizes must be equal or 1");
  CHECK(error_of([&] { matmul(a, zeros({})); }) ==
        "matmul: a 0-dim operand: [64, 784] x [], at here; multiply by a number with *");
  CHECK(error_of([&] { matmul(a, 2); }) ==
        "matmul: a 0-dim operand: [64, 784] x [], at here; multiply by a number with *");
  CHECK(error_of([&] {
          matmul(a, zeros({784, 2}, f64));
        }) == "matmul: f32[64, 784] x f64[784, 2]: two dtypes, at here; convert one of them with to(f64)");
  CHECK(error_of([&] {
          matmul(a, zeros({784, 2}, i32));
        }) == "matmul: f32[64, 784] x i32[784, 2]: i32 has no matrix product, at here; convert it with to(f32)");
  CHECK(error_of([&] { matmul(a, Tensor()); }) == "matmul: input 1 is an empty handle, at here");
  const std::uint32_t name = detail::intern("hidden");
  const SourceLocation call = SourceLocation::current();
  const std::string text = error_of([&] {
    const detail::LayerScope scope(name, call);
    matmul(a, zeros({128, 10}));
  });
  CHECK(text == "matmul: inner dimensions differ: [64, 784] x [128, 10] (784 and 128), in hidden, at " + where(call));
}

TEST_CASE("the gradient of a transposed weight is contiguous") {
  Tensor w = irregular({3, 4});
  for (const Shape& shape : {Shape{5, 4}, Shape{2, 5, 4}}) {
    Tape tape;
    tape.watch(w);
    const Tensor y = matmul(irregular(shape), transpose(w));
    CHECK(tape.gradient(sum(y), w).is_contiguous());
  }
}

TEST_CASE("a gradient needs only the other operand") {
  Tensor x = irregular({2, 3});
  Tensor w = irregular({3, 2}, 2);
  Tape tape;
  tape.watch(x);
  const Tensor y = sum(matmul(x, w));
  x.span<double>()[0] = 5;  // the gradient of x does not read x
  CHECK(is_close(tape.gradient(y, x), matmul(ones({2, 2}, f64), transpose(w))));
}

TEST_CASE("gradients of matmul agree with differences") { check_samples(detail::matmul_ops()); }

TEST_CASE("gradients of large products agree with sums of plain products") {
  Tensor a = irregular({130, 90});
  Tensor b = irregular({90, 110}, 2);
  const Tensor g = irregular({130, 110}, 3);
  Tape tape;
  tape.watch(a);
  tape.watch(b);
  const std::vector<Tensor> found = tape.gradient(matmul(a, b), std::vector<Tensor>{a, b}, {.seed = g});
  CHECK(is_close(found[0], plain_product(g, transpose(b)), 1e-11));
  CHECK(is_close(found[1], plain_product(transpose(a), g), 1e-11));
}
