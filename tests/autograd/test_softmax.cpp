// Softmax and cross-entropy: values and derivatives against the formulas in smaller ops, and what bad input says.
#include "autograd/ops/softmax.h"

#include "autograd/ops/index.h"
#include "autograd/ops/losses.h"
#include "autograd/thread_pool.h"
#include "tests/autograd/op_support.h"

using namespace op_test;
using Values = std::vector<double>;

namespace {

Tensor labels_of(std::initializer_list<std::int64_t> values) { return Tensor::from(values); }

Tensor composite_softmax(Arg x, int axis) {
  const Tensor e = exp(x);
  return e / sum(e, {.axis = axis, .keepdims = true});
}

Tensor composite_cross_entropy(const Tensor& logits, const Tensor& labels, Reduction reduction) {
  const Tensor log_p = log(composite_softmax(logits, -1));
  const Tensor losses = -sum(log_p * one_hot(labels, logits.shape(-1), logits.dtype()), {.axis = -1});
  if (reduction == Reduction::none) return losses;
  return reduction == Reduction::sum ? sum(losses) : mean(losses);
}

}  // namespace

TEST_CASE("softmax and log_softmax agree with their formulas along every axis") {
  for (DType type : {f32, f64}) {
    const double tolerance = type == f32 ? 1e-6 : 1e-13;
    for (const Tensor& x : {irregular({3, 4, 5}, 1, type), permute(irregular({5, 3, 4}, 1, type), {1, 2, 0}),
                            irregular({70, 150}, 1, type), irregular({7}, 1, type), irregular({4, 1}, 1, type)}) {
      for (int axis = -x.ndim(); axis < x.ndim(); ++axis) {
        CAPTURE(describe(x), axis);
        CHECK(softmax(x, axis).dtype() == type);
        CHECK(is_close(softmax(x, axis), composite_softmax(x, axis), tolerance));
        CHECK(is_close(log_softmax(x, axis), log(composite_softmax(x, axis)), 10 * tolerance));
      }
    }
  }
  CHECK(softmax(zeros({0, 3})).shape() == Shape{0, 3});
  CHECK(log_softmax(zeros({3, 0})).shape() == Shape{3, 0});
}

TEST_CASE("large numbers do not overflow") {
  for (DType type : {f32, f64}) {
    const Tensor x = Tensor::from({1e4, 0.0, -1e4}).to(type);
    CHECK(values_of(softmax(x)) == Values{1, 0, 0});
    CHECK(values_of(log_softmax(x)) == Values{0, -1e4, -2e4});
    CHECK(cross_entropy(unsqueeze(x, 0), labels_of({2})).item() == 2e4);
  }
}

TEST_CASE("cross_entropy agrees with its formula") {
  const Tensor logits = irregular({6, 5});
  const Tensor labels = labels_of({4, 0, 2, 2, 1, 3});
  for (Reduction reduction : {Reduction::none, Reduction::mean, Reduction::sum}) {
    const CrossEntropyOptions options{.reduction = reduction};
    const Tensor expected = composite_cross_entropy(logits, labels, reduction);
    CHECK(is_close(cross_entropy(logits, labels, options), expected));
    CHECK(is_close(cross_entropy(logits, labels.to(i32), options), expected));
    CHECK(is_close(cross_entropy(contiguous(transpose(logits)).slice(0, 0, 5), labels_of({0, 1, 2, 3, 4}), options),
                   composite_cross_entropy(transpose(logits), labels_of({0, 1, 2, 3, 4}), reduction)));
    CHECK(is_close(cross_entropy(logits.to(f32), labels, options), expected, 1e-6));
  }
  CHECK(is_close(cross_entropy(reshape(logits, {2, 3, 5}), reshape(labels, {2, 3})),
                 composite_cross_entropy(logits, labels, Reduction::mean)));
  CHECK(cross_entropy(irregular({5}), full({}, 2, i64)).shape() == Shape{});
  CHECK(cross_entropy(zeros({0, 5}), zeros({0}, i64), {.reduction = Reduction::sum}).item() == 0);
  CHECK(cross_entropy(zeros({0, 5}), zeros({0}, i64), {.reduction = Reduction::none}).shape() == Shape{0});
}

TEST_CASE("the value of cross_entropy does not depend on whether it is recorded") {
  Tensor x = irregular({40, 90}, 1, f32);
  Tensor labels = zeros({40}, i64);
  const Tensor plain = cross_entropy(x, labels);
  Tape tape;
  tape.watch(x);
  CHECK(is_close(cross_entropy(x, labels), plain, 1e-6));
}

TEST_CASE("fused gradients agree with the formulas at the first and second order, with any threads") {
  const int before = num_threads();
  Tensor x = irregular({60, 130});
  Tensor labels = zeros({60}, i64);
  for (std::size_t i = 0; i < 60; ++i) labels.span<std::int64_t>()[i] = static_cast<std::int64_t>(i * 7 % 130);
  const std::vector<std::pair<Function, Function>> pairs = {
      {[](const Tensors& t) { return softmax(t[0]); }, [](const Tensors& t) { return composite_softmax(t[0], -1); }},
      {[](const Tensors& t) { return softmax(t[0], 0); }, [](const Tensors& t) { return composite_softmax(t[0], 0); }},
      {[](const Tensors& t) { return log_softmax(t[0]); },
       [](const Tensors& t) { return log(composite_softmax(t[0], -1)); }},
      {[&](const Tensors& t) { return cross_entropy(t[0], labels); },
       [&](const Tensors& t) { return composite_cross_entropy(t[0], labels, Reduction::mean); }},
      {[&](const Tensors& t) { return cross_entropy(t[0], labels, {.reduction = Reduction::none}); },
       [&](const Tensors& t) { return composite_cross_entropy(t[0], labels, Reduction::none); }},
  };
  for (const auto& [fused, composite] : pairs) {
    const Tensor c = irregular(fused({x}).shape(), 5);
    const Tensor d = irregular(x.shape(), 6);
    const auto first_order = [&](const Function& f) { return gradients(f, {x}, c)[0]; };
    const auto second_order = [&](const Function& f) {
      return gradients([&](const Tensors& t) { return sum(gradients(f, {t[0]}, t[1])[0] * d); }, {x, c},
                       full({}, 1, f64));
    };
    set_num_threads(1);
    CHECK(is_close(first_order(fused), first_order(composite), 1e-11));
    const auto found = second_order(fused);
    const auto expected = second_order(composite);
    CHECK(is_close(found[0], expected[0], 1e-11));
    CHECK(is_close(found[1], expected[1], 1e-11));
    const Tensor one = first_order(fused);
    set_num_threads(4);
    CHECK(same_bits(first_order(fused), one));
  }
  set_num_threads(before);
}

TEST_CASE("an inner gradient of cross_entropy has the same bits with and without an outer tape") {
  Tensor x = irregular({8, 10}, 1, f32);
  const Tensor labels = labels_of({0, 1, 2, 3, 4, 5, 6, 7});
  const auto inner_gradient = [&] {
    Tape inner;
    Tensor z = x;
    inner.watch(z);
    return inner.gradient(cross_entropy(z, labels), z);
  };
  const Tensor alone = inner_gradient();
  Tape outer;
  outer.watch(x);
  CHECK(same_bits(inner_gradient(), alone));
}

TEST_CASE("a persistent tape walks cross_entropy twice") {
  Tensor x = irregular({3, 4});
  Tape tape{{.persistent = true}};
  tape.watch(x);
  const Tensor loss = cross_entropy(x, labels_of({0, 1, 2}));
  const Tensor first = tape.gradient(loss, x);
  const Tensor doubled = tape.gradient(loss * 2, x);
  CHECK(is_close(doubled, 2 * first));
  CHECK(same_bits(tape.gradient(loss, x), first));
}

TEST_CASE("gradients of the softmax family agree with differences") {
  check_samples(detail::softmax_ops());
  check_samples(detail::cross_entropy_ops());
}

TEST_CASE("third derivatives of cross_entropy") {
  const Tensor labels = labels_of({1, 0});
  const Function second = [&](const Tensors& t) {
    const Function first = [&](const Tensors& u) {
      return gradients([&](const Tensors& v) { return cross_entropy(v[0], labels); }, {u[0]}, full({}, 1, f64))[0];
    };
    return gradients(first, {t[0]}, square(t[0]))[0];
  };
  CHECK(gradient_error(second, {irregular({2, 3})}) < 1e-9);
}

TEST_CASE("cross_entropy says what does not fit") {
  const Tensor x = zeros({4, 10});
  CHECK(error_of([&] {
          cross_entropy(x, labels_of({0, 1, 10, 2}));
        }) ==
        "cross_entropy: label 10 at position [2] is not one of 10 classes, at here; labels count from 0; -100 is "
        "ignored");
  CHECK(error_of([&] {
          cross_entropy(x, labels_of({-1, 1, 1, 2}));
        }) ==
        "cross_entropy: label -1 at position [0] is not one of 10 classes, at here; labels count from 0; -100 is "
        "ignored");
  CHECK(error_of([&] {
          cross_entropy(reshape(x, {2, 2, 10}), Tensor::from({0, 0, 0, 12}, {2, 2}));
        }) ==
        "cross_entropy: label 12 at position [1, 1] is not one of 10 classes, at here; labels count from 0; -100 is "
        "ignored");
  CHECK(error_of([&] { cross_entropy(x, zeros({4})); }) ==
        "cross_entropy: the labels are f32[4], not integers, at here; convert them with to(i64), or pass probabilities "
        "of "
        "shape [4, 10]");
  CHECK(error_of([&] { cross_entropy(x, zeros({3}, i64)); }) ==
        "cross_entropy: logits f32[4, 10] [..., classes] need labels of shape [4], not [3], at here");
  CHECK(error_of([&] {
          cross_entropy(x, zeros({4, 10}, i64));
        }) ==
        "cross_entropy: logits f32[4, 10] [..., classes] need labels of shape [4], not [4, 10], at here; pass class "
        "numbers, not one-hot rows: argmax(labels, {.axis = -1})");
  CHECK(error_of([&] {
          cross_entropy(zeros({0, 10}), zeros({0}, i64));
        }) == "cross_entropy: the mean over no rows: logits f32[0, 10], at here; skip empty batches");
  CHECK(error_of([&] {
          cross_entropy(zeros({4, 10}, i32), zeros({4}, i64));
        }) == "cross_entropy: the logits are i32[4, 10], at here; convert them with to(f32)");
  CHECK(error_of([&] { cross_entropy(zeros({}), zeros({}, i64)); }) ==
        "cross_entropy: the logits are f32[] and have no axis of classes, at here");
  CHECK(
      error_of([&] {
        cross_entropy(zeros({2, 0}), zeros({2}, i64));
      }) ==
      "cross_entropy: label 0 at position [0] is not one of 0 classes, at here; labels count from 0; -100 is ignored");
  CHECK(error_of([&] { softmax(zeros({2}, i64)); }) ==
        "softmax: i64[2] holds integers, at here; convert it with to(f32)");
  CHECK(error_of([&] { log_softmax(x, 2); }) ==
        "log_softmax: axis 2 is out of range, at here; a tensor of 2 axes has axes -2 to 1");
}
