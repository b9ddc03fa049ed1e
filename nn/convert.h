#pragma once
// A model in another precision.
#include <concepts>

#include "autograd/tape.h"

namespace tapegrad::nn {

/// A copy of the model whose parameters, and buffers of f32 or f64, have that dtype: `nn::to(net, f64)` for a gradient
/// check. Never recorded. Throws for an integer dtype, and when a copy shares parameters with the model
/// (std::shared_ptr).
template <class Model>
Model to(const Model& model, DType type, SourceLocation at = SourceLocation::current()) {
  static_assert(std::copy_constructible<Model>, "nn::to copies the model, but the model cannot be copied");
  if (!is_floating(type)) fail(std::string("nn::to: a model cannot be ") + name_of(type), at, "use f32 or f64");
  const Tape::Pause pause;
  const detail::ParameterList originals = detail::collect_parameters(model);
  Model copy = model;
  detail::walk_model(copy, [&](const detail::Path& path, Parameter& parameter) {
    for (const detail::NamedBlock& original : originals) {
      if (original.block != parameter.value().block()) continue;
      fail("nn::to: a copy of the model shares \"" + std::string(path.text()) + "\" with it", at,
           "std::shared_ptr copies a pointer, not the layer");
    }
    if (parameter.dtype() == type) return;
    parameter = Parameter(parameter.value().to(type));
  });
  detail::walk_model(copy, [&](const detail::Path&, Buffer& buffer) {
    if (buffer.defined() && is_floating(buffer.value().dtype())) buffer.exchange(buffer.value().to(type).clone());
  });
  detail::walk_model(copy, [](const detail::Path&, const Parameter&) {});
  return copy;
}

}  // namespace tapegrad::nn
