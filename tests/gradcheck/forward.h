#pragma once
// The wall's check of jvp: against differences along a direction, and against the gradients.
#include <string>
#include <vector>

#include "autograd/op.h"

namespace tapegrad::tests {

struct ForwardCheck {
  double worst = 0;      // relative error against differences, of jvp and of a jvp in a jvp
  double worst_dot = 0;  // |<v, J u> - <J' v, u>|, relative to the sum of magnitudes
  std::vector<std::string> faults;
};

/// Checks jvp of a sample for its f64 inputs along a random direction u: J u against central differences, the same for
/// x -> J(x) u, and J u against the sum over single inputs. `dot_test`: <v, J u> must be <J' v, u> to 1e-12 of the sum
/// of magnitudes, which says something where the op's forward rule is not made from its vjp.
ForwardCheck check_forward(const OpSample& sample, const std::vector<Tensor>& inputs, bool dot_test);

}  // namespace tapegrad::tests
