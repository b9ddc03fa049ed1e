// Runs executables: a direct loop for one instruction, the accumulator machine for several, strips in the first-level
// cache where that one has no room, and a path for a single element, where every nanosecond is felt.
#include <algorithm>
#include <cstring>
#include <string_view>

#include "autograd/kernels/table.h"
#include "autograd/ops/program.h"

namespace tapegrad::program {

namespace {

using kernels::BlockFunction;

constexpr std::size_t slot_limit = 256;
constexpr std::size_t scratch_bytes = 16384;
constexpr std::size_t longest_strip = 4096;  // bytes
constexpr std::size_t cache_line = 64;
static_assert(scratch_bytes / slot_limit >= cache_line);
constexpr std::size_t input_limit = 32;

using Functions = const BlockFunction (&)[kernels::primitive_count][1 << kernels::most_operands];

template <class T>
Functions functions() {
  return kernels::table().block[sizeof(T) == 8];
}

template <class T>
const T* constants(const Executable& executable) {
  if constexpr (sizeof(T) == 4) {
    return executable.constants_f32.data();
  } else {
    return executable.constants.data();
  }
}

BlockFunction function_of(Functions functions, Primitive primitive, unsigned scalars) {
  return functions[static_cast<std::size_t>(primitive)][scalars];
}

// ---- one element ----

/// Results that must wait until all inputs were read go to `late` first.
template <class T, bool stores_early>
__attribute__((noinline)) void run_one(const Executable& executable, const void* const* inputs, void* const* outputs) {
  Functions table = functions<T>();
  T scratch[slot_limit];
  T late[stores_early ? slot_limit : 1];
  void* slots[slot_limit];
  const unsigned* const read_after_store = executable.read_after_store.data();
  std::size_t next = 0;
  const auto place = [&](const void* data) {
    slots[next++] = const_cast<void*>(data);
    asm volatile("");  // else the loops below become memcpy or "rep movs": 10 ns for two pointers
  };
  for (std::size_t k = 0; k < executable.input_count; ++k) place(inputs[k]);
  for (std::size_t k = 0; k < executable.output_count; ++k) {
    const bool is_late = stores_early && read_after_store[k] != 0;
    place(is_late ? &late[k] : outputs[k]);
  }
  const T* const values = constants<T>(executable);
  for (std::size_t k = 0; k < executable.constants.size(); ++k) place(values + k);
  for (std::size_t k = 0; k < executable.scratch_count; ++k) place(scratch + k);
  for (const Instruction& i : executable.instructions) {
    function_of(table, i.primitive, 0)(slots[i.destination], slots[i.operands[0]], slots[i.operands[1]],
                                       slots[i.operands[2]], slots[i.operands[3]], 1);
  }
  if constexpr (stores_early) {
    for (std::size_t k = 0; k < executable.output_count; ++k) {
      if (read_after_store[k] != 0) *static_cast<T*>(outputs[k]) = late[k];
    }
  }
}

// ---- strips ----

/// Instructions over the same few elements at a time, so that what passes between them stays in the cache.
template <class T>
class Strips {
 public:
  Strips(const Executable& executable, const void* const* inputs, unsigned scalar_mask, void* const* outputs)
      : executable_(executable), inputs_(inputs), outputs_(outputs), table_(functions<T>()) {
    const std::size_t count = executable.input_count;
    for (std::size_t k = 0; k < count; ++k) {
      is_scalar_[k] = static_cast<unsigned char>(scalar_mask >> k & 1);
      slots_[k] = const_cast<void*>(inputs[k]);
      // Copied, because an output may lie over it.
      if (is_scalar_[k] && (executable.reads >> k & 1) != 0) {
        scalars_[k] = *static_cast<const T*>(inputs[k]);
        slots_[k] = &scalars_[k];
      }
    }
    first_constant_ = count + executable.output_count;
    first_scratch_ = first_constant_ + executable.constants.size();
    const T* const values = constants<T>(executable);
    for (std::size_t s = first_constant_; s < first_scratch_; ++s) {
      is_scalar_[s] = 1;
      slots_[s] = const_cast<T*>(values + (s - first_constant_));
    }
    place_scratch();
  }

  void run(std::size_t n) {
    for (std::size_t done = 0; done < n; done += strip_) {
      const std::size_t m = std::min(strip_, n - done);
      place_arrays(done);
      for (const Instruction& instruction : executable_.instructions) execute(instruction, m);
      if (late_count_ > 0) store_late(done, m);
    }
  }

 private:
  /// Strips for scratch and for outputs that lie over an input which is read after they are written.
  void place_scratch() {
    for (std::size_t k = 0; k < executable_.output_count; ++k) {
      is_late_[k] = executable_.stores_early && overlaps(k);
      late_count_ += is_late_[k];
    }
    const std::size_t count = std::max(executable_.scratch_count + late_count_, std::size_t{1});
    const std::size_t bytes = std::min(longest_strip, scratch_bytes / count / cache_line * cache_line);
    strip_ = bytes / sizeof(T);
    for (std::size_t k = 0; k < executable_.scratch_count; ++k) slots_[first_scratch_ + k] = scratch_ + k * bytes;
    std::size_t next = executable_.scratch_count;
    for (std::size_t k = 0; k < executable_.output_count; ++k) {
      if (is_late_[k]) slots_[executable_.input_count + k] = scratch_ + next++ * bytes;
    }
  }

  bool overlaps(std::size_t output) const {
    for (std::size_t k = 0; k < executable_.input_count; ++k) {
      const bool read_later = (executable_.read_after_store[output] >> k & 1) != 0;
      if (read_later && !is_scalar_[k] && inputs_[k] == outputs_[output]) return true;
    }
    return false;
  }

  void place_arrays(std::size_t done) {
    const std::size_t count = executable_.input_count;
    for (std::size_t k = 0; k < count; ++k) {
      if (!is_scalar_[k]) slots_[k] = const_cast<T*>(static_cast<const T*>(inputs_[k]) + done);
    }
    for (std::size_t k = 0; k < executable_.output_count; ++k) {
      if (!is_late_[k]) slots_[count + k] = static_cast<T*>(outputs_[k]) + done;
    }
  }

  void execute(const Instruction& i, std::size_t m) {
    const int operands = kernels::arity(i.primitive);
    unsigned scalars = 0;
    for (int k = 0; k < operands; ++k) scalars |= static_cast<unsigned>(is_scalar_[i.operands[k]]) << k;
    void* const a = slots_[i.operands[0]];
    void* const b = slots_[i.operands[1]];
    void* const c = slots_[i.operands[2]];
    void* const d = slots_[i.operands[3]];
    void* const out = slots_[i.destination];
    const bool is_output = i.destination < first_constant_;
    const bool is_constant = scalars == (1U << operands) - 1;
    if (!is_constant) {
      function_of(table_, i.primitive, scalars)(out, a, b, c, d, m);
    } else {
      // The same for all elements: computed once.
      function_of(table_, i.primitive, 0)(out, a, b, c, d, 1);
      if (is_output) function_of(table_, Primitive::copy, 1)(out, out, nullptr, nullptr, nullptr, m);
    }
    is_scalar_[i.destination] = is_constant && !is_output;
  }

  void store_late(std::size_t done, std::size_t m) {
    for (std::size_t k = 0; k < executable_.output_count; ++k) {
      if (!is_late_[k]) continue;
      std::memcpy(static_cast<T*>(outputs_[k]) + done, slots_[executable_.input_count + k], m * sizeof(T));
    }
  }

  const Executable& executable_;
  const void* const* inputs_;
  void* const* outputs_;
  Functions table_;
  std::size_t first_constant_ = 0;
  std::size_t first_scratch_ = 0;
  std::size_t strip_ = 0;
  std::size_t late_count_ = 0;
  void* slots_[slot_limit];
  unsigned char is_scalar_[slot_limit];
  unsigned char is_late_[slot_limit];
  T scalars_[input_limit];
  alignas(64) std::byte scratch_[scratch_bytes];
};

// ---- one instruction ----

template <class T>
void run_single(const Executable& executable, const void* const* inputs, unsigned scalar_mask, void* const* outputs,
                std::size_t n) {
  const Instruction i = executable.instructions[0];
  const T* const values = constants<T>(executable);
  const unsigned first_constant = executable.input_count + 1U;
  const void* operands[kernels::most_operands] = {};
  unsigned scalars = 0;
  const int count = kernels::arity(i.primitive);
  for (int k = 0; k < count; ++k) {
    const unsigned slot = i.operands[k];
    const bool is_input = slot < executable.input_count;
    operands[k] = is_input ? inputs[slot] : values + (slot - first_constant);
    scalars |= (is_input ? scalar_mask >> slot & 1 : 1U) << k;
  }
  const auto& table = functions<T>();
  if (n == 1) scalars = 0;
  if (scalars != (1U << count) - 1 || i.primitive == Primitive::copy) {
    return function_of(table, i.primitive, scalars)(outputs[0], operands[0], operands[1], operands[2], operands[3], n);
  }
  function_of(table, i.primitive, 0)(outputs[0], operands[0], operands[1], operands[2], operands[3], 1);
  function_of(table, Primitive::copy, 1)(outputs[0], outputs[0], nullptr, nullptr, nullptr, n);
}

/// Not inlined: its large frame would burden the short paths.
template <class T>
__attribute__((noinline)) void run_strips(const Executable& executable, const void* const* inputs, unsigned scalar_mask,
                                          void* const* outputs, std::size_t n) {
  Strips<T>(executable, inputs, scalar_mask, outputs).run(n);
}

/// Whether an output lies over an input that is read after the output was written.
bool overwrites_inputs(const Executable& executable, const void* const* inputs, unsigned scalar_mask,
                       void* const* outputs) {
  if (!executable.stores_early) return false;
  for (std::size_t j = 0; j < executable.output_count; ++j) {
    const unsigned read_later = executable.read_after_store[j] & ~scalar_mask;
    for (std::size_t k = 0; k < executable.input_count; ++k) {
      if ((read_later >> k & 1) != 0 && inputs[k] == outputs[j]) return true;
    }
  }
  return false;
}

template <class T>
bool run_machine(const Executable& executable, const void* const* inputs, unsigned scalar_mask, void* const* outputs,
                 std::size_t n) {
  if (executable.steps.empty() || overwrites_inputs(executable, inputs, scalar_mask, outputs)) return false;
  kernels::machine::Arguments arguments;
  arguments.steps = executable.steps.data();
  arguments.inputs = inputs;
  arguments.outputs = outputs;
  arguments.constants = constants<T>(executable);
  arguments.reads = executable.reads;
  arguments.scalars = scalar_mask;
  arguments.input_count = executable.input_count;
  arguments.output_count = executable.output_count;
  arguments.constant_count = executable.constants.size();
  arguments.scratch_count = executable.scratch_count;
  arguments.n = n;
  kernels::table().machine[sizeof(T) == 8](arguments);
  return true;
}

/// From how many instructions on the machine is faster than strips. With 16 registers, of which it keeps 8, it gains
/// little (bench_pointwise).
std::size_t least_for_machine() {
  static const std::size_t least = std::string_view(kernels::instruction_set()) == "avx512" ? 2 : 4;
  return least;
}

/// A few cheap instructions wait for their arrays however they are run, and strips keep numbers in registers.
bool machine_pays(const Executable& executable) {
  constexpr int few_cheap = 180;  // in the unit of cost_of (lower.cpp): three of the cheapest
  return executable.instructions.size() >= least_for_machine() && executable.cost > few_cheap;
}

template <class T>
bool run_in_with(Executor executor, const Executable& executable, const void* const* inputs, unsigned scalar_mask,
                 void* const* outputs, std::size_t n) {
  if (executor == Executor::machine) return run_machine<T>(executable, inputs, scalar_mask, outputs, n);
  run_strips<T>(executable, inputs, scalar_mask, outputs, n);
  return true;
}

template <class T>
void run_in(const Executable& executable, const void* const* inputs, unsigned scalar_mask, void* const* outputs,
            std::size_t n) {
  if (executable.instructions.size() == 1) return run_single<T>(executable, inputs, scalar_mask, outputs, n);
  if (n == 1) {
    return executable.stores_early ? run_one<T, true>(executable, inputs, outputs)
                                   : run_one<T, false>(executable, inputs, outputs);
  }
  if (machine_pays(executable) && run_machine<T>(executable, inputs, scalar_mask, outputs, n)) return;
  run_strips<T>(executable, inputs, scalar_mask, outputs, n);
}

}  // namespace

bool run_with(Executor executor, const Executable& executable, Precision precision, const void* const* inputs,
              unsigned scalar_mask, void* const* outputs, std::size_t n) {
  if (precision == Precision::f32) return run_in_with<float>(executor, executable, inputs, scalar_mask, outputs, n);
  return run_in_with<double>(executor, executable, inputs, scalar_mask, outputs, n);
}

void run(const Executable& executable, Precision precision, const void* const* inputs, unsigned scalar_mask,
         void* const* outputs, std::size_t n) {
  if (n == 0) return;
  if (precision == Precision::f32) {
    run_in<float>(executable, inputs, scalar_mask, outputs, n);
  } else {
    run_in<double>(executable, inputs, scalar_mask, outputs, n);
  }
}

}  // namespace tapegrad::program
