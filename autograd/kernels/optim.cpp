// Optimizer steps: one pass over parameter, gradient and state.
#include "autograd/kernels/fill.h"
#include "autograd/kernels/lines.h"

namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME {
namespace {

// ---- stochastic gradient descent ----

/// What the velocity does in a step.
enum class Momentum { none, first, classical, nesterov };

template <class T, class Arch, Momentum Kind>
void sgd_loop(const SgdArguments& arguments) {
  using Vector = Batch<T, Arch>;
  T* parameter = static_cast<T*>(arguments.parameter);
  const T* gradient = static_cast<const T*>(arguments.gradient);
  T* velocity = static_cast<T*>(arguments.velocity);
  const Vector rate(static_cast<T>(arguments.learning_rate));
  const Vector decay(static_cast<T>(arguments.weight_decay));
  const Vector momentum(static_cast<T>(arguments.momentum));
  const Vector intake(static_cast<T>(1 - arguments.dampening));
  // A first step takes the whole gradient, whatever the dampening; Nesterov's look-ahead then uses it twice.
  const bool look_ahead = arguments.nesterov;
  for_each_register<T, Arch>(arguments.n, [&](auto at) TAPEGRAD_INLINE_LAMBDA {
    const Vector value = at.read(parameter);
    const Vector g = fmadd(decay, value, at.read(gradient));
    Vector step = g;
    if constexpr (Kind == Momentum::first) {
      at.write(velocity, g);
      if (look_ahead) {
        step = fmadd(momentum, g, g);
      }
    } else if constexpr (Kind != Momentum::none) {
      const Vector next = fmadd(momentum, at.read(velocity), intake * g);
      at.write(velocity, next);
      step = Kind == Momentum::nesterov ? fmadd(momentum, next, g) : next;
    }
    at.write(parameter, fnmadd(rate, step, value));
  });
}

template <class T, class Arch>
void sgd_step(const SgdArguments& arguments) {
  if (arguments.momentum == 0) {
    sgd_loop<T, Arch, Momentum::none>(arguments);
  } else if (arguments.first_step) {
    sgd_loop<T, Arch, Momentum::first>(arguments);
  } else if (arguments.nesterov) {
    sgd_loop<T, Arch, Momentum::nesterov>(arguments);
  } else {
    sgd_loop<T, Arch, Momentum::classical>(arguments);
  }
}

// ---- Adam ----

template <class T, class Arch, bool Decoupled, bool KeepsMaximum>
void adam_loop(const AdamArguments& arguments) {
  using Vector = Batch<T, Arch>;
  T* parameter = static_cast<T*>(arguments.parameter);
  const T* gradient = static_cast<const T*>(arguments.gradient);
  T* first = static_cast<T*>(arguments.m);
  T* second = static_cast<T*>(arguments.v);
  T* second_maximum = static_cast<T*>(arguments.max_v);
  const Vector beta1(static_cast<T>(arguments.beta1));
  const Vector beta2(static_cast<T>(arguments.beta2));
  const Vector intake1(static_cast<T>(1 - arguments.beta1));
  const Vector intake2(static_cast<T>(1 - arguments.beta2));
  const Vector epsilon(static_cast<T>(arguments.epsilon));
  const Vector decay(static_cast<T>(arguments.weight_decay));
  const Vector keep(static_cast<T>(1 - arguments.learning_rate * arguments.weight_decay));
  const Vector rate(static_cast<T>(arguments.learning_rate / arguments.correction1));
  const Vector unbias(static_cast<T>(1 / __builtin_sqrt(arguments.correction2)));
  for_each_register<T, Arch>(arguments.n, [&](auto at) TAPEGRAD_INLINE_LAMBDA {
    Vector value = at.read(parameter);
    Vector g = at.read(gradient);
    if constexpr (Decoupled) {
      value = value * keep;
    } else {
      g = fmadd(decay, value, g);
    }
    const Vector m = fmadd(beta1, at.read(first), intake1 * g);
    const Vector v = fmadd(beta2, at.read(second), intake2 * g * g);
    at.write(first, m);
    at.write(second, v);
    Vector scale = v;
    if constexpr (KeepsMaximum) {
      scale = maximum(at.read(second_maximum), v);
      at.write(second_maximum, scale);
    }
    const Vector denominator = fmadd(xsimd::sqrt(scale), unbias, epsilon);
    at.write(parameter, fnmadd(rate, m / denominator, value));
  });
}

template <class T, class Arch>
void adam_step(const AdamArguments& arguments) {
  if (arguments.max_v != nullptr) {
    arguments.decoupled ? adam_loop<T, Arch, true, true>(arguments) : adam_loop<T, Arch, false, true>(arguments);
  } else {
    arguments.decoupled ? adam_loop<T, Arch, true, false>(arguments) : adam_loop<T, Arch, false, false>(arguments);
  }
}

// ---- Adagrad ----

template <class T, class Arch>
void adagrad_step(const AdagradArguments& arguments) {
  using Vector = Batch<T, Arch>;
  T* parameter = static_cast<T*>(arguments.parameter);
  const T* gradient = static_cast<const T*>(arguments.gradient);
  T* sum = static_cast<T*>(arguments.sum);
  const Vector rate(static_cast<T>(arguments.learning_rate));
  const Vector decay(static_cast<T>(arguments.weight_decay));
  const Vector epsilon(static_cast<T>(arguments.epsilon));
  for_each_register<T, Arch>(arguments.n, [&](auto at) TAPEGRAD_INLINE_LAMBDA {
    const Vector value = at.read(parameter);
    const Vector g = fmadd(decay, value, at.read(gradient));
    const Vector total = fmadd(g, g, at.read(sum));
    at.write(sum, total);
    at.write(parameter, fnmadd(rate, g / (xsimd::sqrt(total) + epsilon), value));
  });
}

// ---- vectors ----

template <class T, class Arch>
void axpy(double alpha, const void* x, void* y, Index n) {
  const Batch<T, Arch> factor(static_cast<T>(alpha));
  const T* source = static_cast<const T*>(x);
  T* target = static_cast<T*>(y);
  for_each_register<T, Arch>(
      n, [&](auto at) TAPEGRAD_INLINE_LAMBDA { at.write(target, fmadd(factor, at.read(source), at.read(target))); });
}

template <class T, class Arch>
void scale(double alpha, void* x, Index n) {
  const Batch<T, Arch> factor(static_cast<T>(alpha));
  T* target = static_cast<T*>(x);
  for_each_register<T, Arch>(n, [&](auto at) TAPEGRAD_INLINE_LAMBDA { at.write(target, factor * at.read(target)); });
}

template <class T, class Arch>
void fill_type(Table& table, int type) {
  table.sgd_step[type] = sgd_step<T, Arch>;
  table.adam_step[type] = adam_step<T, Arch>;
  table.adagrad_step[type] = adagrad_step<T, Arch>;
  table.axpy[type] = axpy<T, Arch>;
  table.scale[type] = scale<T, Arch>;
}

}  // namespace

void fill_optim(Table& table) {
  fill_type<float, TargetArch>(table, 0);
  fill_type<double, TargetArch>(table, 1);
}

}  // namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME
