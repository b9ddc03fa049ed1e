#pragma once
// What kernels with many arguments are given. The conventions are those of table.h.
#include <cstddef>
#include <cstdint>

namespace tapegrad::kernels {

using Index = std::ptrdiff_t;

// ---- matrix product ----

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

// ---- moving data ----

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

// ---- scans ----

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

// ---- convolution ----

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

/// Winograd's F(4 x 4, 3 x 3), in f32: y comes in tiles of 4 x 4 pixels, and each channel of a tile from 36 products of
/// a transformed weight with the 6 x 6 pixels of x that the tile reads, transformed too. A tap of a transformed array is
/// one of these 36 places: it lies at tap * tap_stride.
inline constexpr Index winograd_tile = 4;
inline constexpr Index winograd_taps = 36;

/// The 3 x 3 taps of n weights to their 36. n is a multiple of convolution_columns.
struct WinogradWeightArguments {
  Index n = 0;
  const void* weight = nullptr;
  Index weight_stride = 0;  ///< from one of the 9 taps to the next
  void* taps = nullptr;
  Index tap_stride = 0;
};

/// The tiles [begin, end) of images [height, width, channels], of which each has down * across. Tile k is at
/// taps + (k - begin) * tile_stride, with its channels, filled up to whole registers.
struct WinogradArguments {
  Index height = 0, width = 0, channels = 0;  ///< of x or of y
  Index pixel_stride = 0;
  Index down = 0, across = 0;
  Index begin = 0, end = 0;
  Index first_row = 0, first_column = 0;  ///< of the pixels of x that the first tile reads; zero outside of x
  const void* x = nullptr;                ///< read by the transform of the input
  void* taps = nullptr;                   ///< written by that, read by the transform of the output
  Index tap_stride = 0, tile_stride = 0;
  const void* bias = nullptr;  ///< [channels] or null; added to the output
  void* y = nullptr;           ///< written by the transform of the output
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

// ---- normalization ----

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

// ---- dropout ----

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

// ---- optimizers ----

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
///   g = gradient + (decoupled ? 0 : weight_decay * parameter)
///   parameter *= 1 - learning_rate * weight_decay     (when decoupled)
///   m = beta1 * m + (1 - beta1) * g
///   v = beta2 * v + (1 - beta2) * g * g
///   u = max_v ? (max_v = max(max_v, v)) : v
///   parameter -= learning_rate / correction1 * m / (sqrt(u) / sqrt(correction2) + epsilon)
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

/// One step of Adagrad (Duchi, Hazan and Singer, 2011), PyTorch's formulas:
///   g = gradient + weight_decay * parameter;  sum += g * g;  parameter -= learning_rate * g / (sqrt(sum) + epsilon)
struct AdagradArguments {
  Index n = 0;
  void* parameter = nullptr;
  const void* gradient = nullptr;
  void* sum = nullptr;
  double learning_rate = 0, weight_decay = 0, epsilon = 0;
};

}  // namespace tapegrad::kernels
