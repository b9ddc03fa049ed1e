#include <algorithm>

#include "tests/kernels/support.h"

using namespace kernel_test;
using tapegrad::kernels::ReduceFunction;
using tapegrad::kernels::ReduceIndexFunction;

namespace {

/// Calls body(outer, n, inner): every tail along rows and across columns, several registers and blocks of rows.
template <class T, class F>
void for_each_shape(F body) {
  for (Index n = 1; n <= every_tail<T>; ++n) body(2, n, 1);
  for (Index n : {127, 128, 129, 1000, 4095, 4096, 4097, 9000}) body(3, n, 1);
  for (Index inner = 2; inner <= every_tail<T>; ++inner) body(2, 5, inner);
  for (Index n : {1, 31, 32, 33, 100}) body(2, n, 300);
}

template <class T, class F>
double fold(const Guarded<T>& x, Index o, Index n, Index inner, Index c, F step) {
  double value = 0;
  for (Index i = 0; i < n; ++i) value = step(value, static_cast<double>(x[(o * n + i) * inner + c]), i);
  return value;
}

/// Compares with `step` folded over the axis; the data are integers, so that sums are exact.
template <class T, class F>
void check_reduction(ReduceFunction function, F step) {
  for_each_shape<T>([&](Index outer, Index n, Index inner) {
    CAPTURE(outer, n, inner);
    const Guarded<T> x = integers<T>(outer * n * inner, static_cast<unsigned>(n + inner));
    Guarded<T> out = zeros<T>(outer * inner);
    function(x.data(), out.data(), n, inner, 0, outer);
    for (Index o = 0; o < outer; ++o) {
      for (Index c = 0; c < inner; ++c)
        REQUIRE(static_cast<double>(out[o * inner + c]) == fold(x, o, n, inner, c, step));
    }
    REQUIRE(out.intact());
  });
}

const auto add = [](double sum, double value, Index) { return sum + value; };
const auto add_square = [](double sum, double value, Index) { return sum + value * value; };
const auto add_magnitude = [](double sum, double value, Index) { return sum + std::abs(value); };
const auto larger = [](double best, double value, Index i) { return i == 0 ? value : std::max(best, value); };
const auto smaller = [](double best, double value, Index i) { return i == 0 ? value : std::min(best, value); };

}  // namespace

TEMPLATE_TEST_CASE("reduce: sums and extremes of every shape", "[kernels][reduce]", float, double) {
  check_reduction<TestType>(table().sum[type<TestType>], add);
  check_reduction<TestType>(table().sum_of_squares[type<TestType>], add_square);
  check_reduction<TestType>(table().sum_of_magnitudes[type<TestType>], add_magnitude);
  check_reduction<TestType>(table().max[type<TestType>], larger);
  check_reduction<TestType>(table().min[type<TestType>], smaller);
}

TEMPLATE_TEST_CASE("reduce: only the rows that were asked for", "[kernels][reduce]", float, double) {
  for (Index inner : {1, 37}) {
    const Guarded<TestType> x = reals<TestType>(7 * 50 * inner, 1);
    for (ReduceFunction function : {table().sum[type<TestType>], table().sum_of_squares[type<TestType>],
                                    table().max[type<TestType>], table().min[type<TestType>]}) {
      Guarded<TestType> whole = zeros<TestType>(7 * inner);
      function(x.data(), whole.data(), 50, inner, 0, 7);
      Guarded<TestType> parts = zeros<TestType>(7 * inner);
      function(x.data(), parts.data(), 50, inner, 3, 7);
      for (Index i = 0; i < 3 * inner; ++i) REQUIRE(parts[i] == 0);
      function(x.data(), parts.data(), 50, inner, 0, 3);
      REQUIRE(parts == whole);
    }
  }
}

TEMPLATE_TEST_CASE("reduce: the sum of nothing is 0", "[kernels][reduce]", float, double) {
  for (Index inner : {1, 5}) {
    Guarded<TestType> out = integers<TestType>(3 * inner, 1);
    table().sum[type<TestType>](out.data(), out.data(), 0, inner, 0, 3);
    for (Index i = 0; i < 3 * inner; ++i) REQUIRE(out[i] == 0);
  }
}

TEMPLATE_TEST_CASE("reduce: NaN and infinities", "[kernels][reduce]", float, double) {
  const Index n = 300;
  for (Index inner : {1, 70}) {
    for (Index at : {0, 1, 63, 64, 200, 299}) {
      CAPTURE(inner, at);
      Guarded<TestType> x = integers<TestType>(n * inner, 1);
      const Index column = inner - 1;
      Guarded<TestType> out = zeros<TestType>(inner);
      const auto reduced = [&](ReduceFunction function) {
        function(x.data(), out.data(), n, inner, 0, 1);
        return static_cast<double>(out[column]);
      };
      TestType& element = x[at * inner + column];
      element = static_cast<TestType>(not_a_number);
      CHECK(std::isnan(reduced(table().sum[type<TestType>])));
      CHECK(std::isnan(reduced(table().max[type<TestType>])));
      CHECK(std::isnan(reduced(table().min[type<TestType>])));
      if (inner > 1) CHECK(std::isfinite(static_cast<double>(out[0])));
      element = static_cast<TestType>(infinity);
      CHECK(reduced(table().sum[type<TestType>]) == infinity);
      CHECK(reduced(table().max[type<TestType>]) == infinity);
      CHECK(reduced(table().min[type<TestType>]) == -4);
      element = static_cast<TestType>(-infinity);
      CHECK(reduced(table().sum[type<TestType>]) == -infinity);
      CHECK(reduced(table().max[type<TestType>]) == 4);
      CHECK(reduced(table().min[type<TestType>]) == -infinity);
      for (Index i = 0; i < n; ++i) x[i * inner + column] = static_cast<TestType>(-infinity);
      CHECK(reduced(table().max[type<TestType>]) == -infinity);
    }
  }
}

TEMPLATE_TEST_CASE("reduce: the index of the first extreme element", "[kernels][reduce]", float, double) {
  const auto check = [](ReduceIndexFunction function, double sign) {
    for_each_shape<TestType>([&](Index outer, Index n, Index inner) {
      CAPTURE(outer, n, inner);
      Guarded<TestType> x = integers<TestType>(outer * n * inner, static_cast<unsigned>(n * inner));
      if (n > 3) x[2 * inner] = static_cast<TestType>(not_a_number);
      if (n > 40) x[35 * inner] = static_cast<TestType>(not_a_number);
      Guarded<TestType> out = zeros<TestType>(outer * inner);
      Guarded<std::int64_t> index = zeros<std::int64_t>(outer * inner);
      function(x.data(), out.data(), index.data(), n, inner, 0, outer);
      for (Index o = 0; o < outer; ++o) {
        for (Index c = 0; c < inner; ++c) {
          const auto value = [&](Index i) { return static_cast<double>(x[(o * n + i) * inner + c]); };
          Index best = 0;
          for (Index i = 1; i < n; ++i) {
            const bool settled = std::isnan(value(best));
            if (!settled && (std::isnan(value(i)) || sign * value(i) > sign * value(best))) best = i;
          }
          REQUIRE(index[o * inner + c] == best);
          REQUIRE(same(static_cast<double>(out[o * inner + c]), value(best)));
        }
      }
      REQUIRE(out.intact());
      REQUIRE(index.intact());
    });
  };
  check(table().max_index[type<TestType>], 1);
  check(table().min_index[type<TestType>], -1);
}

TEMPLATE_TEST_CASE("reduce: chunks in double", "[kernels][reduce]", float, double) {
  for (Index n : {0, 1, 15, 16, 17, 1000, 4096, 10000}) {
    CAPTURE(n);
    const Guarded<TestType> x = integers<TestType>(n, 1);
    const Guarded<TestType> y = integers<TestType>(n, 2);
    double sum = 0, squares = 0, dot = 0;
    for (Index i = 0; i < n; ++i) {
      sum += static_cast<double>(x[i]);
      squares += static_cast<double>(x[i]) * static_cast<double>(x[i]);
      dot += static_cast<double>(x[i]) * static_cast<double>(y[i]);
    }
    CHECK(table().sum_chunk[type<TestType>](x.data(), n) == sum);
    CHECK(table().sum_of_squares_chunk[type<TestType>](x.data(), n) == squares);
    CHECK(table().dot_chunk[type<TestType>](x.data(), y.data(), n) == dot);
  }
}

TEMPLATE_TEST_CASE("reduce: chunks of columns do not depend on the range of columns", "[kernels][reduce]", float,
                   double) {
  const Index rows = 77, stride = 200;
  const Guarded<TestType> x = reals<TestType>(rows * stride, 1);
  Guarded<double> whole = zeros<double>(stride);
  table().sum_columns_chunk[type<TestType>](x.data(), whole.data(), rows, stride, stride);
  for (Index columns = 1; columns <= every_tail<TestType>; ++columns) {
    Guarded<double> part = zeros<double>(columns);
    table().sum_columns_chunk[type<TestType>](x.data() + 50, part.data(), rows, stride, columns);
    for (Index c = 0; c < columns; ++c) REQUIRE(part[c] == whole[50 + c]);
    REQUIRE(part.intact());
  }
  for (Index c = 0; c < stride; ++c) {
    double sum = 0;
    for (Index r = 0; r < rows; ++r) sum += static_cast<double>(x[r * stride + c]);
    REQUIRE(near(static_cast<TestType>(whole[c]), sum, 8, 10));
  }
}

TEST_CASE("reduce: long f32 sums keep their digits", "[kernels][reduce]") {
  const Index n = 1 << 21;
  const Guarded<float> x = reals<float>(n, 1, 0, 1);
  double exact = 0;
  for (Index i = 0; i < n; ++i) exact += static_cast<double>(x[i]);
  CHECK(std::abs(table().sum_chunk[0](x.data(), n) - exact) < 5e-8 * exact);

  Guarded<double> column = zeros<double>(1);
  table().sum_columns_chunk[0](x.data(), column.data(), n / 4, 4, 1);
  double exact_column = 0;
  for (Index i = 0; i < n; i += 4) exact_column += static_cast<double>(x[i]);
  CHECK(std::abs(column[0] - exact_column) < 5e-8 * exact_column);
}
