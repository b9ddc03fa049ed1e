#pragma once
// Tensors made larger at their borders.
#include <initializer_list>
#include <span>
#include <vector>

#include "autograd/op.h"

namespace tapegrad {

/// How many elements an axis gets before its first and behind its last one.
struct PadWidth {
  std::int64_t before = 0, after = 0;
};

enum class PadMode : std::uint8_t {
  constant,  ///< `value`
  reflect,   ///< mirrored at the first and last element, which are not repeated: 3 2 [1 2 3] 2 1
  replicate  ///< the first and the last element: 1 1 [1 2 3] 3 3 (NumPy's `edge`)
};

struct PadOptions {
  PadMode mode = PadMode::constant;
  double value = 0;  ///< of PadMode::constant
};

/// x with new elements around it, one {before, after} for each axis: `pad(images, {{0, 0}, {1, 1}, {1, 1}, {0, 0}})`.
/// Throws when there is not one width per axis, for a negative one, for a value that x's dtype cannot hold, for
/// reflections wider than the axis less one, and for replicating from an empty axis.
Tensor pad(Arg x, std::initializer_list<PadWidth> widths, const PadOptions& options = {});
Tensor pad(Arg x, std::span<const PadWidth> widths, const PadOptions& options = {});

namespace detail {
std::vector<OpDescription> pad_ops();
}

}  // namespace tapegrad
