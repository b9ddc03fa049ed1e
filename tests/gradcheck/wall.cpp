#include "tests/gradcheck/wall.h"

#include <algorithm>
#include <optional>

#include "autograd/create.h"
#include "autograd/gradcheck.h"
#include "autograd/gradcheck_differences.h"
#include "autograd/ops/elements.h"
#include "autograd/random.h"
#include "autograd/thread_pool.h"
#include "tests/gradcheck/compare.h"
#include "tests/gradcheck/forward.h"

namespace tapegrad::tests {
namespace {

using detail::copy_with_layout;
using detail::same_bits;

// A result and the gradients of the floating inputs, contiguous.
struct Outcome {
  Tensor plain;  // without a tape: some ops then use another kernel
  Tensor value;
  std::vector<Tensor> gradients;
  bool was_cut = false;  // the op's own work or its gradient's, for several threads
};

std::vector<Tensor> as_type(const std::vector<Tensor>& inputs, DType type) {
  std::vector<Tensor> list;
  for (const Tensor& x : inputs) list.push_back(copy_with_layout(x, is_floating(x.dtype()) ? type : x.dtype()));
  return list;
}

// Forward and backward. `recorded`: an enclosing tape records the walk, so that rules take their differentiable form.
Outcome forward_and_backward(const OpSample& sample, const std::vector<Tensor>& inputs, const Tensor& cotangent,
                             bool recorded) {
  std::optional<Tape> outer;
  std::vector<Tensor> handles = inputs;
  std::vector<std::size_t> floating;
  for (std::size_t k = 0; k < inputs.size(); ++k) {
    if (is_floating(inputs[k].dtype())) floating.push_back(k);
  }
  if (recorded) {
    outer.emplace();
    for (const std::size_t k : floating) outer->watch(handles[k]);
  }
  Tape tape;
  std::vector<Tensor> targets;
  for (const std::size_t k : floating) {
    tape.watch(handles[k]);
    targets.push_back(handles[k]);
  }
  Outcome outcome;
  const auto regions = [] { return thread_pool_statistics().regions; };
  outcome.plain = no_tape([&] { return sample.apply(inputs); }).clone();
  std::uint64_t before = regions();
  const Tensor y = sample.apply(handles);
  outcome.was_cut = regions() > before;
  outcome.value = y.clone();
  if (!is_floating(y.dtype())) return outcome;
  const Tensor seed = cotangent.to(y.dtype());
  before = regions();
  const std::vector<Tensor> gradients = tape.gradient(y, targets, {.seed = seed, .allow_unused = true});
  outcome.was_cut |= regions() > before;
  for (const Tensor& g : gradients) outcome.gradients.push_back(g.defined() ? g.clone() : Tensor());
  return outcome;
}

// The gradient of one input, when no other is tracked.
Tensor gradient_alone(const OpSample& sample, std::vector<Tensor> handles, std::size_t k, const Tensor& cotangent) {
  Tape tape;
  tape.watch(handles[k]);
  return tape.gradient(sample.apply(handles), handles[k], {.seed = cotangent, .allow_unused = true});
}

class OpCheck {
 public:
  explicit OpCheck(const OpDescription& op) : op_(op) {
    row_.name = op.name;
    row_.has_forward_rule = op.has_forward_rule;
  }

  WallRow run() {
    if (op_.samples.empty()) add_fault("no samples");
    for (const WallCase& c : wall_cases(op_)) {
      case_ = &c;
      ++row_.cases;
      try {
        check_gradients();
        check_inputs_alone();
        check_jvp();
        check_kernels();
      } catch (const std::exception& error) {
        add_fault(std::string("throws ") + error.what());
      }
    }
    case_ = nullptr;
    if (row_.threaded == 0 && !is_view()) add_fault("no sample is large enough to be cut for several threads");
    return std::move(row_);
  }

 private:
  void add_fault(const std::string& what) {
    const std::string where = case_ ? case_->name + ": " : "";
    row_.faults.push_back(where + what);
  }

  // Neither it nor its gradient moves an element.
  bool is_view() const {
    static constexpr const char* views[] = {"permute", "transpose", "squeeze", "unsqueeze"};
    return std::ranges::find(views, row_.name) != std::end(views);
  }

  // A condition has none.
  bool has_gradient() const { return is_floating(case_->sample->apply(case_->inputs).dtype()); }

  // Samples for several threads are there for their bits: the rules of second order are the same for small ones.
  bool is_small() const {
    std::int64_t size = 0;
    for (const Tensor& x : case_->inputs) size += x.size();
    return size <= 5000;
  }

  void check_gradients() {
    if (!has_gradient()) return;
    const GradcheckReport report = gradcheck(case_->sample->apply, case_->inputs, {.second_order = is_small()});
    row_.first_order = std::max(row_.first_order, report.worst_error(1));
    row_.second_order = std::max(row_.second_order, report.worst_error(2));
    if (!report) add_fault(to_string(report));
  }

  void check_jvp() {
    if (!has_gradient() || !is_small()) return;
    const ForwardCheck check = check_forward(*case_->sample, case_->inputs, op_.has_forward_rule);
    row_.forward = std::max(row_.forward, check.worst);
    row_.dot_test = std::max(row_.dot_test, check.worst_dot);
    for (const std::string& fault : check.faults) add_fault(fault);
  }

  // A rule may read for an input only what `uses` names for it. Where all inputs are tracked, more is saved.
  void check_inputs_alone() {
    if (!has_gradient()) return;
    const std::vector<Tensor> inputs = as_type(case_->inputs, f64);
    random::Generator generator(7);
    const Tensor y = case_->sample->apply(inputs);
    const Tensor cotangent = random::normal(y.shape(), {.dtype = y.dtype(), .generator = &generator});
    const std::vector<Tensor> together = forward_and_backward(*case_->sample, inputs, cotangent, false).gradients;
    if (together.size() < 2) return;
    for (std::size_t k = 0, next = 0; k < inputs.size(); ++k) {
      if (!is_floating(inputs[k].dtype())) continue;
      const Tensor& expected = together[next++];
      if (!expected.defined()) continue;
      const std::string name = "the gradient of input " + std::to_string(k);
      try {
        const Tensor alone = gradient_alone(*case_->sample, inputs, k, cotangent);
        // Not by their bits: gradients that are asked for together may share a product.
        const Tolerance t = gradcheck_tolerance(f64, 0);
        const bool agrees = alone.defined() && alone.shape() == expected.shape() &&
                            allclose(alone, expected, {.rtol = t.rtol, .atol = t.atol, .equal_nan = true});
        if (!agrees) add_fault(name + " is another one when no other is asked for");
      } catch (const std::exception& error) {
        add_fault(name + ", when no other is asked for: throws " + error.what());
      }
    }
  }

  void check_kernels() {
    const std::vector<Tensor> low = as_type(case_->inputs, f32);
    const std::vector<Tensor> high = as_type(low, f64);
    const Tensor y = case_->sample->apply(high);
    random::Generator generator(7);
    const Tensor cotangent = random::normal(y.shape(), {.generator = &generator});
    for (const bool recorded : {false, true}) {
      const Outcome f32_outcome = run_with_threads(low, cotangent, recorded);
      const Outcome f64_outcome = run_with_threads(high, cotangent, recorded);
      compare_outcomes(f32_outcome, f64_outcome, recorded);
    }
  }

  // The outcome for one thread, which must be that of a second run, and for 2, 3 and 7 threads.
  Outcome run_with_threads(const std::vector<Tensor>& inputs, const Tensor& cotangent, bool recorded) {
    const RestoreThreads restore;
    const std::vector<Tensor> before = as_type(inputs, inputs_type(inputs));
    set_num_threads(1);
    Outcome one = forward_and_backward(*case_->sample, inputs, cotangent, recorded);
    const Outcome again = forward_and_backward(*case_->sample, inputs, cotangent, recorded);
    require_same(one, again, "a second run gives other bits");
    bool was_cut = false;
    for (const int threads : {2, 3, 7}) {
      set_num_threads(threads);
      const Outcome other = forward_and_backward(*case_->sample, inputs, cotangent, recorded);
      require_same(one, other, std::to_string(threads) + " threads give other bits than one");
      was_cut |= other.was_cut;
    }
    if (!recorded && inputs_type(inputs) == f32) row_.threaded += was_cut;
    for (std::size_t k = 0; k < inputs.size(); ++k) {
      if (!same_bits(inputs[k].clone(), before[k].clone())) add_fault("input " + std::to_string(k) + " was written to");
    }
    return one;
  }

  static DType inputs_type(const std::vector<Tensor>& inputs) {
    for (const Tensor& x : inputs) {
      if (is_floating(x.dtype())) return x.dtype();
    }
    return f32;
  }

  void require_same(const Outcome& a, const Outcome& b, const std::string& what) {
    const std::string type = std::string(name_of(a.value.dtype())) + ": ";
    if (!same_bits(a.value, b.value) || !same_bits(a.plain, b.plain)) add_fault(type + what);
    for (std::size_t k = 0; k < a.gradients.size(); ++k) {
      if (a.gradients[k].defined() && !same_bits(a.gradients[k], b.gradients[k])) {
        add_fault(type + what + ", in the gradient of input " + std::to_string(k));
      }
    }
  }

  void compare_outcomes(const Outcome& low, const Outcome& high, bool recorded) {
    compare_values(low.plain, high.plain, "the result");
    compare_values(low.value, high.value, "the result on a tape");
    for (std::size_t k = 0; k < low.gradients.size(); ++k) {
      const Comparison gradient = compare(low.gradients[k], high.gradients[k], 1, case_->sample->f32_error);
      row_.f32_gradient = std::max(row_.f32_gradient, gradient.worst);
      if (gradient.fault.empty()) continue;
      const std::string kernel = recorded ? "f32 backward kernel, recorded" : "f32 backward kernel";
      add_fault(kernel + ": the gradient of input " + std::to_string(k) + gradient.fault);
    }
  }

  void compare_values(const Tensor& low, const Tensor& high, const char* what) {
    if (low.dtype() == boolean && !same_bits(low, high)) add_fault(std::string("f32 and f64 differ: ") + what);
    if (low.dtype() != f32) return;  // a conversion to f64 stays one
    const Comparison value = compare(low, high, 0, case_->sample->f32_error);
    row_.f32_value = std::max(row_.f32_value, value.worst);
    if (!value.fault.empty()) add_fault(std::string("f32 forward kernel: ") + what + value.fault);
  }

  const OpDescription& op_;
  const WallCase* case_ = nullptr;
  WallRow row_;
};

}  // namespace

WallRow check_op(const OpDescription& op) { return OpCheck(op).run(); }

}  // namespace tapegrad::tests
