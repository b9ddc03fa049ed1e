// Programs for the accumulator machine, of instructions.
#pragma once

#include <string>
#include <vector>

#include "autograd/kernels/machine_step.h"
#include "autograd/ops/program.h"

namespace tapegrad::program {

/// The steps that do what the executable's instructions do, in their order. Empty when the machine has no room for so
/// many slots.
std::vector<kernels::machine::Step> machine_code(const Executable& executable);

/// How many arrays the steps read and write.
int memory_operands(const std::vector<kernels::machine::Step>& steps);

/// One line per step, for people.
std::string to_string(const std::vector<kernels::machine::Step>& steps);

}  // namespace tapegrad::program
