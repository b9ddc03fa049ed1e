#pragma once
// What tape.cpp needs of the record's bookkeeping: growing it, entering parameters, releasing entries. Internal.
#include <algorithm>
#include <cassert>
#include <cstring>
#include <memory>
#include <new>

#include "autograd/tape.h"

namespace tapegrad::detail {

// A record that is not its thread's own at the moment: that of a pullback, which outlives the call that was recorded.
class KeptRecord {
 public:
  KeptRecord();
  ~KeptRecord();  // its tape must have ended
  KeptRecord(const KeptRecord&) = delete;
  KeptRecord& operator=(const KeptRecord&) = delete;
  // Changes places with this thread's record.
  void exchange() noexcept;

 private:
  struct Kept;
  std::unique_ptr<Kept> kept_;
};

// In Entry::saved[0] once a walk has passed the entry and released what it saved.
inline Block* const released = reinterpret_cast<Block*>(1);

// A parameter's entry keeps it alive as long as the record: what saves a parameter needs no reference of its own, which
// is an atomic operation less on a counter that every use of the parameter would touch.
inline bool is_kept_by_record(const Block* b) { return b->flags & leaf_flag; }

// Asks for what an entry a few steps further down has saved: in a long record that is in no near cache any more.
inline void prefetch_saved(std::uint32_t i) {
  constexpr std::uint32_t distance = 6;
  if (i <= distance) return;
  for (const Block* b : record.entries[i - distance].saved) {
    // As a number: there may be no block, and nothing is added to a null pointer.
    const auto address = reinterpret_cast<std::uintptr_t>(b);
    __builtin_prefetch(reinterpret_cast<const void*>(address));
    __builtin_prefetch(reinterpret_cast<const void*>(address + header_bytes));
  }
}

inline bool was_released(const Entry& entry) { return entry.saved[0] == released; }

// Record::push for an op of N <= 3 inputs that saves at most two tensors, with everything known at compile time
// unrolled: most entries are such. `is_uniform`: y has the shape and dtype of every input.
template <int N, bool is_uniform>
inline void push_small(const Op& op, SourceLocation at, Block& y, const std::uint32_t (&in)[N], Block* const* x);
// Record::push for up to three blocks.
void push_blocks(const Op& op, SourceLocation at, Block& y, const std::uint32_t* in, Block* const* x, int inputs);

// Outputs and gradients of a persistent tape's entries, for print().
struct Values {
  std::vector<Tensor> outputs, gradients;
};

bool is_parameter(const Entry& entry);
bool is_ended(const Entry& entry);  // its tape was opened in a pause, and has ended
void open_record(bool keep_values);
// Keeps values from here on, for an inner tape; what is older has none.
void start_values();
void stop_values() noexcept;
// Makes room for the marks of a walk from entry `last`.
void cover_walked(std::uint32_t last);
inline bool was_walked(std::uint32_t i) { return i < record.walked_size && record.walked[i]; }
void make_constant(std::uint32_t i) noexcept;
void keep_gradient(std::uint32_t i, Block* gradient);
std::uint32_t find_parameter(Block* block);

// Dtype and shape are written to Record::shapes as Block::type and the sizes.
Shape shape_at(std::uint32_t shape);
DType dtype_at(std::uint32_t shape);
inline bool same_shape(std::uint32_t shape, const Block& b) {
  const std::int64_t* s = record.shapes + shape;
  if (s[0] != b.type) return false;
  for (int i = 0; i < b.ndim(); ++i) {
    if (s[1 + i] != b.shape[i]) return false;
  }
  return true;
}

// A walk's slot: 0 when the entry's gradient is not needed; else flags, and the gradient that has arrived so far.
// Blocks are aligned to 64 bytes, so the low bits of their addresses are free.
inline constexpr std::uint64_t needed_flag = 1;
inline constexpr std::uint64_t target_flag = 2;  // asked for by the caller: it keeps its gradient
inline constexpr int inputs_shift = 2;           // four bits: which of the entry's inputs need a gradient
inline constexpr std::uint64_t slot_flags = 63;

// Bit k: input k needs a gradient. Inputs beyond the third share bit 3.
inline unsigned needed_inputs(std::uint64_t slot) { return static_cast<unsigned>(slot >> inputs_shift) & 15; }

inline Block* gradient_in(std::uint64_t slot) { return reinterpret_cast<Block*>(slot & ~slot_flags); }
inline Tensor take_gradient(std::uint64_t& slot) {
  Block* block = gradient_in(slot);
  slot &= slot_flags;
  return Tensor(block);
}
inline void put_gradient(std::uint64_t& slot, Tensor g) { slot |= reinterpret_cast<std::uint64_t>(g.release_block()); }

// Puts back what a walk changes in the record, also when a rule throws, and drops what is left in its slots.
struct WalkGuard {
  Tape* recording = record.recording;
  SourceLocation line = record.line;
  bool inherit = record.inherit_line;
  std::uint32_t layer = record.layer;
  std::uint32_t base = record.slots_size;

  WalkGuard() = default;
  WalkGuard(const WalkGuard&) = delete;
  WalkGuard& operator=(const WalkGuard&) = delete;
  ~WalkGuard() {
    for (std::uint32_t s = base; s < record.slots_size; ++s) {
      if (gradient_in(record.slots[s])) take_gradient(record.slots[s]);
    }
    record.slots_size = base;
    record.recording = recording;
    record.line = line;
    record.inherit_line = inherit;
    record.layer = layer;
  }
};

// True when sum += g may be done in sum's own elements: nobody else holds them, they are laid out like those of g (of
// the same shape), and no tape records.
inline bool may_add_in_place(const Block& sum, const Block& g) {
  constexpr int not_its_own = view_flag | borrowed_flag | leaf_flag;
  const int obstacles = (sum.flags & not_its_own) | (g.flags & strided_flag);
  return !record.recording && !obstacles && sum.references.load(std::memory_order_acquire) == 1;
}

// Destroys an entry's attributes, when a walk has passed it; its inputs stay.
void release_attributes(const Op& op, Extra* extra) noexcept;
void note_walk();

// Makes room for `wanted` elements; the first `used` ones are kept.
template <class T>
void grow(T*& array, std::uint32_t used, std::uint32_t& capacity, std::uint32_t wanted) {
  const std::uint32_t larger = std::max({wanted, capacity * 2, 1024u});
  auto* moved = static_cast<T*>(::operator new(std::size_t{larger} * sizeof(T), std::align_val_t(64)));
  if (array) std::memcpy(static_cast<void*>(moved), array, used * sizeof(T));
  ::operator delete(array, std::align_val_t(64));
  array = moved;
  capacity = larger;
}

void push_slots(std::uint32_t count);
// Marks the entries from `from` to `last` that have a marked input, with which inputs those are.
void mark_between(std::uint32_t from, std::uint32_t first, std::uint32_t last, std::uint32_t base);

template <int N, bool is_uniform>
inline void push_small(const Op& op, SourceLocation at, Block& y, const std::uint32_t (&in)[N], Block* const* x) {
  static_assert(N <= 3);
  Record& r = record;
  if (r.size >= r.plain_limit || r.layer != r.recorded_layer) [[unlikely]] {
    return push_blocks(op, at, y, in, x, N);
  }
  unsigned wanted = 0;
  std::uint32_t like = 0;
  for (int k = N - 1; k >= 0; --k) {
    if (!in[k]) continue;
    wanted |= op.uses[static_cast<std::size_t>(k)];
    like = r.entries[in[k]].shape;
  }
  const std::uint32_t shape = is_uniform ? like : r.shape_record(y, like);
  assert(same_shape(shape, y));
  Entry& e = r.entries[r.size];
  e.op = &op;
  e.at = r.inherit_line ? r.line : at;
  e.shape = shape;
  e.saved[0] = e.saved[1] = nullptr;
  e.extra = nullptr;
  for (int k = 0; k < 3; ++k) e.input[k] = k < N ? in[k] : 0;
  const auto save = [&e](std::size_t slot, Block* block) {
    if (!is_kept_by_record(block)) retain(block);
    e.saved[slot] = block;
    e.version[slot] = block->storage()->version;
  };
  for (int k = 0; k < N; ++k) {
    if (wanted >> k & 1) save(op.slot_of_input[k], x[k]);
  }
  if (wanted & output_bit) save(op.slot_of_output, &y);
  y.node.store(r.generation << 28 | r.size, std::memory_order_relaxed);
  ++r.size;
}

}  // namespace tapegrad::detail
