#include "optim/optimizer.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "autograd/create.h"
#include "autograd/ops/elements.h"

namespace tapegrad {

std::string detail::number_text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}

namespace optim {

Optimizer::Optimizer(const char* name, const char* step_name, double lr, const detail::ParameterList& parameters,
                     std::initializer_list<const char*> state_names, double nanoseconds_per_element, SourceLocation at)
    : name_(name),
      step_name_(step_name),
      lr_(lr),
      nanoseconds_per_element_(nanoseconds_per_element),
      state_names_(state_names) {
  if (parameters.empty()) {
    fail(std::string(name) + ": the model has no parameters", at, "is it a struct whose fields are layers?");
  }
  set_lr(lr, at);
  slots_.reserve(parameters.size());
  for (const detail::NamedBlock& p : parameters) {
    Slot& slot = slots_.emplace_back(Slot{p.name, Tensor::share(p.block), {}, 0});
    for (std::size_t k = 0; k < state_names.size(); ++k) slot.state.push_back(zeros_like(slot.parameter));
  }
}

void Optimizer::check_option(const char* optimizer, const char* option, double value, double low, double high,
                             SourceLocation at) {
  if (value >= low && value < high) return;
  const std::string range =
      std::isinf(high) ? "must be finite and at least " + detail::number_text(low)
                       : "must be at least " + detail::number_text(low) + " and less than " + detail::number_text(high);
  fail(std::string(optimizer) + ": " + option + " " + range + ", it is " + detail::number_text(value), at);
}

void Optimizer::set_lr(double lr, SourceLocation at) {
  check_option(name_, "lr", lr, 0, std::numeric_limits<double>::infinity(), at);
  lr_ = lr;
}

std::vector<ParameterState> Optimizer::state() {
  std::vector<ParameterState> all;
  for (Slot& slot : slots_) all.push_back({detail::interned(slot.name), slot.steps, slot.state});
  return all;
}

// Gradients come in the order of the model, so the guess is nearly always right.
Optimizer::Slot* Optimizer::find(const detail::Block* parameter, std::size_t guess) {
  if (guess < slots_.size() && slots_[guess].parameter.block() == parameter) return &slots_[guess];
  const auto found = std::find_if(slots_.begin(), slots_.end(),
                                  [parameter](const Slot& slot) { return slot.parameter.block() == parameter; });
  return found == slots_.end() ? nullptr : &*found;
}

void Optimizer::check_gradient(const Slot& slot, const Tensor& gradient, const Tensor& rows, SourceLocation at) const {
  Shape shape = slot.parameter.shape();
  if (rows.defined()) shape[0] = rows.size();
  if (!(gradient.shape() == shape) || gradient.dtype() != slot.parameter.dtype()) {
    fail(std::string(step_name_) + ": the gradient of `" + detail::interned(slot.name) + "` is " + describe(gradient) +
             " and the parameter " + describe(slot.parameter),
         at);
  }
  if (rows.defined()) check_rows(slot, rows, at);
}

// Threads step ranges of them at once: each row may be there once.
void Optimizer::check_rows(const Slot& slot, const Tensor& rows, SourceLocation at) const {
  std::int64_t before = -1;
  for (const std::int64_t row : rows.span<const std::int64_t>()) {
    if (row > before && row < slot.parameter.shape(0)) {
      before = row;
      continue;
    }
    fail(std::string(step_name_) + ": the gradient of `" + detail::interned(slot.name) + "` has row " +
             std::to_string(row) + " behind row " + std::to_string(before) + "; the parameter is " +
             describe(slot.parameter),
         at, "rows must be ascending, each once");
  }
}

void Optimizer::step(const Gradients& gradients, SourceLocation at) {
  // Everything that can throw comes first: a step is made whole or not at all.
  detail::CachedVector<Match> matches;
  matches.reserve(gradients.size());
  bool has_stranger = false;
  gradients.for_each([&](std::uint32_t, const Tensor& parameter, const Tensor& gradient, const Tensor& rows) {
    Slot* const slot = find(parameter.block(), matches.size());
    if (!slot) {
      has_stranger = true;
      return;
    }
    check_gradient(*slot, gradient, rows, at);
    matches.push_back({slot, detail::contiguous_elements(gradient), rows});
  });
  if (has_stranger) fail_strangers(gradients, at);
  for (const Match& match : matches) {
    ++match.slot->steps;
    prepare(*match.slot);
  }
  update_all(matches);
  for (const Match& match : matches) match.slot->parameter.mark_changed(step_name_, at);
}

// All parameters end to end are one job for the threads: most are too small to be one each.
void Optimizer::update_all(std::span<const Match> matches) {
  std::int64_t elements = 0;
  for (const Match& match : matches) elements += match.gradient.size();
  detail::for_ranges(elements, nanoseconds_per_element_, [&](std::int64_t begin, std::int64_t end) {
    std::int64_t first = 0;  // of this parameter's elements, among all
    for (const Match& match : matches) {
      const std::int64_t size = match.gradient.size();
      const std::int64_t from = std::max(begin - first, std::int64_t{0});
      const std::int64_t to = std::min(end - first, size);
      if (from < to) update_part(match, from, to);
      first += size;
    }
  });
}

// Elements [begin, end) of the gradient: of the parameter's, or of those of some rows.
void Optimizer::update_part(const Match& match, std::int64_t begin, std::int64_t end) const {
  if (!match.rows.defined()) return update(*match.slot, detail::element_at(match.gradient, begin), begin, end);
  const std::int64_t width = match.gradient.size() / match.rows.size();
  for (std::int64_t i = begin; i < end;) {
    const std::int64_t column = i % width;
    const std::int64_t count = std::min(width - column, end - i);
    const std::int64_t at = match.rows.data<std::int64_t>()[i / width] * width + column;
    update(*match.slot, detail::element_at(match.gradient, i), at, at + count);
    i += count;
  }
}

void Optimizer::fail_strangers(const Gradients& gradients, SourceLocation at) {
  std::string names;
  int strangers = 0;
  bool is_known_by_name = false;
  gradients.for_each([&](std::uint32_t name, const Tensor& parameter, const Tensor&, const Tensor&) {
    if (find(parameter.block(), 0)) return;
    is_known_by_name |= std::any_of(slots_.begin(), slots_.end(), [name](const Slot& s) { return s.name == name; });
    if (++strangers <= 3) names += (strangers > 1 ? ", `" : " `") + detail::interned(name) + "`";
  });
  if (strangers > 3) names += " and " + std::to_string(strangers - 3) + " more";
  fail(std::string(step_name_) + ": this optimizer does not own" + names, at,
       is_known_by_name
           ? "its own parameters of that name are others: were the gradients taken for a copy of the model, or "
             "was a model assigned to this one with std::move after the optimizer was made?"
           : "make the optimizer for the model that the gradients were taken for");
}

}  // namespace optim
}  // namespace tapegrad
