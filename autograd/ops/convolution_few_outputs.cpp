// Sums over windows for so few outputs that they would leave registers empty: a product of matrices gives every pixel's
// product with every tap, pixels along the registers; then each output adds up what its window meets.
#include "autograd/ops/convolution_windows.h"

namespace tapegrad::detail {
namespace {

// The products of some rows of an image shall stay in the second cache.
constexpr Index plane_bytes = 384 * 1024;

class FewOutputs {
 public:
  FewOutputs(const WindowProblem& problem, const std::byte* x, const std::byte* weight, const std::byte* bias,
             std::byte* y)
      : problem_(problem), reach_(problem.plan.down), x_(x), weight_(weight), bias_(bias), y_(y) {
    const Index row_bytes = planes() * plan().x_width * problem.bytes;
    const Index most = (plane_bytes / row_bytes - reach_.size(1)) / reach_.x_step + 1;
    const Index wanted = num_threads() == 1 ? 1 : divide_up(problem.most_parts(), plan().batch);
    rows_ = divide_up(reach_.count, std::clamp<Index>(wanted, 1, reach_.count));
    rows_ = std::clamp<Index>(most, 1, rows_);
    parts_ = divide_up(reach_.count, rows_);
    rows_ = divide_up(reach_.count, parts_);
    parts_ = divide_up(reach_.count, rows_);
  }

  void run() const {
    const Index count = plan().batch * parts_;
    for_ranges(count, problem_.nanoseconds() / static_cast<double>(count), [&](std::int64_t begin, std::int64_t end) {
      const Index most_rows = std::min(reach_.size(rows_), plan().x_height);
      kernels::GemmArguments g = product(most_rows);
      const Scratch products(static_cast<std::size_t>(planes() * g.n * problem_.bytes));
      const Scratch workspace(workspace_bytes(most_rows));
      for (Index k = begin; k < end; ++k) {
        const Index first = k % parts_ * rows_;
        run_item(k / parts_, first, std::min(rows_, reach_.count - first), products.get<std::byte>(), workspace.get());
      }
    });
  }

 private:
  const WindowPlan& plan() const { return problem_.plan; }
  // From one plane's weights to the next one's. Planes are all taps of all outputs, in the order of the weight.
  Index plane_step() const { return std::min(plan().weight_out, plan().weight_column); }
  Index planes() const { return plan().weight_group / plan().x_channels; }

  // Of all planes with so many rows of an image.
  kernels::GemmArguments product(Index rows) const {
    return {.m = planes(),
            .n = rows * plan().x_width,
            .k = plan().x_channels,
            .a = weight_,
            .a_row_stride = plane_step(),
            .a_column_stride = plan().weight_in,
            .b_row_stride = 1,
            .b_column_stride = plan().x_channels,
            .c_row_stride = rows * plan().x_width};
  }

  // Of the largest item: which rows are inside of the image differs.
  std::size_t workspace_bytes(Index most_rows) const {
    std::size_t most = 0;
    for (Index rows = 1; rows <= most_rows; ++rows) {
      most = std::max(most, kernels::table().gemm_workspace_bytes[problem_.type](product(rows)));
    }
    return most;
  }

  void run_item(Index image, Index first, Index count, std::byte* products, void* workspace) const {
    const Index begin = std::clamp<Index>(reach_.begin(first), 0, plan().x_height);
    const Index end = std::clamp<Index>(reach_.begin(first) + reach_.size(count), begin, plan().x_height);
    kernels::GemmArguments g = product(end - begin);
    g.b = x_ + image * problem_.x_image_bytes() + begin * plan().x_width * plan().x_channels * problem_.bytes;
    g.c = products;
    g.workspace = workspace;
    if (g.n > 0) kernels::table().gemm[problem_.type](g);
    for (const Lattice& down : plan().down) {
      for (const Lattice& across : plan().across) {
        add(down, across, image, first, std::min(first + count, down.count), products, begin, g.n);
      }
    }
  }

  // Rows [first, end) of a pair of lattices.
  void add(const Lattice& down, const Lattice& across, Index image, Index first, Index end, const std::byte* products,
           Index first_row, Index plane_size) const {
    const auto stride = [&](Index elements) { return elements / plane_step() * plane_size; };
    const Index tap = stride(down.tap * plan().weight_row + across.tap * plan().weight_column);
    const Index to = ((image * plan().y_height + down.first) * plan().y_width + across.first) * plan().y_channels;
    kernels::table().tap_sums[problem_.type](
        {.down = {plan().x_height, down.x_step, down.offset, down.taps, down.offset_step},
         .across = {plan().x_width, across.x_step, across.offset, across.taps, across.offset_step},
         .columns = across.count,
         .channels = plan().y_channels,
         .begin = first,
         .end = end,
         .planes = products + tap * problem_.bytes,
         .first_row = first_row,
         .down_stride = stride(down.tap_step * plan().weight_row),
         .across_stride = stride(across.tap_step * plan().weight_column),
         .channel_stride = stride(plan().weight_out),
         .bias = bias_,
         .y = y_ + to * problem_.bytes,
         .y_row_stride = down.step * plan().y_width * plan().y_channels,
         .y_pixel_stride = across.step * plan().y_channels});
  }

  const WindowProblem& problem_;
  Reach reach_;
  const std::byte *x_, *weight_, *bias_;
  std::byte* y_;
  Index rows_, parts_;  // of an item; of an image
};

}  // namespace

bool has_few_outputs(const WindowPlan& plan, DType dtype) {
  const Index width = kernels::table().convolution_columns[kernel_index(dtype)] / 2;
  const Index few = std::max<Index>(width / 4, 1);
  return plan.groups == 1 && plan.x_channels >= 16 && plan.y_channels <= few;
}

void sum_few_outputs(const WindowPlan& plan, DType dtype, const void* x, const void* weight, const void* bias,
                     void* y) {
  const WindowProblem problem{plan, dtype};
  FewOutputs(problem, static_cast<const std::byte*>(x), static_cast<const std::byte*>(weight),
             static_cast<const std::byte*>(bias), static_cast<std::byte*>(y))
      .run();
}

}  // namespace tapegrad::detail
