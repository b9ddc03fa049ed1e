#include "tests/gradcheck/forward.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "autograd/gradcheck.h"
#include "autograd/gradcheck_differences.h"
#include "autograd/jvp.h"
#include "autograd/ops/elements.h"
#include "autograd/ops/pointwise.h"
#include "autograd/random.h"

namespace tapegrad::tests {
namespace {

using Tensors = std::vector<Tensor>;
using Function = std::function<Tensor(const Tensors&)>;

constexpr double dot_tolerance = 1e-12;

std::vector<double> values_of(const Tensor& x) {
  const Tensor copy = x.clone();
  const auto values = copy.span<const double>();
  return {values.begin(), values.end()};
}

Tensors random_like(const Tensors& list, std::uint64_t seed) {
  random::Generator generator(seed);
  Tensors random;
  for (const Tensor& x : list) random.push_back(random::normal(x.shape(), {.dtype = f64, .generator = &generator}));
  return random;
}

Tensors moved(const Tensors& x, const Tensors& direction, double by) {
  Tensors there;
  for (std::size_t k = 0; k < x.size(); ++k) there.push_back(x[k] + by * direction[k]);
  return there;
}

double largest(const std::vector<double>& values) {
  double most = 1;
  for (const double v : values) most = std::max(most, std::abs(v));
  return most;
}

// Compares the elements of a tangent with differences. Where the slopes on both sides differ, any value between them is
// a derivative.
class Comparison {
 public:
  Comparison(const Function& f, const Tensors& x, const Tensors& direction)
      : step_(detail::difference_step(1)),
        here_(values_of(f(x))),
        above_(values_of(f(moved(x, direction, step_)))),
        below_(values_of(f(moved(x, direction, -step_)))) {
    for (std::size_t i = 0; i < here_.size(); ++i) central_.push_back((above_[i] - below_[i]) / (2 * step_));
    scale_ = largest(central_);
  }

  void add_to(ForwardCheck& check, const Tensor& tangent, const std::string& what) const {
    const std::vector<double> computed = values_of(tangent);
    const Tolerance allowed = gradcheck_tolerance(f64, 1);
    for (std::size_t i = 0; i < computed.size(); ++i) {
      const double size = std::max(std::abs(computed[i]), std::abs(central_[i]));
      const double error = std::abs(computed[i] - central_[i]);
      if (error <= allowed.atol * scale_ + allowed.rtol * size) {
        check.worst = std::max(check.worst, error / std::max(size, 0.01 * scale_));
      } else if (!is_at_kink(i, computed[i])) {
        char text[96];
        std::snprintf(text, sizeof text, " is %.9g, the difference quotient %.9g", computed[i], central_[i]);
        check.faults.push_back(what + detail::position_text(tangent.shape(), static_cast<std::int64_t>(i)) + text);
        return;
      }
    }
  }

 private:
  bool is_at_kink(std::size_t i, double computed) const {
    const auto [low, high] = std::minmax({(above_[i] - here_[i]) / step_, (here_[i] - below_[i]) / step_});
    const double slack = 1e-3 * scale_;
    return high - low > 10 * slack && computed > low - slack && computed < high + slack;
  }

  double step_;
  std::vector<double> here_, above_, below_, central_;
  double scale_;
};

struct DotProduct {
  double sum = 0;
  double magnitude = 0;

  void add(const Tensor& a, const Tensor& b) {
    const std::vector<double> x = values_of(a);
    const std::vector<double> y = values_of(b);
    for (std::size_t i = 0; i < x.size(); ++i) {
      sum += x[i] * y[i];
      magnitude += std::abs(x[i] * y[i]);
    }
  }
};

Tensors gradients(const Function& f, Tensors x, const Tensor& cotangent) {
  Tape tape;
  for (Tensor& t : x) tape.watch(t);
  const Tensor y = f(x);
  return tape.gradient(y, x, {.seed = cotangent, .allow_unused = true});
}

void run_dot_test(ForwardCheck& check, const Function& f, const Tensors& x, const Tensors& u, const Tensor& forward) {
  const Tensor v = random_like({forward}, 13)[0];
  const Tensors backward = gradients(f, x, v);
  DotProduct left;
  DotProduct right;
  left.add(v, forward);
  for (std::size_t k = 0; k < x.size(); ++k) {
    if (backward[k].defined()) right.add(backward[k], u[k]);
  }
  const double magnitude = left.magnitude + right.magnitude;
  const double error = std::abs(left.sum - right.sum);
  if (magnitude > 0) check.worst_dot = std::max(check.worst_dot, error / magnitude);
  if (error <= dot_tolerance * magnitude) return;
  char text[96];
  std::snprintf(text, sizeof text, "dot test: <v, J u> is %.17g, <J' v, u> is %.17g", left.sum, right.sum);
  check.faults.push_back(text);
}

// With one input alone, an op saves less than with all of them. The tangents of each must add up to that of all.
void check_parts(ForwardCheck& check, const Function& f, const Tensors& x, const Tensors& u, const Tensor& forward) {
  const std::vector<double> all = values_of(forward);
  std::vector<double> sum(all.size());
  std::vector<double> magnitude(all.size());
  for (std::size_t k = 0; k < x.size(); ++k) {
    const auto f_of_k = [&](Arg input) {
      Tensors list = x;
      list[k] = input.tensor();
      return f(list);
    };
    const std::vector<double> part = values_of(jvp(f_of_k, x[k], u[k]).tangent);
    for (std::size_t i = 0; i < part.size(); ++i) {
      sum[i] += part[i];
      magnitude[i] += std::abs(part[i]);
    }
  }
  for (std::size_t i = 0; i < all.size(); ++i) {
    const double error = std::abs(sum[i] - all[i]);
    if (error <= gradcheck_tolerance(f64, 0).rtol * std::max(magnitude[i], 1.0)) continue;
    char text[96];
    std::snprintf(text, sizeof text, " is %.17g, the sum over single inputs %.17g", all[i], sum[i]);
    check.faults.push_back("jvp: element " + detail::position_text(forward.shape(), static_cast<std::int64_t>(i)) +
                           text);
    return;
  }
}

}  // namespace

ForwardCheck check_forward(const OpSample& sample, const Tensors& inputs, bool dot_test) {
  Tensors x;
  for (const Tensor& input : inputs) {
    if (input.dtype() == f64) x.push_back(input);
  }
  const Function f = [&](const Tensors& floating) {
    Tensors all = inputs;
    std::size_t next = 0;
    for (Tensor& input : all) {
      if (input.dtype() == f64) input = floating[next++];
    }
    return sample.apply(all);
  };
  ForwardCheck check;
  if (x.empty() || f(x).dtype() != f64) return check;

  const Tensors u = random_like(x, 11);
  const Tensor forward = jvp(f, x, u).tangent;
  Comparison(f, x, u).add_to(check, forward, "jvp: element ");
  if (dot_test) run_dot_test(check, f, x, u, forward);
  if (x.size() > 1) check_parts(check, f, x, u, forward);

  const Tensors w = random_like(x, 12);
  const Function along_u = [&](const Tensors& at) { return jvp(f, at, u).tangent; };
  Comparison(along_u, x, w).add_to(check, jvp(along_u, x, w).tangent, "jvp of jvp: element ");
  return check;
}

}  // namespace tapegrad::tests
