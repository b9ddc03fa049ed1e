#include "autograd/transforms.h"

#include "autograd/create.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
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

Tensor sum_of_products(const Tensor& a, const Tensor& b, SourceLocation at) { return sum(Arg(a, at) * b); }

}  // namespace

ValueAndGrad<std::vector<Tensor>> value_and_grad(const TensorFunction& f, std::vector<Tensor> xs,
                                                 const GradOptions& options, SourceLocation at) {
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

Gradients gradients_of(Tape& tape, const Tensor& y, const ParameterList& parameters, bool allow_unused,
                       SourceLocation at) {
  std::vector<TapeAccess::Wanted> wanted;
  for (const NamedBlock& p : parameters) wanted.push_back({p.block});
  std::vector<Tensor> list(parameters.size());
  if (!allow_unused || TapeAccess::has(tape, y)) {
    list = TapeAccess::gradient(tape, Arg(y, at), wanted, {.allow_unused = allow_unused});
  }
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
  Gradients gradients = gradients_of(tape, value, parameters, options.allow_unused, at);
  return {std::move(value), std::move(gradients)};
}

Tensor jacobian(const TensorFunction& f, const Tensor& x, SourceLocation at) {
  RecordedCall call(f, {x}, at);
  const Tensor& y = call.value();
  const Shape shape = joined(y.shape(), x.shape(), at);
  if (shape.size() == 0) return zeros(shape, y.dtype());
  std::vector<Tensor> lines;
  if (y.size() <= x.size()) {
    for (std::int64_t i = 0; i < y.size(); ++i) {
      lines.push_back(std::move(call.pull_back(unit_vector(y, i, at), at).front()));
    }
    return reshape(Arg(stack(lines, 0, at), at), shape);
  }
  for (std::int64_t j = 0; j < x.size(); ++j) {
    lines.push_back(flatten(Arg(run_jvp(f, {x}, {unit_vector(x, j, at)}, at).tangent, at)));
  }
  return reshape(Arg(stack(lines, 1, at), at), shape);
}

Tensor hvp(const TensorFunction& f, const Tensor& x, const Tensor& v, HvpOptions options, SourceLocation at) {
  if (!v.defined() || !(v.shape() == x.shape()) || v.dtype() != x.dtype()) {
    fail("hvp: the direction is " + (v.defined() ? describe(v) : "an empty handle") + " and x is " + describe(x), at);
  }
  const TensorFunction slope = [&](const std::vector<Tensor>& at_x) {
    return std::move(value_and_grad(f, at_x, {.allow_unused = true}, at).gradient.front());
  };
  if (options.mode == HvpMode::forward_over_reverse) return run_jvp(slope, {x}, {v}, at).tangent;
  const auto along_v = [&](const std::vector<Tensor>& at_x) { return sum_of_products(slope(at_x), v, at); };
  return std::move(value_and_grad(along_v, {x}, {.allow_unused = true}, at).gradient.front());
}

Gradients hvp(const std::function<Tensor()>& f, const ParameterList& parameters, const Gradients& v,
              SourceLocation at) {
  Tape outer({}, at);
  const Gradients g = value_and_grad(f, parameters, {.allow_unused = true}, at).gradient;
  Tensor slope;
  g.for_each([&](std::uint32_t name, const Tensor&, const Tensor& gradient) {
    const Tensor term = sum_of_products(gradient, v.at(interned(name), at), at);
    slope = slope.defined() ? Arg(slope, at) + term : term;
  });
  if (!slope.defined()) fail("hvp: the model has no parameters", at);
  return gradients_of(outer, slope, parameters, true, at);
}

}  // namespace tapegrad::detail
