// Higher derivatives by nested tapes.
#include "tests/autograd/random_dag.h"

namespace tape_test {

TEST_CASE_METHOD(CleanRecord, "derivatives of x^4 up to the fourth", "[tape][orders]") {
  const Function f = [](const Tensor& x) { return x * x * x * x; };
  const Tensor x = scalar(1.5);
  CHECK(grad(f)(x).item() == Approx(4 * std::pow(1.5, 3)).epsilon(1e-14));
  CHECK(grad(grad(f))(x).item() == Approx(12 * 1.5 * 1.5).epsilon(1e-14));
  CHECK(grad(grad(grad(f)))(x).item() == Approx(24 * 1.5).epsilon(1e-14));
  CHECK(grad(grad(grad(grad(f))))(x).item() == Approx(24).epsilon(1e-14));
}

TEST_CASE_METHOD(CleanRecord, "derivatives of tanh up to the third", "[tape][orders]") {
  const Function f = [](const Tensor& x) { return tanh(x); };
  const Tensor x = scalar(0.3);
  const double t = std::tanh(0.3);
  const double s = 1 - t * t;
  CHECK(grad(f)(x).item() == Approx(s).epsilon(1e-14));
  CHECK(grad(grad(f))(x).item() == Approx(-2 * t * s).epsilon(1e-14));
  CHECK(grad(grad(grad(f)))(x).item() == Approx(-2 * s * s + 4 * t * t * s).epsilon(1e-13));
}

TEST_CASE_METHOD(CleanRecord, "third derivatives of a user's pointwise formula", "[tape][orders]") {
  static const auto swish = pointwise("swish", [](auto x) { return x * sigmoid(x); });
  const Function f = [](const Tensor& x) { return swish(x); };
  const Tensor x = scalar(0.4);
  // The third by differences of the second, of fourth order.
  const auto second = [&](const std::vector<Tensor>& at) { return grad(grad(f))(at[0]).item(); };
  CHECK(is_close(grad(grad(grad(f)))(x), numeric_gradient(second, {x}, 0), 1e-9));
}

TEST_CASE_METHOD(CleanRecord, "no perturbation confusion", "[tape][orders]") {
  const Tensor one = scalar(1);
  // d/dx [x * d/dy (x + y)] = 1: the inner derivative is 1, not 2.
  const Function outer = [&](const Tensor& x) { return x * grad([&](const Tensor& y) { return x + y; })(one); };
  CHECK(grad(outer)(one).item() == 1);
  // d/dx [x * d/dy (x y) at y = x] = d/dx [x * x] = 2 x
  const Function product = [&](const Tensor& x) { return x * grad([&](const Tensor& y) { return x * y; })(x); };
  CHECK(grad(product)(scalar(3)).item() == 6);
  // d/dx [d/dy (x y^2) at y = x] = d/dx [2 x^2] = 4 x
  const Function mixed = [&](const Tensor& x) { return grad([&](const Tensor& y) { return x * y * y; })(x); };
  CHECK(grad(mixed)(scalar(3)).item() == 12);
}

TEST_CASE_METHOD(CleanRecord, "an inner tape sees nothing older than its marker", "[tape][orders]") {
  Tensor x = scalar(2);
  Tape outer;
  outer.watch(x);
  Tensor z = x * x;
  Tensor g;
  {
    Tape inner;
    CHECK(error_of([&] { inner.gradient(z * z, z); }).find("does not depend") != std::string::npos);
    inner.watch(z);
    g = inner.gradient(z * z * z, z);  // 3 z^2
  }
  CHECK(g.item() == 48);
  CHECK(outer.gradient(g, x).item() == 12 * 8);  // d/dx 3 x^4
}

TEST_CASE_METHOD(CleanRecord, "a parameter is a leaf of every tape that is open", "[tape][orders]") {
  const Parameter w(scalar(2));
  Tape outer;
  const Tensor before = w * w;  // the parameter is entered before the inner tape
  Tensor slope;
  {
    Tape inner;
    slope = inner.gradient(w * w * w, w);  // 3 w^2
  }
  CHECK(slope.item() == 12);
  CHECK(outer.gradient(slope * before, w).item() == 12 * 8);  // d/dw 3 w^4
}

TEST_CASE_METHOD(CleanRecord, "the outer tape's gradient while an inner one is open", "[tape][orders]") {
  const Parameter w(scalar(2));
  Tape outer;
  const Tensor y = w * w;
  Tape inner;
  const Tensor z = y * w;
  CHECK(outer.gradient(z, w).item() == 12);
}

namespace {

// A bit more than a random graph: the same tensor in both slots of an op whose two gradients differ, added to one more.
Tensor accumulating(const Tensor& x) {
  static const auto uneven = pointwise("uneven", [](auto a, auto b) { return a * exp(b); });
  static const auto three = pointwise("three", [](auto a, auto b, auto c) { return a * exp(b) * tanh(c); });
  return sum(uneven(x, x) + three(x, x, x) * sigmoid(x) + tanh(x));
}

}  // namespace

TEST_CASE_METHOD(CleanRecord, "an inner gradient has the same bits with and without an outer tape", "[tape][orders]") {
  for (const std::int64_t n : {1, 8, 100, 1000, 5000}) {
    const Tensor x = wave({n}, 0.37) * 2.0;
    const Tensor alone = grad(accumulating)(x);
    Tape outer;
    Tensor watched = x;
    outer.watch(watched);
    CHECK(same_bits(grad(accumulating)(x), alone));
    CHECK(same_bits(grad(accumulating)(watched), alone));
  }
  for (unsigned seed = 0; seed < 300; ++seed) {
    const RandomDag dag(seed);
    const std::vector<Tensor> alone = dag.gradients(dag.inputs());
    Tape outer;
    std::vector<Tensor> x = dag.inputs();
    for (Tensor& t : x) outer.watch(t);
    const std::vector<Tensor> nested = dag.gradients(x);
    for (std::size_t k = 0; k < alone.size(); ++k) {
      INFO("graph " << seed << ", input " << k);
      REQUIRE(alone[k].defined() == nested[k].defined());
      if (alone[k].defined()) CHECK(same_bits(alone[k], nested[k]));
    }
  }
}

TEST_CASE_METHOD(CleanRecord, "the Hessian of a small network is symmetric, and hvp is Hessian times vector",
                 "[tape][orders]") {
  const Tensor a = wave({4, 3}, 1.1);
  const Tensor b = wave({4}, 0.4);
  const Function f = [&](const Tensor& x) { return sum(square(tanh(matmul(a, x) + b))) + exp(sum(x * x) * 0.5); };
  const Tensor x = wave({3}, 2.3);
  const auto gradient_times = [&](const Tensor& v) {
    return [&f, v](const Tensor& at) { return sum(grad(f)(at) * v); };
  };
  const Tensor units = eye(3, f64);
  std::vector<Tensor> rows;
  for (std::int64_t i = 0; i < 3; ++i) rows.push_back(grad(gradient_times(reshape(units.slice(0, i, i + 1), {3})))(x));
  const Tensor hessian = stack(rows);
  CHECK(is_close(hessian, transpose(hessian).clone(), 1e-13));
  const Tensor u = wave({3}, 0.9);
  CHECK(is_close(grad(gradient_times(u))(x), matmul(hessian, u), 1e-13));
  const auto first = [&](const std::vector<Tensor>& at) { return sum(grad(f)(at[0]) * u).item(); };
  CHECK(is_close(matmul(hessian, u), numeric_gradient(first, {x}, 0), 1e-9));
}

namespace {

struct Critic {
  Parameter w1{wave({3, 5}, 1.1)};
  Parameter b1{wave({5}, 0.4)};
  Parameter w2{wave({5, 1}, 2.3)};
  Tensor operator()(Arg x) const { return matmul(tanh(matmul(x, w1) + b1), w2); }
};

// WGAN-GP: Gulrajani et al., "Improved Training of Wasserstein GANs", 2017.
Tensor wgan_loss(const Critic& critic, const Tensor& real, const Tensor& fake, const Tensor& mix) {
  Tensor x = lerp(real, fake, mix);
  Tensor slope;
  {
    Tape inner;
    inner.watch(x);
    slope = inner.gradient(sum(critic(x)), x);
  }
  const Tensor penalty = mean(square(norm(slope, {.axis = 1}) - 1));
  return mean(critic(fake)) - mean(critic(real)) + 10 * penalty;
}

}  // namespace

TEST_CASE_METHOD(CleanRecord, "the gradient penalty of WGAN-GP against differences", "[tape][orders]") {
  const Critic critic;
  const Tensor real = wave({4, 3}, 0.7);
  const Tensor fake = wave({4, 3}, 1.9);
  const Tensor mix = square(wave({4, 1}, 0.5));
  Gradients g;
  {
    Tape tape;
    g = tape.gradient(wgan_loss(critic, real, fake, mix), critic);
  }
  CHECK(g.size() == 3);
  const std::vector<Tensor> values{critic.w1.value().clone(), critic.b1.value().clone(), critic.w2.value().clone()};
  const Scalars loss = [&](const std::vector<Tensor>& at) {
    Critic moved;
    moved.w1.assign(at[0]);
    moved.b1.assign(at[1]);
    moved.w2.assign(at[2]);
    return wgan_loss(moved, real, fake, mix).item();
  };
  CHECK(is_close(g[critic.w1], numeric_gradient(loss, values, 0), 1e-8));
  CHECK(is_close(g[critic.b1], numeric_gradient(loss, values, 1), 1e-8));
  CHECK(is_close(g[critic.w2], numeric_gradient(loss, values, 2), 1e-8));
}

TEST_CASE_METHOD(CleanRecord, "second order through a fused cross-entropy", "[tape][orders]") {
  const Tensor labels = Tensor::from<std::int64_t>({2, 0, 1, 2});
  const Tensor v = wave({4, 3}, 1.7);
  const auto slope = [&](const Tensor& x) {
    return sum(grad([&](const Tensor& logits) { return cross_entropy(logits, labels); })(x) * v);
  };
  const Tensor x = wave({4, 3}, 0.9);
  const auto numeric = [&](const std::vector<Tensor>& at) { return slope(at[0]).item(); };
  CHECK(is_close(grad(slope)(x), numeric_gradient(numeric, {x}, 0), 1e-9));
}

TEST_CASE_METHOD(CleanRecord, "second order through an embedding look-up", "[tape][orders]") {
  const Tensor words = Tensor::from<std::int64_t>({2, 0, 2, 1}, {2, 2});
  const Tensor v = wave({4, 3}, 1.7);
  const auto slope = [&](const Tensor& table) {
    const auto f = [&](const Tensor& t) { return sum(exp(sum(take(t, words), {.axis = 1}))); };
    return sum(grad(f)(table) * v);
  };
  const Tensor table = wave({4, 3}, 0.9);
  const auto numeric = [&](const std::vector<Tensor>& at) { return slope(at[0]).item(); };
  CHECK(is_close(grad(slope)(table), numeric_gradient(numeric, {table}, 0), 1e-9));
}

TEST_CASE_METHOD(CleanRecord, "fused ops have the same first-order bits with and without an outer tape",
                 "[tape][orders]") {
  for (const std::int64_t n : {1, 5, 16, 300}) {
    const Tensor x = wave({4, n}, 0.37) * 3.0;
    const Tensor w = wave({4, n}, 0.7);
    const Tensor labels = Tensor::from<std::int64_t>({0, n - 1, n / 2, 0});
    const Function functions[] = {
        [&](const Tensor& t) { return cross_entropy(t, labels); },
        [&](const Tensor& t) { return sum(softmax(t) * w); },
        [&](const Tensor& t) { return sum(log_softmax(t) * w); },
        [&](const Tensor& t) { return sum(norm(t, {.axis = 1})); },
        [&](const Tensor& t) { return sum(max(t, {.axis = 0})) * mean(t); },
        [&](const Tensor& t) { return sum(matmul(t, transpose(t)) * 0.1); },
    };
    for (const Function& f : functions) {
      const Tensor alone = grad(f)(x);
      Tape outer;
      Tensor watched = x;
      outer.watch(watched);
      CHECK(same_bits(grad(f)(watched), alone));
    }
  }
}

TEST_CASE_METHOD(CleanRecord, "the seed can be differentiated: a pullback is linear in it", "[tape][orders]") {
  const Tensor x = wave({3}, 1);
  Tensor seed = wave({3}, 2);
  Tape outer;
  outer.watch(seed);
  Tensor g;
  {
    Tape inner;
    Tensor at = x;
    inner.watch(at);
    g = inner.gradient(at * at, at, {.seed = seed});
  }
  CHECK(is_close(outer.gradient(sum(g), seed), 2 * x));
}

}  // namespace tape_test
