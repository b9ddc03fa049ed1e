#pragma once
// Other shapes of the same elements: views where the memory allows it, copies where it does not. All are
// differentiable.
#include <array>
#include <initializer_list>
#include <span>
#include <vector>

#include "autograd/op.h"

namespace tapegrad {

/// The elements in C order in another shape; a view unless x's memory layout does not allow it. One size may be -1: it
/// follows from the others. Throws when the number of elements differs.
Tensor reshape(Arg x, std::initializer_list<std::int64_t> sizes);
Tensor reshape(Arg x, const Shape& shape);

/// Joins the axes from start_axis on into one: [2, 3, 4] from axis 1 on is [2, 12]. A 0-dim tensor becomes [1]. Throws
/// for an axis that x does not have.
Tensor flatten(Arg x, int start_axis = 0);

/// Removes the chosen axes (by default every one of size 1). Throws for a chosen axis whose size is not 1.
Tensor squeeze(Arg x, Axes axis = Axes::all());

/// Inserts an axis of size 1 at that position of the result; -1 is the end. Throws beyond x.ndim().
Tensor unsqueeze(Arg x, int axis);

/// A view with the axes in another order: axis k of the result is axis order[k] of x; negative ones count from the end.
/// Throws when `order` does not name every axis once.
Tensor permute(Arg x, std::initializer_list<int> order);
Tensor permute(Arg x, std::span<const int> order);

/// A view with two axes swapped, by default the last two. Throws for an axis that x does not have.
Tensor transpose(Arg x, int axis_a = -2, int axis_b = -1);

/// x itself when its elements lie in C order without gaps, else a copy in which they do.
Tensor contiguous(Arg x);

/// Joins tensors along an axis that they have. Throws for none, or when another size or the dtype differs.
Tensor concat(std::initializer_list<Arg> parts, int axis = 0, SourceLocation at = SourceLocation::current());
Tensor concat(const std::vector<Tensor>& parts, int axis = 0, SourceLocation at = SourceLocation::current());

/// Joins tensors of one shape along a new axis at that position of the result. Throws for none, or when shapes or
/// dtypes differ.
Tensor stack(std::initializer_list<Arg> parts, int axis = 0, SourceLocation at = SourceLocation::current());
Tensor stack(const std::vector<Tensor>& parts, int axis = 0, SourceLocation at = SourceLocation::current());

/// Cuts an axis into that many equal parts, as views (NumPy's split). Throws when the size is not a multiple.
std::vector<Tensor> split(Arg x, int parts, int axis = 0);
/// ... into parts of the given sizes. Throws when they do not add up to the size of the axis.
std::vector<Tensor> split(Arg x, std::initializer_list<std::int64_t> sizes, int axis = 0);
/// ... into N equal parts, to be unpacked: `auto [q, k, v] = split<3>(x, -1);`
template <std::size_t N>
std::array<Tensor, N> split(Arg x, int axis = 0);

namespace detail {

/// Part `part` of `parts` equal ones.
Tensor equal_part(const Arg& x, int part, int parts, int axis);

std::vector<OpDescription> shape_ops();
std::vector<OpDescription> join_ops();  // a part of shape_ops()

}  // namespace detail

template <std::size_t N>
std::array<Tensor, N> split(Arg x, int axis) {
  std::array<Tensor, N> parts;
  for (std::size_t k = 0; k < N; ++k) parts[k] = detail::equal_part(x, static_cast<int>(k), static_cast<int>(N), axis);
  return parts;
}

}  // namespace tapegrad
