// The Taylor test (Farrell et al., 2013): remainders of expansions of order 0, 1 and 2.
#include <cmath>
#include <cstdio>
#include <limits>
#include <ostream>
#include <sstream>

#include "autograd/gradcheck.h"
#include "autograd/gradcheck_differences.h"
#include "autograd/ops/elements.h"
#include "autograd/random.h"

namespace tapegrad {
namespace detail {
namespace {

constexpr int halvings = 12;

using TensorList = std::vector<Tensor>;

double dot(const TensorList& a, const TensorList& b) {
  long double sum = 0;
  for (std::size_t k = 0; k < a.size(); ++k) {
    if (!a[k].defined()) continue;
    const auto x = values_of(a[k]);
    const auto y = values_of(b[k]);
    for (std::size_t i = 0; i < x.size(); ++i) sum += static_cast<long double>(x[i]) * y[i];
  }
  return static_cast<double>(sum);
}

double dot_of_magnitudes(const TensorList& a, const TensorList& b) {
  double sum = 0;
  for (std::size_t k = 0; k < a.size(); ++k) {
    if (!a[k].defined()) continue;
    const auto x = values_of(a[k]);
    const auto y = values_of(b[k]);
    for (std::size_t i = 0; i < x.size(); ++i) sum += std::abs(x[i] * y[i]);
  }
  return sum;
}

// <v, y - base>; results are subtracted first, so that what is equal cancels.
double weighed_change(const TensorList& cotangents, const TensorList& results, const TensorList& base) {
  long double sum = 0;
  for (std::size_t k = 0; k < results.size(); ++k) {
    if (!cotangents[k].defined()) continue;
    const auto v = values_of(cotangents[k]);
    const auto y = values_of(results[k]);
    const auto y0 = values_of(base[k]);
    for (std::size_t i = 0; i < v.size(); ++i) sum += static_cast<long double>(v[i]) * (y[i] - y0[i]);
  }
  return static_cast<double>(sum);
}

// A random direction of length 1 in the space of all variables.
TensorList unit_direction(const CheckProblem& problem, std::uint64_t seed) {
  random::Generator generator(seed, 1);
  TensorList direction;
  for (const CheckVariable& v : problem.variables) {
    direction.push_back(random::normal(v.value.shape(), {.dtype = f64, .generator = &generator}));
  }
  const double length = std::sqrt(dot(direction, direction));
  for (Tensor& d : direction) {
    for (double& value : d.span<double>()) value /= length;
  }
  return direction;
}

class Line {
 public:
  Line(const CheckProblem& problem, const TensorList& direction) : problem_(problem), direction_(direction) {
    for (const CheckVariable& v : problem.variables) start_.push_back(v.value.clone());
  }
  ~Line() { go_to(0); }
  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;

  TensorList results_at(double t) {
    go_to(t);
    return evaluate_problem(problem_);
  }

 private:
  void go_to(double t) {
    for (std::size_t k = 0; k < start_.size(); ++k) {
      const auto from = values_of(start_[k]);
      const auto d = values_of(direction_[k]);
      for (std::size_t i = 0; i < from.size(); ++i) {
        element_of(problem_.variables[k].value, static_cast<std::int64_t>(i)) = from[i] + t * d[i];
      }
    }
  }

  const CheckProblem& problem_;
  const TensorList& direction_;
  TensorList start_;
};

// The second derivative along the direction: the gradient of <J'v, d>, by a nested tape.
double curvature(const CheckProblem& problem, const TensorList& cotangents, const TensorList& direction) {
  const CheckProblem gradient = pull_back_problem(problem, cotangents);
  const PullBack hessian = pull_back(gradient, direction);
  double sum = 0;
  for (std::size_t k = 0; k < direction.size(); ++k) sum += dot({direction[k]}, {hessian.gradients[k]});
  return sum;
}

}  // namespace

TaylorReport run_taylor_test(const CheckProblem& problem, const TaylorOptions& options, SourceLocation at) {
  const Tape::Pause pause;
  if (problem.variables.empty()) {
    fail("taylor_test: there is nothing to differentiate: no input is floating", at);
  }
  const TensorList direction = unit_direction(problem, options.seed);
  const TensorList base = evaluate_problem(problem);
  const TensorList cotangents = random_cotangents(base, options.seed);
  const double slope = dot(direction, pull_back(problem, cotangents).gradients);
  const double bend = curvature(problem, cotangents, direction);

  TaylorReport report;
  const double size = std::abs(slope) + dot_of_magnitudes(cotangents, base);
  report.round_off = 4 * std::numeric_limits<double>::epsilon() * size;
  Line line(problem, direction);
  double t = options.step;
  for (int k = 0; k <= halvings; ++k, t /= 2) {
    const double change = weighed_change(cotangents, line.results_at(t), base);
    const double first = change - t * slope;
    const double second = first - t * t / 2 * bend;
    report.rows.push_back({t, {std::abs(change), std::abs(first), std::abs(second)}});
  }
  return report;
}

}  // namespace detail

namespace {

// Remainders must be that much larger than round-off, so that their rate is right to two digits.
constexpr double clear_of_round_off = 300;
constexpr double rate_slack = 0.1;
const char* const order_names[] = {"value", "gradient", "Hessian"};

}  // namespace

double TaylorReport::rate(int order, std::size_t row) const {
  if (row == 0 || row >= rows.size()) return std::nan("");
  const double before = rows[row - 1].remainder[order - 1];
  const double after = rows[row].remainder[order - 1];
  if (!(after > clear_of_round_off * round_off)) return std::nan("");
  return std::log2(before / after);
}

double TaylorReport::rate(int order) const {
  for (std::size_t row = rows.size(); row-- > 1;) {
    const double r = rate(order, row);
    if (!std::isnan(r)) return r;
  }
  return std::nan("");
}

bool TaylorReport::passed() const {
  for (int order = 1; order <= 3; ++order) {
    for (const Row& row : rows) {
      if (!std::isfinite(row.remainder[order - 1])) return false;
    }
    // Higher rates are a term that happens to vanish.
    if (rate(order) < order - rate_slack) return false;
  }
  return !rows.empty();
}

std::ostream& operator<<(std::ostream& out, const TaylorReport& report) {
  char text[120];
  out << "taylor_test: " << (report.passed() ? "passed" : "FAILED") << "\n     step";
  for (const char* name : order_names) {
    std::snprintf(text, sizeof text, " %12s  rate", name);
    out << text;
  }
  out << '\n';
  for (std::size_t row = 0; row < report.rows.size(); ++row) {
    std::snprintf(text, sizeof text, "  %7.1e", report.rows[row].step);
    out << text;
    for (int order = 1; order <= 3; ++order) {
      const double remainder = report.rows[row].remainder[order - 1];
      const double rate = report.rate(order, row);
      std::snprintf(text, sizeof text, " %12.1e", remainder);
      out << text;
      if (!std::isnan(rate)) {
        std::snprintf(text, sizeof text, " %5.2f", rate);
        out << text;
      } else {
        out << (row == 0 ? "     -" : "   ...");
      }
    }
    out << '\n';
  }
  std::snprintf(text, sizeof text, "  \"...\": below %.0e, where round-off takes over\n",
                clear_of_round_off * report.round_off);
  return out << text;
}

std::string to_string(const TaylorReport& report) {
  std::ostringstream out;
  out << report;
  return out.str();
}

}  // namespace tapegrad
