#pragma once
// The wall as a program: one row per op. `gradcheck` checks all of them, `gradcheck matmul tanh` some.
// `gradcheck --write-page FILE` also writes the reference page docs/ops.md, `--check-page FILE` compares it.
#include <string>
#include <vector>

#include "autograd/op.h"

namespace tapegrad::tests {

/// Its exit status: 0 all passed, 1 an op failed, a kernel was not reached by any sample or the page is not up to date,
/// 2 an unknown name.
int gradcheck_program(const std::vector<OpDescription>& ops, const std::vector<std::string>& arguments);

}  // namespace tapegrad::tests
