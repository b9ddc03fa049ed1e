#pragma once
// Adagrad.
#include "optim/optimizer.h"

namespace tapegrad::optim {

/// PyTorch's defaults.
struct AdagradOptions {
  double lr = 1e-2;
  double lr_decay = 0;
  double weight_decay = 0;
  double initial_accumulator_value = 0;
  double eps = 1e-10;
};

/// With gradient g, parameter p, step number t and a sum s that starts at initial_accumulator_value, PyTorch's
/// formulas:
///     g += weight_decay * p
///     s += g^2
///     p -= lr / (1 + (t - 1) * lr_decay) * g / (sqrt(s) + eps)
/// An element that rarely has a gradient takes large steps when it has one: for tables of words. Duchi, Hazan and
/// Singer, "Adaptive subgradient methods for online learning and stochastic optimization", 2011.
class Adagrad : public Optimizer {
 public:
  template <Trainable Model>
  explicit Adagrad(Model& model, AdagradOptions options = {}, SourceLocation at = SourceLocation::current())
      : Adagrad(parameters_to_train(model), options, at) {}

  const AdagradOptions& options() const { return options_; }

 private:
  Adagrad(const detail::ParameterList& parameters, AdagradOptions options, SourceLocation at);
  void prepare(Slot& slot) override;
  void update(const Slot& slot, const void* gradient, std::int64_t begin, std::int64_t end) const override;

  AdagradOptions options_;
};

}  // namespace tapegrad::optim
