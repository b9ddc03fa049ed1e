// Chooses the instruction set. Compiled for the baseline processor, unlike the kernels.
#include <cstdlib>
#include <mutex>
#include <string>
#include <string_view>

#include "autograd/error.h"
#include "autograd/kernels/built_sets.h"
#include "autograd/kernels/table.h"

namespace tapegrad::kernels {

#ifdef TAPEGRAD_HAS_SSE42
namespace sse42 {
void fill_table(Table& table);
}
#endif
#ifdef TAPEGRAD_HAS_AVX2
namespace avx2 {
void fill_table(Table& table);
}
#endif
#ifdef TAPEGRAD_HAS_AVX512
namespace avx512 {
void fill_table(Table& table);
}
#endif
#ifdef TAPEGRAD_HAS_DEFAULT
namespace portable {
void fill_table(Table& table);
}
#endif

namespace {

// xsimd's own detection is wrong in 8.1 and does not ask whether the operating system saves the registers. These
// builtins do; each list is what the library's -march level needs.
#if defined(__x86_64__) || defined(__i386__)
[[maybe_unused]] bool has_sse42() { return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt"); }

[[maybe_unused]] bool has_avx2() {
  return has_sse42() && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
}

[[maybe_unused]] bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#endif

struct Candidate {
  const char* name;
  void (*fill)(Table& table);
  bool (*available)();
};

// Ordered from the weakest to the best.
constexpr Candidate candidates[] = {
#ifdef TAPEGRAD_HAS_DEFAULT
    {"default", portable::fill_table, [] { return true; }},
#endif
#ifdef TAPEGRAD_HAS_SSE42
    {"sse42", sse42::fill_table, has_sse42},
#endif
#ifdef TAPEGRAD_HAS_AVX2
    {"avx2", avx2::fill_table, has_avx2},
#endif
#ifdef TAPEGRAD_HAS_AVX512
    {"avx512", avx512::fill_table, has_avx512},
#endif
};

struct BuiltSets {
  InstructionSet sets[std::size(candidates)];
  BuiltSets() {
    for (std::size_t i = 0; i < std::size(candidates); ++i) {
      sets[i] = {candidates[i].name, candidates[i].available()};
    }
  }
};

std::string join_names(std::span<const InstructionSet> sets) {
  std::string names;
  for (const InstructionSet& set : sets) {
    if (!names.empty()) {
      names += ", ";
    }
    names += set.name;
  }
  return names;
}

bool is_known(std::string_view name) {
  return name == "sse42" || name == "avx2" || name == "avx512" || name == "default";
}

std::size_t find_forced(std::span<const InstructionSet> sets, const std::string& name) {
  for (std::size_t i = 0; i < sets.size(); ++i) {
    if (name == sets[i].name) {
      if (!sets[i].available) {
        throw Error("TAPEGRAD_SIMD=" + name + ": this processor does not have it");
      }
      return i;
    }
  }
  if (is_known(name)) {
    throw Error("TAPEGRAD_SIMD=" + name + ": not in this build, which has " + join_names(sets));
  }
  throw Error("TAPEGRAD_SIMD=" + name + ": unknown instruction set; this build has " + join_names(sets));
}

}  // namespace

namespace detail {

constinit std::atomic<const Table*> selected_table = nullptr;

std::size_t choose(std::span<const InstructionSet> sets, const char* forced) {
  if (forced != nullptr && *forced != '\0') {
    return find_forced(sets, forced);
  }
  for (std::size_t i = sets.size(); i-- > 0;) {
    if (sets[i].available) {
      return i;
    }
  }
  throw Error("this processor has none of the instruction sets of this build: " + join_names(sets));
}

const Table& select_table() {
  // Constant-initialised, so that initialisers of other files may call table() at any time before main.
  static constinit std::mutex mutex;
  static constinit Table storage = {};
  const std::lock_guard lock(mutex);
  if (selected_table.load(std::memory_order_relaxed) == nullptr) {
    const Candidate& chosen = candidates[choose(instruction_sets(), std::getenv("TAPEGRAD_SIMD"))];
    storage.name = chosen.name;
    chosen.fill(storage);
    selected_table.store(&storage, std::memory_order_release);
  }
  return storage;
}

}  // namespace detail

const char* instruction_set() { return table().name; }

std::span<const InstructionSet> instruction_sets() {
  static const BuiltSets built;
  return built.sets;
}

}  // namespace tapegrad::kernels
