#pragma once
// Every op of the library. The list drives the gradient checks and the reference page.
#include <vector>

#include "autograd/op.h"

namespace tapegrad::detail {

std::vector<OpDescription> all_ops();

}  // namespace tapegrad::detail
