#include "autograd/tape.h"

#include <algorithm>

#include "autograd/create.h"
#include "autograd/jvp.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/record.h"
#include "autograd/touched_rows.h"

namespace tapegrad {

using detail::Block;
using detail::Entry;
using detail::gradient_in;
using detail::input_of;
using detail::put_gradient;
using detail::record;
using detail::take_gradient;

namespace {

constexpr detail::Op watch_op{"watch", nullptr};
constexpr detail::Op alias_op{.name = "alias",
                              .vjp = [](Walk& walk, Tensor g) { walk.give(0, std::move(g)); },
                              .jvp = [](Tangents& t) { t.give(t[0]); }};

bool broadcasts_to(const Shape& from, const Shape& to) {
  const int added = to.ndim() - from.ndim();
  for (int axis = 0; axis < from.ndim(); ++axis) {
    if (added < 0 || (from[axis] != to[axis + added] && from[axis] != 1)) return false;
  }
  return true;
}

Tensor alias_of(const Tensor& x) {
  const auto strides = x.strides();
  return Tensor::view(x, x.shape(), std::span(strides).first(static_cast<std::size_t>(x.ndim())), 0);
}

}  // namespace

// ---- leaves ----

void Tape::watch(Tensor& x, SourceLocation at) {
  if (!x.defined()) fail("watch: the tensor is empty (default-constructed)", at);
  if (begin_ == ended) fail("watch: this tape has ended with the scope around it", at);
  if (!is_floating(x.dtype())) fail("watch: " + describe(x) + " has no gradient", at, "convert it with to(f32)");
  const std::uint32_t i = record.index(x.block(), at);
  if (i >= begin_) return;
  Tensor alias = alias_of(x);
  const Tensor* const input[] = {&x};
  record.push(i ? alias_op : watch_op, at, alias, &i, input, i ? 1 : 0);
  x = std::move(alias);
}

Tensor stop_gradient(Arg x) {
  const Tensor& tensor = x.tensor();
  if (!tensor.defined()) detail::fail_op("stop_gradient", "input 0 is an empty handle", x.at());
  return alias_of(tensor);
}

// ---- what a rule sees ----

inline void Walk::begin(std::uint32_t i, bool keep) {
  Entry& entry = record.entries[i];
  entry_ = entry;
  owns_ = !keep;
  saved_[0].adopt(entry_.saved[0]);
  saved_[1].adopt(entry_.saved[1]);
  for (unsigned s = 2; entry_.extra && s < entry_.op->saved; ++s) {
    saved_[s].adopt(entry_.extra->more_saved()[s - 2].block);
  }
  if (!keep) {
    // From here on this walk owns what the entry saved.
    entry.saved[0] = detail::released;
    entry.saved[1] = nullptr;
    return;
  }
  for (unsigned s = 0; s < entry_.op->saved; ++s) {
    Block* block = saved_[s].block();
    if (block && !detail::is_kept_by_record(block)) detail::retain(block);
  }
}

inline void Walk::end() noexcept {
  const auto let_go = [](Tensor& saved) {
    Block* block = saved.release_block();
    if (block && !detail::is_kept_by_record(block)) detail::drop(block);
  };
  let_go(saved_[0]);
  let_go(saved_[1]);
  if (!entry_.extra) [[likely]]
    return;
  for (unsigned s = 2; s < entry_.op->saved; ++s) let_go(saved_[s]);
  if (owns_) detail::release_attributes(*entry_.op, entry_.extra);
  entry_.extra = nullptr;
}

// Beyond the second slot, or an error.
const Tensor& Walk::saved_elsewhere(std::size_t s) const {
  if (s >= entry_.op->saved || !saved_[s].defined()) [[unlikely]] {
    fail(std::string(entry_.op->name) + ": its rule reads a tensor that `uses` does not name", entry_.at);
  }
  const Tensor& t = saved_[s];
  const std::uint32_t version = s < 2 ? entry_.version[s] : entry_.extra->more_saved()[s - 2].version;
  const Block* storage = t.block()->storage();
  if (storage->version != version) [[unlikely]] {
    throw Error("`" + std::string(entry_.op->name) + "` at " + where(entry_.at) + " saved a tensor " + describe(t) +
                "; `" + storage->changed_by + "` at " + where(storage->changed_at) + " changed it");
  }
  return t;
}

Shape Walk::shape(int k) const { return detail::shape_at(record.entries[input_of(entry_, k)].shape); }

// Of an input beyond the third.
bool Walk::needs_far(int k) const {
  if (k >= inputs()) {
    fail(std::string(entry_.op->name) + ": its rule asks for input " + std::to_string(k) + ", which it does not have",
         entry_.at);
  }
  return slot(k) && *slot(k);
}

// Gives the gradient in the shape and dtype of input k.
[[gnu::noinline]] void Walk::give_fitted(int k, Tensor& g) {
  const std::uint32_t wanted = record.entries[input_of(entry_, k)].shape;
  const Shape target = detail::shape_at(wanted);
  if (!broadcasts_to(target, g.shape())) {
    fail(std::string(entry_.op->name) + ": its rule gave " + describe(g) + " as the gradient of input " +
             std::to_string(k) + ", which is " + to_string(detail::dtype_at(wanted), target),
         entry_.at);
  }
  if (!(g.shape() == target)) g = sum_to(Arg(std::move(g), entry_.at), target);
  if (g.dtype() != detail::dtype_at(wanted)) g = g.to(detail::dtype_at(wanted), entry_.at);
  give(k, std::move(g));
}

// Every rule comes through here for each of its inputs: rare cases are calls at the end, for which nothing is set up.
void Walk::give(int k, Tensor&& g) {
  if (!needs(k)) return;
  if (!g.defined()) [[unlikely]]
    fail_empty(k);
  const std::uint32_t in = input_of(entry_, k);
  if (!detail::same_shape(record.entries[in].shape, *g.block())) [[unlikely]]
    return give_fitted(k, g);
  std::uint64_t& place = record.slots[base_ + in - first_];
  Block* const sum = gradient_in(place);
  if (!sum) return put_gradient(place, std::move(g));
  if (!detail::may_add_in_place(*sum, *g.block())) return add(in, g);
  detail::add_in_place(*sum, *g.block());
}

void Walk::give(int k, const Tensor& g) {
  if (!needs(k)) return;
  const std::uint32_t in = input_of(entry_, k);
  Block* const sum = gradient_in(record.slots[base_ + in - first_]);
  if (sum && g.defined() && detail::same_shape(record.entries[in].shape, *g.block()) &&
      detail::may_add_in_place(*sum, *g.block())) {
    return detail::add_in_place(*sum, *g.block());  // needs no handle of its own to g
  }
  give_copy(k, g);
}

[[gnu::noinline]] void Walk::give_copy(int k, Tensor g) { give(k, std::move(g)); }

bool Walk::takes_rows(int k) const {
  if (!rows_ || recording() || !needs(k)) return false;
  return detail::is_parameter(record.entries[input_of(entry_, k)]) && (*slot(k) & detail::target_flag);
}

void Walk::give_rows(int k, detail::IndexedRows rows) {
  const std::uint32_t in = input_of(entry_, k);
  record.walked[in] = 1;
  rows_->list.push_back({in, std::move(rows)});
}

void Walk::fail_empty(int k) const {
  fail(std::string(entry_.op->name) + ": its rule gave an empty handle for input " + std::to_string(k), entry_.at);
}

// Adds to the gradient of entry `in`, which has one already, of the same shape, and which must not be changed.
[[gnu::noinline]] void Walk::add(std::uint32_t in, Tensor& g) {
  Tensor sum = take_gradient(record.slots[base_ + in - first_]);
  if (detail::may_add_in_place(*g.block(), *sum.block())) {
    detail::add_in_place(*g.block(), *sum.block());  // addition commutes
    sum = std::move(g);
  } else {
    sum = Arg(sum, entry_.at) + g;
  }
  put_gradient(record.slots[base_ + in - first_], std::move(sum));  // the slots may have moved
}

// ---- the walk ----

Tensor Tape::gradient(Arg y, const Tensor& x, const GradientOptions& options) {
  Target target{x.block(), 0, {}};
  walk(y, {&target, 1}, options);
  return std::move(target.gradient);
}

Tensor Tape::gradient(Arg y, const Parameter& x, const GradientOptions& options) {
  return gradient(y, x.value(), options);
}

std::vector<Tensor> Tape::gradient(Arg y, const std::vector<Tensor>& xs, const GradientOptions& options) {
  std::vector<Target> targets;
  for (const Tensor& x : xs) targets.push_back({x.block(), 0, {}});
  walk(y, targets, options);
  std::vector<Tensor> gradients;
  for (Target& t : targets) gradients.push_back(std::move(t.gradient));
  return gradients;
}

Gradients Tape::gradient(Arg y, detail::ParameterList parameters, const GradientOptions& options) {
  detail::CachedVector<Target> targets;
  targets.reserve(parameters.size());
  for (const auto& p : parameters) targets.push_back({p.block, 0, {}});
  detail::RowParts parts;
  walk(y, targets, options, &parts);
  Gradients gradients;
  gradients.reserve(parameters.size());
  for (std::size_t k = 0; k < parameters.size(); ++k) {
    const auto& [name, block] = parameters[k];
    if (!targets[k].has_rows) {
      gradients.append(name, block, std::move(targets[k].gradient));
      continue;
    }
    TouchedRows rows = parts.sum(targets[k].index, Tensor::share(block));
    if (targets[k].gradient.defined()) {
      gradients.append(name, block, detail::sum_of(std::move(targets[k].gradient), rows));
    } else {
      gradients.append(name, block, std::move(rows));
    }
  }
  return gradients;
}

// Entries since this tape was opened, and parameters: 0 for anything else.
std::uint32_t Tape::index_of_target(Block* block) const {
  const std::uint64_t word = block->node.load(std::memory_order_relaxed);
  std::uint32_t i = (word >> 28) == record.generation ? static_cast<std::uint32_t>(word & 0xfffffff) : 0;
  if (block->flags & detail::leaf_flag) return i ? i : detail::find_parameter(block);
  return i >= begin_ || has_older_targets_ ? i : 0;
}

void Tape::walk(const Arg& y, std::span<Target> targets, const GradientOptions& options, detail::RowParts* rows) {
  Result result{y.tensor(), options.seed};
  walk({&result, 1}, targets, options.allow_unused, y.at(), rows);
}

void Tape::find(Result& result, SourceLocation at) const {
  const Tensor& y = result.tensor;
  const Tensor& seed = result.cotangent;
  if (!y.defined()) fail("gradient: the result is an empty handle", at);
  if (!seed.defined() && y.size() != 1) {
    fail("gradient: the result is " + describe(y) + ", not one number", at,
         "reduce it with sum() or mean(), or pass a cotangent: {.seed = ...}");
  }
  if (seed.defined() && (!(seed.shape() == y.shape()) || seed.dtype() != y.dtype())) {
    fail("gradient: the seed is " + describe(seed) + " and the result " + describe(y), at);
  }
  result.index = index_of_target(y.block());
  if (!result.index) {
    fail("gradient: the result " + describe(y) + " is not on this tape", at,
         "compute it after the tape was opened, from parameters or tensors given to watch()");
  }
}

void Tape::walk(std::span<Result> results, std::span<Target> targets, bool allow_unused, SourceLocation at,
                detail::RowParts* rows) {
  if (begin_ == ended) fail("gradient: this tape has ended with the scope around it", at);
  for (const Target& t : targets) {
    if (!t.block && !t.index) fail("gradient: what the gradient is wanted for is an empty handle", at);
  }
  std::uint32_t last = 0;
  for (Result& r : results) {
    find(r, at);
    last = std::max(last, r.index);
  }
  detail::note_walk();
  std::uint32_t first = last + 1;
  for (Target& t : targets) {
    if (t.block) t.index = index_of_target(t.block);
    if (t.index > last) t.index = 0;
    if (t.index) first = std::min(first, t.index);
  }

  const detail::WalkGuard guard;
  if (record.recording) record.recording = enclosing_;  // this tape pauses; the ones around it record the walk

  if (first <= last) {
    detail::push_slots(last - first + 1);
    for (const Target& t : targets) {
      if (t.index) record.slots[guard.base + t.index - first] = detail::needed_flag | detail::target_flag;
    }
    detail::mark_between(std::max(first, begin_), first, last, guard.base);
    detail::cover_walked(last);
    for (const Result& r : results) {
      if (r.index < first) continue;
      std::uint64_t& slot = record.slots[guard.base + r.index - first];
      if (!slot) continue;  // nothing that is wanted leads to it
      const Tensor& seed = r.cotangent;
      Tensor g = seed.defined() ? seed : ones(r.tensor.shape(), r.tensor.dtype());
      if (gradient_in(slot)) g = Arg(take_gradient(slot), at) + g;  // the same result twice
      put_gradient(record.slots[guard.base + r.index - first], std::move(g));
    }
    walk_back(first, last, guard.base, at, rows);
    for (Target& t : targets) {
      Block* g = t.index ? gradient_in(record.slots[guard.base + t.index - first]) : nullptr;
      if (g) t.gradient = Tensor::share(g);
      t.has_rows = rows && t.index && rows->has(t.index);
    }
  }
  if (allow_unused) return;
  for (const Target& t : targets) {
    if (!t.gradient.defined() && !t.has_rows) fail_unreached(targets, at);
  }
}

void Tape::walk_back(std::uint32_t first, std::uint32_t last, std::uint32_t base, SourceLocation at,
                     detail::RowParts* rows) {
  const auto slot = [&](std::uint32_t i) -> std::uint64_t& { return record.slots[base + i - first]; };
  const bool keep = enclosing_ || keeps_saved_;
  record.inherit_line = true;
  const bool has_hooks = !hooks_.empty();
  const bool checks = record.checks_finite;

  Walk walk;
  walk.first_ = first;
  walk.base_ = base;
  const bool is_looked_at = has_hooks || checks || record.values;
  walk.rows_ = is_looked_at ? nullptr : rows;
  struct End {
    Walk& walk;
    ~End() { walk.end(); }
  } end{walk};
  for (std::uint32_t i = last; i >= first; --i) {
    Block* arrived = gradient_in(slot(i));
    if (!arrived) continue;
    record.walked[i] = 1;
    if (has_hooks) [[unlikely]] {
      run_hooks(i, base + i - first);
      arrived = gradient_in(slot(i));
    }
    if (record.values) detail::keep_gradient(i, arrived);
    const Entry& entry = record.entries[i];
    if (i < begin_ || !entry.op->vjp) continue;
    detail::prefetch_saved(i);
    walk.needed_ = detail::needed_inputs(slot(i));
    if (!walk.needed_) continue;
    if (detail::was_released(entry)) {
      fail("gradient: `" + std::string(entry.op->name) + "` at " + where(entry.at) +
               " was walked before and has released what it saved",
           at, "open the tape with {.persistent = true}, or take both gradients in one call");
    }
    walk.begin(i, keep);
    record.line = walk.at();
    record.layer = record.has_layers ? detail::layer_of(i) : 0;
    ++record.rule_calls;
    walk.op().vjp(walk, slot(i) & detail::target_flag ? Tensor::share(arrived) : take_gradient(slot(i)));
    if (checks) [[unlikely]]
      walk.check_finite();
    walk.end();
  }
}

void Tape::fail_unreached(std::span<const Target> targets, SourceLocation at) const {
  std::string names;
  int missing = 0;
  for (const Target& t : targets) {
    if (t.gradient.defined() || t.has_rows) continue;
    if (++missing > 3) continue;
    if (missing > 1) names += ", ";
    const std::uint32_t name = t.block->name.load(std::memory_order_relaxed);
    if (name) names += "`" + detail::interned(name) + "` ";
    names += describe(Tensor::share(t.block));
  }
  if (missing > 3) names += " and " + std::to_string(missing - 3) + " more";
  fail("gradient: the result does not depend on " + names, at,
       "was the model copied (by value into a lambda or a loop), did the forward pass run before the tape was opened, "
       "or "
       "was a tensor not given to watch()? Pass {.allow_unused = true} if this is intended");
}

}  // namespace tapegrad
