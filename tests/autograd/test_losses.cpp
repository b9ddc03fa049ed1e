// Losses against PyTorch's numbers, against each other where one is a form of another, and at the ends of their ranges;
// what bad input says.
#include "autograd/ops/losses.h"

#include <map>

#include "autograd/gradcheck.h"
#include "autograd/ops/index.h"
#include "autograd/ops/softmax.h"
#include "tests/autograd/loss_golden.h"
#include "tests/autograd/op_support.h"

using namespace op_test;
using Values = std::vector<double>;

namespace {

using Loss = std::function<Tensor(const Tensor& x, Reduction)>;

Tensor labels_of(std::initializer_list<std::int64_t> values) { return Tensor::from(values); }

// make_loss_golden.py makes the same tensors.
Tensor wave(double phase) {
  Tensor x = zeros({5, 4}, f64);
  for (std::size_t i = 0; i < 20; ++i) x.span<double>()[i] = 2 * std::sin(1.7 * static_cast<double>(i) + phase);
  return x;
}

struct Example {
  Tensor x;
  Loss loss;
};

std::map<std::string, Example> regression_examples() {
  const Tensor x = wave(0.3);
  const Tensor y = wave(1.1);
  return {
      {"mse", {x, [y](const Tensor& in, Reduction r) { return mse(in, y, {.reduction = r}); }}},
      {"l1", {x, [y](const Tensor& in, Reduction r) { return l1(in, y, {.reduction = r}); }}},
      {"huber", {x, [y](const Tensor& in, Reduction r) { return huber(in, y, {.reduction = r}); }}},
      {"huber delta", {x, [y](const Tensor& in, Reduction r) { return huber(in, y, {.reduction = r, .delta = 0.7}); }}},
      {"smooth_l1", {x, [y](const Tensor& in, Reduction r) { return smooth_l1(in, y, {.reduction = r}); }}},
      {"smooth_l1 beta",
       {x, [y](const Tensor& in, Reduction r) { return smooth_l1(in, y, {.reduction = r, .beta = 0.7}); }}},
      {"smooth_l1 beta 0",
       {x, [y](const Tensor& in, Reduction r) { return smooth_l1(in, y, {.reduction = r, .beta = 0}); }}},
  };
}

std::map<std::string, Example> probability_examples() {
  const Tensor x = wave(0.3);
  const Tensor p = sigmoid(x);
  const Tensor q = sigmoid(wave(1.1));
  const Tensor hard = wave(1.1) > 0;
  const Tensor soft = softmax(wave(1.1));
  const Tensor weight = Tensor::from({0.5, 1.25, 2.0, 0.75});
  return {
      {"bce", {p, [q](const Tensor& in, Reduction r) { return bce(in, q, {.reduction = r}); }}},
      {"bce weight",
       {p, [=](const Tensor& in, Reduction r) { return bce(in, q, {.reduction = r, .weight = weight}); }}},
      {"bce_logits", {x, [q](const Tensor& in, Reduction r) { return bce_logits(in, q, {.reduction = r}); }}},
      {"bce_logits hard",
       {x, [hard](const Tensor& in, Reduction r) { return bce_logits(in, hard, {.reduction = r}); }}},
      {"bce_logits weights",
       {x, [=](const Tensor& in,
               Reduction r) { return bce_logits(in, q, {.reduction = r, .weight = q + 0.5, .pos_weight = weight}); }}},
      {"kl_div",
       {x, [soft](const Tensor& in, Reduction r) { return kl_div(log_softmax(in), soft, {.reduction = r}); }}},
      {"kl_div zeros", {x, [=](const Tensor& in, Reduction r) { return kl_div(in, q * hard, {.reduction = r}); }}},
      {"kl_div log_target",
       {x,
        [](const Tensor& in, Reduction r) {
          return kl_div(log_softmax(in), log_softmax(wave(1.1)), {.reduction = r, .log_target = true});
        }}},
  };
}

std::map<std::string, Example> margin_examples() {
  const Tensor x = wave(0.3);
  const Tensor y = wave(1.1);
  const Tensor z = wave(2.6);
  const Tensor signs = labels_of({1, -1, -1, 1, -1});
  const auto with = [=](const TripletOptions& options) {
    return Example{x, [=](const Tensor& in, Reduction r) {
                     TripletOptions o = options;
                     o.reduction = r;
                     return triplet(in, y, z, o);
                   }};
  };
  return {
      {"cosine_embedding",
       {x, [=](const Tensor& in, Reduction r) { return cosine_embedding(in, y, signs, {.reduction = r}); }}},
      {"cosine_embedding margin",
       {x, [=](const Tensor& in,
               Reduction r) { return cosine_embedding(in, y, signs, {.reduction = r, .margin = -0.6}); }}},
      {"triplet", with({})},
      {"triplet swap", with({.margin = 2, .swap = true})},
      {"triplet p 1", with({.p = 1})},
      {"triplet p 3", with({.p = 3})},
  };
}

std::map<std::string, Example> class_examples() {
  const Tensor x = wave(0.3);
  const Tensor weight = Tensor::from({0.5, 1.25, 2.0, 0.75});
  const Tensor labels = labels_of({3, 0, 2, 2, 1});
  const Tensor ignored = labels_of({3, -100, 2, 0, -100});
  const Tensor soft = softmax(wave(1.1));
  const auto with = [=](const Tensor& target, const CrossEntropyOptions& options) {
    return Example{x, [=](const Tensor& in, Reduction r) {
                     CrossEntropyOptions o = options;
                     o.reduction = r;
                     return cross_entropy(in, target, o);
                   }};
  };
  return {
      {"nll", {x, [=](const Tensor& in, Reduction r) { return nll(in, labels, {.reduction = r}); }}},
      {"nll weight ignore",
       {x, [=](const Tensor& in, Reduction r) { return nll(in, ignored, {.reduction = r, .weight = weight}); }}},
      {"cross_entropy", with(labels, {})},
      {"cross_entropy ignore", with(ignored, {})},
      {"cross_entropy ignore_index", with(labels_of({3, 1, 2, 0, 1}), {.ignore_index = 1})},
      {"cross_entropy weight", with(labels, {.weight = weight})},
      {"cross_entropy weight ignore", with(ignored, {.weight = weight})},
      {"cross_entropy smoothing", with(labels, {.label_smoothing = 0.2})},
      {"cross_entropy smoothing 1", with(labels, {.label_smoothing = 1})},
      {"cross_entropy all", with(ignored, {.weight = weight, .label_smoothing = 0.2})},
      {"cross_entropy soft", with(soft, {})},
      {"cross_entropy soft weight", with(soft, {.weight = weight})},
      {"cross_entropy soft all", with(soft, {.weight = weight, .label_smoothing = 0.2})},
  };
}

bool is_close_to(const Tensor& found, const Values& expected) {
  const Values values = values_of(found);
  if (values.size() != expected.size()) return false;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!(std::abs(values[i] - expected[i]) <= 1e-12 * (1 + std::abs(expected[i])))) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("values and gradients of losses are PyTorch's, for every reduction") {
  std::map<std::string, Example> examples;
  for (const auto& group : {regression_examples(), probability_examples(), margin_examples(), class_examples()}) {
    examples.insert(group.begin(), group.end());
  }
  const std::map<std::string, Reduction> reductions = {
      {"mean", Reduction::mean}, {"sum", Reduction::sum}, {"none", Reduction::none}};
  std::size_t compared = 0;
  for (const golden::Loss& expected : golden::losses) {
    const std::string name = expected.name;
    CAPTURE(name);
    const std::size_t comma = name.find(',');
    const Example& example = examples.at(name.substr(0, comma));
    const Reduction reduction = reductions.at(name.substr(comma + 2));
    Tensor x = example.x;
    Tape tape;
    tape.watch(x);
    const Tensor loss = example.loss(x, reduction);
    CHECK(is_close_to(loss, expected.value));
    const Tensor seed = reshape(1 + arange(static_cast<double>(loss.size()), f64) / 2, loss.shape());
    CHECK(is_close_to(tape.gradient(loss, x, {.seed = seed}), expected.gradient));
    ++compared;
  }
  CHECK(compared == 3 * examples.size());
}

TEST_CASE("losses that are forms of each other agree") {
  const Tensor x = wave(0.3);
  const Tensor y = wave(1.1);
  CHECK(is_close(huber(x, y, {.delta = 100}), mse(x, y) / 2));
  CHECK(is_close(huber(x, y, {.delta = 0.3}), 0.3 * smooth_l1(x, y, {.beta = 0.3})));
  CHECK(is_close(bce_logits(x, sigmoid(y)), bce(sigmoid(x), sigmoid(y))));
  CHECK(is_close(kl_div(x, sigmoid(y)), kl_div(x, log(sigmoid(y)), {.log_target = true})));
  CHECK(is_close(cosine_similarity(x, 3 * x), ones({5}, f64)));
  CHECK(is_close(cosine_similarity(x, y, {.axis = 0}), cosine_similarity(transpose(x), transpose(y))));
  CHECK(is_close(triplet(x, y, y), full({}, 1, f64)));
  const double infinity = std::numeric_limits<double>::infinity();
  const Tensor anchor = Tensor::from({0.0, 0.0}, {1, 2});
  const Tensor far = Tensor::from({5.0, 1.0}, {1, 2});
  CHECK(is_close(triplet(anchor, far, anchor, {.p = infinity, .eps = 0}), full({}, 6, f64)));
}

TEST_CASE("smoothed and weighted labels are probabilities in another form") {
  const Tensor x = wave(0.3);
  const Tensor labels = labels_of({3, 0, 2, 2, 1});
  const Tensor one_hots = one_hot(labels, 4, f64);
  const Tensor weight = Tensor::from({0.5, 1.25, 2.0, 0.75});
  constexpr Reduction none = Reduction::none;
  CHECK(is_close(cross_entropy(x, one_hots), cross_entropy(x, labels)));
  CHECK(is_close(cross_entropy(x, labels, {.label_smoothing = 0.3}), cross_entropy(x, 0.7 * one_hots + 0.3 / 4)));
  CHECK(is_close(cross_entropy(x, labels, {.reduction = none, .weight = weight, .label_smoothing = 0.3}),
                 cross_entropy(x, one_hots, {.reduction = none, .weight = weight, .label_smoothing = 0.3})));
  CHECK(is_close(cross_entropy(x, labels), nll(log_softmax(x), labels)));
  CHECK(is_close(cross_entropy(x, labels, {.weight = ones({4}, f64)}), cross_entropy(x, labels)));
  const Tensor cube = reshape(concat({x, 2 * x}), {2, 5, 4});
  const Tensor two_rows = stack({labels, labels_of({0, 1, -100, 3, -100})});
  CHECK(is_close(cross_entropy(cube, two_rows, {.weight = weight}),
                 cross_entropy(reshape(cube, {10, 4}), reshape(two_rows, {10}), {.weight = weight})));
  CHECK(cross_entropy(cube, two_rows.to(i32), {.reduction = none}).shape() == Shape{2, 5});
  CHECK(is_close(cross_entropy(x.to(f32), labels, {.weight = weight.to(f32)}),
                 cross_entropy(x, labels, {.weight = weight}).to(f32), 1e-6));
}

TEST_CASE("ignored rows count nothing, even where their scores are not numbers") {
  Tensor x = wave(0.3);
  const Tensor labels = labels_of({3, -100, 2, 0, 1});
  const double expected = cross_entropy(x, labels, {.reduction = Reduction::sum}).item();
  x.span<double>()[5] = NAN;
  CHECK(cross_entropy(x, labels, {.reduction = Reduction::sum}).item() == Approx(expected).epsilon(1e-14));
  CHECK(cross_entropy(x, labels, {.reduction = Reduction::none}).at({1}) == 0);
  CHECK(cross_entropy(x, labels, {.reduction = Reduction::none, .label_smoothing = 0.1}).at({1}) == 0);
  CHECK(cross_entropy(x, full({5}, -100, i64), {.reduction = Reduction::sum}).item() == 0);
}

TEST_CASE("bce holds its logarithms at -100") {
  for (DType type : {f32, f64}) {
    Tensor p = Tensor::from({0.0, 1.0, 0.0, 1.0}).to(type);
    const Tensor t = Tensor::from({0.0, 1.0, 1.0, 0.0}).to(type);
    Tape outer;
    outer.watch(p);
    Tensor slope;
    {
      Tape inner;
      inner.watch(p);
      const Tensor loss = bce(p, t, {.reduction = Reduction::sum});
      CHECK(values_of(bce(p, t, {.reduction = Reduction::none})) == Values{0, 0, 100, 100});
      slope = inner.gradient(loss, p);
      CHECK(values_of(slope) == Values{1, -1, 0, 0});
    }
    CHECK(values_of(outer.gradient(sum(slope), p)) == Values{1, 1, 0, 0});
  }
}

TEST_CASE("bce_logits is exact for large numbers and smooth at 0") {
  const Tensor x = Tensor::from({1000.0f, -1000.0f, 1000.0f, -1000.0f, 20.0f, -20.0f});
  const Tensor t = Tensor::from({1.0f, 0.0f, 0.0f, 1.0f, 1.0f, 0.0f});
  const Tensor tiny = full({}, std::log1p(std::exp(-20.0)), f32);
  CHECK(is_close(bce_logits(x, t, {.reduction = Reduction::none}),
                 concat({Tensor::from({0.0f, 0.0f, 1000.0f, 1000.0f}), reshape(tiny, {1}), reshape(tiny, {1})}), 1e-7));
  CHECK(bce_logits(x.slice(0, 4, 5), ones({1})).item() == Approx(2.0611536e-9).epsilon(1e-6));
  Tensor zero = zeros({2}, f64);
  const Tensor targets = Tensor::from({0.0, 1.0});
  Tape outer;
  outer.watch(zero);
  Tensor slope;
  {
    Tape inner;
    inner.watch(zero);
    slope = inner.gradient(bce_logits(zero, targets, {.reduction = Reduction::sum}), zero);
  }
  CHECK(values_of(slope) == Values{0.5, -0.5});
  CHECK(values_of(outer.gradient(sum(slope), zero)) == Values{0.25, 0.25});
}

TEST_CASE("hinge") {
  const Tensor x = Tensor::from({2.0, 0.5, -1.0, 0.25});
  const Tensor t = labels_of({1, 1, 1, -1});
  CHECK(values_of(hinge(x, t, {.reduction = Reduction::none})) == Values{0, 0.5, 2, 1.25});
  CHECK(hinge(x, t.to(f64)).item() == 3.75 / 4);
  CHECK(hinge(x, t, {.reduction = Reduction::sum, .margin = 0.5}).item() == 1.5 + 0.75);
}

TEST_CASE("kl_div and cosine_similarity at their edges") {
  Tensor t = Tensor::from({0.0, 1.0});
  Tensor x = Tensor::from({-HUGE_VAL, -1.0});
  Tape tape{{.persistent = true}};
  tape.watch(t);
  tape.watch(x);
  const Tensor loss = kl_div(x, t, {.reduction = Reduction::none});
  CHECK(values_of(loss) == Values{0, 1});
  CHECK(values_of(tape.gradient(sum(loss), x)) == Values{0, -1});
  CHECK(values_of(tape.gradient(sum(loss), t)) == Values{0, 2});
  Tensor zero = zeros({1, 2}, f64);
  tape.watch(zero);
  const Tensor c = cosine_similarity(zero, Tensor::from({3.0, 4.0}), {.eps = 0.5});
  CHECK(values_of(c) == Values{0});
  CHECK(is_close(tape.gradient(c, zero), Tensor::from({3 / 2.5, 4 / 2.5}, {1, 2})));
}

TEST_CASE("a loss is one fused formula and a reduction on the tape, at the caller's line") {
  Tensor x = wave(0.3);
  const Tensor y = wave(1.1);
  Tape tape;
  tape.watch(x);
  const std::size_t before = tape.size();
  const auto line = static_cast<unsigned>(__LINE__) + 1;
  smooth_l1(x, y);
  CHECK(tape.size() == before + 2);
  for (auto i = static_cast<std::uint32_t>(before + 1); i < detail::record.size; ++i) {
    CHECK(detail::record.entries[i].at.line() == line);
  }
}

TEST_CASE("a number is the target of every prediction") {
  const Tensor x = Tensor::from({-2.0, 0.5, 3.0, 1.0}, {2, 2});
  const Tensor one = ones_like(x);
  CHECK(array_equal(mse(x, 1), mse(x, one)));
  CHECK(array_equal(bce_logits(x, 1), bce_logits(x, one)));
  CHECK(array_equal(bce_logits(x, 0.5, {.reduction = Reduction::none}),
                    bce_logits(x, 0.5 * one, {.reduction = Reduction::none})));
  CHECK(array_equal(hinge(x, -1), hinge(x, -one)));
  CHECK(gradcheck([](Arg logits) { return bce_logits(logits, 1); }, x).passed());
  CHECK(
      error_of([&] { hinge(x, 2); }) ==
      "hinge: target 2 at position [] is neither 1 nor -1, at here; targets of 0 and 1 become those as 2 * target - 1");
}

TEST_CASE("pairwise losses say what does not fit") {
  const Tensor x = zeros({4});
  const std::string hint = "; reshape() or squeeze() one of them";
  CHECK(error_of([&] {
          mse(x, zeros({4, 1}));
        }) == "mse: predictions f32[4] and targets f32[4, 1] differ in shape, at here" + hint);
  CHECK(error_of([&] { bce_logits(x, ones({})); }) ==
        "bce_logits: predictions f32[4] and targets f32[] differ in shape, at here" + hint);
  CHECK(error_of([&] { l1(zeros({4}, i64), x); }) ==
        "l1: the predictions are i64[4], at here; convert them with to(f32)");
  CHECK(error_of([&] { kl_div(x, zeros({4}, f64)); }) ==
        "kl_div: f32 and f64 are mixed: f32[4] and f64[4], at here; convert one of them: x.to(f64)");
  CHECK(error_of([&] {
          mse(zeros({0, 3}), zeros({0, 3}));
        }) == "mse: the mean over no elements: f32[0, 3], at here; skip empty batches");
  CHECK(mse(zeros({0, 3}), zeros({0, 3}), {.reduction = Reduction::sum}).item() == 0);
  CHECK(mse(zeros({0, 3}), zeros({0, 3}), {.reduction = Reduction::none}).shape() == Shape{0, 3});
  CHECK(error_of([&] { huber(x, x, {.delta = 0}); }) == "huber: delta is 0, not above 0, at here");
  CHECK(error_of([&] { smooth_l1(x, x, {.beta = -1}); }) == "smooth_l1: beta is -1, below 0, at here");
  CHECK(error_of([&] {
          bce(Tensor::from({0.5f, 1.5f}), zeros({2}));
        }) ==
        "bce: prediction 1.5 at position [1] is not a probability, at here; bce_logits takes numbers of any size");
  CHECK(error_of([&] { bce(x, x, {.weight = zeros({3})}); }) ==
        "bce: shapes [4] and [3] do not broadcast: axis -1 has 4 and 3, at here; sizes, counted from the last axis, "
        "must be equal or 1");
  CHECK(error_of([&] {
          bce_logits(x, x, {.pos_weight = zeros({2, 4})});
        }) == "bce_logits: the pos_weight f32[2, 4] does not broadcast to f32[4], at here");
  CHECK(error_of([&] { mse(Tensor(), x); }) == "mse: input 0 is an empty handle, at here");
}

TEST_CASE("margin losses say what does not fit") {
  const Tensor x = zeros({2, 3});
  CHECK(error_of([&] {
          hinge(x, zeros({2, 3}, i64));
        }) ==
        "hinge: target 0 at position [0, 0] is neither 1 nor -1, at here; targets of 0 and 1 become those as "
        "2 * target - 1");
  CHECK(error_of([&] {
          cosine_embedding(x, x, labels_of({1, 2}));
        }) ==
        "cosine_embedding: target 2 at position [1] is neither 1 nor -1, at here; targets of 0 and 1 become "
        "those as 2 * target - 1");
  CHECK(error_of([&] {
          cosine_embedding(x, x, labels_of({1, 1, 1}));
        }) == "cosine_embedding: tensors f32[2, 3] [..., features] need targets of shape [2], not [3], at here");
  CHECK(error_of([&] {
          cosine_embedding(x, zeros({3}), labels_of({1, 1}));
        }) ==
        "cosine_embedding: predictions f32[2, 3] and others f32[3] differ in shape, at here; reshape() or squeeze() "
        "one of them");
  CHECK(error_of([&] { cosine_similarity(x, zeros({4})); }) ==
        "cosine_similarity: shapes [2, 3] and [4] do not broadcast: axis -1 has 3 and 4, at here; sizes, counted from "
        "the last axis, must be equal or 1");
  CHECK(error_of([&] { cosine_similarity(x, zeros({3}, i64)); }) ==
        "cosine_similarity: y is i64[3], at here; convert it with to(f32)");
  CHECK(error_of([&] { cosine_similarity(x, x, {.axis = 2}); }) ==
        "cosine_similarity: axis 2 is out of range, at here; a tensor of 2 axes has axes -2 to 1");
  CHECK(error_of([&] { triplet(x, x, zeros({3})); }) ==
        "triplet: predictions f32[2, 3] and negatives f32[3] differ in shape, at here; reshape() or squeeze() one of "
        "them");
  CHECK(error_of([&] { triplet(x, x, x, {.p = 0.5}); }) == "triplet: p is 0.5, below 1, at here");
  CHECK(error_of([&] { triplet(zeros({}), zeros({}), zeros({})); }) ==
        "triplet: the tensors are 0-dim and have no axis of features, at here");
}

TEST_CASE("losses of labels say what does not fit") {
  const Tensor x = zeros({3, 4});
  const Tensor labels = labels_of({0, 1, 2});
  CHECK(error_of([&] {
          nll(x, labels_of({0, 4, 1}));
        }) == "nll: label 4 at position [1] is not one of 4 classes, at here; labels count from 0; -100 is ignored");
  CHECK(error_of([&] {
          cross_entropy(x, labels_of({0, -100, 1}), {.ignore_index = -1});
        }) ==
        "cross_entropy: label -100 at position [1] is not one of 4 classes, at here; labels count from 0; -1 is "
        "ignored");
  CHECK(error_of([&] {
          nll(x, zeros({3, 4}));
        }) == "nll: the labels are f32[3, 4], not integers, at here; convert them with to(i64)");
  CHECK(error_of([&] { nll(x, zeros({2}, i64)); }) ==
        "nll: logarithms f32[3, 4] [..., classes] need labels of shape [3], not [2], at here");
  CHECK(error_of([&] {
          nll(zeros({0, 4}), zeros({0}, i64));
        }) == "nll: the mean over no rows: logarithms f32[0, 4], at here; skip empty batches");
  const std::string hint = "; skip batches whose labels are all ignored, or of classes of weight 0";
  CHECK(error_of([&] { cross_entropy(x, full({3}, -100, i64)); }) ==
        "cross_entropy: the mean over no rows: no label of [3] counts, at here" + hint);
  CHECK(error_of([&] { nll(x, labels, {.weight = zeros({4})}); }) ==
        "nll: the mean over no rows: no label of [3] counts, at here" + hint);
  CHECK(error_of([&] { cross_entropy(x, labels, {.weight = zeros({3})}); }) ==
        "cross_entropy: the weight of the classes is f32[3], not f32[4], at here");
  CHECK(error_of([&] { cross_entropy(x, labels, {.weight = zeros({4}, f64)}); }) ==
        "cross_entropy: the weight of the classes is f64[4], not f32[4], at here");
  CHECK(error_of([&] { cross_entropy(x, labels, {.label_smoothing = 1.5}); }) ==
        "cross_entropy: label_smoothing is 1.5, not from 0 to 1, at here");
  CHECK(error_of([&] {
          cross_entropy(x, zeros({3, 4}, f64));
        }) ==
        "cross_entropy: logits f32[3, 4] and probabilities f64[3, 4]: two dtypes, at here; convert one of them with "
        "to()");
  CHECK(error_of([&] {
          cross_entropy(zeros({0, 4}), zeros({0, 4}));
        }) == "cross_entropy: the mean over no rows: logits f32[0, 4], at here; skip empty batches");
  CHECK(error_of([&] { cross_entropy(Tensor(), labels); }) == "cross_entropy: input 0 is an empty handle, at here");
}

TEST_CASE("gradients of losses agree with differences") { check_samples(detail::loss_ops()); }
