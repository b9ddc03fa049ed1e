#pragma once
// One row of the wall: everything that is checked of one op or layer, by its samples.
#include <string>
#include <vector>

#include "autograd/op.h"

namespace tapegrad::tests {

struct WallRow {
  std::string name;
  int cases = 0;           // samples, and layouts and broadcasts made from them
  int threaded = 0;        // ... of which cut their work for several threads
  double first_order = 0;  // worst relative error against differences, f64
  double second_order = 0;
  bool has_jvp = true;            // of ops; layers are made of them
  double forward = 0;             // ... of jvp, and of a jvp in a jvp
  double dot_test = 0;            // |<v, J u> - <J' v, u>|, relative to the sum of magnitudes
  bool has_forward_rule = false;  // else jvp is made from the vjp, and the dot test says nothing
  double f32_value = 0;           // worst relative error of f32 against f64
  double f32_gradient = 0;
  std::vector<std::string> faults;

  bool passed() const { return faults.empty(); }
};

/// Runs all checks of an op: gradients of first and second order, the same for each input when no other is asked for, jvp,
/// f32 against f64 forward and backward, equal bits for 1, 2, 3 and 7 threads and for a second run, inputs untouched.
/// An exception is a fault too.
WallRow check_op(const OpDescription& op);

/// An op on inputs with a layout or a broadcast that its samples do not have.
struct WallCase {
  std::string name;  // "f64[3, 4] f64[4]", and what was done to it
  std::vector<Tensor> inputs;
  const OpSample* sample;
};
std::vector<WallCase> wall_cases(const OpDescription& op);

}  // namespace tapegrad::tests
