#pragma once
// Pooling layers. What each computes, its options and what it throws when called stand beside the function that it
// wraps, in autograd/ops/pool.h. None has parameters.
#include "autograd/ops/pool.h"
#include "nn/layer.h"

namespace tapegrad::nn {

// ---- windows that slide ----

/// max_pool1d: sequences [batch, time, channels]. Throws for sizes below 1 and a padding of more than half the kernel.
class MaxPool1d {
 public:
  explicit MaxPool1d(std::int64_t kernel_size, MaxPool1dOptions options = {},
                     SourceLocation at = SourceLocation::current());
  Tensor operator()(Arg x) const;

 private:
  std::int64_t kernel_size_;
  MaxPool1dOptions options_;
  Name name_;

 public:
  using fields = Fields<&MaxPool1d::name_>;
};

/// max_pool2d: images [batch, height, width, channels]: `nn::MaxPool2d{3, {.stride = 2, .padding = 1}}`. Throws as
/// MaxPool1d does.
class MaxPool2d {
 public:
  explicit MaxPool2d(Size2d kernel_size, MaxPool2dOptions options = {}, SourceLocation at = SourceLocation::current());
  Tensor operator()(Arg x) const;

 private:
  Size2d kernel_size_;
  MaxPool2dOptions options_;
  Name name_;

 public:
  using fields = Fields<&MaxPool2d::name_>;
};

/// avg_pool1d: sequences [batch, time, channels]. Throws as MaxPool1d does.
class AvgPool1d {
 public:
  explicit AvgPool1d(std::int64_t kernel_size, AvgPool1dOptions options = {},
                     SourceLocation at = SourceLocation::current());
  Tensor operator()(Arg x) const;

 private:
  std::int64_t kernel_size_;
  AvgPool1dOptions options_;
  Name name_;

 public:
  using fields = Fields<&AvgPool1d::name_>;
};

/// avg_pool2d: images [batch, height, width, channels]. Throws as MaxPool1d does.
class AvgPool2d {
 public:
  explicit AvgPool2d(Size2d kernel_size, AvgPool2dOptions options = {}, SourceLocation at = SourceLocation::current());
  Tensor operator()(Arg x) const;

 private:
  Size2d kernel_size_;
  AvgPool2dOptions options_;
  Name name_;

 public:
  using fields = Fields<&AvgPool2d::name_>;
};

// ---- windows that follow from the size of the result ----

/// adaptive_max_pool1d: [batch, any time, channels] to [batch, output_size, channels]. Throws for a size below 1.
class AdaptiveMaxPool1d {
 public:
  explicit AdaptiveMaxPool1d(std::int64_t output_size, SourceLocation at = SourceLocation::current());
  Tensor operator()(Arg x) const;

 private:
  std::int64_t output_size_;
  Name name_;

 public:
  using fields = Fields<&AdaptiveMaxPool1d::name_>;
};

/// adaptive_max_pool2d: images of any size to images of this one. Throws for a size below 1.
class AdaptiveMaxPool2d {
 public:
  explicit AdaptiveMaxPool2d(Size2d output_size, SourceLocation at = SourceLocation::current());
  Tensor operator()(Arg x) const;

 private:
  Size2d output_size_;
  Name name_;

 public:
  using fields = Fields<&AdaptiveMaxPool2d::name_>;
};

/// adaptive_avg_pool1d: [batch, any time, channels] to [batch, output_size, channels]. Throws for a size below 1.
class AdaptiveAvgPool1d {
 public:
  explicit AdaptiveAvgPool1d(std::int64_t output_size, SourceLocation at = SourceLocation::current());
  Tensor operator()(Arg x) const;

 private:
  std::int64_t output_size_;
  Name name_;

 public:
  using fields = Fields<&AdaptiveAvgPool1d::name_>;
};

/// adaptive_avg_pool2d: images of any size to images of this one. Throws for a size below 1.
class AdaptiveAvgPool2d {
 public:
  explicit AdaptiveAvgPool2d(Size2d output_size, SourceLocation at = SourceLocation::current());
  Tensor operator()(Arg x) const;

 private:
  Size2d output_size_;
  Name name_;

 public:
  using fields = Fields<&AdaptiveAvgPool2d::name_>;
};

/// global_max_pool: sequences or images to [batch, channels].
class GlobalMaxPool {
 public:
  Tensor operator()(Arg x) const;

 private:
  Name name_;

 public:
  using fields = Fields<&GlobalMaxPool::name_>;
};

/// global_avg_pool: sequences or images to [batch, channels], ready for a Dense layer (Lin et al., 2013).
class GlobalAvgPool {
 public:
  Tensor operator()(Arg x) const;

 private:
  Name name_;

 public:
  using fields = Fields<&GlobalAvgPool::name_>;
};

}  // namespace tapegrad::nn
