#pragma once
// Rows of a data set. Internal.
#include <cstdint>

#include "autograd/tensor.h"

namespace tapegrad::detail {

/// The `count` rows of `x` (contiguous) that `rows` names, in a new tensor.
Tensor take_rows(const Tensor& x, const std::int64_t* rows, std::int64_t count);

}  // namespace tapegrad::detail
