#pragma once
// What the op families share to move and read elements. Nothing here is recorded. Internal.
#include "autograd/op.h"
#include "autograd/thread_pool.h"

namespace tapegrad::detail {

using Strides = std::array<std::int64_t, max_rank>;

/// The strides of a tensor of that shape in C order.
Strides contiguous_strides(const Shape& shape);

/// 0 for f32, 1 for f64: where a kernel lies in its table.
constexpr std::size_t kernel_index(DType type) { return type == f64 ? 1 : 0; }

/// Calls f with a null pointer of the C++ type that `type` stands for.
template <class F>
decltype(auto) with_type(DType type, F&& f) {
  switch (type) {
    case f64:
      return f(static_cast<double*>(nullptr));
    case i32:
      return f(static_cast<std::int32_t*>(nullptr));
    case i64:
      return f(static_cast<std::int64_t*>(nullptr));
    case boolean:
      return f(static_cast<bool*>(nullptr));
    default:
      return f(static_cast<float*>(nullptr));
  }
}

/// Calls f(begin, end) for ranges that cover 0 ... count, on several threads when there is enough to do.
template <class F>
void for_ranges(std::int64_t count, double nanoseconds_per_item, F&& f) {
  const std::int64_t chunks = chunks_for(count, nanoseconds_per_item);
  parallel_for(chunks, [&](std::int64_t chunk) {
    const Range range = chunk_range(count, chunks, chunk, 1);
    f(range.begin, range.end);
  });
}

/// The tensor of an argument. Throws for an empty handle.
const Tensor& defined(const char* op, const Arg& x);

/// Memory that lives as long as this object.
class Scratch {
 public:
  explicit Scratch(std::size_t bytes) : memory_(bytes ? allocate_raw(bytes) : nullptr), bytes_(bytes) {}
  ~Scratch() {
    if (memory_) release_raw(memory_, bytes_);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  template <class T = void>
  T* get() const {
    return static_cast<T*>(memory_);
  }

 private:
  void* memory_;
  std::size_t bytes_;
};

/// Another shape of a contiguous tensor with as many elements.
Tensor reshaped_view(const Tensor& contiguous, const Shape& shape);
/// Axis k of the result is axis order[k] of x.
Tensor permuted_view(const Tensor& x, std::span<const int> order);
Tensor swapped_view(const Tensor& x, int axis_a, int axis_b);
/// `size` elements of an axis from `start` on, in steps.
Tensor sliced_view(const Tensor& x, int axis, std::int64_t start, std::int64_t size, std::int64_t step);

/// Writes the elements of one tensor into another of the same shape and dtype; both may be strided.
void copy_elements(const Tensor& from, const Tensor& to);
/// x itself when it is contiguous, else a copy that is.
Tensor contiguous_elements(const Tensor& x);
/// A contiguous copy as another dtype.
Tensor converted(const Tensor& x, DType type);
/// Contiguous i64 values of a tensor of integers.
Tensor as_indices(const Tensor& x);

/// The sum of n contiguous elements of a floating dtype in double, in chunks that depend on n alone.
double sum_contiguous(const void* x, std::int64_t n, DType type);

/// Irregular f64 values in [-2, 2) for the samples of ops; the same ones for the same seed.
Tensor sample_values(const Shape& shape, std::uint64_t seed = 1);

/// "[2, -1]": sizes as they were given.
std::string sizes_text(std::span<const std::int64_t> sizes);

/// "[2, 5]": where in a tensor of that shape the element number `position` in C order is.
std::string position_text(const Shape& shape, std::int64_t position);

}  // namespace tapegrad::detail
