#include "autograd/transforms.h"

#include "autograd/create.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "autograd/random.h"
#include "autograd/tape_access.h"

namespace tapegrad::detail {

namespace {

Tensor value_of(const char* by, const Tensor& value, SourceLocation at) {
  if (!value.defined()) fail(std::string(by) + ": the function returned an empty handle", at);
  return value;
}

// 1 at position i, and 0 elsewhere.
Tensor unit_vector(const Tensor& like, std::int64_t i, SourceLocation at) {
  const Tape::Pause pause;
  Tensor unit = zeros_like(like, at);
  if (unit.dtype() == f64) {
    unit.data<double>()[i] = 1;
  } else {
    unit.data<float>()[i] = 1;
  }
  return unit;
}

Shape joined(const Shape& a, const Shape& b, SourceLocation at) {
  Shape shape = a;
  for (const std::int64_t size : b) shape.append(size, at);
  return shape;
}

}  // namespace

ValueAndGrad<std::vector<Tensor>> value_and_grad(const TensorFunction& f, std::vector<Tensor> xs,
                                                 const GradOptions& options, SourceLocation at) {
  for (const Tensor& x : xs) {
    if (!x.defined()) fail("grad: x is an empty handle", at);
  }
  enter_parameters(xs, at);
  Tape tape({}, at);
  for (Tensor& x : xs) tape.watch(x, at);
  Tensor value = value_of("grad", f(xs), at);
  if (options.allow_unused && !TapeAccess::has(tape, value)) {
    std::vector<Tensor> nothing;
    for (const Tensor& x : xs) nothing.push_back(zeros_like(x, at));
    return {std::move(value), std::move(nothing)};
  }
  std::vector<Tensor> gradients = tape.gradient(Arg(value, at), xs, {.allow_unused = options.allow_unused});
  for (std::size_t k = 0; k < xs.size(); ++k) {
    if (!gradients[k].defined()) gradients[k] = zeros_like(xs[k], at);
  }
  return {std::move(value), std::move(gradients)};
}

namespace {

std::vector<TapeAccess::Wanted> blocks_of(const ParameterList& parameters) {
  std::vector<TapeAccess::Wanted> wanted;
  for (const NamedBlock& p : parameters) wanted.push_back({p.block});
  return wanted;
}

// With zeros for what was not reached.
Gradients named(const ParameterList& parameters, std::vector<Tensor> list, SourceLocation at) {
  Gradients gradients;
  gradients.reserve(parameters.size());
  for (std::size_t k = 0; k < list.size(); ++k) {
    Tensor g = list[k].defined() ? std::move(list[k]) : zeros_like(Tensor::share(parameters[k].block), at);
    gradients.append(parameters[k].name, parameters[k].block, std::move(g));
  }
  return gradients;
}

}  // namespace

ValueAndGrad<Gradients> value_and_grad(const std::function<Tensor()>& f, const ParameterList& parameters,
                                       const GradOptions& options, SourceLocation at) {
  Tape tape({}, at);
  Tensor value = value_of("grad", f(), at);
  std::vector<Tensor> list(parameters.size());
  if (!options.allow_unused || TapeAccess::has(tape, value)) {
    list = TapeAccess::gradient(tape, Arg(value, at), blocks_of(parameters), {.allow_unused = options.allow_unused});
  }
  Gradients gradients = named(parameters, std::move(list), at);
  return {std::move(value), std::move(gradients)};
}

Tensor jacobian(const TensorFunction& f, const Tensor& x, SourceLocation at) {
  random::Generator start = random::state();
  RecordedCall call(f, {x}, at);
  const Tensor& y = call.value();
  const Shape shape = joined(y.shape(), x.shape(), at);
  if (shape.size() == 0 || !is_floating(y.dtype())) return zeros(shape, x.dtype());
  std::vector<Tensor> lines;
  if (y.size() <= x.size()) {
    for (std::int64_t i = 0; i < y.size(); ++i) {
      lines.push_back(std::move(call.pull_back(unit_vector(y, i, at), at).front()));
    }
    return reshape(Arg(stack(lines, 0, at), at), shape);
  }
  for (std::int64_t j = 0; j < x.size(); ++j) {
    random::Generator again = start;
    const random::StandIn stand_in(again);
    lines.push_back(flatten(Arg(run_jvp(f, {x}, {unit_vector(x, j, at)}, at).tangent.to(x.dtype(), at), at)));
  }
  return reshape(Arg(stack(lines, 1, at), at), shape);
}

Tensor hvp(const TensorFunction& f, const Tensor& x, const Tensor& v, HvpOptions options, SourceLocation at) {
  if (!x.defined()) fail("hvp: x is an empty handle", at);
  if (!v.defined() || !(v.shape() == x.shape()) || v.dtype() != x.dtype()) {
    fail("hvp: the direction is " + (v.defined() ? describe(v) : "an empty handle") + " and x is " + describe(x), at);
  }
  const TensorFunction slope = [&](const std::vector<Tensor>& at_x) {
    return std::move(value_and_grad(f, at_x, {.allow_unused = true}, at).gradient.front());
  };
  if (options.mode == HvpMode::forward_over_reverse) return run_jvp(slope, {x}, {v}, at).tangent;
  std::vector<Tensor> watched = {x};
  enter_parameters(watched, at);
  Tape tape({}, at);
  tape.watch(watched.front(), at);
  const Tensor g = slope(watched);
  const TapeAccess::From from{g, v};
  const TapeAccess::Wanted wanted{watched.front().block()};
  Tensor product = std::move(TapeAccess::gradient(tape, std::span(&from, 1), std::span(&wanted, 1), at).front());
  return product.defined() ? product : zeros_like(x, at);
}

Gradients hvp(const std::function<Tensor()>& f, const ParameterList& parameters, const Gradients& v,
              SourceLocation at) {
  Tape outer({}, at);
  const Gradients g = value_and_grad(f, parameters, {.allow_unused = true}, at).gradient;
  std::vector<TapeAccess::From> from;
  g.for_each([&](std::uint32_t name, const Tensor&, const Tensor& gradient, const Tensor&) {
    from.push_back({gradient, v.at(interned(name), at)});
  });
  return named(parameters, TapeAccess::gradient(outer, from, blocks_of(parameters), at), at);
}

}  // namespace tapegrad::detail
