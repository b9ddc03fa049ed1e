#include "nn/residual.h"

namespace tapegrad::detail {

void check_residual(const Tensor& skip, const Tensor& inner, SourceLocation at) {
  if (skip.shape() == inner.shape()) return;
  fail_op("Residual", "the inner layer gives " + describe(inner) + " and the projection " + describe(skip), at,
          "the shapes must be equal: without a projection, that of x");
}

}  // namespace tapegrad::detail
