#include "autograd/custom_vjp.h"

#include <deque>
#include <mutex>

#include "autograd/op.h"
#include "autograd/record.h"

namespace tapegrad::detail {

namespace {

using Held = std::shared_ptr<const VjpRule>;

void apply_rule(Walk& walk, Tensor g) {
  const Held rule = walk.attributes<Held>();
  std::vector<Tensor> x;
  for (int k = 0; k < walk.inputs() && walk.op().slot_of_input[k] != Op::no_slot; ++k) x.push_back(walk.input(k));
  std::vector<Tensor> gradients = (*rule)(g, x, walk.output());
  for (std::size_t k = 0; k < gradients.size(); ++k) {
    if (gradients[k].defined()) walk.give(static_cast<int>(k), std::move(gradients[k]));
  }
}

struct NamedOp {
  std::string name;
  int inputs;
  Op op;
};

}  // namespace

// Entries refer to their op for as long as the tape lives, and a table of a tape to its name.
const Op& custom_op(const char* name, int inputs) {
  static std::mutex mutex;
  static auto* const all = new std::deque<NamedOp>;
  const std::lock_guard lock(mutex);
  for (const NamedOp& known : *all) {
    if (known.name == name && known.inputs == inputs) return known.op;
  }
  NamedOp& made = all->emplace_back(NamedOp{name, inputs, {}});
  made.op = Op{made.name.c_str(), &apply_rule};
  made.op.uses.fill(((1U << inputs) - 1) | output_bit);
  made.op.assign_slots();
  made.op.destroy_attributes = [](void* held) noexcept { static_cast<Held*>(held)->~Held(); };
  return made.op;
}

Tensor apply_custom(const Op& op, const TensorFunction& f, Held rule, std::vector<Tensor> inputs, SourceLocation at) {
  for (const Tensor& x : inputs) {
    if (!x.defined()) fail_op(op.name, "an input is an empty handle", at);
  }
  Tensor y = no_tape([&] { return f(inputs); });
  if (!y.defined()) fail_op(op.name, "the function returned an empty handle", at);
  if (!record.recording || !is_floating(y.dtype())) return y;
  const int count = static_cast<int>(inputs.size());
  std::vector<const Tensor*> x;
  for (const Tensor& t : inputs) x.push_back(&t);
  const TrackedInputs tracked(x.data(), count, at);
  if (!tracked.any()) return y;
  y = stop_gradient(Arg(y, at));  // f may have returned an input
  Extra* const extra = allocate_extra(op, count, sizeof(Held));
  new (extra->attributes()) Held(std::move(rule));
  record.push(op, at, y, tracked.indices(), x.data(), count, extra);
  return y;
}

}  // namespace tapegrad::detail
