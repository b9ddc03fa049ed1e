#include "autograd/ops/shape.h"

#include <algorithm>
#include <iterator>

#include "autograd/create.h"
#include "autograd/ops/elements.h"

namespace tapegrad {
namespace {

using detail::Strides;

// ---- reshape ----

// The strides with which the elements of x are a tensor of `shape`; false when no strides do that. Axes that are one
// even run of memory may be cut anew, and nothing else.
bool find_view_strides(const Tensor& x, const Shape& shape, Strides& found) {
  const Shape from = x.shape();
  const Strides strides = x.strides();
  int axis = shape.ndim() - 1;
  std::int64_t base = x.ndim() ? strides[static_cast<std::size_t>(x.ndim() - 1)] : 1;
  std::int64_t run = 1;      // elements of x's axes in this run
  std::int64_t covered = 1;  // ... of which the new axes have that many
  for (int d = x.ndim() - 1; d >= 0; --d) {
    run *= from[d];
    const bool is_continued = d > 0 && (from[d - 1] == 1 || strides[static_cast<std::size_t>(d - 1)] == run * base);
    if (is_continued) continue;
    while (axis >= 0 && (covered < run || shape[axis] == 1)) {
      found[static_cast<std::size_t>(axis)] = covered * base;
      covered *= shape[axis--];
    }
    if (covered != run) return false;
    run = covered = 1;
    if (d > 0) base = strides[static_cast<std::size_t>(d - 1)];
  }
  return axis < 0;
}

struct Reshape {
  static constexpr const char* name = "reshape";
  static constexpr const char* doc = "The same elements in C order in another shape.";
  struct Attributes {
    Shape shape;
  };
  static constexpr Uses uses = {};
  static constexpr bool is_linear = true;
  static Shape shape(const Inputs& x, const Attributes& a) {
    if (a.shape.size() != x[0].size()) {
      x.fail(describe(x[0]) + " has " + std::to_string(x[0].size()) + " elements, " + to_string(a.shape) + " has " +
             std::to_string(a.shape.size()));
    }
    return a.shape;
  }
  static Tensor forward(const Inputs& x, Attributes&, const Shape& shape) {
    if (x[0].is_contiguous()) return detail::reshaped_view(x[0], shape);
    Strides strides{};
    if (!find_view_strides(x[0], shape, strides)) {
      return detail::reshaped_view(detail::contiguous_elements(x[0]), shape);
    }
    return Tensor::view(x[0], shape, std::span(strides).first(static_cast<std::size_t>(shape.ndim())), 0);
  }
  static void vjp(Walk& w, const Attributes&, const Tensor& g) { w.give(0, reshape(g, w.shape(0))); }
  static std::vector<Sample<Attributes>> samples() {
    const Tensor x = detail::sample_values({2, 6});
    return {{{x}, {{3, 4}}},
            {{detail::swapped_view(x, 0, 1)}, {{4, 3}}},
            {{detail::sliced_view(x, 1, 0, 3, 2)}, {{2, 3, 1}}},
            {{detail::sample_values({})}, {{1, 1}}},
            {{detail::sample_values({0, 3})}, {{3, 0}}},
            {{detail::swapped_view(detail::sample_values({90, 170}), 0, 1)}, {{90, 170}}}};
  }
};

// ---- permute, transpose ----

struct Permute {
  static constexpr const char* name = "permute";
  static constexpr const char* doc = "The axes in another order.";
  struct Attributes {
    std::array<int, max_rank> order;
    std::span<const int> used(int ndim) const { return {order.data(), static_cast<std::size_t>(ndim)}; }
  };
  static constexpr Uses uses = {};
  static constexpr bool is_linear = true;
  static Shape shape(const Inputs& x, const Attributes& a) {
    Shape shape = x[0].shape();
    for (int k = 0; k < shape.ndim(); ++k) shape[k] = x[0].block()->shape[a.order[static_cast<std::size_t>(k)]];
    return shape;
  }
  static Tensor forward(const Inputs& x, Attributes& a, const Shape&) {
    return detail::permuted_view(x[0], a.used(x[0].ndim()));
  }
  static void vjp(Walk& w, const Attributes& a, const Tensor& g) {
    std::array<int, max_rank> inverse{};
    for (int k = 0; k < g.ndim(); ++k) inverse[static_cast<std::size_t>(a.order[static_cast<std::size_t>(k)])] = k;
    w.give(0, permute(g, std::span<const int>(inverse).first(static_cast<std::size_t>(g.ndim()))));
  }
  static std::vector<Sample<Attributes>> samples() {
    return {{{detail::sample_values({2, 3, 4})}, {{1, 2, 0}}},
            {{detail::sample_values({2, 1, 3, 2})}, {{3, 0, 2, 1}}},
            {{detail::sample_values({})}, {{}}},
            {{detail::sample_values({30, 17, 100})}, {{1, 2, 0}}}};
  }
};

struct Transpose {
  static constexpr const char* name = "transpose";
  static constexpr const char* doc = "Two axes swapped.";
  struct Attributes {
    int a, b;
  };
  static constexpr Uses uses = {};
  static constexpr bool is_linear = true;
  static Shape shape(const Inputs& x, const Attributes& a) {
    Shape shape = x[0].shape();
    std::swap(shape[a.a], shape[a.b]);
    return shape;
  }
  static Tensor forward(const Inputs& x, Attributes& a, const Shape&) { return detail::swapped_view(x[0], a.a, a.b); }
  static void vjp(Walk& w, const Attributes& a, const Tensor& g) { w.give(0, transpose(g, a.a, a.b)); }
  static std::vector<Sample<Attributes>> samples() {
    return {{{detail::sample_values({3, 4})}, {0, 1}},
            {{detail::sample_values({2, 3, 4})}, {0, 2}},
            {{detail::sample_values({300, 170})}, {0, 1}}};
  }
};

// ---- slice and its transpose ----

// `size` elements of an axis, which has `full`, from `start` on.
struct SliceAttributes {
  int axis;
  std::int64_t start, size, step, full;
};

struct SliceTranspose {
  static constexpr const char* name = "slice_transpose";
  static constexpr const char* doc = "The elements put into zeros at the places that slice takes them from.";
  using Attributes = SliceAttributes;
  static constexpr Uses uses = {};
  static constexpr bool is_linear = true;
  static Shape shape(const Inputs& x, const Attributes& a) {
    Shape shape = x[0].shape();
    shape[a.axis] = a.full;
    return shape;
  }
  static Tensor forward(const Inputs& x, Attributes& a, const Shape& shape) {
    Tensor y = zeros(shape, x[0].dtype());
    detail::copy_elements(x[0], detail::sliced_view(y, a.axis, a.start, a.size, a.step));
    return y;
  }
  static void vjp(Walk& w, const Attributes& a, const Tensor& g);
  static std::vector<Sample<Attributes>> samples() {
    return {{{detail::sample_values({2, 3})}, {1, 1, 3, 2, 7}},
            {{detail::sample_values({2, 3})}, {0, 4, 2, -2, 5}},
            {{detail::sample_values({90, 170})}, {1, 10, 170, 1, 190}}};
  }
};

struct Slice {
  static constexpr const char* name = "slice";
  static constexpr const char* doc = "Elements start, start + step, ... of an axis.";
  using Attributes = SliceAttributes;
  static constexpr Uses uses = {};
  static constexpr bool is_linear = true;
  static Shape shape(const Inputs& x, const Attributes& a) {
    Shape shape = x[0].shape();
    shape[a.axis] = a.size;
    return shape;
  }
  static Tensor forward(const Inputs& x, Attributes& a, const Shape&) {
    return detail::sliced_view(x[0], a.axis, a.start, a.size, a.step);
  }
  static void vjp(Walk& w, const Attributes& a, const Tensor& g) { w.give(0, apply<SliceTranspose>(a, Arg(g))); }
  static std::vector<Sample<Attributes>> samples() {
    const Tensor x = detail::sample_values({4, 5});
    return {{{x}, {0, 1, 2, 1, 4}},
            {{x}, {1, 4, 3, -2, 5}},
            {{x}, {1, 2, 0, 1, 5}},
            {{detail::sample_values({90, 170})}, {1, 10, 160, 1, 170}}};
  }
};

void SliceTranspose::vjp(Walk& w, const Attributes& a, const Tensor& g) { w.give(0, apply<Slice>(a, Arg(g))); }

// NumPy's rule for start:stop:step on an axis of `full` elements.
SliceAttributes resolve_slice(int axis, std::int64_t start, std::int64_t stop, std::int64_t step, std::int64_t full) {
  const std::int64_t lowest = step < 0 ? -1 : 0;
  const std::int64_t highest = step < 0 ? full - 1 : full;
  const auto resolve = [&](std::int64_t i) { return std::clamp(i < 0 ? i + full : i, lowest, highest); };
  // A step beyond the end takes one element, however far it goes.
  step = std::clamp(step, -std::max<std::int64_t>(full, 1), std::max<std::int64_t>(full, 1));
  start = resolve(start);
  stop = resolve(stop);
  const std::int64_t distance = step > 0 ? stop - start : start - stop;
  const std::int64_t size = distance > 0 ? (distance + std::abs(step) - 1) / std::abs(step) : 0;
  return {axis, size ? start : 0, size, step, full};
}

// ---- contiguous, to ----

struct Contiguous {
  static constexpr const char* name = "contiguous";
  static constexpr const char* doc = "A copy whose elements lie in C order.";
  using Attributes = NoAttributes;
  static constexpr Uses uses = {};
  static constexpr bool is_linear = true;
  static Shape shape(const Inputs& x, const Attributes&) { return x[0].shape(); }
  static Tensor forward(const Inputs& x, Attributes&, const Shape& shape) {
    Tensor y = Tensor::empty(shape, x[0].dtype());
    detail::copy_elements(x[0], y);
    return y;
  }
  static void vjp(Walk& w, const Attributes&, const Tensor& g) { w.give(0, g); }
  static std::vector<Sample<Attributes>> samples() {
    const Tensor x = detail::sample_values({3, 4, 2});
    return {{{detail::swapped_view(x, 0, 2)}}, {{detail::sliced_view(x, 1, 3, 4, -1)}}};
  }
};

struct To {
  static constexpr const char* name = "to";
  static constexpr const char* doc = "The same values as another dtype.";
  struct Attributes {
    DType type;
  };
  static constexpr Uses uses = {};
  static constexpr bool is_linear = true;
  static Shape shape(const Inputs& x, const Attributes&) { return x[0].shape(); }
  static Tensor forward(const Inputs& x, Attributes& a, const Shape&) { return detail::converted(x[0], a.type); }
  static void vjp(Walk& w, const Attributes&, const Tensor& g) { w.give(0, g); }  // the walk restores the dtype
  static std::vector<Sample<Attributes>> samples() { return {{{detail::sample_values({3, 2})}, {f64}}}; }
};

}  // namespace

// ---- reshape family ----

Tensor reshape(Arg x, const Shape& shape) {
  const Tensor& from = detail::defined("reshape", x);
  if (from.shape() == shape) return from;
  return apply<Reshape>({shape}, x);
}

Tensor reshape(Arg x, std::initializer_list<std::int64_t> sizes) {
  const Tensor& from = detail::defined("reshape", x);
  const std::int64_t* const open = std::find(sizes.begin(), sizes.end(), -1);
  if (open == sizes.end()) return reshape(x, Shape(sizes, x.at()));
  std::int64_t known = 1;
  Shape shape;
  for (const std::int64_t& size : sizes) {
    shape.append(&size == open ? 1 : size, x.at());
    if (&size != open) known *= size;
  }
  if (known == 0 || from.size() % known != 0) {
    detail::fail_op("reshape",
                    describe(from) + " has " + std::to_string(from.size()) + " elements, which " +
                        detail::sizes_text({sizes.begin(), sizes.size()}) + " does not divide evenly",
                    x.at());
  }
  shape[static_cast<int>(open - sizes.begin())] = from.size() / known;
  return reshape(x, shape);
}

Tensor flatten(Arg x, int start_axis) {
  const Tensor& from = detail::defined("flatten", x);
  if (from.ndim() == 0 && (start_axis == 0 || start_axis == -1)) return reshape(x, Shape{1});
  const int start = normalize_axis("flatten", start_axis, from.ndim(), x.at());
  Shape shape;
  for (int k = 0; k < start; ++k) shape.append(from.block()->shape[k]);
  std::int64_t rest = 1;
  for (int k = start; k < from.ndim(); ++k) rest *= from.block()->shape[k];
  shape.append(rest);
  return reshape(x, shape);
}

Tensor squeeze(Arg x, Axes axis) {
  const Tensor& from = detail::defined("squeeze", x);
  const unsigned chosen = axis.mask("squeeze", from.ndim(), x.at());
  Shape shape;
  for (int k = 0; k < from.ndim(); ++k) {
    const std::int64_t size = from.block()->shape[k];
    const bool is_chosen = chosen >> k & 1;
    if (is_chosen && size != 1 && !axis.is_all()) {
      detail::fail_op(
          "squeeze",
          "axis " + std::to_string(k) + " of " + describe(from) + " has size " + std::to_string(size) + ", not 1",
          x.at());
    }
    if (!is_chosen || size != 1) shape.append(size);
  }
  return reshape(x, shape);
}

Tensor unsqueeze(Arg x, int axis) {
  const Tensor& from = detail::defined("unsqueeze", x);
  const int position = normalize_axis("unsqueeze", axis, from.ndim() + 1, x.at());
  Shape shape;
  for (int k = 0; k <= from.ndim(); ++k) {
    shape.append(k == position ? 1 : from.block()->shape[k < position ? k : k - 1], x.at());
  }
  return reshape(x, shape);
}

// ---- order of axes ----

Tensor permute(Arg x, std::initializer_list<int> order) {
  return permute(x, std::span<const int>(order.begin(), order.size()));
}

Tensor permute(Arg x, std::span<const int> order) {
  const Tensor& from = detail::defined("permute", x);
  if (static_cast<int>(order.size()) != from.ndim()) {
    detail::fail_op("permute", std::to_string(order.size()) + " axes named for " + describe(from), x.at(),
                    "name each of its " + std::to_string(from.ndim()) + " axes once");
  }
  Permute::Attributes a{};
  unsigned seen = 0;
  for (std::size_t k = 0; k < order.size(); ++k) {
    const int axis = normalize_axis("permute", order[k], from.ndim(), x.at());
    if (seen >> axis & 1) detail::fail_op("permute", "axis " + std::to_string(axis) + " is named twice", x.at());
    seen |= 1u << axis;
    a.order[k] = axis;
  }
  return apply<Permute>(a, x);
}

Tensor transpose(Arg x, int axis_a, int axis_b) {
  const Tensor& from = detail::defined("transpose", x);
  const int a = normalize_axis("transpose", axis_a, from.ndim(), x.at());
  const int b = normalize_axis("transpose", axis_b, from.ndim(), x.at());
  return apply<Transpose>({a, b}, x);
}

// ---- slice ----

Tensor Tensor::slice(int axis, std::int64_t start, std::int64_t stop, std::int64_t step, SourceLocation at) const {
  detail::defined("slice", Arg(*this, at));
  const int k = normalize_axis("slice", axis, ndim(), at);
  if (step == 0) detail::fail_op("slice", "the step is 0", at);
  return apply<Slice>(resolve_slice(k, start, stop, step, block_->shape[k]), Arg(*this, at));
}

// ---- copies ----

Tensor contiguous(Arg x) {
  const Tensor& from = detail::defined("contiguous", x);
  return from.is_contiguous() ? from : apply<Contiguous>({}, x);
}

Tensor Tensor::to(DType type, SourceLocation at) const {
  detail::defined("to", Arg(*this, at));
  return dtype() == type ? *this : apply<To>({type}, Arg(*this, at));
}

namespace detail {
namespace {

using Tensors = std::vector<Tensor>;

std::vector<OpDescription> composites() {
  const Tensor x = sample_values({2, 1, 3, 1});
  const Tensor turned = swapped_view(x, 0, 2);
  const Tensor large = swapped_view(sample_values({300, 1, 170, 1}), 0, 2);
  return describe_composites({{"flatten",
                               "The axes from one on joined into one.",
                               "",
                               {{{x}, [](const Tensors& in) { return flatten(in[0]); }},
                                {{turned}, [](const Tensors& in) { return flatten(in[0], 1); }},
                                {{sample_values({})}, [](const Tensors& in) { return flatten(in[0]); }},
                                {{sample_values({2, 0, 3})}, [](const Tensors& in) { return flatten(in[0], -2); }},
                                {{large}, [](const Tensors& in) { return flatten(in[0]); }}}},
                              {"squeeze",
                               "Axes of size 1 removed.",
                               "",
                               {{{x}, [](const Tensors& in) { return squeeze(in[0]); }},
                                {{turned}, [](const Tensors& in) { return squeeze(in[0], {1}); }},
                                {{large}, [](const Tensors& in) { return squeeze(in[0]); }}}},
                              {"unsqueeze",
                               "An axis of size 1 inserted.",
                               "",
                               {{{x}, [](const Tensors& in) { return unsqueeze(in[0], 0); }},
                                {{turned}, [](const Tensors& in) { return unsqueeze(in[0], -1); }},
                                {{sample_values({})}, [](const Tensors& in) { return unsqueeze(in[0], 0); }},
                                {{large}, [](const Tensors& in) { return unsqueeze(in[0], 0); }}}}});
}

}  // namespace

std::vector<OpDescription> shape_ops() {
  std::vector<OpDescription> all = describe_ops<Reshape, Permute, Transpose, Slice, SliceTranspose, Contiguous, To>();
  std::ranges::move(composites(), std::back_inserter(all));
  std::ranges::move(join_ops(), std::back_inserter(all));
  return all;
}

}  // namespace detail
}  // namespace tapegrad
