#pragma once
// New tensors with simple contents, and comparisons for tests and checks. None of these is recorded by a tape.
#include "autograd/arg.h"

namespace tapegrad {

/// Every element is 0 (false); or 1 (true).
Tensor zeros(const Shape& shape, DType type = f32);
Tensor ones(const Shape& shape, DType type = f32);
/// Every element is `value`. Throws when an integer dtype cannot hold it.
Tensor full(const Shape& shape, double value, DType type = f32, SourceLocation at = SourceLocation::current());

/// Zeros (ones, `value`) with the shape and dtype of `x`. Throws for an empty handle.
Tensor zeros_like(const Tensor& x, SourceLocation at = SourceLocation::current());
Tensor ones_like(const Tensor& x, SourceLocation at = SourceLocation::current());
Tensor full_like(const Tensor& x, double value, SourceLocation at = SourceLocation::current());

/// start, start + step, ... before stop: max(0, ceil((stop - start) / step)) elements. Each is computed as
/// start + i * step in double. Throws for step 0, for bounds that are not finite, and when a dtype cannot hold them.
Tensor arange(double start, double stop, double step = 1, DType type = f32,
              SourceLocation at = SourceLocation::current());
/// 0, 1, ... before stop.
Tensor arange(double stop, DType type = f32, SourceLocation at = SourceLocation::current());

/// `count` evenly spaced elements, both ends included (only `start` when count is 1). f32 or f64.
Tensor linspace(double start, double stop, std::int64_t count, DType type = f32,
                SourceLocation at = SourceLocation::current());

/// The identity matrix [n, n], or [rows, columns] with ones on the main diagonal.
Tensor eye(std::int64_t n, DType type = f32, SourceLocation at = SourceLocation::current());
Tensor eye(std::int64_t rows, std::int64_t columns, DType type = f32, SourceLocation at = SourceLocation::current());

struct AllcloseOptions {
  double rtol = 1e-5;
  double atol = 1e-8;
  bool equal_nan = false;  ///< NaN equals NaN
};

/// True when |a - b| <= atol + rtol * |b| everywhere, computed in double; equal infinities are close. The shapes
/// broadcast, the dtypes may differ. Throws when the shapes do not broadcast.
bool allclose(const Arg& a, const Arg& b, AllcloseOptions options = {});

/// True when shapes and values are equal; the dtypes may differ, NaN equals nothing.
bool array_equal(const Arg& a, const Arg& b);

}  // namespace tapegrad
