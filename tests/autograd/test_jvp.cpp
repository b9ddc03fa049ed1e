// jvp: compositions, what it must refuse, and how it nests with itself and with the walk back. Every op by itself is
// checked by the wall (tests/gradcheck/forward.cpp).
#include "autograd/jvp.h"

#include <memory>

#include "autograd/create.h"
#include "autograd/ops/all.h"
#include "autograd/ops/arrange.h"
#include "autograd/thread_pool.h"
#include "nn/convert.h"
#include "nn/dense.h"
#include "tests/autograd/tape_support.h"
#include "tests/gradcheck/forward.h"

using namespace tape_test;

namespace {

using Tensors = std::vector<Tensor>;

// A user's op with a vjp and no forward rule, of several inputs with several saved tensors.
struct SumOfProducts {
  static constexpr const char* name = "sum_of_products";
  static constexpr const char* doc = "a b + c d";
  using Attributes = NoAttributes;
  static constexpr Uses uses = {reads_input(1), reads_input(0), reads_input(3), reads_input(2)};
  static Shape shape(const Inputs& x, const Attributes&) { return x[0].shape(); }
  static Tensor forward(const Inputs& x, Attributes&, const Shape&) {
    return no_tape([&] { return x[0] * x[1] + x[2] * x[3]; });
  }
  static void vjp(Walk& w, const Attributes&, const Tensor& g) {
    for (int k = 0; k < 4; ++k) {
      if (w.needs(k)) w.give(k, g * w.input(k ^ 1));
    }
  }
  static std::vector<Sample<Attributes>> samples() {
    return {{{wave({3}, 0.3), wave({3}, 0.5), wave({3}, 0.7), wave({3}, 0.9)}, {}}};
  }
};

// A forward rule that returns something of another shape, or reads a tangent that is not there.
struct WrongShape {
  static constexpr const char* name = "wrong_shape";
  static constexpr const char* doc = "x + y, with a wrong forward rule.";
  struct Attributes {
    bool reads_constant = false;
  };
  static constexpr Uses uses = {};
  static Shape shape(const Inputs& x, const Attributes&) { return x[0].shape(); }
  static Tensor forward(const Inputs& x, Attributes&, const Shape&) {
    return no_tape([&] { return x[0] + x[1]; });
  }
  static void vjp(Walk& w, const Attributes&, const Tensor& g) {
    w.give(0, g);
    w.give(1, g);
  }
  static void jvp(Tangents& t, const Attributes& a) { t.give(a.reads_constant ? t[1] : sum(t[0])); }
  static std::vector<Sample<Attributes>> samples() { return {}; }
};

// Central differences of f along v.
Tensor difference(const Function& f, const Tensor& x, const Tensor& v) {
  constexpr double step = 1.0 / 65536;
  return (f(x + step * v) - f(x - step * v)) / (2 * step);
}

Tensor jvp_of(const Function& f, const Tensor& x, const Tensor& v) { return jvp(f, x, v).tangent; }

}  // namespace

TEST_CASE_METHOD(CleanRecord, "jvp of a formula", "[tape][jvp]") {
  const auto [y, dy] = jvp([](Arg x) { return sin(x) * x; }, scalar(0.5), scalar(2));
  CHECK(values_of(y)[0] == Approx(std::sin(0.5) * 0.5));
  CHECK(values_of(dy)[0] == Approx(2 * (std::cos(0.5) * 0.5 + std::sin(0.5))));
  const auto [z, dz] = jvp([](Arg x) { return x * x; }, 3.0, 1);
  CHECK(z.dtype() == f32);
  CHECK(dz.span<const float>()[0] == 6);
}

TEST_CASE_METHOD(CleanRecord, "jvp of several inputs along one direction", "[tape][jvp]") {
  const auto f = [](const Tensors& x) { return matmul(x[0], x[1]) + x[2]; };
  const Tensors x{wave({2, 3}, 0.3), wave({3, 2}, 0.4), wave({2}, 0.5)};
  const Tensors v{wave({2, 3}, 0.6), wave({3, 2}, 0.7), wave({2}, 0.8)};
  const auto [y, dy] = jvp(f, x, v);
  CHECK(is_close(y, f(x)));
  CHECK(is_close(dy, matmul(v[0], x[1]) + matmul(x[0], v[1]) + v[2]));
  // The same tensor twice is two inputs.
  const auto product = [](const Tensors& p) { return p[0] * p[1]; };
  CHECK(is_close(jvp(product, {x[0], x[0]}, {v[0], 3 * v[0]}).tangent, 4 * v[0] * x[0]));
}

TEST_CASE_METHOD(CleanRecord, "jvp of a network against differences and its gradients", "[tape][jvp]") {
  const nn::Dense first = nn::to(nn::Dense{4, 5}, f64);
  const nn::Dense second = nn::to(nn::Dense{5, 3}, f64);
  const Function f = [&](const Tensor& x) { return log_softmax(second(tanh(first(x)))); };
  const Tensor x = wave({6, 4}, 0.3);
  const Tensor v = wave({6, 4}, 0.7);
  const auto [y, dy] = jvp(f, x, v);
  CHECK(same_bits(y, f(x)));
  CHECK(is_close(dy, difference(f, x, v), 1e-8));

  const Tensor of_layer = jvp(first, x, v).tangent;
  CHECK(is_close(of_layer, matmul(v, transpose(first.weight))));

  const Tensor g = wave({6, 3}, 0.9);
  Tape tape;
  Tensor watched = x;
  tape.watch(watched);
  const Tensor back = tape.gradient(f(watched), watched, {.seed = g});
  CHECK(values_of(sum(g * dy))[0] == Approx(values_of(sum(back * v))[0]).epsilon(1e-12));
}

TEST_CASE_METHOD(CleanRecord, "jvp broadcasts tangents as it does inputs", "[tape][jvp]") {
  const Tensor matrix = wave({3, 4}, 0.3);
  const Tensor x = wave({4}, 0.5);
  const Tensor v = wave({4}, 0.8);
  for (const Function& f : std::initializer_list<Function>{
           [&](const Tensor& t) { return t + matrix; }, [&](const Tensor& t) { return matrix - t; },
           [&](const Tensor& t) { return t * matrix; },
           [&](const Tensor& t) {
             return atan2(t, reshape(t, {4, 1}));
           },
           [&](const Tensor& t) { return where(matrix > 0, t, matrix); },
           [&](const Tensor& t) { return lerp(matrix, t, 0.3) + t; }}) {
    const auto [y, dy] = jvp(f, x, v);
    CHECK(dy.shape() == y.shape());
    CHECK(is_close(dy, difference(f, x, v), 1e-8));
  }
}

TEST_CASE_METHOD(CleanRecord, "indices, labels and other dtypes on the way", "[tape][jvp]") {
  const Tensor x = wave({5, 4}, 0.3);
  const Tensor v = wave({5, 4}, 0.7);
  const Tensor rows = Tensor::from<std::int64_t>({4, 0, 0});
  const Tensor labels = Tensor::from<std::int64_t>({3, 1, 2});
  const Function f = [&](const Tensor& t) {
    return cross_entropy(take(t * rows.to(f64).slice(0, 0, 1), rows), labels);
  };
  CHECK(is_close(jvp_of(f, x, v), difference(f, x, v), 1e-8));
  const auto [y, dy] = jvp([](Arg t) { return square(t.tensor().to(f32)); }, x, v);
  CHECK(dy.dtype() == f32);
  CHECK(is_close(dy.to(f64), 2 * x * v, 1e-6));
}

TEST_CASE_METHOD(CleanRecord, "where y does not depend on x its tangent is zero", "[tape][jvp]") {
  const Tensor x = wave({3}, 0.3);
  const Tensor v = wave({3}, 0.5);
  const Tensor other = wave({2, 2}, 0.7);
  const auto is_zero = [](const ValueAndTangent& r) {
    return r.tangent.shape() == r.value.shape() && r.tangent.dtype() == r.value.dtype() &&
           same_bits(r.tangent, zeros(r.value.shape(), r.value.dtype()));
  };
  CHECK(is_zero(jvp([&](Arg) { return other; }, x, v)));
  CHECK(is_zero(jvp([&](Arg) { return tanh(other); }, x, v)));
  CHECK(is_zero(jvp([&](Arg t) { return t > 0; }, x, v)));
  CHECK(is_zero(jvp([&](Arg t) { return argmax(t); }, x, v)));
  CHECK(is_zero(jvp([&](Arg t) { return floor(t); }, x, v)));
  CHECK(is_zero(jvp([&](Arg t) { return stop_gradient(t) * 2; }, x, v)));
  CHECK(is_zero(jvp([&](Arg t) { return no_tape([&] { return exp(t); }); }, x, v)));
  CHECK(is_zero(jvp(
      [&](Arg t) {
        const Tape::Pause pause;
        return t.tensor() * t.tensor();
      },
      x, v)));
  CHECK(same_bits(jvp([](Arg t) { return t; }, x, v).tangent, v));
}

TEST_CASE_METHOD(CleanRecord, "what is paused is a constant in the rest", "[tape][jvp]") {
  const auto f = [](Arg x) { return x * no_tape([&] { return exp(x); }); };
  CHECK(values_of(jvp(f, scalar(0.5), scalar(1)).tangent)[0] == Approx(std::exp(0.5)));
}

TEST_CASE_METHOD(CleanRecord, "parameters inside the function are constants of a jvp", "[tape][jvp]") {
  const Parameter p(scalar(3));
  CHECK(values_of(jvp([&](Arg x) { return x * p; }, scalar(2), scalar(1)).tangent)[0] == 3);
  // Also the one at which the derivative is taken.
  const auto f = [&](Arg x) { return x * x * p; };
  CHECK(values_of(jvp(f, p, scalar(1)).tangent)[0] == 18);
  // An outer tape reaches the parameter in both ways.
  Tape tape;
  const Tensor dy = jvp(f, p, scalar(1)).tangent;
  CHECK(values_of(dy)[0] == 18);
  CHECK(values_of(tape.gradient(dy, p))[0] == 12);  // (2 p p)' = 4 p
}

TEST_CASE_METHOD(CleanRecord, "jvp names what does not fit", "[tape][jvp]") {
  const auto f = [](Arg x) { return exp(x); };
  const Tensor x = wave({3}, 0.3);
  const Tensor f32_ones = ones({3});
  const Tensor integers = Tensor::from<std::int64_t>({1, 2, 3});
  const auto of_list = [](const Tensors& list) { return list[0]; };
  const auto nothing = [](Arg) { return Tensor(); };
  std::string text = error_of([&] { jvp(f, x, wave({4}, 0.3)); });
  const std::string equal = "; shapes and dtypes must be equal";
  CHECK(text == "jvp: input is f64[3] and its direction f64[4], at " + here(__LINE__ - 2) + equal);
  text = error_of([&] { jvp(f, x, f32_ones); });
  CHECK(text == "jvp: input is f64[3] and its direction f32[3], at " + here(__LINE__ - 1) + equal);
  text = error_of([&] { jvp(f, integers, integers); });
  CHECK(text == "jvp: input is i64[3] and has no tangent, at " + here(__LINE__ - 1) +
                    "; convert it with to(f32), or let the function capture it");
  text = error_of([&] { jvp(f, Tensor(), x); });
  CHECK(text == "jvp: input is an empty handle, at " + here(__LINE__ - 1));
  text = error_of([&] { jvp(f, x, Tensor()); });
  CHECK(text == "jvp: direction is an empty handle, at " + here(__LINE__ - 1));
  text = error_of([&] { jvp(of_list, Tensors{x, x}, Tensors{x}); });
  CHECK(text == "jvp: 1 directions for 2 inputs, at " + here(__LINE__ - 1));
  text = error_of([&] { jvp(of_list, Tensors{x, x}, Tensors{x, f32_ones}); });
  CHECK(text == "jvp: input 1 is f64[3] and its direction f32[3], at " + here(__LINE__ - 1) + equal);
  text = error_of([&] { jvp(of_list, Tensors{}, Tensors{}); });
  CHECK(text == "jvp: there are no inputs, at " + here(__LINE__ - 1));
  text = error_of([&] { jvp(nothing, x, x); });
  CHECK(text == "jvp: the function returned an empty handle, at " + here(__LINE__ - 1));
}

TEST_CASE_METHOD(CleanRecord, "an error in the function has the line of the jvp, and leaves the tapes as they were",
                 "[tape][jvp]") {
  const nn::Dense dense{3, 2};
  CHECK(error_of([&] { jvp(dense, ones({5}), ones({5})); }).find(here(__LINE__)) != std::string::npos);
  CHECK(record_is_empty());
  Tape tape;
  Tensor x = scalar(2);
  tape.watch(x);
  CHECK_THROWS_AS(jvp([](Arg) -> Tensor { throw 3; }, x, x), int);
  CHECK(detail::record.recording == &tape);
  CHECK(detail::record.slots_size == 0);
  CHECK(values_of(tape.gradient(x * x, x))[0] == 4);
}

TEST_CASE_METHOD(CleanRecord, "what a forward rule reads must not have changed", "[tape][jvp]") {
  int line = 0;
  const auto f = [&](Arg x) {
    Tensor factor = ones({3}, f64);
    Tensor y = matmul(x, factor);
    line = __LINE__ + 1;
    factor.span<double>()[0] = 2;
    return y;
  };
  const std::string text = error_of([&] { jvp(f, wave({3}, 0.3), wave({3}, 0.5)); });
  CHECK(text.find("`matmul` at ") == 0);
  CHECK(text.find("changed it") != std::string::npos);
  CHECK(text.find(here(line)) != std::string::npos);
  CHECK(record_is_empty());
}

TEST_CASE_METHOD(CleanRecord, "only what leads to the result is swept", "[tape][jvp]") {
  const auto used = [](Arg x) {
    const Tensor unused = exp(sin(cos(x)));
    return x * 2;
  };
  const auto calls = [] { return Tape().statistics().rule_calls; };
  const std::uint64_t before = calls();
  CHECK(same_bits(jvp(used, scalar(1), scalar(3)).tangent, scalar(6)));
  CHECK(calls() - before == 1);
  for (const bool leads_there : {false, true}) {
    const auto f = [&](Arg x) {
      Tensor factor = ones({3}, f64);
      const Tensor side = x * factor;
      factor.span<double>()[0] = 2;
      return leads_there ? side : x + 1;
    };
    const bool throws = error_of([&] { jvp(f, wave({3}, 0.3), wave({3}, 0.5)); }) != "no error";
    CHECK(throws == leads_there);
  }
}

TEST_CASE_METHOD(CleanRecord, "a rule that gives something unfit is named", "[tape][jvp]") {
  const Tensor x = wave({3}, 0.3);
  const auto f = [&](bool reads_constant) {
    return [=](Arg t) { return apply<WrongShape>({reads_constant}, t, Arg(x)); };
  };
  CHECK(error_of([&] { jvp(f(false), x, x); }).find("wrong_shape: its jvp rule gave f64[] for a result f64[3], at") ==
        0);
  CHECK(error_of([&] {
          jvp(f(true), x, x);
        }).find("wrong_shape: its jvp rule reads the tangent of input 1, which is a constant, at") == 0);
}

TEST_CASE_METHOD(CleanRecord, "an op without a forward rule has a jvp all the same", "[tape][jvp]") {
  const auto op = [](const Tensors& x) { return apply_to_all<SumOfProducts>({}, x, SourceLocation::current()); };
  const Tensors x = SumOfProducts::samples()[0].inputs;
  const tests::ForwardCheck check = tests::check_forward({x, op}, x, true);
  INFO((check.faults.empty() ? "" : check.faults[0]));
  CHECK(check.faults.empty());
  CHECK(check.worst < 1e-7);
  // One tensor in all places.
  const auto square_twice = [&](Arg t) { return op({t, t, t, t}); };
  CHECK(is_close(jvp(square_twice, x[0], x[1]).tangent, 4 * x[0] * x[1]));
  // Only the fourth place.
  const auto last = [&](Arg t) { return op({x[0], x[1], x[2], t}); };
  CHECK(is_close(jvp(last, x[3], x[1]).tangent, x[2] * x[1]));
}

TEST_CASE_METHOD(CleanRecord, "perturbations are not confused", "[tape][jvp]") {
  const Tensor one = scalar(1);
  const auto d = [&](const Function& f) -> Function { return [=](const Tensor& x) { return jvp_of(f, x, one); }; };
  // d/dx (x d/dy (x + y)) at x = 1, y = 1: 1. Confused, it would be 2.
  for (const bool outer_forward : {true, false}) {
    for (const bool inner_forward : {true, false}) {
      const Function f = [&](const Tensor& x) {
        const Function inner = [&](const Tensor& y) { return x + y; };
        return x * (inner_forward ? d(inner) : grad(inner))(one);
      };
      CHECK(values_of((outer_forward ? d(f) : grad(f))(one))[0] == 1);
    }
  }
  // d/dx (x d/dy (x y)) at x = 3: 2 x = 6; with y = x passed on, d/dx (x d/dy (y y)) = 4 x.
  for (const bool outer_forward : {true, false}) {
    for (const bool inner_forward : {true, false}) {
      const auto inner_derivative = [&](const Function& f) { return inner_forward ? d(f) : grad(f); };
      const auto outer_derivative = [&](const Function& f) { return outer_forward ? d(f) : grad(f); };
      const Function product = [&](const Tensor& x) {
        return x * inner_derivative([&](const Tensor& y) { return x * y; })(scalar(5));
      };
      CHECK(values_of(outer_derivative(product)(scalar(3)))[0] == 6);
      const Function square_of = [&](const Tensor& x) {
        return x * inner_derivative([&](const Tensor& y) { return y * y; })(x);
      };
      CHECK(values_of(outer_derivative(square_of)(scalar(3)))[0] == 12);
    }
  }
}

TEST_CASE_METHOD(CleanRecord, "derivatives of tanh up to the third, in every mixture of directions", "[tape][jvp]") {
  const double x = 0.4;
  const double t = std::tanh(x);
  const double third = -2 * (1 - t * t) * (1 - 3 * t * t);
  for (int mixture = 0; mixture < 8; ++mixture) {
    Function f = [](const Tensor& at) { return tanh(at); };
    for (int order = 0; order < 3; ++order) {
      if (mixture >> order & 1) {
        f = [f](const Tensor& at) { return jvp_of(f, at, scalar(1)); };
      } else {
        f = grad(f);
      }
    }
    CHECK(values_of(f(scalar(x)))[0] == Approx(third).epsilon(1e-12));
  }
}

TEST_CASE_METHOD(CleanRecord, "Hessian times vector in three ways against a known Hessian", "[tape][jvp]") {
  // f(x) = sum(x^4) / 12 + (b' x)^2 / 2: H = diag(x^2) + b b'
  const Tensor b = wave({5}, 0.9);
  const Function f = [&](const Tensor& x) {
    const Tensor projection = matmul(b, x);
    return sum(square(square(x))) / 12 + square(projection) / 2;
  };
  const Tensor x = wave({5}, 0.3);
  const Tensor v = wave({5}, 0.7);
  const Tensor expected = square(x) * v + b * matmul(b, v);
  CHECK(is_close(jvp_of(grad(f), x, v), expected));  // forward over reverse
  CHECK(is_close(grad([&](const Tensor& t) { return jvp_of(f, t, v); })(x), expected));
  CHECK(is_close(grad([&](const Tensor& t) { return sum(grad(f)(t) * v); })(x), expected));
  // v' H v, forward over forward
  const Tensor curvature = jvp_of([&](const Tensor& t) { return jvp_of(f, t, v); }, x, v);
  CHECK(is_close(curvature, sum(v * expected)));
}

TEST_CASE_METHOD(CleanRecord, "a tangent can be differentiated with respect to the direction", "[tape][jvp]") {
  const Tensor x = wave({4}, 0.3);
  const Tensor v = wave({4}, 0.7);
  const Function f = [](const Tensor& t) { return softmax(t); };
  const Tensor g = wave({4}, 0.9);
  // <g, J v> is linear in v, and its gradient is J' g.
  const Tensor pulled_back = grad([&](const Tensor& w) { return sum(g * jvp_of(f, x, w)); })(v);
  Tape tape;
  Tensor watched = x;
  tape.watch(watched);
  CHECK(is_close(pulled_back, tape.gradient(f(watched), watched, {.seed = g})));
}

TEST_CASE_METHOD(CleanRecord, "jvp under a tape that is paused, persistent, or walked inside", "[tape][jvp]") {
  const Function f = [](const Tensor& x) { return exp(x) * x; };
  const Tensor x = wave({3}, 0.3);
  const Tensor v = wave({3}, 0.7);
  const Tensor alone = jvp_of(f, x, v);
  {
    Tape outer;
    Tensor watched = x;
    outer.watch(watched);
    const Tape::Pause pause;
    CHECK(same_bits(jvp_of(f, watched, v), alone));
  }
  {
    Tape outer{{.persistent = true}};
    Tensor watched = x;
    outer.watch(watched);
    const Tensor dy = jvp_of(f, watched, v);
    CHECK(same_bits(dy, alone));
    const Tensor once = outer.gradient(sum(dy), watched);
    CHECK(same_bits(once, outer.gradient(sum(dy), watched)));
    CHECK(is_close(once, exp(x) * (x + 2) * v));
  }
  {
    // The function walks the outer tape, over what the sweep still needs.
    Tape outer;
    Tensor watched = x;
    outer.watch(watched);
    const Function walks = [&](const Tensor& t) {
      const Tensor y = f(t);
      outer.gradient(sum(y), watched);
      return y;
    };
    CHECK(error_of([&] { jvp_of(walks, watched, v); }).find("was walked inside the function") != std::string::npos);
  }
  {
    auto outer = std::make_unique<Tape>();
    const Function ends = [&](const Tensor& t) {
      outer.reset();
      return t * t;
    };
    std::string error;
    const std::string text = standard_error_of([&] { error = error_of([&] { jvp_of(ends, x, v); }); });
    CHECK(text.find("still open") != std::string::npos);
    CHECK(error.find("jvp: a tape that was open around it has ended inside the function") == 0);
  }
}

TEST_CASE_METHOD(CleanRecord, "a walk and a sweep over the same entries", "[tape][jvp]") {
  Tape outer;
  Tensor x = wave({3}, 0.3);
  outer.watch(x);
  const auto [y, dy] = jvp([](Arg t) { return exp(t) * t; }, x, ones({3}, f64));
  // Both the value and the tangent depend on x.
  const Tensor g = outer.gradient(sum(y) + sum(dy), x);
  CHECK(is_close(g, exp(x) * (x + 1) + exp(x) * (x + 2)));
}

TEST_CASE_METHOD(CleanRecord, "the bits of a jvp do not depend on the threads or on an outer tape", "[tape][jvp]") {
  const nn::Dense dense{130, 90};
  const Function f = [&](const Tensor& x) { return logsumexp(tanh(dense(x)), {.axis = 0}); };
  const Tensor x = wave({200, 130}, 0.31).to(f32);
  const Tensor v = wave({200, 130}, 0.77).to(f32);
  const int before = num_threads();
  set_num_threads(1);
  const Tensor one = jvp_of(f, x, v);
  for (const int threads : {1, 2, 3}) {
    set_num_threads(threads);
    CHECK(same_bits(jvp_of(f, x, v), one));
    Tape tape;
    Tensor watched = x;
    tape.watch(watched);
    CHECK(same_bits(jvp_of(f, watched, v), one));
  }
  set_num_threads(before);
}
