#pragma once
// batches(data, options): a range over the mini-batches of a data set.
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>

#include "autograd/tensor.h"
#include "nn/data.h"

namespace tapegrad {

struct BatchOptions {
  /// Examples per batch.
  std::int64_t size = 32;
  /// A new order in each range; without it, the order of the data.
  bool shuffle = false;
  /// Leaves the last batch out when it has fewer than `size` examples.
  bool drop_last = false;
  /// Fixes the order: the same seed and epoch give the same batches. Without a seed, the order is drawn from the
  /// default generator (so that `random::seed` fixes a whole run).
  std::optional<std::uint64_t> seed = {};
  /// With a seed: which of its orders.
  std::uint32_t epoch = 0;
};

/// Rows of the inputs and the same rows of the targets, in tensors of their own.
struct Batch {
  Tensor inputs;
  Tensor targets;
};

/// The range that batches() returns. It shares ownership of its data, so the data set may be a temporary.
class Batches {
 public:
  class Iterator {
   public:
    using value_type = Batch;
    using difference_type = std::ptrdiff_t;

    Iterator() = default;
    Iterator(const Batches* range, std::int64_t index) : range_(range), index_(index) {}
    Batch operator*() const { return range_->batch(index_); }
    Iterator& operator++() {
      ++index_;
      return *this;
    }
    void operator++(int) { ++index_; }
    friend bool operator==(const Iterator& a, const Iterator& b) { return a.index_ == b.index_; }

   private:
    const Batches* range_ = nullptr;
    std::int64_t index_ = 0;
  };

  Batches(Tensor inputs, Tensor targets, const BatchOptions& options, SourceLocation at);

  Iterator begin() const { return {this, 0}; }
  Iterator end() const { return {this, size()}; }
  /// The number of batches.
  std::int64_t size() const;
  /// Batch number `index`, from 0.
  Batch batch(std::int64_t index) const;

 private:
  Tensor inputs_;
  Tensor targets_;
  Tensor order_;  // [examples] i64; undefined when the order is that of the data
  BatchOptions options_;
};

/// The batches of a data set:
///
///     for (auto [images, labels] : batches(train, {.size = 64, .shuffle = true})) ...
///
/// The last batch may be smaller. Once the allocator has blocks of these sizes, no batch makes a heap allocation.
/// Throws for a data set without examples, a batch size below 1, and numbers of images and labels that differ.
Batches batches(const Dataset& data, const BatchOptions& options = {}, SourceLocation at = SourceLocation::current());

/// The same for any two tensors whose first axes count the same examples.
Batches batches(const Tensor& inputs, const Tensor& targets, const BatchOptions& options = {},
                SourceLocation at = SourceLocation::current());

}  // namespace tapegrad
