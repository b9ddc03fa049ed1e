#pragma once
// A table of learned vectors.
#include "autograd/ops/embedding.h"
#include "nn/layer.h"

namespace tapegrad::nn {

/// y[..., :] = weight[indices[...], :]: a learned vector for each word, user or category. indices [...] of i64 or i32,
/// weight [num_embeddings, embedding_dim], y [..., embedding_dim].
///
/// The weight starts normally distributed with mean 0 and deviation 1, as in PyTorch. With `padding_idx`, that row
/// starts as zeros and gets no gradient, so it stays: for the places behind the end of a shorter sequence. With
/// `sparse`, Tape::gradient(loss, model) keeps the touched rows of its gradient only, and optimizers step those only.
/// Throws for sizes below 1, a padding_idx out of range and, when called, for an index out of range. Bengio, Ducharme,
/// Vincent and Jauvin, "A neural probabilistic language model", 2003.
class Embedding {
 public:
  Embedding(std::int64_t num_embeddings, std::int64_t embedding_dim, EmbeddingOptions options = {},
            SourceLocation at = SourceLocation::current());

  /// A layer with these vectors, [num_embeddings, embedding_dim]. They are trained further; leave the layer out of the
  /// model of an optimizer to keep them. The padding row is taken as it is.
  static Embedding from_pretrained(const Tensor& vectors, EmbeddingOptions options = {},
                                   SourceLocation at = SourceLocation::current());

  Tensor operator()(Arg indices) const;

  Parameter weight;

 private:
  Embedding(Parameter vectors, const EmbeddingOptions& options, SourceLocation at);

  EmbeddingOptions options_;
  Name name_;

 public:
  using fields = Fields<&Embedding::weight, &Embedding::name_>;
};

}  // namespace tapegrad::nn
