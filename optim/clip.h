#pragma once
// Limits for gradients, between Tape::gradient and step:
//
//     Gradients gradients = tape.gradient(loss, net);
//     optim::clip_norm(gradients, 1);
//     adam.step(gradients);
#include "autograd/gradients.h"

namespace tapegrad::optim {

/// Scales all gradients by max / (norm + 1e-6) when their Euclidean norm, taken together, is larger than max. Returns
/// the norm before. Gradients whose norm is not finite stay as they are: check what it returns. Throws for a max that
/// is not above 0. Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks", 2013.
double clip_norm(Gradients& gradients, double max, SourceLocation at = SourceLocation::current());

/// Moves every element into [-max, max]. Throws for a negative max.
void clip_value(Gradients& gradients, double max, SourceLocation at = SourceLocation::current());

}  // namespace tapegrad::optim
