#include "tests/benchmarks/measure.h"

#include <time.h>

#include <algorithm>
#include <cmath>

namespace bench {

namespace {

double now_ns(clockid_t clock) {
  timespec time;
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

double now_ms() { return now_ns(CLOCK_MONOTONIC) * 1e-6; }

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

}  // namespace

Timing measure(const Step& step, int rounds) {
  const double start = now_ms();
  for (int calls = 0; calls < 3 || (now_ms() - start < 150 && calls < 2000); ++calls) step();
  const double before = now_ms();
  step();
  const int calls = std::max(1, static_cast<int>(std::ceil(2.0 / std::max(now_ms() - before, 1e-4))));
  Timing best{1e300, 1e300};
  for (int round = 0; round < rounds; ++round) {
    std::vector<double> samples;
    const double block = now_ms();
    while ((samples.size() < 15 || now_ms() - block < 400) && now_ms() - block < 8000) {
      const double sample = now_ms();
      for (int c = 0; c < calls; ++c) step();
      samples.push_back((now_ms() - sample) / calls);
    }
    best.median_ms = std::min(best.median_ms, median(samples));
    best.min_ms = std::min(best.min_ms, *std::min_element(samples.begin(), samples.end()));
  }
  return best;
}

std::vector<Comparison> compare(const std::vector<Step>& contenders, const ComparisonOptions& options) {
  const clockid_t clock = options.processor_time ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
  std::vector<int> calls;
  for (const Step& step : contenders) {
    const double start = now_ns(clock);
    int count = 0;
    for (; now_ns(clock) - start < 2 * options.sample_ns; ++count) step();
    calls.push_back(std::max(1, count / 2));
  }
  std::vector<std::vector<double>> times(contenders.size());
  for (int round = 0; round < options.rounds; ++round) {
    for (std::size_t k = 0; k < contenders.size(); ++k) {
      const double start = now_ns(clock);
      for (int i = 0; i < calls[k]; ++i) contenders[k]();
      times[k].push_back((now_ns(clock) - start) / calls[k]);
    }
  }
  std::vector<Comparison> results;
  for (const std::vector<double>& own : times) {
    std::vector<double> ratios;
    for (std::size_t r = 0; r < own.size(); ++r) ratios.push_back(own[r] / times[0][r]);
    results.push_back({median(own), median(ratios)});
  }
  return results;
}

}  // namespace bench
