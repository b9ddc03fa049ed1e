#include "autograd/gradcheck.h"

#include <algorithm>
#include <cmath>

#include "autograd/gradcheck_variable.h"
#include "autograd/ops/elements.h"

namespace tapegrad {
namespace detail {
namespace {

constexpr std::int64_t slow_limit = 300;

std::string order_text(int order) { return order == 1 ? "" : "second order: "; }

// "result 1[0, 2]: 0.25 and 0.5", where two lists of results differ.
std::string first_difference(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  if (a.size() != b.size()) return std::to_string(a.size()) + " and " + std::to_string(b.size()) + " results";
  for (std::size_t k = 0; k < a.size(); ++k) {
    const std::string name = a.size() == 1 ? "the result" : "result " + std::to_string(k);
    if (!(a[k].shape() == b[k].shape()) || a[k].dtype() != b[k].dtype()) {
      return name + " is " + describe(a[k]) + " and " + describe(b[k]);
    }
    if (same_bits(a[k], b[k])) continue;
    if (a[k].dtype() != f64) return name + " " + describe(a[k]);
    const auto x = values_of(a[k]);
    const auto y = values_of(b[k]);
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (x[i] == y[i]) continue;
      char values[80];
      std::snprintf(values, sizeof values, ": %.9g and %.9g", x[i], y[i]);
      return name + (a[k].ndim() ? position_text(a[k].shape(), static_cast<std::int64_t>(i)) : "") + values;
    }
    return name + " in the sign of a zero or in a NaN";
  }
  return "";
}

// As first_difference, for values that may differ by round-off.
bool are_close(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  const Tolerance tolerance = gradcheck_tolerance(f64, 0);
  for (std::size_t k = 0; k < a.size(); ++k) {
    if (!(a[k].shape() == b[k].shape()) || a[k].dtype() != b[k].dtype()) return false;
    if (a[k].dtype() != f64) continue;
    const auto x = values_of(a[k]);
    const auto y = values_of(b[k]);
    double largest = 1;
    for (const double v : y) {
      if (std::isfinite(v)) largest = std::max(largest, std::abs(v));
    }
    for (std::size_t i = 0; i < x.size(); ++i) {
      const bool both_nan = std::isnan(x[i]) && std::isnan(y[i]);
      if (x[i] == y[i] || both_nan) continue;
      if (!(std::abs(x[i] - y[i]) <= tolerance.atol * largest + tolerance.rtol * std::abs(y[i]))) return false;
    }
  }
  return true;
}

struct Snapshot {
  explicit Snapshot(const CheckProblem& problem) {
    for (const CheckVariable& v : problem.variables) {
      elements.push_back(v.value.clone());
      versions.push_back(v.value.block()->storage()->version);
    }
  }
  std::vector<Tensor> elements;
  std::vector<std::uint32_t> versions;
};

// One order of a check: of the function itself, or of its pull-back.
class OrderCheck {
 public:
  OrderCheck(const CheckProblem& problem, int order, const GradcheckOptions& options)
      : problem_(problem), order_(order), options_(options) {}

  GradcheckReport run() {
    const Snapshot before(problem_);
    const std::vector<Tensor> first = evaluate_problem(problem_);
    check_untouched(before);
    if (!report_.violations.empty()) return std::move(report_);  // a second call would have other inputs
    require_same(first, evaluate_problem(problem_), "two calls with the same inputs differ",
                 "a random function needs a generator with a fixed seed, copied at every call");
    cotangents_ = random_cotangents(first, options_.seed + static_cast<std::uint64_t>(order_));
    check_results(first);
    if (!report_.violations.empty()) return std::move(report_);
    const PullBack once = pull_back(problem_, cotangents_);
    const PullBack again = pull_back(problem_, cotangents_);
    if (!are_close(once.results, first)) {
      add_violation("the result is another one when a tape records", first_difference(once.results, first), "");
    }
    require_same(once.gradients, again.gradients, "the gradient is another one at the second walk", "");
    check_untouched(before);
    if (!report_.violations.empty()) return std::move(report_);
    check_variables(once.gradients);
    return std::move(report_);
  }

  const std::vector<Tensor>& cotangents() const { return cotangents_; }

 private:
  void add_violation(const std::string& what, const std::string& where, const std::string& hint) {
    report_.violations.push_back(order_text(order_) + what + (where.empty() ? "" : " (" + where + ")") +
                                 (hint.empty() ? "" : "; " + hint));
  }

  void require_same(const std::vector<Tensor>& a, const std::vector<Tensor>& b, const std::string& what,
                    const std::string& hint) {
    const std::string difference = first_difference(a, b);
    if (!difference.empty()) add_violation(what, difference, hint);
  }

  void check_results(const std::vector<Tensor>& results) {
    if (problem_.variables.empty()) {
      add_violation("there is nothing to differentiate", "", "no input is floating and there is no parameter");
    }
    bool any = false;
    for (const Tensor& y : results) {
      any |= is_floating(y.dtype());
      if (y.dtype() != f32) continue;
      add_violation("a result is " + describe(y), "",
                    "the function rounds to single precision, so differences say nothing");
    }
    if (!any) add_violation("no result is floating", "", "");
  }

  void check_untouched(const Snapshot& before) {
    for (std::size_t k = 0; k < problem_.variables.size(); ++k) {
      const CheckVariable& v = problem_.variables[k];
      const bool is_new_version = v.value.block()->storage()->version != before.versions[k];
      if (is_new_version || !same_bits(v.value.clone(), before.elements[k])) {
        add_violation("the function or its rule writes to " + v.name, "", "");
      }
    }
  }

  void check_variables(const std::vector<Tensor>& gradients) {
    const Differences differences(problem_, cotangents_);
    std::int64_t elements = 0;
    for (const CheckVariable& v : problem_.variables) elements += v.value.size();
    const bool slow =
        options_.mode == CheckMode::slow || (options_.mode == CheckMode::automatic && elements <= slow_limit);
    for (std::size_t k = 0; k < problem_.variables.size(); ++k) {
      VariableCheck check(differences, k, gradients[k], order_, options_.seed);
      const std::int64_t size = problem_.variables[k].value.size();
      // Three projections cost more than a few elements, and say less.
      if (slow || size <= 20) {
        check.check_slow();
      } else {
        check.check_fast();
      }
      report_.append(check.report());
    }
  }

  const CheckProblem& problem_;
  int order_;
  const GradcheckOptions& options_;
  std::vector<Tensor> cotangents_;
  GradcheckReport report_;
};

}  // namespace

GradcheckReport run_gradcheck(const CheckProblem& problem, const GradcheckOptions& options) {
  const Tape::Pause pause;
  OrderCheck first(problem, 1, options);
  GradcheckReport report = first.run();
  // A wrong first order makes the second one meaningless.
  if (!options.second_order || report.verdict() == GradcheckReport::Verdict::failed) return report;
  const CheckProblem second_problem = pull_back_problem(problem, first.cotangents());
  report.append(OrderCheck(second_problem, 2, options).run());
  return report;
}

}  // namespace detail

GradcheckReport gradcheck_op(const OpDescription& op, const GradcheckOptions& options, SourceLocation at) {
  GradcheckReport report;
  for (std::size_t k = 0; k < op.samples.size(); ++k) {
    const OpSample& sample = op.samples[k];
    GradcheckReport part = gradcheck(sample.apply, sample.inputs, options, at);
    const std::string prefix = std::string(op.name) + " sample " + std::to_string(k) + ", ";
    for (auto& c : part.checked) c.name.insert(0, prefix);
    for (auto& e : part.worst) e.name.insert(0, prefix);
    for (auto& c : part.kinks) c.name.insert(0, prefix);
    for (auto* list : {&part.causes, &part.violations, &part.ill_posed}) {
      for (std::string& text : *list) text.insert(0, prefix);
    }
    report.append(std::move(part));
  }
  if (op.samples.empty()) report.violations.push_back(std::string(op.name) + " has no samples");
  return report;
}

}  // namespace tapegrad
