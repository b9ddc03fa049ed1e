// The gradient checker itself: what is right passes, what is wrong fails and is named.
#include "autograd/create.h"
#include "autograd/ops/index.h"
#include "autograd/ops/losses.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "tests/autograd/gradcheck_support.h"
#include "tests/catch.h"
#include "tests/error_of.h"

using namespace tapegrad;
using namespace tapegrad::tests;
using Verdict = GradcheckReport::Verdict;

namespace {

struct WithEmptySample {
  using Attributes = NoAttributes;
  static constexpr const char* name = "with_empty_sample";
  static constexpr const char* doc = "x";
  static constexpr Uses uses = {};
  static Shape shape(const Inputs& x, const Attributes&) { return x[0].shape(); }
  static Tensor forward(const Inputs& x, Attributes&, const Shape&) { return x[0]; }
  static void vjp(Walk& w, const Attributes&, const Tensor& g) { w.give(0, g); }
  static std::vector<Sample<Attributes>> samples() { return {{{Tensor()}}}; }
};

}  // namespace

// ---- what is right ----

TEST_CASE("a projection that passes kinks on its way is tried with smaller steps") {
  // Of ten thousand rectifiers, hundreds switch within the usual step.
  random::Generator generator(3);
  const Tensor x = random::normal({10000}, {.std = 1e-4, .dtype = f64, .generator = &generator});
  CHECK(gradcheck([](Arg v) { return relu(v); }, x, {.mode = CheckMode::fast}));
  const auto wrong = pointwise(
      "wrong", [](auto v) { return relu(v); }, [](auto v) { return where(v > 0, 1.0001, 0); });
  CHECK_FALSE(gradcheck(wrong, x, {.mode = CheckMode::fast}));
}

TEST_CASE("gradcheck passes right gradients of first and second order", "[gradcheck]") {
  const auto f = [](Arg a, Arg b) { return tanh(a) * exp(b) / (1 + square(a)); };
  const GradcheckReport report = gradcheck(f, {draw({3, 4}), draw({4}, 2)}, {.second_order = true});
  INFO(report);
  CHECK(report);
  CHECK(report.passed());
  REQUIRE(report.checked.size() == 5);
  CHECK(report.checked[0].name == "x0");
  CHECK(report.checked[1].elements == 4);
  CHECK(report.checked[4].name == "cotangent");
  CHECK(report.worst_error(1) < 1e-7);
  CHECK(report.worst_error(2) < 1e-7);
  CHECK(report.worst_error(2) > 0);
}

TEST_CASE("gradcheck takes functions in every form", "[gradcheck]") {
  const Tensor x = draw({2, 3});
  CHECK(gradcheck(relu, x));
  CHECK(gradcheck([](auto t) { return sum(t * t); }, x));
  CHECK(gradcheck([](const std::vector<Tensor>& xs) { return xs[0] * xs[1]; }, {x, x}));
  CHECK(gradcheck([](Arg a, Arg b, Arg c) { return a * b + c; }, x, x, x));
  CHECK(gradcheck([](Arg a) { return std::vector<Tensor>{exp(a), a.tensor(), sum(a)}; }, {x}, {.second_order = true}));
  CHECK(gradcheck([](Arg a) { return std::pair<Tensor, Tensor>(tanh(a), argmax(a)); }, x));
  CHECK(gradcheck(std::function<Tensor(const Tensor&)>([](const Tensor& t) { return t / 3; }), x));
  const auto swish = pointwise("swish", [](auto t) { return t * sigmoid(t); });
  CHECK(gradcheck(swish, {x}, {.second_order = true}));
}

TEST_CASE("gradcheck names the line of its call when it does not understand it", "[gradcheck]") {
  const Tensor x = draw({2, 3});
  const Parameter p(draw({2, 3}));
  const Tensor nothing;
  const auto two = [](Arg a, Arg b) { return a + b; };
  const std::string hint = "; pass as many inputs as it has arguments";
  const std::string one_tensor = "gradcheck: the function does not take 1 tensor, at here" + hint;
  CHECK(error_of([&] { gradcheck(two, x); }) == one_tensor);
  CHECK(error_of([&] { gradcheck(two, p); }) == one_tensor);
  CHECK(error_of([&] { gradcheck(two, {x}); }) == one_tensor);
  CHECK(error_of([&] { gradcheck(two, x, {.mode = CheckMode::slow}); }) == one_tensor);
  CHECK(error_of([&] { gradcheck(two, x, x, x); }) ==
        "gradcheck: the function does not take 3 tensors, at here" + hint);
  CHECK(error_of([&] { gradcheck(two, p, x, p); }) ==
        "gradcheck: the function does not take 3 tensors, at here" + hint);
  CHECK(error_of([&] { gradcheck(relu, nothing); }) == "gradcheck: an input is an empty handle, at here");
  CHECK(error_of([&] { gradcheck(two, x, nothing); }) == "gradcheck: an input is an empty handle, at here");
  CHECK(error_of([&] { gradcheck(two, nothing, x); }) == "gradcheck: an input is an empty handle, at here");
  CHECK(error_of([&] { gradcheck(relu, std::vector<Tensor>{nothing}); }) ==
        "gradcheck: an input is an empty handle, at here");
  CHECK(error_of([] { gradcheck<WithEmptySample>(); }) == "gradcheck: an input is an empty handle, at here");
}

TEST_CASE("gradcheck hands its line on to a function that takes Args", "[gradcheck]") {
  const auto product = [](Arg a, Arg b) { return matmul(a, b); };
  const std::string error = "matmul: inner dimensions differ: [2, 3] x [2, 3] (3 and 2), at here";
  const Tensor x = draw({2, 3});
  CHECK(error_of([&] { gradcheck(product, x, x); }) == error);
  CHECK(error_of([&] { gradcheck(product, {x, x}); }) == error);
}

TEST_CASE("gradcheck works in double on f32 inputs, and leaves integers alone", "[gradcheck]") {
  const Tensor logits = draw({3, 4}, 1, f32);
  const Tensor labels = Tensor::from<std::int64_t>({2, 0, 3});
  const GradcheckReport report =
      gradcheck([](Arg x, Arg l) { return cross_entropy(x, l); }, {logits, labels}, {.second_order = true});
  INFO(report);
  CHECK(report);
  CHECK(report.checked[0].tensor == "f64[3, 4]");
  CHECK(report.worst_error(1) < 1e-7);
  CHECK(logits.dtype() == f32);
}

TEST_CASE("gradcheck keeps the memory layout of its inputs", "[gradcheck]") {
  const Tensor x = transpose(draw({4, 6})).slice(0, 5, 0, -2);
  bool was_strided = true;
  const auto f = [&](Arg t) {
    was_strided = was_strided && !t.tensor().is_contiguous();
    return square(t);
  };
  CHECK(gradcheck(f, x));
  CHECK(was_strided);
  CHECK(gradcheck([](Arg t) { return square(t); }, expand(draw({3, 1}), {3, 4})));
  CHECK(gradcheck([](Arg t) { return square(t); }, zeros({0, 3}, f64)));
  CHECK(gradcheck([](Arg t) { return square(t); }, full({}, 3, f64)));
}

TEST_CASE("gradcheck does not disturb an open tape", "[gradcheck]") {
  Tensor x = draw({3});
  Tape tape;
  tape.watch(x);
  const Tensor y = sum(square(x));
  const std::size_t before = tape.statistics().entries;
  CHECK(gradcheck([](Arg t) { return exp(t); }, {x}, {.second_order = true}));
  CHECK(tape.gradient(y, x).at({1}) == 2 * x.at({1}));
  CHECK(before == 3);
}

// ---- models ----

TEST_CASE("gradcheck checks every parameter of a model by its path, on a copy in double", "[gradcheck]") {
  Net net;
  const Tensor before = net.hidden.weight.value().clone();
  const GradcheckReport report = gradcheck(net, {draw({2, 4}, 3, f32)}, {.second_order = true});
  INFO(report);
  CHECK(report);
  std::vector<std::string> names;
  for (const auto& c : report.checked) {
    if (c.order == 1) names.push_back(c.name);
  }
  CHECK(names == std::vector<std::string>{"x", "hidden.weight", "hidden.bias", "out.weight", "out.bias"});
  CHECK(net.hidden.weight.dtype() == f32);
  CHECK(array_equal(net.hidden.weight.value(), before));
}

TEST_CASE("gradcheck names the parameter that is wrong", "[gradcheck]") {
  Net net;
  net.factor = 2;
  const GradcheckReport report = gradcheck(net, draw({2, 4}, 3));
  CHECK_FALSE(report);
  CHECK(says(report.causes, "hidden.weight: factor of 2: the gradient is twice what it should be"));
  CHECK(says(report.causes, "x: factor of 2"));
  CHECK_FALSE(says(report.causes, "bias"));
  CHECK_FALSE(says(report.causes, "out.weight"));
  CHECK(report.worst.size() == 10);
  CHECK(report.wrong == 28);
}

TEST_CASE("gradcheck reports a parameter that the result does not reach", "[gradcheck]") {
  struct Frozen {
    Parameter scale{draw({3}, 5)};
    Tensor operator()(Arg x) const { return x * stop_gradient(scale); }
  };
  const GradcheckReport report = gradcheck(Frozen{}, draw({2, 3}));
  CHECK_FALSE(report);
  CHECK(report.causes == std::vector<std::string>{"scale: dropped: the gradient is zero"});
  CHECK(report.worst[0].name.starts_with("scale["));
}

TEST_CASE("gradcheck freezes the buffers of a model", "[gradcheck]") {
  struct Running {
    Parameter scale{draw({3}, 5)};
    Buffer calls{ones({3}, f32)};
    Tensor operator()(Arg x) const {
      calls.assign(no_tape([&] { return calls.value() + 1; }));
      return x * scale * calls.value();
    }
  };
  const Running model;
  const GradcheckReport report = gradcheck(model, {draw({2, 3})}, {.second_order = true});
  INFO(report);
  CHECK(report);
  CHECK(model.calls.value().at({0}) == 1);
}

TEST_CASE("gradcheck refuses a model whose copy shares parameters", "[gradcheck]") {
  struct Shared {
    std::shared_ptr<Affine> layer = std::make_shared<Affine>(Parameter(draw({3, 3})), Parameter(draw({3})));
    Tensor operator()(Arg x) const { return (*layer)(x); }
  };
  const Shared model;
  CHECK(
      error_of([&] {
        gradcheck(model, draw({2, 3}));
      }) ==
      "gradcheck: a copy of the model shares \"layer.weight\" with it, at here; std::shared_ptr copies a pointer, not "
      "the layer");
}

// ---- causes ----

TEST_CASE("gradcheck names the likely cause", "[gradcheck]") {
  const Tensor x = draw({3, 4});
  const auto cause_of = [&](const GradcheckReport& report) {
    CHECK(report.verdict() == Verdict::failed);
    CHECK(report.wrong > 0);
    return report.causes.empty() ? std::string() : report.causes[0];
  };
  const auto f = [](const Tensor& t) { return tanh(t) * t; };
  const auto scaled = [&](double factor) {
    return gradcheck([&](const Tensor& t) { return with_factor(f(t), factor); }, x);
  };
  CHECK(cause_of(scaled(2)) == "x: factor of 2: the gradient is twice what it should be");
  CHECK(cause_of(scaled(0.5)) == "x: factor of 2: the gradient is half of what it should be");
  CHECK(cause_of(scaled(-1)) == "x: sign: the gradient is negated");
  CHECK(cause_of(scaled(0)) == "x: dropped: the gradient is zero");
  CHECK(cause_of(scaled(3)) == "x: a constant factor of 3");

  const auto infinite = [](const Tensor& t) { return t + stop_gradient(0 * t) * sqrt(0 * t); };
  CHECK(cause_of(gradcheck(infinite, x)).find("the gradient is not finite") != std::string::npos);
}

TEST_CASE("gradcheck recognises a transposed gradient", "[gradcheck]") {
  const Tensor w = draw({3, 3}, 2);
  const auto square_one = [&](const Tensor& t) { return with_gradient_of(w * transpose(t), w * t); };
  const GradcheckReport report = gradcheck(square_one, draw({3, 3}));
  CHECK(report.causes == std::vector<std::string>{"x: transposed: the last two axes of the gradient are swapped"});

  // The gradient's buffer belongs to the other shape.
  const Tensor v = draw({4, 2, 3}, 2);
  const auto reshaped = [&](const Tensor& t) { return with_gradient_of(v * transpose(reshape(t, {4, 3, 2})), v * t); };
  CHECK(says(gradcheck(reshaped, draw({4, 2, 3})).causes, "x: transposed"));
}

namespace {

// y = x + row, whose rule forgets to sum over the rows, or takes the mean.
struct AddRow {
  struct Attributes {
    bool is_mean = false;
  };
  static constexpr const char* name = "add_row";
  static constexpr const char* doc = "x plus a row";
  static constexpr Uses uses = {};
  static Shape shape(const Inputs& x, const Attributes&) { return x[0].shape(); }
  static Tensor forward(const Inputs& x, Attributes&, const Shape&) {
    const Tape::Pause pause;
    return x[0] + x[1];
  }
  static void vjp(Walk& w, const Attributes& a, const Tensor& g) {
    w.give(0, g);
    w.give(1, a.is_mean ? mean(g, {.axis = 0}) : reshape(g.slice(0, 0, 1), w.shape(1)));
  }
  static std::vector<Sample<Attributes>> samples() {
    return {{{draw({4, 3}), draw({3}, 2)}, {}}, {{draw({1, 3}), draw({3}, 2)}, {}}};
  }
};

// Rows of x by number; the rule writes the gradients of rows that occur twice over each other.
struct OverwritingTake {
  using Attributes = NoAttributes;
  static constexpr const char* name = "overwriting_take";
  static constexpr const char* doc = "rows of x";
  static constexpr Uses uses = {reads_input(1), reads_nothing};
  static Shape shape(const Inputs& x, const Attributes&) { return {x[1].size(), x[0].shape(1)}; }
  static Tensor forward(const Inputs& x, Attributes&, const Shape&) {
    const Tape::Pause pause;
    return take(x[0], x[1]);
  }
  static void vjp(Walk& w, const Attributes&, const Tensor& g) {
    Tensor dx = zeros(w.shape(0), f64);
    const auto rows = std::as_const(w).input(1).span<const std::int64_t>();
    const std::int64_t width = dx.shape(1);
    for (std::size_t r = 0; r < rows.size(); ++r) {
      for (std::int64_t c = 0; c < width; ++c) {
        dx.span<double>()[static_cast<std::size_t>(rows[r] * width + c)] = g.at({static_cast<std::int64_t>(r), c});
      }
    }
    w.give(0, dx);
  }
  static std::vector<Sample<Attributes>> samples() {
    return {{{draw({4, 3}), Tensor::from<std::int64_t>({1, 3, 1, 0, 3, 1})}, {}}};
  }
};

// y = x^3, of whose rule a part is hidden from the tape.
struct Cube {
  struct Attributes {
    bool hides = true;
  };
  static constexpr const char* name = "cube";
  static constexpr const char* doc = "x to the power of 3";
  static constexpr Uses uses = {reads_input(0)};
  static Shape shape(const Inputs& x, const Attributes&) { return x[0].shape(); }
  static Tensor forward(const Inputs& x, Attributes&, const Shape&) {
    const Tape::Pause pause;
    return x[0] * x[0] * x[0];
  }
  static void vjp(Walk& w, const Attributes& a, const Tensor& g) {
    const Tensor& x = w.input(0);
    w.give(0, 3 * g * x * (a.hides ? stop_gradient(x) : x));
  }
  static std::vector<Sample<Attributes>> samples() { return {{{draw({2, 3})}, {true}}}; }
};

struct RightCube : Cube {
  static std::vector<Sample<Attributes>> samples() { return {{{draw({2, 3})}, {false}}, {{draw({})}, {false}}}; }
};

}  // namespace

TEST_CASE("gradcheck checks a user's op in one line, by its samples", "[gradcheck]") {
  const GradcheckReport right = gradcheck<RightCube>({.second_order = true});
  INFO(right);
  CHECK(right);
  CHECK(right.checked[0].name == "cube sample 0, x");

  const GradcheckReport row = gradcheck<AddRow>();
  CHECK_FALSE(row);
  CHECK(row.causes ==
        std::vector<std::string>{"add_row sample 0, x1: missing broadcast sum: the gradient is that of the "
                                 "first slice along axis 0 of the result"});
  CHECK(row.worst.size() == 3);
}

TEST_CASE("gradcheck recognises a mean in place of a sum", "[gradcheck]") {
  const auto f = [](Arg x, Arg row) { return apply<AddRow>({.is_mean = true}, x, row); };
  CHECK(gradcheck(f, draw({4, 3}), draw({3}, 2)).causes == std::vector<std::string>{"x1: a constant factor of 0.25"});
}

TEST_CASE("gradcheck recognises a gradient that is overwritten instead of added", "[gradcheck]") {
  const GradcheckReport report = gradcheck<OverwritingTake>();
  CHECK_FALSE(report);
  CHECK(says(report.causes, "overwritten: of several contributions to an element only one is left, not their sum"));
  CHECK(report.wrong == 6);  // rows 1 and 3
}

TEST_CASE("gradcheck finds what is missing of second order only", "[gradcheck]") {
  CHECK(gradcheck<Cube>());
  const GradcheckReport report = gradcheck<Cube>({.second_order = true});
  CHECK_FALSE(report);
  CHECK(says(report.causes, "cube sample 0, x: factor of 2: the gradient is half of what it should be"));
  CHECK(report.worst[0].order == 2);

  const auto hidden = [](const Tensor& x) { return with_gradient_of(x * stop_gradient(2 * x), x * x); };
  const GradcheckReport dropped = gradcheck(hidden, {draw({3})}, {.second_order = true});
  CHECK(dropped.causes == std::vector<std::string>{"x: dropped: a second-order term is zero"});

  const auto partly = [](const Tensor& x) {
    const Tensor slope = stop_gradient(square(x)) + exp(x);  // of x^3 / 3 + e^x
    return with_gradient_of(slope * x - stop_gradient(x) * slope + stop_gradient(slope) * x, x * x * x / 3 + exp(x));
  };
  const GradcheckReport half = gradcheck(partly, {draw({3})}, {.second_order = true});
  CHECK_FALSE(half);
  CHECK_FALSE(half.causes.empty());
}
