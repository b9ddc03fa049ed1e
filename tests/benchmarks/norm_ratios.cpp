// bench_norms
//
// What a norm costs, forward and backward, beside copies of as many bytes among as many arrays, as medians over
// alternating samples on one thread. A layer norm reads or writes five arrays: x and y, then x, g and dx; a batch norm,
// which goes over its inputs once for the sums and once for the result, eight: x, x and y, then x and g, x, g and dx.
#include <cstdio>
#include <cstring>

#include "tapegrad.h"
#include "tests/benchmarks/measure.h"

int main() {
  using namespace tapegrad;
  set_num_threads(1);
  struct Row {
    std::int64_t elements;
    int halves;  // of a copy, which reads one array and writes one
  };
  const Row rows[] = {{4096 * 768, 5}, {32 * 32 * 32 * 64, 8}};
  const std::vector<bench::Workload> workloads = bench::norm_workloads();
  std::printf("%-26s %10s %10s %10s\n", "", "copies ms", "norm ms", "ratio");
  for (std::size_t k = 0; k < workloads.size(); ++k) {
    const auto [elements, halves] = rows[k];
    const Tensor x = random::normal({elements}), g = random::normal({elements});
    const Tensor y = zeros({elements}), dx = zeros({elements});
    const auto copies = [&, halves = halves, bytes = static_cast<std::size_t>(elements) * sizeof(float)] {
      for (int half = 0; half < halves; half += 2) {
        const bool of_g = half % 4 != 0;
        std::memcpy((of_g ? dx : y).data(), (of_g ? g : x).data(), half + 1 < halves ? bytes : bytes / 2);
      }
    };
    const std::vector<bench::Comparison> t =
        bench::compare({copies, workloads[k].build()}, {.sample_ns = 1e7, .rounds = 31});
    std::printf("%-26s %10.3f %10.3f %10.2f\n", workloads[k].name.c_str(), t[0].ns / 1e6, t[1].ns / 1e6, t[1].ratio);
  }
}
