#pragma once
// Random programs over tensors, for tests that compare gradients with finite differences.
#include <random>

#include "tests/autograd/tape_support.h"

namespace tape_test {

/// Numbers in the range of an unsigned; the same ones everywhere for the same seed.
class Dice {
 public:
  explicit Dice(unsigned seed) : engine_(seed) {}
  unsigned operator()() { return static_cast<unsigned>(engine_()); }

 private:
  std::mt19937 engine_;
};

/// A random program: the same seed gives the same operations for any inputs. Everything is smooth and bounded. Values
/// that nothing uses (dead branches), the same tensor in both slots of an op, and broadcasting all occur.
class RandomDag {
 public:
  explicit RandomDag(unsigned seed) : seed_(seed) {
    Dice random(seed);
    const Shape shapes[] = {{}, {1}, {3}, {1, 3}, {2, 1}, {2, 3}};
    const unsigned count = 1 + random() % 4;
    for (unsigned k = 0; k < count; ++k) inputs_.push_back(wave(shapes[random() % 6], 0.3 + 0.01 * (random() % 500)));
    for (const Tensor& x : inputs_) directions_.push_back(wave(x.shape(), 0.2 + 0.01 * (random() % 500)));
  }

  const std::vector<Tensor>& inputs() const { return inputs_; }

  /// The program's result, one number.
  Tensor operator()(const std::vector<Tensor>& inputs) const {
    Dice random(seed_ + 1000000);
    std::vector<Tensor> values = inputs;
    const unsigned operations = 4 + random() % 12;
    for (unsigned n = 0; n < operations; ++n) {
      const unsigned a = pick(random, values.size());
      const unsigned b = pick(random, values.size());
      const unsigned c = pick(random, values.size());
      values.push_back(operation(random() % 15, values[a], values[b], values[c]));
    }
    return mean(tanh(values.back()) + 0.3 * values[values.size() - 2] * sigmoid(values[values.size() / 2]));
  }

  /// The directional derivative of the program along a fixed direction, by a tape of its own (a nested one when another
  /// is open), as a function of the inputs. They are constants for it, unless an outer tape knows them.
  Tensor slope(const std::vector<Tensor>& inputs) const {
    const std::vector<Tensor> g = gradients(inputs);
    Tensor s = scalar(0);
    for (std::size_t k = 0; k < g.size(); ++k) {
      if (g[k].defined()) s = s + sum(g[k] * directions_[k]);
    }
    return s;
  }

  std::vector<Tensor> gradients(const std::vector<Tensor>& inputs) const {
    Tape tape;
    std::vector<Tensor> x = inputs;
    for (Tensor& t : x) tape.watch(t);
    return tape.gradient((*this)(x), x, {.allow_unused = true});
  }

 private:
  // Mostly recent values, so that the graph is deep as well as wide.
  static unsigned pick(Dice& random, std::size_t count) {
    const unsigned n = static_cast<unsigned>(count);
    return random() % 3 == 0 ? random() % n : n - 1 - random() % std::min(n, 3u);
  }

  static Tensor wide(const Tensor& x) { return expand(x, {2, 3}); }

  static Tensor operation(unsigned which, const Tensor& a, const Tensor& b, const Tensor& c) {
    static const auto uneven = pointwise("uneven", [](auto x, auto y) { return x * exp(-(y * y)); });
    static const Tensor index = Tensor::from<std::int64_t>({2, 0, 1, 1, 2, 2}, {2, 3});
    switch (which) {
      case 0:
        return a + b;
      case 1:
        return a - b;
      case 2:
        return tanh(a * b);
      case 3:
        return a * a;
      case 4:
        return tanh(a);
      case 5:
        return sigmoid(a) * b;
      case 6:
        return exp(0.5 * tanh(a));
      case 7:
        return a / (1.5 + square(tanh(b)));
      case 8:
        return uneven(a, b);
      case 9:
        return lerp(a, b, sigmoid(c));
      case 10:
        return sum(wide(a), {.axis = 0}) * mean(wide(b), {.axis = 1, .keepdims = true});
      case 11:
        return tanh(matmul(wide(a), matmul(transpose(wide(b)), wide(c))));
      case 12:
        return reshape(permute(reshape(wide(a), {3, 2}), {1, 0}), {2, 3}) + b;
      case 13:
        return gather(wide(a), index, 1) * softmax(wide(b), 1);
      default:
        return concat({wide(a).slice(0, 1, 2), wide(b).slice(0, 0, 1)}, 0) - c;
    }
  }

  unsigned seed_;
  std::vector<Tensor> inputs_;
  std::vector<Tensor> directions_;
};

}  // namespace tape_test
