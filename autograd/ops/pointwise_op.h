#pragma once
// The mechanism of pointwise ops, and pointwise() for users' own. The shipped ones are in pointwise.h.
#include <atomic>
#include <map>
#include <mutex>
#include <optional>

#include "autograd/op.h"
#include "autograd/ops/trace.h"

namespace tapegrad {
namespace detail {

enum class PointwiseResult : std::uint8_t { number, boolean };

/// A pointwise program as an op of the tape, with its derivatives, which are made when they are first needed.
class PointwiseOp : public Op {
 public:
  /// `slope`: the derivative of a program with one input, in place of the one that would be made from it.
  PointwiseOp(const char* name, program::Program program, PointwiseResult result = PointwiseResult::number,
              std::optional<program::Program> slope = {});
  PointwiseOp(const PointwiseOp&) = delete;
  PointwiseOp& operator=(const PointwiseOp&) = delete;
  ~PointwiseOp();

  /// The gradients of several inputs in one program. `program` has an output for each input in `general`; the others
  /// need none: their gradient is zero or the cotangent.
  struct Gradient {
    program::Derivative derivative;
    program::Executable executable;
    std::vector<program::Partial> partials;  // of all wanted inputs
    std::vector<std::uint8_t> inputs;        // of the program's outputs: whose gradient each is
    std::vector<std::uint8_t> slots;         // of the program's inputs: which saved tensor each is, or the cotangent
    bool is_all_general = false;             // every one of them is an output of the program
    bool may_lend = false;                   // ... and the first one may be written over the cotangent
  };

  const program::Program& program() const { return program_; }
  const program::Executable& executable() const { return executable_; }
  PointwiseResult result() const { return result_; }
  program::Derivative differentiate(unsigned wanted) const {
    return slope_ ? program::differentiate_by(*slope_) : program::differentiate(program_, wanted);
  }
  bool is_integral() const { return integral_; }
  int inputs() const { return executable_.input_count; }

  const Gradient& gradient(unsigned wanted) const {
    const Gradient* made = wanted < gradients_.size() ? gradients_[wanted].load(std::memory_order_acquire) : nullptr;
    return made ? *made : make_gradient(wanted);
  }
  /// The gradient of one input as an op of its own, so that a walk can be recorded. Its inputs are the sources.
  struct PartialOp {
    program::Partial partial;
    std::vector<program::Source> sources;
    std::unique_ptr<PointwiseOp> op;
  };
  const PartialOp& partial(int k) const;

  static constexpr std::uint8_t cotangent = 0xfe;  // in Gradient::slots

 private:
  const Gradient& make_gradient(unsigned wanted) const;
  std::uint8_t slot_of(const program::Source& source) const;

  program::Program program_;
  std::optional<program::Program> slope_;
  program::Executable executable_;
  PointwiseResult result_;
  bool integral_;  // every step keeps integers integers
  mutable std::mutex mutex_;
  mutable std::array<std::atomic<const Gradient*>, 64> gradients_{};  // of up to six inputs
  mutable std::map<unsigned, std::unique_ptr<const Gradient>> more_gradients_;
  mutable std::array<std::atomic<const PartialOp*>, max_inputs_with_uses> partials_{};
};

/// Applies op to as many arguments as its program has inputs, 1 to 6; each A is Arg.
template <class... A>
Tensor apply_pointwise(const PointwiseOp& op, const A&... args);

/// sum += g, of the same shape and dtype, where may_add_in_place (record.h).
void add_in_place(Block& sum, const Block& g);

}  // namespace detail

/// A formula as a function of tensors; made by pointwise(). It can also be used inside another formula, whose derivative
/// then comes from both formulas together.
template <class Formula, class Slope = void>
class Pointwise {
 public:
  using fields = nn::Fields<>;  // a model may hold one: it has no parameters
  static constexpr std::size_t arguments = program::argument_count<Formula>;

  explicit Pointwise(const char* name) : op_(&op(name)) {}

  Tensor operator()(Arg a) const
    requires(arguments == 1)
  {
    return detail::apply_pointwise(*op_, a);
  }
  Tensor operator()(Arg a, Arg b) const
    requires(arguments == 2)
  {
    return detail::apply_pointwise(*op_, a, b);
  }
  Tensor operator()(Arg a, Arg b, Arg c) const
    requires(arguments == 3)
  {
    return detail::apply_pointwise(*op_, a, b, c);
  }
  Tensor operator()(Arg a, Arg b, Arg c, Arg d) const
    requires(arguments == 4)
  {
    return detail::apply_pointwise(*op_, a, b, c, d);
  }
  Tensor operator()(Arg a, Arg b, Arg c, Arg d, Arg e) const
    requires(arguments == 5)
  {
    return detail::apply_pointwise(*op_, a, b, c, d, e);
  }
  Tensor operator()(Arg a, Arg b, Arg c, Arg d, Arg e, Arg f) const
    requires(arguments == 6)
  {
    return detail::apply_pointwise(*op_, a, b, c, d, e, f);
  }

  template <class... S>
    requires(sizeof...(S) == arguments && (std::is_same_v<S, program::Symbol> && ...))
  program::Symbol operator()(S... symbols) const {
    return Formula{}(symbols...);
  }

  /// "x * sigmoid(x)", and the formula of the gradient of input k.
  std::string formula() const { return program::to_string(op_->program()); }
  const detail::PointwiseOp& op() const { return *op_; }

 private:
  static const detail::PointwiseOp& op(const char* name) {
    if constexpr (std::is_void_v<Slope>) {
      static const detail::PointwiseOp op(name, program::trace(Formula{}));
      return op;
    } else {
      static const detail::PointwiseOp op(name, program::trace(Formula{}), detail::PointwiseResult::number,
                                          program::trace(Slope{}));
      return op;
    }
  }
  const detail::PointwiseOp* op_;
};

/// Makes a differentiable function of tensors from a captureless generic lambda of one to six numbers:
///
///   const auto swish = pointwise("swish", [](auto x) { return x * sigmoid(x); });
///
/// The lambda may use + - * / and the functions of autograd/ops/trace.h. It has no control flow: choose values with
/// where(x > 0, a, b). A run-time coefficient is one more argument, to which a number is passed.
template <class Formula>
Pointwise<Formula> pointwise(const char* name, Formula) {
  return Pointwise<Formula>(name);
}
/// ... with a derivative of one's own, for a formula of one number: a cheaper one, or another one where there is a
/// choice. Higher derivatives are made from it. Check it: gradcheck(relu6, x).
///
///   const auto relu6 = pointwise("relu6", [](auto x) { return minimum(relu(x), 6); },
///                                [](auto x) { return where(x > 0, where(x < 6, 1, 0), 0); });
template <class Formula, class Slope>
Pointwise<Formula, Slope> pointwise(const char* name, Formula, Slope) {
  static_assert(program::argument_count<Formula> == 1 && program::argument_count<Slope> == 1,
                "a formula with a derivative of its own has one argument, and so has the derivative");
  return Pointwise<Formula, Slope>(name);
}

}  // namespace tapegrad
