#pragma once
// Residual connections.
#include <functional>

#include "autograd/ops/arithmetic.h"
#include "nn/layer.h"

namespace tapegrad::detail {

/// Throws when the shapes differ.
void check_residual(const Tensor& skip, const Tensor& inner, SourceLocation at);

}  // namespace tapegrad::detail

namespace tapegrad::nn {

/// y = x: a residual connection without a projection.
struct Identity {
  Tensor operator()(Arg x) const { return x.tensor(); }
};

/// y = projection(x) + inner(x), by default x + inner(x) (He et al., 2015). Both are layers, functions or anything else
/// that takes a tensor and returns one; what they hold is called "inner.weight", "projection.weight" and so on.
///
///     nn::Residual block{nn::Sequential{nn::Dense{64, 64}, relu, nn::Dense{64, 64}}};
///     nn::Residual wider{nn::Dense{64, 128}, nn::Dense{64, 128, {.bias = false}}};
///
/// Throws, when called, where the two results differ in shape.
template <class Inner, class Projection = Identity>
class Residual {
 public:
  explicit Residual(Inner of_inner, Projection of_projection = {})
      : inner(std::move(of_inner)), projection(std::move(of_projection)) {}

  Tensor operator()(Arg x) const {
    Tensor y = std::invoke(inner, x);
    const Tensor skip = std::invoke(projection, x);
    const detail::LayerScope scope(name_, x.at());
    detail::check_residual(skip, y, x.at());
    return detail::layer_result(name_, skip + std::move(y));
  }

  Inner inner;
  Projection projection;

 private:
  Name name_;

 public:
  using fields = Fields<&Residual::inner, &Residual::projection, &Residual::name_>;
};

}  // namespace tapegrad::nn
