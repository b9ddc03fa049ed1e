// What an entry has beside its 64 bytes, and the slots of a walk.
#include <algorithm>
#include <cstring>

#include "autograd/record.h"

namespace tapegrad::detail {

// ---- attributes, and more inputs and saved tensors than an entry has room for ----

Extra* allocate_extra(const Op& op, int inputs, std::size_t attribute_bytes) {
  const auto more_inputs = static_cast<std::size_t>(std::max(inputs - 3, 0));
  if (more_inputs > UINT16_MAX) throw Error(std::string(op.name) + ": more than 65,538 inputs");
  const auto more_saved = static_cast<std::size_t>(std::max(op.saved - 2, 0));
  if (!more_inputs && !more_saved && !attribute_bytes) return nullptr;
  const std::size_t saved_at = Extra::header + (attribute_bytes + 15) / 16 * 16;
  const std::size_t inputs_at = saved_at + more_saved * sizeof(SavedTensor);
  const std::size_t bytes = inputs_at + more_inputs * sizeof(std::uint32_t);
  auto* extra = static_cast<Extra*>(allocate_raw(bytes));
  extra->bytes = static_cast<std::uint32_t>(bytes);
  extra->inputs = static_cast<std::uint16_t>(more_inputs);
  extra->saved = static_cast<std::uint16_t>(more_saved);
  extra->saved_at = static_cast<std::uint32_t>(saved_at);
  extra->inputs_at = static_cast<std::uint32_t>(inputs_at);
  for (std::size_t s = 0; s < more_saved; ++s) extra->more_saved()[s] = {};
  return extra;
}

void release_attributes(const Op& op, Extra* extra) noexcept {
  const bool is_first = extra->saved_at != 0;
  if (is_first && op.destroy_attributes) op.destroy_attributes(extra->attributes());
  extra->saved = 0;
  extra->saved_at = 0;
}

void free_extra(const Op& op, Extra* extra) noexcept {
  release_attributes(op, extra);
  release_raw(extra, extra->bytes);
}

// ---- shapes ----

Shape shape_at(std::uint32_t shape) {
  const std::int64_t* s = record.shapes + shape;
  return Shape(std::span<const std::int64_t>(s + 1, static_cast<std::size_t>(s[0] >> 4)));
}

DType dtype_at(std::uint32_t shape) { return static_cast<DType>(record.shapes[shape] & 15); }

// ---- walks ----

void push_slots(std::uint32_t count) {
  const std::uint32_t wanted = record.slots_size + count;
  if (wanted > record.slots_capacity) grow(record.slots, record.slots_size, record.slots_capacity, wanted);
  std::memset(record.slots + record.slots_size, 0, count * sizeof(std::uint64_t));
  record.slots_size = wanted;
}

namespace {

// Which inputs have a mark: bit k for input k; bit 3 for those beyond the third.
inline unsigned marked_inputs(const Entry& e, std::uint32_t first, const std::uint64_t* slots) {
  const auto is_marked = [&](std::uint32_t in) { return in >= first && slots[in - first]; };
  unsigned mask = 0;
  if (is_marked(e.input[0])) mask |= 1;
  if (is_marked(e.input[1])) mask |= 2;
  if (is_marked(e.input[2])) mask |= 4;
  if (!e.extra) [[likely]]
    return mask;
  const std::uint32_t* more = e.extra->more_inputs();
  return mask | static_cast<unsigned>(std::any_of(more, more + e.extra->inputs, is_marked)) << 3;
}

}  // namespace

void mark_between(std::uint32_t from, std::uint32_t first, std::uint32_t last, std::uint32_t base) {
  std::uint64_t* const slots = record.slots + base;
  for (std::uint32_t i = from; i <= last; ++i) {
    const unsigned inputs = marked_inputs(record.entries[i], first, slots);
    if (inputs) slots[i - first] |= needed_flag | inputs << inputs_shift;
  }
}

void cover_walked(std::uint32_t last) {
  Record& r = record;
  if (last < r.walked_size) return;
  if (last >= r.walked_capacity) grow(r.walked, r.walked_size, r.walked_capacity, last + 1);
  std::memset(r.walked + r.walked_size, 0, last + 1 - r.walked_size);
  r.walked_size = last + 1;
}

void keep_gradient(std::uint32_t i, Block* gradient) { record.values->gradients[i] = Tensor::share(gradient); }

}  // namespace tapegrad::detail
