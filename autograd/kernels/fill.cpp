#include "autograd/kernels/fill.h"

namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME {

void fill_table(Table& table) {
  fill_convolution(table);
  fill_convolution_depthwise(table);
  fill_copy(table);
  fill_dropout(table);
  fill_fold(table);
  fill_gemm(table);
  fill_gemv(table);
  fill_normalization(table);
  fill_optim(table);
  fill_pointwise(table);
  fill_pointwise_machine(table);
  fill_pool(table);
  fill_reduce(table);
  fill_rows(table);
  fill_scan(table);
  fill_softmax(table);
  fill_winograd(table);
}

}  // namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME
