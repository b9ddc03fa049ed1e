#pragma once
// f32 results against f64 ones, as the wall compares those of ops and of layers.
#include <string>

#include "autograd/tensor.h"
#include "autograd/thread_pool.h"

namespace tapegrad::tests {

struct Comparison {
  double worst = 0;   // relative error
  std::string fault;  // where it is more than allowed, or ""
};

/// `order` picks the row of the table of tolerances: 0 for values, 1 for gradients. Where `f32_error` is more, it is
/// allowed, times the largest element. Both may be empty handles.
Comparison compare(const Tensor& low, const Tensor& high, int order, double f32_error = 0);

/// The number of threads is what it was when this ends.
struct RestoreThreads {
  int before = num_threads();
  ~RestoreThreads() { set_num_threads(before); }
};

}  // namespace tapegrad::tests
