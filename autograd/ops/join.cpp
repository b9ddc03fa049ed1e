// Joining tensors and cutting them into parts.
#include "autograd/create.h"
#include "autograd/ops/elements.h"
#include "autograd/ops/shape.h"

namespace tapegrad {
namespace {

using detail::Strides;

struct Concat {
  static constexpr const char* name = "concat";
  static constexpr const char* doc = "Tensors joined along an axis.";
  struct Attributes {
    int axis;
    detail::CachedVector<std::int64_t> ends{};  // of each part along the axis
  };
  static constexpr Uses uses = {};
  static Shape shape(const Inputs& x, const Attributes& a) {
    if (x.count() == 0) x.fail("no tensors to join");
    Shape joined = x[0].shape();
    const int axis = normalize_axis(name, a.axis, joined.ndim(), x.at());
    joined[axis] = 0;
    for (int k = 0; k < x.count(); ++k) {
      Shape rest = x[k].shape();
      const std::int64_t size = axis < rest.ndim() ? rest[axis] : 0;
      if (axis < rest.ndim()) rest[axis] = joined[axis];
      if (!(rest == joined) || x[k].dtype() != x[0].dtype()) {
        x.fail("input " + std::to_string(k) + " is " + describe(x[k]) + " and input 0 is " + describe(x[0]),
               "dtypes and sizes must be equal, except along axis " + std::to_string(axis));
      }
      joined[axis] += size;
    }
    return joined;
  }
  static Tensor forward(const Inputs& x, Attributes& a, const Shape& shape) {
    a.axis = a.axis < 0 ? a.axis + shape.ndim() : a.axis;
    a.ends.clear();
    a.ends.reserve(static_cast<std::size_t>(x.count()));
    Tensor y = Tensor::empty(shape, x[0].dtype());
    std::int64_t end = 0;
    for (int k = 0; k < x.count(); ++k) {
      const std::int64_t size = x[k].block()->shape[a.axis];
      detail::copy_elements(x[k], detail::sliced_view(y, a.axis, end, size, 1));
      a.ends.push_back(end += size);
    }
    return y;
  }
  static void vjp(Walk& w, const Attributes& a, const Tensor& g) {
    for (std::size_t k = 0; k < a.ends.size(); ++k) {
      const int input = static_cast<int>(k);
      if (w.needs(input)) w.give(input, g.slice(a.axis, k ? a.ends[k - 1] : 0, a.ends[k]));
    }
  }
  static void jvp(Tangents& t, const Attributes& a) {
    std::vector<Tensor> parts;
    for (std::size_t k = 0; k < a.ends.size(); ++k) {
      Shape shape = t.shape();
      shape[a.axis] = a.ends[k] - (k ? a.ends[k - 1] : 0);
      parts.push_back(t.has(static_cast<int>(k)) ? t[static_cast<int>(k)] : zeros(shape, t.dtype()));
    }
    t.give(concat(parts, a.axis));
  }
  static std::vector<Sample<Attributes>> samples() {
    const Tensor a = detail::sample_values({2, 3});
    const Tensor b = detail::sample_values({2, 1}, 2);
    return {{{a, b, a}, {1}},
            {{a, detail::sample_values({1, 3}, 3), a, a}, {-2}},
            {{detail::swapped_view(a, 0, 1), detail::sample_values({3, 0})}, {1}},
            {{a, b, a, b, a, b, a, b, a, b}, {1}},
            {{detail::sample_values({90, 170}), detail::sample_values({90, 30}, 2)}, {1}}};
  }
};

struct Stack {
  static constexpr const char* name = "stack";
  static constexpr const char* doc = "Tensors of one shape joined along a new axis.";
  struct Attributes {
    int axis;
    int count = 0;
  };
  static constexpr Uses uses = {};
  static Shape shape(const Inputs& x, const Attributes& a) {
    if (x.count() == 0) x.fail("no tensors to join");
    for (int k = 1; k < x.count(); ++k) {
      if (x[k].shape() == x[0].shape() && x[k].dtype() == x[0].dtype()) continue;
      x.fail("input " + std::to_string(k) + " is " + describe(x[k]) + " and input 0 is " + describe(x[0]),
             "shapes and dtypes must be equal");
    }
    Shape shape;
    const int axis = normalize_axis(name, a.axis, x[0].ndim() + 1, x.at());
    for (int k = 0; k <= x[0].ndim(); ++k) {
      shape.append(k == axis ? x.count() : x[0].block()->shape[k < axis ? k : k - 1], x.at());
    }
    return shape;
  }
  static Tensor forward(const Inputs& x, Attributes& a, const Shape& shape) {
    a.axis = a.axis < 0 ? a.axis + shape.ndim() : a.axis;
    a.count = x.count();
    Tensor y = Tensor::empty(shape, x[0].dtype());
    for (int k = 0; k < x.count(); ++k) detail::copy_elements(x[k], part(y, a.axis, k));
    return y;
  }
  static void vjp(Walk& w, const Attributes& a, const Tensor& g) {
    for (int k = 0; k < a.count; ++k) {
      if (w.needs(k)) w.give(k, squeeze(g.slice(a.axis, k, k + 1), a.axis));
    }
  }
  static void jvp(Tangents& t, const Attributes& a) {
    Shape shape;
    for (int k = 0; k < t.shape().ndim(); ++k) {
      if (k != a.axis) shape.append(t.shape()[k]);
    }
    std::vector<Tensor> parts;
    for (int k = 0; k < a.count; ++k) parts.push_back(t.has(k) ? t[k] : zeros(shape, t.dtype()));
    t.give(stack(parts, a.axis));
  }
  static std::vector<Sample<Attributes>> samples() {
    const Tensor a = detail::sample_values({2, 3});
    const Tensor b = detail::sample_values({2, 3}, 2);
    return {{{a, b}, {0}},
            {{a, b, a, b}, {1}},
            {{a, b}, {-1}},
            {{detail::sample_values({})}, {0}},
            {{detail::sample_values({90, 170}), detail::sample_values({90, 170}, 2)}, {1}}};
  }

 private:
  // Position k of the axis, without it.
  static Tensor part(const Tensor& y, int axis, int k) {
    const Strides strides = y.strides();
    Shape shape;
    Strides kept{};
    for (int d = 0; d < y.ndim(); ++d) {
      if (d == axis) continue;
      kept[static_cast<std::size_t>(shape.ndim())] = strides[static_cast<std::size_t>(d)];
      shape.append(y.block()->shape[d]);
    }
    return Tensor::view(y, shape, std::span(kept).first(static_cast<std::size_t>(shape.ndim())),
                        y.size() ? k * strides[static_cast<std::size_t>(axis)] : 0);
  }
};

template <class Op>
Tensor join(std::initializer_list<Arg> parts, int axis, SourceLocation at) {
  detail::CachedVector<const Tensor*> x;
  x.reserve(parts.size());
  for (const Arg& part : parts) x.push_back(&part.tensor());
  return detail::apply_op<Op>(x.data(), static_cast<int>(x.size()), at, {axis});
}

}  // namespace

Tensor concat(std::initializer_list<Arg> parts, int axis, SourceLocation at) { return join<Concat>(parts, axis, at); }

Tensor concat(const std::vector<Tensor>& parts, int axis, SourceLocation at) {
  return apply_to_all<Concat>({axis}, parts, at);
}

Tensor stack(std::initializer_list<Arg> parts, int axis, SourceLocation at) { return join<Stack>(parts, axis, at); }

Tensor stack(const std::vector<Tensor>& parts, int axis, SourceLocation at) {
  return apply_to_all<Stack>({axis}, parts, at);
}

// ---- parts ----

namespace detail {

Tensor equal_part(const Arg& x, int part, int parts, int axis) {
  const Tensor& from = defined("split", x);
  const int k = normalize_axis("split", axis, from.ndim(), x.at());
  const std::int64_t size = from.block()->shape[k];
  if (parts < 1 || size % parts != 0) {
    fail_op("split",
            "axis " + std::to_string(k) + " of " + describe(from) + " cannot be cut into " + std::to_string(parts) +
                " equal parts",
            x.at(), "pass the sizes of the parts: split(x, {2, 3}, axis)");
  }
  return from.slice(k, size / parts * part, size / parts * (part + 1), 1, x.at());
}

}  // namespace detail

std::vector<Tensor> split(Arg x, int parts, int axis) {
  std::vector<Tensor> result{detail::equal_part(x, 0, parts, axis)};
  for (int k = 1; k < parts; ++k) result.push_back(detail::equal_part(x, k, parts, axis));
  return result;
}

std::vector<Tensor> split(Arg x, std::initializer_list<std::int64_t> sizes, int axis) {
  const Tensor& from = detail::defined("split", x);
  const int k = normalize_axis("split", axis, from.ndim(), x.at());
  std::int64_t sum = 0;
  bool has_negative = false;
  for (std::int64_t size : sizes) {
    sum += size;
    has_negative |= size < 0;
  }
  if (has_negative || sum != from.block()->shape[k]) {
    detail::fail_op("split",
                    "the sizes " + detail::sizes_text({sizes.begin(), sizes.size()}) + " do not add up to axis " +
                        std::to_string(k) + " of " + describe(from),
                    x.at());
  }
  std::vector<Tensor> result;
  std::int64_t begin = 0;
  for (std::int64_t size : sizes) {
    result.push_back(from.slice(k, begin, begin + size, 1, x.at()));
    begin += size;
  }
  return result;
}

namespace detail {

std::vector<OpDescription> join_ops() {
  using Tensors = std::vector<Tensor>;
  std::vector<OpDescription> all = describe_ops<Concat, Stack>();
  for (OpDescription& op : describe_composites(
           {{"split",
             "Parts of an axis, as views.",
             "",
             {{{sample_values({4, 6})}, [](const Tensors& in) { return stack(split(in[0], 3, 1)); }},
              {{sample_values({4, 6})},
               [](const Tensors& in) {
                 return concat(split(in[0], {1, 0, 3}));
               }},
              {{sample_values({90, 170})}, [](const Tensors& in) { return concat(split(in[0], 2)); }}}}})) {
    all.push_back(std::move(op));
  }
  return all;
}

}  // namespace detail
}  // namespace tapegrad
