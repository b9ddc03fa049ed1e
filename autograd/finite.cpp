#include "autograd/finite.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "autograd/ops/elements.h"
#include "autograd/record.h"

namespace tapegrad {
namespace detail {

namespace {

struct Finiteness {
  std::int64_t nans = 0, infinities = 0;
  std::int64_t first = -1;  // the position of the first of either, in C order
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
};

Finiteness look_at(const Tensor& tensor) {
  const Tensor x = contiguous_elements(tensor);
  Finiteness found;
  with_type(x.dtype(), [&]<class T>(T*) {
    const T* const elements = x.data<T>();
    for (std::int64_t i = 0; i < x.size(); ++i) {
      const auto value = static_cast<double>(elements[i]);
      if (std::isfinite(value)) {
        found.low = std::min(found.low, value);
        found.high = std::max(found.high, value);
        continue;
      }
      ++(std::isnan(value) ? found.nans : found.infinities);
      if (found.first < 0) found.first = i;
    }
  });
  return found;
}

// 0 x is 0 for every finite x, and NaN for all others: so is the sum.
template <class T>
bool all_are_finite(const Tensor& x) {
  const T* const elements = x.data<T>();
  T sum = 0;
  for (std::int64_t i = 0; i < x.size(); ++i) sum += elements[i] * T(0);
  return sum == T(0);
}

bool is_finite(const Tensor& tensor) {
  if (!is_floating(tensor.dtype())) return true;
  const Tensor x = contiguous_elements(tensor);
  return x.dtype() == f64 ? all_are_finite<double>(x) : all_are_finite<float>(x);
}

std::string number(double x) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", x);
  return text;
}

// "[2, 0]"
std::string position(std::int64_t i, const Shape& shape) {
  std::string text;
  for (int axis = shape.ndim(); axis-- > 0;) {
    text = std::to_string(i % shape[axis]) + (text.empty() ? "" : ", ") + text;
    i /= shape[axis];
  }
  return "[" + text + "]";
}

// "f32[3, 2] with 1 NaN and 2 infinities, the first at [2, 0]; the others are in [-1, 4]"
std::string tell(const Tensor& x) {
  std::string text = describe(x);
  if (x.size() == 0) return text;
  const Finiteness found = look_at(x);
  const auto count = [](std::int64_t n, const char* one, const char* many) {
    return std::to_string(n) + ' ' + (n == 1 ? one : many);
  };
  if (found.first >= 0) {
    text += " with ";
    if (found.nans) text += count(found.nans, "NaN", "NaNs");
    if (found.nans && found.infinities) text += " and ";
    if (found.infinities) text += count(found.infinities, "infinity", "infinities");
    if (x.ndim() > 0) text += ", the first at " + position(found.first, x.shape());
  }
  const bool has_others = found.low <= found.high;
  if (has_others)
    text += (found.first >= 0 ? ", the others in [" : " in [") + number(found.low) + ", " + number(found.high) + "]";
  return text;
}

}  // namespace

void require_finite(const Op& op, SourceLocation at, const Tensor& y, const Tensor* const* x, int inputs) {
  if (is_finite(y)) return;
  std::string what = "the result is " + tell(y);
  for (int k = 0; k < inputs; ++k) {
    // The result may lie over an input.
    if (!x || !x[k] || x[k]->block()->storage() == y.block()->storage()) continue;
    what += "; input " + std::to_string(k) + " is " + tell(*x[k]);
  }
  fail_op(op.name, what, at);
}

void require_finite_gradient(const Op& op, SourceLocation at, int k, const Tensor& g, const Tensor& saved_input) {
  if (is_finite(g)) return;
  std::string what = "backward: the gradient of input " + std::to_string(k) + " is " + tell(g);
  if (saved_input.defined()) what += "; the input is " + tell(saved_input);
  fail_op(op.name, what, at);
}

void check_finite_from_now(bool checks) noexcept {
  record.checks_finite = checks;
  record.plain_limit = 0;  // the next entry finds it
}

}  // namespace detail

// Looks at what has arrived at the inputs, sums with what other rules gave included.
void Walk::check_finite() const {
  for (int k = 0; k < inputs(); ++k) {
    const std::uint64_t* const place = slot(k);
    detail::Block* const g = place ? detail::gradient_in(*place) : nullptr;
    if (!g) continue;
    const std::uint8_t saved = k < detail::max_inputs_with_uses ? op().slot_of_input[k] : detail::Op::no_slot;
    const Tensor input = saved != detail::Op::no_slot && saved_[saved].defined() ? saved_[saved] : Tensor();
    detail::require_finite_gradient(op(), at(), k, Tensor::share(g), input);
  }
}

}  // namespace tapegrad
