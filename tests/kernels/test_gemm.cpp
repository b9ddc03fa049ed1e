#include <array>
#include <set>
#include <vector>

#include "tests/kernels/support.h"

using namespace kernel_test;
using tapegrad::kernels::GemmArguments;
using tapegrad::kernels::GemmPath;

namespace {

struct Layout {
  bool a_transposed = false;
  bool b_transposed = false;
  bool accumulate = false;
  bool bias = false;
};

template <class T>
struct Product {
  Index m, n, k;
  Layout layout;
  Guarded<T> a, b, bias, c;
  Index c_row_stride;

  Product(Index rows, Index columns, Index depth, Layout how)
      : m(rows),
        n(columns),
        k(depth),
        layout(how),
        a(integers<T>(rows * depth, 1)),
        b(integers<T>(depth * columns, 2)),
        bias(integers<T>(columns, 3)),
        c(integers<T>(rows * (columns + 3), 4)),
        c_row_stride(columns + 3) {}

  GemmArguments arguments() {
    return {.m = m,
            .n = n,
            .k = k,
            .a = a.data(),
            .a_row_stride = layout.a_transposed ? 1 : k,
            .a_column_stride = layout.a_transposed ? m : 1,
            .b = b.data(),
            .b_row_stride = layout.b_transposed ? 1 : n,
            .b_column_stride = layout.b_transposed ? k : 1,
            .c = c.data(),
            .c_row_stride = c_row_stride,
            .bias = layout.bias ? bias.data() : nullptr,
            .accumulate = layout.accumulate};
  }

  /// The exact result: inputs are small integers.
  Guarded<T> expected() {
    const GemmArguments p = arguments();
    Guarded<T> result = c;
    for (Index i = 0; i < m; ++i) {
      for (Index j = 0; j < n; ++j) {
        double sum = layout.accumulate ? static_cast<double>(c[i * c_row_stride + j]) : 0;
        for (Index x = 0; x < k; ++x) {
          sum += static_cast<double>(a[i * p.a_row_stride + x * p.a_column_stride]) *
                 static_cast<double>(b[x * p.b_row_stride + j * p.b_column_stride]);
        }
        if (layout.bias) sum += static_cast<double>(bias[j]);
        result[i * c_row_stride + j] = static_cast<T>(sum);
      }
    }
    return result;
  }
};

template <class T>
void run(GemmArguments arguments) {
  Workspace workspace(table().gemm_workspace_bytes[type<T>](arguments));
  arguments.workspace = workspace.data();
  table().gemm[type<T>](arguments);
  REQUIRE(workspace.intact());
}

template <class T>
GemmPath path(const GemmArguments& arguments) {
  return table().gemm_path[type<T>](arguments);
}

template <class T>
void check(Index m, Index n, Index k, Layout layout) {
  CAPTURE(m, n, k, layout.a_transposed, layout.b_transposed, layout.accumulate, layout.bias);
  Product<T> product(m, n, k, layout);
  const Guarded<T> expected = product.expected();
  run<T>(product.arguments());
  REQUIRE(product.c == expected);  // also the gaps between the rows of C
  REQUIRE(product.c.intact());
}

/// Each of 16 layouts.
template <class F>
void for_each_layout(F body) {
  for (int bits = 0; bits < 16; ++bits) {
    body(Layout{(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, (bits & 8) != 0});
  }
}

}  // namespace

TEMPLATE_TEST_CASE("gemm: every small shape", "[kernels][gemm]", float, double) {
  for (Index m : {1, 2, 5, 13, 14, 15, 16, 29}) {
    for (Index n = 1; n <= every_tail<TestType>; ++n) {
      for (Index k : {1, 7}) {
        const int bits = static_cast<int>(m + n + k) % 16;
        check<TestType>(m, n, k, Layout{(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, (bits & 8) != 0});
      }
    }
  }
}

TEMPLATE_TEST_CASE("gemm: every layout on every path", "[kernels][gemm]", float, double) {
  std::set<GemmPath> reached;
  // Several blocks of k; edges in every direction; more rows than the narrow path takes at once.
  const std::vector<std::array<Index, 3>> shapes = {{33, 45, 19},    {64, 10, 128},   {63, 70, 1601},
                                                    {600, 3, 1000},  {66, 196, 1024}, {1000, 1, 1000},
                                                    {129, 131, 137}, {130, 50, 1700}, {70, 2100, 17}};
  for (const auto& [m, n, k] : shapes) {
    for_each_layout([&](Layout layout) {
      check<TestType>(m, n, k, layout);
      reached.insert(path<TestType>(Product<TestType>(m, n, k, layout).arguments()));
    });
  }
  CHECK(reached == std::set<GemmPath>{GemmPath::narrow, GemmPath::direct, GemmPath::packed});
}

TEMPLATE_TEST_CASE("gemm: k = 0 gives zeros, C, or the bias", "[kernels][gemm]", float, double) {
  for_each_layout([](Layout layout) { check<TestType>(5, 21, 0, layout); });
  CHECK(path<TestType>({.m = 5, .n = 21}) == GemmPath::empty);
  check<TestType>(0, 21, 3, {});
  check<TestType>(5, 0, 3, {});
}

TEMPLATE_TEST_CASE("gemm: strides that are neither rows nor columns", "[kernels][gemm]", float, double) {
  for (const auto& [m, n, k] : {std::array<Index, 3>{20, 37, 11}, {150, 140, 130}, {40, 2, 30}}) {
    const Guarded<TestType> a = integers<TestType>(m * k * 6, 1);
    const Guarded<TestType> b = integers<TestType>(k * n * 6, 2);
    // A runs backwards with gaps, B repeats one row (an expanded array).
    const GemmArguments base{.m = m,
                             .n = n,
                             .k = k,
                             .a = a.data() + (m - 1) * k * 6 + (k - 1) * 2,
                             .a_row_stride = -k * 6,
                             .a_column_stride = -2,
                             .b = b.data(),
                             .b_row_stride = 0,
                             .b_column_stride = 3};
    Guarded<TestType> c = zeros<TestType>(m * n);
    GemmArguments arguments = base;
    arguments.c = c.data();
    arguments.c_row_stride = n;
    run<TestType>(arguments);
    for (Index i = 0; i < m; ++i) {
      for (Index j = 0; j < n; ++j) {
        double sum = 0;
        for (Index x = 0; x < k; ++x) {
          sum += static_cast<double>(a[(m - 1 - i) * k * 6 + (k - 1 - x) * 2]) * static_cast<double>(b[j * 3]);
        }
        REQUIRE(static_cast<double>(c[i * n + j]) == sum);
      }
    }
  }
}

TEMPLATE_TEST_CASE("gemm: rounding stays within the bound of one chain", "[kernels][gemm]", float, double) {
  for (const auto& [m, n, k] : {std::array<Index, 3>{30, 40, 2000}, {200, 150, 900}, {300, 3, 1500}}) {
    const Guarded<TestType> a = reals<TestType>(m * k, 1);
    const Guarded<TestType> b = reals<TestType>(k * n, 2);
    Guarded<TestType> c = zeros<TestType>(m * n);
    run<TestType>({.m = m,
                   .n = n,
                   .k = k,
                   .a = a.data(),
                   .a_row_stride = k,
                   .b = b.data(),
                   .b_row_stride = n,
                   .c = c.data(),
                   .c_row_stride = n});
    for (Index i = 0; i < m; ++i) {
      for (Index j = 0; j < n; ++j) {
        long double sum = 0;
        long double magnitude = 0;
        for (Index x = 0; x < k; ++x) {
          const long double term = static_cast<long double>(a[i * k + x]) * static_cast<long double>(b[x * n + j]);
          sum += term;
          magnitude += std::abs(term);
        }
        // Random signs: the square root of the classical bound k * epsilon, with room.
        const double allowed = 4 * std::sqrt(static_cast<double>(k)) *
                               static_cast<double>(std::numeric_limits<TestType>::epsilon()) *
                               static_cast<double>(magnitude) / static_cast<double>(k) * 8;
        REQUIRE(std::abs(static_cast<double>(static_cast<long double>(c[i * n + j]) - sum)) <= allowed);
      }
    }
  }
}

TEMPLATE_TEST_CASE("gemm: the same bits on every path and for every cut", "[kernels][gemm]", float, double) {
  const Index m = 200, n = 200, k = 1500;
  const Guarded<TestType> a = reals<TestType>(m * k, 1);
  const Guarded<TestType> b = reals<TestType>(k * n, 2);
  const Guarded<TestType> bias = reals<TestType>(n, 3);
  const Guarded<TestType> start = reals<TestType>(m * n, 4);
  const bool accumulate = GENERATE(false, true);
  std::set<GemmPath> reached;
  const auto multiply = [&](TestType* c, Index row, Index rows, Index column, Index columns) {
    const GemmArguments g{.m = rows,
                          .n = columns,
                          .k = k,
                          .a = a.data() + row * k,
                          .a_row_stride = k,
                          .b = b.data() + column,
                          .b_row_stride = n,
                          .c = c + row * n + column,
                          .c_row_stride = n,
                          .bias = bias.data() + column,
                          .accumulate = accumulate};
    run<TestType>(g);
    reached.insert(path<TestType>(g));
  };
  Guarded<TestType> whole = start;
  multiply(whole.data(), 0, m, 0, n);
  REQUIRE(reached == std::set<GemmPath>{GemmPath::packed});
  for (const auto& [rows, columns] :
       {std::array<Index, 2>{1, n}, {14, n}, {64, n}, {97, n}, {m, 1}, {m, 3}, {m, 37}, {13, 31}}) {
    Guarded<TestType> cut = start;
    for (Index i = 0; i < m; i += rows) {
      for (Index j = 0; j < n; j += columns) {
        const Index row_count = std::min(rows, m - i);
        const Index column_count = std::min(columns, n - j);
        multiply(cut.data(), i, row_count, j, column_count);
      }
    }
    CAPTURE(rows, columns);
    REQUIRE(cut == whole);
  }
  CHECK(reached == std::set<GemmPath>{GemmPath::narrow, GemmPath::direct, GemmPath::packed});
}

TEMPLATE_TEST_CASE("gemm: NaN and infinity reach their row or column only", "[kernels][gemm]", float, double) {
  for (const auto& [m, n, k] : {std::array<Index, 3>{20, 37, 11}, {150, 140, 130}, {40, 2, 30}}) {
    CAPTURE(m, n, k);
    Guarded<TestType> a = integers<TestType>(m * k, 1);
    Guarded<TestType> b(k * n);
    for (Index i = 0; i < k * n; ++i) b[i] = 1;
    a[7 * k + 3] = static_cast<TestType>(not_a_number);
    a[9 * k + 1] = static_cast<TestType>(infinity);
    b[0 * n + 1] = static_cast<TestType>(-infinity);
    for (Index i = 0; i < m; ++i) a[i * k] = 1;
    Guarded<TestType> c = zeros<TestType>(m * n);
    c[0] = static_cast<TestType>(not_a_number);  // is overwritten, not multiplied by zero
    run<TestType>({.m = m,
                   .n = n,
                   .k = k,
                   .a = a.data(),
                   .a_row_stride = k,
                   .b = b.data(),
                   .b_row_stride = n,
                   .c = c.data(),
                   .c_row_stride = n});
    for (Index i = 0; i < m; ++i) {
      for (Index j = 0; j < n; ++j) {
        const double value = static_cast<double>(c[i * n + j]);
        if (i == 7 || (i == 9 && j == 1)) {
          REQUIRE(std::isnan(value));
        } else if (i == 9) {
          REQUIRE(value == infinity);
        } else if (j == 1) {
          REQUIRE(value == -infinity);
        } else {
          REQUIRE(std::isfinite(value));
        }
      }
    }
  }
}
