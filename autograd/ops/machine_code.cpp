// An instruction becomes a step whose operands are in the accumulators where the value is there already. A value is
// stored only when a later step reads it from memory, or when it is a result.
#include "autograd/ops/machine_code.h"

#include <algorithm>
#include <optional>

#include "autograd/kernels/machine.h"

namespace tapegrad::program {

namespace {

namespace machine = kernels::machine;
using machine::Place;
using machine::Step;

class Writer {
 public:
  explicit Writer(const Executable& executable) : instructions_(executable.instructions) {
    first_output_ = executable.input_count;
    first_constant_ = first_output_ + executable.output_count;
    first_scratch_ = first_constant_ + static_cast<int>(executable.constants.size());
  }

  std::vector<Step> write() {
    for (next_ = 0; next_ < instructions_.size(); ++next_) {
      const Instruction& i = instructions_[next_];
      bool done = true;
      if (i.primitive == Primitive::copy) {
        write_copy(i);
      } else if (machine::is_in_registers(i.primitive)) {
        done = write_in_registers(i);
      } else {
        done = write_in_memory(i);
      }
      if (!done) return {};
    }
    finish();
    return std::move(steps_);
  }

 private:
  static constexpr int nothing = -1;

  /// How an instruction may be written.
  struct Choice {
    machine::Form form;
    bool swaps = false;   // the first two operands
    int loads = nothing;  // the slot to load into the accumulators
    bool stores = false;  // what they hold
    int cost = 0;
  };

  bool is_constant(int slot) const { return slot >= first_constant_ && slot < first_scratch_; }
  bool is_output(int slot) const { return slot >= first_output_ && slot < first_constant_; }

  bool reads(const Instruction& i, int slot) const {
    for (int k = 0; k < kernels::arity(i.primitive); ++k) {
      if (i.operands[k] == slot) return true;
    }
    return false;
  }

  /// Some instruction after the current one reads what the slot holds now.
  bool is_read_later(int slot) const {
    if (instructions_[next_].destination == slot) return false;
    for (std::size_t j = next_ + 1; j < instructions_.size(); ++j) {
      if (reads(instructions_[j], slot)) return true;
      if (instructions_[j].destination == slot) return false;
    }
    return false;
  }

  bool must_be_stored() const { return !is_stored_ && (is_output(held_) || is_read_later(held_)); }

  using Slots = std::array<int, kernels::most_operands>;

  void emit(std::size_t code, const Slots& slots = {}) {
    Step step{static_cast<std::uint16_t>(code), {}};
    std::ranges::copy(slots, step.operands);
    steps_.push_back(step);
  }

  void store() {
    emit(machine::store, {held_});
    is_stored_ = true;
  }

  void load(int slot) {
    if (must_be_stored()) store();
    emit(is_constant(slot) ? machine::load_number : machine::load_array, {slot});
    hold(slot, true);
  }

  void hold(int slot, bool is_stored) {
    held_ = slot;
    is_stored_ = is_stored;
  }

  void emit_form(const machine::Form& form, const Slots& slots) {
    const auto found = std::find(machine::forms.begin(), machine::forms.end(), form);
    emit(machine::first_form + static_cast<std::size_t>(found - machine::forms.begin()), slots);
  }

  void write_copy(const Instruction& i) {
    if (held_ != i.operands[0]) load(i.operands[0]);
    if (must_be_stored()) store();
    hold(i.destination, false);
  }

  bool write_in_memory(const Instruction& i) {
    const int operands = kernels::arity(i.primitive);
    machine::Form form{i.primitive, {}};
    for (int k = 0; k < operands; ++k) {
      form.places[static_cast<std::size_t>(k)] = is_constant(i.operands[k]) ? Place::number : Place::array;
    }
    if (!machine::has(form)) return false;
    if (must_be_stored() || (!is_stored_ && reads(i, held_))) store();
    Slots slots = {i.operands[0], i.operands[1]};
    slots[static_cast<std::size_t>(operands)] = i.destination;
    emit_form(form, slots);
    hold(i.destination, true);
    return true;
  }

  bool write_in_registers(const Instruction& i) {
    const std::optional<Choice> best = choose(i);
    if (!best) return false;
    if (best->stores) store();
    if (best->loads != nothing) load(best->loads);
    if (must_be_stored()) store();
    Slots slots{};
    std::ranges::copy(i.operands, slots.begin());
    if (best->swaps) std::swap(slots[0], slots[1]);
    emit_form(best->form, slots);
    hold(i.destination, false);
    return true;
  }

  std::optional<Choice> choose(const Instruction& i) const {
    std::optional<Choice> best;
    const auto consider = [&](machine::Form form, bool swaps) {
      const std::optional<Choice> choice = judge(i, form, swaps);
      if (choice && (!best || choice->cost < best->cost)) best = choice;
    };
    for (const machine::Form& form : machine::forms) {
      if (form.primitive != i.primitive) continue;
      consider(form, false);
      if (machine::is_commutative(i.primitive)) consider(form, true);
    }
    return best;
  }

  /// What the form would need, or nothing when it does not fit.
  std::optional<Choice> judge(const Instruction& i, const machine::Form& form, bool swaps) const {
    Choice choice{form, swaps};
    int wanted = nothing;  // in the accumulators
    bool reads_held = false;
    for (int k = 0; k < kernels::arity(i.primitive); ++k) {
      const int slot = i.operands[swaps && k < 2 ? 1 - k : k];
      switch (form.places[static_cast<std::size_t>(k)]) {
        case Place::accumulators:
          if (wanted != nothing && wanted != slot) return {};
          wanted = slot;
          break;
        case Place::array:
          if (is_constant(slot)) return {};
          reads_held = reads_held || slot == held_;
          choice.cost += 1;
          break;
        case Place::number:
          if (!is_constant(slot)) return {};
          break;
      }
    }
    if (wanted != nothing && wanted != held_) choice.loads = wanted;
    choice.stores = reads_held && !is_stored_;
    choice.cost += choice.loads != nothing ? 10 : 0;
    choice.cost += choice.stores && !must_be_stored() ? 10 : 0;
    return choice;
  }

  /// The last step also goes on to the next tile.
  void finish() {
    if (!is_stored_) {
      emit(machine::store_last, {held_});
    } else {
      emit(machine::next_tile);
    }
  }

  const std::vector<Instruction>& instructions_;
  int first_output_ = 0;
  int first_constant_ = 0;
  int first_scratch_ = 0;
  std::size_t next_ = 0;  // the current instruction
  int held_ = nothing;    // the slot whose value the accumulators hold
  bool is_stored_ = true;
  std::vector<Step> steps_;
};

bool has_room(const Executable& e) {
  const std::size_t tiles = std::size_t{e.input_count} + e.output_count + e.scratch_count;
  return tiles <= machine::max_tiles && tiles + e.constants.size() <= machine::max_slots;
}

}  // namespace

std::vector<Step> machine_code(const Executable& executable) {
  if (!has_room(executable)) return {};
  return Writer(executable).write();
}

int memory_operands(const std::vector<Step>& steps) {
  std::ptrdiff_t count = 0;
  for (const Step& step : steps) {
    if (step.code < machine::first_form) {
      count += step.code != machine::next_tile;
    } else {
      const machine::Form& form = machine::forms[static_cast<std::size_t>(step.code - machine::first_form)];
      count += std::ranges::count(form.places, Place::array);
    }
  }
  return static_cast<int>(count);
}

std::string to_string(const std::vector<Step>& steps) {
  static constexpr const char* controls[] = {"load", "load number", "store", "store, next tile", "next tile"};
  std::string text;
  for (const Step& step : steps) {
    if (step.code < machine::first_form) {
      text += controls[step.code];
      if (step.code != machine::next_tile) text += ' ' + std::to_string(step.operands[0]);
    } else {
      const machine::Form& form = machine::forms[static_cast<std::size_t>(step.code - machine::first_form)];
      const int operands = kernels::arity(form.primitive);
      text += kernels::name(form.primitive);
      for (int k = 0; k < operands; ++k) {
        const bool is_held = form.places[static_cast<std::size_t>(k)] == Place::accumulators;
        text += is_held ? " a" : ' ' + std::to_string(step.operands[k]);
      }
      if (!machine::is_in_registers(form.primitive)) text += " -> " + std::to_string(step.operands[operands]);
    }
    text += '\n';
  }
  return text;
}

}  // namespace tapegrad::program
