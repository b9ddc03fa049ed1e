#include "nn/embedding.h"

#include <algorithm>

#include "autograd/ops/elements.h"
#include "autograd/random.h"

namespace tapegrad::nn {
namespace {

Parameter initial(std::int64_t rows, std::int64_t width, const EmbeddingOptions& options, SourceLocation at) {
  if (rows < 1 || width < 1) {
    fail("Embedding: sizes must be at least 1: num_embeddings " + std::to_string(rows) + ", embedding_dim " +
             std::to_string(width),
         at);
  }
  const std::int64_t padding = detail::padding_row("Embedding", options, rows, at);
  Tensor vectors = random::normal({rows, width}, {}, at);
  if (padding >= 0) std::fill_n(vectors.data<float>() + padding * width, width, 0.0F);
  return Parameter(std::move(vectors), at);
}

}  // namespace

Embedding::Embedding(std::int64_t num_embeddings, std::int64_t embedding_dim, EmbeddingOptions options,
                     SourceLocation at)
    : Embedding(initial(num_embeddings, embedding_dim, options, at), options, at) {}

Embedding::Embedding(Parameter vectors, const EmbeddingOptions& options, SourceLocation at)
    : weight(std::move(vectors)), options_(options) {
  if (weight.ndim() != 2) {
    fail("Embedding: the vectors must be [num_embeddings, embedding_dim], they are " + describe(weight), at);
  }
  detail::padding_row("Embedding", options, weight.shape(0), at);
}

Embedding Embedding::from_pretrained(const Tensor& vectors, EmbeddingOptions options, SourceLocation at) {
  if (!vectors.defined()) fail("Embedding: the vectors are an empty handle", at);
  return Embedding(Parameter(vectors.clone(), at), options, at);
}

Tensor Embedding::operator()(Arg indices) const {
  const detail::LayerScope scope(name_, indices.at());
  return detail::layer_result(name_, embedding(indices, weight, options_));
}

}  // namespace tapegrad::nn
