#pragma once
// The matrix product, alone and with a bias.
#include <vector>

#include "autograd/op.h"

namespace tapegrad {

/// The matrix product by NumPy's rules: [m, k] x [k, n] is [m, n]; further axes in front are batch axes, which are
/// broadcast; a vector [k] counts as a row on the left and as a column on the right, and its axis is not in the result.
/// Transposed operands are read in place. f32 and f64; the bits do not depend on the number of threads.
/// Throws for 0-dim operands, integers, two different dtypes, or when the inner or the batch axes do not fit.
Tensor matmul(Arg a, Arg b);

/// x W^T + b over the last axis: x [..., in], weight [out, in], bias [out], the result [..., out]; one or more axes. As
/// matmul(x, transpose(weight)) + bias, in one pass. Throws when shapes do not fit or dtypes differ.
Tensor linear(Arg x, Arg weight, Arg bias);

namespace detail {
std::vector<OpDescription> matmul_ops();
}

}  // namespace tapegrad
