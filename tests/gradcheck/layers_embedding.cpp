// The wall's rows of Embedding and of the dropout layers.
#include "autograd/ops/elements.h"
#include "tests/gradcheck/layers.h"

namespace tapegrad::tests {
namespace {

// Indices below `end`, with repetitions.
Tensor indices(const Shape& shape, std::int64_t end) {
  Tensor all = Tensor::empty(shape, i64);
  for (std::int64_t i = 0; i < all.size(); ++i) all.data<std::int64_t>()[i] = i * i % end;
  return all;
}

// With padding_idx, the padding row is no function of the parameter: it is taken out of what is checked.
struct Padded {
  nn::Embedding table;
  std::int64_t padding;
  Tensor operator()(Arg x) const {
    const Tensor rows = arange(static_cast<double>(table.weight.shape(0)), i64);
    const Tensor is_padding = reshape(rows == padding, {-1, 1});
    return embedding(x, where(is_padding, 0.5, table.weight), {.padding_idx = padding});
  }
};

LayerDescription embedding_layer() {
  return {"Embedding",
          {layer_sample("", nn::Embedding{7, 3}, indices({5}, 7)),
           layer_sample("batch of 1", nn::Embedding{7, 3}, indices({1}, 7)),
           layer_sample("one index", nn::Embedding{7, 3}, indices({}, 7)),
           layer_sample("two axes, i32", nn::Embedding{4, 5}, indices({3, 5}, 4).to(i32)),
           layer_sample("one vector", nn::Embedding{1, 2}, indices({3}, 1)),
           layer_sample("padding_idx", Padded{nn::Embedding{5, 3}, 4}, indices({3, 4}, 5)),
           layer_sample("several threads", nn::Embedding{50, 30}, indices({10, 30}, 50))}};
}

// Each call draws the same.
template <class Layer>
struct Repeated {
  Layer layer;
  Tensor operator()(Arg x) const {
    random::seed(23);
    return layer(tanh(x));
  }
};

template <class Layer>
LayerDescription dropout_layer(const char* name, const Shape& batch, const Shape& one, const Shape& large) {
  LayerDescription layer{name, {}};
  for (const double p : {0.0, 0.2, 0.5, 1.0}) {
    const Repeated<Layer> drop{Layer{p}};
    const std::string options = "p " + std::to_string(p).substr(0, 3);
    layer.samples.push_back(layer_sample(options, drop, detail::sample_values(batch)));
    layer.samples.push_back(layer_sample(options + ", batch of 1", drop, detail::sample_values(one)));
  }
  Repeated<Layer> evaluating{Layer{0.5}};
  nn::eval(evaluating);
  layer.samples.push_back(layer_sample("evaluation", evaluating, detail::sample_values(batch)));
  layer.samples.push_back(layer_sample("several threads", Repeated<Layer>{Layer{0.5}}, detail::sample_values(large)));
  return layer;
}

}  // namespace

std::vector<LayerDescription> embedding_and_dropout_layers() {
  return {embedding_layer(), dropout_layer<nn::Dropout>("Dropout", {5, 13}, {1, 7}, {60, 190}),
          dropout_layer<nn::Dropout1d>("Dropout1d", {3, 4, 5}, {1, 3, 4}, {5, 43, 50}),
          dropout_layer<nn::Dropout2d>("Dropout2d", {3, 2, 4, 5}, {1, 3, 2, 4}, {4, 9, 10, 30})};
}

}  // namespace tapegrad::tests
