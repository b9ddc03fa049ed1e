#pragma once
// The nets of vanishing_gradients, and the norms of their gradients.
#include <tapegrad.h>

#include <optional>
#include <string>
#include <vector>

using namespace tapegrad;

struct Activation {
  std::string name;
  Tensor (*function)(Arg);
};

enum class InitialValues { standard, xavier, he };
enum class Remedy { none, batch_norm, layer_norm, residual };

constexpr std::int64_t width = 64;  // of every hidden layer; a digit has 64 pixels, too

/// y = activation(norm(dense(x))), plus x where it is residual.
struct HiddenLayer {
  nn::Dense dense{width, width};
  std::optional<nn::BatchNorm1d> batch_norm = {};
  std::optional<nn::LayerNorm> layer_norm = {};
  bool is_residual = false;
  Tensor (*activation)(Arg) = nullptr;

  Tensor operator()(Arg x) const {
    Tensor y = dense(x);
    if (batch_norm) y = (*batch_norm)(y);
    if (layer_norm) y = (*layer_norm)(y);
    y = activation(y);
    return is_residual ? x + y : y;
  }
};

struct DeepNet {
  std::vector<HiddenLayer> hidden;
  nn::Dense out{width, 10};

  Tensor operator()(Arg images) const {
    Tensor h = flatten(images, 1);
    for (const HiddenLayer& layer : hidden) h = layer(h);
    return out(h);
  }
};

/// The authors of the two initial values start biases at 0.
inline void set_initial_values(nn::Dense& layer, InitialValues values) {
  if (values == InitialValues::standard) return;
  if (values == InitialValues::xavier) nn::init::xavier_uniform(layer.weight);
  if (values == InitialValues::he) nn::init::he_normal(layer.weight);
  nn::init::constant(*layer.bias, 0);
}

/// A net of `depth` dense layers, the one of the logits among them.
inline DeepNet make_net(std::int64_t depth, const Activation& activation, InitialValues values, Remedy remedy) {
  DeepNet net;
  net.hidden = nn::repeat(depth - 1, [&] {
    HiddenLayer layer{.is_residual = remedy == Remedy::residual, .activation = activation.function};
    if (remedy == Remedy::batch_norm) layer.batch_norm.emplace(width);
    if (remedy == Remedy::layer_norm) layer.layer_norm.emplace(width);
    return layer;
  });
  for (HiddenLayer& layer : net.hidden) set_initial_values(layer.dense, values);
  set_initial_values(net.out, values);
  return net;
}

/// |dL / dW| of every dense layer, from the first to the last. In double: the norms of a deep sigmoid net leave the
/// range of f32, which ends at 1e-38.
inline std::vector<double> gradient_norms(const DeepNet& net, const Dataset& data) {
  const DeepNet precise = nn::to(net, f64);
  Tape tape;
  const Tensor loss = cross_entropy(precise(data.images.to(f64)), data.labels);
  const Gradients gradients = tape.gradient(loss, precise);
  std::vector<double> norms;
  for (const HiddenLayer& layer : precise.hidden) norms.push_back(norm(gradients[layer.dense.weight]).item());
  norms.push_back(norm(gradients[precise.out.weight]).item());
  return norms;
}
