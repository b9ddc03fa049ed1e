#include "autograd/jvp.h"

#include "autograd/create.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/tape_access.h"

namespace tapegrad {

using detail::Block;
using detail::Entry;
using detail::gradient_in;
using detail::input_of;
using detail::inputs_of;
using detail::needed_flag;
using detail::put_gradient;
using detail::record;
using detail::take_gradient;

// ---- what a rule sees ----

Tangents::Tangents(std::uint32_t first, std::uint32_t last) : first_(first), last_(last), base_(record.slots_size) {
  detail::push_slots(last - first + 1);
}

Block* Tangents::tangent_in(int k) const {
  const std::uint32_t in = input_of(walk_.entry_, k);
  return in < first_ ? nullptr : gradient_in(slot(in));
}

Tensor Tangents::operator[](int k) const {
  Block* const tangent = tangent_in(k);
  if (!tangent) {
    fail(std::string(op().name) + ": its jvp rule reads the tangent of input " + std::to_string(k) +
             ", which is a constant",
         at(), "ask has(k) first");
  }
  return Tensor::share(tangent);
}

Shape Tangents::shape() const { return detail::shape_at(walk_.entry_.shape); }
DType Tangents::dtype() const { return detail::dtype_at(walk_.entry_.shape); }

void Tangents::give(Tensor part) {
  if (!part.defined()) fail(std::string(op().name) + ": its jvp rule gave an empty handle", at());
  if (!(part.shape() == shape()) || part.dtype() != dtype()) {
    fail(std::string(op().name) + ": its jvp rule gave " + describe(part) + " for a result " +
             to_string(dtype(), shape()),
         at());
  }
  sum_ = sum_.defined() ? Arg(std::move(sum_), at()) + part : std::move(part);
}

// ---- the sweep ----

// Tangents of what does not lead to the result would be computed for nothing.
void Tangents::mark_what_leads_to_the_last() {
  slot(last_) |= needed_flag;
  for (std::uint32_t i = last_; i > first_; --i) {
    if (!(slot(i) & needed_flag)) continue;
    const Entry& entry = record.entries[i];
    for (int k = 0; k < inputs_of(entry); ++k) {
      if (input_of(entry, k) >= first_) slot(input_of(entry, k)) |= needed_flag;
    }
  }
}

void Tangents::sweep(SourceLocation at) {
  mark_what_leads_to_the_last();
  record.inherit_line = true;
  for (std::uint32_t i = first_; i <= last_; ++i) {
    const bool is_leaf = !record.entries[i].op->vjp;
    if (is_leaf || gradient_in(slot(i)) || !(slot(i) & needed_flag)) continue;
    Tensor tangent = tangent_of_entry(i, at);
    if (tangent.defined()) put_gradient(slot(i), std::move(tangent));
  }
}

Tensor Tangents::tangent_of_entry(std::uint32_t i, SourceLocation at) {
  walk_.entry_ = record.entries[i];
  if (!has_any()) return {};
  if (detail::was_released(walk_.entry_)) {
    fail("jvp: `" + std::string(op().name) + "` at " + where(walk_.at()) +
             " was walked inside the function and has released what it saved",
         at, "let the function walk a tape of its own");
  }
  load(i);
  ++record.rule_calls;
  op().jvp ? op().jvp(*this) : transpose_vjp();
  return std::move(sum_);
}

bool Tangents::has_any() const {
  const int count = inputs_of(walk_.entry_);
  int k = 0;
  while (k < count && !has(k)) ++k;
  return k < count;
}

// What the entry saved stays its own: the tape may be walked as well.
void Tangents::load(std::uint32_t i) {
  const Entry& entry = walk_.entry_;
  record.line = entry.at;
  record.layer = record.has_layers ? detail::layer_of(i) : 0;
  for (unsigned s = 0; s < entry.op->saved; ++s) {
    Block* const block = s < 2 ? entry.saved[s] : entry.extra->more_saved()[s - 2].block;
    walk_.saved_[s] = block ? Tensor::share(block) : Tensor();
  }
}

// u -> sum_k <J_k' u, v_k>, for the tangents v_k, is linear in u; its gradient is sum_k J_k v_k. So a second walk turns
// a vjp rule into a jvp, for any u.
void Tangents::transpose_vjp() {
  if (!cotangents_) {
    cotangents_ = record.slots_size;
    detail::push_slots(last_ - first_ + 1);
  }
  const auto cotangent = [&](int k) -> std::uint64_t& {
    return record.slots[cotangents_ + input_of(walk_.entry_, k) - first_];
  };
  const int count = inputs_of(walk_.entry_);
  walk_.first_ = first_;
  walk_.base_ = cotangents_;
  walk_.needed_ = 0;
  for (int k = 0; k < count; ++k) {
    if (!has(k)) continue;
    cotangent(k) = needed_flag;
    if (k < 3) walk_.needed_ |= 1u << k;
  }
  Tape tape({}, at());
  Tensor u = zeros(shape(), dtype());
  tape.watch(u, at());
  op().vjp(walk_, u);
  Tensor projection;
  for (int k = 0; k < count; ++k) {
    if (!has(k) || !gradient_in(cotangent(k))) continue;  // of an input that is there twice, all is at the first place
    const Tensor part = sum(take_gradient(cotangent(k)) * (*this)[k]);
    projection = projection.defined() ? projection + part : part;
  }
  for (int k = 0; k < count; ++k) {
    if (has(k)) cotangent(k) = 0;
  }
  const bool is_tracked = projection.defined() && record.index(projection.block(), at());
  if (!is_tracked) return;
  Tensor tangent = tape.gradient(projection, u, {.allow_unused = true});
  if (tangent.defined()) give(std::move(tangent));
}

// ---- the function ----

namespace {

void check_inputs(const std::vector<Tensor>& x, const std::vector<Tensor>& v, SourceLocation at) {
  if (x.empty()) fail("jvp: there are no inputs", at);
  if (x.size() != v.size()) {
    fail("jvp: " + std::to_string(v.size()) + " directions for " + std::to_string(x.size()) + " inputs", at);
  }
  for (std::size_t k = 0; k < x.size(); ++k) {
    const std::string which = x.size() == 1 ? "" : " " + std::to_string(k);
    if (!x[k].defined()) fail("jvp: input" + which + " is an empty handle", at);
    if (!v[k].defined()) fail("jvp: direction" + which + " is an empty handle", at);
    if (!is_floating(x[k].dtype())) {
      fail("jvp: input" + which + " is " + describe(x[k]) + " and has no tangent", at,
           "convert it with to(f32), or let the function capture it");
    }
    if (x[k].shape() == v[k].shape() && x[k].dtype() == v[k].dtype()) continue;
    fail("jvp: input" + which + " is " + describe(x[k]) + " and its direction " + describe(v[k]), at,
         "shapes and dtypes must be equal");
  }
}

}  // namespace

// A parameter is entered on the tapes that are open already: the new one then makes an alias of it. So where the
// function uses the same parameter otherwise, that is a constant.
void detail::enter_parameters(std::vector<Tensor>& x, SourceLocation at) {
  for (Tensor& t : x) {
    if (!(t.block()->flags & detail::leaf_flag)) continue;
    if (record.recording) {
      record.index(t.block(), at);
    } else {
      t = stop_gradient(Arg(t, at));
    }
  }
}

ValueAndTangent detail::run_jvp(const TensorFunction& f, std::vector<Tensor> x, const std::vector<Tensor>& v,
                                SourceLocation at) {
  check_inputs(x, v, at);
  enter_parameters(x, at);
  Tape* const outer = record.recording;
  Tape tape({}, at);
  for (Tensor& t : x) tape.watch(t, at);
  const Tensor y = f(x);
  if (!y.defined()) fail("jvp: the function returned an empty handle", at);
  if (tape.size() == 0) fail("jvp: a tape that was open around it has ended inside the function", at);

  detail::note_walk();
  const std::uint32_t first = record.index(x[0].block(), at);
  const std::uint32_t last = record.index(y.block(), at);
  Tensor tangent;
  if (last >= first) {
    const WalkGuard guard;
    record.recording = outer;  // this tape pauses; the ones around it record the sweep
    Tangents tangents(first, last);
    for (std::size_t k = 0; k < x.size(); ++k) {
      const std::uint32_t i = record.index(x[k].block(), at);
      if (i <= last) put_gradient(tangents.slot(i), Tensor(v[k]));
    }
    tangents.sweep(at);
    Block* const arrived = gradient_in(tangents.slot(last));
    if (arrived) tangent = Tensor::share(arrived);
  }
  return {y, tangent.defined() ? tangent : zeros(y.shape(), y.dtype())};
}

}  // namespace tapegrad
