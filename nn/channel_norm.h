#pragma once
// What batch norm and instance norm share: weight and bias, running statistics, and what they do in the two modes.
#include <optional>

#include "nn/layer.h"
#include "nn/modes.h"

namespace tapegrad::nn {

/// The norm of each channel, the last axis: BatchNorm1d, BatchNorm2d, InstanceNorm1d, InstanceNorm2d.
///
/// With running statistics, a call in training updates
///   running = (1 - momentum) running + momentum (mean or variance of the batch)
/// of which the variance is the unbiased one, with n - 1 in place of n; that by which x is divided is not. No tape
/// records it. A call in evaluation normalizes with the running statistics; without any, with those of x, as in
/// training. Two threads that train one model at the same time get an error; in evaluation any number of threads may
/// call it.
class ChannelNorm {
 public:
  Tensor operator()(Arg x) const;

  std::optional<Parameter> weight, bias;  ///< [channels]: ones and zeros; none when `affine` is false
  Buffer running_mean, running_var;       ///< [channels]: zeros and ones; empty unless statistics are tracked
  Buffer num_batches_tracked;             ///< i64, the calls in training

 protected:
  struct Kind {
    const char* layer;
    int least_axes, most_axes;
    const char* axes;
    bool per_sample;
  };
  struct Options {
    double eps;
    std::optional<double> momentum;
    bool affine;
    bool track_running_stats;
  };
  ChannelNorm(const Kind& kind, std::int64_t channels, const Options& options, SourceLocation at);

 private:
  void check(const Arg& x) const;
  Tensor of_batch(const Arg& x, const Arg& w, const Arg& b, Tensor& statistics) const;
  Tensor train(const Arg& x, const Arg& w, const Arg& b) const;
  double next_momentum() const;

  const Kind* kind_;
  std::int64_t channels_;
  double eps_;
  std::optional<double> momentum_;
  Mode mode_;
  Name name_;

 public:
  using fields = Fields<&ChannelNorm::weight, &ChannelNorm::bias, &ChannelNorm::running_mean, &ChannelNorm::running_var,
                        &ChannelNorm::num_batches_tracked, &ChannelNorm::mode_, &ChannelNorm::name_>;
};

}  // namespace tapegrad::nn
