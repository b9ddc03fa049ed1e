#pragma once
// Tape{{.check_finite = true}}: the first NaN or infinity is an Error, where it appears. Internal.
//
// It is looked for in what the tape records: in every result in the forward pass, and in every gradient that a rule gives
// in a walk. The message names the op, its layer and the user's line, and the ranges of what the op read.
#include "autograd/tape.h"

namespace tapegrad::detail {

/// Throws when y = op(x...), which is about to be recorded, has an element that is not finite.
void require_finite(const Op& op, SourceLocation at, const Tensor& y, const Tensor* const* x, int inputs);

/// Throws when g, the gradient of input k that the rule of `op` gave, has an element that is not finite.
void require_finite_gradient(const Op& op, SourceLocation at, int k, const Tensor& g, const Tensor& saved_input);

/// Whether entries are checked from here on.
void check_finite_from_now(bool checks) noexcept;

}  // namespace tapegrad::detail
