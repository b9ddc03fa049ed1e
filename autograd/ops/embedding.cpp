#include "autograd/ops/embedding.h"

#include <cstring>

#include "autograd/kernels/table.h"
#include "autograd/ops/row_sums.h"

namespace tapegrad {
namespace {

constexpr std::int64_t no_padding = -1;

void check_indices(const Inputs& x, const Tensor& indices) {
  if (indices.dtype() == i64 || indices.dtype() == i32) return;
  x.fail("the indices are " + describe(indices) + ", not integers",
         is_floating(indices.dtype()) && x.count() > 1 && !is_floating(x[1].dtype())
             ? "the indices come first, then the table"
             : "convert them with to(i64)");
}

// Contiguous i64, all in range.
Tensor checked_indices(const Inputs& x, const Tensor& indices, std::int64_t rows) {
  const Tensor values = detail::as_indices(indices);
  const std::int64_t* const index = values.data<std::int64_t>();
  for (std::int64_t i = 0; i < values.size(); ++i) {
    if (index[i] >= 0 && index[i] < rows) continue;
    x.fail("index " + std::to_string(index[i]) + " at position " + detail::position_text(indices.shape(), i) +
               " is out of range for a table of " + std::to_string(rows) + " rows",
           rows > 0 ? "indices are 0 to " + std::to_string(rows - 1) : "the table is empty");
  }
  return values;
}

struct TableAttributes {
  std::int64_t rows = 0;
  std::int64_t padding = no_padding;
  bool sparse = false;
  bool reads_padding = true;  // else its row reads as zeros
};

// ---- the gradient: rows of g added up where they were looked up ----

struct EmbeddingGradient {
  static constexpr const char* name = "embedding_gradient";
  static constexpr const char* doc = "Rows added up in a table of zeros: the transpose of embedding.";
  using Attributes = TableAttributes;
  static constexpr Uses uses = {reads_nothing, reads_input(0)};

  static Shape shape(const Inputs& x, const Attributes& a) {
    check_indices(x, x[0]);
    return {a.rows, x[1].shape(-1)};
  }
  static Tensor forward(const Inputs& x, Attributes& a, const Shape& shape) {
    const Tensor index = checked_indices(x, x[0], a.rows);
    const detail::IndexedRows rows{index, detail::contiguous_elements(x[1]), a.padding};
    Tensor y = Tensor::empty(shape, x[1].dtype());
    detail::RowSums({&rows, 1}, a.rows, shape[1], y.dtype()).write_table(y.data());
    return y;
  }
  static void vjp(Walk& w, const Attributes& a, const Tensor& h);
  static void jvp(Tangents& t, const Attributes& a) { t.give(apply<EmbeddingGradient>(a, Arg(t.input(0)), Arg(t[1]))); }
  static std::vector<Sample<Attributes>> samples();
};

// ---- the look-up ----

struct Embedding {
  static constexpr const char* name = "embedding";
  static constexpr const char* doc = "Rows of a table, looked up by index.";
  using Attributes = TableAttributes;
  static constexpr Uses uses = {reads_nothing, reads_input(0)};

  static Shape shape(const Inputs& x, const Attributes&) {
    check_indices(x, x[0]);
    if (x[1].ndim() != 2) x.fail("the table must be [rows, width], it is " + describe(x[1]));
    if (!is_floating(x[1].dtype())) x.fail("the table is " + describe(x[1]), "convert it with to(f32)");
    Shape shape = x[0].shape();
    shape.append(x[1].shape(1), x.at());
    return shape;
  }
  static Tensor forward(const Inputs& x, Attributes& a, const Shape& shape) {
    a.rows = x[1].shape(0);
    const Tensor index = checked_indices(x, x[0], a.rows);
    const Tensor table = detail::contiguous_elements(x[1]);
    Tensor y = Tensor::empty(shape, table.dtype());
    const std::int64_t row_bytes = shape.back() * static_cast<std::int64_t>(size_of(y.dtype()));
    const double cost = 0.1 * static_cast<double>(row_bytes) + 1;
    detail::for_ranges(index.size(), cost, [&](std::int64_t begin, std::int64_t end) {
      const std::int64_t* const rows = index.data<std::int64_t>();
      kernels::table().gather_rows(table.data(), rows, y.data(), row_bytes, begin, end);
      if (a.reads_padding || a.padding == no_padding) return;
      for (std::int64_t i = begin; i < end; ++i) {
        if (rows[i] == a.padding)
          std::memset(y.data<std::byte>() + i * row_bytes, 0, static_cast<std::size_t>(row_bytes));
      }
    });
    return y;
  }
  static void vjp(Walk& w, const Attributes& a, const Tensor& g) {
    if (a.sparse && w.takes_rows(1)) {
      const Tensor index = checked_indices(Inputs(name, nullptr, 0, w.at()), w.input(0), a.rows);
      return w.give_rows(1, {index, detail::contiguous_elements(g), a.padding});
    }
    w.give(1, apply<EmbeddingGradient>(a, Arg(w.input(0)), Arg(g)));
  }
  // The padding row is a constant.
  static void jvp(Tangents& t, const Attributes& a) { t.give(with_zero_padding(a, t.input(0), t[1])); }
  static Tensor with_zero_padding(Attributes a, const Tensor& indices, const Tensor& table) {
    a.reads_padding = false;
    return apply<Embedding>(a, Arg(indices), Arg(table));
  }
  static std::vector<Sample<Attributes>> samples() {
    const Tensor table = detail::sample_values({5, 3});
    const Tensor many = Tensor::from({4, 0, 4, 2, 4, 0}, {2, 3});
    return {{{many, table}, {}},
            {{many, table}, {.padding = 4, .reads_padding = false}},
            {{detail::swapped_view(many, 0, 1), detail::swapped_view(detail::sample_values({3, 5}), 0, 1)}, {}},
            {{Tensor::from({3}, {}).to(i64), table}, {}},
            {{Tensor::empty({0, 2}, i64), table}, {}},
            {{many, detail::sample_values({6, 700})}, {}}};
  }
};

void EmbeddingGradient::vjp(Walk& w, const Attributes& a, const Tensor& h) {
  w.give(1, Embedding::with_zero_padding(a, w.input(0), h));
}

std::vector<Sample<TableAttributes>> EmbeddingGradient::samples() {
  const Tensor many = Tensor::from({4, 0, 4, 2, 4, 0}, {2, 3});
  return {{{many, detail::sample_values({2, 3, 4})}, {.rows = 5}},
          {{many, detail::sample_values({2, 3, 4})}, {.rows = 6, .padding = 4}},
          {{Tensor::empty({0}, i64), detail::sample_values({0, 3})}, {.rows = 2}},
          {{many, detail::sample_values({2, 3, 700})}, {.rows = 9, .padding = 0}}};
}

}  // namespace

Tensor embedding(Arg indices, Arg weight, EmbeddingOptions options) {
  const Tensor& table = detail::defined("embedding", weight);
  TableAttributes a;
  a.sparse = options.sparse;
  a.padding = detail::padding_row("embedding", options, table.ndim() > 0 ? table.shape(0) : 0, indices.at());
  return apply<Embedding>(a, Arg(indices.tensor(i64), indices.at()), weight);
}

namespace detail {

std::int64_t padding_row(const char* who, const EmbeddingOptions& options, std::int64_t rows, SourceLocation at) {
  if (!options.padding_idx) return no_padding;
  const std::int64_t given = *options.padding_idx;
  if (given < -rows || given >= rows) {
    fail_op(
        who,
        "padding_idx " + std::to_string(given) + " is out of range for a table of " + std::to_string(rows) + " rows",
        at);
  }
  return given < 0 ? given + rows : given;
}

std::vector<OpDescription> embedding_ops() { return describe_ops<Embedding, EmbeddingGradient>(); }

}  // namespace detail
}  // namespace tapegrad
