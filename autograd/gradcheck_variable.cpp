#include "autograd/gradcheck_variable.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <set>

#include "autograd/random.h"

namespace tapegrad::detail {
namespace {

constexpr int projections = 3;
constexpr std::int64_t fast_elements = 20;
constexpr int search_limit = 400;  // projections spent on finding wrong elements
constexpr std::size_t enough_wrong_elements = 10;
constexpr double noise_limit = 1e-4;  // relative; above, differences say nothing

double larger_of(double a, double b) { return std::max(std::abs(a), std::abs(b)); }

// Two difference quotients, for steps h and h / 2, without the error of second order.
double extrapolated(double full, double half) { return (4 * half - full) / 3; }

double gap(const Differences::Slopes& s) { return std::abs(s.above - s.below); }

bool is_finite(const Differences::Slopes& s) { return std::isfinite(s.above) && std::isfinite(s.below); }

}  // namespace

VariableCheck::VariableCheck(const Differences& differences, std::size_t variable, const Tensor& gradient, int order,
                             std::uint64_t seed)
    : differences_(differences),
      index_(variable),
      gradient_(gradient),
      analytic_(values_of(gradient_)),
      order_(order),
      tolerance_(gradcheck_tolerance(f64, order)),
      seed_(seed) {
  const CheckVariable& v = this->variable();
  checked_ = {v.name, describe(v.value), order, v.value.size()};
}

void VariableCheck::check_slow() {
  std::vector<std::int64_t> all(analytic_.size());
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::int64_t>(i);
  check_elements(all);
}

void VariableCheck::check_fast() {
  random::Generator generator(seed_, static_cast<std::uint32_t>(index_));
  const std::int64_t size = checked_.size;
  const Tensor draws = random::integers(0, size, {fast_elements}, {.generator = &generator});
  std::set<std::int64_t> chosen;
  for (const std::int64_t i : std::as_const(draws).span<const std::int64_t>()) chosen.insert(i);
  check_elements({chosen.begin(), chosen.end()});
  for (int draw = 0; draw < projections; ++draw) check_projection(draw);
}

GradcheckReport VariableCheck::report() {
  checked_.elements = static_cast<std::int64_t>(findings_.size());
  found_.checked.push_back(checked_);
  if (found_.wrong) {
    std::string cause = likely_cause(*this);
    if (!cause.empty()) found_.causes.push_back(checked_.name + ": " + cause);
  }
  return std::move(found_);
}

double VariableCheck::numeric(std::int64_t i) {
  const auto known = numeric_.find(i);
  if (known != numeric_.end()) return known->second;
  return numeric_[i] = differences_.central(index_, i);
}

bool VariableCheck::is_close(double analytic, double numeric, double scale) const {
  return std::abs(analytic - numeric) <= tolerance_.atol * scale + tolerance_.rtol * larger_of(analytic, numeric);
}

void VariableCheck::note_error(double analytic, double numeric, double scale) {
  const double size = std::max(larger_of(analytic, numeric), scale * tolerance_.atol / tolerance_.rtol);
  checked_.worst = std::max(checked_.worst, std::abs(analytic - numeric) / size);
}

void VariableCheck::add_wrong(const std::string& name, double analytic, double numeric, double scale) {
  const double allowed = tolerance_.atol * scale + tolerance_.rtol * larger_of(analytic, numeric);
  double error = std::abs(analytic - numeric) / allowed;
  if (!std::isfinite(error)) error = std::numeric_limits<double>::infinity();
  ++found_.wrong;
  found_.worst.push_back({name, order_, analytic, numeric, error});
  if (std::isfinite(analytic)) {
    note_error(analytic, numeric, scale);
  } else {
    checked_.worst = error;
  }
}

// ---- elements ----

void VariableCheck::check_elements(const std::vector<std::int64_t>& elements) {
  for (const std::int64_t i : elements) {
    const double n = std::abs(numeric(i));
    if (std::isfinite(n)) scale_ = std::max(scale_, n);
  }
  for (const std::int64_t i : elements) {
    if (!findings_.contains(i)) findings_[i] = judge(i);
  }
}

VariableCheck::Finding VariableCheck::judge(std::int64_t i) {
  const double a = analytic(i);
  const double n = numeric(i);
  if (is_close(a, n)) {
    note_error(a, n, scale_);
    return Finding::agrees;
  }
  const Finding finding = judge_disagreement(i, a, n);
  if (finding == Finding::wrong) {
    wrong_elements_.push_back(i);
    add_wrong(element_name(variable(), i), a, n, scale_);
  }
  return finding;
}

VariableCheck::Finding VariableCheck::judge_disagreement(std::int64_t i, double a, double n) {
  const std::string name = element_name(variable(), i);
  if (!std::isfinite(n)) {
    found_.ill_posed.push_back(name + ": the function is not finite nearby");
    return Finding::ill_posed;
  }
  if (!std::isfinite(a)) return Finding::wrong;
  const double half = differences_.central(index_, i, 0.5);
  if (is_close(a, extrapolated(n, half))) {
    note_error(a, extrapolated(n, half), scale_);
    return Finding::agrees;
  }
  Differences::Slopes near = differences_.slopes(index_, i, 1);
  for (const double step : {1.0 / 16, 1.0 / 256}) {
    const Differences::Slopes nearer = differences_.slopes(index_, i, step);
    if (is_kink(near, nearer)) return add_kink(i, a, nearer);
    const bool differ = is_finite(near) && gap(near) > 100 * tolerance_.atol * scale_ &&
                        gap(near) > noise_limit * larger_of(near.above, near.below);
    // The kink lies between x and x + h: a smaller step does not meet it.
    const bool is_beside_kink = differ && gap(nearer) < gap(near) / 64 && is_close(a, nearer.central);
    if (is_beside_kink || (order_ == 2 && is_jump(near, nearer))) {
      found_.kinks.push_back({name, order_, a, near.below, near.above});
      kink_elements_.push_back(i);
      return Finding::kink;
    }
    near = nearer;
  }
  const double noise = spread_over_steps(i, n, half);
  const double relative = noise / std::max(larger_of(n, half), scale_ * tolerance_.atol / tolerance_.rtol);
  if (relative > noise_limit && std::abs(a - n) <= 10 * noise) {
    char text[80];
    std::snprintf(text, sizeof text, ": differences change by %.2g with the step, the gradient is %.6g", noise, a);
    found_.ill_posed.push_back(name + text);
    return Finding::ill_posed;
  }
  return Finding::wrong;
}

// How far difference quotients for other steps lie apart.
double VariableCheck::spread_over_steps(std::int64_t i, double full, double half) const {
  double low = std::min(full, half);
  double high = std::max(full, half);
  for (const double scale : {0.3, 0.7, 1.4, 1.9}) {
    const double n = differences_.central(index_, i, scale);
    low = std::min(low, n);
    high = std::max(high, n);
  }
  return high - low;
}

// One-sided slopes that differ, and stay as they are for a smaller step.
bool VariableCheck::is_kink(const Differences::Slopes& near, const Differences::Slopes& nearer) const {
  if (!is_finite(near) || !is_finite(nearer)) return false;
  const double between = gap(near);
  if (between < 1e-3 * larger_of(near.above, near.below) || between < 100 * tolerance_.atol * scale_) return false;
  return std::abs(nearer.above - near.above) < 0.1 * between && std::abs(nearer.below - near.below) < 0.1 * between;
}

// A gradient that jumps, as beside a kink of the function: what differs stays, whatever the step.
bool VariableCheck::is_jump(const Differences::Slopes& near, const Differences::Slopes& nearer) const {
  const double above = near.above * near.step;
  const double below = near.below * near.step;
  const double size = larger_of(above, below);
  return size > 1e-6 * differences_.magnitude() && std::abs(nearer.above * nearer.step - above) < 0.1 * size &&
         std::abs(nearer.below * nearer.step - below) < 0.1 * size;
}

VariableCheck::Finding VariableCheck::add_kink(std::int64_t i, double a, const Differences::Slopes& s) {
  const double slack = 1e-3 * gap(s);
  if (a < std::min(s.below, s.above) - slack || a > std::max(s.below, s.above) + slack) return Finding::wrong;
  found_.kinks.push_back({element_name(variable(), i), order_, a, s.below, s.above});
  kink_elements_.push_back(i);
  return Finding::kink;
}

// ---- projections ----

std::vector<double> VariableCheck::random_direction(int draw) const {
  random::Generator generator(seed_, static_cast<std::uint32_t>(index_), static_cast<std::uint64_t>(1000 + draw));
  const Tensor values = random::normal({checked_.size}, {.dtype = f64, .generator = &generator});
  const auto list = values_of(values);
  return {list.begin(), list.end()};
}

void VariableCheck::check_projection(int draw) {
  std::vector<double> direction = random_direction(draw);
  ++checked_.projections;
  for (int attempt = 0; attempt < 5; ++attempt) {
    for (const std::int64_t i : kink_elements_) direction[static_cast<std::size_t>(i)] = 0;
    if (agrees_along(direction)) return;
    const std::size_t kinks = kink_elements_.size();
    const std::size_t ill_posed = found_.ill_posed.size();
    search(direction);
    if (!wrong_elements_.empty() || found_.ill_posed.size() > ill_posed) return;
    if (kink_elements_.size() == kinks) break;
  }
  const std::string name = checked_.name + ", projection " + std::to_string(draw + 1);
  const auto full = differences_.along(index_, direction, analytic_);
  const auto half = differences_.along(index_, direction, analytic_, 0.5);
  const double noise = std::abs(full.numeric - half.numeric);
  if (noise > noise_limit * larger_of(full.numeric, half.numeric) &&
      std::abs(full.analytic - full.numeric) < 10 * noise) {
    found_.ill_posed.push_back(name + ": differences for steps h and h / 2 do not agree");
  } else {
    add_wrong(name, full.analytic, full.numeric, scale_);
  }
}

bool VariableCheck::agrees_along(const std::vector<double>& direction) {
  const auto full = differences_.along(index_, direction, analytic_);
  double squares = 0;
  for (std::size_t i = 0; i < direction.size(); ++i)
    squares += direction[i] * direction[i] * analytic_[i] * analytic_[i];
  // The size of the projection's terms; the projection itself may be small by chance.
  const double scale = std::max({1.0, std::abs(full.numeric), std::isfinite(squares) ? std::sqrt(squares) : 1.0});
  if (is_close(full.analytic, full.numeric, scale)) {
    note_error(full.analytic, full.numeric, scale);
    return true;
  }
  const auto half = differences_.along(index_, direction, analytic_, 0.5);
  if (is_close(full.analytic, extrapolated(full.numeric, half.numeric), scale)) return true;
  // Where thousands of kinks are near, as in a network of rectifiers, a step passes some of them, and a smaller one fewer.
  for (const double step : {1.0 / 64, 1.0 / 4096}) {
    const auto near = differences_.along(index_, direction, analytic_, step);
    if (!is_close(near.analytic, near.numeric, scale)) continue;
    note_error(near.analytic, near.numeric, scale);
    return true;
  }
  return false;
}

// Halves the direction where it disagrees, down to single elements.
void VariableCheck::search(const std::vector<double>& direction) {
  struct Range {
    std::size_t begin, end;
  };
  std::vector<Range> open{{0, direction.size()}};
  for (int spent = 0; !open.empty() && spent < search_limit && wrong_elements_.size() < enough_wrong_elements;
       ++spent) {
    const Range range = open.back();
    open.pop_back();
    if (range.end - range.begin == 1) {
      if (direction[range.begin] != 0) check_elements({static_cast<std::int64_t>(range.begin)});
      continue;
    }
    std::vector<double> part(direction.size());
    std::copy(direction.begin() + static_cast<std::ptrdiff_t>(range.begin),
              direction.begin() + static_cast<std::ptrdiff_t>(range.end),
              part.begin() + static_cast<std::ptrdiff_t>(range.begin));
    if (agrees_along(part)) continue;
    const std::size_t middle = range.begin + (range.end - range.begin) / 2;
    open.push_back({middle, range.end});
    open.push_back({range.begin, middle});
  }
}

}  // namespace tapegrad::detail
