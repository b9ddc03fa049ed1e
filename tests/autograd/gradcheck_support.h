#pragma once
// Functions with a wrong gradient and a small model, for the tests of the gradient checker.
#include <string>
#include <vector>

#include "autograd/gradcheck.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/pointwise.h"
#include "autograd/random.h"

namespace tapegrad::tests {

inline Tensor draw(const Shape& shape, std::uint64_t seed = 1, DType type = f64) {
  random::Generator generator(seed);
  return random::normal(shape, {.dtype = type, .generator = &generator});
}

// y, whose gradient is `factor` times what it should be.
inline Tensor with_factor(const Tensor& y, double factor) { return factor * y + (1 - factor) * stop_gradient(y); }

// The value of y with the gradient of g.
inline Tensor with_gradient_of(const Tensor& g, const Tensor& y) { return stop_gradient(y - g) + g; }

inline bool says(const std::vector<std::string>& list, const std::string& text) {
  for (const std::string& line : list) {
    if (line.find(text) != std::string::npos) return true;
  }
  return false;
}

struct Affine {
  Parameter weight;
  Parameter bias;
  Tensor operator()(Arg x) const { return matmul(x, weight) + bias; }
};

struct Net {
  Affine hidden{Parameter(draw({4, 5}, 11, f32)), Parameter(draw({5}, 12, f32))};
  Affine out{Parameter(draw({5, 3}, 13, f32)), Parameter(draw({3}, 14, f32))};
  double factor = 1;
  Tensor operator()(Arg x) const {
    const Tensor z = with_factor(matmul(x, hidden.weight), factor) + hidden.bias;
    return out(tanh(z));
  }
};

}  // namespace tapegrad::tests
