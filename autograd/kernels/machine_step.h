// What the accumulator machine is given. Which steps there are is in machine.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "autograd/kernels/primitive.h"

namespace tapegrad::kernels::machine {

/// `code` says what to do. The operands are slots: inputs, outputs, constants, scratch. Where a primitive works
/// from memory to memory, the operand after its last one is what it writes.
struct Step {
  std::uint16_t code = 0;
  std::uint16_t operands[most_operands] = {};
};

/// A program and the arrays that it works on. Outputs differ from each other.
struct Arguments {
  const Step* steps = nullptr;  // the last one, and only that, is store_last or next_tile
  const void* const* inputs = nullptr;
  void* const* outputs = nullptr;
  const void* constants = nullptr;  // of the element's type
  unsigned reads = 0;               // bit k: input k is read
  unsigned scalars = 0;             // bit k: input k is one element
  std::size_t input_count = 0;
  std::size_t output_count = 0;
  std::size_t constant_count = 0;
  std::size_t scratch_count = 0;
  std::size_t n = 0;
};

}  // namespace tapegrad::kernels::machine
