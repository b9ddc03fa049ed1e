#include "nn/pool.h"

namespace tapegrad::nn {
namespace {

// The call of a layer that computes f(x).
template <class F>
Tensor call(const Name& name, const Arg& x, F&& f) {
  const detail::LayerScope scope(name, x.at());
  return detail::layer_result(name, f(x));
}

Size2d both(const std::optional<std::int64_t>& stride) { return stride ? Size2d(*stride) : Size2d(); }

}  // namespace

MaxPool1d::MaxPool1d(std::int64_t kernel_size, MaxPool1dOptions options, SourceLocation at)
    : kernel_size_(kernel_size), options_(options) {
  detail::check_pool_options("MaxPool1d", kernel_size, {both(options.stride), options.padding, options.dilation}, at);
}
Tensor MaxPool1d::operator()(Arg x) const {
  return call(name_, x, [&](const Arg& input) { return max_pool1d(input, kernel_size_, options_); });
}

MaxPool2d::MaxPool2d(Size2d kernel_size, MaxPool2dOptions options, SourceLocation at)
    : kernel_size_(kernel_size), options_(options) {
  detail::check_pool_options("MaxPool2d", kernel_size, options, at);
}
Tensor MaxPool2d::operator()(Arg x) const {
  return call(name_, x, [&](const Arg& input) { return max_pool2d(input, kernel_size_, options_); });
}

AvgPool1d::AvgPool1d(std::int64_t kernel_size, AvgPool1dOptions options, SourceLocation at)
    : kernel_size_(kernel_size), options_(options) {
  detail::check_pool_options("AvgPool1d", kernel_size, {both(options.stride), options.padding}, at);
}
Tensor AvgPool1d::operator()(Arg x) const {
  return call(name_, x, [&](const Arg& input) { return avg_pool1d(input, kernel_size_, options_); });
}

AvgPool2d::AvgPool2d(Size2d kernel_size, AvgPool2dOptions options, SourceLocation at)
    : kernel_size_(kernel_size), options_(options) {
  detail::check_pool_options("AvgPool2d", kernel_size, {options.stride, options.padding}, at);
}
Tensor AvgPool2d::operator()(Arg x) const {
  return call(name_, x, [&](const Arg& input) { return avg_pool2d(input, kernel_size_, options_); });
}

AdaptiveMaxPool1d::AdaptiveMaxPool1d(std::int64_t output_size, SourceLocation at) : output_size_(output_size) {
  detail::check_output_size("AdaptiveMaxPool1d", output_size, at);
}
Tensor AdaptiveMaxPool1d::operator()(Arg x) const {
  return call(name_, x, [&](const Arg& input) { return adaptive_max_pool1d(input, output_size_); });
}

AdaptiveMaxPool2d::AdaptiveMaxPool2d(Size2d output_size, SourceLocation at) : output_size_(output_size) {
  detail::check_output_size("AdaptiveMaxPool2d", output_size, at);
}
Tensor AdaptiveMaxPool2d::operator()(Arg x) const {
  return call(name_, x, [&](const Arg& input) { return adaptive_max_pool2d(input, output_size_); });
}

AdaptiveAvgPool1d::AdaptiveAvgPool1d(std::int64_t output_size, SourceLocation at) : output_size_(output_size) {
  detail::check_output_size("AdaptiveAvgPool1d", output_size, at);
}
Tensor AdaptiveAvgPool1d::operator()(Arg x) const {
  return call(name_, x, [&](const Arg& input) { return adaptive_avg_pool1d(input, output_size_); });
}

AdaptiveAvgPool2d::AdaptiveAvgPool2d(Size2d output_size, SourceLocation at) : output_size_(output_size) {
  detail::check_output_size("AdaptiveAvgPool2d", output_size, at);
}
Tensor AdaptiveAvgPool2d::operator()(Arg x) const {
  return call(name_, x, [&](const Arg& input) { return adaptive_avg_pool2d(input, output_size_); });
}

Tensor GlobalMaxPool::operator()(Arg x) const { return call(name_, x, global_max_pool); }
Tensor GlobalAvgPool::operator()(Arg x) const { return call(name_, x, global_avg_pool); }

}  // namespace tapegrad::nn
