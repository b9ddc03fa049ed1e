// Pointwise ops on operands that repeat: every way in which an operand can get into a block, at sizes around a block's.
#include <cmath>
#include <cstring>

#include "tapegrad.h"
#include "tests/catch.h"

using namespace tapegrad;

namespace {

// The index in `x` of element `i` of a result of this shape.
std::int64_t source(const Tensor& x, const Shape& shape, std::int64_t i) {
  std::int64_t index = 0;
  std::int64_t stride = 1;
  for (int axis = shape.ndim() - 1; axis >= 0; --axis) {
    const std::int64_t position = i % shape[axis];
    i /= shape[axis];
    const int own = axis - (shape.ndim() - x.ndim());
    if (own < 0 || x.shape()[own] == 1) continue;
    index += position * stride;
    stride *= x.shape()[own];
  }
  return index;
}

const auto blend = pointwise("blend", [](auto a, auto b, auto c) { return (a - b) * sigmoid(c) + b; });

void check(const Shape& a_shape, const Shape& b_shape, const Shape& c_shape, const Shape& shape) {
  const Tensor a = random::normal(a_shape), b = random::normal(b_shape), c = random::normal(c_shape);
  const Tensor whole_a = zeros(shape), whole_b = zeros(shape), whole_c = zeros(shape);
  for (std::int64_t i = 0; i < shape.size(); ++i) {
    Tensor(whole_a).data<float>()[i] = a.data<float>()[source(a, shape, i)];
    Tensor(whole_b).data<float>()[i] = b.data<float>()[source(b, shape, i)];
    Tensor(whole_c).data<float>()[i] = c.data<float>()[source(c, shape, i)];
  }
  const Tensor expected = blend(whole_a, whole_b, whole_c);
  for (const int threads : {1, 2, 5}) {
    set_num_threads(threads);
    const Tensor y = blend(a, b, c);
    INFO("threads " << threads);
    REQUIRE(y.shape() == shape);
    REQUIRE(std::memcmp(y.data(), expected.data(), static_cast<std::size_t>(shape.size()) * sizeof(float)) == 0);
  }
  set_num_threads(1);
}

}  // namespace

TEST_CASE("operands that repeat give the bits of their copies", "[threads]") {
  random::seed(3);
  check({5, 3}, {3}, {5, 1}, {5, 3});
  check({1500, 3}, {3}, {1500, 1}, {1500, 3});
  check({1500, 3}, {1, 3}, {1}, {1500, 3});
  check({700, 40}, {40}, {700, 1}, {700, 40});
  check({3, 1023}, {1023}, {3, 1}, {3, 1023});
  check({3, 1024}, {1024}, {3, 1}, {3, 1024});
  check({3, 1025}, {1025}, {3, 1}, {3, 1025});
  check({3, 40000}, {40000}, {3, 1}, {3, 40000});
  check({1, 40000}, {3, 1}, {1}, {3, 40000});
  check({7, 5, 300}, {5, 1}, {7, 1, 300}, {7, 5, 300});
  check({7, 1, 300}, {5, 300}, {7, 1, 1}, {7, 5, 300});
  check({9, 8, 7, 6}, {8, 1, 6}, {9, 1, 7, 1}, {9, 8, 7, 6});
  check({60, 1, 7, 1}, {8, 1, 6}, {60, 8, 7, 6}, {60, 8, 7, 6});
  check({2, 1, 2, 1, 2, 1, 2, 1}, {1, 300, 1, 2, 1, 2, 1, 2}, {2, 1, 1, 1, 1, 1, 1, 2}, {2, 300, 2, 2, 2, 2, 2, 2});
}

TEST_CASE("operands that repeat may be views and of other dtypes") {
  const Tensor x = arange(12);
  const Tensor y = reshape(x, {4, 3}) + transpose(reshape(x, {3, 4})) * arange(0, 3, 1, i32);
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < 3; ++j) CHECK(y.data<float>()[i * 3 + j] == static_cast<float>(i * 3 + j + (j * 4 + i) * j));
  }
}
