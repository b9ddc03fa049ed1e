// Sums over windows with weights in panels.
#include <cstring>
#include <utility>

#include "autograd/ops/convolution_windows.h"

namespace tapegrad::detail {
namespace {

// ---- weights ----

// The weights of all pairs of lattices and groups in panels, as the kernels read them.
class PackedWeight {
 public:
  PackedWeight(const WindowProblem& problem, const void* weight, const void* bias)
      : problem_(problem), memory_(static_cast<std::size_t>(total(problem) * problem.bytes)) {
    Index first = 0;
    for (const Lattice& down : problem.plan.down) {
      for (const Lattice& across : problem.plan.across) {
        first_.push_back(first);
        pack(down, across, first, static_cast<const std::byte*>(weight), static_cast<const std::byte*>(bias));
        first += elements(problem, down, across);
      }
    }
  }

  const std::byte* get(std::size_t pair, Index group) const {
    const std::size_t next = pair + 1;
    const Index end = next < first_.size() ? first_[next] : total(problem_);
    const Index size = (end - first_[pair]) / problem_.plan.groups;
    return memory_.get<std::byte>() + (first_[pair] + group * size) * problem_.bytes;
  }

 private:
  static Index panel_rows(const WindowProblem& problem, const Lattice& down, const Lattice& across) {
    return 1 + down.taps * across.taps * problem.plan.x_group();
  }
  static Index elements(const WindowProblem& problem, const Lattice& down, const Lattice& across) {
    return problem.plan.groups * problem.panels() * problem.panel_columns() * panel_rows(problem, down, across);
  }
  static Index total(const WindowProblem& problem) {
    Index sum = 0;
    for (const Lattice& down : problem.plan.down) {
      for (const Lattice& across : problem.plan.across) sum += elements(problem, down, across);
    }
    return sum;
  }

  void pack(const Lattice& down, const Lattice& across, Index first, const std::byte* weight, const std::byte* bias) {
    const WindowPlan& plan = problem_.plan;
    const Index columns = problem_.panel_columns();
    const Index size = panel_rows(problem_, down, across) * columns;
    for_ranges(plan.groups * problem_.panels(), static_cast<double>(size) * nanoseconds_per_element_copied,
               [&](Index begin, Index end) {
                 for (Index k = begin; k < end; ++k) {
                   const Index group = k / problem_.panels();
                   const Index o = k % problem_.panels() * columns;
                   pack_panel(down, across, weight + group * plan.weight_group * problem_.bytes,
                              bias ? bias + (group * plan.y_group() + o) * problem_.bytes : nullptr, o,
                              memory_.get<std::byte>() + (first + k * size) * problem_.bytes);
                 }
               });
  }

  // Outputs o, ... of one group.
  void pack_panel(const Lattice& down, const Lattice& across, const std::byte* weight, const std::byte* bias, Index o,
                  std::byte* to) const {
    const WindowPlan& plan = problem_.plan;
    const Index columns = problem_.panel_columns();
    const Index count = std::min(columns, plan.y_group() - o);
    const Index filled_rows = count < columns ? panel_rows(problem_, down, across) : 1;
    std::memset(to, 0, static_cast<std::size_t>(filled_rows * columns * problem_.bytes));
    if (bias) std::memcpy(to, bias, static_cast<std::size_t>(count * problem_.bytes));
    const Index from = down.tap * plan.weight_row + across.tap * plan.weight_column + o * plan.weight_out;
    kernels::table().copy(
        {.rank = 4,
         .element_bytes = problem_.bytes,
         .shape = {down.taps, across.taps, plan.x_group(), count},
         .from = weight + from * problem_.bytes,
         .from_strides = {down.tap_step * plan.weight_row, across.tap_step * plan.weight_column, plan.weight_in,
                          plan.weight_out},
         .to = to + columns * problem_.bytes,
         .to_strides = {across.taps * plan.x_group() * columns, plan.x_group() * columns, columns, 1}});
  }

  const WindowProblem& problem_;
  Scratch memory_;
  CachedVector<Index> first_;
};

// ---- sums over windows ----

// Rows that follow each other without a gap are one: fewer tiles are cut short by the end of a row.
void sum(kernels::WindowSumArguments a, std::size_t type) {
  if (a.x_row_stride == a.columns * a.x_pixel_stride && a.y_row_stride == a.columns * a.y_pixel_stride) {
    a.columns *= std::exchange(a.rows, 1);
  }
  kernels::table().window_sums[type](a);
}

void sum_in_place(const WindowProblem& problem, const WindowSource& source, const PackedWeight& packed,
                  const std::byte* x, std::byte* y) {
  const WindowPlan& plan = problem.plan;
  CachedVector<WindowRuns> runs;
  for (const Lattice& down : plan.down) {
    for (const Lattice& across : plan.across) runs.emplace_back(plan, source, down, across);
  }
  const auto sum_item = [&](const WindowItems::Item& item, std::byte* memory) {
    const ItemSource from = source_of(problem, source, item, x, memory);
    std::size_t pair = 0;
    for (const Lattice& down : plan.down) {
      for (const Lattice& across : plan.across) {
        const Index first_row = item.image * plan.y_height + down.first + item.row * down.step;
        const Index first = (first_row * plan.y_width + across.first) * plan.y_channels;
        const Index rows = std::min(item.rows, down.count - item.row);
        for (Index group = 0; group < plan.groups && rows > 0; ++group) {
          sum({.images = item.images,
               .rows = rows,
               .columns = across.count,
               .channels = plan.y_group(),
               .x = from.x + group * plan.x_group() * problem.bytes,
               .x_image_stride = from.image_stride,
               .x_row_stride = down.x_step * source.row_stride,
               .x_pixel_stride = across.x_step * source.pixel_stride,
               .runs = runs[pair].count(),
               .run_offset = runs[pair].offset.data(),
               .run_length = runs[pair].length,
               .weight = packed.get(pair, group),
               .y = y + (first + group * plan.y_group()) * problem.bytes,
               .y_image_stride = plan.y_height * plan.y_width * plan.y_channels,
               .y_row_stride = down.step * plan.y_width * plan.y_channels,
               .y_pixel_stride = across.step * plan.y_channels},
              problem.type);
        }
        ++pair;
      }
    }
  };
  const WindowItems items(problem, source, num_threads() == 1 ? 1 : problem.most_parts());
  const double cost = problem.nanoseconds() / static_cast<double>(items.count());
  for_ranges(items.count(), cost, [&](Index begin, Index end) {
    const Scratch memory(source_bytes(problem, source, items));
    for (Index k = begin; k < end; ++k) sum_item(items[k], memory.get<std::byte>());
  });
}

void sum_copied_windows(const WindowProblem& problem, const PackedWeight& packed, const std::byte* x, std::byte* y) {
  const WindowPlan& plan = problem.plan;
  std::size_t pair = 0;
  for (const Lattice& down : plan.down) {
    for (const Lattice& across : plan.across) {
      const Index depth = down.taps * across.taps * plan.x_group();
      const Index pixels = plan.batch * down.count * across.count;
      const Index row = plan.is_dense() ? pixels : across.count;
      const Index no_offset = 0;
      const double cost = problem.nanoseconds() / static_cast<double>(pixels);
      for_ranges(pixels, cost, [&](Index begin, Index end) {
        for (Index group = 0; group < plan.groups; ++group) {
          for_copied_windows(
              problem, down, across, group, x, begin, end, row,
              [&](Index first, Index count, const std::byte* windows) {
                const Index column = across.first + first % across.count * across.step;
                const Index i = down.first + first / across.count % down.count * down.step;
                const Index image = first / across.count / down.count;
                const Index to = ((image * plan.y_height + i) * plan.y_width + column) * plan.y_channels;
                kernels::table().window_sums[problem.type]({.images = 1,
                                                            .rows = 1,
                                                            .columns = count,
                                                            .channels = plan.y_group(),
                                                            .x = windows,
                                                            .x_pixel_stride = depth,
                                                            .runs = 1,
                                                            .run_offset = &no_offset,
                                                            .run_length = depth,
                                                            .weight = packed.get(pair, group),
                                                            .y = y + (to + group * plan.y_group()) * problem.bytes,
                                                            .y_pixel_stride = across.step * plan.y_channels});
              });
        }
      });
      ++pair;
    }
  }
}

}  // namespace

void sum_windows(const WindowPlan& plan, DType dtype, const void* x, const void* weight, const void* bias, void* y) {
  const WindowProblem problem{plan, dtype};
  const WindowSource source(plan, dtype);
  const PackedWeight packed(problem, weight, bias);
  const auto* const from = static_cast<const std::byte*>(x);
  auto* const to = static_cast<std::byte*>(y);
  if (reads_in_place(problem, source)) return sum_in_place(problem, source, packed, from, to);
  sum_copied_windows(problem, packed, from, to);
}

}  // namespace tapegrad::detail
