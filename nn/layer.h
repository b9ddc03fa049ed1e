#pragma once
// What the file of a layer includes: reflection, names, and how a call of a layer is announced.
#include "autograd/tape.h"

namespace tapegrad::detail {

/// Is told the result of every call of a layer on its thread, while it lives: a summary is made so.
class LayerObserver {
 public:
  LayerObserver();
  virtual ~LayerObserver();
  LayerObserver(const LayerObserver&) = delete;
  LayerObserver& operator=(const LayerObserver&) = delete;

  virtual void on_result(std::uint32_t layer, const Tensor& result) = 0;

 private:
  LayerObserver* enclosing_;
};

extern constinit thread_local LayerObserver* layer_observer [[gnu::tls_model("initial-exec")]];

/// The last line of a layer: `return layer_result(name_, y);`
inline Tensor layer_result(const nn::Name& name, Tensor result) {
  if (layer_observer) [[unlikely]]
    layer_observer->on_result(name.id(), result);
  return result;
}

}  // namespace tapegrad::detail
