#pragma once
// The Wengert list: what the tape writes down, and nothing else. tape.h, which writes and reads it, comes next.
//
// An op appends an entry when a tape records and one of its inputs is tracked. Entries are addressed by index, and
// every entry comes after its inputs, so the walk back is a plain loop: no sorting, no hash map, no recursion, no graph of
// pointers. The record belongs to the outermost tape of the thread; a nested tape is a marker in it.
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>

#include "autograd/tensor.h"

namespace tapegrad {

class Tangents;
class Tape;
class Walk;

namespace detail {

class TapeAccess;

inline constexpr int max_inputs_with_uses = 16;
inline constexpr int max_saved = max_inputs_with_uses + 1;
inline constexpr std::uint32_t output_bit = 1u << 31;

/// What the tape knows of a kind of op: one static object each.
struct Op {
  const char* name;
  void (*vjp)(Walk& walk, Tensor cotangent);  // null: a leaf
  std::array<std::uint32_t, max_inputs_with_uses>
      uses{};  // uses[k]: what the gradient of input k reads (bit i: input i)
  void (*destroy_attributes)(void* attributes) noexcept = nullptr;
  // Of everything that some gradient reads: how much it is, and which saved tensor is which (the last one: the output).
  std::uint8_t saved = 0;
  std::uint8_t slot_of_input[max_inputs_with_uses] = {};
  std::uint8_t slot_of_output = no_slot;
  std::uint8_t least_inputs = 0;              // as many as `uses` names
  void (*jvp)(Tangents& tangents) = nullptr;  // null: by vjp, see jvp.cpp

  static constexpr std::uint8_t no_slot = 0xff;

  /// Derives the slots from `uses`.
  constexpr void assign_slots() {
    unsigned all = 0;
    for (std::uint32_t u : uses) all |= u;
    saved = 0;
    for (int k = 0; k < max_inputs_with_uses; ++k) slot_of_input[k] = (all >> k & 1) ? saved++ : no_slot;
    slot_of_output = (all & output_bit) ? saved++ : no_slot;
    least_inputs = static_cast<std::uint8_t>(std::bit_width(all & ~output_bit));
  }
};

struct SavedTensor {
  Block* block;
  std::uint32_t version;
};

/// What does not fit into an entry: attributes, inputs beyond three, saved tensors beyond two.
struct Extra {
  std::uint32_t bytes;
  std::uint16_t inputs;
  std::uint16_t saved;
  std::uint32_t saved_at, inputs_at;  // offsets from this header; the attributes follow it
  static constexpr std::size_t header = 16;

  std::byte* base() { return reinterpret_cast<std::byte*>(this); }
  void* attributes() { return base() + header; }
  SavedTensor* more_saved() { return reinterpret_cast<SavedTensor*>(base() + saved_at); }
  std::uint32_t* more_inputs() { return reinterpret_cast<std::uint32_t*>(base() + inputs_at); }
};
static_assert(sizeof(Extra) <= Extra::header);

/// Room for what `op` with that many inputs needs beyond an entry; null when that is nothing.
Extra* allocate_extra(const Op& op, int inputs, std::size_t attribute_bytes);
/// Destroys the attributes too: they are in place once an Extra is allocated for an op that has some.
void free_extra(const Op& op, Extra* extra) noexcept;

/// One line of the Wengert list.
struct alignas(64) Entry {
  const Op* op;
  SourceLocation at;
  std::uint32_t input[3];  // indices; 0: a constant
  std::uint32_t shape;     // where the output's dtype and shape lie in Record::shapes
  Block* saved[2];
  std::uint32_t version[2];
  Extra* extra;
};
static_assert(sizeof(Entry) == 64);

struct Values;

/// The thread's record. `recording` is the innermost tape that records; null: nothing is recorded.
struct Record {
  Tape* recording;
  std::uint64_t generation;  // of the outermost tape; process-unique
  Entry* entries;
  std::uint32_t size, capacity;
  std::uint32_t plain_limit;  // an entry before this one needs nothing but to be written: see find_plain_limit
  std::int64_t* shapes;       // dtype and rank, then the sizes; entries of equal shape share one
  std::uint32_t shapes_size, shapes_capacity;
  std::uint64_t* slots;  // a stack of walks, one slot per entry in reach (see record.h)
  std::uint32_t slots_size, slots_capacity;
  Tape* outermost;
  SourceLocation line;  // ... of a layer's call or of the forward op, when `inherit_line`
  bool inherit_line;
  std::uint32_t layer;           // interned name of the layer that is running; 0: none
  std::uint32_t recorded_layer;  // ... of the last entry
  bool has_layers;
  std::uint64_t rule_calls;
  Values* values;        // outputs and gradients for printing; only while a persistent tape is open
  Tape* innermost;       // ... that is open, also when recording is paused
  bool checks_finite;    // an open tape wants to know of the first NaN or infinity
  std::uint8_t* walked;  // one per entry: a walk has passed it. Behind walked_size: none has
  std::uint32_t walked_size, walked_capacity;

  /// The tensor's index on this record; 0: a constant. A parameter is entered at its first use.
  std::uint32_t index(Block* block, SourceLocation at) {
    const std::uint64_t word = block->node.load(std::memory_order_relaxed);
    if ((word >> 28) == generation) [[likely]]
      return static_cast<std::uint32_t>(word & 0xfffffff);
    if (word == 0 && !(block->flags & leaf_flag)) return 0;
    return index_of_stranger(block, at);
  }
  std::uint32_t index_of_stranger(Block* block, SourceLocation at);

  /// Appends an entry for `y = op(x...)`. `in` holds the inputs' indices. Takes `extra` over, also when it throws.
  void push(const Op& op, SourceLocation at, const Tensor& y, const std::uint32_t* in, const Tensor* const* x,
            int inputs, Extra* extra = nullptr);
  void reserve_entry();
  std::uint32_t shape_record(const Block& block, std::uint32_t like);
  void release_entry(std::uint32_t i) noexcept;  // of what it saved
  void clear() noexcept;
  void note_layer();
  void warn_forgotten() const;
  /// Up to where there is room, no value to keep and no warning due: one comparison instead of three.
  void find_plain_limit();
  static constexpr std::uint32_t forgotten = 1u << 20;
  void finish_entry() {
    if (++size == forgotten) [[unlikely]]
      warn_forgotten();
  }
};
extern constinit thread_local Record record [[gnu::tls_model("initial-exec")]];

inline std::uint32_t input_of(const Entry& entry, int k) {
  return k < 3 ? entry.input[k] : entry.extra->more_inputs()[k - 3];
}
inline int inputs_of(const Entry& entry) { return 3 + (entry.extra ? entry.extra->inputs : 0); }
/// The interned name of the layer in which entry i was recorded; 0: none.
std::uint32_t layer_of(std::uint32_t i);

/// Throws "op: what, in layer, at file:line; hint", with the layer that is running and the line of its call.
[[noreturn]] void fail_op(const char* op, const std::string& what, SourceLocation at, const std::string& hint = {});

/// Entries recorded while it lives carry the layer's name and the line of the layer's call.
class LayerScope {
 public:
  LayerScope(std::uint32_t name, SourceLocation at);
  ~LayerScope();
  LayerScope(const LayerScope&) = delete;
  LayerScope& operator=(const LayerScope&) = delete;

 private:
  SourceLocation line_;
  std::uint32_t layer_;
  bool inherit_;
};

}  // namespace detail

}  // namespace tapegrad
