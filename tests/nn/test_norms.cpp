// BatchNorm, InstanceNorm, LayerNorm, RMSNorm, GroupNorm: values, running statistics, modes, errors.
#include <atomic>
#include <chrono>
#include <cmath>
#include <thread>
#include <vector>

#include "autograd/checkpoint.h"
#include "autograd/create.h"
#include "autograd/gradcheck.h"
#include "autograd/ops/normalization.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "autograd/random.h"
#include "nn/batch_norm.h"
#include "nn/convert.h"
#include "nn/dense.h"
#include "nn/group_norm.h"
#include "nn/instance_norm.h"
#include "nn/layer_norm.h"
#include "nn/sequential.h"
#include "nn/summary.h"
#include "optim/sgd.h"
#include "tests/catch.h"
#include "tests/error_of.h"

using namespace tapegrad;
using tapegrad::tests::error_of;

namespace {

Tensor batch(int k, const Shape& shape = {5, 3}) {
  random::Generator generator(static_cast<std::uint64_t>(k));
  return random::normal(shape, {.mean = 2, .std = 3, .generator = &generator});
}

struct ColumnStatistics {
  std::vector<double> mean, var, unbiased;
};

// Of the channels of x [..., channels], by plain loops.
ColumnStatistics statistics_of(const Tensor& x) {
  const auto channels = static_cast<std::size_t>(x.shape().back());
  const Tensor rows_of_x = contiguous(x);
  const auto v = rows_of_x.span<const float>();
  const std::size_t rows = v.size() / channels;
  ColumnStatistics s;
  for (std::size_t c = 0; c < channels; ++c) {
    double sum = 0, squares = 0;
    for (std::size_t r = 0; r < rows; ++r) sum += static_cast<double>(v[r * channels + c]);
    const double mean = sum / static_cast<double>(rows);
    for (std::size_t r = 0; r < rows; ++r) {
      const double d = static_cast<double>(v[r * channels + c]) - mean;
      squares += d * d;
    }
    s.mean.push_back(mean);
    s.var.push_back(squares / static_cast<double>(rows));
    s.unbiased.push_back(squares / static_cast<double>(rows - 1));
  }
  return s;
}

void check_close(const Tensor& found, const std::vector<double>& wanted) {
  REQUIRE(found.size() == static_cast<std::int64_t>(wanted.size()));
  for (std::size_t c = 0; c < wanted.size(); ++c) {
    CHECK(found.at({static_cast<std::int64_t>(c)}) == Approx(wanted[c]).epsilon(1e-6).margin(1e-7));
  }
}

}  // namespace

TEST_CASE("BatchNorm: running statistics are an exponential average of means and unbiased variances") {
  const nn::BatchNorm1d bn{3, {.momentum = 0.25}};
  check_close(bn.running_mean, {0, 0, 0});
  check_close(bn.running_var, {1, 1, 1});
  std::vector<double> mean(3, 0), var(3, 1);
  for (int step = 0; step < 4; ++step) {
    const Tensor x = batch(step);
    bn(x);
    const ColumnStatistics now = statistics_of(x);
    for (std::size_t c = 0; c < 3; ++c) {
      mean[c] = 0.75 * mean[c] + 0.25 * now.mean[c];
      var[c] = 0.75 * var[c] + 0.25 * now.unbiased[c];
    }
    check_close(bn.running_mean, mean);
    check_close(bn.running_var, var);
  }
  CHECK(bn.num_batches_tracked.value().item() == 4);
  CHECK(bn.num_batches_tracked.value().dtype() == i64);
}

TEST_CASE("BatchNorm: without momentum, running statistics are the average of all batches") {
  const nn::BatchNorm2d bn{2, {.momentum = std::nullopt}};
  std::vector<double> mean(2, 0), var(2, 0);
  for (int step = 0; step < 5; ++step) {
    const Tensor x = batch(step, {2, 3, 4, 2});
    bn(x);
    const ColumnStatistics now = statistics_of(x);
    for (std::size_t c = 0; c < 2; ++c) {
      mean[c] += now.mean[c];
      var[c] += now.unbiased[c];
    }
    check_close(bn.running_mean, {mean[0] / (step + 1), mean[1] / (step + 1)});
    check_close(bn.running_var, {var[0] / (step + 1), var[1] / (step + 1)});
  }
}

TEST_CASE("BatchNorm: momentum 0 keeps, 1 takes the batch") {
  const nn::BatchNorm1d keeps{3, {.momentum = 0}}, takes{3, {.momentum = 1}};
  const Tensor x = batch(1);
  keeps(x);
  takes(x);
  check_close(keeps.running_mean, {0, 0, 0});
  check_close(takes.running_mean, statistics_of(x).mean);
  check_close(takes.running_var, statistics_of(x).unbiased);
}

TEST_CASE("InstanceNorm: running statistics are averages over the samples") {
  const nn::InstanceNorm1d norm{3, {.momentum = 0.5, .track_running_stats = true}};
  const Tensor x = batch(1, {2, 5, 3});
  norm(x);
  const ColumnStatistics a = statistics_of(x.slice(0, 0, 1)), b = statistics_of(x.slice(0, 1, 2));
  std::vector<double> mean, var;
  for (std::size_t c = 0; c < 3; ++c) {
    mean.push_back(0.5 * (a.mean[c] + b.mean[c]) / 2);
    var.push_back(0.5 + 0.5 * (a.unbiased[c] + b.unbiased[c]) / 2);
  }
  check_close(norm.running_mean, mean);
  check_close(norm.running_var, var);
}

TEST_CASE("BatchNorm normalizes by the batch in training, by the running statistics in evaluation") {
  nn::BatchNorm2d bn{3};
  bn.weight->assign(Tensor::from({0.5f, 1.0f, 2.0f}));
  bn.bias->assign(Tensor::from({1.0f, 0.0f, -1.0f}));
  const Tensor x = batch(1, {4, 2, 3, 3});
  const Tensor trained = bn(x);
  CHECK(allclose(mean(trained, {.axis = {0, 1, 2}}), *bn.bias, {.atol = 1e-5}));
  CHECK(allclose(stddev(trained, {.axis = {0, 1, 2}}), *bn.weight, {.rtol = 1e-4}));
  CHECK(array_equal(trained, batch_norm(x, *bn.weight, *bn.bias)));
  nn::eval(bn);
  const Tensor before = bn.running_mean.value().clone();
  const Tensor expected = (x - bn.running_mean.value()) / sqrt(bn.running_var.value() + 1e-5) * *bn.weight + *bn.bias;
  CHECK(allclose(bn(x), expected, {.rtol = 1e-5, .atol = 1e-5}));
  CHECK(bn(x.slice(0, 0, 1)).shape() == Shape{1, 2, 3, 3});
  CHECK(array_equal(bn.running_mean.value(), before));
  CHECK(bn.num_batches_tracked.value().item() == 1);
  nn::train(bn);
  CHECK(array_equal(bn(x), trained));
}

TEST_CASE("norms without tracking use the batch in both modes, and have no buffers") {
  nn::BatchNorm1d bn{3, {.track_running_stats = false}};
  nn::InstanceNorm2d instance{3};
  CHECK_FALSE(bn.running_mean.defined());
  CHECK_FALSE(instance.running_mean.defined());
  CHECK_FALSE(instance.weight.has_value());
  const Tensor x = batch(1), images = batch(2, {2, 3, 2, 3});
  const Tensor trained = bn(x), normalized = instance(images);
  nn::eval(bn);
  nn::eval(instance);
  CHECK(array_equal(bn(x), trained));
  CHECK(array_equal(instance(images), normalized));
  CHECK(array_equal(normalized, instance_norm(images)));
}

TEST_CASE("a frozen BatchNorm in a model that trains") {
  struct Net {
    nn::Dense in{3, 4};
    nn::BatchNorm1d bn{4};
    nn::Dense out{4, 2};
    Tensor operator()(Arg x) const { return out(relu(bn(in(x)))); }
  };
  Net net;
  net(batch(1));
  nn::train(net);
  nn::eval(net.bn);
  const Tensor mean_before = net.bn.running_mean.value().clone(), var_before = net.bn.running_var.value().clone();
  const Tensor in_before = net.in.weight.value().clone(), scale_before = net.bn.weight->value().clone();
  optim::SGD sgd{net, {.lr = 0.1}};
  for (int step = 0; step < 3; ++step) {
    Tape tape;
    sgd.step(tape.gradient(sum(square(net(batch(step)))), net));
  }
  CHECK(array_equal(net.bn.running_mean.value(), mean_before));
  CHECK(array_equal(net.bn.running_var.value(), var_before));
  CHECK_FALSE(array_equal(net.in.weight, in_before));
  CHECK_FALSE(array_equal(*net.bn.weight, scale_before));
  {
    const nn::Evaluating guard(net);
    net(batch(4));
  }
  net(batch(5));  // the guard left it frozen
  CHECK(array_equal(net.bn.running_mean.value(), mean_before));
  nn::train(net);
  net(batch(6));
  CHECK_FALSE(array_equal(net.bn.running_mean.value(), mean_before));
}

TEST_CASE("updates of running statistics are never recorded") {
  const nn::BatchNorm1d bn{3};
  Tape tape;
  const Tensor y = bn(batch(1));
  CHECK(tape.size() == 3);  // weight, bias, batch_norm
  const Gradients g = tape.gradient(sum(y * y), bn);
  CHECK(g.at("weight").shape() == Shape{3});
  CHECK(error_of([&] { tape.gradient(sum(y), bn); }) != "no error");
}

TEST_CASE("under checkpoint, running statistics are updated once, and the gradients are the same") {
  struct Net {
    nn::Dense in{3, 4};
    nn::BatchNorm1d bn{4};
    Tensor operator()(Arg x) const { return relu(bn(in(x))); }
  };
  random::seed(5);
  const Net net;
  const Net same = net;
  const Tensor x = batch(1);
  Tape tape;
  const Tensor y = sum(square(net(x)));
  const Gradients wanted = tape.gradient(y, net);
  const Tensor checkpointed = sum(square(checkpoint(same, x)));
  CHECK(array_equal(checkpointed, y));
  const Gradients found = tape.gradient(checkpointed, same);
  CHECK(array_equal(same.bn.running_mean.value(), net.bn.running_mean.value()));
  CHECK(array_equal(same.bn.running_var.value(), net.bn.running_var.value()));
  CHECK(same.bn.num_batches_tracked.value().item() == 1);
  for (const char* name : {"in.weight", "in.bias", "bn.weight", "bn.bias"}) {
    CHECK(array_equal(found.at(name), wanted.at(name)));
  }
}

TEST_CASE("two threads that train one BatchNorm: an error", "[threads]") {
  const nn::BatchNorm2d bn{4};
  const Tensor x = batch(1, {8, 32, 32, 4});
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  std::atomic<bool> is_over{false};
  const auto train = [&](std::string& message) {
    while (!is_over && std::chrono::steady_clock::now() < end) {
      message = error_of([&] { bn(x); });
      if (message != "no error") is_over = true;
    }
  };
  std::string first, second;
  std::thread other([&] { train(second); });
  train(first);
  other.join();
  const std::string expected =
      "Buffer::assign: two threads update the running statistics of one model, at here; copy the model per thread";
  CHECK((first == expected || second == expected));
  bn(x);  // it can train again
}

TEST_CASE("many threads evaluate one BatchNorm", "[threads]") {
  nn::Sequential net{nn::Dense{3, 4}, nn::BatchNorm1d{4}};
  net(batch(1));
  nn::eval(net);
  const Tensor x = batch(2);
  const Tensor expected = net(x);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int k = 0; k < 4; ++k) {
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) wrong += !array_equal(net(x), expected);
    });
  }
  for (std::thread& t : threads) t.join();
  CHECK(wrong == 0);
}

TEST_CASE("gradient checks leave the running statistics of a model as they are") {
  const nn::BatchNorm1d bn{3};
  bn(batch(1));
  const Tensor before = bn.running_mean.value().clone();
  const GradcheckReport report = gradcheck(bn, batch(2), {.second_order = true});
  CHECK(report);
  CHECK(array_equal(bn.running_mean.value(), before));
}

TEST_CASE("a copy of a BatchNorm has statistics of its own; nn::to converts them") {
  const nn::BatchNorm1d bn{3};
  const nn::BatchNorm1d copy = bn;
  bn(batch(1));
  check_close(copy.running_mean, {0, 0, 0});
  const nn::BatchNorm1d exact = nn::to(bn, f64);
  CHECK(exact.running_var.value().dtype() == f64);
  CHECK(exact.num_batches_tracked.value().dtype() == i64);
  exact(batch(2).to(f64));
  CHECK(exact.num_batches_tracked.value().item() == 2);
}

TEST_CASE("LayerNorm, RMSNorm and GroupNorm are their functions") {
  const Tensor x = batch(1, {2, 4, 6});
  const nn::LayerNorm layer{6};
  CHECK(array_equal(layer(x), layer_norm(x, 1, 0)));
  const nn::LayerNorm two{Shape{4, 6}, {.eps = 1e-3, .bias = false}};
  CHECK(two.weight->shape() == Shape{4, 6});
  CHECK_FALSE(two.bias.has_value());
  CHECK(array_equal(two(x), layer_norm(x, 1, 0, {.axes = 2, .eps = 1e-3})));
  const nn::LayerNorm plain{6, {.elementwise_affine = false}};
  CHECK_FALSE(plain.weight.has_value());
  CHECK_FALSE(plain.bias.has_value());
  const nn::RMSNorm rms{6};
  CHECK(array_equal(rms(x), rms_norm(x, 1, {.eps = std::pow(2.0, -23)})));
  CHECK(array_equal(nn::to(rms, f64)(x.to(f64)), rms_norm(x.to(f64), 1, {.eps = std::pow(2.0, -52)})));
  const nn::GroupNorm group{3, 6};
  CHECK(array_equal(group(x), group_norm(x, 3, 1, 0)));
  CHECK(array_equal(nn::GroupNorm{6, 6, {.affine = false}}(x), nn::InstanceNorm1d{6}(x)));
}

TEST_CASE("norms in a summary: parameters and buffers") {
  const nn::Sequential net{nn::Dense{3, 4}, nn::BatchNorm1d{4}};
  const nn::Summary summary = nn::summary(net, {5, 3});
  CHECK(summary.parameters == 3 * 4 + 4 + 4 + 4);
  CHECK(summary.buffers == 4 + 4 + 1);
  CHECK(net.get<1>().num_batches_tracked.value().item() == 0);
}

TEST_CASE("errors of BatchNorm and InstanceNorm") {
  struct Net {
    nn::BatchNorm2d bn{8};
    nn::BatchNorm1d flat{8};
    nn::InstanceNorm1d instance{8};
    nn::GroupNorm group{2, 8};
    nn::LayerNorm layer{Shape{4, 8}};
  };
  Net net;
  nn::name(net);
  CHECK(error_of([&] {
          net.bn(zeros({2, 8, 5, 5}));
        }) ==
        "BatchNorm2d: the last axis of x must have 8 channels: x is f32[2, 8, 5, 5], not [batch, height, width, "
        "channels], "
        "in bn, at here; x looks like channels first, but channels come last here: permute(x, {0, 2, 3, 1})");
  CHECK(error_of([&] {
          net.instance(zeros({2, 8, 5}));
        }) ==
        "InstanceNorm1d: the last axis of x must have 8 channels: x is f32[2, 8, 5], not [batch, time, channels], in "
        "instance, at here; x looks like channels first, but channels come last here: permute(x, {0, 2, 1})");
  CHECK(
      error_of([&] {
        net.group(zeros({2, 8, 5, 5}));
      }) ==
      "GroupNorm: the last axis of x must have 8 channels: x is f32[2, 8, 5, 5], not [batch, ..., channels], in group, "
      "at here; x looks like channels first, but channels come last here: permute(x, {0, 2, 3, 1})");
  CHECK(error_of([&] {
          net.bn(zeros({2, 5, 5, 7}));
        }) ==
        "BatchNorm2d: the last axis of x must have 8 channels: x is f32[2, 5, 5, 7], not [batch, height, width, "
        "channels], "
        "in bn, at here");
  CHECK(error_of([&] {
          net.bn(zeros({2, 8}));
        }) == "BatchNorm2d: x must be [batch, height, width, channels], not f32[2, 8], in bn, at here");
  CHECK(error_of([&] {
          net.flat(zeros({2, 3, 3, 8}));
        }) ==
        "BatchNorm1d: x must be [batch, features] or [batch, time, channels], not f32[2, 3, 3, 8], in flat, at here");
  CHECK(
      error_of([&] {
        net.flat(zeros({1, 8}));
      }) ==
      "batch_norm: x is f32[1, 8] [..., channels] with 1 values per channel, which have no variance, in flat, at here; "
      "train with a batch of at least 2, or normalize with given statistics (nn::eval)");
  CHECK(error_of([&] { net.flat(zeros({0, 8})); }) != "no error");
  CHECK(net.flat.num_batches_tracked.value().item() == 0);
  CHECK(error_of([&] { net.instance(zeros({2, 1, 8})); }) != "no error");
  CHECK(
      error_of([&] {
        net.flat(zeros({2, 8}, f64));
      }) ==
      "BatchNorm1d: x is f64[2, 8] and the layer f32, in flat, at here; convert the model with nn::to(net, f64), or x "
      "with .to(f32)");
  CHECK(error_of([&] {
          net.flat(zeros({2, 8}, i64));
        }) == "BatchNorm1d: x is i64[2, 8], in flat, at here; convert it with to(f32)");
  CHECK(error_of([&] { net.flat(Tensor()); }) == "BatchNorm1d: the input is an empty handle, in flat, at here");
  CHECK(error_of([&] {
          net.layer(zeros({2, 8, 4}));
        }) == "LayerNorm: x is f32[2, 8, 4], whose last axes are not [4, 8], in layer, at here");
  CHECK(error_of([&] { net.layer(zeros({8})); }) ==
        "LayerNorm: x is f32[8], whose last axes are not [4, 8], in layer, at here");
}

TEST_CASE("errors of the constructors of norms") {
  CHECK(error_of([] { nn::BatchNorm2d(0); }) == "BatchNorm2d: 0 channels: there must be at least 1, at here");
  CHECK(error_of([] { nn::BatchNorm1d(3, {.eps = -1}); }) == "BatchNorm1d: eps is -1, not a number from 0 on, at here");
  CHECK(error_of([] { nn::BatchNorm1d(3, {.momentum = 1.5}); }) ==
        "BatchNorm1d: momentum is 1.5, not from 0 to 1, at here; std::nullopt is the average of all batches");
  CHECK(error_of([] { nn::GroupNorm(3, 8); }) == "GroupNorm: 8 channels do not divide into 3 groups, at here");
  CHECK(error_of([] { nn::GroupNorm(0, 8); }) ==
        "GroupNorm: 8 channels and 0 groups: there must be at least 1 of each, at here");
  CHECK(error_of([] { nn::LayerNorm(0); }) ==
        "LayerNorm: normalized_shape is [0]: it needs axes, of sizes of at least 1, at here");
  CHECK(error_of([] { nn::LayerNorm(Shape{}); }) ==
        "LayerNorm: normalized_shape is []: it needs axes, of sizes of at least 1, at here");
  CHECK(error_of([] { nn::RMSNorm(3, {.eps = NAN}); }) == "RMSNorm: eps is nan, not a number from 0 on, at here");
}
