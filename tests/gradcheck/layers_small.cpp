// The wall's rows of upsampling and of the layers that wrap a function or another layer.
#include "autograd/ops/elements.h"
#include "tests/gradcheck/layers.h"

namespace tapegrad::tests {

std::vector<LayerDescription> small_layers() {
  using enum UpsampleMode;
  const Tensor image = detail::sample_values({2, 3, 5, 3});
  const Tensor single = detail::sample_values({1, 5, 4, 2});
  const Tensor sequence = detail::sample_values({2, 7, 3});
  const Tensor row = detail::sample_values({1, 3});
  return {{"Upsample",
           {layer_sample("factor 2", nn::Upsample{{.scale_factor = 2}}, image),
            layer_sample("two sizes", nn::Upsample{{.size = {7, 4}}}, single),
            layer_sample("bilinear, factor 2", nn::Upsample{{.scale_factor = 2, .mode = bilinear}}, image),
            layer_sample("bilinear, two factors", nn::Upsample{{.scale_factor = {0.5, 1.5}, .mode = bilinear}}, single),
            layer_sample("bilinear, size, align_corners",
                         nn::Upsample{{.size = {2, 9}, .mode = bilinear, .align_corners = true}}, image),
            layer_sample("bilinear, factor, align_corners",
                         nn::Upsample{{.scale_factor = 3, .mode = bilinear, .align_corners = true}}, single),
            layer_sample("sequences, factor", nn::Upsample{{.scale_factor = 1.5}}, sequence),
            layer_sample("linear, size", nn::Upsample{{.size = 10, .mode = linear}}, sequence),
            layer_sample("several threads", nn::Upsample{{.scale_factor = 2, .mode = bilinear}},
                         detail::sample_values({2, 12, 12, 7}))}},
          {"Flatten",
           {layer_sample("", nn::Flatten{}, image), layer_sample("start_axis 2", nn::Flatten{2}, image),
            layer_sample("batch of 1", nn::Flatten{}, row)}},
          {"Residual",
           {layer_sample("", nn::Residual{nn::Dense{3, 3}}, image),
            layer_sample("projection", nn::Residual{nn::Dense{3, 2}, nn::Dense{3, 2, {.bias = false}}}, sequence),
            layer_sample("batch of 1", nn::Residual{nn::Sequential{nn::Dense{3, 3}, relu}}, row),
            layer_sample("several threads", nn::Residual{nn::Dense{3, 3}}, detail::sample_values({40, 9, 3}))}},
          {"PReLU",
           {layer_sample("", nn::PReLU{}, image), layer_sample("channels", nn::PReLU{3, {.init = -0.5}}, image),
            layer_sample("batch of 1", nn::PReLU{3}, row),
            layer_sample("several threads", nn::PReLU{7}, detail::sample_values({30, 40, 7}))}}};
}

}  // namespace tapegrad::tests
