// outer, cholesky and triangular systems against their definitions, and what bad input says.
#include "autograd/ops/linalg.h"

#include "autograd/ops/index.h"
#include "autograd/ops/matmul.h"
#include "autograd/thread_pool.h"
#include "tests/autograd/op_support.h"

using namespace op_test;
using Values = std::vector<double>;

namespace {

// Symmetric and positive definite.
Tensor definite(const Shape& shape, DType type = f64) {
  const Tensor x = irregular(shape);
  const double n = static_cast<double>(shape.back());
  return (matmul(x, transpose(x)) * (1 / n) + 0.5 * eye(shape.back(), f64)).to(type);
}

// x where the element lies in the triangle, else `other`; the diagonal counts as inside.
Tensor triangle_of(const Tensor& x, bool upper, double other = 0) {
  const std::int64_t n = x.shape(-1);
  const Tensor row = reshape(arange(static_cast<double>(n), f64), {n, 1});
  const Tensor column = arange(static_cast<double>(n), f64);
  return masked_fill(x, upper ? row > column : row < column, other);
}

Tensor well_conditioned(const Shape& shape) {
  const std::int64_t n = shape.back();
  return irregular(shape) * (1 / static_cast<double>(n)) + 2 * eye(n, f64);
}

}  // namespace

TEST_CASE("outer") {
  const Tensor a = Tensor::from({1.0, 2.0});
  const Tensor b = Tensor::from({3.0, 4.0, 5.0});
  CHECK(values_of(outer(a, b)) == Values{3, 4, 5, 6, 8, 10});
  CHECK(outer(counting({2, 3}), b).shape() == Shape{6, 3});
  CHECK(outer(zeros({0}), b.to(f32)).shape() == Shape{0, 3});
  CHECK(values_of(outer(2, b)) == Values{6, 8, 10});
  CHECK(error_of([&] { outer(a, b.to(f32)); }) ==
        "mul: f32 and f64 are mixed: f64[2, 1] and f32[1, 3], at here; convert one of them: x.to(f64)");
}

TEST_CASE("cholesky gives the lower triangular factor") {
  CHECK(is_close(cholesky(Tensor::from({4.0, 2.0, 2.0, 10.0}, {2, 2})), Tensor::from({2.0, 0.0, 1.0, 3.0}, {2, 2})));
  for (const Shape& shape : {Shape{1, 1}, Shape{7, 7}, Shape{3, 2, 5, 5}, Shape{70, 70}, Shape{256, 256}}) {
    for (DType type : {f32, f64}) {
      const Tensor a = definite(shape, type);
      const Tensor l = cholesky(a);
      CAPTURE(describe(a));
      CHECK(l.dtype() == type);
      CHECK(is_close(matmul(l, transpose(l)), a, type == f32 ? 1e-5 : 1e-12));
      CHECK(same_bits(l, triangle_of(l, false)));
    }
  }
  CHECK(cholesky(zeros({0, 3, 3})).shape() == Shape{0, 3, 3});
  CHECK(cholesky(zeros({0, 0})).shape() == Shape{0, 0});
}

TEST_CASE("cholesky reads the lower triangle only") {
  const Tensor a = definite({5, 5});
  CHECK(same_bits(cholesky(triangle_of(a, false, NAN)), cholesky(a)));
  CHECK(same_bits(cholesky(transpose(contiguous(transpose(a)))), cholesky(a)));
}

TEST_CASE("solve_triangular solves every form of the system") {
  for (const bool upper : {false, true}) {
    for (const bool transposed : {false, true}) {
      for (const bool unit : {false, true}) {
        for (DType type : {f32, f64}) {
          const Tensor a = well_conditioned({2, 9, 9}).to(type);
          const Tensor b = irregular({2, 9, 4}, 2, type);
          const SolveTriangularOptions options{.upper = upper, .transpose = transposed, .unit_diagonal = unit};
          const Tensor x = solve_triangular(a, b, options);
          Tensor matrix = triangle_of(a.to(f64), upper);
          if (unit) matrix = masked_fill(matrix, eye(9) == 1, 1);
          const Tensor product = matmul(transposed ? transpose(matrix) : matrix, x.to(f64));
          CAPTURE(upper, transposed, unit, name_of(type));
          CHECK(x.dtype() == type);
          CHECK(is_close(product, b.to(f64), type == f32 ? 1e-5 : 1e-13));
          const Tensor unread = triangle_of(a, upper, NAN);
          CHECK(same_bits(solve_triangular(unread, b, options), x));
        }
      }
    }
  }
}

TEST_CASE("solve_triangular takes vectors, views, broadcast batches and empty tensors") {
  const Tensor a = well_conditioned({3, 6, 6});
  const Tensor b = irregular({6, 5}, 2);
  const Tensor x = solve_triangular(a, b);
  CHECK(x.shape() == Shape{3, 6, 5});
  for (std::int64_t k = 0; k < 3; ++k) {
    const Tensor matrix = squeeze(a.slice(0, k, k + 1), 0);
    CHECK(is_close(squeeze(x.slice(0, k, k + 1), 0), solve_triangular(matrix, b)));
    const Tensor column = solve_triangular(matrix, squeeze(b.slice(1, 2, 3), 1));
    CHECK(is_close(column, squeeze(solve_triangular(matrix, b).slice(1, 2, 3), 1)));
    CHECK(same_bits(solve_triangular(transpose(matrix), b, {.upper = true, .transpose = true}),
                    solve_triangular(matrix, b)));
  }
  CHECK(solve_triangular(zeros({0, 0}), zeros({0, 2})).shape() == Shape{0, 2});
  CHECK(solve_triangular(a, zeros({6, 0}, f64)).shape() == Shape{3, 6, 0});
  CHECK(solve_triangular(zeros({0, 6, 6}), zeros({6, 2})).shape() == Shape{0, 6, 2});
}

TEST_CASE("factors and solutions have the same bits with any number of threads") {
  const int before = num_threads();
  const Tensor one = definite({120, 120});
  const Tensor many = definite({30, 20, 20}, f32);
  const Tensor b = irregular({120, 90}, 2);
  const Tensor columns = irregular({30, 20, 7}, 3, f32);
  set_num_threads(1);
  const Tensor factor = cholesky(many);
  const Tensor x = solve_triangular(one, b);
  const Tensor xs = solve_triangular(many, columns, {.upper = true});
  set_num_threads(4);
  CHECK(same_bits(cholesky(many), factor));
  CHECK(same_bits(solve_triangular(one, b), x));
  CHECK(same_bits(solve_triangular(many, columns, {.upper = true}), xs));
  set_num_threads(before);
}

TEST_CASE("the gradient of a Gaussian's log density with respect to its covariance") {
  // log p = -1/2 x^T S^-1 x - 1/2 log det S: its gradient is known, 1/2 (S^-1 x x^T S^-1 - S^-1), and doubled below the
  // diagonal since the lower triangle stands for both.
  Tensor covariance = definite({4, 4});
  const Tensor x = irregular({4, 1}, 5);
  Tape tape;
  tape.watch(covariance);
  const Tensor l = cholesky(covariance);
  const Tensor z = solve_triangular(l, x);
  const Tensor log_determinant = 2 * sum(log(sum(l * eye(4, f64), {.axis = 1})));
  const Tensor found = tape.gradient(-0.5 * sum(square(z)) - 0.5 * log_determinant, covariance);
  const Tensor inverse = solve_triangular(l, solve_triangular(l, eye(4, f64)), {.transpose = true});
  const Tensor y = matmul(inverse, x);
  const Tensor symmetric = 0.5 * (matmul(y, transpose(y)) - inverse);
  CHECK(is_close(found, triangle_of(2 * symmetric, false) - symmetric * eye(4, f64), 1e-11));
}

TEST_CASE("linear algebra says what does not fit") {
  const Tensor a = eye(3, f32);
  CHECK(error_of([&] {
          cholesky(zeros({3, 4}));
        }) == "cholesky: f32[3, 4] is not a square matrix [..., n, n], at here");
  CHECK(error_of([&] { cholesky(zeros({3})); }) == "cholesky: f32[3] is not a square matrix [..., n, n], at here");
  CHECK(error_of([&] { cholesky(eye(3, i64)); }) ==
        "cholesky: the matrix is i64[3, 3], at here; convert it with to(f32)");
  const std::string hint = "; a small multiple of the identity added to a covariance helps";
  CHECK(error_of([&] { cholesky(a - 2 * a); }) ==
        "cholesky: the matrix is not positive definite: pivot 0 is not a positive number, at here" + hint);
  CHECK(error_of([&] {
          cholesky(ones({3, 3}));
        }) == "cholesky: the matrix is not positive definite: pivot 1 is not a positive number, at here" + hint);
  CHECK(error_of([&] {
          cholesky(stack({a, a, NAN * a}));
        }) ==
        "cholesky: the matrix [2] of the batch is not positive definite: pivot 0 is not a positive number, at here" +
            hint);
  CHECK(error_of([&] {
          cholesky(INFINITY * ones({1, 1}));
        }) == "cholesky: the matrix is not positive definite: pivot 0 is not a positive number, at here" + hint);
  CHECK(error_of([&] {
          solve_triangular(zeros({3, 4}), a);
        }) == "solve_triangular: f32[3, 4] is not a square matrix [..., n, n], at here");
  CHECK(error_of([&] {
          solve_triangular(a, zeros({4, 2}));
        }) == "solve_triangular: the matrix f32[3, 3] needs right-hand sides [..., 3, k], not f32[4, 2], at here");
  CHECK(error_of([&] { solve_triangular(a, zeros({4})); }) ==
        "solve_triangular: the matrix f32[3, 3] needs right-hand sides [..., 3, k], not f32[4, 1], at here");
  CHECK(error_of([&] { solve_triangular(a, eye(3, f64)); }) ==
        "solve_triangular: f32[3, 3] and f64[3, 3]: two dtypes, at here; convert one of them with to()");
  CHECK(error_of([&] {
          solve_triangular(stack({a, a}), stack({a, a, a}));
        }) ==
        "solve_triangular: shapes [2] and [3] do not broadcast: axis -1 has 2 and 3, at here; sizes, counted from the "
        "last "
        "axis, must be equal or 1");
  CHECK(error_of([&] {
          solve_triangular(Tensor::from({1.0, 0.0, 0.0, 0.0}, {2, 2}), ones({2, 1}, f64));
        }) == "solve_triangular: the matrix is singular: number 1 of its diagonal is 0, at here");
  CHECK(error_of([&] {
          solve_triangular(stack({a, 0 * a}), a);
        }) == "solve_triangular: the matrix [1] of the batch is singular: number 0 of its diagonal is 0, at here");
  CHECK(error_of([&] { solve_triangular(0 * a, a, {.unit_diagonal = true}); }) == "no error");
}

TEST_CASE("gradients of the linear algebra family agree with differences") { check_samples(detail::linalg_ops()); }
