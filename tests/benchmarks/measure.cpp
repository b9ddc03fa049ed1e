#include "tests/benchmarks/measure.h"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace bench {

namespace {

double now_ms() {
  using Clock = std::chrono::steady_clock;
  return std::chrono::duration<double, std::milli>(Clock::now().time_since_epoch()).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

}  // namespace

Timing measure(const std::function<void()>& step, int rounds) {
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

}  // namespace bench
