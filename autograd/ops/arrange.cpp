#include "autograd/ops/arrange.h"

#include "autograd/ops/elements.h"
#include "autograd/ops/index.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"

namespace tapegrad {
namespace {

// The sizes before, of and behind an axis, so that three axes are enough whatever the rank.
struct Cut {
  std::int64_t before = 1, size, behind = 1;

  Cut(const Shape& shape, int axis) : size(shape[axis]) {
    for (int k = 0; k < axis; ++k) before *= shape[k];
    for (int k = axis + 1; k < shape.ndim(); ++k) behind *= shape[k];
  }
};

void check_repetitions(const char* op, std::int64_t count, SourceLocation at) {
  if (count < 0) detail::fail_op(op, std::to_string(count) + " repetitions", at, "a number of 0 or more");
}

Tensor roll_axis(const Arg& x, std::int64_t shift, int axis) {
  const Tensor& from = detail::defined("roll", x);
  const int k = normalize_axis("roll", axis, from.ndim(), x.at());
  const std::int64_t n = from.block()->shape[k];
  const std::int64_t start = n ? (n - shift % n) % n : 0;
  if (start == 0) return from;
  return concat({from.slice(k, start, n, 1, x.at()), from.slice(k, 0, start, 1, x.at())}, k, x.at());
}

Tensor tile_axis(const Tensor& x, std::int64_t repetitions, int axis, SourceLocation at) {
  if (repetitions == 1) return x;
  const Cut cut(x.shape(), axis);
  const Shape blocks({cut.before, 1, cut.size * cut.behind}, at);
  const Shape repeated({cut.before, repetitions, cut.size * cut.behind}, at);
  Shape shape = x.shape();
  shape[axis] *= repetitions;
  return reshape(Arg(expand(Arg(reshape(Arg(x, at), blocks), at), repeated), at), shape);
}

Tensor tile(const Arg& x, std::span<const std::int64_t> repetitions) {
  const Tensor& from = detail::defined("tile", x);
  const int extra = std::max(0, static_cast<int>(repetitions.size()) - from.ndim());
  Shape shape;
  for (int k = 0; k < extra; ++k) shape.append(1, x.at());
  for (const std::int64_t size : from.shape()) shape.append(size, x.at());
  Tensor y = reshape(x, shape);
  // From the last axis on: the whole result is then copied once, all before are smaller.
  for (std::size_t k = repetitions.size(); k-- > 0;) {
    const int axis = shape.ndim() - static_cast<int>(repetitions.size() - k);
    check_repetitions("tile", repetitions[k], x.at());
    y = tile_axis(y, repetitions[k], axis, x.at());
  }
  return y;
}

Tensor repeat_each(const Arg& x, std::span<const std::int64_t> repeats, int axis) {
  const Tensor& from = detail::defined("repeat", x);
  const int k = normalize_axis("repeat", axis, from.ndim(), x.at());
  if (static_cast<std::int64_t>(repeats.size()) != from.block()->shape[k]) {
    detail::fail_op("repeat",
                    std::to_string(repeats.size()) + " numbers for axis " + std::to_string(k) + " of " + describe(from),
                    x.at(), "one for each of its elements");
  }
  std::int64_t total = 0;
  for (const std::int64_t count : repeats) {
    check_repetitions("repeat", count, x.at());
    total += count;
  }
  const Tensor index = Tensor::empty({total}, i64);
  std::int64_t* position = index.data<std::int64_t>();
  for (std::size_t i = 0; i < repeats.size(); ++i) {
    for (std::int64_t count = 0; count < repeats[i]; ++count) *position++ = static_cast<std::int64_t>(i);
  }
  return take(x, index, k);
}

std::vector<Tensor> make_grid(std::span<const Tensor* const> vectors, Indexing indexing, SourceLocation at) {
  const Inputs inputs("meshgrid", vectors.data(), static_cast<int>(vectors.size()), at);
  Shape shape;
  for (int k = 0; k < inputs.count(); ++k) {
    if (!inputs[k].defined()) inputs.fail("input " + std::to_string(k) + " is an empty handle");
    if (inputs[k].ndim() > 1) {
      inputs.fail("input " + std::to_string(k) + " is " + describe(inputs[k]), "a grid is made of vectors");
    }
    shape.append(inputs[k].size(), at);
  }
  // Vector k runs along that axis.
  const auto axis_of = [&](int k) { return indexing == Indexing::xy && k < 2 && inputs.count() > 1 ? 1 - k : k; };
  if (axis_of(0) == 1) std::swap(shape[0], shape[1]);
  std::vector<Tensor> grid;
  for (int k = 0; k < inputs.count(); ++k) {
    Shape own = shape;
    for (int d = 0; d < own.ndim(); ++d) own[d] = d == axis_of(k) ? inputs[k].size() : 1;
    grid.push_back(expand(Arg(reshape(Arg(inputs[k], at), own), at), shape));
  }
  return grid;
}

}  // namespace

Tensor flip(Arg x, Axes axis) {
  Tensor y = detail::defined("flip", x);
  const unsigned mask = axis.mask("flip", y.ndim(), x.at());
  for (int k = 0; k < y.ndim(); ++k) {
    const std::int64_t n = y.block()->shape[k];
    if (mask >> k & 1 && n > 1) y = y.slice(k, n - 1, -n - 1, -1, x.at());
  }
  return y;
}

Tensor roll(Arg x, std::int64_t shift, int axis) { return roll_axis(x, shift, axis); }

Tensor roll(Arg x, std::initializer_list<std::int64_t> shifts, std::initializer_list<int> axes) {
  if (shifts.size() != axes.size()) {
    detail::fail_op("roll", std::to_string(shifts.size()) + " shifts for " + std::to_string(axes.size()) + " axes",
                    x.at(), "one shift for each axis");
  }
  Tensor y = detail::defined("roll", x);
  for (std::size_t k = 0; k < axes.size(); ++k) y = roll_axis(Arg(y, x.at()), shifts.begin()[k], axes.begin()[k]);
  return y;
}

Tensor roll(Arg x, std::int64_t shift) {
  const Shape shape = detail::defined("roll", x).shape();
  return reshape(Arg(roll_axis(Arg(reshape(x, Shape{shape.size()}), x.at()), shift, 0), x.at()), shape);
}

Tensor tile(Arg x, std::initializer_list<std::int64_t> repetitions) {
  return tile(x, std::span<const std::int64_t>(repetitions.begin(), repetitions.size()));
}

Tensor tile(Arg x, std::int64_t repetitions) { return tile(x, std::span<const std::int64_t>(&repetitions, 1)); }

Tensor repeat(Arg x, std::int64_t repeats, int axis) {
  const Tensor& from = detail::defined("repeat", x);
  const int k = normalize_axis("repeat", axis, from.ndim(), x.at());
  check_repetitions("repeat", repeats, x.at());
  const Cut cut(from.shape(), k);
  const Shape elements({cut.before * cut.size, 1, cut.behind}, x.at());
  const Shape repeated({cut.before * cut.size, repeats, cut.behind}, x.at());
  Shape shape = from.shape();
  shape[k] *= repeats;
  return reshape(Arg(expand(Arg(reshape(x, elements), x.at()), repeated), x.at()), shape);
}

Tensor repeat(Arg x, std::initializer_list<std::int64_t> repeats, int axis) {
  return repeat_each(x, std::span<const std::int64_t>(repeats.begin(), repeats.size()), axis);
}

Tensor repeat(Arg x, const std::vector<std::int64_t>& repeats, int axis) { return repeat_each(x, repeats, axis); }

Tensor repeat(Arg x, std::int64_t repeats) {
  return repeat(Arg(reshape(x, Shape{detail::defined("repeat", x).size()}), x.at()), repeats, 0);
}

std::vector<Tensor> meshgrid(std::initializer_list<Arg> vectors, const MeshgridOptions& options, SourceLocation at) {
  detail::CachedVector<const Tensor*> x;
  for (const Arg& vector : vectors) x.push_back(&vector.tensor());
  return make_grid(x, options.indexing, at);
}

std::vector<Tensor> meshgrid(const std::vector<Tensor>& vectors, const MeshgridOptions& options, SourceLocation at) {
  detail::CachedVector<const Tensor*> x;
  for (const Tensor& vector : vectors) x.push_back(&vector);
  return make_grid(x, options.indexing, at);
}

namespace detail {
namespace {

using Tensors = std::vector<Tensor>;

Composite describe_repeat() {
  const Tensor x = sample_values({2, 3, 4});
  return {"repeat",
          "Each element several times along an axis.",
          "",
          {{{x}, [](const Tensors& in) { return repeat(in[0], 2, 1); }},
           {{x}, [](const Tensors& in) { return repeat(in[0], 3, -1); }},
           {{x},
            [](const Tensors& in) {
              return repeat(in[0], {2, 0, 3}, 1);
            }},
           {{sample_values({2, 3})}, [](const Tensors& in) { return repeat(in[0], 2); }},
           {{sample_values({})}, [](const Tensors& in) { return repeat(in[0], 3); }},
           {{sample_values({2, 0})}, [](const Tensors& in) { return repeat(in[0], 2, 0); }},
           {{sample_values({2, 3})}, [](const Tensors& in) { return repeat(in[0], 0, 1); }},
           {{sample_values({90, 170})}, [](const Tensors& in) { return repeat(in[0], 2, 1); }}}};
}

}  // namespace

std::vector<OpDescription> arrange_ops() {
  const Tensor x = sample_values({2, 3, 4});
  const Tensor large = sample_values({90, 170});
  const Tensor a = sample_values({3});
  const Tensor b = sample_values({4}, 2);
  return describe_composites(
      {{"flip",
        "The elements in reverse order along axes.",
        "y[k] = x[n - 1 - k]",
        {{{x}, [](const Tensors& in) { return flip(in[0]); }},
         {{x},
          [](const Tensors& in) {
            return flip(in[0], {0, -1});
          }},
         {{sample_values({})}, [](const Tensors& in) { return flip(in[0]); }},
         {{sample_values({0, 3})}, [](const Tensors& in) { return flip(in[0]); }},
         {{large}, [](const Tensors& in) { return flip(in[0]); }}}},
       {"roll",
        "The elements moved on along axes, from the end back to the start.",
        "y[k] = x[(k - shift) mod n]",
        {{{x}, [](const Tensors& in) { return roll(in[0], 1, 1); }},
         {{x},
          [](const Tensors& in) {
            return roll(in[0], {-1, 6}, {0, -1});
          }},
         {{x}, [](const Tensors& in) { return roll(in[0], 5); }},
         {{sample_values({0, 3})}, [](const Tensors& in) { return roll(in[0], 2, 0); }},
         {{large}, [](const Tensors& in) { return roll(in[0], 7, 1); }}}},
       {"tile",
        "The whole tensor laid out several times along each axis.",
        "",
        {{{x},
          [](const Tensors& in) {
            return tile(in[0], {2, 1, 3});
          }},
         {{sample_values({2, 3})},
          [](const Tensors& in) {
            return tile(in[0], {2, 1, 2});
          }},
         {{x}, [](const Tensors& in) { return tile(in[0], 2); }},
         {{sample_values({})}, [](const Tensors& in) { return tile(in[0], {3}); }},
         {{sample_values({2, 3})},
          [](const Tensors& in) {
            return tile(in[0], {0, 2});
          }},
         {{large},
          [](const Tensors& in) {
            return tile(in[0], {1, 2});
          }}}},
       describe_repeat(),
       {"meshgrid",
        "The coordinates of a grid.",
        "",
        {{{a, b}, [](const Tensors& in) { return stack(meshgrid(in)); }},
         {{a, b, sample_values({2}, 3)}, [](const Tensors& in) { return stack(meshgrid(in)); }},
         {{a, b, sample_values({}, 3)},
          [](const Tensors& in) { return stack(meshgrid(in, {.indexing = Indexing::ij})); }},
         {{a}, [](const Tensors& in) { return meshgrid(in)[0]; }},
         {{sample_values({0}), b}, [](const Tensors& in) { return stack(meshgrid(in)); }},
         {{sample_values({90}), sample_values({170}, 2)}, [](const Tensors& in) { return stack(meshgrid(in)); }}}}});
}

}  // namespace detail
}  // namespace tapegrad
