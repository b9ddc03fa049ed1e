// grad, value_and_grad, vjp, jacobian, hessian, hvp: values against formulas, nesting, and what they refuse.
#include "autograd/transforms.h"

#include <optional>
#include <thread>

#include "autograd/custom_vjp.h"
#include "autograd/ops/linalg.h"
#include "autograd/random.h"
#include "nn/convert.h"
#include "nn/dense.h"
#include "optim/sgd.h"
#include "tests/autograd/tape_support.h"

using namespace tape_test;

namespace {

struct Net {
  nn::Dense hidden{3, 5}, out{5, 1};
  Tensor operator()(Arg x) const { return out(tanh(hidden(x))); }
};

bool contains(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

const auto cube = [](const Tensor& x) { return sum(x * x * x); };

}  // namespace

TEST_CASE_METHOD(CleanRecord, "grad is the gradient, nested as often as one likes", "[tape][transforms]") {
  const Tensor x = Tensor::from({1.0, -2.0, 0.5});
  CHECK(is_close(grad(cube, x), 3 * x * x));
  const auto [value, slope] = value_and_grad(cube, x);
  CHECK(value.item() == Approx(1 - 8 + 0.125));
  CHECK(is_close(slope, 3 * x * x));

  const auto once = [](const Tensor& v) { return sum(grad(cube, v)); };
  const auto twice = [&](const Tensor& v) { return sum(grad(once, v)); };
  CHECK(is_close(grad(once, x), 6 * x));
  CHECK(is_close(grad(twice, x), full_like(x, 6)));
}

TEST_CASE_METHOD(CleanRecord, "grad of several tensors and of models", "[tape][transforms]") {
  const Tensor a = Tensor::from({1.0, 2.0}), b = Tensor::from({3.0, 4.0});
  const auto product = [](const std::vector<Tensor>& v) { return sum(v[0] * v[1]); };
  const std::vector<Tensor> both = grad(product, std::vector<Tensor>{a, b});
  CHECK(is_close(both[0], b));
  CHECK(is_close(both[1], a));

  Net net;
  const Tensor x = random::normal({4, 3});
  const auto loss = [&x](const Net& n) { return mean(square(n(x))); };
  const auto [value, gradients] = value_and_grad(loss, net);
  Tape tape;
  const Tensor direct = loss(net);
  const Gradients expected = tape.gradient(direct, net);
  CHECK(value.item() == direct.item());
  CHECK(gradients.size() == 4);
  for (const auto& [name, g] : expected) CHECK(same_bits(gradients.at(name), g));
  optim::SGD sgd{net, {.lr = 0.1}};
  sgd.step(gradients);
}

TEST_CASE_METHOD(CleanRecord, "nested derivatives do not confuse their perturbations", "[tape][transforms]") {
  // d/dx (x * d/dy (x + y)) = 1, and not 2.
  const auto outer = [](const Tensor& x) {
    return x * grad([&x](const Tensor& y) { return x + y; }, Tensor::from({1.0}, Shape{}));
  };
  CHECK(grad(outer, Tensor::from({3.0}, Shape{})).item() == 1);
  // d/dx (x * d/dy (x * y)) = d/dx (x * x) = 2x.
  const auto product = [](const Tensor& x) {
    return x * grad([&x](const Tensor& y) { return x * y; }, Tensor::from({5.0}, Shape{}));
  };
  CHECK(grad(product, Tensor::from({3.0}, Shape{})).item() == 6);
  // The same variable inside and outside: d/dx (d/dy (x y) at y = x) = d/dx x = 1.
  const auto same = [](const Tensor& x) { return grad([&x](const Tensor& y) { return x * y; }, x); };
  CHECK(grad(same, Tensor::from({3.0}, Shape{})).item() == 1);
}

TEST_CASE_METHOD(CleanRecord, "what a function does not depend on", "[tape][transforms]") {
  const Tensor x = Tensor::from({1.0, 2.0}), c = Tensor::from({4.0});
  const auto constant = [&c](const Tensor&) { return sum(c); };
  CHECK(contains(error_of([&] { static_cast<void>(grad(constant, x)); }), "test_transforms.cpp"));
  CHECK(is_close(grad(constant, x, {.allow_unused = true}), zeros_like(x)));
  CHECK(is_close(vjp(constant, x).pullback(Tensor::from({1.0}, Shape{})), zeros_like(x)));
  CHECK(is_close(jacobian(constant, x), zeros_like(x)));
  CHECK(is_close(hessian([](const Tensor& v) { return sum(v); }, x), zeros({2, 2}, f64)));

  struct Two {
    nn::Dense used{2, 1}, unused{2, 1};
  } net;
  const auto loss = [](const Two& n) { return sum(n.used(ones({1, 2}))); };
  CHECK(contains(error_of([&] { static_cast<void>(grad(loss, net)); }), "unused.weight"));
  CHECK(is_close(grad(loss, net, {.allow_unused = true}).at("unused.weight"), zeros({1, 2})));
}

TEST_CASE_METHOD(CleanRecord, "a pullback owns what it needs", "[tape][transforms]") {
  const Tensor x = Tensor::from({0.5, -1.0, 2.0});
  const auto make = [](const Tensor& at) {
    Tape tape;  // ended before the pullback is called; it does not record the call, as x is its own affair
    const Tape::Pause pause;
    return vjp([](const Tensor& v) { return sin(v) * v; }, at);
  };
  auto first = make(x);
  const Tensor expected = cos(x) * x + sin(x);
  auto [y, pullback] = vjp([](const Tensor& v) { return exp(v); }, x);
  CHECK(is_close(first.pullback(ones_like(x)), expected));
  CHECK(is_close(pullback(2 * ones_like(x)), 2 * exp(x)));
  CHECK(is_close(first.pullback(ones_like(x)), expected));  // once more
  const auto copy = first.pullback;
  first = make(2 * x);
  CHECK(is_close(copy(ones_like(x)), expected));
  CHECK(is_close(y, exp(x)));

  {  // results are constants to later tapes
    Tape tape;
    Tensor w = ones_like(x);
    tape.watch(w);
    const Tensor z = sum(w * y * copy(ones_like(x)));
    CHECK(is_close(tape.gradient(z, w), y * expected));
    Tensor u = ones_like(x);
    tape.watch(u);
    CHECK(contains(error_of([&] { static_cast<void>(copy(u)); }), "call vjp under that tape"));
  }
  Tensor elsewhere;
  std::thread([&] { elsewhere = copy(ones_like(x)); }).join();
  CHECK(is_close(elsewhere, expected));
  CHECK(contains(error_of([&] { static_cast<void>(copy(ones({2}, f64))); }),
                 "vjp: the cotangent is f64[2] and the result f64[3]"));
  CHECK(contains(error_of([&] { static_cast<void>(copy(ones({3}))); }), "the cotangent is f32[3]"));
  CHECK(contains(error_of([&] { static_cast<void>(copy(Tensor())); }), "empty handle"));
}

TEST_CASE_METHOD(CleanRecord, "a pullback under a tape is part of it", "[tape][transforms]") {
  Tensor x = Tensor::from({0.5, -1.0, 2.0}), u = Tensor::from({1.0, 2.0, -1.0});
  std::optional<Pullback<Tensor>> kept;
  {
    Tape tape;
    tape.watch(x);
    tape.watch(u);
    auto [y, pullback] = vjp([](const Tensor& v) { return v * v * v; }, x);
    const Tensor dx = pullback(u);
    CHECK(is_close(dx, 3 * x * x * u));
    const std::vector<Tensor> second = tape.gradient(sum(dx) + sum(y), std::vector<Tensor>{x, u});
    CHECK(is_close(second[0], 6 * x * u + 3 * x * x));
    CHECK(is_close(second[1], 3 * x * x));
    kept = pullback;
  }
  CHECK(contains(error_of([&] { static_cast<void>((*kept)(u)); }),
                 "the tape that was open when this pullback was made has ended"));
}

TEST_CASE_METHOD(CleanRecord, "a pullback of several tensors, and of a model's function", "[tape][transforms]") {
  const Tensor a = random::normal({2, 3}, {.dtype = f64}), b = random::normal({3, 4}, {.dtype = f64});
  const auto [y, pullback] = vjp([](const std::vector<Tensor>& v) { return matmul(v[0], v[1]); }, std::vector{a, b});
  const Tensor g = random::normal({2, 4}, {.dtype = f64});
  const std::vector<Tensor> d = pullback(g);
  CHECK(is_close(d[0], matmul(g, transpose(b))));
  CHECK(is_close(d[1], matmul(transpose(a), g)));

  const Net net;
  const Tensor x = random::normal({4, 3});
  CHECK(vjp(net, x).pullback(ones({4, 1})).shape() == x.shape());
}

TEST_CASE_METHOD(CleanRecord, "a parameter as x is a variable of its own", "[tape][transforms]") {
  const Parameter w(wave({3}, 2.1));
  const Tensor& x = w.value();
  const auto product = [](const std::vector<Tensor>& v) { return sum(v[0] * v[1]); };
  for (const Tensor& g : grad(product, std::vector<Tensor>{x, x})) CHECK(is_close(g, x));
  const auto captures = [&w](const Tensor& v) { return v * w; };
  CHECK(is_close(grad([&](const Tensor& v) { return sum(captures(v)); }, x), x));
  CHECK(is_close(vjp(captures, x).pullback(ones_like(x)), x));
  CHECK(is_close(jacobian(captures, x), x * eye(3, f64)));
  CHECK(is_close(jacobian(
                     [&](const Tensor& v) {
                       return concat({captures(v), v});
                     },
                     x),
                 concat({x * eye(3, f64), eye(3, f64)})));
  for (const HvpMode mode : {HvpMode::reverse_over_reverse, HvpMode::forward_over_reverse}) {
    CHECK(is_close(hvp([&](const Tensor& v) { return sum(v * v * w); }, x, ones_like(x), {.mode = mode}), 2 * x));
  }
  Tape tape;
  const Tensor before = sum(w * w);
  CHECK(is_close(grad([&](const Tensor& v) { return sum(captures(v)); }, x), x));
}

TEST_CASE_METHOD(CleanRecord, "jacobians of conditions, of other dtypes, and with random masks", "[tape][transforms]") {
  const Tensor x = wave({3}, 0.7);
  CHECK(same_bits(jacobian([](const Tensor& v) { return v > 0; }, x), zeros({3, 3}, f64)));
  for (const int copies : {1, 2}) {
    const auto f = [&](const Tensor& v) { return concat(std::vector<Tensor>(std::size_t(copies), v.to(f32))); };
    CHECK(jacobian(f, x).dtype() == f64);
  }
  random::seed(5);
  const auto masked = [](const Tensor& v) {
    const Tensor mask = (random::uniform({3}) < 0.5).to(f64);
    return concat({v * mask, sum(v) * mask});
  };
  const Tensor j = jacobian(masked, x);
  for (int row = 3; row < 6; ++row) {
    const std::vector<double> values = values_of(j.slice(0, row, row + 1));
    CHECK(values[0] == values[1]);
    CHECK(values[1] == values[2]);
  }
}

TEST_CASE_METHOD(CleanRecord, "a pullback is not called by two at once, and may outlive its thread",
                 "[tape][transforms]") {
  std::optional<Pullback<Tensor>> pullback;
  std::thread([&] { pullback = vjp([](const Tensor& v) { return v * v; }, ones({2})).pullback; }).join();
  CHECK(is_close((*pullback)(ones({2})), 2 * ones({2})));
  std::string error;
  const auto calls_itself = custom_vjp(
      "calls_itself", [](const Tensor& v) { return v * v; },
      [&](const Tensor& g, const Tensor&, const Tensor&) {
        error = error_of([&] { (*pullback)(g); });
        return g;
      });
  pullback = vjp(calls_itself, ones({2})).pullback;
  static_cast<void>((*pullback)(ones({2})));
  CHECK(contains(error, "a pullback is called while it runs"));
  CHECK(contains(error_of([] { hvp(cube, Tensor(), ones({2})); }), "hvp: x is an empty handle"));
  CHECK(contains(error_of([] { grad(cube, Tensor()); }), "grad: x is an empty handle"));
}

TEST_CASE_METHOD(CleanRecord, "a function that throws leaves no trace", "[tape][transforms]") {
  const Tensor x = ones({2});
  const auto bad = [](const Tensor& v) -> Tensor { return matmul(v, ones({3})); };
  CHECK(contains(error_of([&] { static_cast<void>(vjp(bad, x)); }), "matmul"));
  CHECK(contains(error_of([&] { static_cast<void>(grad(bad, x)); }), "matmul"));
  CHECK(contains(error_of([&] { static_cast<void>(jacobian(bad, x)); }), "matmul"));
  CHECK(contains(error_of([&] { static_cast<void>(vjp([](const Tensor&) { return Tensor(); }, x)); }), "empty handle"));
  CHECK(
      contains(error_of([&] { static_cast<void>(grad([](const Tensor& v) { return 2 * v; }, x)); }), "not one number"));
  CHECK(contains(error_of([&] {
                   static_cast<void>(grad([](const Tensor& v) { return sum(v); }, Tensor::from({1, 2})));
                 }),
                 "has no gradient"));
  CHECK(contains(error_of([&] { static_cast<void>(hvp(cube, x, ones({3}))); }),
                 "hvp: the direction is f32[3] and x is f32[2]"));
  CHECK(record_is_empty());
}

TEST_CASE_METHOD(CleanRecord, "jacobian has the shape of the result and of x", "[tape][transforms]") {
  const Tensor w = random::normal({4, 3}, {.dtype = f64});
  const Tensor x = random::normal({3}, {.dtype = f64});
  CHECK(is_close(jacobian([&](const Tensor& v) { return matmul(w, v); }, x), w));
  const Tensor m = random::normal({2, 2}, {.dtype = f64});
  const Tensor j = jacobian([](const Tensor& v) { return transpose(v); }, m);
  REQUIRE(j.shape() == Shape{2, 2, 2, 2});
  CHECK(is_close(j, permute(reshape(eye(4, f64), {2, 2, 2, 2}), {1, 0, 2, 3})));
  CHECK(jacobian([](const Tensor& v) { return v; }, zeros({0})).shape() == Shape{0, 0});
  CHECK(jacobian(cube, x).shape() == x.shape());
}

TEST_CASE_METHOD(CleanRecord, "hessian and its products, both ways", "[tape][transforms]") {
  const Tensor x = Tensor::from({0.3, -0.7, 1.1});
  const Tensor v = Tensor::from({1.0, 0.5, -2.0});
  const auto f = [](const Tensor& t) { return sum(sin(t)) * sum(t * t); };
  const Tensor h = hessian(f, x);
  REQUIRE(h.shape() == Shape{3, 3});
  CHECK(is_close(h, transpose(h)));
  // f = S Q: H_ij = S_ij Q + S_i Q_j + Q_i S_j + S Q_ij.
  const Tensor s = cos(x), q = 2 * x;
  const Tensor expected =
      -1 * eye(3, f64) * sin(x) * sum(x * x) + outer(s, q) + outer(q, s) + sum(sin(x)) * 2 * eye(3, f64);
  CHECK(is_close(h, expected));
  CHECK(is_close(hvp(f, x, v), matmul(h, v)));
  CHECK(is_close(hvp(f, x, v, {.mode = HvpMode::forward_over_reverse}), matmul(h, v)));
  CHECK(is_close(hvp([](const Tensor& t) { return sum(t); }, x, v), zeros_like(x)));
}

TEST_CASE_METHOD(CleanRecord, "hvp of a model agrees with differences of its gradients", "[tape][transforms]") {
  const Net net;
  const Net wide = nn::to(net, f64);
  const Tensor x = random::normal({4, 3}, {.dtype = f64});
  const auto loss = [&x](const Net& n) { return mean(square(n(x))); };
  const Gradients direction = grad(loss, wide);
  const Gradients product = hvp(loss, wide, direction);
  const double step = 1e-5;
  const auto moved = [&](double by) {
    Net copy = wide;
    for (auto& [name, p] : nn::parameters(copy)) p->assign(p->value() + by * direction.at(name));
    return grad(loss, copy);
  };
  const Gradients plus = moved(step), minus = moved(-step);
  for (const auto& [name, g] : product) {
    const Tensor difference = (plus.at(name) - minus.at(name)) / (2 * step);
    CHECK(max(abs(g - difference)).item() < 1e-7);
  }
}

TEST_CASE_METHOD(CleanRecord, "transforms have the same bits under an outer tape", "[tape][transforms]") {
  Tensor x = random::normal({8}, {.dtype = f64});
  const auto f = [](const Tensor& t) { return sum(exp(t) * t); };
  const Tensor alone = grad(f, x);
  Tape tape;
  tape.watch(x);
  CHECK(same_bits(grad(f, x), alone));
  CHECK(same_bits(vjp(f, x).pullback(ones(Shape{}, f64)), alone));
}
