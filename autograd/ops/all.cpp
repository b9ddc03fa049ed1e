#include "autograd/ops/all.h"

#include <iterator>

#include "autograd/ops/arrange.h"
#include "autograd/ops/conv.h"
#include "autograd/ops/diagonal.h"
#include "autograd/ops/dropout.h"
#include "autograd/ops/einsum.h"
#include "autograd/ops/embedding.h"
#include "autograd/ops/formula.h"
#include "autograd/ops/index.h"
#include "autograd/ops/linalg.h"
#include "autograd/ops/losses.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/normalization.h"
#include "autograd/ops/pad.h"
#include "autograd/ops/pool.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/scan.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/softmax.h"
#include "autograd/ops/sort.h"
#include "autograd/ops/upsample.h"

namespace tapegrad::detail {

std::vector<OpDescription> all_ops() {
  std::vector<OpDescription> list;
  for (const auto family :
       {&formula_ops, &reduce_ops, &scan_ops,        &shape_ops, &arrange_ops,  &pad_ops,           &diagonal_ops,
        &matmul_ops,  &einsum_ops, &convolution_ops, &pool_ops,  &upsample_ops, &normalization_ops, &dropout_ops,
        &linalg_ops,  &index_ops,  &embedding_ops,   &sort_ops,  &softmax_ops,  &cross_entropy_ops, &loss_ops}) {
    std::vector<OpDescription> ops = family();
    std::move(ops.begin(), ops.end(), std::back_inserter(list));
  }
  return list;
}

}  // namespace tapegrad::detail
