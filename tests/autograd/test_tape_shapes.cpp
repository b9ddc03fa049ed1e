// 0-dim and empty tensors, broadcasting, and reductions.
#include "autograd/parameter.h"
#include "tests/autograd/tape_support.h"

namespace tape_test {

TEST_CASE_METHOD(CleanRecord, "0-dim tensors are ordinary", "[tape][shapes]") {
  const Parameter w(scalar(3));
  Tape tape;
  const Tensor y = sum(w) * mean(w) * w;
  CHECK(y.ndim() == 0);
  const Tensor g = tape.gradient(y, w);
  CHECK(g.ndim() == 0);
  CHECK(g.item() == 27);
}

TEST_CASE_METHOD(CleanRecord, "a result of one element and any rank needs no seed", "[tape][shapes]") {
  const Parameter w(wave({1, 1, 1}, 1));
  Tape tape;
  CHECK(is_close(tape.gradient(w * w, w), 2 * w));
}

TEST_CASE_METHOD(CleanRecord, "empty tensors", "[tape][shapes]") {
  const Parameter w(zeros({0, 3}, f64));
  const Parameter b(wave({3}, 1));
  Tape tape;
  const Tensor y = sum(tanh(w + b) * 2.0);
  CHECK(y.item() == 0);
  const auto g = tape.gradient(y, std::vector<Tensor>{w, b});
  CHECK(g[0].shape() == Shape{0, 3});
  CHECK(values_of(g[1]) == std::vector<double>{0, 0, 0});
  CHECK(tape.gradient(w * 2.0, w, {.seed = zeros({0, 3}, f64)}).shape() == Shape{0, 3});
}

TEST_CASE_METHOD(CleanRecord, "a matrix product over an empty axis is zero, and so are its gradients",
                 "[tape][shapes]") {
  const Parameter a(zeros({2, 0}, f64));
  const Parameter b(zeros({0, 3}, f64));
  const Parameter c(wave({2, 3}, 1));
  Tape tape;
  const auto g = tape.gradient(sum(matmul(a, b) * c), std::vector<Tensor>{a, b, c});
  CHECK(g[0].shape() == Shape{2, 0});
  CHECK(g[1].shape() == Shape{0, 3});
  CHECK(same_bits(g[2], zeros({2, 3}, f64)));
}

namespace {

// sum(weight * (a op b)) for two shapes that broadcast, against differences, first and second order.
void check_broadcast(const Shape& left, const Shape& right) {
  const std::vector<Tensor> at{wave(left, 0.7), wave(right, 1.3)};
  const auto f = [](const std::vector<Tensor>& x) { return sum(tanh(x[0] * x[1]) / (2.0 + square(x[1]))); };
  const auto gradients = [&](const std::vector<Tensor>& inputs) {
    Tape tape;
    std::vector<Tensor> x = inputs;
    for (Tensor& t : x) tape.watch(t);
    return tape.gradient(f(x), x);
  };
  const std::vector<Tensor> g = gradients(at);
  for (std::size_t k = 0; k < 2; ++k) {
    CHECK(is_close(g[k], numeric_gradient([&](const auto& x) { return f(x).item(); }, at, k), 1e-9));
  }
  const auto slope = [&](const std::vector<Tensor>& inputs) {
    const std::vector<Tensor> s = gradients(inputs);
    return sum(s[0] * wave(left, 2.1)) + sum(s[1] * wave(right, 1.7));
  };
  Tape tape;
  std::vector<Tensor> x = at;
  for (Tensor& t : x) tape.watch(t);
  const std::vector<Tensor> h = tape.gradient(slope(x), x);
  const Tape::Pause pause;
  for (std::size_t k = 0; k < 2; ++k) {
    CHECK(is_close(h[k], numeric_gradient([&](const auto& v) { return slope(v).item(); }, at, k), 1e-8));
  }
}

}  // namespace

TEST_CASE_METHOD(CleanRecord, "broadcasting: one side, both sides, new axes, 0-dim", "[tape][shapes]") {
  check_broadcast({2, 3}, {2, 3});
  check_broadcast({2, 3}, {3});
  check_broadcast({3}, {2, 3});
  check_broadcast({2, 1}, {1, 3});
  check_broadcast({1, 3}, {2, 1});
  check_broadcast({2, 1, 3}, {4, 1});
  check_broadcast({}, {2, 3});
  check_broadcast({2, 3}, {});
  check_broadcast({1}, {});
  check_broadcast({1, 1}, {3});
  check_broadcast({1, 1, 1}, {1});
}

TEST_CASE_METHOD(CleanRecord, "one tensor in both slots of an op, broadcast against itself", "[tape][shapes]") {
  const Parameter w(wave({3}, 1));
  Tape tape;
  const Tensor outer = reshape(w, {3, 1}) * w;  // y[i, j] = w[i] w[j]
  const double total = values_of(sum(w.value()))[0];
  CHECK(is_close(tape.gradient(sum(outer), w), full({3}, 2 * total, f64)));
}

TEST_CASE_METHOD(CleanRecord, "one tensor twice in a formula of three that broadcasts it", "[tape][shapes]") {
  const auto blend = pointwise("blend", [](auto a, auto b, auto c) { return a * tanh(b * c) + a * a * c; });
  const auto check = [&](const Shape& small, const Shape& large) {
    const std::vector<Tensor> at{wave(small, 0.7), wave(large, 1.3)};
    const auto f = [&](const std::vector<Tensor>& x) { return sum(square(blend(x[0], x[0], x[1]))); };
    const auto gradients = [&](const std::vector<Tensor>& inputs) {
      Tape tape;
      std::vector<Tensor> x = inputs;
      for (Tensor& t : x) tape.watch(t);
      return tape.gradient(f(x), x);
    };
    const auto slope = [&](const std::vector<Tensor>& inputs) {
      const std::vector<Tensor> s = gradients(inputs);
      return sum(s[0] * wave(small, 2.1)) + sum(s[1] * wave(large, 1.7));
    };
    const std::vector<Tensor> first = gradients(at);
    Tape tape;
    std::vector<Tensor> x = at;
    for (Tensor& t : x) tape.watch(t);
    const std::vector<Tensor> second = tape.gradient(slope(x), x);
    const Tape::Pause pause;
    for (std::size_t k = 0; k < 2; ++k) {
      CHECK(is_close(first[k], numeric_gradient([&](const auto& v) { return f(v).item(); }, at, k), 1e-8));
      CHECK(is_close(second[k], numeric_gradient([&](const auto& v) { return slope(v).item(); }, at, k), 1e-7));
    }
  };
  check({3}, {2, 3});
  check({2, 1}, {2, 3});
  check({}, {2, 3});
  check({2, 3}, {3});
}

TEST_CASE_METHOD(CleanRecord, "reductions with and without the reduced axes", "[tape][shapes]") {
  const Parameter w(wave({2, 3, 4}, 1));
  const auto check = [&](const ReduceOptions& options, const Shape& shape) {
    const auto f = [&](const Tensor& x) {
      const Tensor r = sum(x, options);
      CHECK(r.shape() == shape);
      return sum(square(r)) + sum(square(mean(x, options)));
    };
    Tape tape;
    const Tensor g = tape.gradient(f(w), w);
    const Tape::Pause pause;
    CHECK(is_close(g, numeric_gradient([&](const auto& x) { return f(x[0]).item(); }, {w.value()}, 0), 1e-9));
  };
  check({.axis = 1}, {2, 4});
  check({.axis = 1, .keepdims = true}, {2, 1, 4});
  check({.axis = {0, 2}}, {3});
  check({.axis = {0, -1}, .keepdims = true}, {1, 3, 1});
  check({}, {});
  check({.keepdims = true}, {1, 1, 1});
  check({.axis = {}}, {2, 3, 4});
}

TEST_CASE_METHOD(CleanRecord, "a gradient has the shape and dtype of its tensor, whatever it met", "[tape][shapes]") {
  const Parameter w(wave({1, 3}, 1).to(f32));
  Tape tape;
  const Tensor y = w + zeros({4, 5, 3});
  const Tensor g = tape.gradient(sum(y), w);
  CHECK(g.shape() == Shape{1, 3});
  CHECK(g.dtype() == f32);
  CHECK(array_equal(g, full({1, 3}, 20)));
}

}  // namespace tape_test
