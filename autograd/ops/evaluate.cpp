#include "autograd/ops/evaluate.h"

#include <algorithm>
#include <vector>

#include "autograd/ops/elements.h"
#include "autograd/tape.h"
#include "autograd/thread_pool.h"

namespace tapegrad::detail {

namespace {

using program::Executable;
using program::Precision;
using program::Primitive;

constexpr std::size_t max_operands = max_inputs_with_uses;
constexpr std::int64_t block_size = 1024;    // elements; each call has to pay
constexpr std::int64_t longest_row = 16384;  // threads share longer ones

Precision precision_of(DType type) { return type == f32 ? Precision::f32 : Precision::f64; }

struct Pointers {
  const void* x[max_operands];
  void* y[max_operands];
};

// Runs when every operand has as many elements as the result, or one; else false.
bool run_flat(const Executable& e, std::span<const Tensor* const> x, std::span<Tensor> y) {
  const Block& result = *y[0].block();
  Pointers p;
  p.x[1] = p.x[2] = nullptr;
  unsigned scalars = 0;
  for (std::size_t k = 0; k < x.size(); ++k) {
    const Block& b = *x[k]->block();
    const bool is_scalar = b.size != result.size;
    if (b.dtype() != result.dtype() || (b.flags & strided_flag) || (is_scalar && b.size != 1)) return false;
    scalars |= static_cast<unsigned>(is_scalar) << k;
    p.x[k] = b.data;
  }
  for (std::size_t j = 0; j < y.size(); ++j) p.y[j] = y[j].data();
  evaluate_flat(e, result.dtype(), p.x, scalars, p.y, result.size);
  return true;
}

// The result's axes, neighbours merged where no operand minds, and each operand's strides along them.
struct Plan {
  int axes = 0;
  std::int64_t size[max_rank];
  std::int64_t stride[max_operands][max_rank];
};

Plan plan_broadcast(const Shape& shape, std::span<const Tensor* const> x) {
  std::array<std::array<std::int64_t, max_rank>, max_operands> wide{};
  for (std::size_t k = 0; k < x.size(); ++k) {
    const auto strides = x[k]->strides();
    const int missing = shape.ndim() - x[k]->ndim();
    for (int i = 0; i < x[k]->ndim(); ++i) {
      const bool repeats = x[k]->block()->shape[i] == 1;
      wide[k][static_cast<std::size_t>(i + missing)] = repeats ? 0 : strides[static_cast<std::size_t>(i)];
    }
  }
  Plan plan;
  for (int i = 0; i < shape.ndim(); ++i) {
    const auto axis = static_cast<std::size_t>(i);
    if (shape[i] == 1) continue;
    bool merges = plan.axes > 0;
    for (std::size_t k = 0; k < x.size() && merges; ++k) {
      merges = plan.stride[k][plan.axes - 1] == wide[k][axis] * shape[i];
    }
    if (!merges) plan.size[plan.axes++] = 1;
    plan.size[plan.axes - 1] *= shape[i];
    for (std::size_t k = 0; k < x.size(); ++k) plan.stride[k][plan.axes - 1] = wide[k][axis];
  }
  return plan;
}

/// The result in pieces of about `block_size` elements: `rows` steps along `axis`, times all of the axes behind it.
struct Blocks {
  int axis = 0;
  std::int64_t inside = 1;  // elements of one step
  std::int64_t rows = 1;
  std::int64_t along_axis = 1;  // blocks
  std::int64_t count = 1;
};

Blocks blocks_of(const Plan& plan) {
  Blocks b;
  b.axis = plan.axes - 1;
  while (b.axis > 0 && b.inside * plan.size[b.axis] <= block_size) b.inside *= plan.size[b.axis--];
  const bool is_last = b.axis == plan.axes - 1;
  const std::int64_t most = is_last ? longest_row : std::max<std::int64_t>(block_size / b.inside, 1);
  b.rows = std::min(plan.size[b.axis], most);
  b.along_axis = (plan.size[b.axis] + b.rows - 1) / b.rows;
  b.count = b.along_axis;
  for (int i = 0; i < b.axis; ++i) b.count *= plan.size[i];
  return b;
}

/// How an operand gets into a block.
enum class Supply : std::uint8_t {
  in_place,       // it has the block's elements side by side
  scalar,         // it has one element for all of them
  gathered,       // they are brought together in a buffer
  gathered_once,  // ... and are the same for all blocks
};

Supply supply_of(const Plan& plan, const Blocks& b, std::size_t k) {
  const std::int64_t* const stride = plan.stride[k];
  bool is_contiguous = true;
  bool is_scalar = true;
  std::int64_t expected = 1;
  for (int i = plan.axes - 1; i >= b.axis + (b.rows == 1); --i) {
    is_contiguous = is_contiguous && stride[i] == expected;
    is_scalar = is_scalar && stride[i] == 0;
    expected *= plan.size[i];
  }
  if (is_contiguous) return Supply::in_place;
  if (is_scalar) return Supply::scalar;
  return std::all_of(stride, stride + b.axis + 1, [](std::int64_t s) { return s == 0; }) ? Supply::gathered_once
                                                                                         : Supply::gathered;
}

/// Brings `rows` steps of operand k together.
void gather(const Plan& plan, const Blocks& b, std::size_t k, const void* from, void* to, std::int64_t rows,
            std::int64_t width) {
  kernels::CopyArguments copy;
  copy.rank = plan.axes - b.axis;
  copy.element_bytes = width;
  copy.from = from;
  copy.to = to;
  std::int64_t stride = 1;
  for (int i = plan.axes - 1; i >= b.axis; --i) {
    const int axis = i - b.axis;
    copy.shape[axis] = i == b.axis ? rows : plan.size[i];
    copy.from_strides[axis] = plan.stride[k][i];
    copy.to_strides[axis] = stride;
    stride *= copy.shape[axis];
  }
  kernels::table().copy(copy);
}

/// One thread's blocks.
class BlockRun {
 public:
  BlockRun(const Executable& e, const Plan& plan, const Blocks& blocks, std::span<const Tensor* const> x,
           std::span<Tensor> y)
      : e_(e),
        plan_(plan),
        blocks_(blocks),
        x_(x),
        y_(y),
        width_(static_cast<std::int64_t>(size_of(y[0].dtype()))),
        bytes_(blocks.rows * blocks.inside * width_),
        buffers_(count_gathered() * static_cast<std::size_t>(bytes_)) {}

  void run(std::int64_t block) {
    const std::int64_t first_row = block % blocks_.along_axis * blocks_.rows;
    const std::int64_t outer = block / blocks_.along_axis;
    const std::int64_t rows = std::min(blocks_.rows, plan_.size[blocks_.axis] - first_row);
    Pointers p;
    unsigned scalars = 0;
    std::byte* buffer = buffers_.get<std::byte>();
    for (std::size_t k = 0; k < x_.size(); ++k) {
      p.x[k] = x_[k]->data<const std::byte>() + offset(k, outer, first_row) * width_;
      scalars |= static_cast<unsigned>(supply_[k] == Supply::scalar) << k;
      if (supply_[k] != Supply::gathered && supply_[k] != Supply::gathered_once) continue;
      if (supply_[k] == Supply::gathered) {
        gather(plan_, blocks_, k, p.x[k], buffer, rows, width_);
      } else if (!is_filled_) {
        gather(plan_, blocks_, k, p.x[k], buffer, blocks_.rows, width_);
      }
      p.x[k] = buffer;
      buffer += bytes_;
    }
    is_filled_ = true;
    const std::int64_t start = (outer * plan_.size[blocks_.axis] + first_row) * blocks_.inside;
    for (std::size_t j = 0; j < y_.size(); ++j) p.y[j] = y_[j].data<std::byte>() + start * width_;
    program::run(e_, precision_of(y_[0].dtype()), p.x, scalars, p.y, static_cast<std::size_t>(rows * blocks_.inside));
  }

 private:
  std::size_t count_gathered() {
    std::size_t count = 0;
    for (std::size_t k = 0; k < x_.size(); ++k) {
      supply_[k] = supply_of(plan_, blocks_, k);
      count += supply_[k] == Supply::gathered || supply_[k] == Supply::gathered_once;
    }
    return count;
  }

  std::int64_t offset(std::size_t k, std::int64_t outer, std::int64_t first_row) const {
    std::int64_t sum = first_row * plan_.stride[k][blocks_.axis];
    for (int i = blocks_.axis - 1; i >= 0; --i) {
      sum += outer % plan_.size[i] * plan_.stride[k][i];
      outer /= plan_.size[i];
    }
    return sum;
  }

  const Executable& e_;
  const Plan& plan_;
  const Blocks& blocks_;
  std::span<const Tensor* const> x_;
  std::span<Tensor> y_;
  std::int64_t width_;
  std::int64_t bytes_;  // of a buffer
  Supply supply_[max_operands];
  Scratch buffers_;
  bool is_filled_ = false;
};

void run_blocks(const Executable& e, const Plan& plan, std::span<const Tensor* const> x, std::span<Tensor> y) {
  const Blocks blocks = blocks_of(plan);
  const std::int64_t chunks = std::min(blocks.count, chunks_for(y[0].size(), program::cost(e) * 1e-3));
  parallel_for(chunks, [&](std::int64_t chunk) {
    BlockRun part(e, plan, blocks, x, y);
    const auto [begin, end] = chunk_range(blocks.count, chunks, chunk, 1);
    for (std::int64_t block = begin; block < end; ++block) part.run(block);
  });
}

void evaluate_broadcast(const Executable& e, std::span<const Tensor* const> x, std::span<Tensor> y) {
  const Tape::Pause pause;
  const Shape shape = y[0].shape();
  std::array<Tensor, max_operands> held;
  std::array<const Tensor*, max_operands> operands;
  const std::span used(operands.data(), x.size());
  for (std::size_t k = 0; k < x.size(); ++k) {
    operands[k] = x[k];
    if (x[k]->dtype() != y[0].dtype()) held[k] = x[k]->to(y[0].dtype());
    const Tensor& converted = held[k].defined() ? held[k] : *x[k];
    if (!converted.is_contiguous()) held[k] = converted.clone();
    if (held[k].defined()) operands[k] = &held[k];
  }
  if (!run_flat(e, used, y)) run_blocks(e, plan_broadcast(shape, used), used, y);
}

Tensor repeated(const Tensor& x, const Shape& shape) {
  Tensor to = Tensor::empty(shape, x.dtype());
  kernels::CopyArguments copy;
  copy.rank = shape.ndim();
  copy.element_bytes = static_cast<kernels::Index>(size_of(x.dtype()));
  copy.from = x.data();
  copy.to = to.data();
  const auto from_strides = x.strides();
  const auto to_strides = to.strides();
  const int missing = shape.ndim() - x.ndim();
  for (int i = 0; i < shape.ndim(); ++i) {
    const auto axis = static_cast<std::size_t>(i);
    copy.shape[axis] = shape[i];
    copy.to_strides[axis] = to_strides[axis];
    const bool repeats = i < missing || x.block()->shape[i - missing] == 1;
    copy.from_strides[axis] = repeats ? 0 : from_strides[static_cast<std::size_t>(i - missing)];
  }
  kernels::table().copy(copy);
  return to;
}

std::int64_t integer_result(Primitive p, std::int64_t a, std::int64_t b, std::int64_t c) {
  // Unsigned arithmetic wraps around where signed overflow would be undefined.
  const auto ua = static_cast<std::uint64_t>(a);
  const auto ub = static_cast<std::uint64_t>(b);
  switch (p) {
    case Primitive::copy:
      return a;
    case Primitive::negate:
      return static_cast<std::int64_t>(0 - ua);
    case Primitive::abs:
      return a < 0 ? static_cast<std::int64_t>(0 - ua) : a;
    case Primitive::sign:
      return (a > 0) - (a < 0);
    case Primitive::floor:
    case Primitive::ceil:
    case Primitive::round:
      return a;
    case Primitive::relu:
      return std::max<std::int64_t>(a, 0);
    case Primitive::add:
      return static_cast<std::int64_t>(ua + ub);
    case Primitive::subtract:
      return static_cast<std::int64_t>(ua - ub);
    case Primitive::multiply:
      return static_cast<std::int64_t>(ua * ub);
    case Primitive::minimum:
      return std::min(a, b);
    case Primitive::maximum:
      return std::max(a, b);
    case Primitive::less:
      return a < b;
    case Primitive::less_equal:
      return a <= b;
    case Primitive::equal:
      return a == b;
    case Primitive::not_equal:
      return a != b;
    case Primitive::select:
      return a != 0 ? b : c;
    default:
      throw Error("internal: not an integer primitive");
  }
}

}  // namespace

void evaluate_flat_general(const Executable& e, DType type, const void* const* x, unsigned scalars, void* const* y,
                           std::int64_t n) {
  if (n < threaded_size) [[likely]] {
    return program::run(e, precision_of(type), x, scalars, y, static_cast<std::size_t>(n));
  }
  const auto width = static_cast<std::int64_t>(size_of(type));
  const std::int64_t chunks = chunks_for(n, program::cost(e) * 1e-3);
  parallel_for(chunks, [&](std::int64_t chunk) {
    const auto [begin, end] = chunk_range(n, chunks, chunk);
    Pointers p;
    for (std::size_t k = 0; k < e.input_count; ++k) {
      p.x[k] = static_cast<const std::byte*>(x[k]) + (scalars >> k & 1 ? 0 : begin * width);
    }
    for (std::size_t j = 0; j < e.output_count; ++j) p.y[j] = static_cast<std::byte*>(y[j]) + begin * width;
    program::run(e, precision_of(type), p.x, scalars, p.y, static_cast<std::size_t>(end - begin));
  });
}

void evaluate(const Executable& e, std::span<const Tensor* const> x, std::span<Tensor> y) {
  if (y[0].size() == 0) return;
  if (!run_flat(e, x, y)) evaluate_broadcast(e, x, y);
}

bool integer_primitive(Primitive p) {
  switch (p) {
    case Primitive::copy:
    case Primitive::negate:
    case Primitive::abs:
    case Primitive::sign:
    case Primitive::floor:
    case Primitive::ceil:
    case Primitive::round:
    case Primitive::relu:
    case Primitive::add:
    case Primitive::subtract:
    case Primitive::multiply:
    case Primitive::minimum:
    case Primitive::maximum:
    case Primitive::less:
    case Primitive::less_equal:
    case Primitive::equal:
    case Primitive::not_equal:
    case Primitive::select:
      return true;
    default:
      return false;
  }
}

void evaluate_integers(const program::Program& program, std::span<const Tensor* const> x, Tensor& y) {
  const Tape::Pause pause;
  std::array<Tensor, max_operands> wide;
  for (std::size_t k = 0; k < x.size(); ++k) wide[k] = repeated(x[k]->to(i64), y.shape());
  const auto& nodes = program.nodes();
  std::vector<std::int64_t> value(nodes.size());
  const auto operand = [&](const program::Node& node, int k) {
    const int from = node.operands[k];
    return k < node.operand_count() ? value[static_cast<std::size_t>(from)] : 0;
  };
  const auto result = static_cast<std::size_t>(program.outputs().front());
  for (std::int64_t i = 0; i < y.size(); ++i) {
    for (std::size_t n = 0; n < nodes.size(); ++n) {
      const program::Node& node = nodes[n];
      switch (node.kind) {
        case program::Node::Kind::input:
          value[n] = wide[static_cast<std::size_t>(node.operands[0])].data<std::int64_t>()[i];
          break;
        case program::Node::Kind::constant:
          value[n] = static_cast<std::int64_t>(node.value);
          break;
        case program::Node::Kind::primitive:
          value[n] = integer_result(node.primitive, operand(node, 0), operand(node, 1), operand(node, 2));
          break;
      }
    }
    if (y.dtype() == i32) {
      y.data<std::int32_t>()[i] = static_cast<std::int32_t>(value[result]);
    } else {
      y.data<std::int64_t>()[i] = value[result];
    }
  }
}

}  // namespace tapegrad::detail
