#pragma once
// Embedding: rows of a table, looked up by index.
#include <optional>
#include <vector>

#include "autograd/op.h"

namespace tapegrad {

struct EmbeddingOptions {
  std::optional<std::int64_t> padding_idx = {};  ///< a row without a gradient; a negative one counts from the end
  bool sparse = false;                           ///< its gradient is kept by touched rows: see Gradients
};

/// Rows of a table: y[i, j] = weight[indices[i, j]]. indices [...] of i64 or i32, weight [rows, width], y [..., width].
/// The gradient of a row is the sum of the gradients at all places where it was looked up, in their order. Unlike take(),
/// an index must not be negative. Throws for one that is out of range, with its value and position, and for indices that
/// are no integers.
Tensor embedding(Arg indices, Arg weight, EmbeddingOptions options = {});

namespace detail {
/// The padding row of a table with that many rows, counted from 0; -1 for none. Throws for one that is out of range.
std::int64_t padding_row(const char* who, const EmbeddingOptions& options, std::int64_t rows, SourceLocation at);
std::vector<OpDescription> embedding_ops();
}  // namespace detail

}  // namespace tapegrad
