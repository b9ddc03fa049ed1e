// What a tensor prints. The expected texts are those of NumPy 2.4 for the same arrays.
#include <limits>
#include <sstream>
#include <string>

#include "autograd/create.h"
#include "tests/catch.h"

using namespace tapegrad;

namespace {

constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

Tensor reshaped(const Tensor& x, const Shape& shape) {
  return Tensor::view(x, shape, Tensor::empty(shape).strides(), 0);
}

// The number that is not shown does not count for the format.
Tensor with_outlier() {
  Tensor x = ones({2000}, f64);
  x.span<double>()[1000] = 1e30;
  return x;
}

// Both texts begin on a line of their own, to read them in the source and in a report.
std::string printed(const Tensor& x) { return "\n" + to_string(x) + "\n"; }

}  // namespace

TEST_CASE("print: points stand below each other") {
  CHECK(printed(Tensor::from({1.0F, 2.5F, 3.0F, 4.0F}, {2, 2})) == R"(
[[1.  2.5]
 [3.  4. ]]
)");
  CHECK(printed(Tensor::from({-1.5, 22.25, 0.125})) == R"(
[-1.5   22.25   0.125]
)");
  CHECK(printed(Tensor::from({0.1F, 0.2F, 0.3F})) == R"(
[0.1 0.2 0.3]
)");
  CHECK(printed(Tensor::from({1.0 / 3, 2.0 / 3, 100.0})) == R"(
[  0.33333333   0.66666667 100.        ]
)");
  CHECK(printed(Tensor::from({1.0F / 3, 2.0F / 3})) == R"(
[0.33333334 0.6666667 ]
)");
  CHECK(printed(Tensor::from({0.0, -0.0})) == R"(
[ 0. -0.]
)");
  CHECK(printed(full({2, 1}, 7)) == R"(
[[7.]
 [7.]]
)");
}

TEST_CASE("print: large, small and wide ranges have powers of ten") {
  CHECK(printed(Tensor::from({1e-5, 1.0})) == R"(
[1.e-05 1.e+00]
)");
  CHECK(printed(Tensor::from({1.5e-5, -2.0})) == R"(
[ 1.5e-05 -2.0e+00]
)");
  CHECK(printed(Tensor::from({1e8, 1.0})) == R"(
[1.e+08 1.e+00]
)");
  CHECK(printed(Tensor::from({99999999.0, 1e6})) == R"(
[99999999.  1000000.]
)");
  CHECK(printed(Tensor::from({999999.0F, 1000000.0F})) == R"(
[9.99999e+05 1.00000e+06]
)");
  CHECK(printed(Tensor::from({1.0, 1001.0})) == R"(
[1.000e+00 1.001e+03]
)");
  CHECK(printed(Tensor::from({1.0, 1000.0})) == R"(
[   1. 1000.]
)");
  CHECK(printed(Tensor::from({1e-300, 1e300})) == R"(
[1.e-300 1.e+300]
)");
  CHECK(printed(Tensor::from({0.1F, 12345.0F})) == R"(
[1.0000e-01 1.2345e+04]
)");
  CHECK(printed(Tensor::from({0.0001, 0.5})) == R"(
[1.e-04 5.e-01]
)");
}

TEST_CASE("print: what is not finite") {
  CHECK(printed(Tensor::from({nan_value, infinity, -infinity})) == R"(
[ nan  inf -inf]
)");
  CHECK(printed(Tensor::from({1.5, nan_value, -infinity})) == R"(
[ 1.5  nan -inf]
)");
  CHECK(printed(Tensor::from({nan_value, 1e10})) == R"(
[   nan 1.e+10]
)");
  CHECK(printed(full({}, -infinity)) == R"(
-inf
)");
  CHECK(printed(full({}, nan_value)) == R"(
nan
)");
}

TEST_CASE("print: integers and truth values") {
  CHECK(printed(Tensor::from({1, -20, 300}, {3, 1})) == R"(
[[  1]
 [-20]
 [300]]
)");
  CHECK(printed(Tensor::from({std::numeric_limits<std::int64_t>::min(), std::int64_t{0}})) == R"(
[-9223372036854775808                    0]
)");
  CHECK(printed(Tensor::from({true, false, true}, {1, 3})) == R"(
[[ True False  True]]
)");
  CHECK(printed(Tensor::from({true}, {1})) == R"(
[ True]
)");
}

TEST_CASE("print: a single value has all its digits") {
  CHECK(printed(full({}, 1)) == R"(
1.0
)");
  CHECK(printed(full({}, 0.1, f64)) == R"(
0.1
)");
  CHECK(printed(full({}, 0.1F, f32)) == R"(
0.1
)");
  CHECK(printed(full({}, 0.1 + 0.2, f64)) == R"(
0.30000000000000004
)");
  CHECK(printed(full({}, 1e16, f64)) == R"(
1e+16
)");
  CHECK(printed(full({}, 123456789, f64)) == R"(
123456789.0
)");
  CHECK(printed(full({}, 1e-5, f64)) == R"(
1e-05
)");
  CHECK(printed(full({}, 1.5e-5)) == R"(
1.5e-05
)");
  CHECK(printed(full({}, 1234567)) == R"(
1.234567e+06
)");
  CHECK(printed(full({}, 0)) == R"(
0.0
)");
  CHECK(printed(full({}, -0.0)) == R"(
-0.0
)");
  CHECK(printed(full({}, -3, i64)) == R"(
-3
)");
  CHECK(printed(full({}, 1, boolean)) == R"(
True
)");
  CHECK(printed(full({1}, 0.1 + 0.2, f64)) == R"(
[0.3]
)");
}

TEST_CASE("print: nothing") {
  CHECK(printed(zeros({0})) == R"(
[]
)");
  CHECK(printed(zeros({3, 0, 2}, i32)) == R"(
[]
)");
}

TEST_CASE("print: blocks are set apart by empty lines") {
  CHECK(printed(reshaped(arange(8, i32), {2, 2, 2})) == R"(
[[[0 1]
  [2 3]]

 [[4 5]
  [6 7]]]
)");
  CHECK(printed(reshaped(arange(8), {2, 2, 1, 2})) == R"(
[[[[0. 1.]]

  [[2. 3.]]]


 [[[4. 5.]]

  [[6. 7.]]]]
)");
  CHECK(printed(reshaped(arange(1), {1, 1, 1, 1, 1, 1, 1, 1})) == R"(
[[[[[[[[0.]]]]]]]]
)");
}

TEST_CASE("print: long lines are broken") {
  CHECK(printed(arange(30)) == R"(
[ 0.  1.  2.  3.  4.  5.  6.  7.  8.  9. 10. 11. 12. 13. 14. 15. 16. 17.
 18. 19. 20. 21. 22. 23. 24. 25. 26. 27. 28. 29.]
)");
  CHECK(printed(reshaped(arange(0, 6, 0.1, f64), {2, 30})) == R"(
[[0.  0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9 1.  1.1 1.2 1.3 1.4 1.5 1.6 1.7
  1.8 1.9 2.  2.1 2.2 2.3 2.4 2.5 2.6 2.7 2.8 2.9]
 [3.  3.1 3.2 3.3 3.4 3.5 3.6 3.7 3.8 3.9 4.  4.1 4.2 4.3 4.4 4.5 4.6 4.7
  4.8 4.9 5.  5.1 5.2 5.3 5.4 5.5 5.6 5.7 5.8 5.9]]
)");
}

TEST_CASE("print: above a thousand elements long axes are shortened") {
  CHECK(printed(arange(1001, i64)) == R"(
[   0    1    2 ...  998  999 1000]
)");
  CHECK(printed(reshaped(arange(2400), {4, 600})) == R"(
[[0.000e+00 1.000e+00 2.000e+00 ... 5.970e+02 5.980e+02 5.990e+02]
 [6.000e+02 6.010e+02 6.020e+02 ... 1.197e+03 1.198e+03 1.199e+03]
 [1.200e+03 1.201e+03 1.202e+03 ... 1.797e+03 1.798e+03 1.799e+03]
 [1.800e+03 1.801e+03 1.802e+03 ... 2.397e+03 2.398e+03 2.399e+03]]
)");
  CHECK(printed(reshaped(arange(10000, i64), {100, 100})) == R"(
[[   0    1    2 ...   97   98   99]
 [ 100  101  102 ...  197  198  199]
 [ 200  201  202 ...  297  298  299]
 ...
 [9700 9701 9702 ... 9797 9798 9799]
 [9800 9801 9802 ... 9897 9898 9899]
 [9900 9901 9902 ... 9997 9998 9999]]
)");
  CHECK(printed(reshaped(arange(1728, i32), {12, 12, 12})) == R"(
[[[   0    1    2 ...    9   10   11]
  [  12   13   14 ...   21   22   23]
  [  24   25   26 ...   33   34   35]
  ...
  [ 108  109  110 ...  117  118  119]
  [ 120  121  122 ...  129  130  131]
  [ 132  133  134 ...  141  142  143]]

 [[ 144  145  146 ...  153  154  155]
  [ 156  157  158 ...  165  166  167]
  [ 168  169  170 ...  177  178  179]
  ...
  [ 252  253  254 ...  261  262  263]
  [ 264  265  266 ...  273  274  275]
  [ 276  277  278 ...  285  286  287]]

 [[ 288  289  290 ...  297  298  299]
  [ 300  301  302 ...  309  310  311]
  [ 312  313  314 ...  321  322  323]
  ...
  [ 396  397  398 ...  405  406  407]
  [ 408  409  410 ...  417  418  419]
  [ 420  421  422 ...  429  430  431]]

 ...

 [[1296 1297 1298 ... 1305 1306 1307]
  [1308 1309 1310 ... 1317 1318 1319]
  [1320 1321 1322 ... 1329 1330 1331]
  ...
  [1404 1405 1406 ... 1413 1414 1415]
  [1416 1417 1418 ... 1425 1426 1427]
  [1428 1429 1430 ... 1437 1438 1439]]

 [[1440 1441 1442 ... 1449 1450 1451]
  [1452 1453 1454 ... 1461 1462 1463]
  [1464 1465 1466 ... 1473 1474 1475]
  ...
  [1548 1549 1550 ... 1557 1558 1559]
  [1560 1561 1562 ... 1569 1570 1571]
  [1572 1573 1574 ... 1581 1582 1583]]

 [[1584 1585 1586 ... 1593 1594 1595]
  [1596 1597 1598 ... 1605 1606 1607]
  [1608 1609 1610 ... 1617 1618 1619]
  ...
  [1692 1693 1694 ... 1701 1702 1703]
  [1704 1705 1706 ... 1713 1714 1715]
  [1716 1717 1718 ... 1725 1726 1727]]]
)");
  CHECK(printed(reshaped(arange(1200, i32), {200, 6})) == R"(
[[   0    1    2    3    4    5]
 [   6    7    8    9   10   11]
 [  12   13   14   15   16   17]
 ...
 [1182 1183 1184 1185 1186 1187]
 [1188 1189 1190 1191 1192 1193]
 [1194 1195 1196 1197 1198 1199]]
)");
  CHECK(printed(with_outlier()) == R"(
[1. 1. 1. ... 1. 1. 1.]
)");
}

TEST_CASE("print: views of any strides, streams, and an empty handle") {
  const Tensor x = arange(6);
  const Tensor transposed = Tensor::view(x, {3, 2}, std::array<std::int64_t, 2>{1, 3}, 0);
  CHECK(printed(transposed) == R"(
[[0. 3.]
 [1. 4.]
 [2. 5.]]
)");
  const Tensor reversed = Tensor::view(x, {6}, std::array<std::int64_t, 1>{-1}, 5);
  std::ostringstream stream;
  stream << "x = " << reversed;
  CHECK(stream.str() == "x = [5. 4. 3. 2. 1. 0.]");
  CHECK(to_string(Tensor()) == "an empty handle");
}
