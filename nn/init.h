#pragma once
// Initial values. Layers start with PyTorch's defaults; these functions set others:
//
//     nn::init::he_normal(net.hidden.weight);
//     for (auto& [name, parameter] : nn::parameters(net)) nn::init::normal(*parameter, {.std = 0.02});
//
// The fan-in of a weight [out, ..., in] is the product of all axes but the first: the inputs of one output. Its fan-out
// is the product of all but the last. A dense weight [out, in] and a convolution's [out, height, width, in] both fit.
#include "autograd/parameter.h"
#include "autograd/random.h"

namespace tapegrad::nn::init {

struct UniformOptions {
  double low = 0;
  double high = 1;
  random::Generator* generator = nullptr;  ///< nullptr: the default one
};
/// Evenly distributed over low <= x < high.
void uniform(Parameter& parameter, UniformOptions options = {}, SourceLocation at = SourceLocation::current());

struct NormalOptions {
  double mean = 0;
  double std = 1;
  random::Generator* generator = nullptr;
};
/// Normally distributed.
void normal(Parameter& parameter, NormalOptions options = {}, SourceLocation at = SourceLocation::current());

/// Every element is `value`.
void constant(Parameter& parameter, double value, SourceLocation at = SourceLocation::current());

struct XavierOptions {
  double gain = 1;
  random::Generator* generator = nullptr;
};
/// U(-a, a) with a = gain sqrt(6 / (fan_in + fan_out)), for layers before tanh or sigmoid. Glorot and Bengio,
/// "Understanding the difficulty of training deep feedforward neural networks", 2010. Throws for fewer than 2 axes.
void xavier_uniform(Parameter& parameter, XavierOptions options = {}, SourceLocation at = SourceLocation::current());
/// N(0, s^2) with s = gain sqrt(2 / (fan_in + fan_out)).
void xavier_normal(Parameter& parameter, XavierOptions options = {}, SourceLocation at = SourceLocation::current());

enum class Fan { in, out };

struct HeOptions {
  double slope = 0;   ///< of the negative side of the leaky ReLU that follows; 0 is ReLU
  Fan fan = Fan::in;  ///< in keeps the variance of the forward pass, out that of the backward pass
  random::Generator* generator = nullptr;
};
/// U(-a, a) with a = sqrt(6 / ((1 + slope^2) fan)), for layers before ReLU. He, Zhang, Ren and Sun, "Delving deep into
/// rectifiers", 2015. Throws for fewer than 2 axes.
void he_uniform(Parameter& parameter, HeOptions options = {}, SourceLocation at = SourceLocation::current());
/// N(0, s^2) with s = sqrt(2 / ((1 + slope^2) fan)).
void he_normal(Parameter& parameter, HeOptions options = {}, SourceLocation at = SourceLocation::current());

struct OrthogonalOptions {
  double gain = 1;
  random::Generator* generator = nullptr;
};
/// A random matrix [out, the other axes] whose rows (or columns, when there are fewer of them) are orthogonal and of
/// length `gain`. Saxe, McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep linear
/// neural networks", 2013. Throws for fewer than 2 axes.
void orthogonal(Parameter& parameter, OrthogonalOptions options = {}, SourceLocation at = SourceLocation::current());

/// Values of a function of the shape:
///     nn::init::custom(net.out.weight, [](const Shape& shape) { return 0.1 * random::normal(shape); });
template <class F>
void custom(Parameter& parameter, F&& f, SourceLocation at = SourceLocation::current()) {
  parameter.assign(f(parameter.shape()), at);
}

}  // namespace tapegrad::nn::init
