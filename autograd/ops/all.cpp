#include "autograd/ops/all.h"

#include <iterator>

#include "autograd/ops/formula.h"
#include "autograd/ops/index.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/softmax.h"

namespace tapegrad::detail {

std::vector<OpDescription> all_ops() {
  std::vector<OpDescription> list;
  for (const auto family : {&formula_ops, &reduce_ops, &shape_ops, &matmul_ops, &index_ops, &softmax_ops}) {
    std::vector<OpDescription> ops = family();
    std::move(ops.begin(), ops.end(), std::back_inserter(list));
  }
  return list;
}

}  // namespace tapegrad::detail
