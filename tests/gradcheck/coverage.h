#pragma once
// Which kernels were called: the wall must reach every one that an op can reach, in both precisions.
#include <string>
#include <vector>

namespace tapegrad::tests {

/// Puts a copy of the kernel table in place whose functions count their calls. Lasts as long as the program.
void count_kernel_calls();

/// The kernels and paths of the matrix product that were not called since, as "softmax f32". Optimizers' kernels are
/// not asked for, nor pointwise primitives: the tests of programs run those.
std::vector<std::string> kernels_not_reached();

/// How many were.
int kernels_reached();

}  // namespace tapegrad::tests
