#include "autograd/reflect.h"

#include <algorithm>

namespace tapegrad::detail {

void append_once(ParameterList& list, const Parameter& parameter) {
  Block* const block = parameter.value().block();
  const auto is_same = [block](const NamedBlock& known) { return known.block == block; };
  if (std::any_of(list.begin(), list.end(), is_same)) return;
  list.push_back({block->name.load(std::memory_order_acquire), block});
}

}  // namespace tapegrad::detail
