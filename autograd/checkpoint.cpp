#include "autograd/checkpoint.h"

#include <algorithm>

#include "autograd/op.h"
#include "autograd/random.h"
#include "autograd/tape_access.h"

namespace tapegrad::detail {

namespace {

// A call of f, and what it takes to repeat it.
struct Segment {
  TensorFunction f;
  random::Generator start;                   // the default generator as the call found it
  std::vector<BufferJournal::Note> buffers;  // those that it changed, as it found them
  Shape shape;                               // of the result
  DType type;
  int inputs;
  struct Captured {
    std::uint32_t index;
    std::uint32_t version;
  };
  std::vector<Captured> parameters;  // that f uses without being handed them
};

using Held = std::shared_ptr<const Segment>;

// The buffers hold what they held before the call, for as long as this lives.
class RestoredBuffers {
 public:
  explicit RestoredBuffers(const std::vector<BufferJournal::Note>& notes) {
    for (const auto& [buffer, value] : notes) {
      now_.push_back({buffer, buffer->exchange(value.defined() ? value.clone() : Tensor())});
    }
  }
  ~RestoredBuffers() {
    for (auto& [buffer, value] : now_) buffer->exchange(std::move(value));
  }
  RestoredBuffers(const RestoredBuffers&) = delete;
  RestoredBuffers& operator=(const RestoredBuffers&) = delete;

 private:
  std::vector<BufferJournal::Note> now_;
};

// Makes aliases, known to this tape, of those that are tracked.
void watch_tracked(Tape& tape, std::vector<Tensor>& xs, SourceLocation at) {
  for (Tensor& x : xs) {
    if (record.index(x.block(), at)) tape.watch(x, at);
  }
}

const Block& parameter_at(std::uint32_t i) { return *record.entries[i].saved[0]; }

void check_parameters(const Segment& segment, SourceLocation at) {
  for (const auto& [index, version] : segment.parameters) {
    const Block& block = parameter_at(index);
    if (block.version == version) continue;
    fail_op("checkpoint",
            "a parameter that the function uses was changed since: `" + std::string(block.changed_by) + "` at " +
                where(block.changed_at),
            at);
  }
}

void go_back(Walk& walk, Tensor cotangent) {
  const Held segment = walk.attributes<Held>();
  check_parameters(*segment, walk.at());
  std::vector<Tensor> xs;
  for (int k = 0; k < segment->inputs; ++k) xs.push_back(walk.input(k));

  std::vector<TapeAccess::Wanted> wanted;
  std::vector<int> wanted_inputs;
  std::vector<Tensor> gradients;
  {
    Tape tape({}, walk.at());
    watch_tracked(tape, xs, walk.at());
    TapeAccess::begin_here(tape);  // the inputs' aliases end the walk, also where f captures what they stand for
    Tensor y;
    {
      random::Generator generator = segment->start;
      const random::StandIn stand_in(generator);
      const RestoredBuffers restored(segment->buffers);
      y = segment->f(xs);
    }
    if (!y.defined()) fail_op("checkpoint", "run again, the function returned an empty handle", walk.at());
    if (!(y.shape() == segment->shape) || y.dtype() != segment->type) {
      fail_op("checkpoint",
              "run again, the function returned " + describe(y) + " instead of " +
                  describe(Tensor::empty(segment->shape, segment->type)),
              walk.at());
    }
    if (record.index(y.block(), walk.at())) tape.watch(y, walk.at());  // it may be an input, or captured
    for (int k = 0; k < walk.inputs(); ++k) {
      if (!walk.needs(k)) continue;
      wanted_inputs.push_back(k);
      if (k < segment->inputs) {
        wanted.push_back({xs[static_cast<std::size_t>(k)].block()});
      } else {
        wanted.push_back({nullptr, TapeAccess::input_index(walk, k)});
      }
    }
    if (TapeAccess::has(tape, y)) {
      gradients = TapeAccess::gradient(tape, Arg(y, walk.at()), wanted, {.seed = cotangent, .allow_unused = true});
    }
  }
  for (std::size_t k = 0; k < gradients.size(); ++k) {
    if (gradients[k].defined()) walk.give(wanted_inputs[k], std::move(gradients[k]));
  }
}

constexpr int most_inputs = 3;

template <int inputs>
constexpr Op make_op() {
  Op op{"checkpoint", &go_back};
  op.uses.fill((1U << inputs) - 1);  // whichever gradient is wanted, all inputs are needed to run f again
  op.assign_slots();
  op.destroy_attributes = [](void* held) noexcept { static_cast<Held*>(held)->~Held(); };
  return op;
}
constexpr Op ops[most_inputs] = {make_op<1>(), make_op<2>(), make_op<3>()};

// What entries from `from` on read of what is older, and parameters.
std::vector<std::uint32_t> captured_by(std::uint32_t begin, std::uint32_t from) {
  std::vector<std::uint32_t> captured;
  for (std::uint32_t i = from; i < record.size; ++i) {
    const Entry& entry = record.entries[i];
    for (int k = 0; k < inputs_of(entry); ++k) {
      const std::uint32_t in = input_of(entry, k);
      if (in == 0 || (in >= begin && !is_parameter(record.entries[in]))) continue;
      if (std::ranges::find(captured, in) == captured.end()) captured.push_back(in);
    }
  }
  return captured;
}

}  // namespace

Tensor checkpoint(TensorFunction f, const std::vector<Tensor>& inputs, SourceLocation at) {
  for (const Tensor& x : inputs) {
    if (!x.defined()) fail_op("checkpoint", "an input is an empty handle", at);
  }
  if (!record.recording) return f(inputs);

  std::vector<std::uint32_t> indices;
  std::vector<const Tensor*> tensors;
  for (const Tensor& x : inputs) {
    indices.push_back(record.index(x.block(), at));  // a parameter is entered here, outside of the segment
    tensors.push_back(&x);
  }
  Segment segment{std::move(f), random::state(), {}, {}, f32, static_cast<int>(inputs.size()), {}};
  Tensor y;
  std::vector<std::uint32_t> captured;
  {
    // Recorded by a tape that nobody walks, to see what f reads besides its inputs.
    const Tape::Pause pause;
    Tape tape({}, at);
    std::vector<Tensor> xs = inputs;
    watch_tracked(tape, xs, at);
    const std::uint32_t from = record.size;
    random::Generator generator = segment.start;
    {
      const random::StandIn stand_in(generator);
      BufferJournal journal;
      y = segment.f(xs);
      segment.buffers = journal.take();
    }
    random::set_state(generator);
    if (!y.defined()) fail_op("checkpoint", "the function returned an empty handle", at);
    captured = captured_by(TapeAccess::begin(tape), from);
    const std::uint32_t result = record.index(y.block(), at);
    const bool is_captured = result && (result < TapeAccess::begin(tape) || is_parameter(record.entries[result]));
    if (is_captured && std::ranges::find(captured, result) == captured.end()) captured.push_back(result);
  }
  for (const std::uint32_t i : captured) {
    if (is_parameter(record.entries[i])) segment.parameters.push_back({i, parameter_at(i).version});
  }
  y = stop_gradient(Arg(y, at));
  segment.shape = y.shape();
  segment.type = y.dtype();

  indices.insert(indices.end(), captured.begin(), captured.end());
  tensors.resize(indices.size());
  const bool is_tracked = std::ranges::any_of(indices, [](std::uint32_t i) { return i != 0; });
  if (!is_tracked || !is_floating(y.dtype())) return y;
  const Op& op = ops[inputs.size() - 1];
  const int count = static_cast<int>(indices.size());
  Extra* const extra = allocate_extra(op, count, sizeof(Held));
  new (extra->attributes()) Held(std::make_shared<const Segment>(std::move(segment)));
  record.push(op, at, y, indices.data(), tensors.data(), count, extra);
  return y;
}

}  // namespace tapegrad::detail
