#pragma once
// What all optimizers share: they know the parameters of one model and keep state for each.
#include <array>
#include <span>
#include <string>
#include <vector>

#include "autograd/reflect.h"

namespace tapegrad {
namespace detail {

/// "0.001": as short as six digits allow.
std::string number_text(double value);

}  // namespace detail

namespace optim {

class Optimizer;

/// What an optimizer remembers of one parameter, to save it or to put it back. The tensors share the optimizer's
/// elements.
struct ParameterState {
  const std::string& name;    ///< path of the parameter in the model
  std::int64_t& steps;        ///< steps made for this parameter
  std::span<Tensor> tensors;  ///< named by Optimizer::state_names()
};

template <class Model>
concept Trainable = !std::is_base_of_v<Optimizer, Model>;

/// Takes the parameters of a model once; then `step(gradients)` changes them. Copies of the model have parameters of
/// their own and are not trained; moving the model is fine. A step is never recorded by a tape, and makes no malloc.
///
/// Of a gradient by touched rows (Gradients), only these rows are stepped: the others stay as they are, with their
/// velocities and moments. SGD without momentum and weight decay, and Adagrad without weight decay, so do what they
/// would do with the same gradient as a tensor. With the others, rows that are not touched miss the decay of
/// parameters, velocities and moments.
class Optimizer {
 public:
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;
  virtual ~Optimizer() = default;

  /// One step for every parameter that has a gradient; parameters without one stay as they are. Throws, before anything
  /// is changed, when a gradient belongs to a parameter that this optimizer does not own.
  void step(const Gradients& gradients, SourceLocation at = SourceLocation::current());

  double lr() const { return lr_; }
  /// Takes effect with the next step. Throws for a negative number, infinity and NaN.
  void set_lr(double lr, SourceLocation at = SourceLocation::current());

  /// The names of the state tensors of each parameter, in the order of ParameterState::tensors.
  std::span<const char* const> state_names() const { return state_names_; }
  /// The state of every parameter, in the order of the model.
  std::vector<ParameterState> state();

 protected:
  struct Slot {
    std::uint32_t name;
    Tensor parameter;           // shares the parameter's elements and identity
    std::vector<Tensor> state;  // zeros at first
    std::int64_t steps = 0;
    std::array<double, 2> corrections{};  // of this step, for prepare() to set
  };

  /// The names have to live as long as the program; `step_name` is what messages call a step. `nanoseconds_per_element`
  /// is about what an update costs: it decides into how many parts a step is cut.
  Optimizer(const char* name, const char* step_name, double lr, const detail::ParameterList& parameters,
            std::initializer_list<const char*> state_names, double nanoseconds_per_element, SourceLocation at);
  Optimizer(Optimizer&&) = default;
  Optimizer& operator=(Optimizer&&) = default;

  /// Called for each parameter before the step changes any; `slot.steps` counts this step.
  virtual void prepare(Slot&) {}

  /// Changes elements [begin, end) of one parameter, whose gradients lie at `gradient`, in the parameter's dtype.
  /// Called from several threads at once, for ranges that do not overlap.
  virtual void update(const Slot& slot, const void* gradient, std::int64_t begin, std::int64_t end) const = 0;

  /// Throws unless low <= value < high.
  static void check_option(const char* optimizer, const char* option, double value, double low, double high,
                           SourceLocation at);

 private:
  struct Match {
    Slot* slot;
    Tensor gradient;
    Tensor rows;  // that the gradient has; an empty handle: all
  };
  Slot* find(const detail::Block* parameter, std::size_t guess);
  void check_gradient(const Slot& slot, const Tensor& gradient, const Tensor& rows, SourceLocation at) const;
  void check_rows(const Slot& slot, const Tensor& rows, SourceLocation at) const;
  [[noreturn]] void fail_strangers(const Gradients& gradients, SourceLocation at);

  void update_all(std::span<const Match> matches);
  void update_part(const Match& match, std::int64_t begin, std::int64_t end) const;

  const char* name_;
  const char* step_name_;
  double lr_;
  double nanoseconds_per_element_;
  std::vector<const char*> state_names_;
  std::vector<Slot> slots_;
};

template <class Model>
detail::ParameterList parameters_to_train(Model& model) {
  static_assert(!std::is_const_v<Model>, "an optimizer changes the model, which is const here");
  return detail::collect_parameters(model);
}

}  // namespace optim
}  // namespace tapegrad
