#pragma once
// The same elements in another order, or several times. Composed of views and copies, so differentiable at every order.
#include <initializer_list>
#include <vector>

#include "autograd/op.h"

namespace tapegrad {

/// The elements in reverse order along the axes (by default all of them), as a view. Throws for an axis that x does not
/// have or that is named twice.
Tensor flip(Arg x, Axes axis = Axes::all());

/// The elements moved on by `shift` positions along an axis; those that leave it at its end come in at its start. A
/// negative shift moves them back. Throws for an axis that x does not have.
Tensor roll(Arg x, std::int64_t shift, int axis);
/// ... along several axes, one shift each. Throws when their numbers differ.
Tensor roll(Arg x, std::initializer_list<std::int64_t> shifts, std::initializer_list<int> axes);
/// ... of all elements in C order (NumPy's default).
Tensor roll(Arg x, std::int64_t shift);

/// x laid out several times along each axis: [1, 2] twice is [1, 2, 1, 2]. The repetitions belong to the last axes; if
/// there are more of them than axes, x gets new axes in front. Throws for a negative number, and beyond 8 axes.
Tensor tile(Arg x, std::initializer_list<std::int64_t> repetitions);
Tensor tile(Arg x, std::int64_t repetitions);

/// Each element several times along an axis: [1, 2] twice is [1, 1, 2, 2]. Throws for a negative number and for an axis
/// that x does not have.
Tensor repeat(Arg x, std::int64_t repeats, int axis);
/// ... element k that often. Throws when their number is not the size of the axis.
Tensor repeat(Arg x, std::initializer_list<std::int64_t> repeats, int axis);
Tensor repeat(Arg x, const std::vector<std::int64_t>& repeats, int axis);
/// ... of all elements in C order (NumPy's default): one axis.
Tensor repeat(Arg x, std::int64_t repeats);

enum class Indexing : std::uint8_t {
  xy,  ///< the first vector runs along axis 1, the second along axis 0, as in a picture (NumPy's default)
  ij   ///< vector k runs along axis k (PyTorch's default)
};

struct MeshgridOptions {
  Indexing indexing = Indexing::xy;
};

/// The coordinates of a grid: of vectors of sizes m and n, two views of shape [n, m], of which the first repeats the
/// first vector in every row, and the second the second in every column; with Indexing::ij they are [m, n]. 0-dim
/// tensors count as vectors of one element. Throws for more than one axis.
std::vector<Tensor> meshgrid(std::initializer_list<Arg> vectors, const MeshgridOptions& options = {},
                             SourceLocation at = SourceLocation::current());
std::vector<Tensor> meshgrid(const std::vector<Tensor>& vectors, const MeshgridOptions& options = {},
                             SourceLocation at = SourceLocation::current());

namespace detail {
std::vector<OpDescription> arrange_ops();
}

}  // namespace tapegrad
