#pragma once
// Both sides of a gradient check: the tape's pull-back, and differences of function values. Internal.
#include <optional>
#include <span>

#include "autograd/gradcheck_problem.h"

namespace tapegrad::detail {

/// The function's results, and J'v: the gradients of all variables for a cotangent per result.
struct PullBack {
  std::vector<Tensor> results;
  std::vector<Tensor> gradients;  // contiguous; zeros for a variable that was not reached
};
PullBack pull_back(const CheckProblem& problem, const std::vector<Tensor>& cotangents);

/// The function (x, v) -> J(x)'v as a problem of its own, by a nested tape. `cotangents` become variables.
CheckProblem pull_back_problem(const CheckProblem& problem, const std::vector<Tensor>& cotangents);

/// Runs the function with recording off. The results are contiguous.
std::vector<Tensor> evaluate_problem(const CheckProblem& problem);

/// Values of a normal distribution, one tensor per result; nothing for a result that is not f64.
std::vector<Tensor> random_cotangents(const std::vector<Tensor>& results, std::uint64_t seed);

/// A tensor of the check as doubles; only of contiguous ones.
std::span<const double> values_of(const Tensor& contiguous);
/// Element i, in C order, of a tensor with any strides.
double& element_of(const Tensor& x, std::int64_t i);

bool same_bits(const Tensor& a, const Tensor& b);

/// "x[3, 1]"; "x" for a 0-dim tensor.
std::string element_name(const CheckVariable& variable, std::int64_t i);

/// The scale of differences at x: cbrt(eps) max(1, |x|), where truncation and round-off are alike.
double difference_step(double x);

/// Differences of <v, f> around the variables' values.
class Differences {
 public:
  Differences(const CheckProblem& problem, const std::vector<Tensor>& cotangents);

  struct Slopes {
    double below = 0, above = 0;  // one-sided
    double central = 0;
    double step = 0;
  };
  /// The slopes with respect to one element, for a step of `scale` times the usual one.
  Slopes slopes(std::size_t variable, std::int64_t i, double scale) const;
  double central(std::size_t variable, std::int64_t i, double scale = 1) const;

  /// The derivative along a direction: the difference quotient, and what the gradient makes of the very steps taken.
  struct Projection {
    double numeric = 0;
    double analytic = 0;
  };
  Projection along(std::size_t variable, std::span<const double> direction, std::span<const double> gradient,
                   double scale = 1) const;

  /// v_j dy_j / dx_i for all elements j of the results, one result after the other.
  std::vector<double> contributions(std::size_t variable, std::int64_t i) const;

  const CheckProblem& problem() const { return problem_; }
  const std::vector<Tensor>& results() const { return base_; }
  /// The sum of |v_j f_j|.
  double magnitude() const { return magnitude_; }

 private:
  std::vector<Tensor> at(std::size_t variable, std::int64_t i, double value) const;
  double weigh(const std::vector<Tensor>& plus, const std::vector<Tensor>& minus) const;

  const CheckProblem& problem_;
  const std::vector<Tensor>& cotangents_;
  std::vector<Tensor> base_;
  double magnitude_ = 0;
};

}  // namespace tapegrad::detail
