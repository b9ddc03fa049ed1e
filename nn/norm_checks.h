#pragma once
// What the norm layers check alike. Internal.
#include "nn/layer.h"

namespace tapegrad::detail {

/// Throws for a negative eps, and one that is no number.
void check_eps(const char* layer, double eps, SourceLocation at);

/// The input of a layer. Throws for an empty handle, integers, and another dtype than that of the layer's own tensor,
/// which may be an empty handle.
const Tensor& checked_norm_input(const char* layer, const Arg& x, const Tensor& own);

/// Throws unless the last axis of x has that many channels, and says when x looks like channels first. `axes` says what
/// x must be.
void check_channels(const char* layer, const Arg& x, std::int64_t channels, const char* axes);

}  // namespace tapegrad::detail
