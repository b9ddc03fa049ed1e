// `gradcheck` with a library in which the derivative of tanh is twice what it should be: it must fail.
#include <algorithm>
#include <string_view>

#include "autograd/ops/all.h"
#include "tapegrad.h"
#include "tests/gradcheck/program.h"

using namespace tapegrad;

int main(int count, char** arguments) {
  std::vector<OpDescription> ops = detail::all_ops();
  const auto op =
      std::find_if(ops.begin(), ops.end(), [](const OpDescription& o) { return std::string_view(o.name) == "tanh"; });
  for (OpSample& sample : op->samples) {
    sample.apply = [apply = sample.apply](const std::vector<Tensor>& x) {
      const Tensor y = apply(x);
      return 2.0 * y - stop_gradient(y);
    };
  }
  return tests::gradcheck_program(ops, {}, {arguments + 1, arguments + count});
}
