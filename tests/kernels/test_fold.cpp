#include "tests/kernels/support.h"

using namespace kernel_test;

namespace {

/// Calls body(outer, n, inner): every tail along rows and across columns; nothing to fold.
template <class F>
void for_each_shape(F body) {
  for (Index n = 0; n <= 70; ++n) body(2, n, 1);
  for (Index inner = 2; inner <= 40; ++inner) body(2, 5, inner);
  body(3, 0, 4);
  body(1, 1000, 33);
}

}  // namespace

TEMPLATE_TEST_CASE("fold: products of every shape", "[kernels][fold]", float, double) {
  for_each_shape([](Index outer, Index n, Index inner) {
    CAPTURE(outer, n, inner);
    Guarded<TestType> x = integers<TestType>(outer * n * inner, 1, 1);
    // Powers of two: exact, and far from overflow as a whole, but not in f32 if all large ones met first.
    for (Index i = 0; i < x.size(); ++i) {
      const bool is_large = i / inner % 2 == 0;
      x[i] = static_cast<TestType>(i % 11 == 3 ? 1 : -1) * static_cast<TestType>(is_large ? 64 : 1.0 / 64);
      if (i == x.size() / 2 && i % 5 == 0) x[i] = 0;
    }
    Guarded<TestType> out = zeros<TestType>(outer * inner);
    table().prod[type<TestType>](x.data(), out.data(), n, inner, 0, outer);
    for (Index o = 0; o < outer; ++o) {
      for (Index c = 0; c < inner; ++c) {
        double expected = 1;
        for (Index i = 0; i < n; ++i) expected *= static_cast<double>(x[(o * n + i) * inner + c]);
        REQUIRE(static_cast<double>(out[o * inner + c]) == expected);
      }
    }
    REQUIRE(out.intact());
  });
}

TEMPLATE_TEST_CASE("fold: NaN is passed on by a product", "[kernels][fold]", float, double) {
  for (const Index inner : {1, 20}) {
    for (const Index at : {0, 15, 16, 36}) {
      Guarded<TestType> x = integers<TestType>(37 * inner, 1);
      x[at * inner] = static_cast<TestType>(not_a_number);
      Guarded<TestType> out = zeros<TestType>(inner);
      table().prod[type<TestType>](x.data(), out.data(), 37, inner, 0, 1);
      CHECK(std::isnan(static_cast<double>(out[0])));
      if (inner > 1) CHECK(std::isfinite(static_cast<double>(out[1])));
    }
  }
}

TEST_CASE("fold: any and all of every shape", "[kernels][fold]") {
  for_each_shape([](Index outer, Index n, Index inner) {
    CAPTURE(outer, n, inner);
    for (const int rare : {0, 1}) {
      Guarded<unsigned char> x(outer * n * inner);
      for (Index i = 0; i < x.size(); ++i) x[i] = static_cast<unsigned char>(i % 19 == 7 ? rare : 1 - rare);
      Guarded<unsigned char> any = zeros<unsigned char>(outer * inner);
      Guarded<unsigned char> all = zeros<unsigned char>(outer * inner);
      table().any(x.data(), any.data(), n, inner, 0, outer);
      table().all(x.data(), all.data(), n, inner, 0, outer);
      for (Index o = 0; o < outer; ++o) {
        for (Index c = 0; c < inner; ++c) {
          Index count = 0;
          for (Index i = 0; i < n; ++i) count += x[(o * n + i) * inner + c];
          REQUIRE(any[o * inner + c] == (count > 0));
          REQUIRE(all[o * inner + c] == (count == n));
        }
      }
      REQUIRE(any.intact());
      REQUIRE(all.intact());
    }
  });
}
