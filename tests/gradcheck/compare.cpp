#include "tests/gradcheck/compare.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "autograd/gradcheck.h"
#include "autograd/ops/elements.h"

namespace tapegrad::tests {
namespace {

double value_at(const Tensor& x, std::int64_t i) {
  return x.dtype() == f32 ? static_cast<double>(x.data<float>()[i]) : x.data<double>()[i];
}

}  // namespace

Comparison compare(const Tensor& low, const Tensor& high, int order, double f32_error) {
  if (low.defined() != high.defined()) return {0, " has a gradient in one precision only"};
  if (!low.defined()) return {};
  if (!(low.shape() == high.shape())) return {0, " is " + describe(low) + " and " + describe(high)};
  const Tolerance tolerance = gradcheck_tolerance(f32, order);
  const double atol = std::max(tolerance.atol, f32_error);
  double scale = 1;
  for (std::int64_t i = 0; i < high.size(); ++i) scale = std::max(scale, std::abs(value_at(high, i)));
  Comparison c;
  double most = 1;  // times what is allowed
  for (std::int64_t i = 0; i < high.size(); ++i) {
    const double a = value_at(low, i);
    const double b = value_at(high, i);
    if (a == b || (std::isnan(a) && std::isnan(b))) continue;
    const double size = std::max(std::abs(a), std::abs(b));
    const double excess = std::abs(a - b) / (atol * scale + tolerance.rtol * size);
    c.worst = std::max(c.worst, std::abs(a - b) / std::max(size, scale * tolerance.atol / tolerance.rtol));
    if (excess <= most) continue;
    most = std::isnan(excess) ? HUGE_VAL : excess;
    char text[80];
    std::snprintf(text, sizeof text, ": f32 gives %.9g, f64 %.9g", a, b);
    c.fault = detail::position_text(high.shape(), i) + text;
  }
  return c;
}

}  // namespace tapegrad::tests
