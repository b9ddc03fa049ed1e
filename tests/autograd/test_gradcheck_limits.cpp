// The gradient checker where differences say little: kinks, noise, random functions, many elements. And its report.
#include "autograd/create.h"
#include "autograd/ops/index.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "tests/autograd/gradcheck_support.h"
#include "tests/catch.h"

using namespace tapegrad;
using namespace tapegrad::tests;
using Verdict = GradcheckReport::Verdict;

// ---- kinks ----

TEST_CASE("gradcheck reports kinks and does not fail for them", "[gradcheck]") {
  const Tensor x = Tensor::from({1.0, 0.0, -1.0, -2.0, 0.5, 0.0}, {3, 2});
  const GradcheckReport report = gradcheck(relu, {x}, {.second_order = true});
  INFO(report);
  CHECK(report);
  REQUIRE(report.kinks.size() == 4);
  CHECK(report.kinks[0].name == "x[0, 1]");
  CHECK(report.kinks[0].order == 1);
  CHECK(report.kinks[0].analytic == 0);
  CHECK(report.kinks[1].name == "x[2, 1]");
  CHECK(report.kinks[2].name == "x[0, 1]");
  CHECK(report.kinks[2].order == 2);
  CHECK(to_string(report).find("\n  kink at x[0, 1]: the slopes are ") != std::string::npos);
  CHECK(to_string(report).find("\n  kink at x[0, 1]: the gradient jumps there (second order)\n") != std::string::npos);

  // The gradient of |x| at 0 is the mean of the slopes, as the central difference is: only the second order sees it.
  const GradcheckReport absolute = gradcheck(static_cast<Tensor (*)(Arg)>(&tapegrad::abs), {x}, {.second_order = true});
  CHECK(absolute);
  CHECK(absolute.kinks.size() == 2);
}

TEST_CASE("gradcheck accepts any subgradient at ties", "[gradcheck]") {
  const Tensor ties = Tensor::from({3.0, 1.0, 3.0, 3.0});
  const GradcheckReport largest = gradcheck([](Arg x) { return max(x); }, ties);
  CHECK(largest);
  CHECK(largest.kinks.size() == 3);
  CHECK(gradcheck([](Arg a, Arg b) { return maximum(a, b); }, ties, ties));
  const auto all_to_first = [](Arg a, Arg b) { return where(a >= b, a, b); };
  const GradcheckReport pair = gradcheck(all_to_first, ties, ties);
  CHECK(pair);
  CHECK(pair.kinks.size() == 8);
}

TEST_CASE("gradcheck is not misled by a kink nearby", "[gradcheck]") {
  // Closer than the step of the differences (6e-6), on both sides.
  const Tensor x = Tensor::from({1e-6, -1e-6, 2e-7, -5e-8, 3e-6, 1.0});
  const GradcheckReport report = gradcheck([](Arg t) { return relu(t) * 3; }, {x}, {.second_order = true});
  INFO(report);
  CHECK(report);
  CHECK(report.kinks.size() >= 5);
}

TEST_CASE("gradcheck fails when a value at a kink is no subgradient", "[gradcheck]") {
  const auto f = [](const Tensor& x) { return with_gradient_of(relu(x) + 2 * x, relu(x)); };
  const GradcheckReport report = gradcheck(f, zeros({2}, f64));
  CHECK_FALSE(report);
  CHECK(report.wrong == 2);
  CHECK(report.kinks.empty());
}

TEST_CASE("gradcheck does not take a wrong gradient near an extremum for a kink", "[gradcheck]") {
  const auto f = [](const Tensor& x) { return with_factor(square(x), 2); };
  const GradcheckReport report = gradcheck(f, Tensor::from({1e-6, 1e-4, -1e-5}));
  CHECK(report.verdict() == Verdict::failed);
  CHECK(report.wrong == 3);
}

// ---- what cannot be checked ----

TEST_CASE("gradcheck says that a noisy function is ill-posed", "[gradcheck]") {
  const auto rounded = [](const Tensor& x) { return tanh(x).to(f32).to(f64); };
  const GradcheckReport report = gradcheck(rounded, draw({3, 4}));
  INFO(report);
  CHECK(report.verdict() == Verdict::ill_posed);
  CHECK_FALSE(report);
  CHECK(says(report.ill_posed, "differences change by"));
  CHECK(to_string(report).starts_with("gradcheck: ill-posed\n"));

  // A grossly wrong gradient of a noisy function is wrong all the same.
  const auto doubled = [&](const Tensor& x) { return with_factor(rounded(x), 2); };
  CHECK(gradcheck(doubled, draw({3, 4})).verdict() == Verdict::failed);

  const GradcheckReport edge = gradcheck([](Arg x) { return log(x); }, full({2}, 1e-7, f64));
  CHECK(edge.verdict() == Verdict::ill_posed);
  CHECK(says(edge.ill_posed, "x[0]: the function is not finite nearby"));
}

TEST_CASE("gradcheck refuses a random function", "[gradcheck]") {
  random::Generator generator(3);
  const auto f = [&](const Tensor& x) {
    return x * random::uniform(x.shape(), {.dtype = f64, .generator = &generator});
  };
  const GradcheckReport report = gradcheck(f, draw({2}));
  CHECK(report.verdict() == Verdict::failed);
  REQUIRE(report.violations.size() == 1);
  CHECK(report.violations[0].starts_with("two calls with the same inputs differ (the result[0]: "));
  CHECK(
      report.violations[0].ends_with("; a random function needs a generator with a fixed seed, copied at every call"));

  const auto fixed = [](const Tensor& x) {
    random::Generator same(3);
    return x * random::uniform(x.shape(), {.dtype = f64, .generator = &same});
  };
  CHECK(gradcheck(fixed, draw({2})));
}

TEST_CASE("gradcheck refuses what would be checked in single precision", "[gradcheck]") {
  const GradcheckReport report = gradcheck([](const Tensor& x) { return exp(x).to(f32); }, draw({2}));
  CHECK(says(report.violations, "a result is f32[2]; the function rounds to single precision"));
  CHECK_FALSE(report);
}

TEST_CASE("gradcheck notices that a function writes to its input", "[gradcheck]") {
  const auto f = [](const Tensor& x) {
    Tensor y = 3 * x;
    Tensor handle = x;
    handle.span<double>()[0] += 0;
    return y;
  };
  CHECK(says(gradcheck(f, draw({2})).violations, "the function or its rule writes to x"));
  // Other values at each call are not called random when they follow from what it wrote.
  const auto g = [](const Tensor& x) {
    Tensor handle = x;
    handle.span<double>()[0] *= 2;
    return 3 * x;
  };
  const GradcheckReport report = gradcheck(g, draw({2}));
  REQUIRE(report.violations.size() == 1);
  CHECK(says(report.violations, "the function or its rule writes to x"));
}

TEST_CASE("gradcheck fails when there is nothing to check", "[gradcheck]") {
  const Tensor integers = Tensor::from<std::int64_t>({1, 2});
  CHECK(says(gradcheck([](Arg x) { return x * 0.5; }, integers).violations, "there is nothing to differentiate"));
  CHECK(says(gradcheck([](Arg x) { return argmax(x); }, draw({3})).violations, "no result is floating"));
}

// ---- modes ----

TEST_CASE("gradcheck's fast mode finds one wrong element among thousands", "[gradcheck]") {
  const Tensor x = draw({60, 100});
  Tensor mask = ones({60, 100}, f64);
  mask.span<double>()[3217] = 0;
  const auto f = [&](const Tensor& t) { return with_gradient_of(square(t) * mask, square(t)); };
  const GradcheckReport report = gradcheck(f, x);
  CHECK_FALSE(report);
  REQUIRE(report.worst.size() == 1);
  CHECK(report.worst[0].name == "x[32, 17]");
  CHECK(report.causes == std::vector<std::string>{"x: dropped: the gradient is zero"});
  CHECK(report.checked[0].elements < 300);
  CHECK(report.checked[0].projections >= 1);
}

TEST_CASE("gradcheck's fast mode steps around kinks", "[gradcheck]") {
  Tensor x = draw({5000});
  for (const std::size_t i : {17u, 800u, 4321u}) x.span<double>()[i] = 0;  // no step is too small to meet it
  const GradcheckReport report = gradcheck(relu, x);
  INFO(report);
  CHECK(report);
  CHECK(report.kinks.size() >= 3);
}

TEST_CASE("gradcheck's modes", "[gradcheck]") {
  const auto f = [](Arg t) { return square(t); };
  const GradcheckReport slow = gradcheck(f, draw({400}), {.mode = CheckMode::slow});
  CHECK(slow.checked[0].elements == 400);
  CHECK(slow.checked[0].projections == 0);
  const GradcheckReport fast = gradcheck(f, draw({200}), {.mode = CheckMode::fast});
  CHECK(fast.checked[0].elements <= 20);
  CHECK(fast.checked[0].elements > 10);
  CHECK(fast.checked[0].projections == 3);
  CHECK(gradcheck(f, draw({300})).checked[0].elements == 300);
  CHECK(gradcheck(f, draw({301})).checked[0].projections == 3);
}

TEST_CASE("gradcheck's tolerance does not grow with the number of elements", "[gradcheck]") {
  Tensor factor = ones({300}, f64);
  factor.span<double>()[200] = 1 + 1e-5;
  const auto f = [&](const Tensor& t) { return with_gradient_of(factor * exp(t), exp(t)); };
  const GradcheckReport report = gradcheck(f, draw({300}));
  CHECK_FALSE(report);
  CHECK(report.wrong == 1);
  CHECK(report.worst[0].name == "x[200]");
}

TEST_CASE("a wrong sign that cancels in a sum is found", "[gradcheck]") {
  // For a cotangent of ones the errors of the two halves cancel.
  const Tensor error = Tensor::from({1.0, 1.0, -1.0, -1.0}, {4, 1});
  const auto f = [&](const Tensor& t) {
    const Tensor y = expand(t, {4, 3});
    return with_gradient_of(y * (1 + error), y);
  };
  CHECK_FALSE(gradcheck(f, draw({3})));
}

// ---- the report ----

TEST_CASE("the report of a failure", "[gradcheck]") {
  const Tensor x = Tensor::from({0.5, -1.0, 2.0, 0.25}, {2, 2});
  const GradcheckReport report = gradcheck([](const Tensor& t) { return with_factor(4 * t, -0.5); }, x);
  CHECK(to_string(report) ==
        "gradcheck: FAILED\n"
        "  first order: 1 tensor, 4 elements, worst relative error 2e+00\n"
        "  4 wrong elements:\n"
        "                  analytic        numeric      ratio\n"
        "    x[1, 0]       1.471313      -2.942627       -0.5\n"
        "    x[0, 1]      0.5092873      -1.018575       -0.5\n"
        "    x[1, 1]     0.02415635    -0.04831271       -0.5\n"
        "    x[0, 0]     0.01363556    -0.02727112       -0.5\n"
        "  likely cause in x: a constant factor of -0.5\n");
}

TEST_CASE("the report of a success", "[gradcheck]") {
  const std::string text = to_string(gradcheck(Net{}, {draw({2, 4})}, {.second_order = true}));
  CHECK(text.starts_with("gradcheck: passed\n  first order: 5 tensors, 51 elements, worst relative error "));
  CHECK(text.find("\n    hidden.weight  f64[4, 5]  ") != std::string::npos);
  CHECK(text.find("\n  second order: 6 tensors, 57 elements, worst relative error ") != std::string::npos);
}
