// The main function of every test program: skips (exit status 77, which Meson reports as "SKIP") when this machine
// lacks the instruction set that TAPEGRAD_SIMD asks for.
#if __has_include(<catch2/catch_session.hpp>)
#include <catch2/catch_session.hpp>
#else
#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>
#endif

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "autograd/kernels/table.h"

namespace {

/// False only when the build has the instruction set and the machine lacks it: any other name is an error of the tests.
bool machine_has(std::string_view name) {
  for (const auto& set : tapegrad::kernels::instruction_sets()) {
    if (name == set.name) return set.available;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  constexpr int skipped = 77;
  if (const char* simd = std::getenv("TAPEGRAD_SIMD"); simd != nullptr && !machine_has(simd)) {
    std::printf("skipped: this machine has no %s\n", simd);
    return skipped;
  }
  return Catch::Session().run(argc, argv);
}
