// The words of a draw and what they drop, against Philox one block at a time.
#include "autograd/random.h"
#include "tests/kernels/support.h"

using namespace kernel_test;
using tapegrad::kernels::dropout_group;
using tapegrad::kernels::DropoutArguments;
using tapegrad::random::Generator;

namespace {

std::uint32_t word_of(const Generator& draw, std::uint64_t element) {
  const std::uint64_t group = element / 64;
  const std::uint64_t inside = element % 64;
  return draw.block(16 * group + inside % 16)[inside / 16];
}

template <class T>
void check_range(const Generator& draw, Index begin, Index end, std::uint32_t threshold) {
  CAPTURE(begin, end);
  const double scale = 1 / 0.7;
  // The arrays stand for elements [begin, end) of a draw that may be larger than memory.
  const Guarded<T> x = reals<T>(end - begin, 1);
  Guarded<T> y = zeros<T>(end - begin);
  DropoutArguments d;
  d.x = reinterpret_cast<const T*>(reinterpret_cast<std::uintptr_t>(x.data()) -
                                   static_cast<std::uintptr_t>(begin) * sizeof(T));
  d.y =
      reinterpret_cast<T*>(reinterpret_cast<std::uintptr_t>(y.data()) - static_cast<std::uintptr_t>(begin) * sizeof(T));
  d.begin = begin;
  d.end = end;
  d.seed = draw.seed();
  d.position = draw.position();
  d.stream = draw.stream();
  d.threshold = threshold;
  d.scale = scale;
  table().dropout[type<T>](d);
  for (Index i = 0; i < end - begin; ++i) {
    CAPTURE(i);
    const bool is_dropped = word_of(draw, static_cast<std::uint64_t>(begin + i)) < threshold;
    REQUIRE(y[i] == (is_dropped ? T(0) : x[i] * static_cast<T>(scale)));
  }
  REQUIRE(y.intact());
}

}  // namespace

TEMPLATE_TEST_CASE("dropout takes the words of Philox", "[kernels][dropout]", float, double) {
  const Generator draws[] = {Generator(0), Generator(0x123456789abcdef0, 0xfedcba98, 0xffffffff12345678),
                             Generator(~std::uint64_t{0}, ~std::uint32_t{0}, 0xffffffffffffff00)};
  for (const Generator& draw : draws) {
    for (Index n = 0; n <= 2 * dropout_group + 1; ++n) check_range<TestType>(draw, 0, n, 0x4ccccccd);
    check_range<TestType>(draw, 3 * dropout_group, 9 * dropout_group + 5, 0x80000000);
    check_range<TestType>(draw, 0, 1000, 0xffffffff);
    check_range<TestType>(draw, 0, 1000, 0);
    // Block 2^32 is the first one of the next position.
    const Index next = (Index{1} << 32) / 16 * dropout_group;
    check_range<TestType>(draw, next - dropout_group, next + dropout_group + 3, 0x80000000);
  }
}

TEMPLATE_TEST_CASE("what dropout drops is 0 whatever it was", "[kernels][dropout]", float, double) {
  const Index n = 200;
  Guarded<TestType> x = zeros<TestType>(n);
  for (Index i = 0; i < n; ++i) x[i] = static_cast<TestType>(i % 2 ? infinity : not_a_number);
  Guarded<TestType> y = x;
  DropoutArguments d;
  d.x = x.data();
  d.y = y.data();
  d.end = n;
  d.threshold = 0x80000000;
  table().dropout[type<TestType>](d);
  Index dropped = 0;
  for (Index i = 0; i < n; ++i) dropped += y[i] == 0;
  CHECK(dropped > 70);
  CHECK(dropped < 130);
}
