// What is likely wrong with a rule, from the pattern of its errors.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>

#include "autograd/gradcheck_variable.h"

namespace tapegrad::detail {
namespace {

constexpr std::size_t most_elements = 24;  // looked at; enough to rule out chance
constexpr double closeness = 1e-4;

class CauseFinder {
 public:
  explicit CauseFinder(VariableCheck& check) : check_(check), elements_(check.wrong_elements()) {
    if (elements_.size() > most_elements) elements_.resize(most_elements);
  }

  std::string find() {
    if (elements_.empty()) return "";
    const auto is_not_finite = [this](std::int64_t i) { return !std::isfinite(check_.analytic(i)); };
    if (std::any_of(elements_.begin(), elements_.end(), is_not_finite)) return "the gradient is not finite";
    if (is_dropped()) return dropped_text();
    if (is_factor(-1)) return "sign: the gradient is negated";
    if (is_factor(2)) return "factor of 2: the gradient is twice what it should be";
    if (is_factor(0.5)) return "factor of 2: the gradient is half of what it should be";
    if (is_transposed()) return "transposed: the last two axes of the gradient are swapped";
    std::string cause = missing_sum();
    if (!cause.empty()) return cause;
    if (is_overwritten()) return "overwritten: of several contributions to an element only one is left, not their sum";
    cause = constant_factor();
    if (!cause.empty()) return cause;
    return check_.order() == 2 ? "a second-order term is missing or wrong: is a part of the rule hidden from the tape?"
                               : "";
  }

 private:
  bool all(const std::function<double(std::int64_t)>& expected) const {
    return std::all_of(elements_.begin(), elements_.end(), [&](std::int64_t i) {
      const double a = check_.analytic(i);
      const double e = expected(i);
      return std::abs(a - e) <= closeness * std::max(std::abs(a), std::abs(e));
    });
  }

  bool is_dropped() const {
    return std::all_of(elements_.begin(), elements_.end(),
                       [this](std::int64_t i) { return std::abs(check_.analytic(i)) <= 1e-8 * check_.scale(); });
  }

  std::string dropped_text() const {
    return check_.order() == 2 ? "dropped: a second-order term is zero" : "dropped: the gradient is zero";
  }

  bool is_factor(double factor) {
    return all([&](std::int64_t i) { return factor * check_.numeric(i); });
  }

  // A buffer of the right values, written as [columns, rows] and read as [rows, columns].
  bool is_transposed() {
    const Tensor& x = check_.variable().value;
    if (x.ndim() < 2 || elements_.size() < 2) return false;
    const std::int64_t rows = x.shape(-2);
    const std::int64_t columns = x.shape(-1);
    return all([&](std::int64_t i) {
      const std::int64_t matrix = i - i % (rows * columns);
      const std::int64_t place = i - matrix;
      return check_.numeric(matrix + place % rows * columns + place / rows);
    });
  }

  // The gradient of one slice of the result, along axes over which the variable was broadcast.
  std::string missing_sum() {
    const auto& results = check_.differences().results();
    if (results.size() != 1 || results[0].size() == 0) return "";
    const Shape y = results[0].shape();
    const std::vector<int> axes = broadcast_axes(y);
    if (axes.empty() || axes.size() > 4) return "";
    load_contributions();
    for (unsigned chosen = 1; chosen < 1u << axes.size(); ++chosen) {
      for (const bool last : {false, true}) {
        if (!is_slice(y, axes, chosen, last)) continue;
        std::string text = std::string("missing broadcast sum: the gradient is that of the ") +
                           (last ? "last" : "first") + " slice along axis";
        for (std::size_t k = 0; k < axes.size(); ++k) {
          if (chosen >> k & 1) text += " " + std::to_string(axes[k]);
        }
        return text + " of the result";
      }
    }
    return "";
  }

  std::vector<int> broadcast_axes(const Shape& y) const {
    const Shape x = check_.variable().value.shape();
    std::vector<int> axes;
    const int extra = y.ndim() - x.ndim();
    if (extra < 0) return {};
    for (int axis = 0; axis < y.ndim(); ++axis) {
      const std::int64_t own = axis < extra ? 1 : x[axis - extra];
      if (own != 1 && own != y[axis]) return {};
      if (own == 1 && y[axis] > 1) axes.push_back(axis);
    }
    return axes;
  }

  bool is_slice(const Shape& y, const std::vector<int>& axes, unsigned chosen, bool last) {
    std::size_t k = 0;
    return all([&](std::int64_t) {
      double sum = 0;
      const std::vector<double>& parts = contributions_[k++];
      for (std::size_t j = 0; j < parts.size(); ++j) {
        if (is_in_slice(y, static_cast<std::int64_t>(j), axes, chosen, last)) sum += parts[j];
      }
      return sum;
    });
  }

  static bool is_in_slice(const Shape& y, std::int64_t j, const std::vector<int>& axes, unsigned chosen, bool last) {
    std::int64_t index[max_rank];
    for (int axis = y.ndim() - 1; axis >= 0; --axis) {
      index[axis] = j % y[axis];
      j /= y[axis];
    }
    for (std::size_t k = 0; k < axes.size(); ++k) {
      if ((chosen >> k & 1) && index[axes[k]] != (last ? y[axes[k]] - 1 : 0)) return false;
    }
    return true;
  }

  bool is_overwritten() {
    load_contributions();
    const auto is_one_left = [this](bool last) {
      std::size_t k = 0;
      return all([&](std::int64_t) { return lone_contribution(contributions_[k++], last); });
    };
    return is_one_left(true) || is_one_left(false);
  }

  // The last (or first) of at least two contributions.
  static double lone_contribution(const std::vector<double>& parts, bool last) {
    double largest = 0;
    for (const double c : parts) largest = std::max(largest, std::abs(c));
    std::vector<double> real;
    for (const double c : parts) {
      if (std::abs(c) > 1e-6 * largest) real.push_back(c);
    }
    if (real.size() < 2) return std::nan("");
    return last ? real.back() : real.front();
  }

  void load_contributions() {
    if (!contributions_.empty()) return;
    for (const std::int64_t i : elements_)
      contributions_.push_back(check_.differences().contributions(check_.index(), i));
  }

  std::string constant_factor() {
    if (elements_.size() < 2) return "";
    const double factor = check_.analytic(elements_[0]) / check_.numeric(elements_[0]);
    if (!std::isfinite(factor) || !is_factor(factor)) return "";
    char text[64];
    std::snprintf(text, sizeof text, "a constant factor of %.6g", factor);
    return text;
  }

  VariableCheck& check_;
  std::vector<std::int64_t> elements_;
  std::vector<std::vector<double>> contributions_;
};

}  // namespace

std::string likely_cause(VariableCheck& check) { return CauseFinder(check).find(); }

}  // namespace tapegrad::detail
