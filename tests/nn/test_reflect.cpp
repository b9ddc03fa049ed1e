// Which parameters a walk over a model finds, in which order, and how it names them.
#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <thread>
#include <tuple>
#include <vector>

#include "autograd/create.h"
#include "autograd/ops/pointwise.h"
#include "autograd/random.h"
#include "nn/convert.h"
#include "nn/dense.h"
#include "nn/modes.h"
#include "nn/sequential.h"
#include "tests/catch.h"
#include "tests/error_of.h"

using namespace tapegrad;
using tapegrad::tests::error_of;

namespace {

class Scale {
 public:
  explicit Scale(std::int64_t n) : factor_(ones({n})) {}
  Tensor operator()(Arg x) const { return x * factor_; }

 private:
  Parameter factor_;
  nn::Name name_;
  nn::Mode mode_;
  Buffer mean_{zeros({2})};

 public:
  using fields = nn::Fields<&Scale::factor_, &Scale::name_, &Scale::mode_, &Scale::mean_>;
  const std::string& name() const { return name_.text(); }
  bool is_training() const { return mode_.is_training(); }
  const Buffer& mean() const { return mean_; }
};

constexpr auto twice_formula = [](auto x) { return x + x; };
using Twice = decltype(pointwise("twice", twice_formula));

enum class Kind { small, large };

struct Config {
  int width = 4;
  float rate = 0.1f;
  std::string title = "demo";
  Kind kind = Kind::small;
};

struct Attention {
  int width = 4;
  nn::Dense query{width, width};
  nn::Dense key{width, width, {.bias = false}};
};

struct Block {
  int width = 4;
  Attention attention{width};
  Scale scale{width};
};

struct Model {
  Config config;
  nn::Dense embed{2, config.width};
  std::vector<Block> blocks = nn::repeat(2, [] { return Block{}; });
  std::optional<nn::Dense> extra;
  std::array<nn::Dense, 2> heads{nn::Dense{4, 1}, nn::Dense{4, 1}};
  std::tuple<Parameter, int> pair{Parameter(zeros({3})), 7};
  Parameter own{zeros({1})};
  // None of these holds parameters.
  Tensor cache;
  Shape shape;
  std::vector<int> sizes = {1, 2, 3};
  std::vector<std::string> words = {"a"};
  std::vector<std::vector<Tensor>> tensors;
  Tensor (*activation)(Arg) = relu;
  random::Generator generator;
  Twice twice = pointwise("twice", twice_formula);
  std::function<void()> callback;
  std::map<std::string, int> counts;
};

}  // namespace

template <>
inline constexpr bool tapegrad::nn::no_parameters<std::function<void()>> = true;
template <>
inline constexpr bool tapegrad::nn::no_parameters<std::map<std::string, int>> = true;

static_assert(std::is_nothrow_move_constructible_v<nn::Dense>);
static_assert(std::is_nothrow_move_constructible_v<Attention>);
static_assert(std::is_nothrow_move_constructible_v<Block>);
static_assert(std::is_nothrow_move_assignable_v<Attention>);

namespace {

template <class M>
std::string names_of(M& model) {
  std::string names;
  for (auto& [name, parameter] : nn::parameters(model)) names += name + to_string(parameter->shape()) + " ";
  return names;
}

}  // namespace

TEST_CASE("the parameters of nested structs, containers and layers, in the order of the fields") {
  Model model;
  const std::string block =
      ".attention.query.weight[4, 4] %.attention.query.bias[4] %.attention.key.weight[4, 4] %.scale.factor[4] ";
  std::string expected = "embed.weight[4, 2] embed.bias[4] ";
  for (const char* path : {"blocks.0", "blocks.1"}) {
    std::string text = path + block;
    for (std::size_t at = text.find('%'); at != std::string::npos; at = text.find('%')) text.replace(at, 1, path);
    expected += text;
  }
  const std::string rest =
      "heads.0.weight[1, 4] heads.0.bias[1] heads.1.weight[1, 4] heads.1.bias[1] pair.0[3] own[1] ";
  CHECK(names_of(model) == expected + rest);
  CHECK(names_of(std::as_const(model)) == expected + rest);
  model.extra.emplace(3, 3, nn::DenseOptions{.bias = false});
  CHECK(names_of(model) == expected + "extra.weight[3, 3] " + rest);
}

TEST_CASE("a walk over a const model names layers and parameters, and the last walk wins") {
  const Model model;
  CHECK(model.blocks[1].scale.name().empty());
  nn::name(model);
  CHECK(model.blocks[1].scale.name() == "blocks.1.scale");
  CHECK(model.blocks[1].attention.query.weight.name() == "blocks.1.attention.query.weight");
  nn::name(model.blocks[1]);
  CHECK(model.blocks[1].scale.name() == "scale");
  CHECK(model.blocks[1].attention.query.weight.name() == "attention.query.weight");
}

TEST_CASE("models with pointers, local models, templates, tuples and single layers") {
  struct Pointers {
    std::unique_ptr<nn::Dense> one = std::make_unique<nn::Dense>(2, 2);
    std::shared_ptr<nn::Dense> shared = std::make_shared<nn::Dense>(3, 3);
    std::shared_ptr<nn::Dense> same = shared;
    std::unique_ptr<nn::Dense> none;
    nn::Dense* elsewhere = nullptr;
  };
  Pointers pointers;
  CHECK(names_of(pointers) == "one.weight[2, 2] one.bias[2] shared.weight[3, 3] shared.bias[3] ");
  CHECK(detail::collect_parameters(pointers).size() == 4);

  std::vector<nn::Dense> layers = nn::repeat(2, [] { return nn::Dense{1, 2}; });
  CHECK(names_of(layers) == "0.weight[2, 1] 0.bias[2] 1.weight[2, 1] 1.bias[2] ");
  nn::Dense layer{1, 2};
  CHECK(names_of(layer) == "weight[2, 1] bias[2] ");
  std::tuple<nn::Dense, Scale> two{nn::Dense{1, 2}, Scale{3}};
  CHECK(names_of(two) == "0.weight[2, 1] 0.bias[2] 1.factor[3] ");
  nn::Sequential net{nn::Dense{1, 2}, relu, nn::Dense{2, 3}};
  CHECK(names_of(net) == "0.weight[2, 1] 0.bias[2] 2.weight[3, 2] 2.bias[3] ");
  Parameter alone(zeros({2}));
  CHECK(names_of(alone) == "[2] ");
}

TEST_CASE("a struct of 64 fields works") {
  struct Many {
    int a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19, a20;
    int b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, b12, b13, b14, b15, b16, b17, b18, b19, b20;
    int c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13, c14, c15, c16, c17, c18, c19, c20;
    Parameter last{zeros({1})};
  };
  Many many{};
  CHECK(names_of(many) == "last[1] ");
}

TEST_CASE("copies of a model have parameters of their own, moves keep them") {
  Model model;
  const auto before = detail::collect_parameters(model);
  const Model copy = model;
  const auto copied = detail::collect_parameters(copy);
  REQUIRE(copied.size() == before.size());
  for (std::size_t k = 0; k < before.size(); ++k) CHECK(copied[k].block != before[k].block);
  const Model moved = std::move(model);
  const auto after = detail::collect_parameters(moved);
  for (std::size_t k = 0; k < before.size(); ++k) CHECK(after[k].block == before[k].block);
}

TEST_CASE("assignment of a model writes its values into the parameters of the other") {
  Block a;
  const Block b;
  const auto before = detail::collect_parameters(a);
  a = b;
  const auto after = detail::collect_parameters(a);
  for (std::size_t k = 0; k < before.size(); ++k) CHECK(after[k].block == before[k].block);
  CHECK(array_equal(a.attention.query.weight, b.attention.query.weight));
}

TEST_CASE("many threads walk over one const model") {
  const Model model;
  std::vector<std::thread> threads;
  std::vector<std::size_t> found(4);
  for (std::size_t& count : found) {
    threads.emplace_back([&] {
      for (int k = 0; k < 50; ++k) {
        count = detail::collect_parameters(model).size();
        nn::name(model.blocks[0]);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(found == std::vector<std::size_t>(4, 16));
}

TEST_CASE("train, eval and a guard switch every layer that has a mode") {
  Model model;
  CHECK(model.blocks[0].scale.is_training());
  nn::eval(model);
  CHECK_FALSE(model.blocks[0].scale.is_training());
  CHECK_FALSE(model.blocks[1].scale.is_training());
  nn::train(model.blocks[1]);
  {
    const nn::Evaluating guard(model);
    CHECK_FALSE(model.blocks[1].scale.is_training());
  }
  CHECK(model.blocks[1].scale.is_training());
  CHECK_FALSE(model.blocks[0].scale.is_training());
}

TEST_CASE("nn::to copies a model in double, buffers too") {
  const Model model;
  const Model doubled = nn::to(model, f64);
  const auto originals = nn::parameters(model);
  const auto copies = nn::parameters(doubled);
  REQUIRE(copies.size() == originals.size());
  for (std::size_t k = 0; k < copies.size(); ++k) {
    CHECK(copies[k].parameter->dtype() == f64);
    CHECK(originals[k].parameter->dtype() == f32);
    CHECK(array_equal(*copies[k].parameter, *originals[k].parameter));
    CHECK((copies[k].parameter->value().block()->flags & detail::leaf_flag) != 0);
    CHECK(copies[k].parameter->name() == copies[k].name);
  }
  CHECK(doubled.blocks[0].scale.mean().value().dtype() == f64);
  CHECK(model.blocks[0].scale.mean().value().dtype() == f32);

  CHECK(error_of([&] { nn::to(model, i64); }) == "nn::to: a model cannot be i64, at here; use f32 or f64");
  struct Shared {
    std::shared_ptr<nn::Dense> dense = std::make_shared<nn::Dense>(2, 2);
  };
  const Shared shared;
  CHECK(
      error_of([&] { nn::to(shared, f64); }) ==
      "nn::to: a copy of the model shares \"dense.weight\" with it, at here; std::shared_ptr copies a pointer, not the "
      "layer");
  CHECK(shared.dense->weight.dtype() == f32);
}
