// The ops of the lists: their programs, what the tests know of them, and the functions that the headers declare.
#include "autograd/ops/formula.h"

#include <cstdio>
#include <iterator>

#include "autograd/ops/pointwise.h"
#include "autograd/ops/pointwise_op.h"
#include "autograd/random.h"

namespace tapegrad::detail {
namespace {

// A condition has no gradient: its program makes 1 or 0, its result is boolean.
template <class F>
constexpr PointwiseResult result_of() {
  return requires { F::is_condition; } ? PointwiseResult::boolean : PointwiseResult::number;
}

template <class F>
[[gnu::always_inline]] inline const PointwiseOp& op_of_formula() {
  static const PointwiseOp op(F::name, program::trace(F::formula), result_of<F>(), slope_of<F>());
  return op;
}

}  // namespace

template <class F>
Tensor apply_formula(const Arg& a) {
  return apply_pointwise(op_of_formula<F>(), a);
}
template <class F>
Tensor apply_formula(const Arg& a, const Arg& b) {
  return apply_pointwise(op_of_formula<F>(), a, b);
}
template <class F>
Tensor apply_formula(const Arg& a, const Arg& b, const Arg& c) {
  return apply_pointwise(op_of_formula<F>(), a, b, c);
}

// ---- what the tests and pages know ----

namespace {

/// The address of apply_formula for one op, called with a list.
struct Function {
  Tensor (*unary)(const Arg&) = nullptr;
  Tensor (*binary)(const Arg&, const Arg&) = nullptr;
  Tensor (*ternary)(const Arg&, const Arg&, const Arg&) = nullptr;

  Tensor operator()(const std::vector<Tensor>& x) const {
    if (unary) return unary(x[0]);
    return binary ? binary(x[0], x[1]) : ternary(x[0], x[1], x[2]);
  }
};

template <class F>
constexpr Function function_of() {
  constexpr std::size_t count = std::size(F::domain);
  static_assert(program::argument_count<decltype(F::formula)> == count, "an op needs one Domain per input");
  if constexpr (count == 1) {
    return {.unary = &apply_formula<F>};
  } else if constexpr (count == 2) {
    return {.binary = &apply_formula<F>};
  } else {
    return {.ternary = &apply_formula<F>};
  }
}

Tensor draw(const Domain& d, const Shape& shape, std::uint64_t seed) {
  random::Generator generator(seed);
  return random::uniform(shape, {.low = d.low, .high = d.high, .dtype = f64, .generator = &generator});
}

OpDescription describe(const PointwiseOp& op, const char* doc, std::span<const Domain> domain, Function apply) {
  std::vector<std::string> names;
  for (const Domain& d : domain) names.push_back(d.name);
  OpDescription d{op.name, doc, program::to_string(op.program(), names), {}, {}, OpKind::pointwise};
  for (unsigned k = 0; k < domain.size() && op.result() == PointwiseResult::number; ++k) {
    const program::Derivative g = op.differentiate(1u << k);
    d.gradients.push_back(program::to_string(g.program, program::source_names(g, op.program(), names)));
  }
  // One element, less than a register, tails, a strip and more, rows that repeat, enough for two threads.
  std::uint64_t seed = 1;
  for (const Shape& shape : {Shape{}, Shape{3}, Shape{2, 19}, Shape{1500}, Shape{3, 40}, Shape{50000}}) {
    OpSample sample{{}, apply};
    for (std::size_t k = 0; k < domain.size(); ++k) {
      const bool is_row = shape == Shape{3, 40} && k == domain.size() - 1;
      sample.inputs.push_back(draw(domain[k], is_row ? Shape{40} : shape, seed++));
    }
    d.samples.push_back(std::move(sample));
  }
  return d;
}

}  // namespace

// ---- the lists ----

/// An explicit instantiation of this class makes apply_formula for every op of the list. It holds the addresses: else a
/// compiler that inlines all calls here would leave none for other files.
template <class List>
struct Instances;

template <class... F>
struct Instances<OpList<F...>> {
  static const Function functions[];
  static void describe_all(std::vector<OpDescription>& list) {
    const Function* function = functions;
    (list.push_back(describe(op_of_formula<F>(), F::doc, F::domain, *function++)), ...);
  }
};
template <class... F>
constinit const Function Instances<OpList<F...>>::functions[] = {function_of<F>()...};

template struct Instances<ArithmeticOps>;
template struct Instances<ElementaryOps>;
template struct Instances<ActivationOps>;

std::vector<OpDescription> formula_ops() {
  std::vector<OpDescription> list;
  Instances<ArithmeticOps>::describe_all(list);
  Instances<ElementaryOps>::describe_all(list);
  Instances<ActivationOps>::describe_all(list);
  return list;
}

}  // namespace tapegrad::detail

// ---- functions that check their options ----

namespace tapegrad {
namespace {

void check_bounds(const char* op, const Arg& x, double low, double high) {
  if (!(low > high)) return;
  char text[96];
  std::snprintf(text, sizeof text, "the lower bound %g is above the upper bound %g", low, high);
  detail::fail_op(op, text, x.at());
}

}  // namespace

Tensor clamp(Arg x, const ClampOptions& options) {
  check_bounds("clamp", x, options.min, options.max);
  return detail::apply_formula<formulas::Clamp>(x, options.min, options.max);
}

Tensor hardtanh(Arg x, double min_val, double max_val) {
  check_bounds("hardtanh", x, min_val, max_val);
  return detail::apply_formula<formulas::HardTanh>(x, min_val, max_val);
}

}  // namespace tapegrad
