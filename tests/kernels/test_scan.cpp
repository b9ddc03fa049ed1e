#include <functional>

#include "tests/kernels/support.h"

using namespace kernel_test;
using tapegrad::kernels::ScanArguments;

namespace {

/// Calls body(outer, n, inner): every tail of lines, in rows and in columns.
template <class F>
void for_each_shape(F body) {
  for (Index rows = 1; rows <= 9; ++rows) body(rows, 7, 1);
  for (Index inner = 2; inner <= 40; ++inner) body(3, 5, inner);
  for (Index n : {1, 2, 3, 1000}) {
    body(6, n, 1);
    body(2, n, 21);
  }
}

/// last -> next, from the element and the coefficient.
using Step = std::function<double(double, double, double)>;

/// Compares with `step` along every line, in both directions. `make` makes data whose results are exact.
template <class T>
void check_scan(void (*function)(const ScanArguments&), const std::function<Guarded<T>(Index, unsigned)>& make,
                const Step& step) {
  for_each_shape([&](Index outer, Index n, Index inner) {
    const Guarded<T> x = make(outer * n * inner, 1);
    const Guarded<T> coefficient = make(outer * n * inner, 2);
    for (const bool reverse : {false, true}) {
      CAPTURE(outer, n, inner, reverse);
      Guarded<T> out = zeros<T>(outer * n * inner);
      function({n, inner, x.data(), coefficient.data(), out.data(), 0, outer * inner, reverse});
      for (Index line = 0; line < outer * inner; ++line) {
        double last = 0;
        for (Index i = 0; i < n; ++i) {
          const auto at = [&](Index k) { return (line / inner * n + k) * inner + line % inner; };
          const Index here = at(reverse ? n - 1 - i : i);
          const Index factor = at(reverse ? n - i : i);
          const double value = static_cast<double>(x[here]);
          last = i == 0 ? value : step(last, value, static_cast<double>(coefficient[factor]));
          REQUIRE(same(static_cast<double>(out[here]), last));
        }
      }
      REQUIRE(out.intact());
    }
  });
}

template <class T>
Guarded<T> signs(Index n, unsigned seed) {
  Guarded<T> values = integers<T>(n, seed, 1);
  for (Index i = 0; i < n; ++i) values[i] = values[i] == T(0) && i % 7 ? T(-1) : values[i];
  return values;
}

}  // namespace

TEMPLATE_TEST_CASE("scan: sums, products and recurrences of every shape", "[kernels][scan]", float, double) {
  const auto small_integers = [](Index n, unsigned seed) { return integers<TestType>(n, seed); };
  check_scan<TestType>(table().cumsum[type<TestType>], small_integers,
                       [](double last, double value, double) { return last + value; });
  check_scan<TestType>(table().cumprod[type<TestType>], signs<TestType>,
                       [](double last, double value, double) { return last * value; });
  check_scan<TestType>(table().linear_scan[type<TestType>], signs<TestType>,
                       [](double last, double value, double factor) { return value + factor * last; });
}

TEMPLATE_TEST_CASE("scan: the product of all other elements, with and without zeros", "[kernels][scan]", float,
                   double) {
  for_each_shape([](Index outer, Index n, Index inner) {
    CAPTURE(outer, n, inner);
    const Guarded<TestType> x = signs<TestType>(outer * n * inner, 1);
    Guarded<TestType> out = zeros<TestType>(outer * n * inner);
    table().products_of_others[type<TestType>]({n, inner, x.data(), nullptr, out.data(), 0, outer * inner, false});
    for (Index i = 0; i < x.size(); ++i) {
      const Index line = i / (n * inner) * n * inner + i % inner;
      double expected = 1;
      for (Index k = 0; k < n && expected != 0; ++k) {
        const Index at = line + k * inner;
        if (at != i) expected *= static_cast<double>(x[at]);
      }
      REQUIRE(static_cast<double>(out[i]) == expected);
    }
    REQUIRE(out.intact());
  });
}

TEMPLATE_TEST_CASE("scan: a line has the same bits whatever lines go with it", "[kernels][scan]", float, double) {
  const Index outer = 5, n = 60;
  for (const Index inner : {1, 19}) {
    const Guarded<TestType> x = reals<TestType>(outer * n * inner, 1);
    const Guarded<TestType> c = reals<TestType>(outer * n * inner, 2, -1, 1);
    for (auto* function :
         {table().cumsum[type<TestType>], table().cumprod[type<TestType>], table().linear_scan[type<TestType>]}) {
      Guarded<TestType> whole = zeros<TestType>(outer * n * inner);
      function({n, inner, x.data(), c.data(), whole.data(), 0, outer * inner, false});
      Guarded<TestType> parts = zeros<TestType>(outer * n * inner);
      const Index cuts[] = {0, 1, outer * inner / 2, outer * inner - 1, outer * inner};
      for (int k = 3; k >= 0; --k) {
        function({n, inner, x.data(), c.data(), parts.data(), cuts[k], cuts[k + 1], false});
      }
      REQUIRE(parts == whole);
    }
  }
}

TEMPLATE_TEST_CASE("scan: the first coefficient is not read", "[kernels][scan]", float, double) {
  const Index n = 5;
  const Guarded<TestType> x = integers<TestType>(n, 1);
  Guarded<TestType> c = signs<TestType>(n, 2);
  c[0] = static_cast<TestType>(not_a_number);
  for (const bool reverse : {false, true}) {
    Guarded<TestType> out = zeros<TestType>(n);
    table().linear_scan[type<TestType>]({n, 1, x.data(), c.data(), out.data(), 0, 1, reverse});
    for (Index i = 0; i < n; ++i) CHECK(std::isfinite(static_cast<double>(out[i])));
  }
}

TEST_CASE("scan: long f32 sums keep their digits", "[kernels][scan]") {
  const Index n = 1 << 20;
  const Guarded<float> x = reals<float>(n, 1, 0, 1);
  Guarded<float> out = zeros<float>(n);
  table().cumsum[0]({n, 1, x.data(), nullptr, out.data(), 0, 1, false});
  double exact = 0;
  for (Index i = 0; i < n; ++i) {
    exact += static_cast<double>(x[i]);
    REQUIRE(near(out[i], exact, 1));
  }
}
