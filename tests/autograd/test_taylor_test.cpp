// The Taylor test: right functions show the rates 1, 2 and 3, wrong ones do not.
#include <cmath>

#include "tests/autograd/gradcheck_support.h"
#include "tests/catch.h"
#include "tests/error_of.h"

using namespace tapegrad;
using namespace tapegrad::tests;

namespace {

// y = x^3, of whose rule a part is hidden from the tape: the gradient is right, the Hessian is not.
struct HidingCube {
  using Attributes = NoAttributes;
  static constexpr const char* name = "hiding_cube";
  static constexpr const char* doc = "x to the power of 3";
  static constexpr Uses uses = {reads_input(0)};
  static Shape shape(const Inputs& x, const Attributes&) { return x[0].shape(); }
  static Tensor forward(const Inputs& x, Attributes&, const Shape&) {
    const Tape::Pause pause;
    return x[0] * x[0] * x[0];
  }
  static void vjp(Walk& w, const Attributes&, const Tensor& g) {
    w.give(0, 3 * g * w.input(0) * stop_gradient(w.input(0)));
  }
  static std::vector<Sample<Attributes>> samples() { return {{{draw({3})}}}; }
};

}  // namespace

TEST_CASE("taylor_test shows the rates 1, 2 and 3", "[gradcheck]") {
  const TaylorReport report = taylor_test([](Arg x) { return exp(x) * tanh(x); }, draw({3, 2}));
  INFO(report);
  CHECK(report);
  for (int order = 1; order <= 3; ++order) CHECK(report.rate(order) == Approx(order).margin(0.05));
  CHECK(std::isnan(report.rate(3, report.rows.size() - 1)));  // round-off has taken over
  CHECK(report.rows[1].step == 0.05);
  CHECK(to_string(report).starts_with("taylor_test: passed\n     step        value  rate     gradient  rate"));
}

TEST_CASE("taylor_test finds a wrong gradient and a wrong Hessian", "[gradcheck]") {
  const Tensor x = draw({3});
  const TaylorReport gradient = taylor_test([](const Tensor& t) { return with_factor(exp(t), 2); }, x);
  CHECK_FALSE(gradient);
  CHECK(gradient.rate(1) == Approx(1).margin(0.05));
  CHECK(gradient.rate(2) == Approx(1).margin(0.05));

  const TaylorReport hessian = taylor_test([](const Tensor& t) { return apply<HidingCube>({}, Arg(t)); }, x);
  CHECK_FALSE(hessian);
  CHECK(hessian.rate(2) == Approx(2).margin(0.05));
  CHECK(hessian.rate(3) == Approx(2).margin(0.05));
}

TEST_CASE("taylor_test knows when an expansion is exact", "[gradcheck]") {
  const TaylorReport linear = taylor_test([](Arg x) { return 3 * x; }, draw({3}));
  CHECK(linear);
  CHECK(std::isnan(linear.rate(2)));
  const TaylorReport quadratic = taylor_test([](Arg x) { return square(x); }, draw({3}));
  CHECK(quadratic);
  CHECK(quadratic.rate(2) == Approx(2).margin(0.01));
  CHECK(std::isnan(quadratic.rate(3)));
}

TEST_CASE("taylor_test of a model moves its parameters too", "[gradcheck]") {
  CHECK(taylor_test(Net{}, draw({2, 4}, 3, f32)));
  Net wrong;
  wrong.factor = 2;
  CHECK_FALSE(taylor_test(wrong, draw({2, 4}, 3, f32)));
}

TEST_CASE("taylor_test names the line of its call when it does not understand it", "[gradcheck]") {
  const Tensor x = draw({3});
  const auto two = [](Arg a, Arg b) { return a + b; };
  CHECK(error_of([&] { taylor_test(relu, x.to(i64)); }) ==
        "taylor_test: there is nothing to differentiate: no input is floating, at here");
  CHECK(error_of([&] { taylor_test(relu, {x.to(i64)}); }) ==
        "taylor_test: there is nothing to differentiate: no input is floating, at here");
  CHECK(error_of([&] { taylor_test(relu, Tensor()); }) == "taylor_test: an input is an empty handle, at here");
  CHECK(error_of([&] { taylor_test(two, x); }) ==
        "taylor_test: the function does not take 1 tensor, at here; pass as many inputs as it has arguments");
}
