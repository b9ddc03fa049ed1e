// bench_pools [--check]
//
// Pooling, forward and backward, against a copy of as many bytes as it has to read and to write, on one thread: medians
// over alternating samples. With --check the program fails where pooling takes more than 1.5 times as long.
#include <cstdio>
#include <cstring>

#include "tapegrad.h"
#include "tests/benchmarks/measure.h"

int main(int count, char** arguments) {
  using namespace tapegrad;
  const bool checks = count == 2 && std::strcmp(arguments[1], "--check") == 0;
  if (count > 1 && !checks) {
    std::fprintf(stderr, "usage: bench_pools [--check]\n");
    return 2;
  }
  set_num_threads(1);
  int misses = 0;
  std::printf("%-24s %10s %10s\n", "", "ms", "copies");
  for (const bench::Workload& workload : bench::pool_workloads()) {
    const bench::Step pool = workload.build();
    // x and its gradient, the result and that of the result: half of them are read, half are written. The places of the
    // largest elements are one byte beside eight of these.
    const std::size_t bytes = (8 << 20) + (2 << 20);
    std::vector<char> from(bytes), to(bytes);
    const auto copy = [&] { std::memcpy(to.data(), from.data(), bytes); };
    const auto t = bench::compare({copy, pool}, {.sample_ns = 4e6, .rounds = 41});
    const bool misses_limit = t[1].ratio > 1.5;
    misses += misses_limit;
    std::printf("%-24s %10.3f %10.2f%s\n", workload.name.c_str(), t[1].ns / 1e6, t[1].ratio,
                misses_limit ? "  over budget" : "");
  }
  return checks && misses > 0 ? 1 : 0;
}
