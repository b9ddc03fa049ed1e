#pragma once
// Adam and AdamW.
#include <array>

#include "optim/optimizer.h"

namespace tapegrad::optim {

/// PyTorch's defaults.
struct AdamOptions {
  double lr = 1e-3;
  std::array<double, 2> betas = {0.9, 0.999};
  double eps = 1e-8;
  double weight_decay = 0;
  bool amsgrad = false;
};

/// With gradient g, parameter p, step number t and moments m and v that start at 0, PyTorch's formulas:
///     g += weight_decay * p
///     m = beta1 * m + (1 - beta1) * g
///     v = beta2 * v + (1 - beta2) * g^2
///     u = amsgrad ? the largest v so far : v
///     p -= lr * m / (1 - beta1^t) / (sqrt(u / (1 - beta2^t)) + eps)
/// Kingma and Ba, "Adam: a method for stochastic optimization", 2015; amsgrad: Reddi, Kale and Kumar, "On the
/// convergence of Adam and beyond", 2018.
class Adam : public Optimizer {
 public:
  template <Trainable Model>
  explicit Adam(Model& model, AdamOptions options = {}, SourceLocation at = SourceLocation::current())
      : Adam("Adam", "Adam::step", parameters_to_train(model), options, false, at) {}

  const AdamOptions& options() const { return options_; }

 protected:
  Adam(const char* name, const char* step_name, const detail::ParameterList& parameters, AdamOptions options,
       bool decoupled, SourceLocation at);

 private:
  void prepare(Slot& slot) override;
  void update(const Slot& slot, const void* gradient, std::int64_t begin, std::int64_t end) const override;

  AdamOptions options_;
  bool decoupled_;
};

/// PyTorch's defaults.
struct AdamWOptions {
  double lr = 1e-3;
  std::array<double, 2> betas = {0.9, 0.999};
  double eps = 1e-8;
  double weight_decay = 1e-2;
  bool amsgrad = false;
};

/// Adam with a weight decay of its own, p *= 1 - lr * weight_decay, in place of one that is part of the gradient.
/// Loshchilov and Hutter, "Decoupled weight decay regularization", 2019.
class AdamW : public Adam {
 public:
  template <Trainable Model>
  explicit AdamW(Model& model, AdamWOptions options = {}, SourceLocation at = SourceLocation::current())
      : Adam("AdamW", "AdamW::step", parameters_to_train(model),
             {options.lr, options.betas, options.eps, options.weight_decay, options.amsgrad}, true, at) {}
};

}  // namespace tapegrad::optim
