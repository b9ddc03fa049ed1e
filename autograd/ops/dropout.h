#pragma once
// Dropout. Each call draws a mask of its own; nn/dropout.h has the layers, which drop in training only.
#include <vector>

#include "autograd/op.h"
#include "autograd/random.h"

namespace tapegrad {

/// y[i] = 0 with probability p, x[i] / (1 - p) otherwise, for each element by itself: the mean stays that of x. A
/// dropped element is 0 whatever it was; p = 1 drops all of them, and p = 0 draws nothing and returns x.
///
/// The mask is not kept: a walk computes it once more from the place in the stream of random numbers. Draws from
/// `generator`, or from the default one: 32 bits per element, of which `p` is known to 2^-32. Throws for a p that is not
/// in [0, 1], and for integers. Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, "Dropout: a simple way to
/// prevent neural networks from overfitting", 2014.
Tensor dropout(Arg x, double p, random::Generator* generator = nullptr);

/// Drops whole channels: one draw for each sample (the first axis) and channel (the last one), for all positions in
/// between. x [batch, ..., channels] with three axes or more. In an image, neighbours are much alike: an element that is
/// dropped alone is told by those beside it. Otherwise as dropout(). Tompson, Goroshin, Jain, LeCun and Bregler,
/// "Efficient object localization using convolutional networks", 2015.
Tensor channel_dropout(Arg x, double p, random::Generator* generator = nullptr);

namespace detail {
/// Throws unless 0 <= p <= 1, in the name of an op or a layer.
void check_probability(const char* who, double p, SourceLocation at);
std::vector<OpDescription> dropout_ops();
}

}  // namespace tapegrad
