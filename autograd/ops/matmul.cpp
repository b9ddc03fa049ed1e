#include "autograd/ops/matmul.h"

#include <algorithm>

#include "autograd/ops/matrix_product.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"

namespace tapegrad {
namespace {

using Operand = detail::MatrixOperand;
using Side = Operand::Side;

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

// The axes in front of the last one as one axis of rows.
Tensor as_rows(const Tensor& x) {
  std::int64_t rows = 1;
  for (int k = 0; k < x.ndim() - 1; ++k) rows *= x.block()->shape[k];
  return reshape(x, {rows, x.shape(-1)});
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
    const Operand a(x[0], Side::left);
    const Operand b(x[1], Side::right);
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
    const Operand a(x[0], Side::left);
    const Operand b(x[1], Side::right);
    const Shape batch = broadcast_shapes(name, a.batch, b.batch, x.at());
    detail::multiply_matrices(x[0], a, x[1], b, nullptr, batch, y);
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
  static void jvp(Tangents& t, const Attributes&) {
    if (t.has(0)) t.give(matmul(t[0], t.input(1)));
    if (t.has(1)) t.give(matmul(t.input(0), t[1]));
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
        {{x({70, 1024}), y({1024, 40})}},  // rows that lie too evenly to be read in place
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
    w.give(1, product_like(a.right, transpose(as_rows(w.input(0))), as_rows(g)));
  }
};

struct Linear {
  static constexpr const char* name = "linear";
  static constexpr const char* doc = "y = x W^T + b over the last axis.";
  using Attributes = NoAttributes;
  static constexpr Uses uses = {reads_input(1), reads_input(0), reads_nothing};

  static Shape shape(const Inputs& x, const Attributes&) {
    const Tensor& w = x[1];
    const Tensor& b = x[2];
    if (!is_floating(x[0].dtype()) || w.dtype() != x[0].dtype() || b.dtype() != x[0].dtype()) {
      x.fail("x, weight and bias must have one floating dtype: " + describe(x[0]) + ", " + describe(w) + ", " +
             describe(b));
    }
    if (w.ndim() != 2 || b.ndim() != 1 || b.shape(0) != w.shape(0) || x[0].ndim() == 0 ||
        x[0].shape(-1) != w.shape(1)) {
      x.fail("x [..., in], weight [out, in] and bias [out] do not fit: " + to_string(x[0].shape()) + ", " +
             to_string(w.shape()) + ", " + to_string(b.shape()));
    }
    Shape shape = x[0].shape();
    shape[shape.ndim() - 1] = w.shape(0);
    return shape;
  }
  static Tensor forward(const Inputs& x, Attributes&, const Shape& shape) {
    Tensor y = Tensor::empty(shape, x[0].dtype());
    if (y.size() == 0) return y;
    const Tensor bias = detail::contiguous_elements(x[2]);
    const Operand left(x[0], Side::left);
    Operand right(x[1], Side::right);
    std::swap(right.rows, right.columns);
    std::swap(right.row_stride, right.column_stride);
    detail::multiply_matrices(x[0], left, x[1], right, &bias, left.batch, y);
    return y;
  }
  static void vjp(Walk& w, const Attributes&, const Tensor& g) {
    if (w.needs(0)) w.give(0, matmul(g, w.input(1)));
    if (w.needs(1)) w.give(1, matmul(transpose(as_rows(g)), as_rows(w.input(0))));
    if (w.needs(2)) w.give(2, g);
  }
  static void jvp(Tangents& t, const Attributes&) {
    if (t.has(0)) t.give(matmul(t[0], transpose(t.input(1))));
    if (t.has(1)) t.give(matmul(t.input(0), transpose(t[1])));
    if (t.has(2)) t.give(expand(t[2], t.shape()));
  }

  static std::vector<Sample<Attributes>> samples() {
    const auto sample = [](const Shape& x, std::int64_t out) -> Sample<Attributes> {
      const std::int64_t in = x.back();
      return {{detail::sample_values(x, 1), detail::sample_values({out, in}, 2), detail::sample_values({out}, 3)}};
    };
    return {sample({3, 4}, 2), sample({4}, 3),    sample({2, 3, 4}, 5), sample({1, 40}, 3), sample({0, 3}, 2),
            sample({3, 0}, 2), sample({5, 1}, 1), sample({3, 40}, 1),   sample({40, 3}, 5), sample({90, 130}, 100)};
  }
};

}  // namespace

Tensor matmul(Arg a, Arg b) { return apply<Matmul>({}, a, b); }

Tensor linear(Arg x, Arg weight, Arg bias) { return apply<Linear>({}, x, weight, bias); }

namespace detail {

std::vector<OpDescription> matmul_ops() { return describe_ops<Matmul, Linear>(); }

}  // namespace detail
}  // namespace tapegrad
