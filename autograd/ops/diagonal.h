#pragma once
// Triangles and diagonals of matrices.
#include <vector>

#include "autograd/op.h"

namespace tapegrad {

/// The lower triangle of the last two axes; the elements above diagonal k are 0. k = 0 is the main diagonal, positive
/// ones are above it. Throws for fewer than two axes.
Tensor tril(Arg x, std::int64_t k = 0);

/// The upper triangle of the last two axes; the elements below diagonal k are 0. Otherwise as tril.
Tensor triu(Arg x, std::int64_t k = 0);

struct DiagonalOptions {
  std::int64_t offset = 0;  ///< positive: above the main diagonal
  int axis1 = 0, axis2 = 1;
};

/// The elements x[i, i + offset] of two axes, as a view without these axes and with a new last one. Throws for axes that
/// x does not have, and when both are the same.
Tensor diagonal(Arg x, const DiagonalOptions& options = {});

namespace detail {
std::vector<OpDescription> diagonal_ops();
}

}  // namespace tapegrad
