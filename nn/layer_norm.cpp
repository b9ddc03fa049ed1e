#include "nn/layer_norm.h"

#include <algorithm>

#include "autograd/create.h"
#include "autograd/ops/normalization.h"
#include "nn/norm_checks.h"

namespace tapegrad::nn {
namespace {

void check_shape(const char* layer, const Shape& shape, SourceLocation at) {
  if (shape.ndim() > 0 && std::all_of(shape.begin(), shape.end(), [](std::int64_t n) { return n > 0; })) return;
  fail(std::string(layer) + ": normalized_shape is " + to_string(shape) + ": it needs axes, of sizes of at least 1",
       at);
}

void check_input(const char* layer, const Shape& shape, const std::optional<Parameter>& weight, const Arg& x) {
  const Tensor& input = detail::checked_norm_input(layer, x, weight ? weight->value() : Tensor());
  const bool fits =
      input.ndim() >= shape.ndim() && std::equal(shape.begin(), shape.end(), input.shape().end() - shape.ndim());
  if (fits) return;
  detail::fail_op(layer, "x is " + describe(input) + ", whose last axes are not " + to_string(shape), x.at());
}

}  // namespace

LayerNorm::LayerNorm(std::int64_t normalized_shape, const LayerNormOptions& o, SourceLocation at)
    : LayerNorm(Shape{std::max<std::int64_t>(normalized_shape, 0)}, o, at) {}

LayerNorm::LayerNorm(const Shape& normalized_shape, const LayerNormOptions& o, SourceLocation at)
    : shape_(normalized_shape), eps_(o.eps) {
  check_shape("LayerNorm", shape_, at);
  detail::check_eps("LayerNorm", eps_, at);
  if (o.elementwise_affine) weight = Parameter(ones(shape_));
  if (o.elementwise_affine && o.bias) bias = Parameter(zeros(shape_));
}

Tensor LayerNorm::operator()(Arg x) const {
  const detail::LayerScope scope(name_, x.at());
  check_input("LayerNorm", shape_, weight, x);
  return detail::layer_result(name_, layer_norm(x, weight ? Arg(*weight) : Arg(1), bias ? Arg(*bias) : Arg(0),
                                                {.axes = shape_.ndim(), .eps = eps_}));
}

RMSNorm::RMSNorm(std::int64_t normalized_shape, const RMSNormOptions& o, SourceLocation at)
    : RMSNorm(Shape{std::max<std::int64_t>(normalized_shape, 0)}, o, at) {}

RMSNorm::RMSNorm(const Shape& normalized_shape, const RMSNormOptions& o, SourceLocation at)
    : shape_(normalized_shape), eps_(o.eps) {
  check_shape("RMSNorm", shape_, at);
  if (eps_) detail::check_eps("RMSNorm", *eps_, at);
  if (o.elementwise_affine) weight = Parameter(ones(shape_));
}

Tensor RMSNorm::operator()(Arg x) const {
  const detail::LayerScope scope(name_, x.at());
  check_input("RMSNorm", shape_, weight, x);
  return detail::layer_result(name_, rms_norm(x, weight ? Arg(*weight) : Arg(1), {.axes = shape_.ndim(), .eps = eps_}));
}

}  // namespace tapegrad::nn
