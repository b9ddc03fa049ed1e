// bench_transforms [--check]
//
// What derivatives cost, in gradients: on one thread, of a network with a million parameters in f32, as medians over
// alternating samples. With --check the program fails when a product with the Hessian costs more than three gradients,
// or a checkpointed step more than 1.6 plain ones.
#include <cstdio>
#include <cstring>

#include "tapegrad.h"
#include "tests/benchmarks/measure.h"

namespace {

using namespace tapegrad;

struct Mlp {
  nn::Dense a{784, 784}, b{784, 500}, c{500, 10};
  bool saves_memory = false;
  Tensor operator()(Arg x) const {
    if (!saves_memory) return c(tanh(b(tanh(a(x)))));
    return c(checkpoint([this](const Tensor& v) { return tanh(b(tanh(a(v)))); }, x));
  }
};

}  // namespace

int main(int count, char** arguments) {
  const bool checks = count == 2 && std::strcmp(arguments[1], "--check") == 0;
  if (count > 1 && !checks) {
    std::fprintf(stderr, "usage: bench_transforms [--check]\n");
    return 2;
  }
  set_num_threads(1);
  Mlp net;
  const Tensor x = random::normal({64, 784}), labels = random::integers(0, 10, {64});
  const auto loss = [&](const Mlp& m) { return cross_entropy(m(x), labels); };
  const Gradients v = grad(loss, net);
  const auto as_function_of_x = [&](const Tensor& images) { return cross_entropy(net(images), labels); };
  const auto run = [&](bool saves_memory) {
    net.saves_memory = saves_memory;
    grad(loss, net);
  };
  const std::vector<bench::Comparison> t =
      bench::compare({
                         [&] { run(false); },
                         [&] { hvp(loss, net, v); },
                         [&] { run(true); },
                         [&] { hvp(as_function_of_x, x, x, {.mode = HvpMode::forward_over_reverse}); },
                         [&] { hvp(as_function_of_x, x, x); },
                     },
                     {.sample_ns = 4e6, .rounds = 21});
  struct Row {
    const char* name;
    double limit;  // 0: none
  };
  const Row rows[] = {{"gradient", 0},
                      {"hvp", 3},
                      {"gradient, checkpointed", 1.6},
                      {"hvp of the images, forward over reverse", 0},
                      {"hvp of the images, reverse over reverse", 0}};
  int misses = 0;
  std::printf("%-42s %10s %10s\n", "", "ms", "gradients");
  for (std::size_t k = 0; k < t.size(); ++k) {
    const bool misses_limit = rows[k].limit > 0 && t[k].ratio > rows[k].limit;
    misses += misses_limit;
    std::printf("%-42s %10.3f %10.2f%s\n", rows[k].name, t[k].ns / 1e6, t[k].ratio,
                misses_limit ? "  over budget" : "");
  }
  return checks && misses > 0 ? 1 : 0;
}
