// The accumulator machine (machine.h): one function per form, dtype and width, each of which ends in a jump to the next
// one. That rests on the compiler making sibling calls, which .ci/check_machine.py looks for in the object code.
#include "autograd/kernels/fill.h"
#include "autograd/kernels/machine.h"
#include "autograd/kernels/pointwise_compute.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define TAPEGRAD_MACHINE_RETURNS
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__OPTIMIZE__)
#define TAPEGRAD_MACHINE_RETURNS
#endif

namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME {
namespace {

using machine::Arguments;
using machine::Code;
using machine::Form;
using machine::Place;
using machine::Step;

/// Without sibling calls every step would stay on the stack: then the machine returns after each tile.
#if defined(TAPEGRAD_MACHINE_RETURNS)
constexpr bool returns_after_tile = true;
#else
constexpr bool returns_after_tile = false;
#endif

// Clang promises the jump where it is asked to; GCC makes it when it optimizes.
#if defined(__clang__) && !defined(TAPEGRAD_MACHINE_RETURNS)
#define TAPEGRAD_JUMP [[clang::musttail]] return
#else
#define TAPEGRAD_JUMP return
#endif

/// Where a slot is: an array, or something of one tile that every tile finds at the same place.
struct Slot {
  std::byte* data;
  std::size_t mask;  // of the offset in the arrays: all ones, or zero
};

struct Frame {
  const Step* first;
  std::size_t end;            // offsets are in bytes
  std::size_t fetched_slots;  // the first ones, where all arrays together do not fit the cache of a core
  Slot slots[machine::max_slots];
};

template <class T>
TAPEGRAD_INLINE T* address(const Frame* frame, std::uint16_t slot, std::size_t offset) {
  const Slot& found = frame->slots[slot];
  return reinterpret_cast<T*>(found.data + (offset & found.mask));
}

template <class T>
constexpr std::size_t width_of = V<T>::size;

// ---- operands ----

template <class T, Place place>
struct Input;

template <class T>
struct Input<T, Place::accumulators> {
  TAPEGRAD_INLINE Input(const Frame*, std::uint16_t, std::size_t) {}
  TAPEGRAD_INLINE V<T> get(V<T> accumulator, std::size_t) const { return accumulator; }
};

template <class T>
struct Input<T, Place::array> {
  TAPEGRAD_INLINE Input(const Frame* frame, std::uint16_t slot, std::size_t offset)
      : data(address<const T>(frame, slot, offset)) {}
  TAPEGRAD_INLINE V<T> get(V<T>, std::size_t i) const { return load_all<T, TargetArch>(data + i * width_of<T>); }
  const T* data;
};

template <class T>
struct Input<T, Place::number> {
  TAPEGRAD_INLINE Input(const Frame* frame, std::uint16_t slot, std::size_t)
      : value(*reinterpret_cast<const T*>(frame->slots[slot].data)) {
#if defined(__SSE2__)
    asm("" : "+v"(value.data));  // else GCC loads the number once more wherever it is used
#endif
  }
  TAPEGRAD_INLINE V<T> get(V<T>, std::size_t) const { return value; }
  V<T> value;
};

// ---- the steps ----

template <class T, class Indices>
struct Machine;

template <class T, std::size_t... I>
struct Machine<T, std::index_sequence<I...>> {
  static constexpr int width = sizeof...(I);
  template <std::size_t>
  using Register = typename V<T>::register_type;
  struct Functions;
  using Function = void (*)(const Step*, const Frame*, std::size_t, const Functions*, Register<I>...);
  struct Functions {
    Function at[machine::code_count];
  };

  template <Form form>
  TAPEGRAD_INLINE static void compute_in_registers(const Step* step, const Frame* frame, std::size_t offset,
                                                   V<T> (&v)[width]) {
    constexpr Primitive primitive = form.primitive;
    const Input<T, form.places[0]> a(frame, step->operands[0], offset);
    if constexpr (arity(primitive) == 1) {
      ((v[I] = compute<primitive, T>(a.get(v[I], I))), ...);
    } else {
      const Input<T, form.places[1]> b(frame, step->operands[1], offset);
      if constexpr (arity(primitive) == 2) {
        ((v[I] = compute<primitive, T>(a.get(v[I], I), b.get(v[I], I))), ...);
      } else {
        const Input<T, form.places[2]> c(frame, step->operands[2], offset);
        if constexpr (arity(primitive) == 3) {
          ((v[I] = compute<primitive, T>(a.get(v[I], I), b.get(v[I], I), c.get(v[I], I))), ...);
        } else {
          const Input<T, form.places[3]> d(frame, step->operands[3], offset);
          ((v[I] = compute<primitive, T>(a.get(v[I], I), b.get(v[I], I), c.get(v[I], I), d.get(v[I], I))), ...);
        }
      }
    }
  }

  /// A loop cannot number the accumulators, so this one goes from memory to memory.
  template <Form form>
  TAPEGRAD_INLINE static void compute_in_memory(const Step* step, const Frame* frame, std::size_t offset,
                                                V<T> (&v)[width]) {
    constexpr Primitive primitive = form.primitive;
    constexpr int operands = arity(primitive);
    constexpr int unroll = unroll_of(primitive) < width ? unroll_of(primitive) : width;
    T* const to = address<T>(frame, step->operands[operands], offset);
    const Input<T, form.places[0]> a(frame, step->operands[0], offset);
    const Input<T, form.places[operands - 1]> b(frame, step->operands[operands - 1], offset);
#pragma GCC unroll 1
    for (std::size_t i = 0; i < width; i += unroll) {
      V<T> results[unroll];
      static_for<unroll>([&](auto u) TAPEGRAD_INLINE_LAMBDA {
        if constexpr (operands == 1) {
          results[u] = compute<primitive, T>(a.get(v[0], i + u));
        } else {
          results[u] = compute<primitive, T>(a.get(v[0], i + u), b.get(v[0], i + u));
        }
      });
      static_for<unroll>(
          [&](auto u) TAPEGRAD_INLINE_LAMBDA { store_all<T, TargetArch>(to + (i + u) * width_of<T>, results[u]); });
    }
    ((v[I] = load_all<T, TargetArch>(to + I * width_of<T>)), ...);
  }

  template <std::size_t code>
  TAPEGRAD_INLINE static void execute(const Step* step, const Frame* frame, std::size_t offset, V<T> (&v)[width]) {
    if constexpr (code == Code::load_array) {
      const Input<T, Place::array> from(frame, step->operands[0], offset);
      ((v[I] = from.get(v[I], I)), ...);
    } else if constexpr (code == Code::load_number) {
      const Input<T, Place::number> from(frame, step->operands[0], offset);
      ((v[I] = from.get(v[I], I)), ...);
    } else if constexpr (code == Code::store || code == Code::store_last) {
      T* const to = address<T>(frame, step->operands[0], offset);
      (store_all<T, TargetArch>(to + I * width_of<T>, v[I]), ...);
    } else if constexpr (code >= Code::first_form) {
      constexpr Form form = machine::forms[code - Code::first_form];
      if constexpr (machine::is_in_registers(form.primitive)) {
        compute_in_registers<form>(step, frame, offset, v);
      } else {
        compute_in_memory<form>(step, frame, offset, v);
      }
    }
  }

  /// Asks for the inputs' tile after the next one: the loads of a tile come in bursts, too late for the processor to
  /// guess. Stores wait in their queue by themselves.
  TAPEGRAD_INLINE static void fetch_ahead(const Frame* frame, std::size_t offset) {
    constexpr std::size_t cache_line = 64;
    constexpr std::size_t bytes = width * width_of<T> * sizeof(T);
    for (std::size_t k = 0; k < frame->fetched_slots; ++k) {
      const std::byte* const next = address<const std::byte>(frame, static_cast<std::uint16_t>(k), offset + bytes);
      for (std::size_t at = 0; at < bytes; at += cache_line) __builtin_prefetch(next + at);
    }
  }

  /// One step, and then the next.
  template <std::size_t code>
  static void step(const Step* now, const Frame* frame, std::size_t offset, const Functions* functions,
                   Register<I>... accumulators) {
    V<T> v[width] = {V<T>(accumulators)...};
    execute<code>(now, frame, offset, v);
    if constexpr (code == Code::store_last || code == Code::next_tile) {
      offset += width * width_of<T> * sizeof(T);
      if (returns_after_tile || offset >= frame->end) return;
      fetch_ahead(frame, offset);
      now = frame->first;
    } else {
      ++now;
    }
    TAPEGRAD_JUMP functions->at[now->code](now, frame, offset, functions, v[I].data...);
  }

  template <std::size_t... code>
  static constexpr Functions list(std::index_sequence<code...>) {
    return {{&step<code>...}};
  }
  static constexpr Functions functions = list(std::make_index_sequence<machine::code_count>());

  /// The tiles of [begin, frame.end).
  static void run(const Frame& frame, std::size_t begin) {
    const V<T> zero(T(0));
    const Function first = functions.at[frame.first->code];
    do {
      first(frame.first, &frame, begin, &functions, (static_cast<void>(I), zero.data)...);
      begin += width * width_of<T> * sizeof(T);
    } while (returns_after_tile && begin < frame.end);
  }
};

// ---- a whole array ----

template <class T>
class Run {
 public:
  explicit Run(const Arguments& arguments) : arguments_(arguments) {
    frame_.first = arguments.steps;
    for (std::size_t k = 0; k < arguments.input_count; ++k) place_input(k);
    for (std::size_t k = 0; k < arguments.output_count; ++k) place(static_cast<T*>(arguments.outputs[k]), whole_array);
    const bool is_large = slots_ * arguments.n >= large_arrays / sizeof(T);
    frame_.fetched_slots = is_large ? arguments.input_count : 0;
    const T* const constants = static_cast<const T*>(arguments.constants);
    for (std::size_t k = 0; k < arguments.constant_count; ++k) place(const_cast<T*>(constants + k), same_for_all);
    for (std::size_t k = 0; k < arguments.scratch_count; ++k) place(new_tile(), same_for_all);
  }

  void run() {
    constexpr std::size_t width = width_of<T>;
    const std::size_t n = arguments_.n;
    std::size_t done = 0;
    done = run_tiles<8>(done, n / (8 * width) * (8 * width));
    if (n - done >= 4 * width) done = run_tiles<4>(done, done + 4 * width);
    done = run_tiles<1>(done, n / width * width);
    if (done < n) run_rest(done, n - done);
  }

 private:
  static constexpr std::size_t tile_size = 8 * width_of<T>;
  static constexpr std::size_t large_arrays = std::size_t{1} << 21;  // bytes of all together
  static constexpr std::size_t whole_array = ~std::size_t{0};
  static constexpr std::size_t same_for_all = 0;

  void place(T* data, std::size_t mask) { frame_.slots[slots_++] = {reinterpret_cast<std::byte*>(data), mask}; }

  T* new_tile() { return tiles_[used_tiles_++]; }

  void place_input(std::size_t k) {
    const bool is_scalar = (arguments_.scalars >> k & 1) != 0;
    if (!is_scalar || (arguments_.reads >> k & 1) == 0) {
      return place(static_cast<T*>(const_cast<void*>(arguments_.inputs[k])), whole_array);
    }
    // Copied, also because an output may lie over it.
    T* const tile = new_tile();
    const V<T> value(*static_cast<const T*>(arguments_.inputs[k]));
    static_for<8>([&](auto i) TAPEGRAD_INLINE_LAMBDA { store_all<T, TargetArch>(tile + i * width_of<T>, value); });
    place(tile, same_for_all);
  }

  template <std::size_t width>
  std::size_t run_tiles(std::size_t begin, std::size_t end) {
    if (begin == end) return begin;
    frame_.end = end * sizeof(T);
    Machine<T, std::make_index_sequence<width>>::run(frame_, begin * sizeof(T));
    return end;
  }

  /// Less than a register: copied into tiles, padded with zeros, and back.
  void run_rest(std::size_t begin, std::size_t count) {
    const auto left = static_cast<std::ptrdiff_t>(count);
    for (std::size_t k = 0; k < arguments_.input_count; ++k) {
      Slot& slot = frame_.slots[k];
      if (slot.mask == same_for_all || (arguments_.reads >> k & 1) == 0) continue;
      T* const tile = new_tile();
      store_all<T, TargetArch>(tile,
                               load_partial<T, TargetArch>(static_cast<const T*>(arguments_.inputs[k]) + begin, left));
      slot = {reinterpret_cast<std::byte*>(tile), same_for_all};
    }
    const std::size_t first_output = arguments_.input_count;
    for (std::size_t k = 0; k < arguments_.output_count; ++k) {
      frame_.slots[first_output + k] = {reinterpret_cast<std::byte*>(new_tile()), same_for_all};
    }
    frame_.end = 0;
    Machine<T, std::make_index_sequence<1>>::run(frame_, 0);
    for (std::size_t k = 0; k < arguments_.output_count; ++k) {
      const T* const tile = reinterpret_cast<const T*>(frame_.slots[first_output + k].data);
      store_partial<T, TargetArch>(static_cast<T*>(arguments_.outputs[k]) + begin, load_all<T, TargetArch>(tile), left);
    }
  }

  const Arguments& arguments_;
  std::size_t slots_ = 0;
  std::size_t used_tiles_ = 0;
  Frame frame_;
  alignas(64) T tiles_[machine::max_tiles][tile_size];
};

template <class T>
void run_machine(const Arguments& arguments) {
  Run<T>(arguments).run();
}

}  // namespace

void fill_pointwise_machine(Table& table) {
  table.machine[0] = run_machine<float>;
  table.machine[1] = run_machine<double>;
}

}  // namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME
