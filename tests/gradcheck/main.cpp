// The program `gradcheck`; see program.h.
#include "tests/gradcheck/program.h"

#include "autograd/ops/all.h"

int main(int count, char** arguments) {
  return tapegrad::tests::gradcheck_program(tapegrad::detail::all_ops(), tapegrad::tests::all_layers(),
                                            {arguments + 1, arguments + count});
}
