#include "autograd/ops/index.h"

#include <algorithm>
#include <iterator>

#include "autograd/create.h"
#include "autograd/kernels/table.h"
#include "autograd/ops/elements.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/row_sums.h"
#include "autograd/ops/shape.h"

namespace tapegrad {
namespace {

constexpr double nanoseconds_per_element = 1;

// ---- indices ----

// A tensor as [outer, size, inner] around one axis.
struct Blocks {
  std::int64_t outer = 1, inner = 1;

  Blocks(const Shape& shape, int axis) : Blocks(shape, axis, axis + 1) {}
  // ... around the axes from `first` up to `last`.
  Blocks(const Shape& shape, int first, int last) {
    for (int k = 0; k < first; ++k) outer *= shape[k];
    for (int k = last; k < shape.ndim(); ++k) inner *= shape[k];
  }
};

void check_integers(const Inputs& x, const Tensor& index) {
  if (index.dtype() == i64 || index.dtype() == i32) return;
  x.fail("the indices are " + describe(index) + ", not integers", "convert them with to(i64)");
}

// The indices as contiguous i64 in [0, size). Throws for one out of range.
Tensor resolve(const Inputs& x, const Tensor& index, std::int64_t size) {
  const Tensor values = detail::as_indices(index);
  const std::span<const std::int64_t> given = values.span<const std::int64_t>();
  bool has_negative = false;
  for (std::size_t i = 0; i < given.size(); ++i) {
    has_negative |= given[i] < 0;
    if (given[i] >= -size && given[i] < size) continue;
    x.fail("index " + std::to_string(given[i]) + " at position " +
               detail::position_text(index.shape(), static_cast<std::int64_t>(i)) + " is out of range for an axis of " +
               std::to_string(size),
           size > 0 ? "indices are " + std::to_string(-size) + " to " + std::to_string(size - 1) : "the axis is empty");
  }
  if (!has_negative) return values;
  Tensor resolved = Tensor::empty(values.shape(), i64);
  std::transform(given.begin(), given.end(), resolved.data<std::int64_t>(),
                 [size](std::int64_t i) { return i < 0 ? i + size : i; });
  return resolved;
}

struct IndexAttributes {
  int axis;
  std::int64_t size = 0;  // of the axis that is indexed
};

Tensor indices(std::initializer_list<std::int64_t> values, const Shape& shape) { return Tensor::from(values, shape); }

// Below `end`, with repetitions.
Tensor many_indices(const Shape& shape, std::int64_t end) {
  Tensor all = Tensor::empty(shape, i64);
  for (std::int64_t i = 0; i < all.size(); ++i) all.data<std::int64_t>()[i] = i * 7 % end;
  return all;
}

// ---- gather, scatter_add ----

struct ScatterAdd {
  static constexpr const char* name = "scatter_add";
  static constexpr const char* doc = "y[index[i, j], j] += values[i, j] into zeros, along any axis.";
  using Attributes = IndexAttributes;
  static constexpr Uses uses = {reads_input(1)};

  static Shape shape(const Inputs& x, const Attributes& a) {
    check_integers(x, x[1]);
    if (!(x[0].shape() == x[1].shape())) {
      x.fail("values " + describe(x[0]) + " and indices " + describe(x[1]) + " differ in shape");
    }
    if (a.size < 0) x.fail("the size of the axis is " + std::to_string(a.size));
    if (!is_floating(x[0].dtype())) x.fail("the values are " + describe(x[0]), "convert them with to(f32)");
    Shape shape = x[0].shape();
    shape[normalize_axis(name, a.axis, shape.ndim(), x.at())] = a.size;
    return shape;
  }
  static Tensor forward(const Inputs& x, Attributes& a, const Shape& shape) {
    if (a.axis < 0) a.axis += shape.ndim();
    const Tensor index = resolve(x, x[1], a.size);
    const Tensor values = detail::contiguous_elements(x[0]);
    Tensor y = zeros(shape, values.dtype());
    if (values.dtype() == f32) {
      add<float>(values, index, a, y);
    } else {
      add<double>(values, index, a, y);
    }
    return y;
  }
  static void vjp(Walk& w, const Attributes& a, const Tensor& g) { w.give(0, gather(g, w.input(1), a.axis)); }
  static void jvp(Tangents& t, const Attributes& a) { t.give(scatter_add(t[0], t.input(1), a.axis, a.size)); }
  static std::vector<Sample<Attributes>> samples() {
    return {{{detail::sample_values({3, 2}), indices({0, 3, 0, -1, 2, 3}, {3, 2})}, {0, 4}},
            {{detail::sample_values({2, 3}), indices({1, 1, 0, 0, 1, 0}, {2, 3})}, {-1, 2}},
            {{detail::swapped_view(detail::sample_values({3, 2}), 0, 1), indices({2, 0, 2, 1, 1, 1}, {2, 3})}, {1, 3}},
            {{detail::sample_values({0, 2}), indices({}, {0, 2})}, {0, 3}},
            {{detail::sample_values({60, 170}), many_indices({60, 170}, 50)}, {1, 50}}};
  }

 private:
  // Each block of the outer axes is added up by one thread, in order.
  template <class T>
  static void add(const Tensor& values, const Tensor& index, const Attributes& a, Tensor& y) {
    const Blocks blocks(values.shape(), a.axis);
    const std::int64_t count = values.block()->shape[a.axis];
    const double cost = nanoseconds_per_element * static_cast<double>(count * blocks.inner);
    detail::for_ranges(blocks.outer, cost, [&](std::int64_t begin, std::int64_t end) {
      const T* from = values.data<T>() + begin * count * blocks.inner;
      const std::int64_t* at = index.data<std::int64_t>() + begin * count * blocks.inner;
      for (std::int64_t o = begin; o < end; ++o) {
        T* const to = y.data<T>() + o * a.size * blocks.inner;
        for (std::int64_t i = 0; i < count; ++i) {
          for (std::int64_t c = 0; c < blocks.inner; ++c) to[*at++ * blocks.inner + c] += *from++;
        }
      }
    });
  }
};

struct Gather {
  static constexpr const char* name = "gather";
  static constexpr const char* doc = "y[i, j] = x[index[i, j], j], along any axis.";
  using Attributes = IndexAttributes;
  static constexpr Uses uses = {reads_input(1)};

  static Shape shape(const Inputs& x, const Attributes& a) {
    check_integers(x, x[1]);
    const int axis = normalize_axis(name, a.axis, x[0].ndim(), x.at());
    Shape wanted = x[0].shape();
    if (x[1].ndim() == wanted.ndim()) wanted[axis] = x[1].block()->shape[axis];
    if (!(x[1].shape() == wanted)) {
      x.fail("indices " + describe(x[1]) + " do not fit " + describe(x[0]),
             "sizes must be equal, except along axis " + std::to_string(axis) + "; whole slices are taken by take()");
    }
    return wanted;
  }
  static Tensor forward(const Inputs& x, Attributes& a, const Shape& shape) {
    if (a.axis < 0) a.axis += shape.ndim();
    a.size = x[0].block()->shape[a.axis];
    const Tensor index = resolve(x, x[1], a.size);
    const Tensor from = detail::contiguous_elements(x[0]);
    Tensor y = Tensor::empty(shape, from.dtype());
    detail::with_type(from.dtype(), [&]<class T>(T*) { pick<T>(from, index, a, y); });
    return y;
  }
  static void vjp(Walk& w, const Attributes& a, const Tensor& g) {
    w.give(0, scatter_add(g, w.input(1), a.axis, a.size));
  }
  static void jvp(Tangents& t, const Attributes& a) { t.give(gather(t[0], t.input(1), a.axis)); }
  static std::vector<Sample<Attributes>> samples() {
    const Tensor x = detail::sample_values({4, 3});
    return {{{x, indices({0, 3, 1, 3, 3, -4}, {2, 3})}, {0}},
            {{x, indices({0, 2, 1, 1, -1, 0, 2, 2}, {4, 2})}, {-1}},
            {{detail::swapped_view(x, 0, 1), indices({3, 0, 1}, {3, 1})}, {1}},
            {{detail::sample_values({2, 3, 2}), indices({2, 0, 1, 1}, {2, 1, 2})}, {1}},
            {{x, indices({}, {0, 3})}, {0}},
            {{detail::sample_values({60, 50}), many_indices({60, 170}, 50)}, {1}}};
  }

 private:
  template <class T>
  static void pick(const Tensor& from, const Tensor& index, const Attributes& a, Tensor& y) {
    const Blocks blocks(from.shape(), a.axis);
    const std::int64_t count = y.block()->shape[a.axis];
    const double cost = nanoseconds_per_element * static_cast<double>(count * blocks.inner);
    detail::for_ranges(blocks.outer, cost, [&](std::int64_t begin, std::int64_t end) {
      const std::int64_t* at = index.data<std::int64_t>() + begin * count * blocks.inner;
      T* to = y.data<T>() + begin * count * blocks.inner;
      for (std::int64_t o = begin; o < end; ++o) {
        const T* const block = from.data<T>() + o * a.size * blocks.inner;
        for (std::int64_t i = 0; i < count; ++i) {
          for (std::int64_t c = 0; c < blocks.inner; ++c) *to++ = block[*at++ * blocks.inner + c];
        }
      }
    });
  }
};

// ---- take and its transpose ----

struct TakeTranspose {
  static constexpr const char* name = "take_transpose";
  static constexpr const char* doc = "Slices added into zeros at the indices: the transpose of take.";
  using Attributes = IndexAttributes;
  static constexpr Uses uses = {reads_input(1)};

  static Shape shape(const Inputs& x, const Attributes& a) {
    check_integers(x, x[1]);
    const int kept = x[0].ndim() - x[1].ndim();
    if (kept < 0) x.fail("values " + describe(x[0]) + " have fewer axes than indices " + describe(x[1]));
    const int axis = normalize_axis(name, a.axis, kept + 1, x.at());
    const Shape values = x[0].shape();
    Shape shape;
    for (int k = 0; k < axis; ++k) shape.append(values[k]);
    if (a.size < 0) x.fail("the size of the axis is " + std::to_string(a.size));
    if (!is_floating(x[0].dtype())) x.fail("the values are " + describe(x[0]), "convert them with to(f32)");
    shape.append(a.size, x.at());
    for (int k = 0; k < x[1].ndim(); ++k) {
      if (values[axis + k] == x[1].block()->shape[k]) continue;
      x.fail("values " + describe(x[0]) + " do not have the axes of indices " + describe(x[1]) + " at axis " +
             std::to_string(axis));
    }
    for (int k = axis + x[1].ndim(); k < values.ndim(); ++k) shape.append(values[k]);
    return shape;
  }
  static Tensor forward(const Inputs& x, Attributes& a, const Shape& shape) {
    if (a.axis < 0) a.axis += shape.ndim();
    const Tensor index = resolve(x, x[1], a.size);
    const Tensor values = detail::contiguous_elements(x[0]);
    Tensor y = Tensor::empty(shape, values.dtype());
    const Blocks blocks(shape, a.axis);
    const detail::IndexedRows rows{index, values};
    const detail::RowSums sums({&rows, 1}, a.size, blocks.inner, y.dtype());
    const std::int64_t table_bytes = a.size * blocks.inner * static_cast<std::int64_t>(size_of(y.dtype()));
    const double cost = nanoseconds_per_element * static_cast<double>((a.size + index.size()) * blocks.inner);
    detail::for_ranges(blocks.outer, cost, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t o = begin; o < end; ++o)
        sums.write_table(y.data<std::byte>() + o * table_bytes, o * index.size());
    });
    return y;
  }
  static void vjp(Walk& w, const Attributes& a, const Tensor& g) { w.give(0, take(g, w.input(1), a.axis)); }
  static void jvp(Tangents& t, const Attributes& a) { t.give(take_transpose(t[0], t.input(1), a.axis, a.size)); }
  static std::vector<Sample<Attributes>> samples() {
    return {{{detail::sample_values({4, 3}), indices({0, 2, 0, -1}, {4})}, {0, 5}},
            {{detail::sample_values({2, 2, 2}), indices({1, 1, 0, 1}, {2, 2})}, {0, 2}},
            {{detail::swapped_view(detail::sample_values({3, 2}), 0, 1), indices({1, 0, 1}, {3})}, {1, 2}},
            {{detail::sample_values({3}), indices({2}, {})}, {0, 3}},
            {{detail::sample_values({0, 3}), indices({}, {0})}, {0, 2}},
            {{detail::sample_values({4, 900}), indices({5, 0, 5, 3}, {4})}, {0, 9}}};
  }
};

struct Take {
  static constexpr const char* name = "take";
  static constexpr const char* doc = "Whole slices along an axis: rows of a matrix, an embedding.";
  using Attributes = IndexAttributes;
  static constexpr Uses uses = {reads_input(1)};

  static Shape shape(const Inputs& x, const Attributes& a) {
    check_integers(x, x[1]);
    const int axis = normalize_axis(name, a.axis, x[0].ndim(), x.at());
    Shape shape;
    for (int k = 0; k < axis; ++k) shape.append(x[0].block()->shape[k], x.at());
    for (std::int64_t size : x[1].shape()) shape.append(size, x.at());
    for (int k = axis + 1; k < x[0].ndim(); ++k) shape.append(x[0].block()->shape[k], x.at());
    return shape;
  }
  static Tensor forward(const Inputs& x, Attributes& a, const Shape& shape) {
    if (a.axis < 0) a.axis += x[0].ndim();
    a.size = x[0].block()->shape[a.axis];
    const Tensor index = resolve(x, x[1], a.size);
    const Tensor from = detail::contiguous_elements(x[0]);
    Tensor y = Tensor::empty(shape, from.dtype());
    const Blocks blocks(from.shape(), a.axis);
    const std::int64_t row_bytes = blocks.inner * static_cast<std::int64_t>(size_of(y.dtype()));
    const double cost = 0.1 * static_cast<double>(row_bytes) + 1;
    for (std::int64_t o = 0; o < blocks.outer && y.size() > 0; ++o) {
      const std::byte* const block = from.data<std::byte>() + o * a.size * row_bytes;
      std::byte* const to = y.data<std::byte>() + o * index.size() * row_bytes;
      detail::for_ranges(index.size(), cost, [&](std::int64_t begin, std::int64_t end) {
        kernels::table().gather_rows(block, index.data<std::int64_t>(), to, row_bytes, begin, end);
      });
    }
    return y;
  }
  static void vjp(Walk& w, const Attributes& a, const Tensor& g) {
    w.give(0, take_transpose(g, w.input(1), a.axis, a.size));
  }
  static void jvp(Tangents& t, const Attributes& a) { t.give(take(t[0], t.input(1), a.axis)); }
  static std::vector<Sample<Attributes>> samples() {
    const Tensor x = detail::sample_values({4, 3});
    return {{{x, indices({0, 2, 2, -1}, {4})}, {0}},
            {{x, indices({0, 2, 1, 1, 0, 0}, {2, 3})}, {1}},
            {{detail::swapped_view(x, 0, 1), indices({2, 0}, {2})}, {0}},
            {{detail::sample_values({2, 3, 2}), indices({2, 2}, {2})}, {-2}},
            {{x, indices({1}, {})}, {0}},
            {{detail::sample_values({5}), indices({4, 0}, {2})}, {0}},
            {{x, indices({}, {0})}, {0}},
            {{detail::sample_values({6, 700}), indices({5, 0, 5, 3}, {4})}, {0}}};
  }
};

// The indices of an argument; a number is an i64.
const Tensor& index_tensor(const Arg& index) { return index.tensor(i64); }

}  // namespace

Tensor gather(Arg x, Arg index, int axis) { return apply<Gather>({axis}, x, index); }

Tensor scatter_add(Arg values, Arg index, int axis, std::int64_t size) {
  return apply<ScatterAdd>({axis, size}, values, index);
}

Tensor take(Arg x, Arg index, int axis) { return apply<Take>({axis}, x, Arg(index_tensor(index), index.at())); }

Tensor index_select(Arg x, Arg index, int axis) {
  const Tensor& positions = index_tensor(index);
  if (positions.defined() && positions.ndim() != 1) {
    detail::fail_op("index_select", "the index is " + describe(positions) + ", not 1-d", x.at(),
                    "take() has an index of any shape");
  }
  return take(x, index, axis);
}

Tensor take_transpose(Arg values, Arg index, int axis, std::int64_t size) {
  return apply<TakeTranspose>({axis, size}, values, Arg(index_tensor(index), index.at()));
}

Tensor one_hot(Arg labels, std::int64_t classes, DType type) {
  const Tensor& given = labels.tensor(i64);
  const Tensor* const input = &given;
  const Inputs x("one_hot", &input, 1, labels.at());
  if (!given.defined()) x.fail("input 0 is an empty handle");
  if (given.dtype() != i64 && given.dtype() != i32) {
    x.fail("the labels are " + describe(given) + ", not integers", "convert them with to(i64)");
  }
  const Tensor label = detail::as_indices(given);
  Shape shape = given.shape();
  shape.append(classes, labels.at());
  Tensor y = zeros(shape, type);
  const std::int64_t* const class_of = label.data<std::int64_t>();
  for (std::int64_t i = 0; i < label.size(); ++i) {
    if (class_of[i] >= 0 && class_of[i] < classes) continue;
    x.fail("label " + std::to_string(class_of[i]) + " at position " + detail::position_text(given.shape(), i) +
           " is not one of " + std::to_string(classes) + " classes");
  }
  detail::with_type(type, [&]<class T>(T*) {
    detail::for_ranges(label.size(), 2, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) y.data<T>()[i * classes + class_of[i]] = T{1};
    });
  });
  return y;
}

namespace {

void check_fits(const Tensor& x, const Tensor& other, const char* what, SourceLocation at) {
  if (broadcast_shapes("masked_fill", x.shape(), other.shape(), at) == x.shape()) return;
  detail::fail_op("masked_fill", std::string(what) + " " + describe(other) + " does not broadcast to " + describe(x),
                  at);
}

}  // namespace

Tensor masked_fill(Arg x, Arg mask, Arg value) {
  const Tensor& from = detail::defined("masked_fill", x);
  const Tensor& chosen = detail::defined("masked_fill", mask);
  if (chosen.dtype() != boolean) {
    detail::fail_op("masked_fill", "the mask is " + describe(chosen), x.at(),
                    "compare, as in mask != 0, or convert it with to(boolean)");
  }
  check_fits(from, chosen, "the mask", x.at());
  const Tensor& filling = value.tensor(from.dtype());
  check_fits(from, filling, "the value", x.at());
  return where(Arg(chosen, x.at()), filling, x);
}

namespace detail {
namespace {

std::vector<OpDescription> composites() {
  using Tensors = std::vector<Tensor>;
  const Tensor x = sample_values({3, 4});
  const Tensor mask = sample_values({3, 4}, 3) > 0;
  const Tensor row = Tensor::from({true, false, false, true});
  const Tensor large = sample_values({6, 2000});
  return describe_composites(
      {{"index_select",
        "take with a 1-d index.",
        "y[i] = x[index[i]]",
        {{{x, indices({2, 0, -1}, {3})}, [](const Tensors& in) { return index_select(in[0], in[1]); }},
         {{x, indices({3, 3}, {2})}, [](const Tensors& in) { return index_select(in[0], in[1], 1); }},
         {{large, indices({5, 0, 5, 3}, {4})}, [](const Tensors& in) { return index_select(in[0], in[1]); }}}},
       {"one_hot",
        "A row of zeros with a 1 at the label.",
        "y[i, k] = label[i] == k",
        {{{indices({2, 0, 1, 2}, {2, 2})}, [](const Tensors& in) { return one_hot(in[0], 3, i64); }},
         {{many_indices({50, 40}, 11)}, [](const Tensors& in) { return one_hot(in[0], 11, boolean); }}}},
       {"masked_fill",
        "A value where a mask holds, x elsewhere.",
        "mask ? value : x",
        {{{x, sample_values({}, 2)}, [mask](const Tensors& in) { return masked_fill(in[0], mask, in[1]); }},
         {{x, sample_values({4}, 2)}, [mask](const Tensors& in) { return masked_fill(in[0], mask, in[1]); }},
         {{x}, [row](const Tensors& in) { return masked_fill(in[0], row, -1); }},
         {{swapped_view(x, 0, 1), mask}, [](const Tensors& in) { return masked_fill(in[0], transpose(in[1]), 0.5); }},
         {{large}, [mask = large > 0](const Tensors& in) { return masked_fill(in[0], mask, 0.5); }}}}});
}

}  // namespace

std::vector<OpDescription> index_ops() {
  std::vector<OpDescription> all = describe_ops<Gather, ScatterAdd, Take, TakeTranspose>();
  std::ranges::move(composites(), std::back_inserter(all));
  return all;
}

}  // namespace detail
}  // namespace tapegrad
