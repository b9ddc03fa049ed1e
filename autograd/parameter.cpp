#include "autograd/parameter.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace tapegrad {
namespace detail {

void overwrite(Tensor& to, const Tensor& from, const char* who, SourceLocation at) {
  if (!from.defined()) fail(std::string(who) + ": the new values are an empty tensor", at);
  if (!(to.shape() == from.shape()) || to.dtype() != from.dtype()) {
    const std::string what = std::string(who) + ": " + describe(to) + " cannot take the values of " + describe(from);
    if (at.line() == 0) throw Error(what);  // an assignment operator cannot know its caller's line
    fail(what, at);
  }
  // A strided view may be one of the destination's own elements, so it is copied before they change.
  const Tensor values = from.is_contiguous() ? from : from.clone();
  if (to.size()) std::memmove(to.data(), values.data(), static_cast<std::size_t>(to.size()) * size_of(to.dtype()));
  to.mark_changed(who, at);
}

namespace {
thread_local BufferJournal* journal = nullptr;
}

BufferJournal::BufferJournal() : before_(std::exchange(journal, this)) {}
BufferJournal::~BufferJournal() { journal = before_; }

// A journal around this one needs to know, too.
void BufferJournal::note(const Buffer& buffer) {
  for (BufferJournal* j = journal; j; j = j->before_) {
    const auto is_same = [&](const Note& n) { return n.buffer == &buffer; };
    if (std::ranges::any_of(j->notes_, is_same)) continue;
    j->notes_.push_back({&buffer, buffer.defined() ? buffer.value().clone() : Tensor()});
  }
}

void BufferJournal::forget(const Buffer& buffer) noexcept {
  for (BufferJournal* j = journal; j; j = j->before_) {
    std::erase_if(j->notes_, [&](const Note& n) { return n.buffer == &buffer; });
  }
}

void fail_empty_parameter(SourceLocation at) {
  fail("a parameter without values was used", at,
       "it was default-constructed, or its values were moved to another parameter");
}

}  // namespace detail

namespace {

Tensor as_leaf(Tensor values, SourceLocation at) {
  if (!values.defined()) return values;
  if (!is_floating(values.dtype())) {
    fail("Parameter: " + describe(values) + " cannot be trained", at, "convert it with .to(f32)");
  }
  if (!values.is_sole_owner()) values = values.clone();
  values.block()->node.store(0, std::memory_order_relaxed);
  values.block()->flags |= detail::leaf_flag;
  return values;
}

}  // namespace

Parameter::Parameter(Tensor values, SourceLocation at) : value_(as_leaf(std::move(values), at)) {}

Parameter::Parameter(const Parameter& other) : value_(as_leaf(other.value_, SourceLocation())) {}

Parameter& Parameter::operator=(const Parameter& other) {
  if (this == &other) return *this;
  if (defined() && other.defined()) {
    detail::overwrite(value_, other.value_, "Parameter::operator=", SourceLocation());
  } else {
    *this = Parameter(other);
  }
  return *this;
}

void Parameter::assign(const Tensor& values, SourceLocation at) {
  if (defined()) {
    detail::overwrite(value_, values, "Parameter::assign", at);
  } else {
    value_ = as_leaf(values, at);
  }
}

const std::string& Parameter::name() const {
  return detail::interned(defined() ? value_.block()->name.load(std::memory_order_acquire) : 0);
}

Buffer::~Buffer() { detail::BufferJournal::forget(*this); }

Buffer::Writer::Writer(const Buffer& buffer, SourceLocation at) : buffer_(buffer) {
  if (!buffer.busy_.exchange(true, std::memory_order_acquire)) return;
  fail("Buffer::assign: two threads update the running statistics of one model", at, "copy the model per thread");
}

void Buffer::Writer::assign(const Tensor& values, SourceLocation at) const {
  detail::BufferJournal::note(buffer_);
  if (buffer_.defined()) {
    detail::overwrite(buffer_.value_, values, "Buffer::assign", at);
  } else {
    buffer_.value_ = values.clone();
  }
}

void Buffer::assign(const Tensor& values, SourceLocation at) const { Writer(*this, at).assign(values, at); }

}  // namespace tapegrad
