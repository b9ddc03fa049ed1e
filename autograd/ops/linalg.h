#pragma once
// Linear algebra beyond the product: outer products, Cholesky factors and triangular systems.
#include <vector>

#include "autograd/op.h"

namespace tapegrad {

/// a[i] b[j]: [m] and [n] give [m, n]. Operands of more axes are flattened, as in NumPy.
Tensor outer(Arg a, Arg b);

/// The lower triangular L with L transpose(L) = a, of symmetric positive definite matrices [..., n, n]. Only the lower
/// triangle of `a` is read, and only it gets a gradient (Murray, "Differentiation of the Cholesky decomposition", 2016).
/// Throws for integers, when the last two axes are not equal, and when a matrix is not positive definite.
Tensor cholesky(Arg a);

struct SolveTriangularOptions {
  bool upper = false;          ///< `a` is upper triangular; else lower triangular
  bool transpose = false;      ///< solves transpose(a) x = b
  bool unit_diagonal = false;  ///< the diagonal of `a` counts as ones and is not read
};

/// The x with a x = b for triangular matrices a [..., n, n] and right-hand sides b [..., n, k], or [n] for a single one;
/// batch axes are broadcast. The other triangle of `a` is not read. Differentiable in both. Throws for integers, two
/// dtypes, shapes that do not fit, and for a zero on the diagonal.
Tensor solve_triangular(Arg a, Arg b, const SolveTriangularOptions& options = {});

namespace detail {
std::vector<OpDescription> linalg_ops();
}

}  // namespace tapegrad
