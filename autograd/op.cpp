#include "autograd/op.h"

namespace tapegrad {

void Inputs::fail_missing(int k) const {
  fail("reads input " + std::to_string(k) + ", but was applied to " + std::to_string(count_));
}

void Inputs::fail(const std::string& what, const std::string& hint) const { detail::fail_op(op_, what, at_, hint); }

namespace detail {

void fail_op(const char* op, const std::string& what, SourceLocation at, const std::string& hint) {
  std::string text = std::string(op) + ": " + what;
  if (record.layer) text += ", in " + interned(record.layer);
  fail(text, record.inherit_line ? record.line : at, hint);
}

void fail_uses(const Inputs& inputs, int least) {
  inputs.fail("its `uses` names input " + std::to_string(least - 1) + ", but it was applied to " +
              std::to_string(inputs.count()));
}

TrackedInputs::TrackedInputs(const Tensor* const* x, int count, SourceLocation at) : count_(count) {
  if (count > inline_count) many_.resize(static_cast<std::size_t>(count));
  std::uint32_t* index = count > inline_count ? many_.data() : few_;
  for (int k = 0; k < count; ++k) {
    index[k] = record.index(x[k]->block(), at);
    any_ |= index[k] != 0;
  }
}

}  // namespace detail
}  // namespace tapegrad
