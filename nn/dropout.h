#pragma once
// Dropout layers: in training they drop at random, in evaluation they return their input.
#include "nn/layer.h"
#include "nn/modes.h"

namespace tapegrad::nn {

/// In training, y[i] = 0 with probability p and x[i] / (1 - p) otherwise, each element by itself; in evaluation
/// (nn::eval), y is x. x of any shape.
///
/// Draws from the default random numbers (random::seed repeats a run), and in a checkpoint the same ones again. Throws
/// for a p that is not in [0, 1]. Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, "Dropout: a simple way to
/// prevent neural networks from overfitting", 2014.
class Dropout {
 public:
  explicit Dropout(double p = 0.5, SourceLocation at = SourceLocation::current());

  Tensor operator()(Arg x) const;

  double p;
  Mode mode;

 private:
  Name name_;

 public:
  using fields = Fields<&Dropout::mode, &Dropout::name_>;
};

/// Dropout of whole channels: one draw for each sample and channel, for all times. x [batch, time, channels]. Throws for
/// another number of axes. Tompson, Goroshin, Jain, LeCun and Bregler, "Efficient object localization using
/// convolutional networks", 2015.
class Dropout1d {
 public:
  explicit Dropout1d(double p = 0.5, SourceLocation at = SourceLocation::current());

  Tensor operator()(Arg x) const;

  double p;
  Mode mode;

 private:
  Name name_;

 public:
  using fields = Fields<&Dropout1d::mode, &Dropout1d::name_>;
};

/// Dropout of whole channels of images: one draw for each sample and channel, for all pixels. x [batch, height, width,
/// channels]. Throws for another number of axes.
class Dropout2d {
 public:
  explicit Dropout2d(double p = 0.5, SourceLocation at = SourceLocation::current());

  Tensor operator()(Arg x) const;

  double p;
  Mode mode;

 private:
  Name name_;

 public:
  using fields = Fields<&Dropout2d::mode, &Dropout2d::name_>;
};

}  // namespace tapegrad::nn
