// The shipped pointwise ops. One op is one struct: its name, its formula, one line of documentation, and the intervals
// from which the generated tests draw inputs (away from kinks, where differences say nothing).
#include "autograd/ops/pointwise.h"

#include "autograd/random.h"

namespace tapegrad {

namespace {

using detail::PointwiseOp;
using detail::PointwiseResult;

struct Add {
  static constexpr const char* name = "add";
  static constexpr const char* doc = "the sum of a and b";
  static constexpr auto formula = [](auto a, auto b) { return a + b; };
  static constexpr Domain domain[] = {{-2, 2}, {-2, 2}};
};
struct Subtract {
  static constexpr const char* name = "sub";
  static constexpr const char* doc = "a minus b";
  static constexpr auto formula = [](auto a, auto b) { return a - b; };
  static constexpr Domain domain[] = {{-2, 2}, {-2, 2}};
};
struct Multiply {
  static constexpr const char* name = "mul";
  static constexpr const char* doc = "the product of a and b, element by element";
  static constexpr auto formula = [](auto a, auto b) { return a * b; };
  static constexpr Domain domain[] = {{-2, 2}, {-2, 2}};
};
struct Divide {
  static constexpr const char* name = "div";
  static constexpr const char* doc = "a divided by b";
  static constexpr auto formula = [](auto a, auto b) { return a / b; };
  static constexpr Domain domain[] = {{-2, 2}, {0.5, 2}};
};
struct Negate {
  static constexpr const char* name = "neg";
  static constexpr const char* doc = "minus x";
  static constexpr auto formula = [](auto x) { return -x; };
  static constexpr Domain domain[] = {{-2, 2}};
};
struct Maximum {
  static constexpr const char* name = "maximum";
  static constexpr const char* doc = "the larger of a and b";
  static constexpr auto formula = [](auto a, auto b) { return maximum(a, b); };
  static constexpr Domain domain[] = {{-2, 2}, {-2, 2}};
};
struct Minimum {
  static constexpr const char* name = "minimum";
  static constexpr const char* doc = "the smaller of a and b";
  static constexpr auto formula = [](auto a, auto b) { return minimum(a, b); };
  static constexpr Domain domain[] = {{-2, 2}, {-2, 2}};
};
struct Power {
  static constexpr const char* name = "pow";
  static constexpr const char* doc = "a to the power of b";
  static constexpr auto formula = [](auto a, auto b) { return pow(a, b); };
  static constexpr Domain domain[] = {{0.5, 2}, {-2, 2}};
};
struct Lerp {
  static constexpr const char* name = "lerp";
  static constexpr const char* doc = "a + t (b - a)";
  static constexpr auto formula = [](auto a, auto b, auto t) { return a + t * (b - a); };
  static constexpr Domain domain[] = {{-2, 2}, {-2, 2}, {0, 1}};
};
struct Absolute {
  static constexpr const char* name = "abs";
  static constexpr const char* doc = "x without its sign";
  static constexpr auto formula = [](auto x) { return abs(x); };
  static constexpr Domain domain[] = {{-2, 2}};
};
struct Exponential {
  static constexpr const char* name = "exp";
  static constexpr const char* doc = "e to the power of x";
  static constexpr auto formula = [](auto x) { return exp(x); };
  static constexpr Domain domain[] = {{-2, 2}};
};
struct Logarithm {
  static constexpr const char* name = "log";
  static constexpr const char* doc = "the natural logarithm";
  static constexpr auto formula = [](auto x) { return log(x); };
  static constexpr Domain domain[] = {{0.5, 3}};
};
struct SquareRoot {
  static constexpr const char* name = "sqrt";
  static constexpr const char* doc = "the square root";
  static constexpr auto formula = [](auto x) { return sqrt(x); };
  static constexpr Domain domain[] = {{0.5, 3}};
};
struct Square {
  static constexpr const char* name = "square";
  static constexpr const char* doc = "x times x";
  static constexpr auto formula = [](auto x) { return x * x; };
  static constexpr Domain domain[] = {{-2, 2}};
};
struct HyperbolicTangent {
  static constexpr const char* name = "tanh";
  static constexpr const char* doc = "the hyperbolic tangent";
  static constexpr auto formula = [](auto x) { return tanh(x); };
  static constexpr Domain domain[] = {{-2, 2}};
};
struct Sigmoid {
  static constexpr const char* name = "sigmoid";
  static constexpr const char* doc = "1 / (1 + e^-x)";
  static constexpr auto formula = [](auto x) { return sigmoid(x); };
  static constexpr Domain domain[] = {{-3, 3}};
};
struct Relu {
  static constexpr const char* name = "relu";
  static constexpr const char* doc = "the larger of x and 0";
  static constexpr auto formula = [](auto x) { return relu(x); };
  static constexpr Domain domain[] = {{-2, 2}};
};
struct Where {
  static constexpr const char* name = "where";
  static constexpr const char* doc = "a where the condition holds, b elsewhere";
  static constexpr auto formula = [](auto condition, auto a, auto b) { return where(condition != 0, a, b); };
  static constexpr Domain domain[] = {{0, 1}, {-2, 2}, {-2, 2}};
};

template <class F>
const PointwiseOp& pointwise_op() {
  static const PointwiseOp op(F::name, program::trace(F::formula));
  return op;
}

template <class F, class... A>
Tensor apply_formula(const A&... args) {
  return detail::apply_pointwise_to(pointwise_op<F>(), args...);
}

// A comparison has no gradient: its program makes 1 or 0, its result is boolean.
template <class Formula>
Tensor compare(const char* name, Formula formula, const Arg& a, const Arg& b) {
  static const PointwiseOp op(name, program::trace(formula), PointwiseResult::boolean);
  return detail::apply_pointwise_to(op, a, b);
}

}  // namespace

Tensor operator+(Arg a, Arg b) { return apply_formula<Add>(a, b); }
Tensor operator-(Arg a, Arg b) { return apply_formula<Subtract>(a, b); }
Tensor operator*(Arg a, Arg b) { return apply_formula<Multiply>(a, b); }
Tensor operator/(Arg a, Arg b) { return apply_formula<Divide>(a, b); }
Tensor operator-(Arg x) { return apply_formula<Negate>(x); }
Tensor& operator+=(Tensor& a, Arg b) { return a = apply_formula<Add>(Arg(std::move(a), b.at()), b); }
Tensor& operator-=(Tensor& a, Arg b) { return a = apply_formula<Subtract>(Arg(std::move(a), b.at()), b); }
Tensor& operator*=(Tensor& a, Arg b) { return a = apply_formula<Multiply>(Arg(std::move(a), b.at()), b); }
Tensor& operator/=(Tensor& a, Arg b) { return a = apply_formula<Divide>(Arg(std::move(a), b.at()), b); }

Tensor maximum(Arg a, Arg b) { return apply_formula<Maximum>(a, b); }
Tensor minimum(Arg a, Arg b) { return apply_formula<Minimum>(a, b); }
Tensor pow(Arg base, Arg exponent) { return apply_formula<Power>(base, exponent); }
Tensor lerp(Arg a, Arg b, Arg t) { return apply_formula<Lerp>(a, b, t); }
Tensor abs(Arg x) { return apply_formula<Absolute>(x); }
Tensor exp(Arg x) { return apply_formula<Exponential>(x); }
Tensor log(Arg x) { return apply_formula<Logarithm>(x); }
Tensor sqrt(Arg x) { return apply_formula<SquareRoot>(x); }
Tensor square(Arg x) { return apply_formula<Square>(x); }
Tensor tanh(Arg x) { return apply_formula<HyperbolicTangent>(x); }
Tensor sigmoid(Arg x) { return apply_formula<Sigmoid>(x); }
Tensor relu(Arg x) { return apply_formula<Relu>(x); }
Tensor where(Arg condition, Arg a, Arg b) { return apply_formula<Where>(condition, a, b); }

namespace {
// The formulas stand outside the operators' bodies, where `<` on symbols would be looked up among the operators' own.
constexpr auto less = [](auto a, auto b) { return (a < b).mask(); };
constexpr auto less_equal = [](auto a, auto b) { return (a <= b).mask(); };
constexpr auto greater = [](auto a, auto b) { return (a > b).mask(); };
constexpr auto greater_equal = [](auto a, auto b) { return (a >= b).mask(); };
constexpr auto equal = [](auto a, auto b) { return (a == b).mask(); };
constexpr auto not_equal = [](auto a, auto b) { return (a != b).mask(); };
}  // namespace

Tensor operator<(Arg a, Arg b) { return compare("less", less, a, b); }
Tensor operator<=(Arg a, Arg b) { return compare("less_equal", less_equal, a, b); }
Tensor operator>(Arg a, Arg b) { return compare("greater", greater, a, b); }
Tensor operator>=(Arg a, Arg b) { return compare("greater_equal", greater_equal, a, b); }
Tensor operator==(Arg a, Arg b) { return compare("equal", equal, a, b); }
Tensor operator!=(Arg a, Arg b) { return compare("not_equal", not_equal, a, b); }

// ---- the list that drives the generated tests ----

namespace detail {
namespace {

Tensor draw(const Domain& d, const Shape& shape, std::uint64_t seed) {
  random::Generator generator(seed);
  return random::uniform(shape, {.low = d.low, .high = d.high, .dtype = f64, .generator = &generator});
}

OpDescription describe(const char* doc, const PointwiseOp& op, std::span<const Domain> domain) {
  const auto count = static_cast<std::size_t>(op.inputs());
  static const std::vector<std::string> names[] = {{}, {"x"}, {"a", "b"}, {"a", "b", "c"}};
  OpDescription d{op.name, doc, program::to_string(op.program(), names[count]), {}, {}, OpKind::pointwise};
  for (std::size_t k = 0; k < count; ++k) {
    const program::Derivative g = program::differentiate(op.program(), 1u << k);
    d.gradients.push_back(program::to_string(g.program, program::source_names(g, op.program(), names[count])));
  }
  const auto apply = [&op](const std::vector<Tensor>& inputs) {
    switch (inputs.size()) {
      case 1:
        return apply_pointwise_to(op, Arg(inputs[0]));
      case 2:
        return apply_pointwise_to(op, Arg(inputs[0]), Arg(inputs[1]));
      default:
        return apply_pointwise_to(op, Arg(inputs[0]), Arg(inputs[1]), Arg(inputs[2]));
    }
  };
  // One element, less than a register, tails, a strip and more, rows that repeat, enough for two threads.
  std::uint64_t seed = 1;
  for (const Shape& shape : {Shape{}, Shape{3}, Shape{2, 19}, Shape{1500}, Shape{3, 40}, Shape{50000}}) {
    OpSample sample{{}, apply};
    for (std::size_t k = 0; k < count; ++k) {
      const bool is_row = shape == Shape{3, 40} && k == count - 1;
      sample.inputs.push_back(draw(domain[k], is_row ? Shape{40} : shape, seed++));
    }
    d.samples.push_back(std::move(sample));
  }
  return d;
}

template <class... F>
std::vector<OpDescription> describe_formulas() {
  return {describe(F::doc, pointwise_op<F>(), F::domain)...};
}

}  // namespace

std::vector<OpDescription> pointwise_ops() {
  return describe_formulas<Add, Subtract, Multiply, Divide, Negate, Maximum, Minimum, Power, Lerp, Absolute,
                           Exponential, Logarithm, SquareRoot, Square, HyperbolicTangent, Sigmoid, Relu, Where>();
}

}  // namespace detail
}  // namespace tapegrad
