#pragma once
// Stochastic gradient descent.
#include "optim/optimizer.h"

namespace tapegrad::optim {

/// PyTorch's defaults.
struct SgdOptions {
  double lr = 1e-3;
  double momentum = 0;
  double dampening = 0;
  double weight_decay = 0;
  bool nesterov = false;  ///< needs momentum > 0 and no dampening
};

/// With gradient g, parameter p and velocity v, PyTorch's formulas:
///     g += weight_decay * p
///     v = momentum * v + (1 - dampening) * g      (v = g in the first step; only with momentum)
///     p -= lr * (nesterov ? g + momentum * v : momentum ? v : g)
/// Sutskever, Martens, Dahl and Hinton, "On the importance of initialization and momentum in deep learning", 2013.
class SGD : public Optimizer {
 public:
  template <Trainable Model>
  explicit SGD(Model& model, SgdOptions options = {}, SourceLocation at = SourceLocation::current())
      : SGD(parameters_to_train(model), options, at) {}

  const SgdOptions& options() const { return options_; }

 private:
  SGD(const detail::ParameterList& parameters, SgdOptions options, SourceLocation at);
  void update(const Slot& slot, const void* gradient, std::int64_t begin, std::int64_t end) const override;

  SgdOptions options_;
};

}  // namespace tapegrad::optim
