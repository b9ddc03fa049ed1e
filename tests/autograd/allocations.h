#pragma once
// Counts the calls of operator new in this program, and makes chosen ones fail.
#include <cstdint>
#include <new>

namespace tapegrad::tests {

/// Calls of operator new (all its forms) so far, over all threads.
std::uint64_t operator_new_calls();

/// While it lives, the n-th call of operator new on this thread (counted from 1) throws std::bad_alloc.
class FailingAllocation {
 public:
  explicit FailingAllocation(std::int64_t n);
  ~FailingAllocation();
  FailingAllocation(const FailingAllocation&) = delete;
  FailingAllocation& operator=(const FailingAllocation&) = delete;
  /// Whether that call came.
  bool happened() const;
};

/// Calls f with the 1st, 2nd, ... allocation failing, until f needs no more; returns how many failed. f may throw
/// nothing but std::bad_alloc. `check` is called after every failure.
template <class F, class Check>
int fail_each_allocation(F&& f, Check&& check) {
  for (int n = 1;; ++n) {
    bool happened = false;
    {
      FailingAllocation failing(n);
      try {
        f();
      } catch (const std::bad_alloc&) {
      }
      happened = failing.happened();
    }
    if (!happened) return n - 1;
    check();
  }
}

}  // namespace tapegrad::tests
