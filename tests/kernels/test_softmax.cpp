#include <algorithm>

#include "tests/kernels/support.h"

using namespace kernel_test;

namespace {

/// One row of logits in double, with what follows from it.
struct Row {
  std::vector<double> x;
  std::vector<double> probability;
  double log_sum = 0;

  template <class T>
  Row(const T* from, Index n) : x(from, from + n), probability(static_cast<std::size_t>(n)) {
    const double largest = *std::max_element(x.begin(), x.end());
    double sum = 0;
    for (double value : x) sum += std::exp(value - largest);
    log_sum = largest + std::log(sum);
    for (std::size_t i = 0; i < x.size(); ++i) probability[i] = std::exp(x[i] - log_sum);
  }
};

template <class T>
Guarded<std::int64_t> labels_for(Index rows, Index n) {
  Guarded<std::int64_t> labels(rows);
  for (Index r = 0; r < rows; ++r) labels[r] = (r * 7 + n / 2) % n;
  return labels;
}

/// Calls body(rows, n) for every tail and some long rows.
template <class T, class F>
void for_each_shape(F body) {
  for (Index n = 1; n <= every_tail<T>; ++n) body(3, n);
  for (Index n : {100, 127, 1000, 10007}) body(2, n);
}

constexpr double ulps = 24;

}  // namespace

TEMPLATE_TEST_CASE("softmax: values", "[kernels][softmax]", float, double) {
  for_each_shape<TestType>([](Index rows, Index n) {
    CAPTURE(rows, n);
    const Guarded<TestType> x = reals<TestType>(rows * n, static_cast<unsigned>(n), -8, 8);
    Guarded<TestType> y = zeros<TestType>(rows * n);
    Guarded<TestType> log_y = zeros<TestType>(rows * n);
    table().softmax[type<TestType>](x.data(), y.data(), n, 0, rows);
    table().log_softmax[type<TestType>](x.data(), log_y.data(), n, 0, rows);
    for (Index r = 0; r < rows; ++r) {
      const Row row(x.data() + r * n, n);
      for (Index i = 0; i < n; ++i) {
        const std::size_t k = static_cast<std::size_t>(i);
        REQUIRE(near(y[r * n + i], row.probability[k], ulps));
        REQUIRE(near(log_y[r * n + i], row.x[k] - row.log_sum, ulps, 1));
      }
    }
    REQUIRE(y.intact());
    REQUIRE(log_y.intact());
  });
}

TEMPLATE_TEST_CASE("softmax: gradients", "[kernels][softmax]", float, double) {
  for_each_shape<TestType>([](Index rows, Index n) {
    CAPTURE(rows, n);
    const Guarded<TestType> x = reals<TestType>(rows * n, static_cast<unsigned>(n));
    const Guarded<TestType> g = reals<TestType>(rows * n, static_cast<unsigned>(n + 1));
    Guarded<TestType> y = zeros<TestType>(rows * n);
    Guarded<TestType> log_y = zeros<TestType>(rows * n);
    table().softmax[type<TestType>](x.data(), y.data(), n, 0, rows);
    table().log_softmax[type<TestType>](x.data(), log_y.data(), n, 0, rows);
    Guarded<TestType> dx = zeros<TestType>(rows * n);
    Guarded<TestType> log_dx = g;  // in place
    table().softmax_backward[type<TestType>](y.data(), g.data(), dx.data(), n, 0, rows);
    table().log_softmax_backward[type<TestType>](log_y.data(), log_dx.data(), log_dx.data(), n, 0, rows);
    for (Index r = 0; r < rows; ++r) {
      const Row row(x.data() + r * n, n);
      double dot = 0, sum = 0, magnitude = 0;
      for (Index i = 0; i < n; ++i) {
        const double upstream = static_cast<double>(g[r * n + i]);
        dot += upstream * row.probability[static_cast<std::size_t>(i)];
        sum += upstream;
        magnitude += std::abs(upstream);
      }
      for (Index i = 0; i < n; ++i) {
        const double p = row.probability[static_cast<std::size_t>(i)];
        const double upstream = static_cast<double>(g[r * n + i]);
        REQUIRE(near(dx[r * n + i], p * (upstream - dot), ulps, 2 * p));
        REQUIRE(near(log_dx[r * n + i], upstream - p * sum, ulps, 2 + p * magnitude));
      }
    }
    REQUIRE(dx.intact());
    REQUIRE(log_dx.intact());
  });
}

TEMPLATE_TEST_CASE("softmax: cross-entropy, loss and gradient", "[kernels][softmax]", float, double) {
  for_each_shape<TestType>([](Index rows, Index n) {
    CAPTURE(rows, n);
    const Guarded<TestType> x = reals<TestType>(rows * n, static_cast<unsigned>(n), -5, 5);
    const Guarded<std::int64_t> label = labels_for<TestType>(rows, n);
    const Guarded<TestType> scale = reals<TestType>(rows, 5, 0.1, 1);
    Guarded<TestType> loss = zeros<TestType>(rows);
    Guarded<TestType> log_sum = zeros<TestType>(rows);
    Guarded<TestType> dx = zeros<TestType>(rows * n);
    table().cross_entropy[type<TestType>](x.data(), label.data(), loss.data(), log_sum.data(), n, 0, rows);
    table().cross_entropy_backward[type<TestType>](x.data(), label.data(), log_sum.data(), scale.data(), dx.data(), n,
                                                   0, rows);
    Guarded<TestType> fused_loss = zeros<TestType>(rows);
    Guarded<TestType> fused_dx = x;  // in place
    table().cross_entropy_fused[type<TestType>](fused_dx.data(), label.data(), 0.25, fused_loss.data(), fused_dx.data(),
                                                n, 0, rows);
    Guarded<TestType> loss_only = zeros<TestType>(rows);
    table().cross_entropy[type<TestType>](x.data(), label.data(), loss_only.data(), nullptr, n, 0, rows);
    REQUIRE(loss_only == loss);
    REQUIRE(fused_loss == loss);
    for (Index r = 0; r < rows; ++r) {
      const Row row(x.data() + r * n, n);
      REQUIRE(near(log_sum[r], row.log_sum, ulps, 1));
      REQUIRE(near(loss[r], row.log_sum - row.x[static_cast<std::size_t>(label[r])], ulps, 1));
      for (Index i = 0; i < n; ++i) {
        const double p = row.probability[static_cast<std::size_t>(i)];
        const double hit = i == label[r] ? 1 : 0;
        const double floor = p + hit;
        REQUIRE(near(dx[r * n + i], (p - hit) * static_cast<double>(scale[r]), 2 * ulps, floor));
        REQUIRE(near(fused_dx[r * n + i], (p - hit) * 0.25, 2 * ulps, floor));
      }
    }
    REQUIRE(dx.intact());
    REQUIRE(fused_dx.intact());
    REQUIRE(loss.intact());
    REQUIRE(log_sum.intact());
  });
}

TEMPLATE_TEST_CASE("softmax: large logits, NaN and infinities", "[kernels][softmax]", float, double) {
  const Index n = 37;
  Guarded<TestType> x(n);
  Guarded<TestType> y = zeros<TestType>(n);
  const auto fill = [&](double value) {
    for (Index i = 0; i < n; ++i) x[i] = static_cast<TestType>(value);
  };
  const auto softmax = [&] { table().softmax[type<TestType>](x.data(), y.data(), n, 0, 1); };

  fill(-1e30);
  x[5] = TestType(1e30);
  softmax();
  for (Index i = 0; i < n; ++i) CHECK(y[i] == (i == 5 ? 1 : 0));

  fill(-infinity);  // masked out, as in attention
  x[36] = 3;
  softmax();
  for (Index i = 0; i < n; ++i) CHECK(y[i] == (i == 36 ? 1 : 0));
  table().log_softmax[type<TestType>](x.data(), y.data(), n, 0, 1);
  for (Index i = 0; i < n; ++i) CHECK(static_cast<double>(y[i]) == (i == 36 ? 0 : -infinity));

  for (Index at : {0, 20, 36}) {
    fill(1);
    x[at] = static_cast<TestType>(not_a_number);
    softmax();
    for (Index i = 0; i < n; ++i) CHECK(std::isnan(static_cast<double>(y[i])));
    const std::int64_t label = 3;
    TestType loss = 0;
    table().cross_entropy[type<TestType>](x.data(), &label, &loss, nullptr, n, 0, 1);
    CHECK(std::isnan(static_cast<double>(loss)));
  }
}

TEMPLATE_TEST_CASE("softmax: only the rows that were asked for", "[kernels][softmax]", float, double) {
  const Index rows = 6, n = 21;
  const Guarded<TestType> x = reals<TestType>(rows * n, 1);
  Guarded<TestType> whole = zeros<TestType>(rows * n);
  table().softmax[type<TestType>](x.data(), whole.data(), n, 0, rows);
  Guarded<TestType> parts = zeros<TestType>(rows * n);
  table().softmax[type<TestType>](x.data(), parts.data(), n, 4, rows);
  for (Index i = 0; i < 4 * n; ++i) REQUIRE(parts[i] == 0);
  table().softmax[type<TestType>](x.data(), parts.data(), n, 0, 4);
  CHECK(parts == whole);
}
