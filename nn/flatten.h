#pragma once
// Flattening as a layer.
#include "autograd/ops/shape.h"
#include "nn/layer.h"

namespace tapegrad::nn {

/// Joins the axes from start_axis on into one, by default all but the first: images [batch, height, width, channels] to
/// [batch, features]. A view where x is contiguous. Has no parameters. Throws, when called, for an axis that x does not
/// have.
class Flatten {
 public:
  explicit Flatten(int start_axis = 1) : start_axis_(start_axis) {}

  Tensor operator()(Arg x) const {
    const detail::LayerScope scope(name_, x.at());
    return detail::layer_result(name_, flatten(x, start_axis_));
  }

 private:
  int start_axis_;
  Name name_;

 public:
  using fields = Fields<&Flatten::name_>;
};

}  // namespace tapegrad::nn
