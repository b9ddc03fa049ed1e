#pragma once
// The sums of a convolution over windows, and how their work is cut.
#include <algorithm>

#include "autograd/ops/convolution_plan.h"
#include "autograd/ops/elements.h"

namespace tapegrad::detail {

// One multiply-add on a fast core, f32 and f64.
inline constexpr double nanoseconds_per_multiply_add[] = {0.01, 0.02};
inline constexpr double nanoseconds_per_element_copied = 0.5;

constexpr Index divide_up(Index a, Index b) { return (a + b - 1) / b; }

/// A plan for arrays of one dtype.
struct WindowProblem {
  const WindowPlan& plan;
  DType dtype;
  std::size_t type = kernel_index(dtype);
  Index bytes = static_cast<Index>(size_of(dtype));

  double nanoseconds() const { return plan.cost() * nanoseconds_per_multiply_add[type]; }
  /// Into how many parts to cut it at most.
  Index most_parts() const;
  /// Outputs of one group: panels of so many.
  Index panel_columns() const { return kernels::table().convolution_columns[type]; }
  Index panels() const { return divide_up(plan.y_group(), panel_columns()); }
  Index x_image_bytes() const { return plan.x_height * plan.x_width * plan.x_channels * bytes; }
};

/// Items of work: some whole images, or some rows of one. What is read of x for them fits the second cache.
class WindowItems {
 public:
  /// `wanted` items or more, when there are so many images or rows.
  WindowItems(const WindowProblem& problem, const WindowSource& source, Index wanted);

  struct Item {
    Index image, images, row, rows;
  };
  Index count() const { return divide_up(batch_, images_) * parts_; }
  Item operator[](Index k) const;
  /// Of the largest item.
  Index images() const { return images_; }
  Index rows() const { return rows_per_part_; }

 private:
  Index batch_, rows_, images_ = 1, parts_ = 1, rows_per_part_;
};

/// The source of an item: its first pixel, and elements from one image to the next.
struct ItemSource {
  const std::byte* x;
  Index image_stride;
};

/// Memory that source_of needs for any item.
std::size_t source_bytes(const WindowProblem& problem, const WindowSource& source, const WindowItems& items);
ItemSource source_of(const WindowProblem& problem, const WindowSource& source, const WindowItems::Item& item,
                     const std::byte* x, std::byte* memory);

/// False where windows are better copied one by one: where zeros would be most of the source, or rows of y are so short
/// that tiles would be.
bool reads_in_place(const WindowProblem& problem, const WindowSource& source);

/// Calls f(first pixel, pixels, windows) for pieces of pixels [begin, end) of a pair of lattices, with copies of their
/// windows. No piece goes beyond a row of `row` pixels.
template <class F>
void for_copied_windows(const WindowProblem& problem, const Lattice& down, const Lattice& across, Index group,
                        const std::byte* x, Index begin, Index end, Index row, F&& f) {
  constexpr Index enough_bytes = 256 * 1024;
  const Index window_bytes = down.taps * across.taps * problem.plan.x_group() * problem.bytes;
  const Index fit = enough_bytes > window_bytes ? enough_bytes / window_bytes : 1;
  const Scratch memory(static_cast<std::size_t>((fit < end - begin ? fit : end - begin) * window_bytes));
  while (begin < end) {
    const Index count = std::min({fit, end - begin, row - begin % row});
    copy_windows(problem.plan, down, across, group, problem.dtype, x, begin, begin + count, memory.get<std::byte>());
    f(begin, count, memory.get<std::byte>());
    begin += count;
  }
}

// The sums themselves: of a plan without empty sizes, on contiguous arrays.

void sum_windows(const WindowPlan& plan, DType dtype, const void* x, const void* weight, const void* bias, void* y);
/// Of a dense plan; g is the gradient of its y.
void window_weight_gradient(const WindowPlan& plan, DType dtype, const void* x, const void* g, void* dweight);
/// The same for few outputs of many channels.
bool has_few_outputs(const WindowPlan& plan, DType dtype);
void sum_few_outputs(const WindowPlan& plan, DType dtype, const void* x, const void* weight, const void* bias, void* y);
/// The same by F(4 x 4, 3 x 3), in f32.
void sum_winograd(const WindowPlan& plan, const void* x, const void* weight, const void* bias, void* y);
/// The same for a plan that is depthwise. The gradient is for a plan of the output.
void sum_depthwise(const WindowPlan& plan, DType dtype, const void* x, const void* weight, const void* bias, void* y);
void depthwise_weight_gradient(const WindowPlan& plan, DType dtype, const void* x, const void* g, void* dweight);

/// Adds partial results number 1, 2, ..., `size` elements each, to number 0, in a fixed tree.
void add_partials(DType dtype, void* partials, Index count, Index size);

}  // namespace tapegrad::detail
