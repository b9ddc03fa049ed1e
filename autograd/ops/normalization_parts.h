#pragma once
// What the files of the norms share: normalization.cpp has the norms, normalization_gradient.cpp their gradients.
// Internal.
#include <vector>

#include "autograd/op.h"
#include "autograd/ops/normalization_run.h"

namespace tapegrad::detail {

enum class NormKind : std::uint8_t { layer, rms, batch, group, instance };

struct NormAttributes {
  NormKind kind = NormKind::layer;
  int axes = 1;  // of the weight: the last ones of x
  NormProblem problem{};
  Tensor statistics{};  // f64 [means, 2] of mean and variance, which the forward pass writes
  Tensor ready{};       // of a gradient that the walk has computed together with the others
};

inline Shape norm_channels(const Shape& x, const NormAttributes& a) {
  return Shape(std::span(x.end() - a.axes, static_cast<std::size_t>(a.axes)));
}

inline Tensor new_norm_statistics(const NormSizes& z) { return Tensor::empty({z.means(), 2}, f64); }

/// A weight or bias, which may be a number, with an element for each channel. Not recorded.
Tensor spread_over_channels(const Tensor& given, const Shape& channels);

/// The norm as one pass, which writes the statistics. Not recorded.
Tensor normalized(const NormAttributes& a, const Tensor& x, const Tensor& weight, const Tensor& bias);

/// The norm as an op.
Tensor apply_norm(NormAttributes a, const Arg& x, const Arg& weight, const Arg& bias);

/// ... with weight 1 and bias 0, for a rule: h = (x - mean) / sqrt(var + eps).
Tensor apply_norm_alone(NormAttributes a, const Tensor& x);

/// The gradient of a norm in x, which is also the tangent along g when the weight is 1, as an op.
Tensor norm_gradient(const NormAttributes& a, const Tensor& x, const Tensor& g, const Arg& weight);

/// The rule of a norm's op.
void give_norm_gradients(Walk& w, const NormAttributes& a, const Tensor& g, bool has_bias);

std::vector<Sample<NormAttributes>> norm_samples(NormKind kind);
std::vector<OpDescription> norm_gradient_ops();

}  // namespace tapegrad::detail
