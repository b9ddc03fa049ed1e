#include "tests/kernels/support.h"

using namespace kernel_test;

TEMPLATE_TEST_CASE("gather rows", "[kernels][rows]", float, double) {
  const std::int64_t index[] = {4, 0, 0, 6, 2, 5};
  const Index count = 6;
  for (Index width = 1; width <= every_tail<TestType>; ++width) {
    CAPTURE(width);
    const Guarded<TestType> from = reals<TestType>(7 * width, 1);
    Guarded<TestType> to = zeros<TestType>(count * width);
    const Index row_bytes = width * static_cast<Index>(sizeof(TestType));
    table().gather_rows(from.data(), index, to.data(), row_bytes, 2, count);
    for (Index i = 0; i < 2 * width; ++i) REQUIRE(to[i] == 0);
    table().gather_rows(from.data(), index, to.data(), row_bytes, 0, 2);
    for (Index r = 0; r < count; ++r) {
      for (Index c = 0; c < width; ++c) REQUIRE(to[r * width + c] == from[index[r] * width + c]);
    }
    REQUIRE(to.intact());
  }
}

TEMPLATE_TEST_CASE("scatter-add of rows", "[kernels][rows]", float, double) {
  const std::int64_t index[] = {4, 0, 0, 6, 0, 5};
  const Index count = 6;
  for (Index width = 1; width <= every_tail<TestType>; ++width) {
    CAPTURE(width);
    const Guarded<TestType> rows = reals<TestType>(count * width, 1);
    const Guarded<TestType> start = reals<TestType>(7 * width, 2);
    Guarded<TestType> to = start;
    // In two ranges of columns, as two threads would.
    const Index middle = width / 3;
    table().scatter_add_rows[type<TestType>](rows.data(), index, to.data(), count, width, middle, width);
    for (Index r = 0; r < 7; ++r) {
      for (Index c = 0; c < middle; ++c) REQUIRE(to[r * width + c] == start[r * width + c]);
    }
    table().scatter_add_rows[type<TestType>](rows.data(), index, to.data(), count, width, 0, middle);
    Guarded<TestType> expected = start;
    for (Index r = 0; r < count; ++r) {
      for (Index c = 0; c < width; ++c) expected[index[r] * width + c] += rows[r * width + c];
    }
    REQUIRE(to == expected);
    REQUIRE(to.intact());
  }
}
