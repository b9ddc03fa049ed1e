#include <cstdlib>
#include <string>

#include "autograd/error.h"
#include "tests/kernels/support.h"

namespace kernels = tapegrad::kernels;
using kernels::InstructionSet;

TEST_CASE("the instruction set is the one asked for, or the best available", "[kernels]") {
  const char* forced = std::getenv("TAPEGRAD_SIMD");
  if (forced != nullptr) {
    CHECK(std::string(kernels::instruction_set()) == forced);
  } else {
    std::string best;
    for (const InstructionSet& set : kernels::instruction_sets()) {
      if (set.available) best = set.name;
    }
    CHECK(kernels::instruction_set() == best);
  }
  CHECK(&kernels::table() == &kernels::table());
}

TEST_CASE("choosing an instruction set", "[kernels]") {
  const InstructionSet sets[] = {{"sse42", true}, {"avx2", true}, {"avx512", false}};
  CHECK(kernels::detail::choose(sets, nullptr) == 1);
  CHECK(kernels::detail::choose(sets, "") == 1);
  CHECK(kernels::detail::choose(sets, "sse42") == 0);

  const auto message = [](std::span<const InstructionSet> list, const char* forced) -> std::string {
    try {
      kernels::detail::choose(list, forced);
    } catch (const tapegrad::Error& error) {
      return error.what();
    }
    return "no error";
  };
  CHECK(message(sets, "avx512") == "TAPEGRAD_SIMD=avx512: this processor does not have it");
  CHECK(message(sets, "AVX2") == "TAPEGRAD_SIMD=AVX2: unknown instruction set; this build has sse42, avx2, avx512");
  const InstructionSet only_best[] = {{"avx512", false}};
  CHECK(message(only_best, "sse42") == "TAPEGRAD_SIMD=sse42: not in this build, which has avx512");
  CHECK(message(only_best, nullptr) == "this processor has none of the instruction sets of this build: avx512");
}

namespace {

/// A static initialiser that runs the table, as those of other files may. Where the machine lacks the instruction set
/// it must not throw: the main function then skips the tests.
const double from_initialiser = []() -> double {
  try {
    const float values[] = {1, 2, 3};
    return kernels::table().sum_chunk[0](values, 3);
  } catch (const tapegrad::Error&) {
    return 0;
  }
}();

template <class Entry, std::size_t N>
bool all_set(Entry (&entries)[N]) {
  for (const auto& entry : entries) {
    if constexpr (std::is_array_v<Entry>) {
      if (!all_set(entry)) return false;
    } else {
      if (!entry) return false;
    }
  }
  return true;
}

}  // namespace

TEST_CASE("the table works in static initialisers", "[kernels]") { CHECK(from_initialiser == 6); }

TEST_CASE("every entry of the table is filled", "[kernels]") {
  const kernels::Table& t = kernels::table();
  CHECK(all_set(t.sum));
  CHECK(all_set(t.sum_of_squares));
  CHECK(all_set(t.max));
  CHECK(all_set(t.min));
  CHECK(all_set(t.max_index));
  CHECK(all_set(t.min_index));
  CHECK(all_set(t.sum_chunk));
  CHECK(all_set(t.sum_of_squares_chunk));
  CHECK(all_set(t.dot_chunk));
  CHECK(all_set(t.sum_columns_chunk));
  CHECK(all_set(t.gemm));
  CHECK(all_set(t.gemm_workspace_bytes));
  CHECK(all_set(t.gemm_path));
  CHECK(all_set(t.gemm_tile_rows));
  CHECK(all_set(t.gemm_tile_columns));
  CHECK(all_set(t.softmax));
  CHECK(all_set(t.log_softmax));
  CHECK(all_set(t.softmax_backward));
  CHECK(all_set(t.log_softmax_backward));
  CHECK(all_set(t.cross_entropy));
  CHECK(all_set(t.cross_entropy_backward));
  CHECK(all_set(t.cross_entropy_fused));
  CHECK(t.copy != nullptr);
  CHECK(t.fill != nullptr);
  CHECK(all_set(t.cast));
  CHECK(t.gather_rows != nullptr);
  CHECK(all_set(t.sum_rows));
  CHECK(all_set(t.dropout));
  CHECK(all_set(t.sgd_step));
  CHECK(all_set(t.adam_step));
  CHECK(all_set(t.adagrad_step));
  CHECK(all_set(t.axpy));
  CHECK(all_set(t.scale));
  for (const auto& of_type : t.block) {
    for (const auto& of_primitive : of_type) {
      CHECK(of_primitive[0] != nullptr);
    }
  }
}
