#include "autograd/ops/diagonal.h"

#include <algorithm>
#include <cstring>

#include "autograd/create.h"
#include "autograd/ops/elements.h"

namespace tapegrad {
namespace {

using detail::Strides;

// ---- tril, triu ----

struct TriangleAttributes {
  std::int64_t k;
};

// triu with `upper`, else tril.
template <bool upper>
struct Triangle {
  static constexpr const char* name = upper ? "triu" : "tril";
  static constexpr const char* doc =
      upper ? "The upper triangle of the last two axes, 0 below." : "The lower triangle of the last two axes, 0 above.";
  using Attributes = TriangleAttributes;
  static constexpr Uses uses = {};
  static constexpr bool is_linear = true;
  static Shape shape(const Inputs& x, const Attributes&) {
    if (x[0].ndim() < 2) x.fail(describe(x[0]) + " is not a matrix", "at least two axes are needed");
    return x[0].shape();
  }
  static Tensor forward(const Inputs& x, Attributes& a, const Shape& shape) {
    const Tensor from = detail::contiguous_elements(x[0]);
    Tensor y = Tensor::empty(shape, from.dtype());
    if (y.size() == 0) return y;
    const std::int64_t rows = y.shape(-2);
    const std::int64_t columns = y.shape(-1);
    const auto bytes = static_cast<std::int64_t>(size_of(y.dtype()));
    constexpr double nanoseconds_per_byte = 0.1;
    const double cost = nanoseconds_per_byte * static_cast<double>(columns * bytes);
    // The bits of 0 are 0 in every dtype.
    detail::for_ranges(y.size() / columns, cost, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r) {
        const std::int64_t row = r % rows;
        // Before `cut` lies the lower triangle, from there on the upper one.
        const std::int64_t diagonal = std::clamp(a.k, -rows, columns) + row;
        const std::int64_t cut = std::clamp<std::int64_t>(upper ? diagonal : diagonal + 1, 0, columns);
        const std::int64_t first = upper ? cut : 0;
        const std::int64_t last = upper ? columns : cut;
        std::byte* const to = y.data<std::byte>() + r * columns * bytes;
        const std::byte* const line = from.data<std::byte>() + r * columns * bytes;
        std::memset(to, 0, static_cast<std::size_t>(first * bytes));
        std::memcpy(to + first * bytes, line + first * bytes, static_cast<std::size_t>((last - first) * bytes));
        std::memset(to + last * bytes, 0, static_cast<std::size_t>((columns - last) * bytes));
      }
    });
    return y;
  }
  static void vjp(Walk& w, const Attributes& a, const Tensor& g) { w.give(0, apply<Triangle>(a, Arg(g))); }
  static std::vector<Sample<Attributes>> samples() {
    const Tensor x = detail::sample_values({3, 4});
    return {{{x}, {0}},
            {{x}, {1}},
            {{x}, {-2}},
            {{x}, {9}},
            {{x}, {-9}},
            {{detail::swapped_view(x, 0, 1)}, {0}},
            {{detail::sample_values({2, 3, 3})}, {0}},
            {{detail::sample_values({0, 3})}, {0}},
            {{detail::sample_values({1, 1})}, {0}},
            {{detail::sample_values({90, 170})}, {3}}};
  }
};
using Tril = Triangle<false>;
using Triu = Triangle<true>;

// ---- diagonal and its transpose ----

struct DiagonalAttributes {
  std::int64_t offset;
  int axis1, axis2;
  std::int64_t rows = 0, columns = 0;  // of the two axes
};

std::int64_t diagonal_size(const DiagonalAttributes& a) {
  const std::int64_t rows = a.offset < 0 ? a.rows + std::max(a.offset, -a.rows) : a.rows;
  const std::int64_t columns = a.offset > 0 ? a.columns - std::min(a.offset, a.columns) : a.columns;
  return std::min(rows, columns);
}

// The diagonal of x as a view.
Tensor diagonal_view(const Tensor& x, const DiagonalAttributes& a) {
  const Strides strides = x.strides();
  const auto stride = [&](int axis) { return strides[static_cast<std::size_t>(axis)]; };
  Shape shape;
  Strides kept{};
  for (int k = 0; k < x.ndim(); ++k) {
    if (k == a.axis1 || k == a.axis2) continue;
    kept[static_cast<std::size_t>(shape.ndim())] = stride(k);
    shape.append(x.block()->shape[k]);
  }
  kept[static_cast<std::size_t>(shape.ndim())] = stride(a.axis1) + stride(a.axis2);
  shape.append(diagonal_size(a));
  std::int64_t start = 0;
  if (shape.size() > 0) start = a.offset > 0 ? a.offset * stride(a.axis2) : -a.offset * stride(a.axis1);
  return Tensor::view(x, shape, std::span(kept).first(static_cast<std::size_t>(shape.ndim())), start);
}

struct DiagonalTranspose {
  static constexpr const char* name = "diagonal_transpose";
  static constexpr const char* doc = "The elements put into zeros on the diagonal that diagonal takes them from.";
  using Attributes = DiagonalAttributes;
  static constexpr Uses uses = {};
  static constexpr bool is_linear = true;
  static Shape shape(const Inputs& x, const Attributes& a) {
    Shape shape;
    int next = 0;
    for (int k = 0; k <= x[0].ndim(); ++k) {
      shape.append(k == a.axis1 ? a.rows : k == a.axis2 ? a.columns : x[0].block()->shape[next++]);
    }
    return shape;
  }
  static Tensor forward(const Inputs& x, Attributes& a, const Shape& shape) {
    Tensor y = zeros(shape, x[0].dtype());
    detail::copy_elements(x[0], diagonal_view(y, a));
    return y;
  }
  static void vjp(Walk& w, const Attributes& a, const Tensor& g) {
    w.give(0, diagonal(g, {a.offset, a.axis1, a.axis2}));
  }
  static std::vector<Sample<Attributes>> samples() {
    return {{{detail::sample_values({3})}, {0, 0, 1, 3, 4}},
            {{detail::sample_values({2, 2})}, {1, 2, 0, 2, 3}},
            {{detail::sample_values({2})}, {-1, 0, 1, 3, 2}},
            {{detail::sample_values({2, 0})}, {7, 1, 2, 3, 3}},
            {{detail::sample_values({400, 30})}, {0, 1, 2, 30, 31}}};
  }
};

struct Diagonal {
  static constexpr const char* name = "diagonal";
  static constexpr const char* doc = "The elements x[i, i + offset] of two axes, as a view.";
  using Attributes = DiagonalAttributes;
  static constexpr Uses uses = {};
  static constexpr bool is_linear = true;
  static Shape shape(const Inputs& x, const Attributes& a) {
    const int axis1 = normalize_axis(name, a.axis1, x[0].ndim(), x.at());
    const int axis2 = normalize_axis(name, a.axis2, x[0].ndim(), x.at());
    if (axis1 == axis2) x.fail("axis " + std::to_string(axis1) + " is named twice", "a diagonal needs two axes");
    return {};  // follows from the view
  }
  static Tensor forward(const Inputs& x, Attributes& a, const Shape&) {
    a.axis1 = normalize_axis(name, a.axis1, x[0].ndim(), x.at());
    a.axis2 = normalize_axis(name, a.axis2, x[0].ndim(), x.at());
    a.rows = x[0].block()->shape[a.axis1];
    a.columns = x[0].block()->shape[a.axis2];
    return diagonal_view(x[0], a);
  }
  static void vjp(Walk& w, const Attributes& a, const Tensor& g) { w.give(0, apply<DiagonalTranspose>(a, Arg(g))); }
  static std::vector<Sample<Attributes>> samples() {
    const Tensor x = detail::sample_values({3, 4});
    return {{{x}, {0, 0, 1}},
            {{x}, {2, 0, 1}},
            {{x}, {-1, 0, 1}},
            {{x}, {1, -1, -2}},
            {{x}, {9, 0, 1}},
            {{detail::sample_values({2, 3, 3})}, {0, -2, -1}},
            {{detail::sample_values({3, 2, 4})}, {-1, 2, 0}},
            {{detail::sample_values({0, 3})}, {0, 0, 1}},
            {{detail::sample_values({1, 1})}, {0, 0, 1}},
            {{detail::sample_values({300, 20, 40})}, {0, 1, 2}}};
  }
};

}  // namespace

Tensor tril(Arg x, std::int64_t k) { return apply<Tril>({k}, x); }
Tensor triu(Arg x, std::int64_t k) { return apply<Triu>({k}, x); }

Tensor diagonal(Arg x, const DiagonalOptions& options) {
  return apply<Diagonal>({options.offset, options.axis1, options.axis2}, x);
}

namespace detail {

std::vector<OpDescription> diagonal_ops() { return describe_ops<Tril, Triu, Diagonal, DiagonalTranspose>(); }

}  // namespace detail
}  // namespace tapegrad
