// Norms against an independent loop in long double and against the same in smaller ops.
#include "autograd/ops/normalization.h"

#include "autograd/gradcheck.h"
#include "autograd/random.h"
#include "tests/autograd/op_support.h"

using namespace op_test;

namespace {

// x as [samples, positions, groups, width], of which positions and width are averaged over.
struct Norm {
  const char* name;
  Shape x;
  std::int64_t samples, positions, groups, width;
  bool centred;
  std::function<Tensor(const Tensor&, const Tensor&, const Tensor&)> apply;
  double eps = 1e-5;

  Shape view() const { return {samples, positions, groups, width}; }
  std::int64_t channels() const { return groups * width; }
  std::int64_t place(std::int64_t n, std::int64_t s, std::int64_t c) const {
    return (n * positions + s) * channels() + c;
  }
};

std::vector<Norm> norms() {
  const auto layer = [](const Tensor& x, const Tensor& w, const Tensor& b) { return layer_norm(x, w, b); };
  const auto rms = [](const Tensor& x, const Tensor& w, const Tensor&) { return rms_norm(x, w, {.eps = 1e-5}); };
  const auto batch = [](const Tensor& x, const Tensor& w, const Tensor& b) { return batch_norm(x, w, b); };
  const auto group = [](const Tensor& x, const Tensor& w, const Tensor& b) { return group_norm(x, 3, w, b); };
  const auto instance = [](const Tensor& x, const Tensor& w, const Tensor& b) { return instance_norm(x, w, b); };
  return {{"layer", {6, 50}, 6, 1, 1, 50, true, layer},
          {"layer, long rows", {2, 9001}, 2, 1, 1, 9001, true, layer},
          {"rms", {6, 50}, 6, 1, 1, 50, false, rms},
          {"batch", {70, 5}, 1, 70, 5, 1, true, batch},
          {"batch of images", {3, 7, 5, 40}, 1, 105, 40, 1, true, batch},
          {"batch of one channel", {4, 33, 1}, 1, 132, 1, 1, true, batch},
          {"batch, many threads", {3000, 33}, 1, 3000, 33, 1, true, batch},
          {"group", {2, 7, 5, 12}, 2, 35, 3, 4, true, group},
          {"group, many samples", {40, 9, 6}, 40, 9, 3, 2, true, group},
          {"instance", {3, 11, 4}, 3, 11, 4, 1, true, instance},
          {"instance, many samples", {33, 70, 3}, 33, 70, 3, 1, true, instance}};
}

struct Values {
  std::vector<long double> y, dx, dweight, dbias;
};

// Formulas by loops; every sum is one of its own, in long double.
Values expected(const Norm& m, const Tensor& x_tensor, const Tensor& w_tensor, const Tensor& b_tensor,
                const Tensor& g_tensor) {
  const std::vector<double> x = values_of(x_tensor), w = values_of(w_tensor), b = values_of(b_tensor),
                            g = values_of(g_tensor);
  const auto at = [](const auto& v, std::int64_t i) {
    return static_cast<long double>(v[static_cast<std::size_t>(i)]);
  };
  Values v{std::vector<long double>(x.size()), std::vector<long double>(x.size()), std::vector<long double>(w.size()),
           std::vector<long double>(w.size())};
  const long double count = static_cast<long double>(m.positions * m.width);
  for (std::int64_t n = 0; n < m.samples; ++n) {
    for (std::int64_t group = 0; group < m.groups; ++group) {
      const auto average = [&](auto value) {
        long double sum = 0;
        for (std::int64_t s = 0; s < m.positions; ++s) {
          for (std::int64_t k = 0; k < m.width; ++k) {
            sum += value(m.place(n, s, group * m.width + k), group * m.width + k);
          }
        }
        return sum / count;
      };
      using Index = std::int64_t;
      const long double mean = m.centred ? average([&](Index i, Index) { return at(x, i); }) : 0;
      const long double var = average([&](Index i, Index) { return (at(x, i) - mean) * (at(x, i) - mean); });
      const long double deviation = std::sqrt(var + static_cast<long double>(m.eps));
      const auto h = [&](Index i) { return (at(x, i) - mean) / deviation; };
      const long double mean_u = m.centred ? average([&](Index i, Index c) { return at(g, i) * at(w, c); }) : 0;
      const long double mean_uh = average([&](Index i, Index c) { return at(g, i) * at(w, c) * h(i); });
      average([&](Index i, Index c) {
        v.y[static_cast<std::size_t>(i)] = h(i) * at(w, c) + at(b, c);
        v.dx[static_cast<std::size_t>(i)] = (at(g, i) * at(w, c) - mean_u - h(i) * mean_uh) / deviation;
        v.dweight[static_cast<std::size_t>(c)] += at(g, i) * h(i);
        v.dbias[static_cast<std::size_t>(c)] += at(g, i);
        return 0.0L;
      });
    }
  }
  return v;
}

// The same in ops of the library, for a tape.
Tensor composite(const Norm& m, const Tensor& x, const Tensor& w, const Tensor& b) {
  const ReduceOptions over{.axis = {1, 3}, .keepdims = true};
  const Tensor view = reshape(x, m.view());
  const Tensor d = m.centred ? view - mean(view, over) : view;
  const Tensor h = d / sqrt(mean(square(d), over) + m.eps);
  const Tensor y = h * reshape(w, {m.groups, m.width});
  return reshape(m.centred ? y + reshape(b, {m.groups, m.width}) : y, m.x);
}

double worst_error(const Tensor& found, const std::vector<long double>& wanted) {
  const std::vector<double> values = values_of(found);
  REQUIRE(values.size() == wanted.size());
  long double scale = 1;
  for (long double v : wanted) scale = std::max(scale, std::abs(v));
  long double worst = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    worst = std::max(worst, std::abs(static_cast<long double>(values[i]) - wanted[i]) / scale);
  }
  return static_cast<double>(worst);
}

struct Case {
  Tensor x, w, b, g;

  Case(const Norm& m, DType type, double mean = 0)
      : x((irregular(m.x, 1) + mean).to(type)),
        w(irregular({m.channels()}, 2, type)),
        b(irregular({m.channels()}, 3, type)),
        g(irregular(m.x, 4, type)) {}
  Tensors inputs() const { return {x, w, b}; }
};

Function function_of(const Norm& m) {
  return [apply = m.apply](const Tensors& in) { return apply(in[0], in[1], in[2]); };
}

}  // namespace

TEST_CASE("norms: values and gradients as by loops in long double") {
  for (const Norm& m : norms()) {
    for (const DType type : {f64, f32}) {
      CAPTURE(m.name, name_of(type));
      const Case c(m, type);
      const double most = type == f64 ? 1e-13 : 1e-6;
      const Values wanted = expected(m, c.x, c.w, c.b, c.g);
      const Tensor y = m.apply(c.x, c.w, c.b);
      const std::vector<Tensor> d = gradients(function_of(m), c.inputs(), c.g);
      if (m.centred) {
        CHECK(worst_error(y, wanted.y) < most);
        CHECK(worst_error(d[2], wanted.dbias) < most);
      }
      CHECK(worst_error(d[0], wanted.dx) < most);
      CHECK(worst_error(d[1], wanted.dweight) < most);
    }
  }
}

TEST_CASE("norms: fused as composed of smaller ops") {
  for (const Norm& m : norms()) {
    const Function composed = [&](const Tensors& in) { return composite(m, in[0], in[1], in[2]); };
    for (const DType type : {f64, f32}) {
      CAPTURE(m.name, name_of(type));
      const Case c(m, type);
      const Case exact = [&] {
        Case made(m, type);
        for (Tensor* t : {&made.x, &made.w, &made.b, &made.g}) *t = t->to(f64);
        return made;
      }();
      const auto close = [&](const Tensor& a, const Tensor& b, int order) {
        const Tolerance t = gradcheck_tolerance(type, order);
        const double scale = std::max(1.0, max(abs(b)).item());
        return a.shape() == b.shape() && allclose(a, b, {.rtol = t.rtol, .atol = t.atol * scale});
      };
      CHECK(close(m.apply(c.x, c.w, c.b), composite(m, exact.x, exact.w, exact.b), 0));
      const std::vector<Tensor> fused = gradients(function_of(m), c.inputs(), c.g);
      const std::vector<Tensor> wanted = gradients(composed, exact.inputs(), exact.g);
      for (std::size_t k = 0; k < 3; ++k) CHECK(close(fused[k], wanted[k], type == f64 ? 0 : 1));
    }
  }
}

TEST_CASE("norms: a large mean costs no accuracy") {
  for (const Norm& m : norms()) {
    if (!m.centred) continue;
    CAPTURE(m.name);
    const Case c(m, f32, 1e4);
    const Values wanted = expected(m, c.x, c.w, c.b, c.g);
    CHECK(worst_error(m.apply(c.x, c.w, c.b), wanted.y) < 1e-6);
    const std::vector<Tensor> d = gradients(function_of(m), c.inputs(), c.g);
    CHECK(worst_error(d[0], wanted.dx) < 1e-6);
    CHECK(worst_error(d[1], wanted.dweight) < 1e-6);
    const Case double_case(m, f64, 1e8);
    const Values exact = expected(m, double_case.x, double_case.w, double_case.b, double_case.g);
    CHECK(worst_error(m.apply(double_case.x, double_case.w, double_case.b), exact.y) < 1e-7);
  }
}

TEST_CASE("norms: an outlier in front of a large mean") {
  Tensor x = (irregular({200, 3}, 1) + 1e4).to(f32);
  for (std::size_t c = 0; c < 3; ++c) x.span<float>()[c] = -1e4f;
  const Norm m{
      "batch", {200, 3}, 1,    200,
      3,       1,        true, [](const Tensor& v, const Tensor& w, const Tensor& b) {
                 return batch_norm(v, w, b); }};
  const Tensor one = ones({3}), zero = zeros({3});
  CHECK(worst_error(batch_norm(x), expected(m, x, one, zero, x).y) < 1e-6);
}

TEST_CASE("norms: a recorded walk gives the same bits") {
  for (const Norm& m : norms()) {
    CAPTURE(m.name);
    const Case c(m, f32);
    const std::vector<Tensor> plain = gradients(function_of(m), c.inputs(), c.g);
    Tape outer;
    Tensors x = c.inputs();
    for (Tensor& t : x) outer.watch(t);
    Tape tape;
    for (Tensor& t : x) tape.watch(t);
    const std::vector<Tensor> recorded =
        tape.gradient(m.apply(x[0], x[1], x[2]), x, {.seed = c.g, .allow_unused = true});
    for (std::size_t k = 0; k < (m.centred ? 3u : 2u); ++k) CHECK(same_bits(recorded[k], plain[k]));
  }
}

TEST_CASE("norms: third order") {
  // The gradient of the gradient as a function of its own: gradcheck then adds the third.
  const auto slope_of_slope = [](const auto& norm) {
    return [norm](const Tensors& in) {
      Tape outer;
      Tensors x = in;
      for (Tensor& t : x) outer.watch(t);
      Tensor slope;
      {
        Tape inner;
        inner.watch(x[0]);
        slope = inner.gradient(sum(sin(norm(x[0], x[1]))), x[0]);
      }
      return outer.gradient(sum(slope * slope), x[0]);
    };
  };
  const Tensor x = irregular({3, 4});
  const Tensor w = irregular({4}, 2);
  const auto check = [&](const auto& norm) { CHECK(gradient_error(slope_of_slope(norm), {x, w}) < 1e-7); };
  check([](const Tensor& v, const Tensor& weight) { return layer_norm(v, weight, 0, {.eps = 0.1}); });
  check([](const Tensor& v, const Tensor& weight) { return rms_norm(v, weight, {.eps = 0.1}); });
  check([](const Tensor& v, const Tensor& weight) { return batch_norm(v, weight, 0, {.eps = 0.1}); });
}

TEST_CASE("norms: weights and biases are tensors or numbers") {
  const Tensor x = irregular({3, 5});
  CHECK(same_bits(layer_norm(x), layer_norm(x, ones({5}, f64), zeros({5}, f64))));
  CHECK(same_bits(layer_norm(x, 2, 3), layer_norm(x, full({5}, 2, f64), full({5}, 3, f64))));
  CHECK(same_bits(layer_norm(x, 2, 3, {.axes = 2}),
                  layer_norm(x, full({3, 5}, 2, f64), full({3, 5}, 3, f64), {.axes = 2})));
  CHECK(same_bits(batch_norm(x.to(f32), 2), batch_norm(x.to(f32), full({5}, 2))));
  CHECK(is_close(rms_norm(x), x / sqrt(mean(square(x), {.axis = 1, .keepdims = true})), 1e-14));
}

TEST_CASE("batch_norm with a given mean and variance") {
  const Tensor x = irregular({4, 3, 5});
  const Tensor mean = irregular({5}, 2), var = exp(irregular({5}, 3)), w = irregular({5}, 4), b = irregular({5}, 5);
  const Tensor y = batch_norm(x, w, b, {.eps = 1e-3, .mean = mean, .var = var});
  CHECK(is_close(y, (x - mean) / sqrt(var + 1e-3) * w + b, 1e-14));
  CHECK(same_bits(batch_norm(x.slice(0, 0, 1), w, b, {.mean = mean, .var = var}),
                  batch_norm(x, w, b, {.mean = mean, .var = var}).slice(0, 0, 1)));
}

TEST_CASE("normalizing nothing") {
  const Tensor x = zeros({0, 3});
  CHECK(layer_norm(x).shape() == Shape{0, 3});
  CHECK(group_norm(zeros({0, 2, 4}), 2).shape() == Shape{0, 2, 4});
  CHECK(instance_norm(zeros({0, 2, 4})).shape() == Shape{0, 2, 4});
  CHECK(instance_norm(zeros({2, 3, 0})).shape() == Shape{2, 3, 0});
  CHECK(batch_norm(zeros({2, 0})).shape() == Shape{2, 0});
  const std::vector<Tensor> d = gradients([](const Tensors& in) { return layer_norm(in[0], in[1], in[2]); },
                                          {x, ones({3}), zeros({3})}, zeros({0, 3}));
  CHECK(array_equal(d[1], zeros({3})));
  CHECK(array_equal(d[2], zeros({3})));
}

TEST_CASE("norms: constant rows give the bias, NaN stays in its row") {
  Tensor x = full({3, 40}, 7);
  CHECK(array_equal(layer_norm(x, 2, 5), full({3, 40}, 5)));
  x.span<float>()[50] = std::numeric_limits<float>::quiet_NaN();
  const Tensor y = layer_norm(x, 2, 5);
  CHECK(std::isnan(y.at({1, 0})));
  CHECK(y.at({0, 39}) == 5);
  CHECK(y.at({2, 0}) == 5);
}

TEST_CASE("norms: errors") {
  const Tensor x = zeros({2, 6});
  CHECK(error_of([&] { layer_norm(zeros({2}, i64)); }) ==
        "layer_norm: i64[2] holds integers, at here; convert it with to(f32)");
  CHECK(error_of([&] { layer_norm(zeros({})); }) == "layer_norm: x must be [..., features], not f32[], at here");
  CHECK(error_of([&] { layer_norm(Tensor()); }).starts_with("layer_norm: "));
  CHECK(error_of([&] { layer_norm(x, 1, 0, {.axes = 3}); }) ==
        "layer_norm: x is f32[2, 6] and cannot be normalized over its last 3 axes, at here");
  CHECK(error_of([&] {
          layer_norm(x, ones({2, 6}));
        }) == "layer_norm: the weight is f32[2, 6], not f32[6]: x is f32[2, 6], at here");
  CHECK(error_of([&] { layer_norm(x, 1, zeros({3})); }) ==
        "layer_norm: the bias is f32[3], not f32[6]: x is f32[2, 6], at here");
  CHECK(error_of([&] { batch_norm(x, ones({6}, f64)); }) ==
        "batch_norm: x is f32[2, 6] and the weight f64[6], at here; convert one of them with to()");
  CHECK(error_of([&] { rms_norm(x, 1, {.eps = -1}); }) == "rms_norm: eps is -1, at here");
  CHECK(error_of([&] {
          batch_norm(zeros({1, 6}));
        }) ==
        "batch_norm: x is f32[1, 6] [..., channels] with 1 values per channel, which have no variance, at here; train "
        "with "
        "a batch of at least 2, or normalize with given statistics (nn::eval)");
  CHECK(error_of([&] { batch_norm(x, 1, 0, {.mean = zeros({6})}); }) ==
        "batch_norm: of mean and var only one is given, at here");
  CHECK(error_of([&] { batch_norm(x, 1, 0, {.mean = zeros({6}), .var = ones({5})}); }) ==
        "batch_norm: the variance is f32[5], not f32[6]: x is f32[2, 6], at here");
  CHECK(error_of([&] { group_norm(x, 4); }) ==
        "group_norm: x is f32[2, 6], whose 6 channels do not divide into 4 groups, at here");
  CHECK(error_of([&] { group_norm(x, 6); }) ==
        "group_norm: x is f32[2, 6] with one value per sample and group, which has no variance, at here");
  CHECK(error_of([&] { instance_norm(x); }) ==
        "instance_norm: x must be [batch, ..., channels], not f32[2, 6], at here");
  CHECK(error_of([&] {
          instance_norm(zeros({2, 1, 6}));
        }) ==
        "instance_norm: x is f32[2, 1, 6] [batch, ..., channels] with one value per sample and channel, which has no "
        "variance, at here");
}

TEST_CASE("norms: small samples") { check_samples(detail::normalization_ops()); }
