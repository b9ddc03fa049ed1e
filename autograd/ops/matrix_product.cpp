// The product of matrices as the ops that contain one compute it.
#include "autograd/ops/matrix_product.h"

#include <algorithm>
#include <optional>

#include "autograd/thread_pool.h"

namespace tapegrad::detail {

using kernels::Index;

MatrixOperand::MatrixOperand(const Tensor& x, Side side) {
  const Strides strides = x.strides();
  const auto stride = [&](int axis) { return static_cast<Index>(strides[static_cast<std::size_t>(axis)]); };
  const std::int64_t* const size = x.block()->shape;
  const int n = x.ndim();
  if (n == 1) {
    (side == Side::left ? columns : rows) = size[0];
    (side == Side::left ? column_stride : row_stride) = stride(0);
    return;
  }
  rows = size[n - 2];
  columns = size[n - 1];
  row_stride = stride(n - 2);
  column_stride = stride(n - 1);
  batch = Shape(std::span(size, static_cast<std::size_t>(n - 2)));
  batch_strides = strides;
}

std::int64_t MatrixOperand::offset(const Shape& all, std::int64_t position) const {
  std::int64_t result = 0;
  const int extra = all.ndim() - batch.ndim();
  for (int k = all.ndim() - 1; k >= 0; --k) {
    const std::int64_t index = position % all[k];
    position /= all[k];
    if (k >= extra && batch[k - extra] != 1) result += index * batch_strides[static_cast<std::size_t>(k - extra)];
  }
  return result;
}

namespace {

// One multiply-add on a fast core, f32 and f64.
constexpr double nanoseconds_per_multiply_add[] = {0.01, 0.02};
// ... of a matrix that is read once, for a product with a vector.
constexpr double nanoseconds_per_element_read[] = {0.05, 0.1};
// From this length on a dot product pays for adding up its lanes.
constexpr Index least_dot = 32;
// Rows of a product with a vector that one thread takes at a time: whole strips of registers.
constexpr std::int64_t vector_strip = 128;
// A tile below this packs its operands more than it computes.
constexpr double least_nanoseconds_per_tile = 4000;
// The matrices of a batch that are larger are cut themselves, one after another.
constexpr double enough_nanoseconds_for_threads = 200'000;

double nanoseconds_of(const kernels::GemmArguments& g, DType type) {
  return static_cast<double>(g.m) * static_cast<double>(g.n) * static_cast<double>(g.k) *
         nanoseconds_per_multiply_add[kernel_index(type)];
}

// How many parts to cut m and n into, so that the parts are near squares. Bits do not depend on it.
struct Tiles {
  std::int64_t down = 1, across = 1;

  Tiles(std::int64_t m, std::int64_t n, double nanoseconds, std::size_t type) {
    const int threads = num_threads();
    const auto wanted = threads == 1 ? 1 : std::min<std::int64_t>(2 * threads, max_chunks);
    const auto rows = kernels::table().gemm_tile_rows[type];
    const auto columns = kernels::table().gemm_tile_columns[type];
    while (down * across * 2 <= wanted &&
           nanoseconds >= 2 * least_nanoseconds_per_tile * static_cast<double>(down * across)) {
      const bool can_cut_down = m / (2 * down) >= rows;
      const bool can_cut_across = n / (2 * across) >= columns;
      if (can_cut_down && (m / down >= n / across || !can_cut_across)) {
        down *= 2;
      } else if (can_cut_across) {
        across *= 2;
      } else {
        break;
      }
    }
  }
};

// A product with a vector, as the rows of a matrix times a vector that lies in one piece; or nothing, where that has no
// kernel of its own. Decided by the whole product, not by a tile of it: the two kinds of kernels round differently.
std::optional<kernels::GemvArguments> as_gemv(const kernels::GemmArguments& g) {
  kernels::GemvArguments v;
  v.k = g.k;
  v.y = g.c;
  v.bias = g.bias;
  if (g.m == 1 && g.a_column_stride == 1) {
    v.matrix = g.b;
    v.row_stride = g.b_column_stride;
    v.column_stride = g.b_row_stride;
    v.x = g.a;
    v.bias_stride = 1;
    v.end = g.n;
  } else if (g.n == 1 && g.b_row_stride == 1) {
    v.matrix = g.a;
    v.row_stride = g.a_row_stride;
    v.column_stride = g.a_column_stride;
    v.x = g.b;
    v.end = g.m;
  } else {
    return std::nullopt;
  }
  const bool has_kernel = v.column_stride == 1 ? g.k >= least_dot : v.row_stride == 1;
  return has_kernel && g.k > 0 ? std::optional(v) : std::nullopt;
}

// On the calling thread.
void multiply_by_gemm(kernels::GemmArguments g, DType type) {
  const std::size_t t = kernel_index(type);
  const Scratch workspace(kernels::table().gemm_workspace_bytes[t](g));
  g.workspace = workspace.get();
  kernels::table().gemm[t](g);
}

// The whole product on the calling thread.
void multiply_alone(const kernels::GemmArguments& g, DType type) {
  if (const auto v = as_gemv(g)) return kernels::table().gemv[kernel_index(type)](*v);
  multiply_by_gemm(g, type);
}

kernels::GemmArguments tile_of(kernels::GemmArguments g, DType type, Range rows, Range columns) {
  const auto bytes = static_cast<std::int64_t>(size_of(type));
  g.m = rows.end - rows.begin;
  g.n = columns.end - columns.begin;
  g.a = static_cast<const std::byte*>(g.a) + rows.begin * g.a_row_stride * bytes;
  g.b = static_cast<const std::byte*>(g.b) + columns.begin * g.b_column_stride * bytes;
  g.c = static_cast<std::byte*>(g.c) + (rows.begin * g.c_row_stride + columns.begin) * bytes;
  if (g.bias) g.bias = static_cast<const std::byte*>(g.bias) + columns.begin * bytes;
  return g;
}

void multiply(const kernels::GemmArguments& g, DType type) {
  const std::size_t t = kernel_index(type);
  if (const auto v = as_gemv(g)) {
    const double cost = static_cast<double>(v->k) * nanoseconds_per_element_read[t];
    const std::int64_t strips = (v->end + vector_strip - 1) / vector_strip;
    const std::int64_t parts = num_threads() == 1 ? 1 : chunks_for(strips, cost * vector_strip);
    parallel_for(parts, [&](std::int64_t part) {
      const Range rows = chunk_range(v->end, parts, part, vector_strip);
      kernels::GemvArguments own = *v;
      own.begin = rows.begin;
      own.end = rows.end;
      kernels::table().gemv[t](own);
    });
    return;
  }
  const Tiles tiles(g.m, g.n, nanoseconds_of(g, type), t);
  const Index row_unit = kernels::table().gemm_tile_rows[t];
  const Index column_unit = kernels::table().gemm_tile_columns[t];
  parallel_for(tiles.down * tiles.across, [&](std::int64_t tile) {
    const Range rows = chunk_range(g.m, tiles.down, tile / tiles.across, row_unit);
    const Range columns = chunk_range(g.n, tiles.across, tile % tiles.across, column_unit);
    if (rows.begin < rows.end && columns.begin < columns.end) multiply_by_gemm(tile_of(g, type, rows, columns), type);
  });
}

kernels::GemmArguments gemm_arguments(const MatrixOperand& a, const MatrixOperand& b) {
  kernels::GemmArguments g;
  g.m = a.rows;
  g.n = b.columns;
  g.k = a.columns;
  g.a_row_stride = a.row_stride;
  g.a_column_stride = a.column_stride;
  g.b_row_stride = b.row_stride;
  g.b_column_stride = b.column_stride;
  g.c_row_stride = b.columns;
  return g;
}

// The axes [batch..., rows] of a left operand as one axis of rows, when memory allows it: a batch of matrices times one
// matrix is then a single product.
bool can_merge_rows(const MatrixOperand& a, const MatrixOperand& b) {
  if (b.batch.size() != 1 || b.batch.ndim() > a.batch.ndim()) return false;
  std::int64_t stride = a.row_stride;
  std::int64_t size = a.rows;
  for (int k = a.batch.ndim() - 1; k >= 0; --k) {
    if (a.batch[k] == 1) continue;
    stride *= size;
    size = a.batch[k];
    if (a.batch_strides[static_cast<std::size_t>(k)] != stride) return false;
  }
  return true;
}

}  // namespace

void multiply_matrices(const Tensor& a, MatrixOperand left, const Tensor& b, const MatrixOperand& right,
                       const Tensor* bias, const Shape& batch, Tensor& y) {
  const auto bytes = static_cast<std::int64_t>(size_of(y.dtype()));
  std::int64_t count = batch.size();
  if (can_merge_rows(left, right)) {
    left.rows *= count;
    count = 1;
  }
  kernels::GemmArguments all = gemm_arguments(left, right);
  if (bias) all.bias = bias->data();
  const auto matrix = [&](std::int64_t position) {
    kernels::GemmArguments g = all;
    g.a = a.data<std::byte>() + (count > 1 ? left.offset(batch, position) : 0) * bytes;
    g.b = b.data<std::byte>() + (count > 1 ? right.offset(batch, position) : 0) * bytes;
    g.c = y.data<std::byte>() + position * g.m * g.n * bytes;
    return g;
  };
  const double cost = nanoseconds_of(all, y.dtype());
  if (count == 1 || cost > enough_nanoseconds_for_threads) {
    for (std::int64_t i = 0; i < count; ++i) multiply(matrix(i), y.dtype());
    return;
  }
  for_ranges(count, cost, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) multiply_alone(matrix(i), y.dtype());
  });
}

}  // namespace tapegrad::detail
