// bench_norms
//
// What a norm costs, forward and backward, in copies of its input, as medians over alternating samples on one thread.
// A copy reads an array and writes one. A layer norm reads or writes five: x and y, then x, g and dx; a batch norm, which
// goes over its input once for the statistics and once for the result, eight. So 2.5 and 4 copies are what memory
// allows where no cache holds the arrays.
#include <cstdio>
#include <cstring>

#include "tapegrad.h"
#include "tests/benchmarks/measure.h"

int main() {
  using namespace tapegrad;
  set_num_threads(1);
  struct Row {
    std::int64_t elements;
    double copies;
  };
  const Row rows[] = {{4096 * 768, 2.5}, {32 * 32 * 32 * 64, 4}};
  const std::vector<bench::Workload> workloads = bench::norm_workloads();
  std::printf("%-26s %10s %10s %10s %8s\n", "", "copy ms", "norm ms", "copies", "bound");
  for (std::size_t k = 0; k < workloads.size(); ++k) {
    const Tensor from = random::normal({rows[k].elements}), to = zeros({rows[k].elements});
    const auto bytes = static_cast<std::size_t>(rows[k].elements) * sizeof(float);
    const std::vector<bench::Comparison> t = bench::compare(
        {[&] { std::memcpy(to.data(), from.data(), bytes); }, workloads[k].build()}, {.sample_ns = 1e7, .rounds = 31});
    std::printf("%-26s %10.3f %10.3f %10.2f %8.1f\n", workloads[k].name.c_str(), t[0].ns / 1e6, t[1].ns / 1e6,
                t[1].ratio, rows[k].copies);
  }
}
