#include "autograd/ops/linalg.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "autograd/create.h"
#include "autograd/kernels/table.h"
#include "autograd/ops/elements.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"

namespace tapegrad {
namespace {

// A multiply-add inside a dot product or a row update of moderate length.
constexpr double nanoseconds_per_multiply_add = 0.1;
// Right-hand sides are solved in strips: wide enough for registers, narrow enough for the caches.
constexpr std::int64_t strip_columns = 64;

// ---- shapes ----

Shape batch_of(const Tensor& x) {
  return Shape(std::span<const std::int64_t>(x.block()->shape, static_cast<std::size_t>(x.ndim() - 2)));
}

Shape with_matrix(Shape batch, std::int64_t rows, std::int64_t columns, SourceLocation at) {
  batch.append(rows, at);
  batch.append(columns, at);
  return batch;
}

void check_square(const Inputs& x) {
  const Tensor& a = x[0];
  if (!is_floating(a.dtype())) x.fail("the matrix is " + describe(a), "convert it with to(f32)");
  if (a.ndim() < 2 || a.block()->shape[a.ndim() - 2] != a.shape().back()) {
    x.fail(describe(a) + " is not a square matrix [..., n, n]");
  }
}

// Where a matrix of a batch is: "", or " [2, 0] of the batch".
std::string place_text(const Shape& batch, std::int64_t position) {
  return batch.ndim() == 0 ? "" : " " + detail::position_text(batch, position) + " of the batch";
}

// [n, n] with numbers that depend on the side of the diagonal.
Tensor triangle(std::int64_t n, double below, double on, double above, DType type) {
  Tensor y = Tensor::empty({n, n}, type);
  const auto fill = [&]<class T>(T* to) {
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = 0; j < n; ++j) *to++ = static_cast<T>(j < i ? below : j == i ? on : above);
    }
  };
  if (type == f32) {
    fill(y.data<float>());
  } else {
    fill(y.data<double>());
  }
  return y;
}

// ---- triangular systems ----

// One matrix that acts as lower triangular after its rows and columns are walked in the chosen order.
template <class T>
struct Triangular {
  const T* elements;
  std::int64_t n, row_stride, column_stride;
  bool is_upper, has_unit_diagonal;

  T at(std::int64_t row, std::int64_t column) const { return elements[row * row_stride + column * column_stride]; }

  // Columns [begin, end) of x, row after row: on entry the right-hand sides, on return the solution.
  void solve(T* x, std::int64_t width, std::int64_t begin, std::int64_t end) const {
    const std::size_t type = detail::kernel_index(dtype_of<T>);
    const auto add_row = kernels::table().axpy[type];
    const auto scale_row = kernels::table().scale[type];
    for (std::int64_t step = 0; step < n; ++step) {
      const std::int64_t row = is_upper ? n - 1 - step : step;
      T* const to = x + row * width + begin;
      for (std::int64_t before = 0; before < step; ++before) {
        const std::int64_t other = is_upper ? n - 1 - before : before;
        add_row(-static_cast<double>(at(row, other)), x + other * width + begin, to, end - begin);
      }
      if (!has_unit_diagonal) scale_row(1 / static_cast<double>(at(row, row)), to, end - begin);
    }
  }

  // The first zero of the diagonal; -1: there is none.
  std::int64_t find_zero() const {
    for (std::int64_t i = 0; i < n && !has_unit_diagonal; ++i) {
      if (at(i, i) == 0) return i;
    }
    return -1;
  }
};

struct SolveTriangular {
  static constexpr const char* name = "solve_triangular";
  static constexpr const char* doc = "The x with a x = b, for triangular matrices a.";
  using Attributes = SolveTriangularOptions;
  static constexpr Uses uses = {reads_input(0) | reads_output, reads_input(0)};

  static Shape shape(const Inputs& x, const Attributes&) {
    check_square(x);
    const Tensor& a = x[0];
    const Tensor& b = x[1];
    if (a.dtype() != b.dtype()) {
      x.fail(describe(a) + " and " + describe(b) + ": two dtypes", "convert one of them with to()");
    }
    const std::int64_t n = a.shape().back();
    if (b.ndim() < 2 || b.block()->shape[b.ndim() - 2] != n) {
      x.fail("the matrix " + describe(a) + " needs right-hand sides [..., " + std::to_string(n) + ", k], not " +
             describe(b));
    }
    return with_matrix(broadcast_shapes(name, batch_of(a), batch_of(b), x.at()), n, b.shape().back(), x.at());
  }
  static Tensor forward(const Inputs& x, Attributes& options, const Shape& shape) {
    Tensor y = Tensor::empty(shape, x[0].dtype());
    const Tape::Pause pause;
    detail::copy_elements(expand(x[1], shape), y);
    if (y.dtype() == f32) {
      solve_all<float>(x, options, y);
    } else {
      solve_all<double>(x, options, y);
    }
    return y;
  }
  // b' = op(a)^-T g; the matrix that was solved with, op(a), gets -b' x^T.
  static void vjp(Walk& w, const Attributes& o, const Tensor& g) {
    const Tensor& a = w.input(0);
    const Attributes turned{.upper = o.upper, .transpose = !o.transpose, .unit_diagonal = o.unit_diagonal};
    const Tensor db = apply<SolveTriangular>(turned, Arg(a), Arg(g));
    w.give(1, db);
    if (!w.needs(0)) return;
    const Tensor& x = w.output();
    const Tensor full = o.transpose ? matmul(x, transpose(db)) : matmul(db, transpose(x));
    const double on_diagonal = o.unit_diagonal ? 0 : -1;
    w.give(0, full * triangle(a.shape().back(), o.upper ? 0 : -1, on_diagonal, o.upper ? -1 : 0, a.dtype()));
  }
  // op(a) dx = db - op(da) x, with what counts of da.
  static void jvp(Tangents& t, const Attributes& o) {
    const auto solve = [&](const Tensor& b) { return apply<SolveTriangular>(o, Arg(t.input(0)), Arg(b)); };
    if (t.has(1)) t.give(solve(t[1]));
    if (!t.has(0)) return;
    const double on_diagonal = o.unit_diagonal ? 0 : 1;
    const Tensor da = t[0] * triangle(t[0].shape().back(), o.upper ? 0 : 1, on_diagonal, o.upper ? 1 : 0, t.dtype());
    t.give(-solve(matmul(o.transpose ? transpose(da) : da, t.output())));
  }
  static std::vector<Sample<Attributes>> samples() {
    // Away from zero on the diagonal, small beside it, so that solutions stay of moderate size.
    const auto matrix = [](const Shape& shape) {
      const std::int64_t n = shape.back();
      return detail::sample_values(shape, 1) * (1 / std::sqrt(static_cast<double>(n) + 1)) + 2 * eye(n, f64);
    };
    const auto right = [](const Shape& shape) { return detail::sample_values(shape, 2); };
    return {{{matrix({3, 3}), right({3, 2})}, {}},
            {{matrix({3, 3}), right({3, 2})}, {.upper = true}},
            {{matrix({3, 3}), right({3, 2})}, {.transpose = true}},
            {{matrix({3, 3}), right({3, 2})}, {.upper = true, .transpose = true}},
            {{matrix({4, 4}), right({4, 1})}, {.unit_diagonal = true}},
            {{matrix({2, 3, 3}), right({2, 3, 2})}, {.upper = true, .transpose = true, .unit_diagonal = true}},
            {{matrix({3, 3}), right({2, 3, 2})}, {}},
            {{matrix({2, 1, 2, 2}), right({3, 2, 1})}, {.transpose = true}},
            {{matrix({1, 1}), right({1, 1})}, {}},
            {{matrix({0, 0}), right({0, 2})}, {}},
            {{matrix({2, 2}), right({2, 0})}, {}},
            {{matrix({40, 40}), right({40, 130})}, {}},
            {{matrix({20, 10, 10}), right({20, 10, 9})}, {.upper = true}}};
  }

 private:
  template <class T>
  static void solve_all(const Inputs& x, const SolveTriangularOptions& options, Tensor& y) {
    const Shape batch = batch_of(y);
    const std::int64_t n = y.block()->shape[y.ndim() - 2];
    const std::int64_t width = y.shape().back();
    const Tensor a = expand(x[0], with_matrix(batch, n, n, x.at()));
    const detail::Strides strides = a.strides();
    const auto matrix = [&](std::int64_t position) {
      std::int64_t offset = 0;
      for (int k = batch.ndim() - 1; k >= 0; --k) {
        offset += position % batch[k] * strides[static_cast<std::size_t>(k)];
        position /= batch[k];
      }
      const std::int64_t row_stride = strides[static_cast<std::size_t>(batch.ndim())];
      const std::int64_t column_stride = strides[static_cast<std::size_t>(batch.ndim() + 1)];
      return Triangular<T>{a.data<T>() + offset,
                           n,
                           options.transpose ? column_stride : row_stride,
                           options.transpose ? row_stride : column_stride,
                           options.upper != options.transpose,
                           options.unit_diagonal};
    };
    if (y.size() == 0) return;
    for (std::int64_t position = 0; position < batch.size(); ++position) {
      const std::int64_t zero = matrix(position).find_zero();
      if (zero < 0) continue;
      x.fail("the matrix" + place_text(batch, position) + " is singular: number " + std::to_string(zero) +
             " of its diagonal is 0");
    }
    // Threads take columns of one matrix, or whole matrices: the bits are the same.
    const double cost = nanoseconds_per_multiply_add * static_cast<double>(n * n) / 2;
    if (batch.size() == 1) {
      const std::int64_t strips = (width + strip_columns - 1) / strip_columns;
      detail::for_ranges(strips, cost * strip_columns, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          matrix(0).solve(y.data<T>(), width, i * strip_columns, std::min((i + 1) * strip_columns, width));
        }
      });
      return;
    }
    detail::for_ranges(batch.size(), cost * static_cast<double>(width), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) matrix(i).solve(y.data<T>() + i * n * width, width, 0, width);
    });
  }
};

// ---- Cholesky ----

struct Cholesky {
  static constexpr const char* name = "cholesky";
  static constexpr const char* doc = "The lower triangular L with L transpose(L) = a.";
  using Attributes = NoAttributes;
  static constexpr Uses uses = {reads_output};

  static Shape shape(const Inputs& x, const Attributes&) {
    check_square(x);
    return x[0].shape();
  }
  static Tensor forward(const Inputs& x, Attributes&, const Shape& shape) {
    Tensor y = zeros(shape, x[0].dtype());
    if (y.dtype() == f32) {
      factor_all<float>(x, y);
    } else {
      factor_all<double>(x, y);
    }
    return y;
  }
  // With P = tril(L^T g), its diagonal halved, and S = L^-T P L^-1, the lower triangle of a gets S + S^T, its diagonal
  // halved. What g has above the diagonal, where L is 0 whatever a is, stays above it in L^T g and has no say.
  static void vjp(Walk& w, const Attributes&, const Tensor& g) {
    const Tensor& factor = w.output();
    const Tensor half = triangle(factor.shape().back(), 1, 0.5, 0, g.dtype());
    const Tensor p = matmul(transpose(factor), g) * half;
    const auto solve = [&](const Tensor& b) { return solve_triangular(factor, b, {.transpose = true}); };
    const Tensor s = solve(transpose(solve(p)));
    w.give(0, (s + transpose(s)) * half);
  }
  // L tril(L^-1 S L^-T), the diagonal of the triangle halved, for the symmetric S with the lower triangle of da.
  static void jvp(Tangents& t, const Attributes&) {
    const Tensor& factor = t.output();
    const Tensor half = triangle(factor.shape().back(), 1, 0.5, 0, t.dtype());
    const Tensor lower = t[0] * half;
    const auto solve = [&](const Tensor& b) { return solve_triangular(factor, b); };
    t.give(matmul(factor, solve(transpose(solve(lower + transpose(lower)))) * half));
  }
  static std::vector<Sample<Attributes>> samples() {
    const auto matrix = [](const Shape& shape) {
      const Tensor x = detail::sample_values(shape);
      return matmul(x, transpose(x)) * (1 / static_cast<double>(shape.back() + 1)) + eye(shape.back(), f64);
    };
    return {{{matrix({3, 3})}},    {{matrix({2, 4, 4})}},  {{matrix({1, 1})}},
            {{matrix({0, 3, 3})}}, {{zeros({0, 0}, f64)}}, {{matrix({16, 12, 12})}}};
  }

 private:
  // Row after row: every element is a dot product of two rows of L. Returns the first pivot that is not positive; -1:
  // all are.
  template <class T>
  static std::int64_t factor(const T* a, T* l, std::int64_t n) {
    const auto dot = kernels::table().dot_chunk[detail::kernel_index(dtype_of<T>)];
    for (std::int64_t i = 0; i < n; ++i) {
      T* const row = l + i * n;
      for (std::int64_t j = 0; j < i; ++j) {
        row[j] = static_cast<T>((static_cast<double>(a[i * n + j]) - dot(row, l + j * n, j)) /
                                static_cast<double>(l[j * n + j]));
      }
      const double pivot = static_cast<double>(a[i * n + i]) - dot(row, row, i);
      row[i] = static_cast<T>(std::sqrt(pivot));
      if (!(row[i] > 0) || std::isinf(row[i])) return i;
    }
    return -1;
  }

  template <class T>
  static void factor_all(const Inputs& x, Tensor& y) {
    if (y.size() == 0) return;
    const Tensor a = detail::contiguous_elements(x[0]);
    const std::int64_t n = y.shape().back();
    const std::int64_t count = y.size() / (n * n);
    detail::CachedVector<std::int64_t> bad_pivot(static_cast<std::size_t>(count));
    const double cost =
        nanoseconds_per_multiply_add * static_cast<double>(n * n * n) / 6 + 10.0 * static_cast<double>(n);
    detail::for_ranges(count, cost, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        bad_pivot[static_cast<std::size_t>(i)] = factor(a.data<T>() + i * n * n, y.data<T>() + i * n * n, n);
      }
    });
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t pivot = bad_pivot[static_cast<std::size_t>(i)];
      if (pivot < 0) continue;
      x.fail("the matrix" + place_text(batch_of(y), i) + " is not positive definite: pivot " + std::to_string(pivot) +
                 " is not a positive number",
             "a small multiple of the identity added to a covariance helps");
    }
  }
};

}  // namespace

Tensor outer(Arg a, Arg b) {
  const DType number_type = detail::number_type({&a, &b});
  const Tensor& left = a.tensor(number_type);
  const Tensor& right = b.tensor(number_type);
  const SourceLocation at = a.at();
  return Arg(reshape(Arg(left, at), {-1, 1}), at) * Arg(reshape(Arg(right, at), {1, -1}), at);
}

Tensor cholesky(Arg a) { return apply<Cholesky>({}, a); }

Tensor solve_triangular(Arg a, Arg b, const SolveTriangularOptions& options) {
  if (b.tensor().defined() && b.tensor().ndim() == 1) {
    const Tensor column = unsqueeze(b, -1);
    const Tensor x = apply<SolveTriangular>(options, a, Arg(column, b.at()));
    return squeeze(Arg(x, a.at()), -1);
  }
  return apply<SolveTriangular>(options, a, b);
}

namespace detail {
namespace {

std::vector<OpDescription> composites() {
  using Tensors = std::vector<Tensor>;
  const auto call = [](const Tensors& in) { return outer(in[0], in[1]); };
  return describe_composites({{"outer",
                               "The products of every element of one tensor with every element of another.",
                               "a[i] b[j]",
                               {{{sample_values({3}), sample_values({4}, 2)}, call},
                                {{sample_values({2, 2}), sample_values({})}, call},
                                {{sample_values({90}), sample_values({170}, 2)}, call}}}});
}

}  // namespace

std::vector<OpDescription> linalg_ops() {
  std::vector<OpDescription> all = describe_ops<SolveTriangular, Cholesky>();
  std::ranges::move(composites(), std::back_inserter(all));
  return all;
}

}  // namespace detail
}  // namespace tapegrad
