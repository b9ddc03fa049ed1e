#include "nn/dropout.h"

#include "autograd/ops/dropout.h"

namespace tapegrad::nn {
namespace {

double checked(const char* layer, double p, SourceLocation at) {
  detail::check_probability(layer, p, at);
  return p;
}

void check_axes(const char* layer, const Tensor& x, int axes, const char* wanted, SourceLocation at) {
  if (!x.defined()) detail::fail_op(layer, "the input is an empty handle", at);
  if (x.ndim() == axes) return;
  detail::fail_op(layer, std::string("x must be ") + wanted + ", it is " + describe(x), at,
                  "Dropout drops single elements of any tensor");
}

}  // namespace

Dropout::Dropout(double p, SourceLocation at) : p(checked("Dropout", p, at)) {}

Tensor Dropout::operator()(Arg x) const {
  const detail::LayerScope scope(name_, x.at());
  return detail::layer_result(name_, mode.is_training() ? dropout(x, p) : x.tensor());
}

Dropout1d::Dropout1d(double p, SourceLocation at) : p(checked("Dropout1d", p, at)) {}

Tensor Dropout1d::operator()(Arg x) const {
  const detail::LayerScope scope(name_, x.at());
  check_axes("Dropout1d", x.tensor(), 3, "[batch, time, channels]", x.at());
  return detail::layer_result(name_, mode.is_training() ? channel_dropout(x, p) : x.tensor());
}

Dropout2d::Dropout2d(double p, SourceLocation at) : p(checked("Dropout2d", p, at)) {}

Tensor Dropout2d::operator()(Arg x) const {
  const detail::LayerScope scope(name_, x.at());
  check_axes("Dropout2d", x.tensor(), 4, "[batch, height, width, channels]", x.at());
  return detail::layer_result(name_, mode.is_training() ? channel_dropout(x, p) : x.tensor());
}

}  // namespace tapegrad::nn
