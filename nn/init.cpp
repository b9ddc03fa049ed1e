#include "nn/init.h"

#include <cmath>
#include <vector>

#include "autograd/create.h"
#include "autograd/tape.h"

namespace tapegrad::nn::init {
namespace {

void check_defined(const char* who, const Parameter& parameter, SourceLocation at) {
  if (!parameter.defined()) fail(std::string(who) + ": the parameter is empty, so it has no shape", at);
}

void check_matrix(const char* who, const Parameter& parameter, SourceLocation at) {
  check_defined(who, parameter, at);
  if (parameter.ndim() < 2) {
    fail(std::string(who) + ": the parameter must have two axes or more, it is " + describe(parameter), at,
         "biases usually start at constant(parameter, 0)");
  }
}

struct Fans {
  double in = 1;
  double out = 1;
};

Fans fans_of(const char* who, const Parameter& parameter, SourceLocation at) {
  check_matrix(who, parameter, at);
  const Shape shape = parameter.shape();
  const auto all = static_cast<double>(shape.size());
  if (all == 0) fail(std::string(who) + ": the parameter has no elements: " + describe(parameter), at);
  return {all / static_cast<double>(shape[0]), all / static_cast<double>(shape.back())};
}

double he_std(const char* who, const Parameter& parameter, const HeOptions& options, SourceLocation at) {
  const Fans fans = fans_of(who, parameter, at);
  return std::sqrt(2 / ((1 + options.slope * options.slope) * (options.fan == Fan::in ? fans.in : fans.out)));
}

double xavier_std(const char* who, const Parameter& parameter, const XavierOptions& options, SourceLocation at) {
  const Fans fans = fans_of(who, parameter, at);
  return options.gain * std::sqrt(2 / (fans.in + fans.out));
}

// U(-a, a) has the standard deviation a / sqrt(3).
void set_uniform(Parameter& parameter, double std, random::Generator* generator, SourceLocation at) {
  const double bound = std::abs(std) * std::sqrt(3.0);
  uniform(parameter, {.low = -bound, .high = bound, .generator = generator}, at);
}

// Gram and Schmidt's process on the rows of [rows, length], rows <= length. Each row is made orthogonal twice: once
// leaves an error that grows with the condition of the matrix.
void make_orthonormal(std::span<double> values, std::size_t rows, std::size_t length) {
  for (std::size_t i = 0; i < rows; ++i) {
    double* const row = values.data() + i * length;
    for (int pass = 0; pass < 2; ++pass) {
      for (std::size_t j = 0; j < i; ++j) {
        const double* const other = values.data() + j * length;
        double dot = 0;
        for (std::size_t k = 0; k < length; ++k) dot += row[k] * other[k];
        for (std::size_t k = 0; k < length; ++k) row[k] -= dot * other[k];
      }
    }
    double sum = 0;
    for (std::size_t k = 0; k < length; ++k) sum += row[k] * row[k];
    for (std::size_t k = 0; k < length; ++k) row[k] /= std::sqrt(sum);
  }
}

}  // namespace

void uniform(Parameter& parameter, UniformOptions options, SourceLocation at) {
  check_defined("init::uniform", parameter, at);
  parameter.assign(
      random::uniform(
          parameter.shape(),
          {.low = options.low, .high = options.high, .dtype = parameter.dtype(), .generator = options.generator}, at),
      at);
}

void normal(Parameter& parameter, NormalOptions options, SourceLocation at) {
  check_defined("init::normal", parameter, at);
  parameter.assign(
      random::normal(
          parameter.shape(),
          {.mean = options.mean, .std = options.std, .dtype = parameter.dtype(), .generator = options.generator}, at),
      at);
}

void constant(Parameter& parameter, double value, SourceLocation at) {
  check_defined("init::constant", parameter, at);
  parameter.assign(full_like(parameter, value, at), at);
}

void xavier_uniform(Parameter& parameter, XavierOptions options, SourceLocation at) {
  set_uniform(parameter, xavier_std("init::xavier_uniform", parameter, options, at), options.generator, at);
}

void xavier_normal(Parameter& parameter, XavierOptions options, SourceLocation at) {
  const double std = xavier_std("init::xavier_normal", parameter, options, at);
  normal(parameter, {.std = std::abs(std), .generator = options.generator}, at);
}

void he_uniform(Parameter& parameter, HeOptions options, SourceLocation at) {
  set_uniform(parameter, he_std("init::he_uniform", parameter, options, at), options.generator, at);
}

void he_normal(Parameter& parameter, HeOptions options, SourceLocation at) {
  normal(parameter, {.std = he_std("init::he_normal", parameter, options, at), .generator = options.generator}, at);
}

void orthogonal(Parameter& parameter, OrthogonalOptions options, SourceLocation at) {
  check_matrix("init::orthogonal", parameter, at);
  if (parameter.size() == 0) return;
  const auto rows = static_cast<std::size_t>(parameter.shape(0));
  const std::size_t columns = static_cast<std::size_t>(parameter.size()) / rows;
  const std::size_t shorter = std::min(rows, columns);
  const std::size_t longer = std::max(rows, columns);
  Tensor draw = random::normal(Shape{static_cast<std::int64_t>(shorter), static_cast<std::int64_t>(longer)},
                               {.dtype = f64, .generator = options.generator}, at);
  const std::span<double> vectors = draw.span<double>();
  make_orthonormal(vectors, shorter, longer);

  Tensor values = Tensor::empty(parameter.shape(), f64);
  const std::span<double> out = values.span<double>();
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < columns; ++j) {
      out[i * columns + j] = options.gain * (rows <= columns ? vectors[i * longer + j] : vectors[j * longer + i]);
    }
  }
  parameter.assign(values.to(parameter.dtype()), at);
}

}  // namespace tapegrad::nn::init
