#pragma once
// Layers one after another.
#include <functional>
#include <tuple>
#include <vector>

#include "nn/layer.h"

namespace tapegrad::nn {

/// Calls its parts one after another; a part is a layer, a function or anything else that takes a tensor and returns
/// one.
///
///     nn::Sequential net{nn::Dense{784, 128}, relu, nn::Dense{128, 10}};
///
/// The parts are called 0, 1, ... ("2.weight").
template <class... Parts>
class Sequential {
 public:
  explicit Sequential(Parts... parts) : parts_(std::move(parts)...) {}

  Tensor operator()(Arg x) const { return call(x, std::index_sequence_for<Parts...>()); }

  template <std::size_t i>
  auto& get() {
    return std::get<i>(parts_);
  }
  template <std::size_t i>
  const auto& get() const {
    return std::get<i>(parts_);
  }

 private:
  static Tensor call(const Arg& x, std::index_sequence<>) { return x.tensor(); }

  template <std::size_t first, std::size_t... more>
  Tensor call(const Arg& x, std::index_sequence<first, more...>) const {
    Tensor y = std::invoke(std::get<first>(parts_), x);
    ((y = std::invoke(std::get<more>(parts_), Arg(std::move(y), x.at()))), ...);
    return y;
  }

  std::tuple<Parts...> parts_;

 public:
  using fields = Elements<&Sequential::parts_>;
};

/// A number of layers, with the line that asks for them.
struct LayerCount {
  LayerCount(std::int64_t n, SourceLocation at = SourceLocation::current()) : count(n), line(at) {}
  std::int64_t count;
  SourceLocation line;
};

/// `n` layers, each made by a call of `make`, so that each has initial values of its own. Throws for a negative n.
///
///     std::vector<Block> blocks = nn::repeat(6, [] { return Block{64}; });
template <class Make>
auto repeat(LayerCount n, Make&& make) {
  if (n.count < 0) fail("repeat: " + std::to_string(n.count) + " layers", n.line);
  std::vector<std::decay_t<std::invoke_result_t<Make&>>> layers;
  layers.reserve(static_cast<std::size_t>(n.count));
  for (std::int64_t k = 0; k < n.count; ++k) layers.push_back(make());
  return layers;
}

}  // namespace tapegrad::nn
