#pragma once
// Norms and their gradients on raw arrays, cut for threads: what the ops of normalization.cpp call. Internal.
#include <cstdint>

#include "autograd/shape.h"

namespace tapegrad::detail {

/// Every norm is one of x [samples, positions, groups, width]: a mean and a variance belong to one sample and one
/// group, over its positions and the group's channels. Layer norm has samples and channels only, batch norm positions and
/// groups of one channel.
struct NormSizes {
  std::int64_t samples = 1, positions = 1, groups = 1, width = 1;

  std::int64_t channels() const { return groups * width; }
  /// Elements with the same mean.
  std::int64_t averaged() const { return positions * width; }
  /// How many means there are.
  std::int64_t means() const { return samples * groups; }
};

struct NormProblem {
  NormSizes sizes;
  double epsilon = 1e-5;
  bool centred = true;  ///< false, for rows only: the mean counts as 0, the variance is the mean of the squares
};

// Arrays are contiguous; of x's dtype, f32 or f64, but for the statistics [means, 2] of mean and variance. Weight and
// bias are [channels]. The bits of a result do not depend on the number of threads.

/// y = (x - mean) / sqrt(variance + epsilon) * weight + bias. The statistics are written.
void normalize(DType dtype, const NormProblem& problem, const void* x, const void* weight, const void* bias,
               double* statistics, void* y);

/// The gradients of sum(g * y). dx may be null, dweight and dbias both.
void normalize_backward(DType dtype, const NormProblem& problem, const void* x, const void* weight, const void* g,
                        const double* statistics, void* dx, void* dweight, void* dbias);

}  // namespace tapegrad::detail
