#pragma once
// How many processors this process may use.
#include <string>

namespace tapegrad::detail {

/// The smaller of the affinity mask and the cgroup's quota, rounded up; at least 1.
int usable_processors();

/// The quota of the process's cgroup and of those above it, in processors; 0 when there is none. Reads versions 1
/// and 2. `membership` is a file such as /proc/self/cgroup, `root` a folder such as /sys/fs/cgroup.
double cgroup_quota(const std::string& membership, const std::string& root);

}  // namespace tapegrad::detail
