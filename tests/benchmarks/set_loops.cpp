// The loops of one instruction set. The elementary functions are those of the kernels.
#include "tests/benchmarks/set_loops.h"

#include "autograd/kernels/pointwise_compute.h"

namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME {
namespace {

using F = V<float>;

TAPEGRAD_INLINE F number(double value) { return F(static_cast<float>(value)); }
TAPEGRAD_INLINE F positive(F x, F yes, F no) { return select(x > number(0), yes, no); }

constexpr double root_half = 0.70710678118654752;
constexpr double root_two_over_pi = 0.79788456080286536;
constexpr double cubic = root_two_over_pi * 0.044715;

struct Relu {
  TAPEGRAD_INLINE static F forward(F x) { return select(x <= number(0), number(0), x); }
  TAPEGRAD_INLINE static F backward(F x, F g) { return select(x <= number(0), number(0), g); }
};

struct LeakyRelu {
  TAPEGRAD_INLINE static F forward(F x) { return positive(x, x, number(0.01) * x); }
  TAPEGRAD_INLINE static F backward(F x, F g) { return positive(x, g, number(0.01) * g); }
};

struct Elu {
  static constexpr double alpha = 0.9;  // 1 would vanish here, and is an option there
  TAPEGRAD_INLINE static F forward(F x) { return positive(x, x, number(alpha) * math::expm1(x)); }
  TAPEGRAD_INLINE static F backward(F x, F g) { return g * positive(x, number(1), number(alpha) * math::exp(x)); }
};

struct Sigmoid {
  TAPEGRAD_INLINE static F forward(F x) { return math::sigmoid(x); }
  TAPEGRAD_INLINE static F backward(F y, F g) { return g * fnmadd(y, y, y); }
};

struct Tanh {
  TAPEGRAD_INLINE static F forward(F x) { return math::tanh(x); }
  TAPEGRAD_INLINE static F backward(F y, F g) { return g * fnmadd(y, y, number(1)); }
};

struct Silu {
  TAPEGRAD_INLINE static F forward(F x) { return x * math::sigmoid(x); }
  TAPEGRAD_INLINE static F backward(F x, F g) {
    const F s = math::sigmoid(x);
    return g * fmadd(x, fnmadd(s, s, s), s);
  }
};

struct Gelu {
  TAPEGRAD_INLINE static F forward(F x) {
    const F half = number(0.5) * x;
    return fmadd(half, math::erf(x * number(root_half)), half);
  }
  TAPEGRAD_INLINE static F backward(F x, F g) {
    const F cumulative = fmadd(number(0.5), math::erf(x * number(root_half)), number(0.5));
    const F density = math::exp(x * x * number(-0.5)) * number(0.39894228040143268);
    return g * fmadd(x, density, cumulative);
  }
};

struct GeluTanh {
  TAPEGRAD_INLINE static F forward(F x) {
    const F half = number(0.5) * x;
    const F inner = x * fmadd(x * x, number(cubic), number(root_two_over_pi));
    return fmadd(half, math::tanh(inner), half);
  }
  TAPEGRAD_INLINE static F backward(F x, F g) {
    const F square = x * x;
    const F t = math::tanh(x * fmadd(square, number(cubic), number(root_two_over_pi)));
    const F slope = fmadd(square, number(3 * cubic), number(root_two_over_pi));
    const F tail = fmadd(number(0.5), t, number(0.5));
    return g * fmadd(number(0.5) * x * slope, fnmadd(t, t, number(1)), tail);
  }
};

struct Softplus {
  TAPEGRAD_INLINE static F forward(F x) { return math::softplus(x); }
  TAPEGRAD_INLINE static F backward(F x, F g) { return g * math::sigmoid(x); }
};

struct Mish {
  TAPEGRAD_INLINE static F forward(F x) { return x * math::tanh(math::softplus(x)); }
  TAPEGRAD_INLINE static F backward(F x, F g) {
    const F t = math::tanh(math::softplus(x));
    return g * fmadd(x * math::sigmoid(x), fnmadd(t, t, number(1)), t);
  }
};

struct HardTanh {
  TAPEGRAD_INLINE static F forward(F x) { return minimum(maximum(x, number(-1)), number(1)); }
  TAPEGRAD_INLINE static F backward(F x, F g) { return select(maximum(x, -x) < number(1), g, number(0)); }
};

struct HardSigmoid {
  TAPEGRAD_INLINE static F forward(F x) {
    return minimum(maximum(fmadd(x, number(1.0 / 6), number(0.5)), number(0)), number(1));
  }
  TAPEGRAD_INLINE static F backward(F x, F g) {
    return select(maximum(x, -x) < number(3), g * number(1.0 / 6), number(0));
  }
};

struct HardSwish {
  TAPEGRAD_INLINE static F forward(F x) {
    return x * minimum(maximum(x + number(3), number(0)), number(6)) * number(1.0 / 6);
  }
  TAPEGRAD_INLINE static F backward(F x, F g) {
    const F inside = g * fmadd(x, number(1.0 / 3), number(0.5));
    return select(x <= number(-3), number(0), select(x >= number(3), g, inside));
  }
};

struct Selu {
  static constexpr double scale = 1.0507009873554805, alpha = 1.6732632423543772;
  TAPEGRAD_INLINE static F forward(F x) { return number(scale) * positive(x, x, number(alpha) * math::expm1(x)); }
  TAPEGRAD_INLINE static F backward(F x, F g) {
    return g * positive(x, number(scale), number(scale * alpha) * math::exp(x));
  }
};

struct LogSigmoid {
  TAPEGRAD_INLINE static F forward(F x) { return -math::softplus(-x); }
  TAPEGRAD_INLINE static F backward(F x, F g) { return g * math::sigmoid(-x); }
};

// ---- loops ----

/// Short formulas gain from unrolling, long ones do not.
template <class Body>
TAPEGRAD_INLINE void loop(std::size_t n, Body body) {
  constexpr std::size_t width = F::size;
  constexpr std::size_t unroll = 4;
  std::size_t i = 0;
  for (; i + unroll * width <= n; i += unroll * width) {
    static_for<unroll>([&](auto u) TAPEGRAD_INLINE_LAMBDA {
      const std::size_t at = i + u * width;
      body([&](const float* from) TAPEGRAD_INLINE_LAMBDA { return load_all<float, TargetArch>(from + at); },
           [&](float* to, F value) TAPEGRAD_INLINE_LAMBDA { store_all<float, TargetArch>(to + at, value); });
    });
  }
  for (; i < n; i += width) {
    const std::ptrdiff_t left = n - i < width ? static_cast<std::ptrdiff_t>(n - i) : lanes<float, TargetArch>;
    body([&](const float* from) TAPEGRAD_INLINE_LAMBDA { return load_partial<float, TargetArch>(from + i, left); },
         [&](float* to, F value) TAPEGRAD_INLINE_LAMBDA { store_partial<float, TargetArch>(to + i, value, left); });
  }
}

template <class Formula>
void forward(const float* const* inputs, float* const* outputs, std::size_t n) {
  const float* const x = inputs[0];
  float* const y = outputs[0];
  loop(n, [=](auto load, auto store) TAPEGRAD_INLINE_LAMBDA { store(y, Formula::forward(load(x))); });
}

template <class Formula>
void backward(const float* const* inputs, float* const* outputs, std::size_t n) {
  const float* const x = inputs[0];
  const float* const g = inputs[1];
  float* const dx = outputs[0];
  loop(n, [=](auto load, auto store) TAPEGRAD_INLINE_LAMBDA { store(dx, Formula::backward(load(x), load(g))); });
}

/// tanh(x w + b) sigmoid(x)
void cell_forward(const float* const* inputs, float* const* outputs, std::size_t n) {
  const float *const x = inputs[0], *const w = inputs[1], *const b = inputs[2];
  float* const y = outputs[0];
  loop(n, [=](auto load, auto store) TAPEGRAD_INLINE_LAMBDA {
    const F at = load(x);
    store(y, math::tanh(fmadd(at, load(w), load(b))) * math::sigmoid(at));
  });
}

void cell_backward(const float* const* inputs, float* const* outputs, std::size_t n) {
  const float *const x = inputs[0], *const w = inputs[1], *const b = inputs[2], *const g = inputs[3];
  float *const dx = outputs[0], *const dw = outputs[1], *const db = outputs[2];
  loop(n, [=](auto load, auto store) TAPEGRAD_INLINE_LAMBDA {
    const F at = load(x);
    const F weight = load(w);
    const F upstream = load(g);
    const F t = math::tanh(fmadd(at, weight, load(b)));
    const F s = math::sigmoid(at);
    const F inner = upstream * s * fnmadd(t, t, number(1));
    store(db, inner);
    store(dw, inner * at);
    store(dx, fmadd(inner, weight, upstream * t * fnmadd(s, s, s)));
  });
}

constexpr bench::HandFused formulas[] = {
    {"relu", forward<Relu>, backward<Relu>},
    {"leaky_relu", forward<LeakyRelu>, backward<LeakyRelu>},
    {"elu", forward<Elu>, backward<Elu>},
    {"sigmoid", forward<Sigmoid>, backward<Sigmoid>},
    {"tanh", forward<Tanh>, backward<Tanh>},
    {"silu", forward<Silu>, backward<Silu>},
    {"gelu", forward<Gelu>, backward<Gelu>},
    {"gelu_tanh", forward<GeluTanh>, backward<GeluTanh>},
    {"softplus", forward<Softplus>, backward<Softplus>},
    {"mish", forward<Mish>, backward<Mish>},
    {"hardtanh", forward<HardTanh>, backward<HardTanh>},
    {"hardsigmoid", forward<HardSigmoid>, backward<HardSigmoid>},
    {"hardswish", forward<HardSwish>, backward<HardSwish>},
    {"selu", forward<Selu>, backward<Selu>},
    {"log_sigmoid", forward<LogSigmoid>, backward<LogSigmoid>},
    {"cell", cell_forward, cell_backward},
    {},
};

// ---- multiply-adds ----

volatile double sink;  // else the compiler would see that nobody asks

template <class T>
double multiply_add(std::size_t rounds) {
  // Enough for the latency of four on two units, and few enough for 16 registers.
  constexpr int chains = 12;
  V<T> sum[chains];
  static_for<chains>([&](auto i) TAPEGRAD_INLINE_LAMBDA { sum[i] = V<T>(static_cast<T>(i)); });
  const V<T> factor(T(0.999));
  const V<T> term(T(0.001));
  for (std::size_t r = 0; r < rounds; ++r) {
    static_for<chains>([&](auto i) TAPEGRAD_INLINE_LAMBDA { sum[i] = fmadd(sum[i], factor, term); });
  }
  V<T> all(T(0));
  static_for<chains>([&](auto i) TAPEGRAD_INLINE_LAMBDA { all += sum[i]; });
  sink = static_cast<double>(horizontal_sum<T, TargetArch>(all));
  return static_cast<double>(rounds) * chains * 2 * static_cast<double>(V<T>::size);
}

constexpr bench::SetLoops loops = {formulas, {multiply_add<float>, multiply_add<double>}};

}  // namespace

const bench::SetLoops& set_loops() { return loops; }

}  // namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME
