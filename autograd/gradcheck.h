#pragma once
// Gradient checks: what the tape computes against differences of function values, always in double.
//
//   std::cout << gradcheck(net, images);                                         // every parameter and the images
//   if (!gradcheck([](Arg a, Arg b) { return tanh(a) * b; }, {a, b})) ...        // any function of tensors
//   REQUIRE(gradcheck<MyOp>({.second_order = true}));                            // an op of one's own, by its samples
//   std::cout << taylor_test(f, x);                                              // remainders: rates 1, 2 and 3
//
// Models and f32 inputs are copied to double; the caller's are left as they are. A result of several elements is
// checked for a random cotangent, never all ones, so that errors cannot cancel in the sum.
#include <iosfwd>
#include <string>
#include <vector>

#include "autograd/gradcheck_problem.h"
#include "autograd/op.h"

namespace tapegrad {

enum class CheckMode : std::uint8_t {
  automatic,  ///< slow up to 300 elements, fast beyond
  slow,       ///< every element by itself
  fast        ///< three random projections of every tensor, and 20 elements of each
};

struct GradcheckOptions {
  CheckMode mode = CheckMode::automatic;
  bool second_order = false;  ///< also checks the gradient of J'v in x and in v, by a nested tape
  std::uint64_t seed = 1;     ///< of the cotangents and the projections
};

/// How far two values may be apart: |a - b| <= atol * max(1, max|b|) + rtol * max(|a|, |b|). Never scaled by the number
/// of elements.
struct Tolerance {
  double rtol, atol;
};

/// The one table of tolerances. f64: gradients of order 1 and 2 against central differences, and (order 0) what is
/// computed in two ways. f32: kernels against the f64 ones, of values
/// (order 0), gradients (order 1) and second-order gradients.
constexpr Tolerance gradcheck_tolerance(DType type, int order) {
  constexpr Tolerance f64_orders[] = {{1e-12, 1e-12}, {1e-6, 1e-8}, {1e-6, 1e-8}};
  constexpr Tolerance f32_orders[] = {{2e-6, 1e-6}, {4e-6, 2e-6}, {1e-5, 1e-5}};
  return type == f64 ? f64_orders[order] : f32_orders[order];
}

/// What a check found. `if (gradcheck(...))` asks whether it passed; `<<` prints it.
struct GradcheckReport {
  enum class Verdict : std::uint8_t { passed, failed, ill_posed };

  /// A value of the gradient beside its difference quotient.
  struct Element {
    std::string name;  ///< "hidden.weight[3, 1]"; a projection: "hidden.weight, projection 2"
    int order = 1;
    double analytic = 0;
    double numeric = 0;
    double error = 0;  ///< |analytic - numeric|, as a multiple of what is allowed
    double ratio() const { return analytic / numeric; }
  };
  /// A place where the slopes on both sides differ. Any value between them is a subgradient: not a failure.
  struct Kink {
    std::string name;
    int order = 1;
    double analytic = 0;
    double below = 0, above = 0;  ///< the one-sided slopes
  };
  /// How a tensor was checked.
  struct Checked {
    std::string name;
    std::string tensor;  ///< "f64[10, 784]"
    int order = 1;
    std::int64_t size = 0;
    std::int64_t elements = 0;  ///< checked one by one
    int projections = 0;
    double worst = 0;  ///< relative error: |a - n| / max(|a|, |n|, 0.01 max(1, max|n|))
  };

  bool passed() const { return verdict() == Verdict::passed; }
  explicit operator bool() const { return passed(); }
  /// Failed, when a value is wrong or a requirement was broken; ill-posed, when the function is too noisy or not finite
  /// where it was asked, so that differences say nothing.
  Verdict verdict() const;
  /// The largest relative error of an order (1 or 2); 0 when it was not checked.
  double worst_error(int order) const;
  void append(GradcheckReport other);

  std::vector<Checked> checked;
  std::vector<Element> worst;           ///< the ten worst wrong elements, the worst first
  std::int64_t wrong = 0;               ///< how many were found
  std::vector<std::string> causes;      ///< the likely cause, for each tensor with wrong elements
  std::vector<std::string> violations;  ///< broken requirements: a random function, a changed input, ...
  std::vector<Kink> kinks;
  std::vector<std::string> ill_posed;
};

std::ostream& operator<<(std::ostream& out, const GradcheckReport& report);
std::string to_string(const GradcheckReport& report);

struct TaylorOptions {
  double step = 0.1;       ///< the first step; it is halved 12 times
  std::uint64_t seed = 1;  ///< of the direction and the cotangent
};

/// The remainders of phi(t) = <v, f(x + t d)> for halved steps t: of its value, with its gradient, and with its Hessian
/// (by a nested tape) taken off. They must fall like t, t^2 and t^3 until round-off takes over.
struct TaylorReport {
  struct Row {
    double step;
    double remainder[3];
  };
  std::vector<Row> rows;
  double round_off = 0;  ///< below about this a remainder says nothing
  /// The rate log2(R(2 t) / R(t)) of order 1 (value), 2 (gradient) or 3 (Hessian) at a row; NaN at the first row and
  /// where round-off has taken over.
  double rate(int order, std::size_t row) const;
  /// The rate at the smallest step before round-off; NaN when the remainder is round-off from the start, that is when
  /// the expansion is exact.
  double rate(int order) const;
  bool passed() const;
  explicit operator bool() const { return passed(); }
};

std::ostream& operator<<(std::ostream& out, const TaylorReport& report);
std::string to_string(const TaylorReport& report);

namespace detail {

GradcheckReport run_gradcheck(const CheckProblem& problem, const GradcheckOptions& options);
TaylorReport run_taylor_test(const CheckProblem& problem, const TaylorOptions& options, SourceLocation at);

}  // namespace detail

/// Checks the gradients of f(inputs...) for every floating input and, when f is a model, for every parameter, by its
/// path. f takes the tensors one by one or as one std::vector<Tensor>, and returns a Tensor or a std::vector of them. A
/// model is copied, with its parameters in double; what it keeps in buffers is put back before every call. A lambda
/// that uses a model of its own is a function of its inputs only. Throws when a model cannot be copied, or what f
/// throws.
template <class F>
GradcheckReport gradcheck(const F& f, const std::vector<Tensor>& inputs, const GradcheckOptions& options = {},
                          SourceLocation at = SourceLocation::current()) {
  const detail::CheckedFunction<std::decay_t<const F>> function(f, inputs, {"gradcheck", at});
  return detail::run_gradcheck(function.problem(), options);
}
template <class F>
GradcheckReport gradcheck(const F& f, const Tensor& input, const GradcheckOptions& options = {},
                          SourceLocation at = SourceLocation::current()) {
  return gradcheck(f, std::vector<Tensor>{input}, options, at);
}
/// ... with the line that the first input carries.
template <class F, class... Inputs>
  requires(sizeof...(Inputs) > 0 && (std::is_convertible_v<const Inputs&, const Tensor&> && ...))
GradcheckReport gradcheck(const F& f, Arg first, const Inputs&... more) {
  return gradcheck(f, std::vector<Tensor>{first.tensor(), static_cast<const Tensor&>(more)...}, {}, first.at());
}

/// Checks an op on all of its samples.
GradcheckReport gradcheck_op(const OpDescription& op, const GradcheckOptions& options = {},
                             SourceLocation at = SourceLocation::current());

/// Checks a structured op of one's own: gradcheck<Outer>().
template <class Op>
GradcheckReport gradcheck(const GradcheckOptions& options = {}, SourceLocation at = SourceLocation::current()) {
  return gradcheck_op(detail::describe_op<Op>(), options, at);
}

/// The Taylor test of f at x, for a random direction in all floating inputs and parameters.
template <class F>
TaylorReport taylor_test(const F& f, const std::vector<Tensor>& inputs, const TaylorOptions& options = {},
                         SourceLocation at = SourceLocation::current()) {
  const detail::CheckedFunction<std::decay_t<const F>> function(f, inputs, {"taylor_test", at});
  return detail::run_taylor_test(function.problem(), options, at);
}
template <class F>
TaylorReport taylor_test(const F& f, const Tensor& x, const TaylorOptions& options = {},
                         SourceLocation at = SourceLocation::current()) {
  return taylor_test(f, std::vector<Tensor>{x}, options, at);
}

}  // namespace tapegrad
