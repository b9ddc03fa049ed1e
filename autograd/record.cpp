// The record's bookkeeping: arrays that only grow, the table of parameters, the tapes that are live in the process.
#include "autograd/record.h"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_map>

#include "autograd/finite.h"

namespace tapegrad::detail {

constinit thread_local Record record{};

namespace {

constexpr Op parameter_op{"parameter", nullptr};
constexpr Op ended_op{"ended", nullptr};
constexpr std::uint32_t max_entries = (1u << 28) - 1;

using ParameterTable = std::unordered_map<Block*, std::uint32_t, std::hash<Block*>, std::equal_to<Block*>,
                                          CachingAllocator<std::pair<Block* const, std::uint32_t>>>;

struct LayerChange {
  std::uint32_t entry;  // the first one in this layer
  std::uint32_t layer;
};

// What a record owns besides its arrays.
struct Owned {
  ParameterTable parameters;
  CachedVector<LayerChange> layers;
  Values values;
  bool is_walked = false;  // the outermost tape, or one in it
};

void free_arrays(Record& r) noexcept {
  ::operator delete(r.entries, std::align_val_t(64));
  ::operator delete(r.shapes, std::align_val_t(64));
  ::operator delete(r.slots, std::align_val_t(64));
  ::operator delete(r.walked, std::align_val_t(64));
  r = Record{};
}

// All that a thread has besides its record. Behind a pointer: thread-local memory is scarce where the library is loaded
// late (dlopen).
struct OfThread {
  Owned owned;
  Record spare{};  // arrays of a record that was put aside and is needed no more: the next one takes them

  ~OfThread() {
    free_arrays(record);
    free_arrays(spare);
  }
};
OfThread& of_thread() {
  // Objects that outlive the thread's own, such as a global pullback, still find something here.
  static thread_local constinit OfThread* found = nullptr;
  struct Owner {
    ~Owner() { delete std::exchange(found, nullptr); }
  };
  if (!found) {
    found = new OfThread;
    static thread_local Owner owner;
    static_cast<void>(owner);
  }
  return *found;
}
Owned& owner() { return of_thread().owned; }

// Generations of the outermost tapes that are open now, and the threads that opened them.
struct LiveGenerations {
  struct Generation {
    std::uint64_t number;
    std::thread::id thread;
  };
  std::mutex mutex;
  std::vector<Generation> open;
  std::uint64_t next = 1;
};
LiveGenerations& live() {
  static auto* const generations = new LiveGenerations;  // never destroyed: threads may outlive main
  return *generations;
}

// The thread that opened the tape of that generation; of one that has ended, nothing.
std::optional<std::thread::id> thread_of(std::uint64_t generation) {
  LiveGenerations& l = live();
  const std::lock_guard lock(l.mutex);
  for (const auto& g : l.open) {
    if (g.number == generation) return g.thread;
  }
  return {};
}

void drop_saved(Block* block) noexcept {
  if (block && block != released && !is_kept_by_record(block)) drop(block);
}

}  // namespace

// ---- opening and clearing ----

void open_record(bool keep_values) {
  Owned& o = owner();
  LiveGenerations& l = live();
  record.reserve_entry();
  if (keep_values) {
    o.values.outputs.assign(1, Tensor());
    o.values.gradients.assign(1, Tensor());
  }
  {
    const std::lock_guard lock(l.mutex);
    l.open.push_back({l.next, std::this_thread::get_id()});
    record.generation = l.next++;
  }
  record.size = 1;  // index 0 means "a constant"
  record.shapes_size = 1;
  record.recorded_layer = 0;
  record.has_layers = false;
  o.is_walked = false;
  record.values = keep_values ? &o.values : nullptr;
  record.plain_limit = 0;  // the first entry finds it
}

void start_values() {
  Values& values = owner().values;
  values.outputs.resize(record.size);
  values.gradients.resize(record.size);
  record.values = &values;
  record.plain_limit = 0;
}

void stop_values() noexcept {
  Values& values = owner().values;
  values.outputs.clear();
  values.gradients.clear();
  record.values = nullptr;
  record.plain_limit = 0;  // the next entry finds it
}

void Record::clear() noexcept {
  for (std::uint32_t i = size; i-- > 1;) {  // parameters after what saved them
    const Entry& e = entries[i];
    const bool is_empty = (!e.saved[0] || was_released(e)) && !e.saved[1] && !e.extra;
    if (!is_empty) release_entry(i);
  }
  Owned& o = owner();
  o.parameters.clear();
  o.layers.clear();
  size = 1;
  shapes_size = 1;
  walked_size = 0;
  LiveGenerations& l = live();
  const std::lock_guard lock(l.mutex);
  std::erase_if(l.open, [this](const auto& g) { return g.number == generation; });
  generation = 0;
}

bool is_parameter(const Entry& entry) { return entry.op == &parameter_op; }
bool is_ended(const Entry& entry) { return entry.op == &ended_op; }

std::uint32_t find_parameter(Block* block) {
  const ParameterTable& parameters = owner().parameters;
  const auto found = parameters.find(block);
  return found == parameters.end() ? 0 : found->second;
}

void Record::release_entry(std::uint32_t i) noexcept {
  Entry& e = entries[i];
  if (e.op == &parameter_op) return drop(std::exchange(e.saved[0], nullptr));
  for (Block*& b : e.saved) drop_saved(std::exchange(b, nullptr));
  if (e.extra) {
    for (int s = 0; s < e.extra->saved; ++s) drop_saved(e.extra->more_saved()[s].block);
    free_extra(*e.op, std::exchange(e.extra, nullptr));
  }
}

void make_constant(std::uint32_t i) noexcept {
  Entry& e = record.entries[i];
  if (e.op == &parameter_op) return;
  record.release_entry(i);
  e.op = &ended_op;
  for (std::uint32_t& in : e.input) in = 0;
}

// ---- records put aside ----

struct KeptRecord::Kept {
  Record record{};
  Owned owned;
};

KeptRecord::KeptRecord() : kept_(std::make_unique<Kept>()) {
  kept_->record = std::exchange(of_thread().spare, Record{});
}

KeptRecord::~KeptRecord() {
  free_arrays(of_thread().spare);
  of_thread().spare = kept_->record;
}

void KeptRecord::exchange() noexcept {
  std::swap(record, kept_->record);
  std::swap(owner(), kept_->owned);
}

// ---- recording ----

void Record::reserve_entry() {
  if (size + 1 >= capacity) [[unlikely]] {
    if (size >= max_entries) throw Error("tape: more than 2^28 entries; walk it, or open a tape per step");
    grow(entries, size, capacity, size + 2);
  }
}

std::uint32_t Record::shape_record(const Block& b, std::uint32_t like) {
  if (like && same_shape(like, b)) return like;
  const std::uint32_t at = shapes_size;
  const auto ndim = static_cast<std::uint32_t>(b.ndim());
  if (at + max_rank + 1 > shapes_capacity) [[unlikely]] {
    grow(shapes, shapes_size, shapes_capacity, at + max_rank + 1);
  }
  shapes[at] = b.type;
  std::copy_n(b.shape, ndim, shapes + at + 1);
  shapes_size += 1 + ndim;
  return at;
}

void Record::push(const Op& op, SourceLocation at, const Tensor& y, const std::uint32_t* in, const Tensor* const* x,
                  int inputs, Extra* extra) {
  unsigned wanted = 0;
  std::uint32_t shape = 0;
  for (int k = 0; k < inputs; ++k) {
    if (!in[k]) continue;
    wanted |= op.uses[static_cast<std::size_t>(std::min(k, max_inputs_with_uses - 1))];
    if (!shape) shape = entries[in[k]].shape;
  }
  // All that can throw comes before the entry is written.
  try {
    reserve_entry();
    if (layer != recorded_layer) note_layer();
    if (values) [[unlikely]] {
      values->outputs.resize(size + 1);
      values->gradients.resize(size + 1);
      values->outputs[size] = y;
    }
    shape = shape_record(*y.block(), shape);
    if (checks_finite) [[unlikely]]
      require_finite(op, inherit_line ? line : at, y, x, inputs);
  } catch (...) {
    if (extra) free_extra(op, extra);
    throw;
  }

  Entry& e = entries[size];
  e.op = &op;
  e.at = inherit_line ? line : at;
  e.shape = shape;
  e.saved[0] = e.saved[1] = nullptr;
  e.extra = extra;
  for (int k = 0; k < 3; ++k) e.input[k] = k < inputs ? in[k] : 0;
  for (int k = 3; k < inputs; ++k) extra->more_inputs()[k - 3] = in[k];
  const auto save = [&](std::size_t slot, Block* block) {
    if (!is_kept_by_record(block)) retain(block);
    const std::uint32_t version = block->storage()->version;
    if (slot < 2) {
      e.saved[slot] = block;
      e.version[slot] = version;
    } else {
      extra->more_saved()[slot - 2] = {block, version};
    }
  };
  for (unsigned rest = wanted & ~output_bit; rest; rest &= rest - 1) {
    const int k = std::countr_zero(rest);
    save(op.slot_of_input[k], x[k]->block());
  }
  if (wanted & output_bit) save(op.slot_of_output, y.block());
  y.block()->node.store(generation << 28 | size, std::memory_order_relaxed);
  finish_entry();
}

void push_blocks(const Op& op, SourceLocation at, Block& y, const std::uint32_t* in, Block* const* x, int inputs) {
  Tensor handles[3];
  const Tensor* tensors[3];
  for (int k = 0; k < inputs; ++k) {
    handles[k] = Tensor::share(x[k]);
    tensors[k] = &handles[k];
  }
  record.push(op, at, Tensor::share(&y), in, tensors, inputs);
  record.find_plain_limit();
}

void Record::find_plain_limit() {
  const std::uint32_t warning_due = size < forgotten ? forgotten - 1 : max_entries;
  plain_limit = values || checks_finite ? 0 : std::min(capacity - 1, warning_due);
}

void note_walk() { owner().is_walked = true; }

void Record::warn_forgotten() const {
  if (owner().is_walked) return;
  std::fprintf(stderr,
               "tapegrad: the tape opened at %s has a million entries and was not walked; does its scope end?\n",
               where(outermost->opened_at_).c_str());
}

std::uint32_t Record::index_of_stranger(Block* block, SourceLocation at) {
  if (block->flags & leaf_flag) {
    ParameterTable& parameters = owner().parameters;
    reserve_entry();
    const auto [found, is_new] = parameters.try_emplace(block, size);
    const std::uint32_t i = found->second;
    if (is_new) {
      try {
        push(parameter_op, at, Tensor::share(block), nullptr, nullptr, 0);
      } catch (...) {
        parameters.erase(block);
        throw;
      }
      entries[i].saved[0] = block;  // the entry keeps the parameter alive, so the table's key stays its own
      retain(block);
    } else {
      block->node.store(generation << 28 | i, std::memory_order_relaxed);
    }
    return i;
  }
  const std::uint64_t word = block->node.load(std::memory_order_relaxed);
  const std::optional<std::thread::id> thread = thread_of(word >> 28);
  if (thread == std::this_thread::get_id()) return 0;  // of a record that was put aside: a constant to this one
  if (thread) {
    fail("a tensor " + describe(Tensor::share(block)) + " belongs to a tape that is open on another thread", at,
         "pass it on as a value: stop_gradient(x)");
  }
  block->node.store(0, std::memory_order_relaxed);  // its tape has ended: a constant from now on
  return 0;
}

// ---- layers ----

void Record::note_layer() {
  owner().layers.push_back({size, layer});
  recorded_layer = layer;
  has_layers = true;
}

std::uint32_t layer_of(std::uint32_t i) {
  if (!record.has_layers) return 0;
  const auto& layers = owner().layers;
  const auto after = std::upper_bound(layers.begin(), layers.end(), i,
                                      [](std::uint32_t entry, const LayerChange& c) { return entry < c.entry; });
  return after == layers.begin() ? 0 : std::prev(after)->layer;
}

LayerScope::LayerScope(std::uint32_t name, SourceLocation at)
    : line_(record.line), layer_(record.layer), inherit_(record.inherit_line) {
  record.layer = name;
  if (!inherit_) record.line = at;
  record.inherit_line = true;
}

LayerScope::~LayerScope() {
  record.layer = layer_;
  record.line = line_;
  record.inherit_line = inherit_;
}

}  // namespace tapegrad::detail
