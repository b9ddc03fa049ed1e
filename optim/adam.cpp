#include "optim/adam.h"

#include <cmath>
#include <limits>

#include "autograd/kernels/table.h"
#include "autograd/ops/elements.h"

namespace tapegrad::optim {
namespace {

constexpr double nanoseconds_per_element = 1;

std::initializer_list<const char*> state_of(const AdamOptions& options) {
  static constexpr std::initializer_list<const char*> moments = {"m", "v"};
  static constexpr std::initializer_list<const char*> moments_and_maximum = {"m", "v", "max_v"};
  return options.amsgrad ? moments_and_maximum : moments;
}

}  // namespace

Adam::Adam(const char* name, const char* step_name, const detail::ParameterList& parameters, AdamOptions options,
           bool decoupled, SourceLocation at)
    : Optimizer(name, step_name, options.lr, parameters, state_of(options), nanoseconds_per_element, at),
      options_(options),
      decoupled_(decoupled) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  check_option(name, "betas[0]", options.betas[0], 0, 1, at);
  check_option(name, "betas[1]", options.betas[1], 0, 1, at);
  check_option(name, "eps", options.eps, 0, infinity, at);
  check_option(name, "weight_decay", options.weight_decay, 0, infinity, at);
}

void Adam::prepare(Slot& slot) {
  const auto t = static_cast<double>(slot.steps);
  slot.corrections = {1 - std::pow(options_.betas[0], t), 1 - std::pow(options_.betas[1], t)};
}

void Adam::update(const Slot& slot, const void* gradient, std::int64_t begin, std::int64_t end) const {
  kernels::AdamArguments a;
  a.n = end - begin;
  a.parameter = detail::element_at(slot.parameter, begin);
  a.gradient = gradient;
  a.m = detail::element_at(slot.state[0], begin);
  a.v = detail::element_at(slot.state[1], begin);
  a.max_v = options_.amsgrad ? detail::element_at(slot.state[2], begin) : nullptr;
  a.learning_rate = lr();
  a.beta1 = options_.betas[0];
  a.beta2 = options_.betas[1];
  a.epsilon = options_.eps;
  a.weight_decay = options_.weight_decay;
  a.correction1 = slot.corrections[0];
  a.correction2 = slot.corrections[1];
  a.decoupled = decoupled_;
  kernels::table().adam_step[detail::kernel_index(slot.parameter.dtype())](a);
}

}  // namespace tapegrad::optim
