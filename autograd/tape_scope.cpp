// Where tapes begin and end, and the functions that look at gradients.
#include <cstdio>
#include <cstring>

#include "autograd/finite.h"
#include "autograd/record.h"
#include "autograd/tape.h"

namespace tapegrad {

using detail::gradient_in;
using detail::put_gradient;
using detail::record;
using detail::take_gradient;

// ---- the scope ----

Tape::Tape(TapeOptions options, SourceLocation at)
    : enclosing_(record.recording),
      older_(record.innermost),
      keeps_values_(options.persistent && !record.values),
      keeps_saved_(options.persistent),
      options_(options),
      opened_at_(at) {
  if (!record.outermost) {
    detail::open_record(keeps_values_);
    record.outermost = this;
  } else if (keeps_values_) {
    detail::start_values();
  }
  begin_ = record.size;
  record.innermost = this;
  record.recording = this;
  if (options.check_finite) detail::check_finite_from_now(true);
}

Tape::~Tape() {
  if (!is_open(this)) return;  // it was ended with a tape around it
  end_younger(this);
  end();
}

void Tape::end() noexcept {
  record.innermost = older_;
  if (record.recording == this) record.recording = enclosing_;
  if (keeps_values_) detail::stop_values();
  if (options_.check_finite) detail::check_finite_from_now(checks_finite(older_));
  if (record.outermost == this) {
    record.clear();
    record.outermost = nullptr;
  } else if (!enclosing_ && !is_reopened_) {
    // Opened while recording was paused: nobody may walk these entries any more.
    for (std::uint32_t i = begin_; i < record.size; ++i) detail::make_constant(i);
  }
  begin_ = ended;
}

bool Tape::checks_finite(const Tape* tape) noexcept {
  while (tape && !tape->options_.check_finite) tape = tape->older_;
  return tape;
}

// Null stands for the state without a tape.
bool Tape::is_open(const Tape* tape) noexcept {
  const Tape* t = record.innermost;
  while (t != tape && t) t = t->older_;
  return t == tape;
}

// What ends around a tape that is still open takes it along: left open, it would record into nothing. Nothing is
// thrown, and nothing allocated, since destructors come here.
void Tape::end_younger(const Tape* tape) noexcept {
  while (record.innermost != tape) {
    Tape& younger = *record.innermost;
    const char* const path = younger.opened_at_.file_name();
    const char* const slash = std::strrchr(path, '/');
    std::fprintf(stderr,
                 "tapegrad: the tape opened at %s:%u was still open when the scope around it ended; it ends too\n",
                 slash ? slash + 1 : path, static_cast<unsigned>(younger.opened_at_.line()));
    younger.end();
  }
}

// Tapes that were opened in the pause are still open, or one from before it has ended.
void Tape::Pause::restore_nesting() noexcept {
  if (is_open(innermost_)) {
    end_younger(innermost_);
  } else if (!is_open(recording_)) {
    recording_ = record.innermost;
  }
}

// ---- functions of a gradient ----

void Tape::add_hook(const Tensor& x, std::function<Tensor(const Tensor&)> f, SourceLocation at) {
  if (!x.defined()) fail("on_gradient: the tensor is an empty handle", at);
  if (begin_ == ended) fail("on_gradient: this tape has ended with the scope around it", at);
  const bool is_parameter = x.block()->flags & detail::leaf_flag;
  const std::uint32_t i = is_parameter ? record.index(x.block(), at) : index_of_target(x.block());
  if (!i) fail("on_gradient: " + describe(x) + " is not on this tape", at, "give it to watch() first");
  hooks_.push_back({i, std::move(f)});
}

// The gradient of entry i has arrived in the slot at `place`.
void Tape::run_hooks(std::uint32_t i, std::uint32_t place) {
  auto hook = hooks_.begin();
  for (std::size_t left = hooks_.size(); left > 0; --left, ++hook) {
    if (hook->index != i) continue;
    const Tensor g = Tensor::share(gradient_in(record.slots[place]));
    Tensor replaced = hook->function(g);
    if (!replaced.defined()) continue;
    if (!(replaced.shape() == g.shape()) || replaced.dtype() != g.dtype()) {
      fail("on_gradient: the function returned " + describe(replaced) + " for a gradient " + describe(g),
           record.entries[i].at);
    }
    take_gradient(record.slots[place]);
    put_gradient(record.slots[place], std::move(replaced));
  }
}

}  // namespace tapegrad
