#include "optim/adagrad.h"

#include <algorithm>
#include <limits>

#include "autograd/kernels/table.h"
#include "autograd/ops/elements.h"

namespace tapegrad::optim {
namespace {

constexpr double nanoseconds_per_element = 0.8;

}  // namespace

Adagrad::Adagrad(const detail::ParameterList& parameters, AdagradOptions options, SourceLocation at)
    : Optimizer("Adagrad", "Adagrad::step", options.lr, parameters, {"sum"}, nanoseconds_per_element, at),
      options_(options) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  check_option("Adagrad", "lr_decay", options.lr_decay, 0, infinity, at);
  check_option("Adagrad", "weight_decay", options.weight_decay, 0, infinity, at);
  check_option("Adagrad", "initial_accumulator_value", options.initial_accumulator_value, 0, infinity, at);
  check_option("Adagrad", "eps", options.eps, 0, infinity, at);
  if (options.initial_accumulator_value == 0) return;
  for (const ParameterState& state : this->state()) {
    detail::with_type(state.tensors[0].dtype(), [&]<class T>(T*) {
      std::fill_n(state.tensors[0].data<T>(), state.tensors[0].size(),
                  static_cast<T>(options.initial_accumulator_value));
    });
  }
}

void Adagrad::prepare(Slot& slot) { slot.corrections[0] = 1 + static_cast<double>(slot.steps - 1) * options_.lr_decay; }

void Adagrad::update(const Slot& slot, const void* gradient, std::int64_t begin, std::int64_t end) const {
  kernels::AdagradArguments a;
  a.n = end - begin;
  a.parameter = detail::element_at(slot.parameter, begin);
  a.gradient = gradient;
  a.sum = detail::element_at(slot.state[0], begin);
  a.learning_rate = lr() / slot.corrections[0];
  a.weight_decay = options_.weight_decay;
  a.epsilon = options_.eps;
  kernels::table().adagrad_step[detail::kernel_index(slot.parameter.dtype())](a);
}

}  // namespace tapegrad::optim
