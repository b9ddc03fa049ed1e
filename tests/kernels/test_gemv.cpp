#include <algorithm>
#include <array>
#include <vector>

#include "tests/kernels/support.h"

using namespace kernel_test;
using tapegrad::kernels::GemvArguments;

namespace {

template <class T>
struct Product {
  Index rows, k;
  bool by_columns;
  Guarded<T> matrix, x, bias, y;

  Product(Index row_count, Index depth, bool columns)
      : rows(row_count),
        k(depth),
        by_columns(columns),
        matrix(integers<T>((row_count + 3) * (depth + 3), 1)),
        x(integers<T>(depth, 2)),
        bias(integers<T>(row_count, 3)),
        y(integers<T>(row_count, 4)) {}

  /// Lines of the matrix have a gap of three elements.
  GemvArguments arguments() {
    return {.k = k,
            .matrix = matrix.data(),
            .row_stride = by_columns ? 1 : k + 3,
            .column_stride = by_columns ? rows + 3 : 1,
            .x = x.data(),
            .y = y.data(),
            .end = rows};
  }

  /// The exact result: inputs are small integers.
  std::vector<double> expected() {
    const GemvArguments g = arguments();
    std::vector<double> result;
    for (Index i = 0; i < rows; ++i) {
      double sum = 0;
      for (Index c = 0; c < k; ++c) {
        sum += static_cast<double>(matrix[i * g.row_stride + c * g.column_stride]) * static_cast<double>(x[c]);
      }
      result.push_back(sum);
    }
    return result;
  }
};

}  // namespace

TEMPLATE_TEST_CASE("gemv: every tail, by rows and by columns", "[kernels][gemv]", float, double) {
  const bool by_columns = GENERATE(false, true);
  std::vector<std::array<Index, 2>> sizes = {{300, 1100}, {1, 2000}, {260, 1}, {3, 513}};
  for (Index n = 1; n <= every_tail<TestType>; ++n) {
    sizes.push_back({n, 7});
    sizes.push_back({6, n});
  }
  for (const auto& [rows, k] : sizes) {
    CAPTURE(rows, k, by_columns);
    Product<TestType> product(rows, k, by_columns);
    const std::vector<double> expected = product.expected();
    table().gemv[type<TestType>](product.arguments());
    for (Index i = 0; i < rows; ++i) {
      REQUIRE(static_cast<double>(product.y[i]) == expected[static_cast<std::size_t>(i)]);
    }
    REQUIRE(product.y.intact());
  }
}

TEMPLATE_TEST_CASE("gemv: a bias for each row, or one for all", "[kernels][gemv]", float, double) {
  const bool by_columns = GENERATE(false, true);
  const Index stride = GENERATE(0, 1);
  Product<TestType> product(37, 50, by_columns);
  const std::vector<double> expected = product.expected();
  GemvArguments g = product.arguments();
  g.bias = product.bias.data();
  g.bias_stride = stride;
  table().gemv[type<TestType>](g);
  for (Index i = 0; i < 37; ++i) {
    REQUIRE(static_cast<double>(product.y[i]) ==
            expected[static_cast<std::size_t>(i)] + static_cast<double>(product.bias[i * stride]));
  }
}

TEMPLATE_TEST_CASE("gemv: the same bits however the rows are cut", "[kernels][gemv]", float, double) {
  const bool by_columns = GENERATE(false, true);
  Product<TestType> product(301, 1500, by_columns);
  product.matrix = reals<TestType>(product.matrix.size(), 1);
  product.x = reals<TestType>(product.k, 2);
  GemvArguments g = product.arguments();
  table().gemv[type<TestType>](g);
  const Guarded<TestType> whole = product.y;
  for (const Index step : {1, 3, 64, 130}) {
    product.y = integers<TestType>(product.rows, 4);
    g.y = product.y.data();
    for (Index i = 0; i < product.rows; i += step) {
      g.begin = i;
      g.end = std::min(i + step, product.rows);
      table().gemv[type<TestType>](g);
    }
    CAPTURE(step, by_columns);
    REQUIRE(product.y == whole);
  }
}

TEMPLATE_TEST_CASE("gemv: rounding stays small in long sums", "[kernels][gemv]", float, double) {
  const bool by_columns = GENERATE(false, true);
  const Index k = 100000;
  Product<TestType> product(2, k, by_columns);
  product.matrix = reals<TestType>(product.matrix.size(), 1, 0, 1);
  product.x = reals<TestType>(k, 2, 0, 1);
  const std::vector<double> expected = product.expected();
  table().gemv[type<TestType>](product.arguments());
  for (Index i = 0; i < 2; ++i) {
    REQUIRE(near(product.y[i], expected[static_cast<std::size_t>(i)], 200));
  }
}
