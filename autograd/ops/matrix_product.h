#pragma once
// The product of matrices as the ops that contain one compute it: batches, threads, and which kernel.
#include "autograd/kernels/table.h"
#include "autograd/ops/elements.h"

namespace tapegrad::detail {

/// An operand as [batch axes..., rows, columns]: a vector gets an axis of size 1.
struct MatrixOperand {
  enum class Side { left, right };

  Shape batch;
  std::int64_t rows = 1, columns = 1;
  kernels::Index row_stride = 0, column_stride = 0;
  Strides batch_strides{};

  MatrixOperand(const Tensor& x, Side side);

  /// Where the matrix number `position` of the broadcast batch begins, in elements.
  std::int64_t offset(const Shape& all, std::int64_t position) const;
};

/// y = a b (+ bias [columns]) for each matrix of the batch, to which those of a and b are broadcast. y is contiguous and
/// not empty; the inner dimensions agree.
void multiply_matrices(const Tensor& a, MatrixOperand left, const Tensor& b, const MatrixOperand& right,
                       const Tensor* bias, const Shape& batch, Tensor& y);

}  // namespace tapegrad::detail
