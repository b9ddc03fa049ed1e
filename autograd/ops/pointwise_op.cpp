#include "autograd/ops/pointwise_op.h"

#include <algorithm>

#include "autograd/create.h"
#include "autograd/ops/evaluate.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/record.h"

namespace tapegrad::detail {

namespace {

using program::Form;
using program::Primitive;
using program::Source;

constexpr int max_operands = max_inputs_with_uses;

bool keeps_integers(const program::Program& p) {
  const auto& nodes = p.nodes();
  return std::all_of(nodes.begin(), nodes.end(), [](const program::Node& n) {
    if (n.kind == program::Node::Kind::constant)
      return n.value == static_cast<double>(static_cast<std::int64_t>(n.value));
    return n.kind == program::Node::Kind::input || integer_primitive(n.primitive);
  });
}

// Whether the program only hands on its inputs, so that booleans stay booleans.
bool only_chooses(const program::Program& p) {
  const auto& nodes = p.nodes();
  return std::all_of(nodes.begin(), nodes.end(), [](const program::Node& n) {
    if (n.kind == program::Node::Kind::constant) return n.value == 0;
    return n.kind == program::Node::Kind::input || n.is(Primitive::select) || n.is(Primitive::not_equal) ||
           n.is(Primitive::minimum) || n.is(Primitive::maximum);
  });
}

// A tensor whose only handle this is, for new elements: what a tape knows of the old ones does not hold for them.
Tensor take_over(Tensor& x) {
  x.block()->node.store(0, std::memory_order_relaxed);
  return std::move(x);
}

void record_many(const PointwiseOp& op, const Tensor* const* x, int count, SourceLocation at, const Tensor& y);

// ---- the backward pass ----

// `seen` is what a rule sees, Walk or Tangents.
template <class Seen>
const Tensor& tensor_of(const Source& source, const Seen& seen, const Tensor& g) {
  switch (source.kind) {
    case Source::Kind::input:
      return seen.input(source.index);
    case Source::Kind::output:
      return seen.output();
    case Source::Kind::upstream:
      break;
  }
  return g;
}

// Gradients that are zero or the cotangent itself, given last so that the cotangent can be handed on.
void give_simple(Walk& walk, std::span<const program::Partial> partials, Tensor& g) {
  for (std::size_t p = partials.size(); p-- > 0;) {
    const auto [input, form, reads_inputs, reads_outputs] = partials[p];
    if (form == Form::general) continue;
    if (form != Form::upstream) {
      walk.give(input, form == Form::zero ? zeros_like(g) : -g);
    } else if (p == 0) {
      walk.give(input, std::move(g));
    } else {
      walk.give(input, std::as_const(g));
    }
  }
}

// Enters `gradient` as the result of the op that computes it alone, so that an enclosing tape can walk on from it.
[[gnu::noinline]] void record_partial(const Walk& walk, const PointwiseOp& op, int k, const Tensor& g,
                                      const Tensor& gradient) {
  const PointwiseOp::PartialOp& partial = op.partial(k);
  if (!partial.op) throw Error("internal: a gradient without a program of its own, in " + std::string(op.name));
  Tensor sources[max_operands];
  const Tensor* x[max_operands];
  const int count = partial.op->inputs();
  for (int s = 0; s < count; ++s) {
    sources[s] = tensor_of(partial.sources[static_cast<std::size_t>(s)], walk, g);
    x[s] = &sources[s];
  }
  record_many(*partial.op, x, count, walk.at(), gradient);
}

// For sources that are not all of one dtype, size and layout: views, and what was broadcast.
[[gnu::noinline]] void compute_general(const PointwiseOp::Gradient& gradient, const Walk& walk, const Tensor& g,
                                       std::span<Tensor> results) {
  const Tensor* x[max_operands];
  std::size_t sources = 0;
  for (const std::uint8_t slot : gradient.slots) x[sources++] = slot == PointwiseOp::cotangent ? &g : &walk.saved(slot);
  evaluate(gradient.executable, std::span(x, sources), results);
}

// Runs the gradient's program. `g` is the cotangent, or the result that is written over it.
[[gnu::always_inline]] inline void compute_gradients(const PointwiseOp::Gradient& gradient, const Walk& walk,
                                                     const Tensor& g, std::span<Tensor> results) {
  const void* elements[max_operands];
  elements[1] = elements[2] = nullptr;
  const Block& like = *results[0].block();
  const void** next = elements;
  std::int64_t differences = 0;  // one branch for all sources
  for (const std::uint8_t slot : gradient.slots) {
    const Block& b = *(slot == PointwiseOp::cotangent ? g : walk.saved(slot)).block();
    differences |= (b.size ^ like.size) | (b.type ^ like.type) | (b.flags & strided_flag);
    *next++ = b.data;
  }
  if (differences) [[unlikely]]
    return compute_general(gradient, walk, g, results);
  void* y[max_operands];
  for (std::size_t r = 0; r < results.size(); ++r) y[r] = results[r].data();
  evaluate_flat(gradient.executable, like.dtype(), elements, 0, y, like.size);
}

[[gnu::always_inline]] inline void give_results(Walk& walk, const PointwiseOp& op,
                                                const PointwiseOp::Gradient& gradient, Tensor& g,
                                                std::span<Tensor> results) {
  // The first result is written over the cotangent when nobody else needs it; lower() stores that one last.
  const bool is_recorded = walk.recording();
  const bool lends = !is_recorded && gradient.may_lend && g.is_sole_owner();
  results[0] = lends ? take_over(g) : Tensor::like(g);
  for (std::size_t r = 1; r < results.size(); ++r) results[r] = Tensor::like(results[0]);
  compute_gradients(gradient, walk, lends ? results[0] : g, results);
  for (std::size_t r = 0; r < results.size(); ++r) {
    const int input = gradient.inputs[r];
    if (is_recorded) [[unlikely]]
      record_partial(walk, op, input, g, results[r]);
    walk.give(input, std::move(results[r]));
  }
  if (!gradient.is_all_general) give_simple(walk, gradient.partials, g);
}

[[gnu::noinline]] void give_many(Walk& walk, const PointwiseOp& op, const PointwiseOp::Gradient& gradient, Tensor& g) {
  CachedVector<Tensor> results;
  results.resize(gradient.executable.output_count);
  give_results(walk, op, gradient, g, results);
}

// Most rules have one or two results. Not inlined: the rule of an addition needs no room for any.
[[gnu::noinline]] void give_few(Walk& walk, const PointwiseOp& op, const PointwiseOp::Gradient& gradient, Tensor& g) {
  Tensor results[2];
  give_results(walk, op, gradient, g, std::span(results, gradient.inputs.size()));
}

void pointwise_rule(Walk& walk, Tensor g) {
  const auto& op = static_cast<const PointwiseOp&>(walk.op());
  unsigned wanted = walk.needed();
  for (int k = 3; k < op.inputs(); ++k) wanted |= static_cast<unsigned>(walk.needs(k)) << k;
  const PointwiseOp::Gradient& gradient = op.gradient(wanted);
  const std::size_t count = gradient.inputs.size();
  if (count == 0) return give_simple(walk, gradient.partials, g);
  if (count > 2) return give_many(walk, op, gradient, g);
  give_few(walk, op, gradient, g);
}

// ---- the sweep forward ----

// The derivative of an element is the same number in both directions: the tangent takes the place of the cotangent in
// the gradient's program.
void give_tangent(Tangents& t, const PointwiseOp& op, int k) {
  const PointwiseOp::PartialOp& partial = op.partial(k);
  const Form form = partial.partial.form;
  const Tensor tangent = t[k];
  if (form == Form::zero) return;
  if (form != Form::general) return t.give(expand(form == Form::upstream ? tangent : -tangent, t.shape()));
  const Tensor* x[max_operands];
  const int count = partial.op->inputs();
  for (int s = 0; s < count; ++s) x[s] = &tensor_of(partial.sources[static_cast<std::size_t>(s)], t, tangent);
  Tensor y = Tensor::empty(t.shape(), t.dtype());
  evaluate(partial.op->executable(), std::span(x, static_cast<std::size_t>(count)), {&y, 1});
  if (record.recording) record_many(*partial.op, x, count, t.at(), y);
  t.give(std::move(y));
}

void pointwise_forward_rule(Tangents& t) {
  const auto& op = static_cast<const PointwiseOp&>(t.op());
  for (int k = 0; k < op.inputs(); ++k) {
    if (t.has(k)) give_tangent(t, op, k);
  }
}

[[gnu::noinline]] void add_large(Block& sum, const Block& g) {
  static const program::Executable add = program::lower(program::trace([](auto a, auto b) { return a + b; }));
  void* elements = sum.data;
  const void* x[] = {elements, g.data, nullptr};
  evaluate_flat(add, sum.dtype(), x, 0, &elements, sum.size);
}

}  // namespace

void add_in_place(Block& sum, const Block& g) {
  sum.node.store(0, std::memory_order_relaxed);
  if (sum.size >= threaded_size) return add_large(sum, g);
  evaluate_single(Primitive::add, sum.dtype(), sum.data, sum.data, g.data, nullptr, sum.size);
}

// ---- construction ----

PointwiseOp::PointwiseOp(const char* op_name, program::Program p, PointwiseResult result,
                         std::optional<program::Program> slope)
    : Op{op_name, &pointwise_rule},
      program_(std::move(p)),
      slope_(std::move(slope)),
      executable_(program::lower(program_)),
      result_(result),
      integral_(keeps_integers(program_)) {
  jvp = &pointwise_forward_rule;
  if (inputs() > max_operands)
    throw Error(std::string(op_name) + ": a derivative of this order reads too many tensors");
  for (int k = 0; k < inputs() && result_ == PointwiseResult::number; ++k) {
    const program::Derivative d = differentiate(1u << k);
    uses[static_cast<std::size_t>(k)] = d.reads_inputs | (d.reads_outputs ? output_bit : 0u);
  }
  assign_slots();
}

PointwiseOp::~PointwiseOp() {
  for (auto& g : gradients_) delete g.load();
  for (auto& p : partials_) delete p.load();
}

std::uint8_t PointwiseOp::slot_of(const Source& source) const {
  if (source.kind == Source::Kind::upstream) return cotangent;
  return source.kind == Source::Kind::output ? slot_of_output : slot_of_input[source.index];
}

const PointwiseOp::Gradient& PointwiseOp::make_gradient(unsigned wanted) const {
  const std::lock_guard lock(mutex_);
  const bool is_common = wanted < gradients_.size();
  if (is_common) {
    if (const Gradient* made = gradients_[wanted].load(std::memory_order_acquire)) return *made;
  } else if (const auto found = more_gradients_.find(wanted); found != more_gradients_.end()) {
    return *found->second;
  }
  auto made = std::make_unique<Gradient>();
  made->partials = differentiate(wanted).partials;
  unsigned general = 0;
  for (const program::Partial& p : made->partials) {
    if (p.form != Form::general) continue;
    general |= 1u << p.input;
    made->inputs.push_back(static_cast<std::uint8_t>(p.input));
  }
  if (general) {
    made->derivative = differentiate(general);
    made->executable = program::lower(made->derivative.program);
    for (const Source& source : made->derivative.sources) made->slots.push_back(slot_of(source));
  }
  made->is_all_general = made->partials.size() == made->executable.output_count;
  made->may_lend = general && made->is_all_general && made->executable.read_after_store[0] == 0;
  if (!is_common) return *(more_gradients_[wanted] = std::move(made));
  gradients_[wanted].store(made.get(), std::memory_order_release);
  return *made.release();
}

const PointwiseOp::PartialOp& PointwiseOp::partial(int k) const {
  auto& cached = partials_[static_cast<std::size_t>(k)];
  if (const PartialOp* made = cached.load(std::memory_order_acquire)) return *made;
  const std::lock_guard lock(mutex_);
  if (const PartialOp* made = cached.load(std::memory_order_acquire)) return *made;
  const program::Derivative d = differentiate(1u << k);
  auto made = std::make_unique<PartialOp>();
  made->partial = d.partials.front();
  if (made->partial.form == Form::general) {
    made->sources = d.sources;
    made->op = std::make_unique<PointwiseOp>(name, d.program);
  }
  cached.store(made.get(), std::memory_order_release);
  return *made.release();
}

// ---- the forward pass ----

namespace {

[[noreturn]] void fail_mixed(const PointwiseOp& op, const Tensor* const* x, int count, SourceLocation at) {
  std::string types;
  for (int k = 0; k < count; ++k) types += (k ? " and " : "") + describe(*x[k]);
  fail_op(op.name, "f32 and f64 are mixed: " + types, at, "convert one of them: x.to(f64)");
}

// The dtype in which op computes on x. Integers take a float's dtype; among themselves they stay integers if they can.
DType compute_type(const PointwiseOp& op, const Tensor* const* x, int count, SourceLocation at) {
  bool has_f32 = false;
  bool has_f64 = false;
  bool has_i64 = false;
  for (int k = 0; k < count; ++k) {
    has_f32 |= x[k]->dtype() == f32;
    has_f64 |= x[k]->dtype() == f64;
    has_i64 |= x[k]->dtype() == i64;
  }
  if (has_f32 && has_f64) fail_mixed(op, x, count, at);
  if (has_f64) return f64;
  if (has_f32 || !op.is_integral()) return f32;
  return has_i64 ? i64 : i32;
}

Shape result_shape(const PointwiseOp& op, const Tensor* const* x, int count, SourceLocation at) {
  Shape shape = x[0]->shape();
  for (int k = 1; k < count; ++k) shape = broadcast_shapes(op.name, shape, x[k]->shape(), at);
  return shape;
}

[[gnu::noinline]] Tensor compute_mixed(const PointwiseOp& op, const Tensor* const* x, int count, SourceLocation at) {
  const DType type = compute_type(op, x, count, at);
  Tensor y = Tensor::empty(result_shape(op, x, count, at), type);
  const std::span operands(x, static_cast<std::size_t>(count));
  if (is_floating(type)) {
    evaluate(op.executable(), operands, {&y, 1});
  } else {
    evaluate_integers(op.program(), operands, y);
  }
  const auto is_boolean = [](const Tensor* operand) { return operand->dtype() == boolean; };
  if (op.result() == PointwiseResult::boolean ||
      (std::all_of(x, x + count, is_boolean) && only_chooses(op.program()))) {
    return no_tape([&] { return y.to(boolean, at); });
  }
  return y;
}

void record_many(const PointwiseOp& op, const Tensor* const* x, int count, SourceLocation at, const Tensor& y) {
  std::uint32_t in[max_operands];
  std::uint32_t any = 0;
  for (int k = 0; k < count; ++k) any |= in[k] = record.index(x[k]->block(), at);
  if (any) record.push(op, at, y, in, x, count, allocate_extra(op, count, 0));
}

template <int N, bool is_uniform>
[[gnu::always_inline]] inline void record_op(const PointwiseOp& op, Block* const* x, SourceLocation at,
                                             const Tensor& y) {
  if constexpr (N <= 3) {
    if (op.saved <= 2) {
      std::uint32_t in[N];
      std::uint32_t any = 0;
      for (int k = 0; k < N; ++k) any |= in[k] = record.index(x[k], at);
      if (any) push_small<N, is_uniform>(op, at, *y.block(), in, x);
      return;
    }
  }
  Tensor handles[N];
  const Tensor* tensors[N];
  for (int k = 0; k < N; ++k) {
    handles[k] = Tensor::share(x[k]);
    tensors[k] = &handles[k];
  }
  record_many(op, tensors, N, at, y);
}

// When all operands have the first one's dtype and shape and no gaps, the program runs straight over their elements.
template <int N>
bool is_uniform(Block* const* x) {
  const Block& first = *x[0];
  if (!is_floating(first.dtype()) || (first.flags & strided_flag)) return false;
  for (int k = 1; k < N; ++k) {
    if ((x[k]->flags & strided_flag) || !same_type_and_shape(first, *x[k])) return false;
  }
  return true;
}

// The operand over which the result may be written, or null; for when no tape records, which may read it again.
template <int N>
Tensor* lent_operand(const Arg* const* args) {
  for (int k = 0; k < N; ++k) {
    if (args[k]->is_expiring() && args[k]->tensor().is_sole_owner()) {
      return const_cast<Tensor*>(&args[k]->tensor());
    }
  }
  return nullptr;
}

// Any arguments: numbers, other dtypes, shapes that broadcast, views.
template <int N>
[[gnu::noinline]] Tensor apply_to_any(const PointwiseOp& op, const std::array<const Arg*, N>& args) {
  DType type = f32;  // of numbers: that of the first tensor of fractions, else of the first tensor
  bool is_found = false;
  for (int k = 0; k < N && !(is_found && is_floating(type)); ++k) {
    const Block* block = args[k]->block_or_null();
    if (!block || (is_found && !is_floating(block->dtype()))) continue;
    type = block->dtype();
    is_found = true;
  }
  const SourceLocation at = args[0]->at();
  const Tensor* x[N];
  Block* blocks[N];
  for (int k = 0; k < N; ++k) {
    x[k] = &args[k]->tensor(type);
    if (!x[k]->defined()) fail_op(op.name, "an argument is an empty handle", at);
    blocks[k] = x[k]->block();
  }
  Tensor y = compute_mixed(op, x, N, at);
  if (record.recording && op.result() == PointwiseResult::number && is_floating(y.dtype())) {
    record_op<N, false>(op, blocks, at, y);
  }
  return y;
}

}  // namespace

template <class... A>
Tensor apply_pointwise(const PointwiseOp& op, const A&... args) {
  constexpr int N = sizeof...(A);
  Block* const x[] = {args.block_or_null()...};
  const bool is_plain = op.result() == PointwiseResult::number && ((args.block_or_null() != nullptr) && ...);
  const Arg* const list[] = {&args...};
  if (!is_plain || !is_uniform<N>(x)) [[unlikely]]
    return apply_to_any<N>(op, {&args...});
  const void* operands[std::max(N, 3)];
  for (int k = 0; k < std::max(N, 3); ++k) operands[k] = k < N ? x[k]->data : nullptr;
  const bool is_recorded = record.recording != nullptr;
  Tensor* const lent = is_recorded ? nullptr : lent_operand<N>(list);
  Tensor y = lent ? take_over(*lent) : Tensor::like(*x[0]);
  void* elements = y.data();
  evaluate_flat(op.executable(), y.dtype(), operands, 0, &elements, y.size());
  if (is_recorded) record_op<N, true>(op, x, list[0]->at(), y);
  return y;
}

template Tensor apply_pointwise(const PointwiseOp&, const Arg&);
template Tensor apply_pointwise(const PointwiseOp&, const Arg&, const Arg&);
template Tensor apply_pointwise(const PointwiseOp&, const Arg&, const Arg&, const Arg&);
template Tensor apply_pointwise(const PointwiseOp&, const Arg&, const Arg&, const Arg&, const Arg&);
template Tensor apply_pointwise(const PointwiseOp&, const Arg&, const Arg&, const Arg&, const Arg&, const Arg&);
template Tensor apply_pointwise(const PointwiseOp&, const Arg&, const Arg&, const Arg&, const Arg&, const Arg&,
                                const Arg&);

}  // namespace tapegrad::detail
