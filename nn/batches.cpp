#include "nn/batches.h"

#include <algorithm>
#include <cstring>

#include "autograd/random.h"
#include "nn/rows.h"

namespace tapegrad {

namespace {

Shape with_rows(const Tensor& x, std::int64_t rows) {
  Shape shape = x.shape();
  shape[0] = rows;
  return shape;
}

std::size_t bytes_per_row(const Tensor& x) {
  return static_cast<std::size_t>(x.size() / std::max<std::int64_t>(x.shape(0), 1)) * size_of(x.dtype());
}

/// Rows first to first + count of a contiguous tensor.
Tensor copy_rows(const Tensor& x, std::int64_t first, std::int64_t count) {
  Tensor result = Tensor::empty(with_rows(x, count), x.dtype());
  const std::size_t row = bytes_per_row(x);
  if (result.size() > 0) {
    std::memcpy(result.data(), x.data<std::byte>() + static_cast<std::size_t>(first) * row,
                static_cast<std::size_t>(count) * row);
  }
  return result;
}

Tensor contiguous(const Tensor& x) { return x.is_contiguous() ? x : x.clone(); }

}  // namespace

Tensor detail::take_rows(const Tensor& x, const std::int64_t* rows, std::int64_t count) {
  Tensor result = Tensor::empty(with_rows(x, count), x.dtype());
  if (result.size() == 0) return result;
  const std::size_t row = bytes_per_row(x);
  const std::byte* from = x.data<std::byte>();
  std::byte* to = result.data<std::byte>();
  for (std::int64_t i = 0; i < count; ++i) {
    std::memcpy(to + static_cast<std::size_t>(i) * row, from + static_cast<std::size_t>(rows[i]) * row, row);
  }
  return result;
}

Batches::Batches(Tensor inputs, Tensor targets, const BatchOptions& options, SourceLocation at) : options_(options) {
  if (!inputs.defined() || !targets.defined()) fail("batches: the data set holds no tensors", at);
  if (inputs.ndim() == 0 || targets.ndim() == 0) {
    fail("batches: the first axis counts the examples, but got " + describe(inputs) + " and " + describe(targets), at);
  }
  if (inputs.shape(0) != targets.shape(0)) {
    fail("batches: " + describe(inputs) + " has " + std::to_string(inputs.shape(0)) + " examples and " +
             describe(targets) + " has " + std::to_string(targets.shape(0)),
         at);
  }
  if (inputs.shape(0) == 0) fail("batches: the data set is empty: " + describe(inputs), at);
  if (options.size < 1) fail("batches: size is " + std::to_string(options.size) + "; it must be at least 1", at);
  inputs_ = contiguous(inputs);
  targets_ = contiguous(targets);
  if (!options.shuffle) return;
  // The streams of a seed are independent of each other: one for each epoch.
  random::Generator generator(options.seed.value_or(0), options.epoch);
  order_ = random::permutation(inputs_.shape(0), {.generator = options.seed ? &generator : nullptr}, at);
}

std::int64_t Batches::size() const {
  const std::int64_t n = inputs_.shape(0);
  const std::int64_t whole = n / options_.size;
  const bool has_rest = n % options_.size != 0;
  return whole + (has_rest && !options_.drop_last ? 1 : 0);
}

Batch Batches::batch(std::int64_t index) const {
  const std::int64_t first = index * options_.size;
  const std::int64_t count = std::min(options_.size, inputs_.shape(0) - first);
  if (!order_.defined()) return {copy_rows(inputs_, first, count), copy_rows(targets_, first, count)};
  const std::int64_t* rows = order_.data<std::int64_t>() + first;
  return {detail::take_rows(inputs_, rows, count), detail::take_rows(targets_, rows, count)};
}

Batches batches(const Dataset& data, const BatchOptions& options, SourceLocation at) {
  return Batches(data.images, data.labels, options, at);
}

Batches batches(const Tensor& inputs, const Tensor& targets, const BatchOptions& options, SourceLocation at) {
  return Batches(inputs, targets, options, at);
}

}  // namespace tapegrad
