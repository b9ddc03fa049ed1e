#include "nn/group_norm.h"

#include "autograd/create.h"
#include "autograd/ops/normalization.h"
#include "nn/norm_checks.h"

namespace tapegrad::nn {

GroupNorm::GroupNorm(std::int64_t num_groups, std::int64_t num_channels, const GroupNormOptions& o, SourceLocation at)
    : groups_(num_groups), channels_(num_channels), eps_(o.eps) {
  const std::string sizes = std::to_string(num_channels) + " channels and " + std::to_string(num_groups) + " groups";
  if (num_groups < 1 || num_channels < 1) fail("GroupNorm: " + sizes + ": there must be at least 1 of each", at);
  if (num_channels % num_groups) {
    fail("GroupNorm: " + std::to_string(num_channels) + " channels do not divide into " + std::to_string(num_groups) +
             " groups",
         at);
  }
  detail::check_eps("GroupNorm", eps_, at);
  if (!o.affine) return;
  weight = Parameter(ones({num_channels}));
  bias = Parameter(zeros({num_channels}));
}

Tensor GroupNorm::operator()(Arg x) const {
  const detail::LayerScope scope(name_, x.at());
  detail::checked_norm_input("GroupNorm", x, weight ? weight->value() : Tensor());
  detail::check_channels("GroupNorm", x, channels_, "[batch, ..., channels]");
  return detail::layer_result(
      name_, group_norm(x, groups_, weight ? Arg(*weight) : Arg(1), bias ? Arg(*bias) : Arg(0), {.eps = eps_}));
}

}  // namespace tapegrad::nn
