#pragma once
// Loops to measure the kernels against, built once per instruction set as the kernels are.
#include <cstddef>

namespace bench {

/// One loop over n elements in f32.
using HandFusedLoop = void (*)(const float* const* inputs, float* const* outputs, std::size_t n);

/// A pointwise formula as a patient person would write it: one loop over registers, everything fused by hand.
struct HandFused {
  const char* name;  // of the formula
  HandFusedLoop forward;
  HandFusedLoop backward;  // inputs: what the derivative's program reads
};

struct SetLoops {
  const HandFused* formulas;  // ended by one without a name

  /// The most multiply-adds that a processor makes: of registers only, none waiting for another. Returns how many
  /// floating-point operations `rounds` are, in f32 or f64.
  double (*multiply_add[2])(std::size_t rounds);
};

/// Those of the instruction set that the kernels use.
const SetLoops& set_loops();

}  // namespace bench
