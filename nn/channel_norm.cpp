#include "nn/channel_norm.h"

#include "autograd/create.h"
#include "autograd/ops/losses.h"
#include "autograd/ops/normalization.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "nn/norm_checks.h"

namespace tapegrad::nn {

ChannelNorm::ChannelNorm(const Kind& kind, std::int64_t channels, const Options& o, SourceLocation at)
    : kind_(&kind), channels_(channels), eps_(o.eps), momentum_(o.momentum) {
  const std::string layer = std::string(kind.layer) + ": ";
  if (channels < 1) fail(layer + std::to_string(channels) + " channels: there must be at least 1", at);
  detail::check_eps(kind.layer, o.eps, at);
  if (o.momentum && !(*o.momentum >= 0 && *o.momentum <= 1)) {
    fail(layer + "momentum is " + detail::decimal_text(*o.momentum) + ", not from 0 to 1", at,
         "std::nullopt is the average of all batches");
  }
  if (o.affine) {
    weight = Parameter(ones({channels}));
    bias = Parameter(zeros({channels}));
  }
  if (o.track_running_stats) {
    running_mean = Buffer(zeros({channels}));
    running_var = Buffer(ones({channels}));
    num_batches_tracked = Buffer(zeros({}, i64));
  }
}

void ChannelNorm::check(const Arg& x) const {
  const Tensor own = weight ? weight->value() : running_mean.value();
  const Tensor& input = detail::checked_norm_input(kind_->layer, x, own);
  detail::check_channels(kind_->layer, x, channels_, kind_->axes);
  if (input.ndim() >= kind_->least_axes && input.ndim() <= kind_->most_axes) return;
  detail::fail_op(kind_->layer, std::string("x must be ") + kind_->axes + ", not " + describe(input), x.at());
}

Tensor ChannelNorm::of_batch(const Arg& x, const Arg& w, const Arg& b, Tensor& statistics) const {
  return kind_->per_sample ? detail::instance_norm_of_batch(x, w, b, eps_, statistics)
                           : detail::batch_norm_of_batch(x, w, b, eps_, statistics);
}

double ChannelNorm::next_momentum() const { return momentum_.value_or(1 / (1 + num_batches_tracked.value().item())); }

Tensor ChannelNorm::train(const Arg& x, const Arg& w, const Arg& b) const {
  const Buffer::Writer writer(running_mean, x.at());
  Tensor statistics;
  Tensor y = of_batch(x, w, b, statistics);
  const Tape::Pause pause;
  const double count = static_cast<double>(y.size() * 2) / static_cast<double>(statistics.size());
  const double momentum = next_momentum();
  const Tensor now = mean(reshape(statistics, {-1, channels_, 2}), {.axis = 0});  // of the samples of instance norm
  const auto column = [&](std::int64_t k) { return squeeze(now.slice(1, k, k + 1), 1); };
  const auto next = [&](const Buffer& running, const Tensor& value) {
    const Tensor& before = running;
    return ((1 - momentum) * before.to(f64) + momentum * value).to(before.dtype());
  };
  writer.assign(next(running_mean, column(0)), x.at());
  running_var.assign(next(running_var, column(1) * (count / (count - 1))), x.at());
  num_batches_tracked.assign(num_batches_tracked.value() + 1, x.at());
  return y;
}

Tensor ChannelNorm::operator()(Arg x) const {
  const detail::LayerScope scope(name_, x.at());
  check(x);
  const Arg w = weight ? Arg(*weight, x.at()) : Arg(1, x.at());
  const Arg b = bias ? Arg(*bias, x.at()) : Arg(0, x.at());
  Tensor unused;
  return detail::layer_result(
      name_, !running_mean.defined() ? of_batch(x, w, b, unused)
             : mode_.is_training()   ? train(x, w, b)
                                     : batch_norm(x, w, b, {.eps = eps_, .mean = running_mean, .var = running_var}));
}

}  // namespace tapegrad::nn
