#pragma once
// What the tests of the op families share: irregular values, plain copies of elements, and finite differences.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "autograd/create.h"
#include "autograd/ops/elements.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "tests/catch.h"
#include "tests/error_of.h"

namespace op_test {

using namespace tapegrad;
using tests::error_of;

inline Tensor irregular(const Shape& shape, std::uint64_t seed = 1, DType type = f64) {
  return detail::sample_values(shape, seed).to(type);
}

/// 0, 1, 2, ... in C order.
inline Tensor counting(const Shape& shape, DType type = f64) {
  return reshape(arange(static_cast<double>(shape.size()), type), shape);
}

/// The elements in C order.
inline std::vector<double> values_of(const Tensor& x) {
  const Tensor copy = x.to(f64).clone();
  const auto v = copy.span<const double>();
  return {v.begin(), v.end()};
}

inline bool same_bits(const Tensor& a, const Tensor& b) {
  if (!(a.shape() == b.shape()) || a.dtype() != b.dtype()) return false;
  const Tensor x = a.clone();
  const Tensor y = b.clone();
  return x.size() == 0 || std::memcmp(x.data(), y.data(), static_cast<std::size_t>(x.size()) * size_of(x.dtype())) == 0;
}

inline bool is_close(const Tensor& a, const Tensor& b, double tolerance = 1e-12) {
  return a.shape() == b.shape() && allclose(a, b, {.rtol = tolerance, .atol = tolerance});
}

using Tensors = std::vector<Tensor>;
using Function = std::function<Tensor(const Tensors&)>;

/// The gradients of <f(x), cotangent> with respect to the floating inputs; zeros for those that it does not depend on.
inline std::vector<Tensor> gradients(const Function& f, const Tensors& at, const Tensor& cotangent) {
  Tape tape;
  Tensors x = at;
  Tensors wanted;
  for (Tensor& t : x) {
    if (!is_floating(t.dtype())) continue;
    tape.watch(t);
    wanted.push_back(t);
  }
  std::vector<Tensor> result = tape.gradient(f(x), wanted, {.seed = cotangent, .allow_unused = true});
  for (std::size_t k = 0; k < result.size(); ++k) {
    if (!result[k].defined()) result[k] = zeros_like(wanted[k]);
  }
  return result;
}

/// The largest difference between the gradients of f and central differences, for an irregular cotangent.
inline double gradient_error(const Function& f, const Tensors& at) {
  constexpr double step = 1.0 / 4096;
  const Tensor y = f(at);
  const Tensor cotangent = irregular(y.shape(), 77);
  const std::vector<Tensor> found = gradients(f, at, cotangent);
  const auto project = [&](const Tensors& x) { return sum(f(x) * cotangent).item(); };
  double worst = 0;
  std::size_t wanted = 0;
  for (std::size_t k = 0; k < at.size(); ++k) {
    if (!is_floating(at[k].dtype())) continue;
    const std::vector<double> gradient = values_of(found[wanted++]);
    CHECK(found[wanted - 1].shape() == at[k].shape());
    for (std::size_t i = 0; i < gradient.size(); ++i) {
      const auto moved = [&](double by) {
        Tensors x = at;
        x[k] = at[k].clone();
        x[k].span<double>()[i] += by;
        return project(x);
      };
      const double expected = (8 * (moved(step) - moved(-step)) - (moved(2 * step) - moved(-2 * step))) / (12 * step);
      worst = std::max(worst, std::abs(gradient[i] - expected) / (1 + std::abs(expected)));
    }
  }
  return worst;
}

/// The same for the gradients of f as functions of its inputs: the second order.
inline double second_order_error(const Function& f, const Tensors& at) {
  const Tensor y = f(at);
  Tensors all = at;
  all.push_back(irregular(y.shape(), 78));  // the cotangent is an input too
  const Function gradient = [&](const Tensors& x) {
    const Tensors inputs(x.begin(), x.end() - 1);
    std::vector<Tensor> parts;
    for (const Tensor& g : gradients(f, inputs, x.back())) parts.push_back(flatten(g));
    return concat(parts);
  };
  return gradient_error(gradient, all);
}

/// Every small sample of a family, at the first order; the smallest at the second one, too. (The wall has all of them.)
inline void check_samples(const std::vector<OpDescription>& ops) {
  for (const OpDescription& op : ops) {
    CHECK_FALSE(op.samples.empty());
    for (std::size_t s = 0; s < op.samples.size(); ++s) {
      const OpSample& sample = op.samples[s];
      std::int64_t size = 0;
      for (const Tensor& x : sample.inputs) size += x.size();
      if (size > 120 || !is_floating(sample.apply(sample.inputs).dtype())) continue;
      CAPTURE(op.name, s);
      CHECK(gradient_error(sample.apply, sample.inputs) < 1e-9);
      if (size <= 30) CHECK(second_order_error(sample.apply, sample.inputs) < 1e-9);
    }
  }
}

}  // namespace op_test
