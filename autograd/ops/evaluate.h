#pragma once
// Runs pointwise programs on tensors: broadcasting, strides, conversions and threads. Nothing here is recorded.
#include <span>

#include "autograd/kernels/table.h"
#include "autograd/ops/program.h"
#include "autograd/tensor.h"

namespace tapegrad::detail {

inline constexpr std::int64_t threaded_size = 2048;  // elements from which on it is asked whether threads pay

/// y_j = output j of the program, element by element. The x broadcast to the shape of the y, which are contiguous and
/// all of one shape and one dtype, f32 or f64; other dtypes are converted. y_j may be one of the x only if
/// executable.read_after_store[j] is 0.
void evaluate(const program::Executable& executable, std::span<const Tensor* const> x, std::span<Tensor> y);

/// The same over plain arrays of n elements, f32 or f64, where bit k of `scalars` says that x_k is one element. Output
/// j may be the array of an input only if executable.read_after_store[j] is 0.
void evaluate_flat_general(const program::Executable& executable, DType type, const void* const* x, unsigned scalars,
                           void* const* y, std::int64_t n);
/// Where all of that is known to be small: one primitive of at most three operands over n < threaded_size elements.
inline void evaluate_single(program::Primitive primitive, DType type, void* y, const void* a, const void* b,
                            const void* c, std::int64_t n) {
  kernels::table().block[type == f64][static_cast<std::size_t>(primitive)][0](y, a, b, c, nullptr,
                                                                              static_cast<std::size_t>(n));
}
/// `x` has room for at least three pointers, whatever the program reads.
inline void evaluate_flat(const program::Executable& e, DType type, const void* const* x, unsigned scalars,
                          void* const* y, std::int64_t n) {
  if (!e.is_direct || scalars || n >= threaded_size) return evaluate_flat_general(e, type, x, scalars, y, n);
  // Most ops are a primitive or two of their inputs, on few elements: no time to lose.
  if (e.is_single) return evaluate_single(e.single, type, y[0], x[0], x[1], x[2], n);
  const auto& functions = kernels::table().block[type == f64];
  for (const program::Instruction& i : e.instructions) {
    functions[static_cast<std::size_t>(i.primitive)][0](y[i.destination - e.input_count], x[i.operands[0]],
                                                        x[i.operands[1]], x[i.operands[2]], x[i.operands[3]],
                                                        static_cast<std::size_t>(n));
  }
}

/// The same for integers, in 64 bits with wrap-around. `y` is i32 or i64.
void evaluate_integers(const program::Program& program, std::span<const Tensor* const> x, Tensor& y);

/// True for primitives that make integers of integers, exactly.
bool integer_primitive(program::Primitive primitive);

}  // namespace tapegrad::detail
