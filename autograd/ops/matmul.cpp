#include "autograd/ops/matmul.h"

#include <algorithm>

#include "autograd/kernels/table.h"
#include "autograd/ops/elements.h"
#include "autograd/ops/shape.h"

namespace tapegrad {
namespace {

using kernels::Index;

// One multiply-add on a fast core, f32 and f64.
constexpr double nanoseconds_per_multiply_add[] = {0.01, 0.02};
// A tile below this packs its operands more than it computes.
constexpr double least_nanoseconds_per_tile = 4000;
// The matrices of a batch that are larger are cut themselves, one after another.
constexpr double enough_nanoseconds_for_threads = 200'000;

// ---- shapes ----

// An operand as [batch axes..., rows, columns]: a vector gets an axis of size 1.
struct Operand {
  Shape batch;
  std::int64_t rows = 1, columns = 1;
  Index row_stride = 0, column_stride = 0;
  detail::Strides batch_strides{};

  Operand(const Tensor& x, bool is_left) {
    const detail::Strides strides = x.strides();
    const auto stride = [&](int axis) { return static_cast<Index>(strides[static_cast<std::size_t>(axis)]); };
    const std::int64_t* const size = x.block()->shape;
    const int n = x.ndim();
    if (n == 1) {
      (is_left ? columns : rows) = size[0];
      (is_left ? column_stride : row_stride) = stride(0);
      return;
    }
    rows = size[n - 2];
    columns = size[n - 1];
    row_stride = stride(n - 2);
    column_stride = stride(n - 1);
    batch = Shape(std::span(size, static_cast<std::size_t>(n - 2)));
    batch_strides = strides;
  }

  // Where the matrix number `position` of the broadcast batch begins, in elements.
  std::int64_t offset(const Shape& all, std::int64_t position) const {
    std::int64_t result = 0;
    const int extra = all.ndim() - batch.ndim();
    for (int k = all.ndim() - 1; k >= 0; --k) {
      const std::int64_t index = position % all[k];
      position /= all[k];
      if (k >= extra && batch[k - extra] != 1) result += index * batch_strides[static_cast<std::size_t>(k - extra)];
    }
    return result;
  }
};

std::string pair_text(const Tensor& a, const Tensor& b) { return to_string(a.shape()) + " x " + to_string(b.shape()); }

void check(const Inputs& x) {
  const Tensor& a = x[0];
  const Tensor& b = x[1];
  if (!is_floating(a.dtype()) || !is_floating(b.dtype())) {
    const Tensor& integers = is_floating(a.dtype()) ? b : a;
    x.fail(describe(a) + " x " + describe(b) + ": " + name_of(integers.dtype()) + " has no matrix product",
           "convert it with to(f32)");
  }
  if (a.dtype() != b.dtype()) {
    x.fail(describe(a) + " x " + describe(b) + ": two dtypes", "convert one of them with to(f64)");
  }
  if (a.ndim() == 0 || b.ndim() == 0) {
    x.fail("a 0-dim operand: " + pair_text(a, b), "multiply by a number with *");
  }
}

// ---- computing ----

double nanoseconds_of(const kernels::GemmArguments& g, DType type) {
  return static_cast<double>(g.m) * static_cast<double>(g.n) * static_cast<double>(g.k) *
         nanoseconds_per_multiply_add[detail::kernel_index(type)];
}

// How many parts to cut m and n into, so that the parts are near squares. Bits do not depend on it.
struct Tiles {
  std::int64_t down = 1, across = 1;

  Tiles(std::int64_t m, std::int64_t n, double nanoseconds, std::size_t type) {
    const auto wanted = std::min<std::int64_t>(2 * num_threads(), max_chunks);
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

void multiply_tile(kernels::GemmArguments g, DType type, Range rows, Range columns) {
  const std::size_t k = detail::kernel_index(type);
  const auto bytes = static_cast<std::int64_t>(size_of(type));
  g.m = rows.end - rows.begin;
  g.n = columns.end - columns.begin;
  if (g.m <= 0 || g.n <= 0) return;
  g.a = static_cast<const std::byte*>(g.a) + rows.begin * g.a_row_stride * bytes;
  g.b = static_cast<const std::byte*>(g.b) + columns.begin * g.b_column_stride * bytes;
  g.c = static_cast<std::byte*>(g.c) + (rows.begin * g.c_row_stride + columns.begin) * bytes;
  const kernels::Table& table = kernels::table();
  const detail::Scratch workspace(table.gemm_workspace_bytes[k](g.m, g.n, g.k));
  g.workspace = workspace.get();
  table.gemm[k](g);
}

void multiply(const kernels::GemmArguments& g, DType type) {
  const std::size_t k = detail::kernel_index(type);
  const Tiles tiles(g.m, g.n, nanoseconds_of(g, type), k);
  const Index row_unit = kernels::table().gemm_tile_rows[k];
  const Index column_unit = kernels::table().gemm_tile_columns[k];
  parallel_for(tiles.down * tiles.across, [&](std::int64_t tile) {
    multiply_tile(g, type, chunk_range(g.m, tiles.down, tile / tiles.across, row_unit),
                  chunk_range(g.n, tiles.across, tile % tiles.across, column_unit));
  });
}

kernels::GemmArguments gemm_arguments(const Operand& a, const Operand& b) {
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
bool can_merge_rows(const Operand& a, const Operand& b) {
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

void multiply_batch(const Tensor& a_values, const Tensor& b_values, Operand a, const Operand& b, const Shape& batch,
                    Tensor& y) {
  const auto bytes = static_cast<std::int64_t>(size_of(y.dtype()));
  std::int64_t count = batch.size();
  if (can_merge_rows(a, b)) {
    a.rows *= count;
    count = 1;
  }
  const kernels::GemmArguments all = gemm_arguments(a, b);
  const auto matrix = [&](std::int64_t position) {
    kernels::GemmArguments g = all;
    g.a = a_values.data<std::byte>() + (count > 1 ? a.offset(batch, position) : 0) * bytes;
    g.b = b_values.data<std::byte>() + (count > 1 ? b.offset(batch, position) : 0) * bytes;
    g.c = y.data<std::byte>() + position * g.m * g.n * bytes;
    return g;
  };
  const double cost = nanoseconds_of(all, y.dtype());
  if (count == 1 || cost > enough_nanoseconds_for_threads) {
    for (std::int64_t i = 0; i < count; ++i) multiply(matrix(i), y.dtype());
    return;
  }
  detail::for_ranges(count, cost, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) multiply_tile(matrix(i), y.dtype(), {0, all.m}, {0, all.n});
  });
}

// ---- the op ----

// What the gradients need to know of an operand besides its elements.
struct Form {
  int ndim = 0;
  bool is_transposed = false;  // the matrices lie in memory column after column, as in transpose(weight)
};

Form form_of(const Tensor& x) {
  const int n = x.ndim();
  const detail::Strides strides = x.strides();
  const auto stride = [&](int axis) { return strides[static_cast<std::size_t>(axis)]; };
  return {n, n >= 2 && stride(n - 2) == 1 && stride(n - 1) != 1};
}

// The product a b in the memory order of the operand whose gradient it is: of a transposed one it is then, once it has
// passed the transposition, contiguous.
Tensor product_like(const Form& operand, const Tensor& a, const Tensor& b) {
  return operand.is_transposed ? transpose(matmul(transpose(b), transpose(a))) : matmul(a, b);
}

struct Matmul {
  static constexpr const char* name = "matmul";
  static constexpr const char* doc = "The matrix product over the last two axes; axes in front are broadcast.";
  struct Attributes {
    Form left{}, right{};
  };
  static constexpr Uses uses = {reads_input(1), reads_input(0)};

  static Shape shape(const Inputs& x, const Attributes&) {
    check(x);
    const Operand a(x[0], true);
    const Operand b(x[1], false);
    if (a.columns != b.rows) {
      x.fail("inner dimensions differ: " + pair_text(x[0], x[1]) + " (" + std::to_string(a.columns) + " and " +
             std::to_string(b.rows) + ")");
    }
    Shape shape = broadcast_batch(x, a, b);
    if (x[0].ndim() > 1) shape.append(a.rows, x.at());
    if (x[1].ndim() > 1) shape.append(b.columns, x.at());
    return shape;
  }
  static Tensor forward(const Inputs& x, Attributes& attributes, const Shape& shape) {
    attributes = {form_of(x[0]), form_of(x[1])};
    Tensor y = Tensor::empty(shape, x[0].dtype());
    if (y.size() == 0) return y;
    const Operand a(x[0], true);
    const Operand b(x[1], false);
    multiply_batch(x[0], x[1], a, b, broadcast_shapes(name, a.batch, b.batch, x.at()), y);
    return y;
  }
  static void vjp(Walk& w, const Attributes& a, const Tensor& g) {
    if (a.left.ndim > 2 && a.right.ndim == 2) return vjp_of_one_matrix(w, a, g);
    Tensor cotangent = a.right.ndim == 1 ? unsqueeze(g, -1) : g;
    if (a.left.ndim == 1) cotangent = unsqueeze(cotangent, -2);
    if (w.needs(0)) {
      const Tensor right = a.right.ndim == 1 ? unsqueeze(w.input(1), 1) : w.input(1);
      const Tensor gradient = product_like(a.left, cotangent, transpose(right));
      w.give(0, a.left.ndim == 1 ? squeeze(gradient, -2) : gradient);
    }
    if (w.needs(1)) {
      const Tensor left = a.left.ndim == 1 ? unsqueeze(w.input(0), 0) : w.input(0);
      const Tensor gradient = product_like(a.right, transpose(left), cotangent);
      w.give(1, a.right.ndim == 1 ? squeeze(gradient, -1) : gradient);
    }
  }

  static std::vector<Sample<Attributes>> samples() {
    const auto x = [](const Shape& shape) { return detail::sample_values(shape, 1); };
    const auto y = [](const Shape& shape) { return detail::sample_values(shape, 2); };
    const auto turned = [](const Tensor& t) { return detail::swapped_view(t, t.ndim() - 2, t.ndim() - 1); };
    return {
        {{x({3, 4}), y({4, 2})}},
        {{x({3, 4}), turned(y({5, 4}))}},
        {{turned(x({4, 3})), y({4, 5})}},
        {{turned(x({4, 3})), turned(y({5, 4}))}},
        {{detail::sliced_view(x({6, 9}), 1, 8, 4, -2), detail::sliced_view(y({4, 6}), 1, 0, 3, 2)}},
        {{x({4}), y({4})}},
        {{x({4}), y({4, 3})}},
        {{x({3, 4}), y({4})}},
        {{x({2, 3, 4}), y({2, 4, 2})}},
        {{x({2, 3, 4}), y({4, 2})}},
        {{x({2, 3, 4}), turned(y({2, 4}))}},
        {{turned(x({2, 4, 3})), y({4, 2})}},
        {{x({3, 4}), y({2, 4, 2})}},
        {{x({2, 1, 3, 4}), y({3, 4, 2})}},
        {{x({2, 3, 4}), y({4})}},
        {{x({4}), y({2, 4, 3})}},
        {{x({1, 1}), y({1, 1})}},
        {{x({1, 5}), y({5, 1})}},
        {{x({0, 3}), y({3, 2})}},
        {{x({2, 0}), y({0, 3})}},
        {{x({0, 2, 3}), y({3, 2})}},
        {{x({37, 70}), y({70, 65})}},
        {{x({37, 70}), turned(y({65, 70}))}},
        {{x({260, 40}), y({40, 3})}},
        {{x({24, 20, 16}), y({24, 16, 20})}},
    };
  }

 private:
  static Shape broadcast_batch(const Inputs& x, const Operand& a, const Operand& b) {
    const int rank = std::max(a.batch.ndim(), b.batch.ndim());
    for (int k = 1; k <= std::min(a.batch.ndim(), b.batch.ndim()); ++k) {
      const std::int64_t a_size = a.batch[a.batch.ndim() - k];
      const std::int64_t b_size = b.batch[b.batch.ndim() - k];
      if (a_size == b_size || a_size == 1 || b_size == 1) continue;
      x.fail("batch axes differ: " + pair_text(x[0], x[1]) + " (" + std::to_string(a_size) + " and " +
                 std::to_string(b_size) + " at axis " + std::to_string(rank - k) + ")",
             "batch sizes must be equal or 1");
    }
    return broadcast_shapes(name, a.batch, b.batch, x.at());
  }

  // [..., m, k] times one matrix: the leading axes are rows too, so each gradient is a single product.
  static void vjp_of_one_matrix(Walk& w, const Attributes& a, const Tensor& g) {
    if (w.needs(0)) w.give(0, matmul(g, transpose(w.input(1))));
    if (!w.needs(1)) return;
    const Tensor& left = w.input(0);
    std::int64_t rows = 1;
    for (int k = 0; k < left.ndim() - 1; ++k) rows *= left.block()->shape[k];
    const Tensor merged = reshape(left, {rows, left.shape(-1)});
    w.give(1, product_like(a.right, transpose(merged), reshape(g, {rows, g.shape(-1)})));
  }
};

}  // namespace

Tensor matmul(Arg a, Arg b) { return apply<Matmul>({}, a, b); }

namespace detail {

std::vector<OpDescription> matmul_ops() { return describe_ops<Matmul>(); }

}  // namespace detail
}  // namespace tapegrad
