#include "autograd/processors.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>
#include <thread>

#ifdef __linux__
#include <sched.h>
#endif

namespace tapegrad::detail {
namespace {

int affinity_count() {
#ifdef __linux__
  cpu_set_t mask;
  if (sched_getaffinity(0, sizeof mask, &mask) == 0) return std::max(1, CPU_COUNT(&mask));
#endif
  return static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
}

// Version 2: "150000 100000" or "max 100000".
double read_v2(const std::string& folder) {
  std::ifstream file(folder + "/cpu.max");
  double quota = 0;
  double period = 0;
  return file >> quota >> period && quota > 0 && period > 0 ? quota / period : 0;
}

// Version 1: two files; a quota of -1 is none.
double read_v1(const std::string& folder) {
  std::ifstream quota_file(folder + "/cpu.cfs_quota_us");
  std::ifstream period_file(folder + "/cpu.cfs_period_us");
  double quota = 0;
  double period = 0;
  return quota_file >> quota && period_file >> period && quota > 0 && period > 0 ? quota / period : 0;
}

double smaller_quota(double a, double b) { return a == 0 || b == 0 ? std::max(a, b) : std::min(a, b); }

// A group's quota also limits the groups below it. Inside a container the path may be seen from outside; then only the
// root exists, and it is the container's own.
double smallest_up_to_root(double (*read)(const std::string&), const std::string& root, std::string path) {
  double quota = read(root);
  while (!path.empty() && path != "/") {
    quota = smaller_quota(quota, read(root + path));
    path.resize(path.find_last_of('/') == std::string::npos ? 0 : path.find_last_of('/'));
  }
  return quota;
}

bool names_cpu(const std::string& controllers) {
  std::istringstream list(controllers);
  for (std::string controller; std::getline(list, controller, ',');) {
    if (controller == "cpu") return true;
  }
  return false;
}

}  // namespace

double cgroup_quota(const std::string& membership, const std::string& root) {
  std::ifstream file(membership);
  double quota = 0;
  for (std::string line; std::getline(file, line);) {  // "hierarchy:controllers:path"
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string path = line.substr(second + 1);
    if (controllers.empty()) {
      quota = smaller_quota(quota, smallest_up_to_root(read_v2, root, path));
    } else if (names_cpu(controllers)) {
      quota = smaller_quota(quota, smallest_up_to_root(read_v1, root + "/cpu", path));
    }
  }
  return quota;
}

int usable_processors() {
  const int count = affinity_count();
  const double quota = cgroup_quota("/proc/self/cgroup", "/sys/fs/cgroup");
  return quota > 0 && quota < count ? std::max(1, static_cast<int>(std::ceil(quota))) : count;
}

}  // namespace tapegrad::detail
