// bench --threads N [--only NAME] [--rounds R] [--json] [--list]
//
// One JSON line per workload on stdout, with the names and the work of the PyTorch script that it is compared with; without --json also a table on stderr. --only takes parts of names or =name, several with commas.
#include <cstdio>
#include <cstdlib>
#include <sstream>

#include "autograd/kernels/table.h"
#include "tapegrad.h"
#include "tests/benchmarks/measure.h"

namespace {

struct Options {
  int threads = 1;
  int rounds = 3;
  std::string only;
  bool json = false;
  bool list = false;
};

[[noreturn]] void usage(const std::string& why) {
  std::fprintf(stderr, "bench: %s\nusage: bench [--threads N] [--only NAME] [--rounds R] [--json] [--list]\n",
               why.c_str());
  std::exit(2);
}

int positive(const std::string& option, const char* text) {
  const int n = std::atoi(text);
  if (n < 1) usage(option + " takes a number from 1 on, not " + text);
  return n;
}

Options parse(int count, char** arguments) {
  Options options;
  for (int i = 1; i < count; ++i) {
    const std::string name = arguments[i];
    const auto value = [&] {
      if (i + 1 >= count) usage(name + " needs a value");
      return arguments[++i];
    };
    if (name == "--threads") {
      options.threads = positive(name, value());
    } else if (name == "--rounds") {
      options.rounds = positive(name, value());
    } else if (name == "--only") {
      options.only = value();
    } else if (name == "--json") {
      options.json = true;
    } else if (name == "--list") {
      options.list = true;
    } else {
      usage("unknown option " + name);
    }
  }
  return options;
}

bool is_selected(const std::string& name, const std::string& only) {
  if (only.empty()) return true;
  std::istringstream parts(only);
  for (std::string part; std::getline(parts, part, ',');) {
    if (part.starts_with('=') ? name == part.substr(1) : name.find(part) != std::string::npos) return true;
  }
  return false;
}

void report(const bench::Workload& workload, const bench::Timing& timing, const Options& options) {
  std::printf(
      "{\"name\": \"%s\", \"threads\": %d, \"median_ms\": %.5f, \"min_ms\": %.5f, \"peer\": \"tapegrad 0.1.0\", "
      "\"variant\": \"%s\"",
      workload.name.c_str(), options.threads, timing.median_ms, timing.min_ms, tapegrad::kernels::instruction_set());
  if (workload.operations) std::printf(", \"ns_per_op\": %.1f", timing.median_ms * 1e6 / workload.operations);
  std::printf("}\n");
  std::fflush(stdout);
  if (options.json) return;
  std::fprintf(stderr, "%-36s %d thr %10.4f ms (min %.4f)\n", workload.name.c_str(), options.threads, timing.median_ms,
               timing.min_ms);
}

}  // namespace

int main(int count, char** arguments) {
  const Options options = parse(count, arguments);
  tapegrad::set_num_threads(options.threads);
  bool any = false;
  for (const auto& family : {bench::tape_workloads(), bench::operation_workloads(), bench::convolution_workloads(),
                             bench::pool_workloads(), bench::norm_workloads(), bench::embedding_workloads(),
                             bench::optimizer_workloads(), bench::network_workloads()}) {
    for (const bench::Workload& workload : family) {
      if (!is_selected(workload.name, options.only)) continue;
      any = true;
      if (options.list) {
        std::printf("%s\n", workload.name.c_str());
        continue;
      }
      tapegrad::random::seed(1);
      const auto step = workload.build();
      report(workload, bench::measure(step, options.rounds), options);
    }
  }
  if (!any) usage("no workload is named " + options.only);
}
