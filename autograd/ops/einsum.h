#pragma once
// Einstein's summation over two tensors: products of elements, summed over the axes that the result does not name.
#include <string_view>
#include <vector>

#include "autograd/op.h"

namespace tapegrad {

/// The axes of both operands and of the result get a letter each: einsum("bij,bjk->bik", a, b) is a batched matrix
/// product. Letters in both operands are matched, those that the result lacks are summed over, a letter twice in one
/// operand takes its diagonal; spaces do not count (NumPy's einsum, with the result always spelled out). Computed as one
/// batched matmul, or as one product where nothing that both have is summed. Differentiable in both.
/// Throws for a specification that it cannot read, operands with other numbers of axes, and a letter of two sizes.
Tensor einsum(std::string_view specification, Arg a, Arg b);

namespace detail {
std::vector<OpDescription> einsum_ops();
}

}  // namespace tapegrad
