#pragma once
// Training and evaluation: layers that behave differently in the two hold a Mode.
#include "autograd/reflect.h"

namespace tapegrad::nn {

/// Whether a layer trains. A layer that needs to know holds one and lists it in its `fields`.
class Mode {
 public:
  bool is_training() const { return training_; }
  void set_training(bool training) { training_ = training; }

 private:
  bool training_ = true;
};

/// Every layer trains: dropout drops, running statistics follow the batches. Models start so.
template <class Model>
void train(Model& model) {
  detail::walk_model(model, [](const detail::Path&, Mode& mode) { mode.set_training(true); });
}

/// Every layer evaluates. Any number of threads may then call the model.
template <class Model>
void eval(Model& model) {
  detail::walk_model(model, [](const detail::Path&, Mode& mode) { mode.set_training(false); });
}

/// A model evaluates while this lives; then each of its layers is in the mode in which it was before.
///
///     nn::Evaluating guard(net);
class Evaluating {
 public:
  template <class Model>
  explicit Evaluating(Model& model) {
    detail::walk_model(model, [this](const detail::Path&, Mode& mode) {
      before_.push_back({&mode, mode.is_training()});
      mode.set_training(false);
    });
  }
  ~Evaluating() {
    for (const State& state : before_) state.mode->set_training(state.training);
  }
  Evaluating(const Evaluating&) = delete;
  Evaluating& operator=(const Evaluating&) = delete;

 private:
  struct State {
    Mode* mode;
    bool training;
  };
  detail::CachedVector<State> before_;
};

}  // namespace tapegrad::nn
