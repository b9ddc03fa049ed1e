#include "tests/kernels/support.h"

using namespace kernel_test;
using tapegrad::kernels::AdamArguments;
using tapegrad::kernels::SgdArguments;

namespace {

constexpr double ulps = 8;

/// Parameters, gradients and state of one flat array, with a copy in double that steps by the formulas.
template <class T>
struct Problem {
  Index n;
  Guarded<T> parameter, gradient, velocity, m, v, max_v;
  std::vector<double> p, u, first, second, largest;

  explicit Problem(Index size)
      : n(size),
        parameter(reals<T>(size, 1)),
        gradient(reals<T>(size, 2)),
        velocity(zeros<T>(size)),
        m(zeros<T>(size)),
        v(zeros<T>(size)),
        max_v(zeros<T>(size)),
        p(parameter.data(), parameter.data() + size),
        u(static_cast<std::size_t>(size)),
        first(u),
        second(u),
        largest(u) {}

  double g(Index i) const { return static_cast<double>(gradient[i]); }

  void check() const {
    for (Index i = 0; i < n; ++i) REQUIRE(near(parameter[i], p[static_cast<std::size_t>(i)], ulps, 1));
    REQUIRE((parameter.intact() && velocity.intact() && m.intact() && v.intact() && max_v.intact()));
  }
};

/// PyTorch's torch.optim.SGD, one element.
void sgd_reference(double& p, double& velocity, double g, const SgdArguments& a) {
  g += a.weight_decay * p;
  if (a.momentum != 0) {
    velocity = a.first_step ? g : a.momentum * velocity + (1 - a.dampening) * g;
    g = a.nesterov ? g + a.momentum * velocity : velocity;
  }
  p -= a.learning_rate * g;
}

/// PyTorch's torch.optim.Adam and AdamW, one element.
void adam_reference(double& p, double& m, double& v, double& max_v, double g, const AdamArguments& a) {
  if (a.decoupled) {
    p *= 1 - a.learning_rate * a.weight_decay;
  } else {
    g += a.weight_decay * p;
  }
  m = a.beta1 * m + (1 - a.beta1) * g;
  v = a.beta2 * v + (1 - a.beta2) * g * g;
  max_v = std::max(max_v, v);
  const double root = std::sqrt(a.max_v != nullptr ? max_v : v) / std::sqrt(a.correction2);
  p -= a.learning_rate / a.correction1 * m / (root + a.epsilon);
}

template <class T>
void check_sgd(Index n, SgdArguments arguments) {
  Problem<T> problem(n);
  arguments.n = n;
  arguments.parameter = problem.parameter.data();
  arguments.gradient = problem.gradient.data();
  arguments.velocity = arguments.momentum != 0 ? problem.velocity.data() : nullptr;
  for (int step = 0; step < 3; ++step) {
    arguments.first_step = step == 0;
    table().sgd_step[type<T>](arguments);
    for (Index i = 0; i < n; ++i) {
      const std::size_t k = static_cast<std::size_t>(i);
      sgd_reference(problem.p[k], problem.u[k], problem.g(i), arguments);
    }
    problem.check();
  }
}

template <class T>
void check_adam(Index n, AdamArguments arguments, bool keep_maximum) {
  Problem<T> problem(n);
  arguments.n = n;
  arguments.parameter = problem.parameter.data();
  arguments.gradient = problem.gradient.data();
  arguments.m = problem.m.data();
  arguments.v = problem.v.data();
  arguments.max_v = keep_maximum ? problem.max_v.data() : nullptr;
  for (int step = 1; step <= 3; ++step) {
    // A shrinking gradient, so that the running maximum matters.
    for (Index i = 0; i < n; ++i) problem.gradient[i] *= static_cast<T>(0.01);
    arguments.correction1 = 1 - std::pow(arguments.beta1, step);
    arguments.correction2 = 1 - std::pow(arguments.beta2, step);
    table().adam_step[type<T>](arguments);
    for (Index i = 0; i < n; ++i) {
      const std::size_t k = static_cast<std::size_t>(i);
      adam_reference(problem.p[k], problem.first[k], problem.second[k], problem.largest[k], problem.g(i), arguments);
    }
    problem.check();
  }
}

}  // namespace

TEMPLATE_TEST_CASE("optim: SGD", "[kernels][optim]", float, double) {
  for (Index n = 0; n <= every_tail<TestType>; ++n) {
    CAPTURE(n);
    check_sgd<TestType>(n, {.learning_rate = 0.1});
    check_sgd<TestType>(n, {.learning_rate = 0.1, .weight_decay = 0.2});
    check_sgd<TestType>(n, {.learning_rate = 0.1, .momentum = 0.9});
    check_sgd<TestType>(n, {.learning_rate = 0.1, .momentum = 0.9, .dampening = 0.3, .weight_decay = 0.2});
    check_sgd<TestType>(n, {.learning_rate = 0.1, .momentum = 0.9, .weight_decay = 0.2, .nesterov = true});
  }
}

TEMPLATE_TEST_CASE("optim: Adam and AdamW", "[kernels][optim]", float, double) {
  const AdamArguments plain{.learning_rate = 0.1, .beta1 = 0.8, .beta2 = 0.5, .epsilon = 1e-6};
  AdamArguments decayed = plain;
  decayed.weight_decay = 0.2;
  AdamArguments decoupled = decayed;
  decoupled.decoupled = true;
  for (Index n = 0; n <= every_tail<TestType>; ++n) {
    CAPTURE(n);
    for (bool keep_maximum : {false, true}) {
      check_adam<TestType>(n, plain, keep_maximum);
      check_adam<TestType>(n, decayed, keep_maximum);
      check_adam<TestType>(n, decoupled, keep_maximum);
    }
  }
}

TEMPLATE_TEST_CASE("optim: an element's step does not depend on its position", "[kernels][optim]", float, double) {
  const Index n = 3 * every_tail<TestType>;
  Problem<TestType> whole(n);
  Problem<TestType> cut(n);
  const auto step = [](Problem<TestType>& problem, Index begin, Index end) {
    table().adam_step[type<TestType>]({.n = end - begin,
                                       .parameter = problem.parameter.data() + begin,
                                       .gradient = problem.gradient.data() + begin,
                                       .m = problem.m.data() + begin,
                                       .v = problem.v.data() + begin,
                                       .learning_rate = 0.1,
                                       .beta1 = 0.9,
                                       .beta2 = 0.999,
                                       .epsilon = 1e-8,
                                       .weight_decay = 0.1});
    table().sgd_step[type<TestType>]({.n = end - begin,
                                      .parameter = problem.parameter.data() + begin,
                                      .gradient = problem.gradient.data() + begin,
                                      .velocity = problem.velocity.data() + begin,
                                      .learning_rate = 0.1,
                                      .momentum = 0.9,
                                      .weight_decay = 0.1});
  };
  step(whole, 0, n);
  for (Index begin = 0; begin < n; begin += 7) step(cut, begin, std::min(n, begin + 7));
  CHECK(cut.parameter == whole.parameter);
  CHECK(cut.velocity == whole.velocity);
  CHECK(cut.v == whole.v);
}

TEMPLATE_TEST_CASE("optim: axpy and scale", "[kernels][optim]", float, double) {
  for (Index n = 0; n <= every_tail<TestType>; ++n) {
    CAPTURE(n);
    const Guarded<TestType> x = integers<TestType>(n, 1);
    const Guarded<TestType> start = integers<TestType>(n, 2);
    Guarded<TestType> y = start;
    table().axpy[type<TestType>](0.5, x.data(), y.data(), n);
    for (Index i = 0; i < n; ++i) REQUIRE(y[i] == start[i] + x[i] * TestType(0.5));
    table().scale[type<TestType>](-4, y.data(), n);
    for (Index i = 0; i < n; ++i) REQUIRE(y[i] == (start[i] + x[i] * TestType(0.5)) * -4);
    REQUIRE(y.intact());
  }
}
