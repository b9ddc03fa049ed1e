#pragma once
// Norms of single rows: layer norm and RMS norm. They do the same in training and in evaluation.
#include <optional>

#include "nn/layer.h"

namespace tapegrad::nn {

struct LayerNormOptions {
  double eps = 1e-5;
  bool elementwise_affine = true;  ///< weight and bias
  bool bias = true;                ///< false: weight only
};

/// y = (x - mean) / sqrt(var + eps) * weight + bias, with mean and var over the last axes of x, which have the sizes
/// `normalized_shape`: a number for the last one, or a Shape for several. x [..., normalized_shape].
///
/// Weight and bias have that shape and start as 1 and 0. Throws for sizes below 1 and a negative eps; when called, for
/// other last axes or another dtype. Ba, Kiros and Hinton, "Layer Normalization", 2016.
class LayerNorm {
 public:
  explicit LayerNorm(std::int64_t normalized_shape, const LayerNormOptions& options = {},
                     SourceLocation at = SourceLocation::current());
  explicit LayerNorm(const Shape& normalized_shape, const LayerNormOptions& options = {},
                     SourceLocation at = SourceLocation::current());

  Tensor operator()(Arg x) const;

  std::optional<Parameter> weight, bias;

 private:
  Shape shape_;
  double eps_;
  Name name_;

 public:
  using fields = Fields<&LayerNorm::weight, &LayerNorm::bias, &LayerNorm::name_>;
};

struct RMSNormOptions {
  std::optional<double> eps;       ///< by default the machine epsilon of x's dtype: 1.2e-7 for f32, 2.2e-16 for f64
  bool elementwise_affine = true;  ///< weight
};

/// y = x / sqrt(mean(x^2) + eps) * weight, with the mean over the last axes of x, as in LayerNorm.
///
/// Throws as LayerNorm does. Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019.
class RMSNorm {
 public:
  explicit RMSNorm(std::int64_t normalized_shape, const RMSNormOptions& options = {},
                   SourceLocation at = SourceLocation::current());
  explicit RMSNorm(const Shape& normalized_shape, const RMSNormOptions& options = {},
                   SourceLocation at = SourceLocation::current());

  Tensor operator()(Arg x) const;

  std::optional<Parameter> weight;

 private:
  Shape shape_;
  std::optional<double> eps_;
  Name name_;

 public:
  using fields = Fields<&RMSNorm::weight, &RMSNorm::name_>;
};

}  // namespace tapegrad::nn
