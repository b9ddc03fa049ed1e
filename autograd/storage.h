#pragma once
// Where tensors live: a block is a 128-byte header followed by its elements, taken from per-thread free lists.
//
// Small tensors (up to 32 KiB of data) carry header and data in one chunk. Larger ones keep a separate data chunk.
// Chunks are never given back to the system between steps: a training step takes the same chunks again and again.
// With the environment variable TAPEGRAD_NO_CACHE=1 each comes from the system and goes back to it at once, so that a
// memory checker sees every use after the end.
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>

#include "autograd/shape.h"

namespace tapegrad {

/// What the allocator did so far, over all threads.
struct AllocatorStatistics {
  std::uint64_t system_allocations = 0;  ///< chunks taken from the system
  std::uint64_t reserved_bytes = 0;      ///< bytes held, in use or waiting in a free list
};
AllocatorStatistics allocator_statistics();

/// Gives the chunks that wait in this thread's free lists (and those of ended threads) back to the system.
void release_cached_memory();

namespace detail {

inline constexpr std::size_t header_bytes = 128;
inline constexpr std::size_t small_limit = 32 * 1024;
inline constexpr int size_classes = 144;

enum BlockFlag : std::uint8_t {
  view_flag = 1,      // shares the data of `owner`; strides follow the header
  large_flag = 2,     // the data is a chunk of its own
  borrowed_flag = 4,  // the data is the caller's; a shared_ptr<void> that keeps it alive follows the header
  leaf_flag = 8,      // a parameter: tracked by a tape at its first use
  strided_flag = 16,  // a view whose elements are not in C order without gaps
};
inline constexpr std::uint8_t special_flags = view_flag | large_flag | borrowed_flag;

struct Block {
  std::atomic<std::uint32_t> references;
  std::uint32_t version;            // bumped by every mutation; a view uses its owner's
  std::atomic<std::uint64_t> node;  // generation << 28 | index on the tape of that generation; 0: never tracked
  std::byte* data;
  Block* owner;               // of a view: the block that has the storage
  std::int64_t size;          // elements
  SourceLocation changed_at;  // the last mutation
  const char* changed_by;     // ... and who made it
  std::uint8_t type;          // dtype | ndim << 4: compared and copied as one
  std::uint8_t size_class;
  std::uint8_t flags;
  std::uint8_t home;                // the thread cache that the chunk belongs to; stays while the chunk is free
  std::atomic<std::uint32_t> name;  // of a parameter: its interned path in the model (0: none yet)
  std::int64_t shape[max_rank];

  // A contiguous tensor's strides follow from its shape. Only a view may be otherwise; it keeps them after the header.
  std::int64_t* view_strides() {
    return reinterpret_cast<std::int64_t*>(reinterpret_cast<std::byte*>(this) + header_bytes);
  }
  const std::int64_t* view_strides() const { return const_cast<Block*>(this)->view_strides(); }
  DType dtype() const { return static_cast<DType>(type & 15); }
  int ndim() const { return type >> 4; }
  void set_type(DType dtype, int ndim) { type = static_cast<std::uint8_t>(static_cast<int>(dtype) | ndim << 4); }
  Block* storage() { return owner ? owner : this; }
  const Block* storage() const { return owner ? owner : this; }
};
static_assert(sizeof(Block) <= header_bytes);

struct FreeChunk {
  FreeChunk* next;
};

struct ThreadCache {
  FreeChunk* with_header[size_classes];  // header + data of this class
  FreeChunk* data_only[size_classes];    // data of a large block
  std::uint8_t home;                     // tells this cache from those of the other threads
};

/// True when both have the same dtype and the same shape.
inline bool same_type_and_shape(const Block& a, const Block& b) {
  if (a.type != b.type) return false;
  for (int i = 0; i < a.ndim(); ++i) {
    if (a.shape[i] != b.shape[i]) return false;
  }
  return true;
}

// One pointer per thread; it is null before the first allocation and after the thread's clean-up.
extern constinit thread_local ThreadCache* thread_cache [[gnu::tls_model("initial-exec")]];

/// The size class for that many bytes of data: steps of 64 bytes up to 512, then four steps per doubling.
int size_class_of(std::size_t bytes);
std::size_t size_class_bytes(int size_class);

FreeChunk* refill_with_header(int size_class);  // throws std::bad_alloc
void release_special(Block* block) noexcept;
void return_chunk(FreeChunk* chunk, int size_class) noexcept;
Block* allocate_large(std::size_t bytes);

/// A block with room for a small class of data. The caller fills in shape, dtype and size.
inline Block* allocate_small(int size_class) {
  ThreadCache* cache = thread_cache;
  FreeChunk* chunk = cache ? cache->with_header[size_class] : nullptr;
  if (chunk) [[likely]] {
    cache->with_header[size_class] = chunk->next;
  } else {
    chunk = refill_with_header(size_class);
  }
  Block* b = reinterpret_cast<Block*>(chunk);
  new (&b->references) std::atomic<std::uint32_t>(1);
  new (&b->node) std::atomic<std::uint64_t>(0);
  new (&b->name) std::atomic<std::uint32_t>(0);
  b->version = 0;
  b->data = reinterpret_cast<std::byte*>(b) + header_bytes;
  b->owner = nullptr;
  b->size_class = static_cast<std::uint8_t>(size_class);
  b->flags = 0;
  return b;
}

inline Block* allocate_block(std::size_t bytes) {
  return bytes <= small_limit ? allocate_small(size_class_of(bytes)) : allocate_large(bytes);
}

inline void release(Block* block) noexcept {
  if (block->flags & special_flags) [[unlikely]]
    return release_special(block);
  ThreadCache* cache = thread_cache;
  FreeChunk* chunk = reinterpret_cast<FreeChunk*>(block);
  // A chunk from another thread goes to the common reserve, where that thread finds it again: otherwise a thread that
  // makes tensors for another one to drop would take new memory for ever.
  if (!cache || cache->home != block->home) [[unlikely]]
    return return_chunk(chunk, block->size_class);
  const int size_class = block->size_class;
  chunk->next = cache->with_header[size_class];
  cache->with_header[size_class] = chunk;
}

inline void retain(Block* block) noexcept { block->references.fetch_add(1, std::memory_order_relaxed); }

inline void drop(Block* block) noexcept {
  // The last owner needs no atomic decrement: nobody else can see the block.
  if (block->references.load(std::memory_order_acquire) == 1 ||
      block->references.fetch_sub(1, std::memory_order_acq_rel) == 1) [[likely]] {
    release(block);
  }
}

/// Raw bytes from the same free lists, for what entries of a tape carry. Release with the same size.
void* allocate_raw(std::size_t bytes);
void release_raw(void* memory, std::size_t bytes) noexcept;

}  // namespace detail
}  // namespace tapegrad
