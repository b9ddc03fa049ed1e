#include "tests/kernels/support.h"

using namespace kernel_test;
using tapegrad::kernels::RowSumArguments;

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

TEMPLATE_TEST_CASE("sums of rows, and zeros between them", "[kernels][rows]", float, double) {
  // Sums at places 0, 3, 4 and 6 of 8, of 1, 3, 2 and 1 rows.
  const Index place[] = {0, 3, 4, 6};
  const Index start[] = {0, 1, 4, 6, 7};
  const Index order[] = {5, 0, 2, 6, 4, 1, 3};
  for (Index width = 0; width <= 4 * every_tail<TestType>; ++width) {
    CAPTURE(width);
    const Guarded<TestType> rows = reals<TestType>(8 * width, 1);
    const void* source[7];
    for (Index k = 0; k < 7; ++k) source[k] = rows.data() + order[k] * width;
    RowSumArguments a;
    a.source = source;
    a.shift = width * static_cast<Index>(sizeof(TestType));
    a.start = start;
    a.count = 4;
    a.width = width;
    Guarded<TestType> sums = zeros<TestType>(4 * width);
    for (Index s = 0; s < 4; ++s) {
      for (Index c = 0; c < width; ++c) {
        TestType sum = rows[(order[start[s]] + 1) * width + c];
        for (Index k = start[s] + 1; k < start[s + 1]; ++k) sum += rows[(order[k] + 1) * width + c];
        sums[s * width + c] = sum;
      }
    }
    Guarded<TestType> compact(4 * width);
    a.to = compact.data();
    a.end = 3;
    table().sum_rows[type<TestType>](a);
    a.first = a.begin = 3;
    a.end = 4;
    table().sum_rows[type<TestType>](a);
    REQUIRE(compact == sums);
    REQUIRE(compact.intact());

    Guarded<TestType> expected = zeros<TestType>(8 * width);
    for (Index s = 0; s < 4; ++s) {
      for (Index c = 0; c < width; ++c) expected[place[s] * width + c] = sums[s * width + c];
    }
    a.place = place;
    a.exceeds_caches = width % 2 == 0;
    // In two ranges, as two threads would: with the border at a sum, and between two.
    for (const Index middle : {Index{0}, Index{2}, Index{3}, Index{5}, Index{8}}) {
      Guarded<TestType> to(8 * width);
      a.to = to.data();
      a.first = 0;
      a.begin = 0;
      a.end = middle;
      table().sum_rows[type<TestType>](a);
      while (a.first < 4 && place[a.first] < middle) ++a.first;
      a.begin = middle;
      a.end = 8;
      table().sum_rows[type<TestType>](a);
      REQUIRE(to == expected);
      REQUIRE(to.intact());
    }
  }
}
