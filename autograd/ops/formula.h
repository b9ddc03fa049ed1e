#pragma once
// One op, one place: a shipped pointwise op is one struct with a formula, and one line that makes it a function.
//
//   namespace formulas {
//   struct Silu {
//     static constexpr const char* name = "silu";
//     static constexpr const char* doc = "x times its sigmoid";
//     static constexpr auto formula = [](auto x) { return x * sigmoid(x); };
//     static constexpr Domain domain[] = {{"x", -4, 4}};
//   };
//   }  // namespace formulas
//   inline Tensor silu(Arg x) { return detail::apply_formula<formulas::Silu>(x); }
//
//   using ActivationOps = OpList<formulas::Silu>;  // at the end of the header: what the library makes, checks and prints
//
// A formula of one number may have a `slope` beside it: its derivative, where one is cheaper than what would be made.
//
// Everything else follows from the formula: kernels for every instruction set, derivatives of every order, gradient
// checks and the row in docs/ops.md. The library alone traces and differentiates it; a file that includes the header
// sees a declaration. A user's own formula needs no struct: see pointwise() in pointwise_op.h.
#include <optional>

#include "autograd/op.h"
#include "autograd/ops/trace.h"

namespace tapegrad {

/// An input of a formula: its name, and the interval from which the tests draw its values.
struct Domain {
  const char* name;
  double low, high;
};

/// The pointwise ops of a header. Each list is instantiated in formula.cpp.
template <class... F>
struct OpList {};

namespace detail {

/// Applies an op of a list to as many arguments as its formula has. A number keeps the dtype of the tensor that it meets.
template <class F>
Tensor apply_formula(const Arg& a);
template <class F>
Tensor apply_formula(const Arg& a, const Arg& b);
template <class F>
Tensor apply_formula(const Arg& a, const Arg& b, const Arg& c);

/// The derivative that the op states, if any.
template <class F>
std::optional<program::Program> slope_of() {
  if constexpr (requires { F::slope; }) {
    return program::trace(F::slope);
  } else {
    return {};
  }
}

/// The descriptions of all lists.
std::vector<OpDescription> formula_ops();

}  // namespace detail
}  // namespace tapegrad
