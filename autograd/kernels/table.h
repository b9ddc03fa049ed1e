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

#include "autograd/kernels/machine_step.h"
#include "autograd/kernels/primitive.h"

namespace tapegrad::kernels {

using Index = std::ptrdiff_t;

// ---- argument structs ----

/// C[m, n] = A[m, k] B[k, n] (+ C) (+ bias). A and B have any strides, also 0 and negative ones, so a transposed
/// operand is only a change of strides. Rows of C are contiguous.
struct GemmArguments {
  Index m = 0, n = 0, k = 0;
  const void* a = nullptr;
  Index a_row_stride = 0, a_column_stride = 1;
  const void* b = nullptr;
  Index b_row_stride = 0, b_column_stride = 1;
  void* c = nullptr;
  Index c_row_stride = 0;
  const void* bias = nullptr;  ///< [n], added to every row; or null
  bool accumulate = false;     ///< adds to C instead of overwriting it
  void* workspace = nullptr;   ///< 64-byte aligned, gemm_workspace_bytes() of it; not shared between threads
};

/// Which way a product is computed. The bits of the result are the same.
enum class GemmPath : std::uint8_t {
  empty,   // m, n or k is 0
  narrow,  // n is less than one register: the transpose of C is computed
  direct,  // A, and B where it can be, are read in place
  packed,  // both are copied into panels that fit the caches
};

/// y[i] = sum over k of matrix[i, k] x[k] (+ bias), for rows [begin, end). Either the row stride or the column stride is
/// 1; k > 0.
struct GemvArguments {
  Index k = 0;
  const void* matrix = nullptr;
  Index row_stride = 0, column_stride = 1;
  const void* x = nullptr;
  void* y = nullptr;
  const void* bias = nullptr;  ///< or null
  Index bias_stride = 0;       ///< 1: one for each row; 0: one for all
  Index begin = 0, end = 0;
};

inline constexpr int max_copy_rank = 8;

/// to[i, j, ...] = from[i, j, ...] over `shape`, with any strides.
struct CopyArguments {
  int rank = 0;
  Index element_bytes = 4;  ///< 1, 4 or 8
  Index shape[max_copy_rank] = {};
  const void* from = nullptr;
  Index from_strides[max_copy_rank] = {};
  void* to = nullptr;
  Index to_strides[max_copy_rank] = {};
};

/// Rows [begin, end) of a table: row place[s] is the sum of the rows source[start[s]] ... source[start[s + 1] - 1], added
/// in this order, and rows without a sum are zero.
struct RowSumArguments {
  const void* const* source = nullptr;  ///< rows of `width` elements, those of a sum side by side
  Index shift = 0;                      ///< bytes from a source to its row
  const Index* start = nullptr;         ///< count + 1 of them
  const Index* place = nullptr;         ///< ascending; null: place[s] is s
  Index count = 0;                      ///< of sums
  void* to = nullptr;
  Index width = 0;
  Index first = 0;  ///< the first sum whose place is not before `begin`
  Index begin = 0, end = 0;
  bool exceeds_caches = false;  ///< the table does: its zeros go past them
};

/// Scans along the middle axis of [outer, n, inner], for lines [begin, end) of its outer * inner lines. Every line is
/// computed in double, in order; so it has the same bits however lines are handed out.
struct ScanArguments {
  Index n = 0, inner = 1;
  const void* x = nullptr;
  const void* coefficient = nullptr;  ///< of linear_scan only
  void* out = nullptr;
  Index begin = 0, end = 0;
  bool reverse = false;  ///< from the last element to the first
};

/// Sums over windows of images whose channels come last, each one chain of multiply-adds:
///   y[n, i, j, o] = start[o] + sum over t < runs and k < run_length of
///                   x[n * x_image_stride + i * x_row_stride + j * x_pixel_stride + run_offset[t] + k] weight[t, k, o]
/// `weight` is packed in panels of convolution_columns outputs, the last one filled up with zeros. A panel has one row
/// for `start` and one for each (t, k).
struct WindowSumArguments {
  Index images = 0, rows = 0, columns = 0, channels = 0;  ///< of y
  const void* x = nullptr;
  Index x_image_stride = 0, x_row_stride = 0, x_pixel_stride = 0;
  Index runs = 0;
  const Index* run_offset = nullptr;
  Index run_length = 0;
  const void* weight = nullptr;
  void* y = nullptr;
  Index y_image_stride = 0, y_row_stride = 0, y_pixel_stride = 0;
};

/// The gradient of such sums in the weights, added to what is there:
///   dweight[t, k, o] += sum over i < rows and j < columns of
///                       x[row_offset[i] + j * x_pixel_stride + run_offset[t] + k] g[i, j, o]
/// `dweight` is packed in panels of convolution_columns outputs, without the row for `start`. g is [rows, columns]
/// pixels of g_pixel_stride elements.
struct WindowGradientArguments {
  Index rows = 0, columns = 0, channels = 0;  ///< of g
  const void* x = nullptr;
  const Index* row_offset = nullptr;
  Index x_pixel_stride = 0;
  Index runs = 0;
  const Index* run_offset = nullptr;
  Index run_length = 0;
  const void* g = nullptr;
  Index g_pixel_stride = 0;
  void* dweight = nullptr;
  void* workspace = nullptr;  ///< window_gradient_workspace_bytes; not shared between threads
};

/// Positions along one axis of an image: number i under tap k reads i * step + offset + k * tap_step.
struct ConvolutionAxis {
  Index size = 0;  ///< of x; what lies outside is zero
  Index step = 1, offset = 0;
  Index taps = 0, tap_step = 1;  ///< tap_step > 0
};

/// A convolution of every channel by itself. x is one contiguous image [down.size, across.size, channels]:
///   y[i, j, c] = bias[c] + sum over taps a, b of x[i under a, j under b, c] weight[a, b, c]
/// for rows i in [begin, end). The gradient in the weight adds, for these rows, to
///   weight[a, b, c] += sum over i, j of x[i under a, j under b, c] y[i, j, c].
struct DepthwiseArguments {
  ConvolutionAxis down, across;
  Index columns = 0, channels = 0;
  Index begin = 0, end = 0;
  const void* x = nullptr;
  void* weight = nullptr;      ///< contiguous; written by the gradient only
  const void* bias = nullptr;  ///< or null; not read by the gradient
  void* y = nullptr;           ///< written by the sum only
  Index y_row_stride = 0, y_pixel_stride = 0;
};

/// A convolution with few outputs, from the products of every pixel of an image with every tap, which come in planes of
/// [rows, across.size] pixels that begin with row `first_row` of the image:
///   y[i, j, o] = bias[o] + sum over taps a, b inside the image of plane(a, b, o)[i under a, j under b]
/// for rows i in [begin, end).
struct TapSumArguments {
  ConvolutionAxis down, across;
  Index columns = 0, channels = 0;  ///< of y
  Index begin = 0, end = 0;
  const void* planes = nullptr;
  Index first_row = 0;
  Index down_stride = 0, across_stride = 0, channel_stride = 0;  ///< from plane to plane
  const void* bias = nullptr;                                    ///< or null
  void* y = nullptr;
  Index y_row_stride = 0, y_pixel_stride = 0;
};

/// One step of stochastic gradient descent, PyTorch's formulas:
///   g = gradient + weight_decay * parameter
///   velocity = first_step ? g : momentum * velocity + (1 - dampening) * g     (when momentum != 0)
///   parameter -= learning_rate * (nesterov ? g + momentum * velocity : momentum != 0 ? velocity : g)
struct SgdArguments {
  Index n = 0;
  void* parameter = nullptr;
  const void* gradient = nullptr;
  void* velocity = nullptr;  ///< needed when momentum != 0
  double learning_rate = 0, momentum = 0, dampening = 0, weight_decay = 0;
  bool nesterov = false;
  bool first_step = false;
};

/// One step of Adam (Kingma and Ba, 2015) or, with `decoupled`, of AdamW (Loshchilov and Hutter, 2019); PyTorch's
/// formulas:
///   g = gradient + (decoupled ? 0 : weight_decay * parameter);  if decoupled: parameter *= 1 - learning_rate *
///   weight_decay m = beta1 * m + (1 - beta1) * g;  v = beta2 * v + (1 - beta2) * g * g;  u = max_v ? (max_v =
///   max(max_v, v)) : v parameter -= learning_rate / correction1 * m / (sqrt(u) / sqrt(correction2) + epsilon)
struct AdamArguments {
  Index n = 0;
  void* parameter = nullptr;
  const void* gradient = nullptr;
  void* m = nullptr;
  void* v = nullptr;
  void* max_v = nullptr;  ///< AMSGrad's running maximum, or null
  double learning_rate = 0, beta1 = 0, beta2 = 0, epsilon = 0, weight_decay = 0;
  double correction1 = 1;  ///< 1 - beta1^step
  double correction2 = 1;  ///< 1 - beta2^step
  bool decoupled = false;
};

// ---- pooling and resampling ----

/// An element of a pooling window along one axis.
struct WindowTap {
  Index offset = 0;         ///< of the element in `from`
  std::int32_t number = 0;  ///< its place in the window; the sum of those along height and width is a byte, or wide
};

/// A term of a sum along one axis.
struct WeightedTap {
  Index offset = 0;  ///< of the element in `from`
  double weight = 1;
};

/// What the positions of the result along one axis are made of: taps[first[i]] up to taps[first[i + 1]] for position i.
template <class Tap>
struct TapAxis {
  Index positions = 1;
  const Index* first = nullptr;
  const Tap* taps = nullptr;
};

/// Images [batch, height, width, channels], for rows [begin, end) of the batch * height rows of the result. An element
/// of it is made of the pairs of a tap along height and one along width, of its own channel.
struct MaxPoolArguments {
  TapAxis<WindowTap> height, width;
  Index channels = 1;
  Index from_image = 0;  ///< elements of one image of `from`
  const void* from = nullptr;
  void* to = nullptr;
  void* index = nullptr;        ///< the numbers of the largest elements, as large as the smaller of `from` and `to`
  bool has_wide_index = false;  ///< i32 instead of bytes; "none" is then -1 instead of 255
  Index begin = 0, end = 0;
};

struct ResampleArguments {
  TapAxis<WeightedTap> height, width;
  Index channels = 1;
  Index from_image = 0;
  const void* from = nullptr;
  void* to = nullptr;
  bool is_weighted = false;                ///< else all weights are 1
  const double* height_divisor = nullptr;  ///< of the sum, for every position of the result
  const double* width_divisor = nullptr;
  Index begin = 0, end = 0;
};

/// Rows [begin, end) of [rows, n], n > 0: y = (x - mean) / sqrt(variance + epsilon) * weight + bias, of which mean and
/// variance are those of the row. Not centred (RMS norm): the mean counts as 0, the variance is the mean of the squares.
struct NormalizeRowsArguments {
  Index n = 0;
  const void* x = nullptr;
  const void* weight = nullptr;  ///< [n]
  const void* bias = nullptr;    ///< [n]
  void* y = nullptr;
  double* statistics = nullptr;  ///< [rows, 2], written: mean and variance
  double epsilon = 0;
  bool centred = true;
  Index begin = 0, end = 0;
};

/// ... and from the gradient g of y: with the normalised row h = (x - mean) / sqrt(variance + epsilon) and u = g weight,
///   dx = (u - mean(u) - h mean(u h)) / sqrt(variance + epsilon)      (not centred: without mean(u))
///   weight_sum = sum of g h, bias_sum = sum of g, over the rows [begin, end)
struct NormalizeRowsBackwardArguments {
  Index n = 0;
  const void* x = nullptr;
  const void* g = nullptr;
  const void* weight = nullptr;
  const double* statistics = nullptr;
  double epsilon = 0;
  bool centred = true;
  void* dx = nullptr;            ///< or null
  double* weight_sum = nullptr;  ///< [n], or null: neither of the sums
  double* bias_sum = nullptr;    ///< [n]
  void* workspace = nullptr;     ///< 2 n elements, for the sums
  Index begin = 0, end = 0;
};

/// out = g g_scale + (x - centre) x_scale + shift, over [rows, columns]; the coefficients are [columns].
struct ColumnAffineOfTwoArguments {
  Index rows = 0, columns = 0;
  const void* x = nullptr;
  const void* g = nullptr;
  const void* centre = nullptr;
  const void* x_scale = nullptr;
  const void* g_scale = nullptr;
  const void* shift = nullptr;
  void* out = nullptr;
};

/// Elements that share 16 blocks of 128 random bits: element 64 g + 16 k + j of a draw takes word k of block 16 g + j.
/// So a register of any width holds the words of elements that lie side by side.
inline constexpr Index dropout_group = 64;

/// y[i] = (word of element i) < threshold ? 0 : x[i] * scale, for i in [begin, end). Seed, stream and position are those
/// of a random::Generator. `begin` is a multiple of dropout_group, and so is `end`, unless it is the end of the draw.
struct DropoutArguments {
  const void* x = nullptr;
  void* y = nullptr;
  Index begin = 0, end = 0;
  std::uint64_t seed = 0, position = 0;
  std::uint32_t stream = 0;
  std::uint32_t threshold = 0;
  double scale = 1;
};

/// One step of Adagrad (Duchi, Hazan and Singer, 2011), PyTorch's formulas:
///   g = gradient + weight_decay * parameter;  sum += g * g;  parameter -= learning_rate * g / (sqrt(sum) + epsilon)
struct AdagradArguments {
  Index n = 0;
  void* parameter = nullptr;
  const void* gradient = nullptr;
  void* sum = nullptr;
  double learning_rate = 0, weight_decay = 0, epsilon = 0;
};

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
