#include "autograd/storage.h"

#include <bit>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <utility>

#include <pthread.h>
#include <sys/mman.h>

namespace tapegrad {
namespace detail {

constinit thread_local ThreadCache* thread_cache [[gnu::tls_model("initial-exec")]] = nullptr;

namespace {

constexpr std::size_t cache_line = 64;
constexpr std::size_t huge_page = std::size_t{2} << 20;

std::atomic<std::uint64_t> system_allocations{0};
std::atomic<std::uint64_t> reserved_bytes{0};

// What no thread holds: chunks of ended threads, and those that were dropped on another thread than their own.
struct Reserve {
  std::mutex mutex;
  FreeChunk* with_header[size_classes] = {};
  FreeChunk* data_only[size_classes] = {};
  std::uint64_t homes_in_use[4] = {1};  // one bit per number; 0 is nobody's: chunks taken without a cache have it
};

// Never destroyed: a static tensor may be dropped after every destructor of this file ran.
union Undying {
  Reserve reserve;
  constexpr Undying() : reserve() {}
  ~Undying() {}
};
constinit Undying undying;

void push(FreeChunk*& list, FreeChunk* chunk) {
  chunk->next = list;
  list = chunk;
}

FreeChunk* pop(FreeChunk*& list) {
  FreeChunk* chunk = list;
  if (chunk) list = chunk->next;
  return chunk;
}

enum class Kind { with_header, data_only };

FreeChunk** lists_of(ThreadCache& cache, Kind kind) {
  return kind == Kind::with_header ? cache.with_header : cache.data_only;
}
FreeChunk** lists_of(Reserve& reserve, Kind kind) {
  return kind == Kind::with_header ? reserve.with_header : reserve.data_only;
}

std::size_t chunk_bytes(Kind kind, int size_class) {
  return size_class_bytes(size_class) + (kind == Kind::with_header ? header_bytes : 0);
}

std::align_val_t alignment_of(std::size_t bytes) {
  return std::align_val_t{bytes >= huge_page ? huge_page : cache_line};
}

FreeChunk* allocate_from_system(Kind kind, int size_class) {
  const std::size_t bytes = chunk_bytes(kind, size_class);
  void* memory = ::operator new(bytes, alignment_of(bytes));
  if (bytes >= huge_page) ::madvise(memory, bytes, MADV_HUGEPAGE);  // a wish: failure only costs speed
  system_allocations.fetch_add(1, std::memory_order_relaxed);
  reserved_bytes.fetch_add(bytes, std::memory_order_relaxed);
  return static_cast<FreeChunk*>(memory);
}

void return_to_system(FreeChunk* chunk, Kind kind, int size_class) noexcept {
  const std::size_t bytes = chunk_bytes(kind, size_class);
  reserved_bytes.fetch_sub(bytes, std::memory_order_relaxed);
  ::operator delete(chunk, alignment_of(bytes));
}

// For memory checkers: every chunk then comes from the system and goes back to it at once.
bool caching_is_off() {
  static const bool off = [] {
    const char* value = std::getenv("TAPEGRAD_NO_CACHE");
    return value && *value && *value != '0';
  }();
  return off;
}

// A number that no other running thread has; 0 when all 255 are taken.
std::uint8_t take_home() {
  const std::lock_guard lock(undying.reserve.mutex);
  for (int word = 0; word < 4; ++word) {
    std::uint64_t& bits = undying.reserve.homes_in_use[word];
    if (~bits == 0) continue;
    const int bit = std::countr_one(bits);
    bits |= std::uint64_t{1} << bit;
    return static_cast<std::uint8_t>(64 * word + bit);
  }
  return 0;
}

// With the reserve locked.
void give_home_back(std::uint8_t home) {
  if (home == 0) return;
  undying.reserve.homes_in_use[home / 64] &= ~(std::uint64_t{1} << home % 64);
}

void end_thread(void* memory) noexcept {
  auto* cache = static_cast<ThreadCache*>(memory);
  thread_cache = nullptr;
  {
    const std::lock_guard lock(undying.reserve.mutex);
    for (Kind kind : {Kind::with_header, Kind::data_only}) {
      for (int c = 0; c < size_classes; ++c) {
        FreeChunk*& list = lists_of(*cache, kind)[c];
        while (FreeChunk* chunk = pop(list)) push(lists_of(undying.reserve, kind)[c], chunk);
      }
    }
    give_home_back(cache->home);
  }
  ::operator delete(cache, std::align_val_t{cache_line});
}

// A key and not a thread_local destructor: keys are cleaned up after all thread_local objects, which may hold tensors,
// and should one of the later clean-ups allocate again, the key's runs again. The main thread's cache is never cleaned
// up, so tensors in static storage find it to the end.
struct ThreadEnd {
  pthread_key_t key{};
  bool exists = false;

  ThreadEnd() {
    exists = pthread_key_create(&key, end_thread) == 0;
    // A child must not inherit a mutex that another thread of its parent had locked.
    pthread_atfork([] { undying.reserve.mutex.lock(); }, [] { undying.reserve.mutex.unlock(); },
                   [] { undying.reserve.mutex.unlock(); });
  }
};

// Null when this thread has to do without a cache; throws std::bad_alloc.
ThreadCache* cache_of_this_thread() {
  if (thread_cache) return thread_cache;
  if (caching_is_off()) return nullptr;
  static ThreadEnd thread_end;
  if (!thread_end.exists) return nullptr;
  auto* cache = new (std::align_val_t{cache_line}) ThreadCache{};
  cache->home = take_home();
  if (cache->home == 0 || pthread_setspecific(thread_end.key, cache) != 0) {
    end_thread(cache);
    return nullptr;
  }
  return thread_cache = cache;
}

FreeChunk* take_from_reserve(Kind kind, int size_class) {
  const std::lock_guard lock(undying.reserve.mutex);
  return pop(lists_of(undying.reserve, kind)[size_class]);
}

void give_to_reserve(FreeChunk* chunk, Kind kind, int size_class) noexcept {
  if (caching_is_off()) return return_to_system(chunk, kind, size_class);
  const std::lock_guard lock(undying.reserve.mutex);
  push(lists_of(undying.reserve, kind)[size_class], chunk);
}

FreeChunk* take_chunk(Kind kind, int size_class) {
  if (size_class >= size_classes) throw std::bad_array_new_length();
  ThreadCache* cache = cache_of_this_thread();
  FreeChunk* chunk = cache ? pop(lists_of(*cache, kind)[size_class]) : nullptr;
  if (!chunk) chunk = take_from_reserve(kind, size_class);
  if (!chunk) chunk = allocate_from_system(kind, size_class);
  if (kind == Kind::with_header) reinterpret_cast<Block*>(chunk)->home = cache ? cache->home : std::uint8_t{0};
  return chunk;
}

// The data of a large block follows its header: to the list of the thread that the header came from.
void release_data(FreeChunk* chunk, int size_class, bool is_ours) noexcept {
  if (!is_ours) return give_to_reserve(chunk, Kind::data_only, size_class);
  push(thread_cache->data_only[size_class], chunk);
}

void release_header(Block* block) noexcept {
  block->flags = 0;
  block->size_class = 0;
  release(block);
}

// Raw memory has no header to keep, so it may use the header's room too.
Kind kind_for_raw(std::size_t bytes) {
  return bytes <= header_bytes + small_limit ? Kind::with_header : Kind::data_only;
}
int class_for_raw(std::size_t bytes) {
  if (kind_for_raw(bytes) == Kind::data_only) return size_class_of(bytes);
  return size_class_of(bytes < header_bytes ? 0 : bytes - header_bytes);
}

void free_list(FreeChunk* list, Kind kind, int size_class) noexcept {
  while (FreeChunk* chunk = pop(list)) return_to_system(chunk, kind, size_class);
}

}  // namespace

int size_class_of(std::size_t bytes) {
  if (bytes <= 512) return bytes == 0 ? 0 : static_cast<int>((bytes - 1) / 64);
  const std::size_t last = bytes - 1;
  const int width = static_cast<int>(std::bit_width(last));
  const int quarter = static_cast<int>(last >> (width - 3)) & 3;
  return 8 + 4 * (width - 10) + quarter;
}

std::size_t size_class_bytes(int size_class) {
  if (size_class < 8) return 64 * static_cast<std::size_t>(size_class + 1);
  const int doubling = (size_class - 8) / 4;
  const int quarter = (size_class - 8) % 4;
  return (std::size_t{512} << doubling) + static_cast<std::size_t>(quarter + 1) * (std::size_t{128} << doubling);
}

FreeChunk* refill_with_header(int size_class) { return take_chunk(Kind::with_header, size_class); }

void return_chunk(FreeChunk* chunk, int size_class) noexcept { give_to_reserve(chunk, Kind::with_header, size_class); }

Block* allocate_large(std::size_t bytes) {
  Block* block = allocate_small(0);
  const int size_class = size_class_of(bytes);
  try {
    block->data = reinterpret_cast<std::byte*>(take_chunk(Kind::data_only, size_class));
  } catch (...) {
    release(block);
    throw;
  }
  block->size_class = static_cast<std::uint8_t>(size_class);
  block->flags = large_flag;
  return block;
}

void release_special(Block* block) noexcept {
  if (block->flags & view_flag) {
    Block* owner = block->owner;
    release_header(block);
    drop(owner);
  } else if (block->flags & borrowed_flag) {
    auto* owner_in_block =
        std::launder(reinterpret_cast<std::shared_ptr<void>*>(reinterpret_cast<std::byte*>(block) + header_bytes));
    const std::shared_ptr<void> owner = std::move(*owner_in_block);
    owner_in_block->~shared_ptr();
    release_header(block);  // before the user's deleter, which may use tensors itself
  } else {
    const bool is_ours = thread_cache && thread_cache->home == block->home;
    release_data(reinterpret_cast<FreeChunk*>(block->data), block->size_class, is_ours);
    release_header(block);
  }
}

void* allocate_raw(std::size_t bytes) { return take_chunk(kind_for_raw(bytes), class_for_raw(bytes)); }

void release_raw(void* memory, std::size_t bytes) noexcept {
  const Kind kind = kind_for_raw(bytes);
  const int size_class = class_for_raw(bytes);
  auto* chunk = static_cast<FreeChunk*>(memory);
  ThreadCache* cache = thread_cache;
  if (!cache) return give_to_reserve(chunk, kind, size_class);
  if (kind == Kind::with_header) reinterpret_cast<Block*>(chunk)->home = cache->home;
  push(lists_of(*cache, kind)[size_class], chunk);
}

}  // namespace detail

AllocatorStatistics allocator_statistics() {
  return {detail::system_allocations.load(std::memory_order_relaxed),
          detail::reserved_bytes.load(std::memory_order_relaxed)};
}

void release_cached_memory() {
  using namespace detail;
  for (Kind kind : {Kind::with_header, Kind::data_only}) {
    for (int c = 0; c < size_classes; ++c) {
      if (thread_cache) free_list(std::exchange(lists_of(*thread_cache, kind)[c], nullptr), kind, c);
      FreeChunk* waiting = nullptr;
      {
        const std::lock_guard lock(undying.reserve.mutex);
        waiting = std::exchange(lists_of(undying.reserve, kind)[c], nullptr);
      }
      free_list(waiting, kind, c);
    }
  }
}

}  // namespace tapegrad
