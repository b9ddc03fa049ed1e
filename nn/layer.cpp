#include "nn/layer.h"

namespace tapegrad::detail {

constinit thread_local LayerObserver* layer_observer = nullptr;

LayerObserver::LayerObserver() : enclosing_(std::exchange(layer_observer, this)) {}

LayerObserver::~LayerObserver() { layer_observer = enclosing_; }

}  // namespace tapegrad::detail
