#include "autograd/thread_pool.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>
#include <thread>

#include <pthread.h>
#include <signal.h>

#include "autograd/processors.h"

namespace tapegrad {
namespace {

constexpr int most_threads = 256;
constexpr int spins_before_sleep = 4000;  // 70 to 200 microseconds
constexpr int spins_when_crowded = 50;    // with more threads than processors, spinning steals time from the others
constexpr std::uint64_t regions_between_attempts = 100;

// One call of parallel_for. It lives on the caller's stack: a thread looks at it only while it holds a chunk.
struct Region {
  void (*function)(void* context, std::int64_t chunk);
  void* context;
  std::atomic<int> helpers{0};  // workers that took a chunk
  std::atomic<bool> failed{false};
  std::exception_ptr exception{};

  void run(std::uint32_t chunk) noexcept {
    if (failed.load(std::memory_order_relaxed)) return;
    try {
      function(context, chunk);
    } catch (...) {
      if (!failed.exchange(true)) exception = std::current_exception();
    }
  }
};

// The chunks of the current region that nobody took yet: the next one in the lower half, their number in the upper. One
// word, so that a thread that comes late can neither take a chunk twice nor one of a region that is over.
struct Work {
  std::uint64_t word;
  std::uint32_t next() const { return static_cast<std::uint32_t>(word); }
  std::uint32_t chunks() const { return static_cast<std::uint32_t>(word >> 32); }
  bool is_left() const { return next() < chunks(); }
};

struct alignas(64) Worker {
  static constexpr std::uint32_t awake = 0;
  static constexpr std::uint32_t asleep = 1;
  std::atomic<std::uint32_t> state{awake};
};

// Has no destructor: workers may sleep in it while the program ends.
struct Pool {
  alignas(64) std::atomic<std::uint64_t> work{0};
  alignas(64) std::atomic<std::uint32_t> unfinished{0};  // chunks of the current region
  alignas(64) std::atomic<bool> is_busy{false};
  Region* region = nullptr;  // valid while a chunk is unfinished
  int started = 0;           // workers; touched only by the thread that set is_busy
  std::uint64_t next_attempt = 0;
  std::atomic<std::uint64_t> regions{0};
  std::atomic<std::uint64_t> shared_regions{0};

  alignas(64) std::atomic<int> threads{0};  // 0: not asked for yet
  std::atomic<int> spins{spins_before_sleep};
  std::array<Worker, most_threads - 1> workers;
};
constinit Pool pool;

void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Takes chunks until none is left; returns how many.
std::uint32_t take_chunks() {
  std::uint32_t taken = 0;
  Work work{pool.work.load(std::memory_order_acquire)};
  while (work.is_left()) {
    if (!pool.work.compare_exchange_weak(work.word, work.word + 1, std::memory_order_acq_rel)) continue;
    pool.region->run(work.next());
    ++taken;
    work.word = pool.work.load(std::memory_order_acquire);
  }
  return taken;
}

bool has_work_for(int worker) {
  return Work{pool.work.load(std::memory_order_seq_cst)}.is_left() &&
         worker + 1 < pool.threads.load(std::memory_order_relaxed);
}

void wait_for_work(int index) {
  for (int i = pool.spins.load(std::memory_order_relaxed); i > 0; --i) {
    if (has_work_for(index)) return;
    pause();
  }
  // Either this look at the work comes after its publication, or the publisher's look at `state` comes after this
  // store.
  std::atomic<std::uint32_t>& state = pool.workers[static_cast<std::size_t>(index)].state;
  state.store(Worker::asleep, std::memory_order_seq_cst);
  if (!has_work_for(index)) state.wait(Worker::asleep);
  state.store(Worker::awake, std::memory_order_relaxed);
}

void run_worker(int index) {
  for (;;) {
    wait_for_work(index);
    if (!has_work_for(index)) continue;
    const std::uint32_t taken = take_chunks();
    if (taken == 0) continue;
    pool.region->helpers.fetch_add(1, std::memory_order_relaxed);
    if (pool.unfinished.fetch_sub(taken, std::memory_order_acq_rel) == taken) pool.unfinished.notify_one();
  }
}

// The threads of the parent do not exist in a forked child.
void forget_workers() {
  pool.started = 0;
  pool.next_attempt = 0;
  pool.work.store(0);
  pool.is_busy.store(false);
}

void start_workers(int wanted) {
  static const int once = pthread_atfork(nullptr, nullptr, forget_workers);
  static_cast<void>(once);
  // The user's signal handlers belong on the user's threads.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    for (; pool.started < wanted; ++pool.started) {
      pool.workers[static_cast<std::size_t>(pool.started)].state.store(Worker::awake);
      std::thread(run_worker, pool.started).detach();
    }
  } catch (const std::exception&) {
    // The system has no thread or no memory to give: work goes on with those that there are.
    pool.next_attempt = pool.regions.load(std::memory_order_relaxed) + regions_between_attempts;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void wake_workers(int count) {
  for (int i = 0; i < count; ++i) {
    std::atomic<std::uint32_t>& state = pool.workers[static_cast<std::size_t>(i)].state;
    if (state.load(std::memory_order_seq_cst) != Worker::asleep) continue;
    state.store(Worker::awake, std::memory_order_seq_cst);
    state.notify_one();
  }
}

void wait_until_finished() {
  for (int i = pool.spins.load(std::memory_order_relaxed); i > 0; --i) {
    if (pool.unfinished.load(std::memory_order_acquire) == 0) return;
    pause();
  }
  while (const std::uint32_t left = pool.unfinished.load(std::memory_order_acquire)) {
    pool.unfinished.wait(left, std::memory_order_acquire);
  }
}

void use_threads(int n) {
  pool.spins.store(n <= detail::usable_processors() ? spins_before_sleep : spins_when_crowded);
  pool.threads.store(n);
}

int default_threads() {
  const char* text = std::getenv("TAPEGRAD_NUM_THREADS");
  if (!text || !*text) return std::min(detail::usable_processors(), most_threads);
  int n = 0;
  const char* end = text + std::strlen(text);
  const auto [stop, error] = std::from_chars(text, end, n);
  if (error != std::errc{} || stop != end || n < 1 || n > most_threads) {
    throw Error("TAPEGRAD_NUM_THREADS is \"" + std::string(text) + "\", not a number from 1 to 256");
  }
  return n;
}

void run_in_order(std::int64_t chunks, void (*function)(void*, std::int64_t), void* context) {
  for (std::int64_t chunk = 0; chunk < chunks; ++chunk) function(context, chunk);
}

}  // namespace

int num_threads() {
  if (pool.threads.load(std::memory_order_relaxed) == 0) use_threads(default_threads());
  return pool.threads.load(std::memory_order_relaxed);
}

void set_num_threads(int n, SourceLocation at) {
  if (n < 1 || n > most_threads) {
    fail("set_num_threads: " + std::to_string(n) + " is not a number from 1 to 256", at);
  }
  use_threads(n);
}

ThreadPoolStatistics thread_pool_statistics() {
  return {pool.regions.load(std::memory_order_relaxed), pool.shared_regions.load(std::memory_order_relaxed)};
}

void detail::run_region(std::int64_t chunks, void (*function)(void*, std::int64_t), void* context) {
  if (chunks < 1) return;
  const std::uint64_t number = pool.regions.fetch_add(1, std::memory_order_relaxed);
  const int threads = num_threads();
  if (threads == 1 || chunks > UINT32_MAX || pool.is_busy.exchange(true, std::memory_order_acquire)) {
    return run_in_order(chunks, function, context);
  }
  if (pool.started < threads - 1 && number >= pool.next_attempt) start_workers(threads - 1);

  Region region{function, context};
  pool.region = &region;
  pool.unfinished.store(static_cast<std::uint32_t>(chunks), std::memory_order_relaxed);
  pool.work.store(static_cast<std::uint64_t>(chunks) << 32, std::memory_order_seq_cst);
  wake_workers(static_cast<int>(std::min({chunks, std::int64_t{threads}, std::int64_t{pool.started + 1}})) - 1);
  const std::uint32_t taken = take_chunks();
  pool.unfinished.fetch_sub(taken, std::memory_order_acq_rel);
  wait_until_finished();

  const int threads_at_work = region.helpers.load(std::memory_order_relaxed) + (taken > 0 ? 1 : 0);
  if (threads_at_work > 1) pool.shared_regions.fetch_add(1, std::memory_order_relaxed);
  pool.is_busy.store(false, std::memory_order_release);
  if (region.exception) std::rethrow_exception(region.exception);
}

}  // namespace tapegrad
