#pragma once
// How the benchmark measures: the method of the PyTorch script that it is compared with.
//
// A workload is warmed up (at least 3 calls and 0.15 s), then sampled: a sample is the mean of so many back-to-back
// calls that it lasts 2 ms. A block has at least 15 samples and 0.4 s; of several blocks the least median counts.
#include <functional>
#include <string>
#include <vector>

namespace bench {

struct Timing {
  double median_ms = 0;
  double min_ms = 0;
};

struct Workload {
  std::string name;
  std::function<std::function<void()>()> build;  // makes the inputs, returns one step
  int operations = 0;                            // recorded ops per step, for ns per op; 0: not reported
};

Timing measure(const std::function<void()>& step, int rounds);

std::vector<Workload> tape_workloads();
std::vector<Workload> network_workloads();
std::vector<Workload> pointwise_workloads();

}  // namespace bench
