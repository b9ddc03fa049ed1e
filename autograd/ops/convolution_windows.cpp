// How the work of a convolution is cut into items.
#include "autograd/ops/convolution_windows.h"

namespace tapegrad::detail {
namespace {

// What one item of work reads shall stay in the second cache, beside the weights.
constexpr double item_bytes = 256 * 1024;
constexpr double most_source_bytes = 64e6;
// A thread that takes less spends its time on beginning.
constexpr double least_nanoseconds = 20'000;

}  // namespace

Index WindowProblem::most_parts() const {
  return static_cast<Index>(std::clamp(nanoseconds() / least_nanoseconds, 1.0, static_cast<double>(max_chunks)));
}

WindowItems::WindowItems(const WindowProblem& problem, const WindowSource& source, Index wanted)
    : batch_(problem.plan.batch), rows_(source.down.count) {
  const double image = source.elements(rows_) * static_cast<double>(problem.bytes);
  if (image <= item_bytes && batch_ >= wanted) {
    images_ = std::clamp<Index>(static_cast<Index>(item_bytes / image), 1, batch_ / wanted);
    images_ = divide_up(batch_, divide_up(batch_, images_));
  } else {
    const double row = source.elements(2) - source.elements(1);
    const double others = source.elements(1) - row;
    const double fit = (item_bytes / static_cast<double>(problem.bytes) - others) / row;
    const auto most = static_cast<Index>(std::clamp(fit, 1.0, static_cast<double>(rows_)));
    parts_ = std::max(divide_up(rows_, most), std::min(divide_up(wanted, batch_), rows_));
  }
  rows_per_part_ = divide_up(rows_, parts_);
  parts_ = divide_up(rows_, rows_per_part_);
}

WindowItems::Item WindowItems::operator[](Index k) const {
  const Index image = k / parts_ * images_;
  const Index row = k % parts_ * rows_per_part_;
  return {image, std::min(images_, batch_ - image), row, std::min(rows_per_part_, rows_ - row)};
}

std::size_t source_bytes(const WindowProblem& problem, const WindowSource& source, const WindowItems& items) {
  if (!source.is_copy) return 0;
  return static_cast<std::size_t>(items.images() * source.down.size(items.rows()) * source.row_stride * problem.bytes);
}

ItemSource source_of(const WindowProblem& problem, const WindowSource& source, const WindowItems::Item& item,
                     const std::byte* x, std::byte* memory) {
  const WindowPlan& plan = problem.plan;
  const std::byte* const image = x + item.image * problem.x_image_bytes();
  if (!source.is_copy) {
    const Index first = source.down.begin(item.row) * source.row_stride + source.across.offset * source.pixel_stride;
    return {image + first * problem.bytes, plan.x_height * source.row_stride};
  }
  const Index stride = source.down.size(item.rows) * source.row_stride;
  for (Index n = 0; n < item.images; ++n) {
    source.copy(plan, problem.dtype, image + n * problem.x_image_bytes(), item.row, item.row + item.rows,
                memory + n * stride * problem.bytes);
  }
  return {memory, stride};
}

bool reads_in_place(const WindowProblem& problem, const WindowSource& source) {
  const WindowPlan& plan = problem.plan;
  if (source.elements(1) * static_cast<double>(problem.bytes) > most_source_bytes) return false;
  const bool is_short = plan.is_dense() && source.across.count < 4 && source.down.count * plan.batch > 1;
  return !is_short || plan.y_group() < problem.panel_columns();
}

void add_partials(DType dtype, void* partials, Index count, Index size) {
  const auto bytes = static_cast<Index>(size_of(dtype));
  const double cost = static_cast<double>(count * bytes) * 0.05;
  for_ranges(size, count > 1 ? cost : 0, [&](std::int64_t begin, std::int64_t end) {
    const auto at = [&](Index k) { return static_cast<std::byte*>(partials) + (k * size + begin) * bytes; };
    for (Index step = 1; step < count; step *= 2) {
      for (Index k = 0; k + step < count; k += 2 * step) {
        kernels::table().axpy[kernel_index(dtype)](1, at(k + step), at(k), end - begin);
      }
    }
  });
}

}  // namespace tapegrad::detail
