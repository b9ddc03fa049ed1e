#include <array>
#include <numeric>

#include "tests/kernels/support.h"

using namespace kernel_test;
using tapegrad::kernels::CopyArguments;
using tapegrad::kernels::max_copy_rank;

namespace {

/// The offset of the `position`-th index of a shape, in row-major order.
Index offset_of(Index position, int rank, const Index* shape, const Index* strides) {
  Index offset = 0;
  for (int i = rank - 1; i >= 0; --i) {
    offset += position % shape[i] * strides[i];
    position /= shape[i];
  }
  return offset;
}

/// Runs a copy; every written element must be right, every other one untouched. Offsets point to element 0 of each.
template <class T>
void check(std::vector<Index> shape, std::vector<Index> from_strides, std::vector<Index> to_strides,
           Index from_offset = 0, Index to_offset = 0) {
  CAPTURE(sizeof(T), shape, from_strides, to_strides);
  CopyArguments arguments;
  arguments.rank = static_cast<int>(shape.size());
  arguments.element_bytes = sizeof(T);
  for (std::size_t i = 0; i < shape.size(); ++i) {
    arguments.shape[i] = shape[i];
    arguments.from_strides[i] = from_strides[i];
    arguments.to_strides[i] = to_strides[i];
  }
  const Index count = std::accumulate(shape.begin(), shape.end(), Index(1), std::multiplies<>());
  const auto extent = [&](const std::vector<Index>& strides, Index offset) {
    Index last = offset;
    for (std::size_t i = 0; i < shape.size(); ++i) last += std::max(Index(0), (shape[i] - 1) * strides[i]);
    return last + 1;
  };
  Guarded<T> from(extent(from_strides, from_offset));
  for (Index i = 0; i < from.size(); ++i) from[i] = static_cast<T>(i * 7 + 1);
  Guarded<T> to(extent(to_strides, to_offset));
  for (Index i = 0; i < to.size(); ++i) to[i] = static_cast<T>(200);
  Guarded<T> expected = to;
  for (Index i = 0; i < count; ++i) {
    expected[to_offset + offset_of(i, arguments.rank, arguments.shape, arguments.to_strides)] =
        from[from_offset + offset_of(i, arguments.rank, arguments.shape, arguments.from_strides)];
  }
  arguments.from = from.data() + from_offset;
  arguments.to = to.data() + to_offset;
  table().copy(arguments);
  REQUIRE(to == expected);
  REQUIRE(to.intact());
}

}  // namespace

TEMPLATE_TEST_CASE("copy: contiguous, gaps, broadcast, backwards", "[kernels][copy]", std::uint8_t, std::uint32_t,
                   std::uint64_t) {
  check<TestType>({}, {}, {});
  check<TestType>({0, 5}, {5, 1}, {5, 1});
  for (Index n = 1; n <= every_tail<TestType>; ++n) check<TestType>({n}, {1}, {1});
  check<TestType>({4, 6, 7}, {42, 7, 1}, {42, 7, 1});
  check<TestType>({4, 6, 7}, {60, 8, 1}, {42, 7, 1});
  check<TestType>({4, 6, 7}, {42, 7, 1}, {70, 9, 1});
  check<TestType>({4, 6, 7}, {84, 14, 2}, {42, 7, 1});
  check<TestType>({4, 6, 7}, {7, 0, 1}, {42, 7, 1});
  check<TestType>({4, 6, 7}, {6, 1, 0}, {42, 7, 1});
  check<TestType>({4, 6, 7}, {0, 0, 0}, {42, 7, 1});
  check<TestType>({4, 6, 7}, {42, 7, 1}, {126, 21, 3});
  check<TestType>({9}, {-1}, {1}, 8);
  check<TestType>({5, 9}, {-9, -1}, {9, 1}, 44);
  check<TestType>({9}, {1}, {-2}, 0, 16);
}

TEMPLATE_TEST_CASE("copy: transposes of every small shape", "[kernels][copy]", std::uint8_t, std::uint32_t,
                   std::uint64_t) {
  for (Index rows = 1; rows <= 19; ++rows) {
    for (Index columns = 1; columns <= 19; ++columns) {
      check<TestType>({rows, columns}, {1, rows}, {columns, 1});
      check<TestType>({rows, columns}, {columns, 1}, {1, rows});
      check<TestType>({rows, columns}, {1, rows + 3}, {columns + 2, 1});
    }
  }
  check<TestType>({150, 131}, {1, 150}, {131, 1});
}

TEMPLATE_TEST_CASE("copy: permutations of higher rank", "[kernels][copy]", std::uint8_t, std::uint32_t, std::uint64_t) {
  // from is [3, 4, 5, 6] with strides 120, 30, 6, 1; `to` is the permuted array, contiguous.
  const std::array<Index, 4> size = {3, 4, 5, 6};
  const std::array<Index, 4> stride = {120, 30, 6, 1};
  std::array<std::size_t, 4> order = {0, 1, 2, 3};
  do {
    std::vector<Index> shape, from_strides, to_strides(4);
    for (std::size_t axis : order) {
      shape.push_back(size[axis]);
      from_strides.push_back(stride[axis]);
    }
    Index step = 1;
    for (std::size_t i = 4; i-- > 0;) {
      to_strides[i] = step;
      step *= shape[i];
    }
    check<TestType>(shape, from_strides, to_strides);
    check<TestType>(shape, to_strides, from_strides);
  } while (std::next_permutation(order.begin(), order.end()));
  check<TestType>({2, 1, 2, 3, 1, 2, 2, 2}, {1, 9, 2, 4, 5, 12, 24, 48}, {48, 1, 24, 8, 1, 4, 2, 1});
}

TEMPLATE_TEST_CASE("fill", "[kernels][copy]", std::uint8_t, std::uint32_t, std::uint64_t) {
  const TestType value = static_cast<TestType>(0xA1B2C3D4E5F60718);
  for (Index n = 0; n <= every_tail<TestType>; ++n) {
    Guarded<TestType> to = zeros<TestType>(n);
    table().fill(to.data(), &value, n, sizeof(TestType));
    for (Index i = 0; i < n; ++i) REQUIRE(to[i] == value);
    REQUIRE(to.intact());
  }
}

namespace {

/// Position of an element type in the table's casts. Booleans are bytes.
template <class T>
constexpr int cast_index = std::is_same_v<T, float>          ? 0
                           : std::is_same_v<T, double>       ? 1
                           : std::is_same_v<T, std::int32_t> ? 2
                           : std::is_same_v<T, std::int64_t> ? 3
                                                             : 4;

template <class From, class To>
std::vector<To> cast(std::vector<From> values) {
  const Index n = static_cast<Index>(values.size());
  Guarded<To> to = zeros<To>(n);
  table().cast[cast_index<From>][cast_index<To>](values.data(), to.data(), n);
  REQUIRE(to.intact());
  return std::vector<To>(to.data(), to.data() + n);
}

template <class From, class To>
void check_cast() {
  for (Index n = 0; n <= every_tail<From>; ++n) {
    std::vector<From> values;
    std::vector<To> expected;
    for (Index i = 0; i < n; ++i) {
      const int value = std::is_same_v<From, std::uint8_t> ? static_cast<int>(i % 2) : static_cast<int>(i * 5 - 40);
      values.push_back(static_cast<From>(value));
      expected.push_back(std::is_same_v<To, std::uint8_t> ? static_cast<To>(value != 0) : static_cast<To>(value));
    }
    REQUIRE(cast<From, To>(values) == expected);
  }
}

template <class From>
void check_casts() {
  check_cast<From, float>();
  check_cast<From, double>();
  check_cast<From, std::int32_t>();
  check_cast<From, std::int64_t>();
  check_cast<From, std::uint8_t>();
}

}  // namespace

TEST_CASE("cast: every pair of types", "[kernels][copy]") {
  check_casts<float>();
  check_casts<double>();
  check_casts<std::int32_t>();
  check_casts<std::int64_t>();
  check_casts<std::uint8_t>();
}

TEMPLATE_TEST_CASE("cast: reals that no integer holds", "[kernels][copy]", float, double) {
  const TestType nan = static_cast<TestType>(not_a_number);
  const TestType inf = static_cast<TestType>(infinity);
  // Repeated, so that the vectorised part of the loop meets them too.
  std::vector<TestType> values;
  for (int i = 0; i < 20; ++i) {
    for (TestType value : {nan, inf, -inf, TestType(1e30), TestType(-1e30), TestType(2.75), TestType(-2.75)}) {
      values.push_back(value);
    }
  }
  const auto to32 = cast<TestType, std::int32_t>(values);
  const auto to64 = cast<TestType, std::int64_t>(values);
  const auto to_boolean = cast<TestType, std::uint8_t>(values);
  using Limits32 = std::numeric_limits<std::int32_t>;
  using Limits64 = std::numeric_limits<std::int64_t>;
  const std::int32_t expected32[] = {0, Limits32::max(), Limits32::min(), Limits32::max(), Limits32::min(), 2, -2};
  const std::int64_t expected64[] = {0, Limits64::max(), Limits64::min(), Limits64::max(), Limits64::min(), 2, -2};
  for (std::size_t i = 0; i < values.size(); ++i) {
    REQUIRE(to32[i] == expected32[i % 7]);
    REQUIRE(to64[i] == expected64[i % 7]);
    REQUIRE(to_boolean[i] == 1);
  }
  CHECK(cast<TestType, std::int32_t>({TestType(-2147483648.0)})[0] == Limits32::min());
  CHECK(cast<TestType, std::int32_t>({TestType(2147483648.0)})[0] == Limits32::max());
}
