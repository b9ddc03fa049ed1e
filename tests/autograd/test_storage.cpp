// The allocator: classes, reuse, threads, failures. Tests with the tag [cache] are not for TAPEGRAD_NO_CACHE=1.
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <fstream>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include "autograd/create.h"
#include "tests/autograd/allocations.h"
#include "tests/catch.h"

using namespace tapegrad;
using tests::fail_each_allocation;
using tests::operator_new_calls;

namespace {

bool is_aligned(const void* p, std::size_t alignment) { return reinterpret_cast<std::uintptr_t>(p) % alignment == 0; }

// Hands a value from one thread to another.
template <class T>
class Slot {
 public:
  void put(T value) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !full_; });
    value_ = std::move(value);
    full_ = true;
    changed_.notify_all();
  }
  T take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return full_; });
    full_ = false;
    changed_.notify_all();
    return std::move(value_);
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  T value_{};
  bool full_ = false;
};

Tensor slice_of(const Tensor& x) { return Tensor::view(x, {1}, std::array<std::int64_t, 1>{1}, 0); }

// Destroyed after main: its memory goes back through an allocator that must still work.
Tensor in_static_storage;

}  // namespace

TEST_CASE("size classes: steps of 64 bytes to 512, then four per doubling") {
  CHECK(detail::size_class_of(0) == 0);
  CHECK(detail::size_class_of(1) == 0);
  CHECK(detail::size_class_of(64) == 0);
  CHECK(detail::size_class_of(65) == 1);
  CHECK(detail::size_class_of(512) == 7);
  CHECK(detail::size_class_of(513) == 8);
  CHECK(detail::size_class_bytes(8) == 640);
  CHECK(detail::size_class_of(641) == 9);
  CHECK(detail::size_class_of(1024) == 11);
  CHECK(detail::size_class_of(detail::small_limit) == 31);
  CHECK(detail::size_class_bytes(31) == detail::small_limit);
  for (int c = 0; c < detail::size_classes; ++c) {
    const std::size_t bytes = detail::size_class_bytes(c);
    REQUIRE(bytes % 64 == 0);
    REQUIRE(detail::size_class_of(bytes) == c);
    REQUIRE(detail::size_class_of(bytes + 1) == c + 1);
    REQUIRE(detail::size_class_bytes(c + 1) - bytes <= std::max<std::size_t>(64, bytes / 4));
  }
}

TEST_CASE("elements are aligned, large ones to huge pages") {
  for (std::int64_t n : {1, 15, 17, 129, 8191, 8192, 8193, 100000}) {
    CHECK(is_aligned(zeros({n}).data(), 64));
    CHECK(is_aligned(zeros({n}, boolean).data(), 64));
  }
  const Tensor large = zeros({1 << 19});
  const Tensor larger = zeros({700001}, f64);
  CHECK(is_aligned(large.data(), 2 << 20));
  CHECK(is_aligned(larger.data(), 2 << 20));

  // The wish for huge pages is a flag of the mapping.
  std::ifstream maps("/proc/self/smaps");
  std::string line;
  bool is_mapping = false;
  bool was_found = false;
  while (std::getline(maps, line)) {
    unsigned long long begin = 0;
    unsigned long long end = 0;
    if (std::sscanf(line.c_str(), "%llx-%llx ", &begin, &end) == 2) {
      const auto address = reinterpret_cast<std::uintptr_t>(large.data());
      is_mapping = begin <= address && address < end;
    } else if (is_mapping && line.rfind("VmFlags:", 0) == 0) {
      was_found = true;
      if (access("/sys/kernel/mm/transparent_hugepage/enabled", R_OK) == 0)
        CHECK(line.find(" hg") != std::string::npos);
    }
  }
  CHECK(was_found);
}

TEST_CASE("a dropped chunk is taken again, without the system", "[cache]") {
  for (std::int64_t n : {0, 1, 100, 8192, 8193, 1000000}) {
    const void* first = zeros({n}).data();
    const AllocatorStatistics before = allocator_statistics();
    const std::uint64_t calls = operator_new_calls();
    for (int i = 0; i < 10; ++i) {
      const Tensor x = Tensor::empty({n});
      CHECK(x.data() == first);
      const Tensor y = Tensor::like(x);  // the second of its kind: allocated in the first round only
    }
    CHECK(operator_new_calls() - calls <= 2);
    CHECK(allocator_statistics().system_allocations - before.system_allocations <= 2);
  }
}

TEST_CASE("a steady loop of tensors and views makes no allocation", "[cache]") {
  const auto step = [] {
    const Tensor a = zeros({64, 64});
    const Tensor b = zeros({64, 256});
    const Tensor view = slice_of(a);
    float borrowed = 0;
    const Tensor c = Tensor::borrow(&borrowed, {});
    detail::release_raw(detail::allocate_raw(72), 72);
    detail::release_raw(detail::allocate_raw(100000), 100000);
    return view.clone();
  };
  static_cast<void>(step());
  const std::uint64_t calls = operator_new_calls();
  const std::uint64_t bytes = allocator_statistics().reserved_bytes;
  for (int i = 0; i < 1000; ++i) static_cast<void>(step());
  CHECK(operator_new_calls() == calls);
  CHECK(allocator_statistics().reserved_bytes == bytes);
}

TEST_CASE("raw memory may be used to its last byte") {
  for (std::size_t bytes : {0, 1, 64, 128, 129, 192, 193, 32768, 32896, 32897, 50000, 1 << 21}) {
    void* memory = detail::allocate_raw(bytes);
    CHECK(is_aligned(memory, 64));
    std::memset(memory, 0xAB, bytes);
    detail::release_raw(memory, bytes);
    const Tensor x = ones({3});
    CHECK(x.at({2}) == 1);
  }
}

TEST_CASE("waiting memory goes back to the system on request only", "[cache]") {
  { const Tensor x = zeros({3000000}); }
  const std::uint64_t before = allocator_statistics().reserved_bytes;
  CHECK(before >= 12000000);
  const Tensor kept = ones({100});
  release_cached_memory();
  const std::uint64_t after = allocator_statistics().reserved_bytes;
  CHECK(after <= before - 12000000);
  release_cached_memory();
  CHECK(allocator_statistics().reserved_bytes == after);
  CHECK(kept.at({99}) == 1);
}

TEST_CASE("tensors that one thread makes and another drops do not add up") {
  for (std::int64_t n : {16, 20000}) {
    Slot<Tensor> slot;
    std::uint64_t bytes = 0;
    std::thread producer([&] {
      for (int i = 0; i < 500; ++i) {
        const Tensor x = full({n}, i);
        slot.put(i % 2 ? x : slice_of(x));
      }
    });
    for (int i = 0; i < 500; ++i) {
      const Tensor x = slot.take();
      REQUIRE(x.at({0}) == i);
      if (i == 100) bytes = allocator_statistics().reserved_bytes;
    }
    producer.join();
    // A few blocks more may be under way between the threads than there were then; 400 would be a leak.
    const std::uint64_t block_bytes = static_cast<std::uint64_t>(n) * sizeof(float) + 256;
    CHECK(allocator_statistics().reserved_bytes <= bytes + 8 * block_bytes);
  }
}

TEST_CASE("when a thread ends, others use its memory", "[cache]") {
  release_cached_memory();
  const auto use_memory = [] {
    std::vector<Tensor> tensors;
    for (int i = 0; i < 100; ++i) tensors.push_back(zeros({i * 200}));
  };
  std::thread(use_memory).join();
  const AllocatorStatistics before = allocator_statistics();
  std::thread(use_memory).join();
  use_memory();
  CHECK(allocator_statistics().system_allocations == before.system_allocations);
  CHECK(allocator_statistics().reserved_bytes == before.reserved_bytes);
}

TEST_CASE("tensors outlive their thread, and thread_local ones end with it") {
  Tensor x;
  std::thread([&] {
    x = arange(10);
    thread_local Tensor until_the_end;
    until_the_end = zeros({50000});
    in_static_storage = slice_of(x);
  }).join();
  CHECK(x.at({9}) == 9);
  std::thread([&] { x = Tensor(); }).join();  // a thread that never allocated
  CHECK(in_static_storage.item() == 0);
}

TEST_CASE("more threads at once than there are numbers for them") {
  std::mutex mutex;
  std::condition_variable changed;
  int ready = 0;
  bool may_end = false;
  std::vector<std::thread> threads;
  constexpr int count = 300;
  std::atomic<int> wrong{0};
  for (int i = 0; i < count; ++i) {
    threads.emplace_back([&, i] {
      const Tensor x = full({5}, i);
      std::unique_lock lock(mutex);
      ++ready;
      changed.notify_all();
      changed.wait(lock, [&] { return may_end; });
      if (x.at({4}) != i) ++wrong;
    });
  }
  {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return ready == count; });
    may_end = true;
    changed.notify_all();
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
}

TEST_CASE("threads share handles") {
  for (int round = 0; round < 50; ++round) {
    Tensor x = full({3}, round);
    std::vector<std::thread> threads;
    std::atomic<int> wrong{0};
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([copy = x, &wrong, round] {
        for (int i = 0; i < 100; ++i) {
          const Tensor again = copy;
          const Tensor view = slice_of(again);
          if (view.item() != round) ++wrong;
        }
      });
    }
    x = Tensor();
    for (std::thread& thread : threads) thread.join();
    REQUIRE(wrong == 0);
  }
}

TEST_CASE("a failing allocation leaves everything consistent") {
  const auto work = [] {
    const Tensor a = zeros({100});
    const Tensor b = zeros({20000});
    const Tensor view = slice_of(b);
    const auto owner = std::make_shared<float>(2.0F);
    const Tensor c = Tensor::borrow(owner.get(), {}, owner);
    const Tensor d = Tensor::like(b);
    detail::release_raw(detail::allocate_raw(200), 200);
    static_cast<void>(view.clone());
  };
  release_cached_memory();
  const std::uint64_t bytes = allocator_statistics().reserved_bytes;
  const int failures = fail_each_allocation(work, [&] {
    release_cached_memory();
    REQUIRE(allocator_statistics().reserved_bytes == bytes);
  });
  CHECK(failures >= 8);

  // On a thread without a cache, whose cache is the first that fails.
  int failures_on_new_threads = 0;
  std::thread([&] {
    try {
      const tests::FailingAllocation failing(1);
      zeros({1});
    } catch (const std::bad_alloc&) {
      ++failures_on_new_threads;
    }
    CHECK(zeros({1}).item() == 0);
  }).join();
  CHECK(failures_on_new_threads == 1);
}

TEST_CASE("more than there is") {
  CHECK_THROWS_AS(Tensor::empty({std::int64_t{1} << 50}), std::bad_alloc);
  CHECK_THROWS_AS(Tensor::empty({std::int64_t{1} << 56}, f64), std::bad_alloc);
  CHECK_THROWS_AS(detail::allocate_raw(~std::size_t{0}), std::bad_alloc);
  CHECK(zeros({1}).item() == 0);
}

#if !defined(__SANITIZE_THREAD__)
TEST_CASE("a forked child can allocate, whatever other threads were doing") {
  std::atomic<bool> may_end{false};
  std::thread other([&] {
    while (!may_end) release_cached_memory();  // holds the reserve's mutex most of the time
  });
  const Tensor x = arange(5);
  int failed = 0;
  for (int i = 0; i < 20; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      alarm(20);  // ends a child that hangs
      bool is_right = x.at({4}) == 4 && ones({30000}).at({7}) == 1;
      release_cached_memory();
      is_right = is_right && ones({30000}).at({7}) == 1;
      _exit(is_right ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    if (status != 0) ++failed;
  }
  may_end = true;
  other.join();
  CHECK(failed == 0);
}
#endif
