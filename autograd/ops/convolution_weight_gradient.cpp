// The gradient of sums over windows in the weights: chunks of pixels, each with a partial result of its own, and where
// there are few of them, parts of the outputs.
#include <cstring>

#include "autograd/ops/convolution_windows.h"

namespace tapegrad::detail {
namespace {

// Memory for partial results.
constexpr double most_partial_bytes = 16e6;

// How many partial results of `size` elements there are: as many as pay, and have enough pixels. It follows from the
// sizes alone.
Index chunks_of(const WindowProblem& problem, Index pixels, Index size) {
  constexpr Index least_pixels = 128;
  const double fit = most_partial_bytes / static_cast<double>(size * problem.bytes);
  const Index most = std::clamp<Index>(pixels / least_pixels, 1, problem.most_parts());
  return std::min(most, static_cast<Index>(std::clamp(fit, 1.0, static_cast<double>(max_chunks))));
}

class WeightGradient {
 public:
  WeightGradient(const WindowProblem& problem, const WindowSource& source, const std::byte* x, const std::byte* g)
      : problem_(problem), source_(source), x_(x), g_(g) {}

  void run(std::byte* dweight) const {
    const bool in_place = reads_in_place(problem_, source_);
    const Index size = plan().groups * group_size();
    const Index wanted = chunks_of(problem_, pixels(), size);
    const WindowItems items(problem_, source_, wanted);
    const Index count = in_place ? items.count() : pixels();
    const Index chunks = std::min(wanted, count);
    // Where chunks are few, each is done in parts: of the panels of a group.
    const Index parts = std::min(problem_.most_parts() / chunks, problem_.panels());
    const Scratch partials(static_cast<std::size_t>(chunks * size * problem_.bytes));
    const WindowRuns runs(plan(), source_, down(), across());
    parallel_for(chunks * parts, [&](std::int64_t k) {
      const Range own = chunk_range(count, chunks, k / parts, 1);
      const Range panels = chunk_range(problem_.panels(), parts, k % parts, 1);
      std::byte* const to = partials.get<std::byte>() + k / parts * size * problem_.bytes;
      clear(to, panels);
      if (in_place) {
        add_items(items, own, runs, panels, to);
      } else {
        add_copied_windows(own, panels, to);
      }
    });
    add_partials(problem_.dtype, partials.get(), chunks, size);
    unpack(partials.get<std::byte>(), dweight);
  }

 private:
  const WindowPlan& plan() const { return problem_.plan; }
  const Lattice& down() const { return plan().down[0]; }
  const Lattice& across() const { return plan().across[0]; }
  Index pixels() const { return plan().batch * plan().y_height * plan().y_width; }
  Index depth() const { return down().taps * across().taps * plan().x_group(); }
  Index panel_size() const { return depth() * problem_.panel_columns(); }
  Index group_size() const { return problem_.panels() * panel_size(); }

  void clear(std::byte* to, Range panels) const {
    for (Index group = 0; group < plan().groups; ++group) {
      std::memset(to + (group * group_size() + panels.begin * panel_size()) * problem_.bytes, 0,
                  static_cast<std::size_t>((panels.end - panels.begin) * panel_size() * problem_.bytes));
    }
  }

  // What is the same for all groups, and for pixels from `first_pixel` on.
  void add(kernels::WindowGradientArguments a, const std::byte* x, Index group, Index first_pixel, Range panels,
           std::byte* to) const {
    const Index o = panels.begin * problem_.panel_columns();
    a.channels = std::min(panels.end * problem_.panel_columns(), plan().y_group()) - o;
    a.x = x;
    a.g = g_ + (first_pixel * plan().y_channels + group * plan().y_group() + o) * problem_.bytes;
    a.g_pixel_stride = plan().y_channels;
    a.dweight = to + (group * group_size() + panels.begin * panel_size()) * problem_.bytes;
    kernels::table().window_gradient[problem_.type](a);
  }

  void add_items(const WindowItems& items, Range own, const WindowRuns& runs, Range panels, std::byte* to) const {
    const Scratch memory(source_bytes(problem_, source_, items));
    const Scratch workspace(kernels::table().window_gradient_workspace_bytes[problem_.type]);
    CachedVector<Index> row_offset(static_cast<std::size_t>(items.images() * items.rows()));
    for (Index k = own.begin; k < own.end; ++k) {
      const WindowItems::Item item = items[k];
      const ItemSource from = source_of(problem_, source_, item, x_, memory.get<std::byte>());
      for (Index r = 0; r < item.images * item.rows; ++r) {
        row_offset[static_cast<std::size_t>(r)] =
            r / item.rows * from.image_stride + r % item.rows * down().x_step * source_.row_stride;
      }
      for (Index group = 0; group < plan().groups; ++group) {
        add({.rows = item.images * item.rows,
             .columns = plan().y_width,
             .row_offset = row_offset.data(),
             .x_pixel_stride = across().x_step * source_.pixel_stride,
             .runs = runs.count(),
             .run_offset = runs.offset.data(),
             .run_length = runs.length,
             .workspace = workspace.get()},
            from.x + group * plan().x_group() * problem_.bytes, group,
            (item.image * plan().y_height + item.row) * plan().y_width, panels, to);
      }
    }
  }

  void add_copied_windows(Range own, Range panels, std::byte* to) const {
    const Scratch workspace(kernels::table().window_gradient_workspace_bytes[problem_.type]);
    const Index no_offset = 0;
    for (Index group = 0; group < plan().groups; ++group) {
      for_copied_windows(problem_, down(), across(), group, x_, own.begin, own.end, pixels(),
                         [&](Index first, Index count, const std::byte* windows) {
                           add({.rows = 1,
                                .columns = count,
                                .row_offset = &no_offset,
                                .x_pixel_stride = depth(),
                                .runs = 1,
                                .run_offset = &no_offset,
                                .run_length = depth(),
                                .workspace = workspace.get()},
                               windows, group, first, panels, to);
                         });
    }
  }

  // From panels to the order of the weight.
  void unpack(const std::byte* from, std::byte* dweight) const {
    const Index columns = problem_.panel_columns();
    const double cost = static_cast<double>(panel_size()) * nanoseconds_per_element_copied;
    const Index first = down().tap * plan().weight_row + across().tap * plan().weight_column;
    for_ranges(plan().groups * problem_.panels(), cost, [&](std::int64_t begin, std::int64_t end) {
      for (Index k = begin; k < end; ++k) {
        const Index o = k % problem_.panels() * columns;
        const Index to = first + k / problem_.panels() * plan().weight_group + o * plan().weight_out;
        kernels::table().copy(
            {.rank = 4,
             .element_bytes = problem_.bytes,
             .shape = {down().taps, across().taps, plan().x_group(), std::min(columns, plan().y_group() - o)},
             .from = from + k * panel_size() * problem_.bytes,
             .from_strides = {across().taps * plan().x_group() * columns, plan().x_group() * columns, columns, 1},
             .to = dweight + to * problem_.bytes,
             .to_strides = {down().tap_step * plan().weight_row, across().tap_step * plan().weight_column,
                            plan().weight_in, plan().weight_out}});
      }
    });
  }

  const WindowProblem& problem_;
  const WindowSource& source_;
  const std::byte* x_;
  const std::byte* g_;
};

}  // namespace

void window_weight_gradient(const WindowPlan& plan, DType dtype, const void* x, const void* g, void* dweight) {
  const WindowProblem problem{plan, dtype};
  const WindowSource source(plan, dtype);
  WeightGradient(problem, source, static_cast<const std::byte*>(x), static_cast<const std::byte*>(g))
      .run(static_cast<std::byte*>(dweight));
}

}  // namespace tapegrad::detail
