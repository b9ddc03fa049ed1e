#include "optim/sgd.h"

#include <limits>

#include "autograd/kernels/table.h"
#include "autograd/ops/elements.h"

namespace tapegrad::optim {
namespace {

constexpr double nanoseconds_per_element = 0.5;

std::initializer_list<const char*> state_of(const SgdOptions& options) {
  static constexpr std::initializer_list<const char*> velocity = {"velocity"};
  static constexpr std::initializer_list<const char*> none = {};
  return options.momentum != 0 ? velocity : none;
}

}  // namespace

SGD::SGD(const detail::ParameterList& parameters, SgdOptions options, SourceLocation at)
    : Optimizer("SGD", "SGD::step", options.lr, parameters, state_of(options), nanoseconds_per_element, at),
      options_(options) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  check_option("SGD", "momentum", options.momentum, 0, infinity, at);
  check_option("SGD", "weight_decay", options.weight_decay, 0, infinity, at);
  check_option("SGD", "dampening", options.dampening, -infinity, infinity, at);
  if (options.nesterov && (options.momentum == 0 || options.dampening != 0)) {
    fail("SGD: nesterov needs momentum above 0 and no dampening", at);
  }
}

void SGD::update(const Slot& slot, const void* gradient, std::int64_t begin, std::int64_t end) const {
  kernels::SgdArguments a;
  a.n = end - begin;
  a.parameter = detail::element_at(slot.parameter, begin);
  a.gradient = gradient;
  a.velocity = slot.state.empty() ? nullptr : detail::element_at(slot.state[0], begin);
  a.learning_rate = lr();
  a.momentum = options_.momentum;
  a.dampening = options_.dampening;
  a.weight_decay = options_.weight_decay;
  a.nesterov = options_.nesterov;
  a.first_step = slot.steps == 1;
  kernels::table().sgd_step[detail::kernel_index(slot.parameter.dtype())](a);
}

}  // namespace tapegrad::optim
