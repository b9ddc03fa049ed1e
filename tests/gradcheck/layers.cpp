#include "tests/gradcheck/layers.h"

#include <algorithm>

#include "autograd/gradcheck_differences.h"
#include "autograd/ops/elements.h"
#include "tests/gradcheck/compare.h"

namespace tapegrad::tests {
namespace {

class LayerCheck {
 public:
  explicit LayerCheck(const LayerDescription& layer) : layer_(layer) {
    row_.name = layer.name;
    row_.has_jvp = false;
  }

  WallRow run() {
    if (layer_.samples.empty()) row_.faults.push_back("no samples");
    for (const LayerSample& sample : layer_.samples) {
      sample_ = &sample;
      ++row_.cases;
      try {
        check_gradients();
        check_kernels();
      } catch (const std::exception& error) {
        add_fault(std::string("throws ") + error.what());
      }
    }
    return std::move(row_);
  }

 private:
  void add_fault(const std::string& what) { row_.faults.push_back(sample_->options + ": " + what); }

  void check_gradients() {
    const FixedRandom fixed;
    const GradcheckReport report = sample_->check();
    row_.first_order = std::max(row_.first_order, report.worst_error(1));
    row_.second_order = std::max(row_.second_order, report.worst_error(2));
    if (!report) add_fault(to_string(report));
  }

  void check_kernels() {
    const std::vector<Tensor> low = run_with_threads(f32);
    const std::vector<Tensor> high = run_with_threads(f64);
    for (std::size_t k = 0; k < low.size(); ++k) {
      if (!is_floating(low[k].dtype())) continue;  // a counter
      const Comparison c = compare(low[k], high[k], k == 0 ? 0 : 1, sample_->f32_error);
      double& worst = k == 0 ? row_.f32_value : row_.f32_gradient;
      worst = std::max(worst, c.worst);
      if (!c.fault.empty()) add_fault((k == 0 ? "the result" : "gradient or buffer " + std::to_string(k)) + c.fault);
    }
  }

  // The results for one thread, which must be those of a second run, and for 2, 3 and 7 threads.
  std::vector<Tensor> run_with_threads(DType type) {
    const RestoreThreads restore;
    set_num_threads(1);
    const std::vector<Tensor> one = sample_->run(type);
    require_same(one, sample_->run(type), "a second run gives");
    for (const int threads : {2, 3, 7}) {
      set_num_threads(threads);
      const std::uint64_t before = thread_pool_statistics().regions;
      require_same(one, sample_->run(type), std::to_string(threads) + " threads give");
      if (type == f32 && threads == 2) row_.threaded += thread_pool_statistics().regions > before;
    }
    return one;
  }

  void require_same(const std::vector<Tensor>& a, const std::vector<Tensor>& b, const std::string& what) {
    for (std::size_t k = 0; k < a.size(); ++k) {
      if (!detail::same_bits(a[k].clone(), b[k].clone()))
        add_fault(what + " other bits in result " + std::to_string(k));
    }
  }

  const LayerDescription& layer_;
  const LayerSample* sample_ = nullptr;
  WallRow row_;
};

LayerDescription dense() {
  const Tensor x = detail::sample_values({3, 5});
  return {"Dense",
          {layer_sample("", nn::Dense{5, 3}, x), layer_sample("no bias", nn::Dense{5, 3, {.bias = false}}, x),
           layer_sample("batch of 1", nn::Dense{5, 3}, detail::sample_values({1, 5})),
           layer_sample("three axes", nn::Dense{5, 2}, detail::sample_values({2, 3, 5})),
           layer_sample("one axis", nn::Dense{5, 2}, detail::sample_values({5})),
           layer_sample("several threads", nn::Dense{30, 40}, detail::sample_values({50, 30}))}};
}

}  // namespace

WallRow check_layer(const LayerDescription& layer) { return LayerCheck(layer).run(); }

std::vector<LayerDescription> all_layers() {
  const FixedRandom fixed;  // initial values
  std::vector<LayerDescription> list{dense()};
  for (const auto family :
       {&convolution_layers, &norm_layers, &pool_layers, &small_layers, &embedding_and_dropout_layers}) {
    for (LayerDescription& layer : family()) list.push_back(std::move(layer));
  }
  return list;
}

}  // namespace tapegrad::tests
