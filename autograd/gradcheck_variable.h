#pragma once
// The check of one variable: elements one by one, projections, and what a disagreement means. Internal.
#include <map>

#include "autograd/gradcheck.h"
#include "autograd/gradcheck_differences.h"

namespace tapegrad::detail {

/// Compares the gradient with respect to one variable with differences.
class VariableCheck {
 public:
  VariableCheck(const Differences& differences, std::size_t variable, const Tensor& gradient, int order,
                std::uint64_t seed);

  /// Every element by itself.
  void check_slow();
  /// Three random projections and some elements. Where a projection disagrees, bisection finds elements to blame.
  void check_fast();
  /// What was found, with the likely cause.
  GradcheckReport report();

  // ---- for the search for a cause ----

  const Differences& differences() const { return differences_; }
  const CheckVariable& variable() const { return differences_.problem().variables[index_]; }
  std::size_t index() const { return index_; }
  int order() const { return order_; }
  const std::vector<std::int64_t>& wrong_elements() const { return wrong_elements_; }
  double analytic(std::int64_t i) const { return analytic_[static_cast<std::size_t>(i)]; }
  /// The central difference, measured at the first call.
  double numeric(std::int64_t i);
  /// max(1, max|numeric|)
  double scale() const { return scale_; }

 private:
  enum class Finding : std::uint8_t { agrees, kink, ill_posed, wrong };

  bool is_close(double analytic, double numeric) const { return is_close(analytic, numeric, scale_); }
  bool is_close(double analytic, double numeric, double scale) const;
  void check_elements(const std::vector<std::int64_t>& elements);
  Finding judge(std::int64_t i);
  Finding judge_disagreement(std::int64_t i, double analytic, double numeric);
  double spread_over_steps(std::int64_t i, double full, double half) const;
  bool is_kink(const Differences::Slopes& near, const Differences::Slopes& nearer) const;
  bool is_jump(const Differences::Slopes& near, const Differences::Slopes& nearer) const;
  Finding add_kink(std::int64_t i, double analytic, const Differences::Slopes& slopes);
  void add_wrong(const std::string& name, double analytic, double numeric, double scale);
  void note_error(double analytic, double numeric, double scale);

  std::vector<double> random_direction(int draw) const;
  void check_projection(int draw);
  bool agrees_along(const std::vector<double>& direction);
  void search(const std::vector<double>& direction);

  const Differences& differences_;
  std::size_t index_;
  Tensor gradient_;
  std::span<const double> analytic_;
  int order_;
  Tolerance tolerance_;
  std::uint64_t seed_;
  double scale_ = 1;

  std::map<std::int64_t, double> numeric_;
  std::map<std::int64_t, Finding> findings_;
  std::vector<std::int64_t> wrong_elements_;
  std::vector<std::int64_t> kink_elements_;
  GradcheckReport found_;
  GradcheckReport::Checked checked_;
};

/// What is likely wrong with the elements that were found wrong; "" when nothing simple explains them.
std::string likely_cause(VariableCheck& check);

}  // namespace tapegrad::detail
