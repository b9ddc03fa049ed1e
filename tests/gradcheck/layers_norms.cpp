// The norms. Weights that are not all alike, so that a gradient that forgets them is seen.
#include "autograd/ops/elements.h"
#include "tests/gradcheck/layers.h"

namespace tapegrad::tests {
namespace {

template <class Layer>
Layer irregular(Layer layer) {
  std::uint64_t seed = 20;
  detail::walk_model(layer, [&](const detail::Path&, Parameter& p) {
    p.assign((detail::sample_values(p.shape(), seed++) + 0.5).to(p.dtype()));
  });
  return layer;
}

template <class Layer>
Layer evaluating(Layer layer) {
  layer.running_mean.assign(detail::sample_values(layer.running_mean.value().shape(), 30).to(f32));
  layer.running_var.assign(exp(detail::sample_values(layer.running_var.value().shape(), 31)).to(f32));
  nn::eval(layer);
  return layer;
}

// affine and track_running_stats in every combination, in training and in evaluation; eps and momentum vary with them.
template <class Layer, class Options>
LayerDescription channel_norm(const char* name, const Shape& odd, const Shape& batch_of_one, const Shape& large) {
  const auto layer = [](const Shape& shape, const Options& options) { return irregular(Layer(shape.back(), options)); };
  const auto x = [](const Shape& shape) { return detail::sample_values(shape); };
  const Options plain{.eps = 1e-3, .momentum = 0.1, .affine = false, .track_running_stats = false};
  const Options affine{.eps = 1e-2, .momentum = 0.3, .affine = true, .track_running_stats = false};
  const Options tracks{.eps = 1e-2, .momentum = std::nullopt, .affine = false, .track_running_stats = true};
  const Options all{.eps = 1e-3, .momentum = std::nullopt, .affine = true, .track_running_stats = true};
  Layer without = layer(odd, affine);
  nn::eval(without);
  return {name,
          {layer_sample("neither affine nor tracking", layer(odd, plain), x(odd)),
           layer_sample("affine", layer(odd, affine), x(odd)),
           layer_sample("affine, evaluation by the batch", without, x(odd)),
           layer_sample("tracking", layer(odd, tracks), x(odd)),
           layer_sample("tracking, evaluation", evaluating(layer(odd, tracks)), x(odd)),
           layer_sample("affine and tracking", layer(odd, all), x(odd)),
           layer_sample("affine and tracking, evaluation", evaluating(layer(odd, all)), x(odd)),
           layer_sample("batch of 1", layer(batch_of_one, all), x(batch_of_one)),
           layer_sample("batch of 1, evaluation", evaluating(layer(batch_of_one, all)), x(batch_of_one)),
           layer_sample("several threads", layer(large, all), x(large))}};
}

template <class Layer, class Options>
LayerSample row_sample(const char* options, const Shape& normalized, const Options& o, const Shape& x) {
  return layer_sample(options, irregular(Layer(normalized, o)), detail::sample_values(x));
}

LayerDescription layer_norm_rows() {
  using Layer = nn::LayerNorm;
  using Options = nn::LayerNormOptions;
  return {"LayerNorm",
          {row_sample<Layer>("", {5}, Options{.eps = 1e-2}, {3, 5}),
           row_sample<Layer>("no bias, three axes", {5}, Options{.bias = false}, {2, 3, 5}),
           row_sample<Layer>("not affine", {7}, Options{.elementwise_affine = false}, {3, 7}),
           row_sample<Layer>("not affine, batch of 1", {9}, Options{.eps = 1e-3, .elementwise_affine = false}, {1, 9}),
           row_sample<Layer>("two axes", {3, 5}, Options{}, {2, 3, 5}),
           row_sample<Layer>("two axes, no bias, batch of 1", {3, 3}, Options{.eps = 1e-3, .bias = false}, {1, 3, 3}),
           row_sample<Layer>("two axes, not affine", {3, 2}, Options{.elementwise_affine = false}, {3, 3, 2}),
           row_sample<Layer>("one axis", {11}, Options{}, {11}),
           row_sample<Layer>("several threads", {37}, Options{}, {150, 37})}};
}

LayerDescription rms_norm_rows() {
  using Layer = nn::RMSNorm;
  using Options = nn::RMSNormOptions;
  return {"RMSNorm",
          {row_sample<Layer>("eps", {5}, Options{.eps = 1e-2}, {3, 5}),
           row_sample<Layer>("not affine, eps, three axes", {5}, Options{.eps = 1e-3, .elementwise_affine = false},
                             {2, 3, 5}),
           row_sample<Layer>("two axes, eps", {3, 5}, Options{.eps = 1e-2}, {2, 3, 5}),
           row_sample<Layer>("two axes, not affine, eps, batch of 1", {3, 3},
                             Options{.eps = 1e-2, .elementwise_affine = false}, {1, 3, 3}),
           row_sample<Layer>("one axis, eps", {11}, Options{.eps = 1e-5}, {11}),
           row_sample<Layer>("several threads, eps", {37}, Options{.eps = 1e-5}, {150, 37})}};
}

LayerDescription group_norm_rows() {
  const auto sample = [](const char* text, std::int64_t groups, const nn::GroupNormOptions& o, const Shape& x) {
    return layer_sample(text, irregular(nn::GroupNorm{groups, x.back(), o}), detail::sample_values(x));
  };
  return {"GroupNorm",
          {sample("images", 3, {.eps = 1e-2}, {2, 3, 3, 6}),
           sample("images, not affine, batch of 1", 2, {.eps = 1e-3, .affine = false}, {1, 3, 2, 4}),
           sample("sequences, one group", 1, {.eps = 1e-3}, {2, 3, 5}),
           sample("sequences, one group, not affine", 1, {.eps = 1e-2, .affine = false}, {2, 3, 3}),
           sample("sequences, groups of one channel", 3, {.eps = 1e-2}, {2, 5, 3}),
           sample("groups of one channel, not affine", 3, {.eps = 1e-2, .affine = false}, {2, 4, 3}),
           sample("features", 2, {}, {3, 10}), sample("features, one group, batch of 1", 1, {}, {1, 7}),
           sample("several threads", 4, {}, {17, 9, 5, 36})}};
}

}  // namespace

std::vector<LayerDescription> norm_layers() {
  using nn::BatchNormOptions;
  using nn::InstanceNormOptions;
  return {channel_norm<nn::BatchNorm1d, BatchNormOptions>("BatchNorm1d", {5, 3}, {1, 4, 3}, {90, 50}),
          channel_norm<nn::BatchNorm2d, BatchNormOptions>("BatchNorm2d", {2, 3, 2, 3}, {1, 3, 3, 2}, {3, 17, 9, 17}),
          channel_norm<nn::InstanceNorm1d, InstanceNormOptions>("InstanceNorm1d", {2, 5, 3}, {1, 4, 3}, {20, 30, 17}),
          channel_norm<nn::InstanceNorm2d, InstanceNormOptions>("InstanceNorm2d", {2, 3, 2, 3}, {1, 3, 3, 2},
                                                                {3, 17, 9, 17}),
          layer_norm_rows(),
          rms_norm_rows(),
          group_norm_rows()};
}

}  // namespace tapegrad::tests
