// The accumulator machine: what its programs look like. No SIMD here; pointwise_machine.cpp is the machine,
// ops/machine_code.cpp writes the programs.
//
// A step works on a tile of 8, 4 or 1 registers, the accumulators, which travel from step to step as arguments: every
// kind of step is a function that ends by jumping to the next one. So what one step computes and the next one reads
// never touches memory, and the cost of going from step to step is shared by the tile.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "autograd/kernels/machine_step.h"
#include "autograd/kernels/primitive.h"

namespace tapegrad::kernels::machine {

/// Where a step finds an operand. An array may also be a tile of scratch; a number is one element for all.
enum class Place : std::uint8_t { accumulators, array, number };

/// A primitive together with the places of its operands; those that it does not have are accumulators.
struct Form {
  Primitive primitive = Primitive::copy;
  std::array<Place, most_operands> places = {};
  bool operator==(const Form&) const = default;
};

/// Computed in the accumulators. The others, which are so long that it does not matter, are a loop over the registers
/// of the tile from memory to memory, and then load the accumulators.
constexpr bool is_in_registers(Primitive primitive) {
  switch (primitive) {
    case Primitive::negate:
    case Primitive::abs:
    case Primitive::sign:
    case Primitive::floor:
    case Primitive::ceil:
    case Primitive::round:
    case Primitive::relu:
    case Primitive::sqrt:
    case Primitive::rsqrt:
    case Primitive::reciprocal:
    case Primitive::exp:
    case Primitive::expm1:
    case Primitive::log:
    case Primitive::log1p:
    case Primitive::tanh:
    case Primitive::sigmoid:
    case Primitive::erf:
    case Primitive::softplus:
    case Primitive::add:
    case Primitive::subtract:
    case Primitive::multiply:
    case Primitive::divide:
    case Primitive::minimum:
    case Primitive::maximum:
    case Primitive::less:
    case Primitive::less_equal:
    case Primitive::equal:
    case Primitive::not_equal:
    case Primitive::tanh_derivative:
    case Primitive::sigmoid_derivative:
    case Primitive::at_least:
    case Primitive::at_most:
    case Primitive::fma:
    case Primitive::fms:
    case Primitive::fnma:
    case Primitive::select:
    case Primitive::scale_unless_positive:
    case Primitive::select_less:
    case Primitive::select_less_equal:
    case Primitive::zero_outside:
      return true;
    default:
      return false;
  }
}

/// The first two operands may change places without changing a bit.
constexpr bool is_commutative(Primitive primitive) {
  switch (primitive) {
    case Primitive::add:
    case Primitive::multiply:
    case Primitive::equal:
    case Primitive::not_equal:
    case Primitive::fma:
    case Primitive::fms:
    case Primitive::fnma:
      return true;
    default:
      return false;
  }
}

/// Comparing two numbers is no choice, and neither the sides of a comparison nor those of a choice are one value.
constexpr bool compares_and_chooses(const Form& form) {
  const auto both = [&](std::size_t first, Place place) {
    return form.places[first] == place && form.places[first + 1] == place;
  };
  return !both(0, Place::number) && !both(0, Place::accumulators) && !both(2, Place::accumulators);
}

/// Bounds are not in the accumulators, and of what they bound and what is kept only one is.
constexpr bool has_bounds(const Form& form) {
  const auto& [x, low, high, value] = form.places;
  const bool both_held = x == Place::accumulators && value == Place::accumulators;
  return x != Place::number && low != Place::accumulators && high != Place::accumulators && !both_held;
}

/// Which forms the machine has. Programs do without the others: any operand can be loaded into the accumulators, and
/// the accumulators can be stored.
constexpr bool has(const Form& form) {
  const int operands = arity(form.primitive);
  int counts[3] = {};
  for (int k = 0; k < most_operands; ++k) {
    const Place place = form.places[static_cast<std::size_t>(k)];
    if (k < operands) {
      ++counts[static_cast<std::size_t>(place)];
    } else if (place != Place::accumulators) {
      return false;
    }
  }
  const auto [in_accumulators, in_arrays, numbers] = counts;
  if (form.primitive == Primitive::copy || numbers == operands) return false;  // a load
  if (!is_in_registers(form.primitive)) return in_accumulators == 0 && operands < 3;
  if (operands == 1) return in_accumulators == 1;
  if (is_commutative(form.primitive)) {
    const bool is_constant_product = form.places[0] == Place::number && form.places[1] == Place::number;
    return form.places[0] <= form.places[1] && !is_constant_product;
  }
  if (operands == 3 && form.places[0] == Place::number) return false;  // no choice
  if (form.primitive == Primitive::zero_outside) return has_bounds(form);
  if (operands == 4) return compares_and_chooses(form);
  return in_accumulators < operands;
}

/// Calls f with every form of the machine, in the order of their codes.
template <class F>
constexpr void for_each_form(F f) {
  for (std::size_t p = 0; p < primitive_count; ++p) {
    for (int combination = 0; combination < 81; ++combination) {
      const auto place = [&](int divisor) { return static_cast<Place>(combination / divisor % 3); };
      const Form form = {static_cast<Primitive>(p), {place(1), place(3), place(9), place(27)}};
      if (has(form)) f(form);
    }
  }
}

inline constexpr std::size_t form_count = [] {
  std::size_t count = 0;
  for_each_form([&](const Form&) { ++count; });
  return count;
}();

inline constexpr std::array<Form, form_count> forms = [] {
  std::array<Form, form_count> list;
  std::size_t next = 0;
  for_each_form([&](const Form& form) { list[next++] = form; });
  return list;
}();

/// What a step does: one of these, or first_form + the position of a form.
enum Code : std::uint16_t {
  load_array,   // accumulators = operand 0
  load_number,  // the same for one element
  store,        // operand 0 = accumulators
  store_last,   // ... and on to the next tile
  next_tile,
  first_form,
};

inline constexpr std::size_t code_count = first_form + form_count;

/// What the machine has room for.
inline constexpr std::size_t max_slots = 64;
inline constexpr std::size_t max_tiles = 32;  // inputs, outputs and scratch

}  // namespace tapegrad::kernels::machine
