// Pointwise formulas as a patient person would write them: one loop over registers, everything fused by hand. What the
// executors of traced programs are measured against. Built once per instruction set, as the kernels are:
// tapegrad::kernels::<set>::hand_fused_loops() gives the set's loops, ended by one without a name.
#pragma once

#include <cstddef>

namespace bench {

/// One loop over n elements in f32.
using HandFusedLoop = void (*)(const float* const* inputs, float* const* outputs, std::size_t n);

struct HandFused {
  const char* name;  // of the formula
  HandFusedLoop forward;
  HandFusedLoop backward;  // inputs: what the derivative's program reads
};

}  // namespace bench
