#pragma once
// The wall as a program: one row per op and per layer. `gradcheck` checks all of them, `gradcheck matmul Dense` some.
// `gradcheck --write-page FILE` also writes the reference page docs/ops.md, `--check-page FILE` compares it.
#include <string>
#include <vector>

#include "tests/gradcheck/layers.h"

namespace tapegrad::tests {

/// Its exit status: 0 all passed, 1 an op or layer failed, a kernel was not reached by any sample or the page is not up to date,
/// 2 an unknown name.
int gradcheck_program(const std::vector<OpDescription>& ops, const std::vector<LayerDescription>& layers,
                      const std::vector<std::string>& arguments);

}  // namespace tapegrad::tests
