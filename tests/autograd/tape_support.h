#pragma once
// What the tests of the tape share: a fixture that sees what a test leaves behind, messages, and finite differences.
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "autograd/create.h"
#include "autograd/ops/index.h"
#include "autograd/ops/losses.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/softmax.h"
#include "autograd/tape.h"
#include "tests/catch.h"

namespace tape_test {

using namespace tapegrad;

/// Nothing is recorded on this thread, and nothing of an earlier tape is left.
inline bool record_is_empty() {
  const detail::Record& r = detail::record;
  return !r.outermost && !r.innermost && !r.recording && r.generation == 0 && r.size <= 1 && r.slots_size == 0 &&
         r.walked_size == 0 && r.layer == 0 && !r.inherit_line && !r.values;
}

/// The fixture of every test here: a test must leave the thread's record as it found it.
struct CleanRecord {
  CleanRecord() { CHECK(record_is_empty()); }
  ~CleanRecord() { CHECK(record_is_empty()); }
};

/// The text of the Error that f throws; "no error" when it throws none.
template <class F>
std::string error_of(F&& f) {
  try {
    std::forward<F>(f)();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

/// What f writes to standard error.
template <class F>
std::string standard_error_of(F&& f) {
  std::fflush(stderr);
  std::FILE* file = std::tmpfile();
  REQUIRE(file);
  const int saved = dup(2);
  dup2(fileno(file), 2);
  std::forward<F>(f)();
  std::fflush(stderr);
  dup2(saved, 2);
  close(saved);
  std::string text;
  std::rewind(file);
  for (int c = std::fgetc(file); c != EOF; c = std::fgetc(file)) text += static_cast<char>(c);
  std::fclose(file);
  return text;
}

/// "test_tape.cpp:12", for a line of the calling test.
inline std::string here(int line, SourceLocation at = SourceLocation::current()) {
  const std::string place = where(at);
  return place.substr(0, place.find(':') + 1) + std::to_string(line);
}

/// An f64 tensor of values in (-0.7, 0.7) that follow no simple pattern.
inline Tensor wave(const Shape& shape, double step) {
  Tensor x = zeros(shape, f64);
  int i = 0;
  for (double& v : x.span<double>()) v = std::sin(step * ++i) * 0.7;
  return x;
}

inline Tensor scalar(double value) { return full({}, value, f64); }

/// The elements in C order.
inline std::vector<double> values_of(const Tensor& x) {
  const Tensor copy = x.clone();
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

using Scalars = std::function<double(const std::vector<Tensor>&)>;

/// The gradient of f with respect to x[k] by central differences of fourth order.
inline Tensor numeric_gradient(const Scalars& f, const std::vector<Tensor>& x, std::size_t k) {
  constexpr double step = 1.0 / 16384;
  Tensor gradient = zeros(x[k].shape(), f64);
  const auto result = gradient.span<double>();
  for (std::size_t i = 0; i < result.size(); ++i) {
    const auto moved = [&](double by) {
      std::vector<Tensor> inputs = x;
      inputs[k] = x[k].clone();
      inputs[k].span<double>()[i] += by;
      return f(inputs);
    };
    result[i] = (8 * (moved(step) - moved(-step)) - (moved(2 * step) - moved(-2 * step))) / (12 * step);
  }
  return gradient;
}

using Function = std::function<Tensor(const Tensor&)>;

/// The derivative of f as a function, by a tape of its own: apply it again for higher orders.
inline Function grad(Function f) {
  return [f = std::move(f)](const Tensor& at) {
    Tape tape;
    Tensor x = at;
    tape.watch(x);
    return tape.gradient(f(x), x);
  };
}

}  // namespace tape_test
