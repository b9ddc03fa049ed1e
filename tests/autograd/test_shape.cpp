// The reshape family: which elements, whose memory, and what bad input says.
#include "tests/autograd/op_support.h"

using namespace op_test;
using Values = std::vector<double>;

namespace {

bool shares_memory(const Tensor& view, const Tensor& x) { return view.block()->storage() == x.block()->storage(); }

}  // namespace

TEST_CASE("reshape keeps the elements in C order and shares memory where it can") {
  const Tensor x = counting({2, 6});
  const Tensor y = reshape(x, {3, -1});
  CHECK(y.shape() == Shape{3, 4});
  CHECK(values_of(y) == values_of(x));
  CHECK(shares_memory(y, x));
  CHECK(reshape(x, {2, 6}).block() == x.block());
  CHECK(reshape(x, Shape{12}).shape() == Shape{12});
  CHECK(reshape(counting({1}), {}).item() == 0);

  const Tensor turned = transpose(x);
  CHECK(values_of(reshape(turned, {3, 2, 2})) == values_of(turned));
  CHECK(shares_memory(reshape(turned, {3, 2, 2}), x));
  CHECK_FALSE(shares_memory(reshape(turned, {4, 3}), x));
  CHECK(values_of(reshape(turned, {4, 3})) == values_of(turned));

  const Tensor even = x.slice(1, 0, 6, 2);
  CHECK(shares_memory(reshape(even, {2, 1, 3, 1}), x));
  CHECK(values_of(reshape(even, {2, 1, 3, 1})) == Values{0, 2, 4, 6, 8, 10});
  CHECK(shares_memory(reshape(even, {6}), x));  // an even run of memory: every second element
  CHECK(values_of(reshape(even, {6})) == Values{0, 2, 4, 6, 8, 10});
  const Tensor part = x.slice(1, 1, 4);
  CHECK_FALSE(shares_memory(reshape(part, {6}), x));
  CHECK(values_of(reshape(part, {6})) == Values{1, 2, 3, 7, 8, 9});
  CHECK(reshape(counting({0, 3}), {5, 0}).shape() == Shape{5, 0});
}

TEST_CASE("reshape agrees with a copy for every factorization of a strided tensor") {
  const Tensor base = counting({4, 3, 4});
  const std::vector<Tensor> from = {permute(base, {2, 0, 1}), base.slice(0, 3, -5, -1), base.slice(2, 0, 4, 2),
                                    expand(counting({3, 1}), {4, 3, 2}), unsqueeze(transpose(base, 0, 1), 1)};
  for (const Tensor& x : from) {
    for (std::int64_t a = 1; a <= x.size(); ++a) {
      for (std::int64_t b = 1; a * b <= x.size(); ++b) {
        if (x.size() % (a * b) != 0) continue;
        CHECK(values_of(reshape(x, {a, b, -1})) == values_of(x));
        CHECK(values_of(reshape(x, {a, 1, -1, b})) == values_of(x));
      }
    }
  }
}

TEST_CASE("reshape says what does not fit") {
  const Tensor x = zeros({2, 3});
  CHECK(error_of([&] { reshape(x, {4, 2}); }) == "reshape: f32[2, 3] has 6 elements, [4, 2] has 8, at here");
  CHECK(error_of([&] {
          reshape(x, {4, -1});
        }) == "reshape: f32[2, 3] has 6 elements, which [4, -1] does not divide evenly, at here");
  CHECK(error_of([&] {
          reshape(x, {-1, 0});
        }) == "reshape: f32[2, 3] has 6 elements, which [-1, 0] does not divide evenly, at here");
  CHECK(error_of([&] { reshape(x, {-1, -1}); }) == "shape [1, -1] has a negative size, at here");
  CHECK(error_of([&] { reshape(Tensor(), {1}); }) == "reshape: input 0 is an empty handle, at here");
}

TEST_CASE("flatten, squeeze and unsqueeze") {
  const Tensor x = counting({2, 1, 3, 4});
  CHECK(flatten(x).shape() == Shape{24});
  CHECK(flatten(x, 1).shape() == Shape{2, 12});
  CHECK(flatten(x, -1).shape() == x.shape());
  CHECK(flatten(counting({}), 0).shape() == Shape{1});
  CHECK(squeeze(x).shape() == Shape{2, 3, 4});
  CHECK(squeeze(x, 1).shape() == Shape{2, 3, 4});
  CHECK(squeeze(x, Axes{}).shape() == x.shape());
  CHECK(unsqueeze(x, 0).shape() == Shape{1, 2, 1, 3, 4});
  CHECK(unsqueeze(x, -1).shape() == Shape{2, 1, 3, 4, 1});
  CHECK(shares_memory(unsqueeze(transpose(x), 2), x));
  CHECK(values_of(unsqueeze(transpose(x), 2)) == values_of(transpose(x)));
  CHECK(error_of([&] { squeeze(x, 2); }) == "squeeze: axis 2 of f64[2, 1, 3, 4] has size 3, not 1, at here");
  CHECK(error_of([&] { unsqueeze(x, 5); }) ==
        "unsqueeze: axis 5 is out of range, at here; a tensor of 5 axes has axes -5 to 4");
  CHECK(error_of([&] { flatten(x, 4); }) ==
        "flatten: axis 4 is out of range, at here; a tensor of 4 axes has axes -4 to 3");
  CHECK(error_of([&] {
          unsqueeze(ones({1, 1, 1, 1, 1, 1, 1, 1}), 0);
        }) == "shape [1, 1, 1, 1, 1, 1, 1, 1, 1] has 9 axes, at most 8 are possible, at here");
}

TEST_CASE("permute and transpose are views with other strides") {
  const Tensor x = counting({2, 3, 4});
  const Tensor y = permute(x, {2, 0, -2});
  CHECK(y.shape() == Shape{4, 2, 3});
  CHECK(shares_memory(y, x));
  for (std::int64_t i = 0; i < 4; ++i) {
    for (std::int64_t j = 0; j < 2; ++j) {
      for (std::int64_t k = 0; k < 3; ++k) CHECK(y.at({i, j, k}) == x.at({j, k, i}));
    }
  }
  CHECK(values_of(transpose(counting({2, 3}))) == Values{0, 3, 1, 4, 2, 5});
  CHECK(transpose(x).shape() == Shape{2, 4, 3});
  CHECK(transpose(x, 0, -1).shape() == Shape{4, 3, 2});
  CHECK(values_of(transpose(transpose(x, 0, 1), 0, 1)) == values_of(x));
  CHECK(permute(counting({}), std::initializer_list<int>{}).item() == 0);
  CHECK(error_of([&] {
          permute(x, {0, 1});
        }) == "permute: 2 axes named for f64[2, 3, 4], at here; name each of its 3 axes once");
  CHECK(error_of([&] { permute(x, {0, 1, -2}); }) == "permute: axis 1 is named twice, at here");
  CHECK(error_of([&] { transpose(counting({3})); }) ==
        "transpose: axis -2 is out of range, at here; a tensor of 1 axis has axes -1 to 0");
}

TEST_CASE("slice follows NumPy's start:stop:step") {
  const Tensor x = counting({6});
  struct Case {
    std::int64_t start, stop, step;
    Values expected;
  };
  const std::int64_t far = std::numeric_limits<std::int64_t>::max();
  const std::vector<Case> cases = {
      {1, 4, 1, {1, 2, 3}},
      {0, 6, 2, {0, 2, 4}},
      {-2, 6, 1, {4, 5}},
      {0, -1, 1, {0, 1, 2, 3, 4}},
      {4, 1, -1, {4, 3, 2}},
      {5, -7, -2, {5, 3, 1}},
      {-1, -100, -1, {5, 4, 3, 2, 1, 0}},
      {0, 100, 1, {0, 1, 2, 3, 4, 5}},
      {3, 3, 1, {}},
      {4, 2, 1, {}},
      {0, 6, 100, {0}},
      {2, far, far, {2}},
      {5, -far, -far, {5}},
      {-far, far, 1, {0, 1, 2, 3, 4, 5}},
      {2, 5, -1, {}},
      {100, -100, -1, {5, 4, 3, 2, 1, 0}},
  };
  for (const Case& c : cases) {
    CAPTURE(c.start, c.stop, c.step);
    CHECK(values_of(x.slice(0, c.start, c.stop, c.step)) == c.expected);
  }
  const Tensor m = counting({3, 4});
  CHECK(values_of(m.slice(1, 3, 0, -2)) == Values{3, 1, 7, 5, 11, 9});
  CHECK(values_of(m.slice(0, 1, 3).slice(1, 1, 3)) == Values{5, 6, 9, 10});
  CHECK(counting({0}).slice(0, 0, 5).size() == 0);
  CHECK(counting({0}).slice(0, -1, -5, -1).size() == 0);
  CHECK(error_of([&] { m.slice(0, 0, 2, 0); }) == "slice: the step is 0, at here");
  CHECK(error_of([&] { m.slice(2, 0, 2); }) ==
        "slice: axis 2 is out of range, at here; a tensor of 2 axes has axes -2 to 1");
}

TEST_CASE("a write through one handle shows in its views") {
  Tensor x = counting({2, 3});
  const Tensor row = x.slice(0, 1, 2);
  const Tensor turned = transpose(x);
  const Tensor wide = expand(unsqueeze(x, 0), {2, 2, 3});
  x.span<double>()[4] = 40;
  CHECK(row.at({0, 1}) == 40);
  CHECK(turned.at({1, 1}) == 40);
  CHECK(wide.at({1, 1, 1}) == 40);
}

TEST_CASE("a tape notices a write to a tensor that it saved as a view") {
  Tensor x = irregular({4});
  Tensor base = irregular({4}, 2);
  const Tensor view = reshape(base, {2, 2});
  Tape tape;
  tape.watch(x);
  const Tensor y = sum(reshape(x, {2, 2}) * view);
  base.span<double>()[0] = 1;
  CHECK_THROWS_WITH(tape.gradient(y, x), ContainsSubstring("saved a tensor f64[2, 2]; `span` at test_shape.cpp:"));
}

TEST_CASE("contiguous copies only what has gaps") {
  const Tensor x = counting({2, 3});
  CHECK(contiguous(x).block() == x.block());
  const Tensor y = contiguous(transpose(x));
  CHECK(y.is_contiguous());
  CHECK_FALSE(shares_memory(y, x));
  CHECK(values_of(y) == Values{0, 3, 1, 4, 2, 5});
  CHECK(contiguous(counting({0, 3})).size() == 0);
}

TEST_CASE("to converts between all dtypes") {
  const Tensor x = Tensor::from({-1.5, 0.0, 2.75});
  CHECK(x.to(f64).block() == x.block());
  CHECK(values_of(x.to(f32)) == Values{-1.5, 0, 2.75});
  CHECK(values_of(x.to(i32)) == Values{-1, 0, 2});
  CHECK(values_of(x.to(i64)) == Values{-1, 0, 2});
  CHECK(values_of(x.to(boolean)) == Values{1, 0, 1});
  for (DType from : {f32, f64, i32, i64, boolean}) {
    for (DType to : {f32, f64, i32, i64, boolean}) {
      const Tensor given = Tensor::from({0.0, 1.0, 1.0, 0.0}, {2, 2}).to(from);
      CHECK(transpose(given).to(to).dtype() == to);
      CHECK(values_of(given.slice(1, 1, -3, -1).to(to)) == Values{1, 0, 0, 1});
    }
  }
}

TEST_CASE("a gradient passes a change of precision and comes back in the input's") {
  Tensor x = irregular({3}, 1, f32);
  Tape tape;
  tape.watch(x);
  const Tensor g = tape.gradient(sum(square(x.to(f64))), x);
  CHECK(g.dtype() == f32);
  CHECK(is_close(g, 2 * x, 1e-6));
}

TEST_CASE("concat and stack") {
  const Tensor a = counting({2, 2});
  const Tensor b = 10 + counting({2, 1});
  CHECK(values_of(concat({a, b}, 1)) == Values{0, 1, 10, 2, 3, 11});
  CHECK(values_of(concat({a, transpose(a)})) == Values{0, 1, 2, 3, 0, 2, 1, 3});
  CHECK(concat({a, zeros({0, 2}, f64), a}, -2).shape() == Shape{4, 2});
  CHECK(values_of(concat(std::vector<Tensor>{b, b}, -1)) == Values{10, 10, 11, 11});
  CHECK(values_of(stack({a, -a}, 0)) == Values{0, 1, 2, 3, -0.0, -1, -2, -3});
  CHECK(values_of(stack({a, -a}, 1)) == Values{0, 1, 0, -1, 2, 3, -2, -3});
  CHECK(values_of(stack({a, -a}, -1)) == Values{0, 0, 1, -1, 2, -2, 3, -3});
  CHECK(stack(std::vector<Tensor>{counting({}), counting({})}).shape() == Shape{2});
  CHECK(stack({zeros({0}), zeros({0})}, 1).shape() == Shape{0, 2});

  CHECK(error_of([&] {
          concat({a, b});
        }) ==
        "concat: input 1 is f64[2, 1] and input 0 is f64[2, 2], at here; dtypes and sizes must be equal, except along "
        "axis 0");
  CHECK(error_of([&] {
          concat({a, a.to(f32)});
        }) ==
        "concat: input 1 is f32[2, 2] and input 0 is f64[2, 2], at here; dtypes and sizes must be equal, except along "
        "axis 0");
  CHECK(error_of([&] {
          concat({a, counting({2})}, 1);
        }) ==
        "concat: input 1 is f64[2] and input 0 is f64[2, 2], at here; dtypes and sizes must be equal, except along "
        "axis 1");
  CHECK(error_of([&] { concat(std::vector<Tensor>{}); }) == "concat: no tensors to join, at here");
  CHECK(error_of([&] { concat({a, Tensor()}); }) == "concat: input 1 is an empty handle, at here");
  CHECK(error_of([&] {
          stack({a, b});
        }) == "stack: input 1 is f64[2, 1] and input 0 is f64[2, 2], at here; shapes and dtypes must be equal");
  CHECK(error_of([&] {
          stack({a, a}, 3);
        }) == "stack: axis 3 is out of range, at here; a tensor of 3 axes has axes -3 to 2");
}

TEST_CASE("concat takes parameters and expressions, and any number of parts") {
  const Parameter w(counting({2}));
  Tape tape;
  CHECK(is_close(tape.gradient(sum(square(concat({w, w * 2}))), w), 10 * w));
  std::vector<Tensor> parts;
  for (int k = 0; k < 20; ++k) parts.push_back(w * k);
  CHECK(is_close(tape.gradient(sum(concat(parts)), w), full({2}, 190, f64)));
}

TEST_CASE("split cuts into views") {
  const Tensor x = counting({2, 6});
  const std::vector<Tensor> thirds = split(x, 3, 1);
  REQUIRE(thirds.size() == 3);
  CHECK(values_of(thirds[1]) == Values{2, 3, 8, 9});
  CHECK(shares_memory(thirds[1], x));
  const std::vector<Tensor> parts = split(x, {1, 0, 5}, -1);
  REQUIRE(parts.size() == 3);
  CHECK(parts[1].shape() == Shape{2, 0});
  CHECK(values_of(parts[2]) == Values{1, 2, 3, 4, 5, 7, 8, 9, 10, 11});
  const auto [top, bottom] = split<2>(x);
  CHECK(values_of(bottom) == Values{6, 7, 8, 9, 10, 11});
  CHECK(top.shape() == Shape{1, 6});
  CHECK(error_of([&] { split(x, 4, 1); }) ==
        "split: axis 1 of f64[2, 6] cannot be cut into 4 equal parts, at here; pass the sizes of the parts: "
        "split(x, {2, 3}, axis)");
  CHECK(error_of([&] { split(x, 0, 1); }) ==
        "split: axis 1 of f64[2, 6] cannot be cut into 0 equal parts, at here; pass the sizes of the parts: "
        "split(x, {2, 3}, axis)");
  CHECK(error_of([&] {
          split(x, {2, 3}, 1);
        }) == "split: the sizes [2, 3] do not add up to axis 1 of f64[2, 6], at here");
  CHECK(error_of([&] {
          split(x, {8, -2}, 1);
        }) == "split: the sizes [8, -2] do not add up to axis 1 of f64[2, 6], at here");
}

TEST_CASE("large strided copies have the same bits with any number of threads") {
  const Tensor x = irregular({300, 200});
  const int before = num_threads();
  set_num_threads(1);
  const Tensor one = contiguous(transpose(x));
  set_num_threads(4);
  const Tensor four = contiguous(transpose(x));
  set_num_threads(before);
  CHECK(same_bits(one, four));
  CHECK(one.at({7, 11}) == x.at({11, 7}));
}

TEST_CASE("gradients of the reshape family agree with differences") { check_samples(detail::shape_ops()); }

TEST_CASE("gradients pass whole chains of views") {
  const Function f = [](const Tensors& x) {
    const auto [a, b] = split<2>(permute(x[0], {1, 2, 0}), 1);
    return stack({flatten(a.slice(0, 2, -4, -1)) * flatten(b), flatten(transpose(a))}, 1);
  };
  CHECK(gradient_error(f, {irregular({2, 3, 4})}) < 1e-9);
  CHECK(second_order_error(f, {irregular({2, 3, 4})}) < 1e-9);
}
