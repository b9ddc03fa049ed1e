#pragma once
// The wall's rows of layers: each with several sets of options, on inputs of its own.
//
//   {"Dense", {layer_sample("no bias", nn::Dense{5, 3, {.bias = false}}, x), ...}}
#include <functional>
#include <string>
#include <vector>

#include "tapegrad.h"
#include "tests/gradcheck/wall.h"

namespace tapegrad::tests {

/// A layer with one set of options, and an input (f64; i64 for indices).
struct LayerSample {
  std::string options;
  std::function<GradcheckReport()> check;
  /// One call in this precision: the result, the gradients of a floating input and of the parameters, the buffers.
  std::function<std::vector<Tensor>(DType)> run;
  double f32_error = 0;  ///< as an op's sample has it
};

struct LayerDescription {
  std::string name;
  std::vector<LayerSample> samples;
};

/// The random numbers of a call are the same each time while this lives.
class FixedRandom {
 public:
  FixedRandom() { random::seed(11); }
  ~FixedRandom() { random::set_state(before_); }
  FixedRandom(const FixedRandom&) = delete;
  FixedRandom& operator=(const FixedRandom&) = delete;

 private:
  random::Generator before_ = random::state();
};

/// What a call of a model gives; see LayerSample::run.
template <class Model>
std::vector<Tensor> call_in_precision(const Model& model, const Tensor& input, DType type) {
  // What is f32 first is the same in both.
  const Model copy = nn::to(nn::to(model, f32), type);
  const FixedRandom fixed;
  const bool floating = is_floating(input.dtype());
  Tensor x = floating ? input.to(f32).to(type) : input;
  std::vector<Tensor> results;
  Tape tape{{.persistent = true}};
  if (floating) tape.watch(x);
  const Tensor y = copy(x);
  results.push_back(y.clone());
  random::Generator generator(7);
  const Tensor seed = random::normal(y.shape(), {.dtype = f64, .generator = &generator}).to(f32).to(type);
  const Tensor loss = sum(y * seed);
  if (floating) results.push_back(tape.gradient(loss, x).clone());
  if (!detail::collect_parameters(copy).empty()) {
    for (const auto& [name, g] : tape.gradient(loss, copy)) results.push_back(g.clone());
  }
  detail::walk_model(copy, [&](const detail::Path&, const Buffer& buffer) {
    if (buffer.defined()) results.push_back(buffer.value().clone());
  });
  return results;
}

template <class Model>
LayerSample layer_sample(std::string options, const Model& model, const Tensor& input, double f32_error = 0) {
  return {std::move(options), [=] { return gradcheck(model, input, {.second_order = true}); },
          [=](DType type) { return call_in_precision(model, input, type); }, f32_error};
}

/// Gradients of first and second order by gradcheck; f32 against f64, forward and backward; equal bits for 1, 2, 3 and 7
/// threads and for a second run. An exception is a fault too.
WallRow check_layer(const LayerDescription& layer);

/// All layers of the library, from the lists of the families.
std::vector<LayerDescription> all_layers();
// layers_<family>.cpp:
std::vector<LayerDescription> convolution_layers();
std::vector<LayerDescription> norm_layers();
std::vector<LayerDescription> pool_layers();
std::vector<LayerDescription> embedding_and_dropout_layers();
std::vector<LayerDescription> small_layers();

}  // namespace tapegrad::tests
