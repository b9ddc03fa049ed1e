#pragma once
// All kernels of one instruction set as a struct of function pointers. Kernels know raw pointers, sizes and strides
// only: no tensor, no allocation, no exception, no thread. Callers check arguments, allocate, and cut the work.
//
// Conventions
// - An entry with [2] exists for f32 at [0] and f64 at [1]; `void*` then points to elements of that type.
// - Sizes and strides count elements, never bytes, unless a name says bytes.
// - "[begin, end)" picks the rows to work on; pointers are always those of the whole array, so threads differ only in
//   begin and end. Results never depend on how rows were handed out.
// - Outputs do not overlap inputs unless the comment allows it. No pointer needs alignment beyond its element.
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "autograd/kernels/arguments.h"
#include "autograd/kernels/machine_step.h"
#include "autograd/kernels/primitive.h"

namespace tapegrad::kernels {

// ---- function types ----

/// out[i] = primitive(a[i], b[i], c[i], d[i]) for i < n, of as many operands as the primitive has; the others are not
/// read. `out` may be one of the operands.
using BlockFunction = void (*)(void* out, const void* a, const void* b, const void* c, const void* d, std::size_t n);

/// [outer, n, inner] -> [outer, inner], over outer in [begin, end).
using ReduceFunction = void (*)(const void* x, void* out, Index n, Index inner, Index begin, Index end);

/// The same, and where along n the first extreme element (or the first NaN) is. n > 0.
using ReduceIndexFunction = void (*)(const void* x, void* out, std::int64_t* index, Index n, Index inner, Index begin,
                                     Index end);

/// Rows [begin, end) of [rows, n], over the last axis.
using RowsFunction = void (*)(const void* x, void* out, Index n, Index begin, Index end);

/// Rows [begin, end) of [rows, n]: dx from the forward result y and the gradient g of y. `dx` may be `g`.
using RowsBackwardFunction = void (*)(const void* y, const void* g, void* dx, Index n, Index begin, Index end);

using CastFunction = void (*)(const void* from, void* to, Index n);

struct Table {
  /// sse42, avx2, avx512 or default.
  const char* name;

  // ---- pointwise ----

  /// block[dtype][primitive][scalars]: bit k of `scalars` says that operand k is one element, read once. Entries that
  /// make no sense for the primitive's number of operands are null.
  BlockFunction block[2][primitive_count][1 << most_operands];

  /// A whole program on n elements of every operand. An output may be the array of an input that no step reads after
  /// the output was stored, or of a scalar.
  void (*machine[2])(const machine::Arguments& arguments);

  // ---- reductions ----

  /// NaN and infinities follow IEEE addition. f32 adds in blocks of a fixed size whose sums are combined in double.
  ReduceFunction sum[2];
  ReduceFunction sum_of_squares[2];
  ReduceFunction sum_of_magnitudes[2];
  /// Multiplied in double.
  ReduceFunction prod[2];
  /// Of booleans (one byte, 0 or 1): whether any is, or all are, 1.
  ReduceFunction any;
  ReduceFunction all;
  /// NaN if any element is NaN. n > 0.
  ReduceFunction max[2];
  ReduceFunction min[2];
  ReduceIndexFunction max_index[2];
  ReduceIndexFunction min_index[2];

  /// Partial results in double of n contiguous elements, for one long sum cut into fixed chunks: cut by the problem's
  /// size, combine in order, and the result does not depend on the number of threads. Chunks of a multiple of 4096
  /// elements keep the blocks whole.
  double (*sum_chunk[2])(const void* x, Index n);
  double (*sum_of_squares_chunk[2])(const void* x, Index n);
  double (*dot_chunk[2])(const void* x, const void* y, Index n);
  /// out[c] = sum over rows of x[r * row_stride + c], in double: the chunked form of `sum` with inner > 1. A chunk is
  /// any range of rows and of columns; results do not depend on the range of columns.
  void (*sum_columns_chunk[2])(const void* x, double* out, Index rows, Index row_stride, Index columns);

  // ---- scans ----

  void (*cumsum[2])(const ScanArguments& arguments);
  void (*cumprod[2])(const ScanArguments& arguments);
  /// out[k] = x[k] + coefficient[k] * out[k - 1]; reversed: out[k] = x[k] + coefficient[k + 1] * out[k + 1].
  /// coefficient[0] is not read: the two are each other's transposes.
  void (*linear_scan[2])(const ScanArguments& arguments);
  /// out[k] = the product of all elements of the line but x[k]: the gradient of a product, exact with zeros.
  void (*products_of_others[2])(const ScanArguments& arguments);

  // ---- matrix product ----

  /// Every element is a chain of multiply-adds over k in blocks that depend on k alone, so C has the same bits however
  /// a caller cuts m and n into tiles, and on every path.
  void (*gemm[2])(const GemmArguments& arguments);
  std::size_t (*gemm_workspace_bytes[2])(const GemmArguments& arguments);
  GemmPath (*gemm_path[2])(const GemmArguments& arguments);
  /// Tiles cut at multiples of these rows and columns waste no part of a register tile.
  Index gemm_tile_rows[2];
  Index gemm_tile_columns[2];
  /// An element's bits depend on k and on which stride is 1, not on the rows.
  void (*gemv[2])(const GemvArguments& arguments);

  // ---- convolution ----

  /// An element's bits depend on its window and the weights, not on the other sizes.
  void (*window_sums[2])(const WindowSumArguments& arguments);
  /// In blocks of pixels that depend on rows and columns; each block is one chain, and is then added.
  void (*window_gradient[2])(const WindowGradientArguments& arguments);
  std::size_t window_gradient_workspace_bytes[2];
  Index convolution_columns[2];
  void (*tap_sums[2])(const TapSumArguments& arguments);
  void (*depthwise_sums[2])(const DepthwiseArguments& arguments);
  void (*depthwise_gradient[2])(const DepthwiseArguments& arguments);
  /// f32 only.
  void (*winograd_weight)(const WinogradWeightArguments& arguments);
  void (*winograd_input)(const WinogradArguments& arguments);
  void (*winograd_output)(const WinogradArguments& arguments);

  // ---- softmax over the last axis of [rows, n]; n > 0 ----

  RowsFunction softmax[2];
  RowsFunction log_softmax[2];
  RowsBackwardFunction softmax_backward[2];      // dx = y * (g - sum(g * y))
  RowsBackwardFunction log_softmax_backward[2];  // dx = g - exp(y) * sum(g)

  /// loss[r] = log(sum(exp(x[r]))) - x[r, label[r]] and, if `log_sum` is not null, log_sum[r] = that logarithm.
  /// Labels are in [0, n): the caller checks.
  void (*cross_entropy[2])(const void* x, const std::int64_t* label, void* loss, void* log_sum, Index n, Index begin,
                           Index end);
  /// dx[r] = (exp(x[r] - log_sum[r]) - onehot(label[r])) * scale[r]. `dx` may be `x`.
  void (*cross_entropy_backward[2])(const void* x, const std::int64_t* label, const void* log_sum, const void* scale,
                                    void* dx, Index n, Index begin, Index end);
  /// Loss and gradient in one pass, for a scale that is known before: one exponential per element. `dx` may be `x`.
  void (*cross_entropy_fused[2])(const void* x, const std::int64_t* label, double scale, void* loss, void* dx, Index n,
                                 Index begin, Index end);

  // ---- pooling and resampling ----

  /// to = the largest element of each window of `from` and, if `index` is not null, index = the number of its taps.
  /// NaN is larger than any number. Of equal elements the first counts, of several NaN the last. Without taps: -infinity
  /// and "none".
  void (*max_pool[2])(const MaxPoolArguments& arguments);
  /// to = the element of each window whose number is that of `index`, which has the sizes of `to`; 0 for "none".
  void (*max_pool_select[2])(const MaxPoolArguments& arguments);
  /// The transpose of max_pool_select, with the taps of both axes transposed: to = the sum of the elements of `from`
  /// whose number is that of `index`, which has the sizes of `from`.
  void (*max_pool_scatter[2])(const MaxPoolArguments& arguments);
  /// to = the weighted sum of the taps / (height_divisor * width_divisor), row by row of the window.
  void (*resample[2])(const ResampleArguments& arguments);
  // ---- normalization ----

  void (*normalize_rows[2])(const NormalizeRowsArguments& arguments);
  void (*normalize_rows_backward[2])(const NormalizeRowsBackwardArguments& arguments);
  /// Of every column of [rows, columns], in double: the mean, and the sum of the squared differences from it. rows > 0.
  void (*column_moments[2])(const void* x, Index rows, Index columns, double* mean, double* squares);
  /// ... the sum of g, and that of g (x - centre), with centre [columns].
  void (*column_dots[2])(const void* x, const void* g, const void* centre, Index rows, Index columns, double* sum,
                         double* dot);
  /// y = (x - centre) scale + shift, over [rows, columns]; the coefficients are [columns].
  void (*column_affine[2])(const void* x, const void* centre, const void* scale, const void* shift, void* y, Index rows,
                           Index columns);
  void (*column_affine_of_two[2])(const ColumnAffineOfTwoArguments& arguments);

  // ---- moving data ----

  void (*copy)(const CopyArguments& arguments);
  /// to[0 .. n) = *value. element_bytes is 1, 4 or 8.
  void (*fill)(void* to, const void* value, Index n, Index element_bytes);
  /// cast[from][to], in the order f32, f64, i32, i64, boolean (one byte, 0 or 1). Real to integer truncates; what does
  /// not fit becomes the nearest integer that does, NaN becomes 0. To boolean: x != 0.
  CastFunction cast[5][5];
  /// to[r] = from[index[r]] for rows r in [begin, end) of row_bytes bytes. Indices are in range: the caller checks.
  void (*gather_rows)(const void* from, const std::int64_t* index, void* to, Index row_bytes, Index begin, Index end);
  /// Rows that go to the same place of a table, added up.
  void (*sum_rows[2])(const RowSumArguments& arguments);

  // ---- dropout ----

  void (*dropout[2])(const DropoutArguments& arguments);

  // ---- optimizers, on flat arrays; cut them anywhere ----

  void (*sgd_step[2])(const SgdArguments& arguments);
  void (*adam_step[2])(const AdamArguments& arguments);
  void (*adagrad_step[2])(const AdagradArguments& arguments);
  void (*axpy[2])(double alpha, const void* x, void* y,
                  Index n);                          // y += alpha * x
  void (*scale[2])(double alpha, void* x, Index n);  // x *= alpha
};

struct InstructionSet {
  const char* name;
  bool available;  ///< on this machine
};

/// The instruction sets that were built, the best one last.
std::span<const InstructionSet> instruction_sets();

namespace detail {
extern std::atomic<const Table*> selected_table;
const Table& select_table();
/// The position in `sets` of the best available one, or of `forced` if that is neither null nor empty.
std::size_t choose(std::span<const InstructionSet> sets, const char* forced);
}  // namespace detail

/// The kernels of the best instruction set that was built and that this machine has, or of the one that the
/// environment variable TAPEGRAD_SIMD names (sse42, avx2, avx512). Chosen on the first call and never changed.
/// Throws Error if TAPEGRAD_SIMD names a set that is unknown, not built, or not available here.
inline const Table& table() {
  const Table* selected = detail::selected_table.load(std::memory_order_acquire);
  return selected != nullptr ? *selected : detail::select_table();
}

/// The name of the instruction set that table() uses.
const char* instruction_set();

}  // namespace tapegrad::kernels
