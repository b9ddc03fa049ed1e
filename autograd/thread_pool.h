#pragma once
// Threads: a region is a number of chunks, which the threads take one after another.
//
// How a job is cut into chunks follows from its size only, never from the number of threads. So every result has the
// same bits with any number of them.
#include <cstdint>
#include <memory>
#include <type_traits>

#include "autograd/error.h"

namespace tapegrad {

/// How many threads work on one op, the calling one included. By default the processors that this process may use: the
/// smaller of the affinity mask and the cgroup's quota; or the environment variable TAPEGRAD_NUM_THREADS, which may
/// exceed it. Throws when that variable is not a number from 1 to 256.
int num_threads();

/// Any number from 1 to 256. Takes effect with the next op.
void set_num_threads(int n, SourceLocation at = SourceLocation::current());

/// What the pool did so far.
struct ThreadPoolStatistics {
  std::uint64_t regions = 0;         ///< regions of at least two chunks
  std::uint64_t shared_regions = 0;  ///< ... of which at least two threads took a chunk each
};
ThreadPoolStatistics thread_pool_statistics();

inline constexpr std::int64_t max_chunks = 16;

/// Into how many chunks to cut a job: one below about 2 microseconds of work, else chunks of at least 1 microsecond, at
/// most 16 and at most one per element.
constexpr std::int64_t chunks_for(std::int64_t elements, double nanoseconds_per_element) {
  const double microseconds = static_cast<double>(elements) * nanoseconds_per_element * 1e-3;
  if (!(microseconds > 2)) return 1;
  const std::int64_t most = elements < max_chunks ? elements : max_chunks;
  return microseconds < static_cast<double>(most) ? static_cast<std::int64_t>(microseconds) : most;
}

/// Elements begin, begin + 1, ... before end.
struct Range {
  std::int64_t begin;
  std::int64_t end;
};

/// The part of 0 ... elements that belongs to one of `chunks` equal chunks. Bounds are multiples of `unit` elements (by
/// default a cache line of f32), so that two threads never write to the same one; the last chunk may be shorter, or
/// empty.
constexpr Range chunk_range(std::int64_t elements, std::int64_t chunks, std::int64_t chunk, std::int64_t unit = 16) {
  const std::int64_t units = (elements + unit - 1) / unit;
  const std::int64_t begin = units * chunk / chunks * unit;
  const std::int64_t end = units * (chunk + 1) / chunks * unit;
  return {begin, end < elements ? end : elements};
}

namespace detail {
void run_region(std::int64_t chunks, void (*function)(void* context, std::int64_t chunk), void* context);
}

/// Calls f(chunk) for every chunk from 0 to chunks - 1, each once, on any thread and in any order, and returns when all
/// are done. Makes no heap allocation after the threads were started. Runs in order on the calling thread when it is
/// inside a region already, when another thread uses the pool, and with one thread. An exception of f reaches the
/// caller (the first one, if there are several; chunks not begun by then are left out). A forked child starts threads
/// of its own; only do not fork from inside a region.
template <class F>
void parallel_for(std::int64_t chunks, F&& f) {
  if (chunks == 1) {
    f(std::int64_t{0});
    return;
  }
  using Function = std::remove_reference_t<F>;
  auto call = [](void* context, std::int64_t chunk) { (*static_cast<Function*>(context))(chunk); };
  detail::run_region(chunks, call, const_cast<void*>(static_cast<const void*>(std::addressof(f))));
}

}  // namespace tapegrad
