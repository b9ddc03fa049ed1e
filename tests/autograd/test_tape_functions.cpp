// custom_vjp, on_gradient and check_finite: what users hang into a walk.
#include <cmath>
#include <limits>
#include <sstream>
#include <stdexcept>

#include "autograd/checkpoint.h"
#include "autograd/custom_vjp.h"
#include "autograd/gradcheck.h"
#include "autograd/transforms.h"
#include "nn/dense.h"
#include "tests/autograd/tape_support.h"

using namespace tape_test;

namespace {
bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }
}  // namespace

// ---- custom_vjp ----

TEST_CASE_METHOD(CleanRecord, "a rule in the place of the derivative", "[tape][custom_vjp]") {
  const auto through = custom_vjp(
      "sign_through", [](const Tensor& x) { return sign(x); },
      [](const Tensor& g, const Tensor&, const Tensor&) { return g; });
  const Tensor x = wave({4}, 1.1);
  CHECK(same_bits(through(x), sign(x)));
  CHECK(is_close(grad([&](const Tensor& v) { return sum(through(v) * 3); }, x), full_like(x, 3)));

  const auto squared = custom_vjp(
      "squared", [](const Tensor& v) { return v * v; },
      [](const Tensor& g, const Tensor& v, const Tensor&) { return 2 * v * g; });
  CHECK(gradcheck([&](const Tensor& v) { return squared(v); }, x));
  CHECK(is_close(hessian([&](const Tensor& v) { return sum(squared(v)); }, x), 2 * eye(4, f64)));

  CHECK(is_close(jvp(squared, x, x).tangent, 2 * x * x));

  const auto from_result = custom_vjp(
      "exponential", [](const Tensor& v) { return exp(v); },
      [](const Tensor& g, const Tensor&, const Tensor& y) { return g * y; });
  CHECK(gradcheck([&](const Tensor& v) { return from_result(v); }, x));
}

TEST_CASE_METHOD(CleanRecord, "a rule of several inputs, with broadcasting", "[tape][custom_vjp]") {
  using Pair = std::array<Tensor, 2>;
  const auto product = custom_vjp(
      "product", [](const Tensor& a, const Tensor& b) { return a * b; },
      [](const Tensor& g, const Tensor& a, const Tensor& b, const Tensor&) -> Pair {
        return {g * b, g * a};
      });
  CHECK(gradcheck([&](const Tensor& a, const Tensor& b) { return product(a, b); }, wave({3, 2}, 0.3), wave({2}, 0.9)));
  const auto one_sided = custom_vjp(
      "one_sided", [](const Tensor& a, const Tensor& b) { return a * b; },
      [](const Tensor& g, const Tensor&, const Tensor& b, const Tensor&) -> Pair {
        return {g * b, Tensor()};
      });
  Tape tape;
  Tensor a = wave({3}, 0.5), b = wave({3}, 0.7);
  tape.watch(a);
  tape.watch(b);
  CHECK(is_close(tape.gradient(sum(one_sided(a, b)), a), b));
  CHECK(contains(error_of([&] { tape.gradient(sum(one_sided(a, b)), b); }), "does not depend on"));

  using Three = std::array<Tensor, 3>;
  const auto fused = custom_vjp(
      "fused", [](const Tensor& x, const Tensor& y, const Tensor& z) { return x * y + z; },
      [](const Tensor& g, const Tensor& x, const Tensor& y, const Tensor&, const Tensor&) -> Three {
        return {g * y, g * x, g};
      });
  CHECK(gradcheck([&](const Tensor& x, const Tensor& y, const Tensor& z) { return fused(x, y, z); }, wave({3}, 0.3),
                  wave({3}, 0.9), wave({3}, 0.4)));
}

TEST_CASE_METHOD(CleanRecord, "a custom function is one named entry that outlives its maker", "[tape][custom_vjp]") {
  Tape tape;
  Tensor x = wave({2}, 0.4);
  tape.watch(x);
  Tensor y;
  {
    const std::string name = "short" + std::to_string(1);
    const auto f = custom_vjp(
        name.c_str(), [](const Tensor& v) { return v; },
        [](const Tensor& g, const Tensor&, const Tensor&) { return 5 * g; });
    y = f(x);
  }
  CHECK(tape.size() == 2);
  CHECK(is_close(tape.gradient(sum(y) + sum(x), x), full_like(x, 6)));
  std::ostringstream table;
  tape.print(table);
  CHECK(contains(table.str(), "short1"));

  const auto wrong = custom_vjp(
      "wrong", [](const Tensor& v) { return v * v; },
      [](const Tensor& g, const Tensor&, const Tensor&) {
        return concat({g, g});
      });
  CHECK(error_of([&] { grad([&](const Tensor& v) { return sum(wrong(v)); }, wave({2}, 0.4)); }) != "no error");
  CHECK_FALSE(gradcheck(
      [](const Tensor& v) {
        return custom_vjp(
            "half", [](const Tensor& u) { return u * u; },
            [](const Tensor& g, const Tensor& u, const Tensor&) { return u * g; })(v);
      },
      wave({2}, 0.4)));
}

// ---- on_gradient ----

TEST_CASE_METHOD(CleanRecord, "on_gradient sees the whole gradient, once", "[tape][on_gradient]") {
  Tape tape;
  Tensor x = wave({3}, 0.6);
  tape.watch(x);
  const Tensor h = exp(x);
  int calls = 0;
  Tensor seen;
  tape.on_gradient(h, [&](const Tensor& g) { ++calls, seen = g; });
  const Tensor y = sum(h * h + 3 * h);
  CHECK(is_close(tape.gradient(y, x), (2 * h + 3) * h));
  CHECK(calls == 1);
  CHECK(is_close(seen, 2 * h + 3));
}

TEST_CASE_METHOD(CleanRecord, "on_gradient replaces what flows on, also for parameters", "[tape][on_gradient]") {
  const Parameter p(wave({3}, 0.6));
  Tape tape;
  tape.on_gradient(p, [](const Tensor& g) { return minimum(maximum(g, -0.1), 0.1); });
  tape.on_gradient(p, [](const Tensor& g) { return 2 * g; });
  const Tensor y = sum(100 * p.value());
  CHECK(is_close(tape.gradient(y, p), full({3}, 0.2, f64)));

  Tensor x = wave({3}, 0.6);
  tape.watch(x);
  const Tensor h = x * x;
  tape.on_gradient(h, [](const Tensor& g) { return zeros_like(g); });
  CHECK(is_close(tape.gradient(sum(h) + sum(x), x), ones_like(x)));
}

TEST_CASE_METHOD(CleanRecord, "on_gradient under higher order, and what it refuses", "[tape][on_gradient]") {
  Tensor x = wave({3}, 0.6);
  Tape outer;
  outer.watch(x);
  Tensor slope;
  {
    Tape inner;
    Tensor u = x;
    inner.watch(u);
    const Tensor h = u * u;
    inner.on_gradient(h, [](const Tensor& g) { return g * g; });
    slope = inner.gradient(sum(h * h), u);  // (2h)^2 2u = 8 u^5
  }
  CHECK(is_close(outer.gradient(sum(slope), x), 40 * x * x * x * x));

  const auto hook = [](const Tensor& g) { return g; };
  CHECK(contains(error_of([&] { outer.on_gradient(wave({2}, 1), hook); }), "on_gradient: f64[2] is not on this tape"));
  CHECK(contains(error_of([&] { outer.on_gradient(Tensor(), hook); }), "empty handle"));
  const Tensor h = exp(x);
  outer.on_gradient(h, [](const Tensor&) { return zeros({7}); });
  CHECK(contains(error_of([&] { outer.gradient(sum(h), x); }), "returned f32[7] for a gradient f64[3]"));
}

TEST_CASE_METHOD(CleanRecord, "functions of a gradient end with their tape, and may throw", "[tape][on_gradient]") {
  Tensor x = wave({3}, 0.6);
  std::string order;
  {
    Tape outer;
    outer.watch(x);
    {
      Tape inner;
      Tensor u = x;
      inner.watch(u);
      inner.on_gradient(u, [&](const Tensor&) { order += "1"; });
      inner.on_gradient(u, [&](const Tensor&) { order += "2"; });
      static_cast<void>(inner.gradient(sum(u * u), u));
    }
    CHECK(order == "12");
    static_cast<void>(outer.gradient(sum(x * x), x));
    CHECK(order == "12");
  }
  {
    Tape tape;
    tape.watch(x);
    int added = 0;
    tape.on_gradient(x, [&](const Tensor&) {
      for (int k = 0; k < 50; ++k) tape.on_gradient(x, [&added](const Tensor&) { ++added; });
    });
    static_cast<void>(tape.gradient(sum(x * x), x));
    CHECK(added == 0);  // they are for walks to come
  }
  const Parameter p(wave({3}, 0.6));
  Tape tape{{.persistent = true}};
  const Tensor y = sum(exp(p.value()));
  bool throws = true;
  tape.on_gradient(p, [&](const Tensor&) {
    if (throws) throw std::runtime_error("from a hook");
  });
  CHECK_THROWS_WITH(tape.gradient(y, p), "from a hook");
  CHECK(same_bits(p.value(), wave({3}, 0.6)));
  throws = false;
  CHECK(is_close(tape.gradient(y, p), exp(p.value())));
}

// ---- check_finite ----

TEST_CASE_METHOD(CleanRecord, "check_finite names the first op that is not finite", "[tape][check_finite]") {
  Tape tape{{.check_finite = true}};
  Tensor x = Tensor::from({1.0, 0.0, 4.0, -1.0}, {2, 2});
  tape.watch(x);
  const auto line = std::source_location::current().line() + 1;
  const std::string message = error_of([&] { static_cast<void>(log(x)); });
  CHECK(contains(message,
                 "log: the result is f64[2, 2] with 1 NaN and 1 infinity, the first at [0, 1], the others in [0, "));
  CHECK(contains(message, "input 0 is f64[2, 2] in [-1, 4]"));
  CHECK(contains(message, here(static_cast<int>(line))));
  CHECK(is_close(tape.gradient(sum(x * x), x), 2 * x));  // the tape goes on
}

TEST_CASE_METHOD(CleanRecord, "check_finite looks at gradients, too", "[tape][check_finite]") {
  Tape tape{{.check_finite = true}};
  Tensor x = Tensor::from({4.0, 0.0});
  tape.watch(x);
  const auto line = std::source_location::current().line() + 1;
  const Tensor y = sum(sqrt(x));
  const std::string message = error_of([&] { tape.gradient(y, x); });
  CHECK(contains(message, "sqrt: backward: the gradient of input 0 is f64[2] with 1 infinity, the first at [1]"));
  CHECK(contains(message, here(static_cast<int>(line))));
}

TEST_CASE_METHOD(CleanRecord, "check_finite names the first bad op of second order", "[tape][check_finite]") {
  Tape outer{{.check_finite = true}};
  Tensor x = Tensor::from({4.0, 0.0});
  outer.watch(x);
  Tape inner;
  Tensor u = x;
  inner.watch(u);
  const auto line = std::source_location::current().line() + 1;
  const Tensor y = sum(pow(u, 1.5));  // with a finite slope, 1.5 sqrt(u)
  const std::string message = error_of([&] {
    const Tensor slope = inner.gradient(y, u);
    static_cast<void>(outer.gradient(sum(slope), x));
  });
  INFO(message);
  CHECK(contains(message, "backward: the gradient of input 0 is f64[2] with 1 infinity, the first at [1]"));
  CHECK(contains(message, here(static_cast<int>(line))));
}

TEST_CASE_METHOD(CleanRecord, "check_finite names the layer, and ends with its tape", "[tape][check_finite]") {
  struct Net {
    nn::Dense hidden{2, 2};
  } net;
  nn::name(net);
  const Tensor bad = full({1, 2}, std::numeric_limits<double>::infinity(), f32);
  {
    Tape outer;
    {
      const Tape tape{{.check_finite = true}};
      CHECK(contains(error_of([&] { net.hidden(bad); }), ", in hidden, "));
      const Tape inner;  // inside, it is checked as well
      CHECK(error_of([&] { net.hidden(bad); }) != "no error");
    }
    CHECK(error_of([&] { net.hidden(bad); }) == "no error");
  }
  Tape tape;
  CHECK(error_of([&] { net.hidden(bad); }) == "no error");
  CHECK_FALSE(detail::record.checks_finite);
}
