#pragma once
// Who fills which part of the table, for the instruction set that this file is compiled for. These are the only
// symbols that a kernel library exports.
#include "autograd/kernels/simd.h"
#include "autograd/kernels/table.h"

namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME {

/// Fills all of it: what dispatch.cpp calls.
void fill_table(Table& table);

void fill_convolution(Table& table);
void fill_convolution_depthwise(Table& table);
void fill_copy(Table& table);
void fill_dropout(Table& table);
void fill_fold(Table& table);
void fill_gemm(Table& table);
void fill_gemv(Table& table);
void fill_normalization(Table& table);
void fill_optim(Table& table);
void fill_pointwise(Table& table);
void fill_pointwise_machine(Table& table);
void fill_pool(Table& table);
void fill_reduce(Table& table);
void fill_rows(Table& table);
void fill_scan(Table& table);
void fill_softmax(Table& table);
void fill_winograd(Table& table);

}  // namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME
