#include <algorithm>

#include "tests/kernels/support.h"

using namespace kernel_test;
using tapegrad::kernels::ColumnAffineOfTwoArguments;
using tapegrad::kernels::NormalizeRowsArguments;
using tapegrad::kernels::NormalizeRowsBackwardArguments;

namespace {

constexpr double ulps = 40;

double at(const auto& values, Index i) { return static_cast<double>(values[i]); }

// Statistics and normalised values of one row, in double.
struct Row {
  double mean = 0, var = 0;
  std::vector<double> h;

  template <class T>
  Row(const T* x, Index n, bool centred, double epsilon) {
    for (Index i = 0; i < n && centred; ++i) mean += static_cast<double>(x[i]) / static_cast<double>(n);
    for (Index i = 0; i < n; ++i) {
      const double d = static_cast<double>(x[i]) - mean;
      var += d * d / static_cast<double>(n);
    }
    for (Index i = 0; i < n; ++i) h.push_back((static_cast<double>(x[i]) - mean) / std::sqrt(var + epsilon));
  }
};

/// Calls body(rows, columns): every tail, several blocks, long rows.
template <class T, class F>
void for_each_shape(F body) {
  for (Index n = 1; n <= every_tail<T>; ++n) body(3, n);
  for (Index n : {100, 127, 4096, 4097, 10007}) body(2, n);
  body(70, 9);
}

}  // namespace

TEMPLATE_TEST_CASE("normalize_rows: values and statistics", "[kernels][normalization]", float, double) {
  for_each_shape<TestType>([](Index rows, Index n) {
    for (const bool centred : {true, false}) {
      CAPTURE(rows, n, centred);
      const Guarded<TestType> x = reals<TestType>(rows * n, static_cast<unsigned>(n), 3, 5);
      const Guarded<TestType> w = reals<TestType>(n, 2), b = reals<TestType>(n, 3);
      Guarded<TestType> y = zeros<TestType>(rows * n);
      Guarded<double> statistics = zeros<double>(2 * rows);
      const double epsilon = 1e-3;
      table().normalize_rows[type<TestType>](
          {n, x.data(), w.data(), b.data(), y.data(), statistics.data(), epsilon, centred, 0, rows});
      for (Index r = 0; r < rows; ++r) {
        const Row row(x.data() + r * n, n, centred, epsilon);
        REQUIRE(near(static_cast<TestType>(statistics[2 * r]), row.mean, ulps));
        REQUIRE(near(static_cast<TestType>(statistics[2 * r + 1]), row.var, ulps, centred ? 1e-3 : 0));
        for (Index i = 0; i < n; ++i) {
          REQUIRE(near(y[r * n + i], row.h[static_cast<std::size_t>(i)] * at(w, i) + at(b, i), ulps, 4));
        }
      }
      REQUIRE(y.intact());
      REQUIRE(statistics.intact());
    }
  });
}

TEMPLATE_TEST_CASE("normalize_rows: gradients", "[kernels][normalization]", float, double) {
  for_each_shape<TestType>([](Index rows, Index n) {
    for (const bool centred : {true, false}) {
      CAPTURE(rows, n, centred);
      const Guarded<TestType> x = reals<TestType>(rows * n, static_cast<unsigned>(n)), g = reals<TestType>(rows * n, 7);
      const Guarded<TestType> w = reals<TestType>(n, 2);
      Guarded<TestType> y = zeros<TestType>(rows * n), dx = zeros<TestType>(rows * n),
                        alone = zeros<TestType>(rows * n);
      Guarded<double> statistics = zeros<double>(2 * rows), dw = zeros<double>(n), db = zeros<double>(n);
      Guarded<double> only_dw = zeros<double>(n), only_db = zeros<double>(n);
      Guarded<TestType> workspace = zeros<TestType>(2 * n);
      const double epsilon = 1e-2;
      table().normalize_rows[type<TestType>](
          {n, x.data(), w.data(), w.data(), y.data(), statistics.data(), epsilon, centred, 0, rows});
      NormalizeRowsBackwardArguments a{n,       x.data(),  g.data(),  w.data(),  statistics.data(), epsilon,
                                       centred, dx.data(), dw.data(), db.data(), workspace.data(),  0,
                                       rows};
      table().normalize_rows_backward[type<TestType>](a);
      std::vector<double> sum_gh(static_cast<std::size_t>(n)), sum_g(static_cast<std::size_t>(n));
      for (Index r = 0; r < rows; ++r) {
        const Row row(x.data() + r * n, n, centred, epsilon);
        double u = 0, uh = 0;
        for (Index i = 0; i < n; ++i) {
          const double h = row.h[static_cast<std::size_t>(i)];
          u += at(g, r * n + i) * at(w, i) / static_cast<double>(n);
          uh += at(g, r * n + i) * at(w, i) * h / static_cast<double>(n);
          sum_gh[static_cast<std::size_t>(i)] += at(g, r * n + i) * h;
          sum_g[static_cast<std::size_t>(i)] += at(g, r * n + i);
        }
        const double factor = 1 / std::sqrt(row.var + epsilon);
        for (Index i = 0; i < n; ++i) {
          const double h = row.h[static_cast<std::size_t>(i)];
          const double wanted = (at(g, r * n + i) * at(w, i) - (centred ? u : 0) - h * uh) * factor;
          REQUIRE(near(dx[r * n + i], wanted, ulps, 4 * factor));
        }
      }
      for (Index i = 0; i < n; ++i) {
        REQUIRE(
            near(static_cast<TestType>(dw[i]), sum_gh[static_cast<std::size_t>(i)], ulps, static_cast<double>(rows)));
        REQUIRE(
            near(static_cast<TestType>(db[i]), sum_g[static_cast<std::size_t>(i)], ulps, static_cast<double>(rows)));
      }
      // Each alone: the same bits.
      a.dx = alone.data();
      a.weight_sum = a.bias_sum = nullptr;
      table().normalize_rows_backward[type<TestType>](a);
      REQUIRE(alone == dx);
      a.dx = nullptr;
      a.weight_sum = only_dw.data();
      a.bias_sum = only_db.data();
      table().normalize_rows_backward[type<TestType>](a);
      REQUIRE(only_dw == dw);
      REQUIRE(only_db == db);
      for (const auto* guarded : {&dw, &db, &only_dw, &only_db}) REQUIRE(guarded->intact());
      for (const auto* guarded : {&dx, &alone, &workspace}) REQUIRE(guarded->intact());
    }
  });
}

TEMPLATE_TEST_CASE("columns: moments and dots", "[kernels][normalization]", float, double) {
  const auto check = [](Index rows, Index columns) {
    CAPTURE(rows, columns);
    const Guarded<TestType> x = reals<TestType>(rows * columns, 1, 99, 101), g = reals<TestType>(rows * columns, 2);
    const Guarded<TestType> centre = reals<TestType>(columns, 3, 99, 101);
    Guarded<double> mean = reals<double>(columns, 4), squares = mean, sum = mean, dot = mean;  // overwritten
    table().column_moments[type<TestType>](x.data(), rows, columns, mean.data(), squares.data());
    table().column_dots[type<TestType>](x.data(), g.data(), centre.data(), rows, columns, sum.data(), dot.data());
    for (Index c = 0; c < columns; ++c) {
      double m = 0, s = 0, g_sum = 0, g_dot = 0;
      for (Index r = 0; r < rows; ++r) m += at(x, r * columns + c) / static_cast<double>(rows);
      for (Index r = 0; r < rows; ++r) {
        const double d = at(x, r * columns + c) - m;
        s += d * d;
        g_sum += at(g, r * columns + c);
        g_dot += at(g, r * columns + c) * (at(x, r * columns + c) - at(centre, c));
      }
      const double scale = static_cast<double>(rows);
      REQUIRE(near(static_cast<TestType>(mean[c]), m, 4));
      REQUIRE(near(static_cast<TestType>(squares[c]), s, ulps, 1e-3 * scale));
      REQUIRE(near(static_cast<TestType>(sum[c]), g_sum, ulps, scale));
      REQUIRE(near(static_cast<TestType>(dot[c]), g_dot, ulps, scale));
    }
    for (const auto* guarded : {&mean, &squares, &sum, &dot}) REQUIRE(guarded->intact());
  };
  for (Index columns = 1; columns <= 2 * every_tail<TestType>; ++columns) check(5, columns);
  for (Index rows : {1, 2, 31, 32, 33, 64, 100}) {
    for (Index columns : {3, 40}) check(rows, columns);
  }
}

TEMPLATE_TEST_CASE("columns: affine, of one and of two", "[kernels][normalization]", float, double) {
  for (Index columns = 1; columns <= every_tail<TestType>; ++columns) {
    CAPTURE(columns);
    const Index rows = 3;
    const auto small = [&](Index n, unsigned seed) { return integers<TestType>(n, seed); };  // exact
    const Guarded<TestType> x = small(rows * columns, 1), g = small(rows * columns, 2), centre = small(columns, 3),
                            x_scale = small(columns, 4), g_scale = small(columns, 5), shift = small(columns, 6);
    Guarded<TestType> one = zeros<TestType>(rows * columns), two = zeros<TestType>(rows * columns);
    table().column_affine[type<TestType>](x.data(), centre.data(), x_scale.data(), shift.data(), one.data(), rows,
                                          columns);
    table().column_affine_of_two[type<TestType>](
        {rows, columns, x.data(), g.data(), centre.data(), x_scale.data(), g_scale.data(), shift.data(), two.data()});
    for (Index i = 0; i < rows * columns; ++i) {
      const Index c = i % columns;
      const double of_x = (at(x, i) - at(centre, c)) * at(x_scale, c) + at(shift, c);
      REQUIRE(at(one, i) == of_x);
      REQUIRE(at(two, i) == of_x + at(g, i) * at(g_scale, c));
    }
    REQUIRE(one.intact());
    REQUIRE(two.intact());
  }
}
