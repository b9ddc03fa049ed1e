#pragma once
// Scans: results that run along an axis.
#include <vector>

#include "autograd/op.h"

namespace tapegrad {

/// Running sums: y[k] = x[0] + ... + x[k] along the axis (by default the last one). Integers and booleans are summed in
/// i64 (an overflow wraps around), f32 in double. Throws for an axis that x does not have.
Tensor cumsum(Arg x, int axis = -1);

/// Running products: y[k] = x[0] ... x[k] along the axis (by default the last one); otherwise as cumsum. The gradient
/// is exact also where elements are 0.
Tensor cumprod(Arg x, int axis = -1);

struct LinearScanOptions {
  int axis = -1;
  bool reverse = false;  ///< from the last element to the first
};

/// The linear recurrence y[k] = x[k] + a[k] y[k - 1] along an axis, with y[0] = x[0]: exponential averages, running
/// products, linear recurrent networks. Reversed, it is y[k] = x[k] + a[k + 1] y[k + 1]; a[0] is never read, and the two
/// are each other's transposes. Throws when the shapes or dtypes of x and a differ, for integers, and for an axis that
/// they do not have.
Tensor linear_scan(Arg x, Arg a, const LinearScanOptions& options = {});

namespace detail {
std::vector<OpDescription> scan_ops();
}

}  // namespace tapegrad
