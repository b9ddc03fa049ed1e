// A program that has only what is installed: it trains a small model, checks gradients, and meets the library's types
// across its border. As a shared object, it is what load.cpp loads.
#include <tapegrad.h>

#include <cmath>
#include <cstdio>
#include <thread>
#include <typeinfo>

using namespace tapegrad;

namespace {

struct Net {
  nn::Dense hidden{2, 16}, out{16, 1};
  Tensor operator()(Arg x) const { return out(tanh(hidden(x))); }
};

const auto swish = pointwise("swish", [](auto x) { return x * sigmoid(x); });

bool derivative_is_right() {
  Tensor x = full({}, 3.0);
  Tape tape;
  tape.watch(x);
  return tape.gradient(x * x * x, x).item() == 27;
}

bool own_op_passes_gradcheck() {
  return bool(gradcheck([](Arg x) { return sum(swish(x)); }, linspace(-2, 2, 5)));
}

// x1 * x2 on four points: not linear.
bool training_succeeds() {
  random::seed(1);
  const Tensor x = Tensor::from<float>({-1, -1, -1, 1, 1, -1, 1, 1}, {4, 2});
  const Tensor y = prod(x, {.axis = 1, .keepdims = true});
  Net net;
  optim::Adam adam{net, {.lr = 0.02}};
  for (int step = 0; step < 300; ++step) {
    Tape tape;
    adam.step(tape.gradient(mean(square(net(x) - y)), net));
  }
  return mean(square(net(x) - y)).item() < 0.01;
}

// Large enough for all threads of the pool, which then outlive this object.
bool threads_agree() {
  const Tensor a = random::normal({256, 256}), b = random::normal({256, 256});
  const int threads = num_threads();
  set_num_threads(1);
  const Tensor one = matmul(a, b);
  set_num_threads(2);
  const Tensor two = matmul(a, b);
  set_num_threads(threads);
  return sum(abs(one - two)).item() == 0;
}

bool tapes_of_other_threads_work() {
  bool right = false;
  std::thread([&] { right = derivative_is_right(); }).join();
  return right;
}

bool errors_are_caught_by_type() {
  try {
    matmul(zeros({2, 3}), zeros({2, 3}));
  } catch (const Error& error) {
    return typeid(error) == typeid(Error);
  }
  return false;
}

bool classes_are_known_by_type() {
  Net net;
  optim::Adam adam{net};
  optim::Optimizer& optimizer = adam;
  return dynamic_cast<optim::Adam*>(&optimizer) == &adam && dynamic_cast<optim::SGD*>(&optimizer) == nullptr;
}

bool said(bool right, const char* what) {
  if (!right) std::fprintf(stderr, "wrong: %s\n", what);
  return right;
}

}  // namespace

extern "C" int run_consumer() {
  return said(derivative_is_right(), "derivative") && said(own_op_passes_gradcheck(), "own op") &&
                 said(training_succeeds(), "training") && said(threads_agree(), "threads") &&
                 said(tapes_of_other_threads_work(), "a tape on another thread") &&
                 said(errors_are_caught_by_type(), "error type") && said(classes_are_known_by_type(), "dynamic_cast")
             ? 0
             : 1;
}

int main() { return run_consumer(); }
