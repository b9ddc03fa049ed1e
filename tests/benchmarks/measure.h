#pragma once
// How the benchmarks measure.
#include <functional>
#include <string>
#include <vector>

namespace bench {

using Step = std::function<void()>;

struct Timing {
  double median_ms = 0;
  double min_ms = 0;
};

struct Workload {
  std::string name;
  std::function<Step()> build;  // makes the inputs
  int operations = 0;           // recorded ops per step, for ns per op; 0: not reported
};

/// The method of the PyTorch script that `bench` is compared with: the workload is warmed up (at least 3 calls and
/// 0.15 s), then sampled: a sample is the mean of so many back-to-back calls that it lasts 2 ms. A block has at least 15
/// samples and 0.4 s; of several blocks the least median counts.
Timing measure(const Step& step, int rounds);

struct Comparison {
  double ns = 0;     // per call, median
  double ratio = 1;  // median over the rounds of this one's time to the first one's
};

struct ComparisonOptions {
  double sample_ns = 40000;
  int rounds = 41;
  bool processor_time = true;  // of the calling thread only: a busy machine interrupts a slow step more often
};

/// Samples of all contenders in turn, so that a busy machine disturbs all of them alike.
std::vector<Comparison> compare(const std::vector<Step>& contenders, const ComparisonOptions& options = {});

std::vector<Workload> embedding_workloads();
std::vector<Workload> tape_workloads();
std::vector<Workload> operation_workloads();
std::vector<Workload> convolution_workloads();
std::vector<Workload> pool_workloads();
std::vector<Workload> norm_workloads();
std::vector<Workload> optimizer_workloads();
std::vector<Workload> network_workloads();

}  // namespace bench
