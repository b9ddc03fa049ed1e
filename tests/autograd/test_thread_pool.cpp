// The thread pool: every chunk once, with all that can go wrong.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <stdexcept>
#include <thread>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include "autograd/processors.h"
#include "autograd/thread_pool.h"
#include "tests/autograd/allocations.h"
#include "tests/catch.h"
#include "tests/error_of.h"

using namespace tapegrad;
using tests::error_of;

namespace {

// Restores the number of threads.
class Threads {
 public:
  explicit Threads(int n) { set_num_threads(n); }
  ~Threads() { set_num_threads(before_); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

 private:
  int before_ = num_threads();
};

// Waits until so many threads are inside at once, or ten seconds.
class Meeting {
 public:
  explicit Meeting(int wanted) : wanted_(wanted) {}
  bool come() {
    ++here_;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (here_ < wanted_) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::yield();
    }
    return true;
  }

 private:
  std::atomic<int> here_{0};
  int wanted_;
};

std::vector<int> counts_of_calls(std::int64_t chunks) {
  std::vector<std::atomic<int>> calls(static_cast<std::size_t>(chunks));
  parallel_for(chunks, [&](std::int64_t chunk) { ++calls[static_cast<std::size_t>(chunk)]; });
  return {calls.begin(), calls.end()};
}

}  // namespace

TEST_CASE("every chunk is called once, with any number of threads") {
  for (int threads : {1, 2, 3, 8}) {
    const Threads use(threads);
    for (std::int64_t chunks : {0, 1, 2, 3, 16, 1000}) {
      for (int round = 0; round < 100; ++round) {
        REQUIRE(counts_of_calls(chunks) == std::vector<int>(static_cast<std::size_t>(chunks), 1));
      }
    }
    parallel_for(-5, [](std::int64_t) { FAIL("called"); });
  }
}

TEST_CASE("threads really work at the same time") {
  for (int threads : {2, 3, 7}) {
    const Threads use(threads);
    const std::uint64_t before = thread_pool_statistics().shared_regions;
    Meeting meeting(threads);
    std::atomic<int> met{0};
    parallel_for(threads, [&](std::int64_t) { met += meeting.come() ? 1 : 0; });
    CHECK(met == threads);
    CHECK(thread_pool_statistics().shared_regions == before + 1);
  }
}

TEST_CASE("sleeping threads are woken") {
  const Threads use(2);
  for (int round = 0; round < 20; ++round) {
    Meeting meeting(2);
    std::atomic<int> met{0};
    parallel_for(2, [&](std::int64_t) { met += meeting.come() ? 1 : 0; });
    REQUIRE(met == 2);
    std::this_thread::sleep_for(std::chrono::milliseconds(round));
  }
}

TEST_CASE("no more threads than asked for, also after a larger number") {
  {
    const Threads use(4);
    counts_of_calls(16);
  }
  const Threads use(2);
  std::atomic<int> inside{0};
  std::atomic<int> most{0};
  for (int round = 0; round < 20; ++round) {
    parallel_for(8, [&](std::int64_t) {
      const int now = ++inside;
      int seen = most;
      while (now > seen && !most.compare_exchange_weak(seen, now)) {
      }
      std::this_thread::sleep_for(std::chrono::microseconds(200));
      --inside;
    });
  }
  CHECK(most == 2);
  const Threads alone(1);
  const auto caller = std::this_thread::get_id();
  parallel_for(8, [&](std::int64_t) { CHECK(std::this_thread::get_id() == caller); });
}

TEST_CASE("regions count; a single chunk is none") {
  const ThreadPoolStatistics before = thread_pool_statistics();
  counts_of_calls(1);
  CHECK(thread_pool_statistics().regions == before.regions);
  counts_of_calls(2);
  CHECK(thread_pool_statistics().regions == before.regions + 1);
  const Threads use(1);
  counts_of_calls(2);
  CHECK(thread_pool_statistics().regions == before.regions + 2);
  CHECK(thread_pool_statistics().shared_regions <= before.shared_regions + 1);
}

TEST_CASE("a region inside a region runs in order on the same thread") {
  const Threads use(2);
  std::atomic<int> wrong{0};
  parallel_for(4, [&](std::int64_t) {
    const auto outer = std::this_thread::get_id();
    std::int64_t expected = 0;
    parallel_for(5, [&](std::int64_t chunk) {
      if (std::this_thread::get_id() != outer || chunk != expected++) ++wrong;
    });
    if (expected != 5) ++wrong;
  });
  CHECK(wrong == 0);
}

TEST_CASE("while one thread uses the pool, another works alone") {
  const Threads use(2);
  std::atomic<int> wrong{0};
  std::vector<std::thread> users;
  for (int t = 0; t < 4; ++t) {
    users.emplace_back([&] {
      for (int round = 0; round < 300; ++round) {
        std::array<int, 8> calls{};
        parallel_for(8, [&](std::int64_t chunk) { ++calls[static_cast<std::size_t>(chunk)]; });
        for (int n : calls) wrong += n == 1 ? 0 : 1;
      }
    });
  }
  for (std::thread& user : users) user.join();
  CHECK(wrong == 0);
}

TEST_CASE("an exception reaches the caller, and the pool goes on") {
  const Threads use(2);
  for (int round = 0; round < 50; ++round) {
    std::string caught;
    try {
      parallel_for(8, [&](std::int64_t chunk) {
        if (chunk >= 3) throw std::runtime_error("from a chunk");
      });
    } catch (const std::runtime_error& error) {
      caught = error.what();
    }
    REQUIRE(caught == "from a chunk");
    REQUIRE(counts_of_calls(8) == std::vector<int>(8, 1));
  }
  // From a worker for certain: the caller's chunk throws nothing.
  const auto caller = std::this_thread::get_id();
  Meeting meeting(2);
  CHECK_THROWS_AS(parallel_for(2,
                               [&](std::int64_t) {
                                 meeting.come();
                                 if (std::this_thread::get_id() != caller) throw std::logic_error("from a worker");
                               }),
                  std::logic_error);
}

TEST_CASE("a region makes no heap allocation") {
  const Threads use(2);
  counts_of_calls(16);
  const std::uint64_t before = tests::operator_new_calls();
  std::atomic<int> calls{0};
  for (int round = 0; round < 100; ++round) parallel_for(16, [&](std::int64_t) { ++calls; });
  CHECK(tests::operator_new_calls() == before);
  CHECK(calls == 1600);
}

TEST_CASE("without memory for threads the caller works alone") {
  const Threads use(40);  // more than ever before, so that threads have to be started
  std::atomic<int> calls{0};
  {
    const tests::FailingAllocation failing(1);
    parallel_for(4, [&](std::int64_t) { ++calls; });
    CHECK(failing.happened());
  }
  CHECK(calls == 4);
  CHECK(counts_of_calls(300) == std::vector<int>(300, 1));
}

TEST_CASE("jobs are cut by their size") {
  CHECK(chunks_for(0, 1) == 1);
  CHECK(chunks_for(2000, 1) == 1);
  CHECK(chunks_for(2001, 1) == 2);
  CHECK(chunks_for(5500, 1) == 5);
  CHECK(chunks_for(16000, 1) == 16);
  CHECK(chunks_for(1000000000, 1) == 16);
  CHECK(chunks_for(3, 1e9) == 3);
  CHECK(chunks_for(1, 1e9) == 1);
  for (std::int64_t elements : {0, 1, 15, 16, 17, 100, 4096, 100003}) {
    for (std::int64_t chunks : {1, 2, 3, 7, 16}) {
      std::int64_t end = 0;
      for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
        const Range range = chunk_range(elements, chunks, chunk);
        REQUIRE(range.begin == end);
        REQUIRE(range.end >= range.begin);
        REQUIRE((range.end % 16 == 0 || range.end == elements));
        REQUIRE(range.end - range.begin <= elements / chunks + 32);
        end = range.end;
      }
      REQUIRE(end == elements);
    }
  }
}

TEST_CASE("the number of threads") {
  const Threads use(3);
  CHECK(num_threads() == 3);
  CHECK(error_of([] { set_num_threads(0); }) == "set_num_threads: 0 is not a number from 1 to 256, at here");
  CHECK(error_of([] { set_num_threads(257); }) == "set_num_threads: 257 is not a number from 1 to 256, at here");
  CHECK(num_threads() == 3);
  CHECK(detail::usable_processors() >= 1);
}

// Not a test by itself: the next one runs it in processes of their own, as the variable is read once.
TEST_CASE("the number of threads in this environment", "[.environment]") {
  const std::string expected = std::getenv("TAPEGRAD_TEST_EXPECTED");
  std::string seen;
  try {
    seen = std::to_string(num_threads());
  } catch (const Error& error) {
    seen = error.what();
  }
  CHECK(seen == expected);
}

TEST_CASE("the number of threads comes from the environment, else from the processors") {
  const std::string program = std::filesystem::read_symlink("/proc/self/exe").string();
  const auto check = [&](const std::string& value, const std::string& expected) {
    const std::string command = "TAPEGRAD_NUM_THREADS='" + value + "' TAPEGRAD_TEST_EXPECTED='" + expected + "' '" +
                                program + "' '[.environment]' > /dev/null";
    INFO(command);
    CHECK(std::system(command.c_str()) == 0);
  };
  check("7", "7");
  check("256", "256");
  check("", std::to_string(std::min(detail::usable_processors(), 256)));
  for (const std::string wrong : {"0", "257", "-1", "two", "2x", " 2"}) {
    check(wrong, "TAPEGRAD_NUM_THREADS is \"" + wrong + "\", not a number from 1 to 256");
  }
}

TEST_CASE("quotas of control groups") {
  namespace fs = std::filesystem;
  const fs::path root = fs::temp_directory_path() / ("tapegrad_test_" + std::to_string(getpid()));
  const auto write = [&](const fs::path& path, const std::string& text) {
    fs::create_directories((root / path).parent_path());
    std::ofstream(root / path) << text;
  };
  const auto quota = [&] { return detail::cgroup_quota((root / "membership").string(), (root / "fs").string()); };

  CHECK(quota() == 0);  // no such file
  write("membership", "0::/a/b\n");
  CHECK(quota() == 0);
  write("fs/a/b/cpu.max", "max 100000\n");
  CHECK(quota() == 0);
  write("fs/a/cpu.max", "150000 100000\n");
  CHECK(quota() == 1.5);
  write("fs/a/b/cpu.max", "400000 100000\n");
  CHECK(quota() == 1.5);
  write("fs/a/b/cpu.max", "50000 100000\n");
  CHECK(quota() == 0.5);

  write("membership", "12:memory:/m\n4:cpuset:/x\n3:cpu,cpuacct:/docker/1\n");
  CHECK(quota() == 0);
  write("fs/cpu/cpu.cfs_quota_us", "-1\n");
  write("fs/cpu/cpu.cfs_period_us", "100000\n");
  CHECK(quota() == 0);
  write("fs/cpu/cpu.cfs_quota_us", "300000\n");  // a container sees its own group as the root
  CHECK(quota() == 3);
  write("fs/cpu/docker/1/cpu.cfs_quota_us", "200000\n");
  write("fs/cpu/docker/1/cpu.cfs_period_us", "100000\n");
  CHECK(quota() == 2);
  fs::remove_all(root);
}

// Runs f in a forked child; its exit status, or -1 when it ended otherwise.
#if !defined(__SANITIZE_THREAD__)
template <class F>
int status_of_child(F&& f) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(30);  // ends a child that hangs
    _exit(f());
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_CASE("a forked child has threads of its own") {
  const Threads use(2);
  counts_of_calls(16);
  const auto check_in_child = [] {
    Meeting meeting(2);
    std::atomic<int> met{0};
    parallel_for(2, [&](std::int64_t) { met += meeting.come() ? 1 : 0; });
    return met == 2 ? 0 : 1;
  };
  CHECK(status_of_child(check_in_child) == 0);
  CHECK(status_of_child([&] { return status_of_child(check_in_child); }) == 0);

  // While another thread is inside a region.
  std::atomic<bool> may_end{false};
  std::atomic<bool> is_inside{false};
  std::thread other([&] {
    parallel_for(2, [&](std::int64_t) {
      is_inside = true;
      while (!may_end) std::this_thread::yield();
    });
  });
  while (!is_inside) std::this_thread::yield();
  CHECK(status_of_child(check_in_child) == 0);
  may_end = true;
  other.join();
}
#endif
