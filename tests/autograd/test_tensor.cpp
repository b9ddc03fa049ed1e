// Tensors, shapes, creation and comparison.
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>

#include "autograd/create.h"
#include "tests/catch.h"
#include "tests/error_of.h"

using namespace tapegrad;
using tests::error_of;

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

std::vector<double> values(const Tensor& x) {
  const Tensor y = x.clone();
  std::vector<double> result;
  for (std::int64_t i = 0; i < y.size(); ++i) {
    result.push_back(Tensor::view(y, {}, {}, i).item());
  }
  return result;
}

Tensor counting(const Shape& shape, DType type = f32) {
  return Tensor::view(arange(static_cast<double>(shape.size()), type), shape, Tensor::empty(shape, type).strides(), 0);
}

// x[:, ::-1] and such: a view with given strides.
Tensor strided(const Tensor& x, const Shape& shape, std::initializer_list<std::int64_t> strides, std::int64_t offset) {
  return Tensor::view(x, shape, std::span(strides.begin(), strides.size()), offset);
}

}  // namespace

TEST_CASE("a shape knows its axes and its size") {
  const Shape scalar;
  CHECK(scalar.ndim() == 0);
  CHECK(scalar.size() == 1);
  CHECK(to_string(scalar) == "[]");

  Shape shape{2, 3, 4};
  CHECK(shape.ndim() == 3);
  CHECK(shape.size() == 24);
  CHECK(shape.back() == 4);
  CHECK(to_string(f64, shape) == "f64[2, 3, 4]");
  shape.append(0);
  CHECK(shape == Shape{2, 3, 4, 0});
  CHECK(shape != Shape{2, 3, 4});
  CHECK(shape != Shape{2, 3, 4, 1});
  CHECK(shape.size() == 0);
  CHECK(Shape{1, 1, 1, 1, 1, 1, 1, 8}.size() == 8);
}

TEST_CASE("a shape refuses what no tensor can have") {
  CHECK(error_of([] { Shape{1, 2, 3, 4, 5, 6, 7, 8, 9}; }) ==
        "shape [1, 2, 3, 4, 5, 6, 7, 8, 9] has 9 axes, at most 8 are possible, at here");
  CHECK(error_of([] { Shape{2, -1}; }) == "shape [2, -1] has a negative size, at here");
  CHECK(error_of([] {
          Shape{1LL << 40, 1LL << 40};
        }) == "shape [1099511627776, 1099511627776] has too many elements, at here");
  CHECK(error_of([] {
          Shape{0, 1LL << 40, 1LL << 40};
        }) == "shape [0, 1099511627776, 1099511627776] has too many elements, at here");
  Shape full{1, 1, 1, 1, 1, 1, 1, 1};
  CHECK(error_of([&] { full.append(2); }) ==
        "shape [1, 1, 1, 1, 1, 1, 1, 1, 2] has 9 axes, at most 8 are possible, at here");
  Shape one{1};
  CHECK(error_of([&] { one.append(-3); }) == "shape [1, -3] has a negative size, at here");
  CHECK(one == Shape{1});
}

TEST_CASE("shapes broadcast from the last axis") {
  const SourceLocation at = SourceLocation::current();
  CHECK(broadcast_shapes("add", {}, {}, at) == Shape{});
  CHECK(broadcast_shapes("add", {}, {2, 3}, at) == Shape{2, 3});
  CHECK(broadcast_shapes("add", {3}, {2, 3}, at) == Shape{2, 3});
  CHECK(broadcast_shapes("add", {4, 1, 3}, {2, 1}, at) == Shape{4, 2, 3});
  CHECK(broadcast_shapes("add", {1}, {0}, at) == Shape{0});
  CHECK(error_of([] {
          broadcast_shapes("add", {64, 10}, {64, 9}, SourceLocation::current());
        }) ==
        "add: shapes [64, 10] and [64, 9] do not broadcast: axis -1 has 10 and 9, at here; "
        "sizes, counted from the last axis, must be equal or 1");
  CHECK(error_of([] {
          broadcast_shapes("add", {2, 1}, {5, 3, 7}, SourceLocation::current());
        }) ==
        "add: shapes [2, 1] and [5, 3, 7] do not broadcast: axis -2 has 2 and 3, at here; "
        "sizes, counted from the last axis, must be equal or 1");
  CHECK(error_of([] { broadcast_shapes("add", {2}, {0}, SourceLocation::current()); }) ==
        "add: shapes [2] and [0] do not broadcast: axis -1 has 2 and 0, at here; "
        "sizes, counted from the last axis, must be equal or 1");
  CHECK(error_of([] {
          broadcast_shapes("add", {1LL << 40, 1}, {1LL << 40}, SourceLocation::current());
        }) == "add: shape [1099511627776, 1099511627776] has too many elements, at here");
}

TEST_CASE("axes count from both ends") {
  const SourceLocation at = SourceLocation::current();
  CHECK(normalize_axis("sum", 1, 3, at) == 1);
  CHECK(normalize_axis("sum", -1, 3, at) == 2);
  CHECK(Axes().mask("sum", 3, at) == 0);
  CHECK(Axes::all().mask("sum", 3, at) == 7);
  CHECK(Axes::all().mask("sum", 0, at) == 0);
  CHECK(Axes::all().mask("sum", 8, at) == 255);
  CHECK(Axes(-1).mask("sum", 3, at) == 4);
  CHECK(Axes{0, -1}.mask("sum", 3, at) == 5);
  CHECK(error_of([] { normalize_axis("sum", 3, 3, SourceLocation::current()); }) ==
        "sum: axis 3 is out of range, at here; a tensor of 3 axes has axes -3 to 2");
  CHECK(error_of([] { normalize_axis("sum", -2, 1, SourceLocation::current()); }) ==
        "sum: axis -2 is out of range, at here; a tensor of 1 axis has axes -1 to 0");
  CHECK(error_of([] { Axes(0).mask("sum", 0, SourceLocation::current()); }) ==
        "sum: axis 0 is out of range, at here; a 0-dim tensor has no axes");
  CHECK(error_of([] {
          Axes({0, -2}).mask("sum", 2, SourceLocation::current());
        }) == "sum: axis 0 is named twice, at here");
  CHECK(error_of([] {
          Axes({0, 1, 2, 3, 4, 5, 6, 7, 8}).mask("sum", 8, SourceLocation::current());
        }) == "sum: 9 axes named, at most 8 are possible, at here");
}

TEST_CASE("from copies values of every type") {
  const std::vector<float> floats{1, 2.5F, -3, 4, 5, 6};
  const Tensor x = Tensor::from(floats, {2, 3});
  CHECK(describe(x) == "f32[2, 3]");
  CHECK(x.ndim() == 2);
  CHECK(x.size() == 6);
  CHECK(x.shape(-1) == 3);
  CHECK(x.strides()[0] == 3);
  CHECK(x.strides()[1] == 1);
  CHECK(values(x) == std::vector<double>{1, 2.5, -3, 4, 5, 6});
  CHECK(x.data() != floats.data());

  CHECK(describe(Tensor::from({1.0, 2.0})) == "f64[2]");
  CHECK(describe(Tensor::from({1, 2, 3})) == "i32[3]");
  CHECK(describe(Tensor::from({std::int64_t{1} << 40}, {1, 1})) == "i64[1, 1]");
  const Tensor mask = Tensor::from({true, false}, {2});
  CHECK(describe(mask) == "boolean[2]");
  CHECK(values(mask) == std::vector<double>{1, 0});
  CHECK(Tensor::from({std::int64_t{1} << 40}, {}).item() == 0x1p40);
  CHECK(Tensor::from(std::vector<float>{}, {0, 3}).size() == 0);

  CHECK(error_of([&] { Tensor::from(floats, {2, 2}); }) == "from: 6 values for f32[2, 2], which has 4, at here");
  CHECK(error_of([] { Tensor::from({1.0}, {}).at({0}); }) == "at: 1 index for f64[], which has 0 axes, at here");
  CHECK(error_of([] { Tensor::from({1.0}, {0}); }) == "from: 1 value for f64[0], which has 0, at here");
}

TEST_CASE("copies of a handle share the elements, a clone does not") {
  Tensor x = zeros({3});
  Tensor handle = x;
  Tensor copy = x.clone();
  x.span<float>()[1] = 5;
  CHECK(handle.at({1}) == 5);
  CHECK(copy.at({1}) == 0);
  Tensor moved = std::move(handle);
  CHECK_FALSE(handle.defined());
  CHECK(moved.block() == x.block());
  Tensor& same = moved;
  moved = same;
  CHECK(moved.at({1}) == 5);
  CHECK_FALSE(Tensor().clone().defined());
  CHECK(describe(Tensor()) == "an empty handle");
}

TEST_CASE("at and item read single values") {
  const Tensor x = counting({2, 3}, i64);
  CHECK(x.at({1, 2}) == 5);
  CHECK(x.at({-1, -3}) == 3);
  CHECK(full({1, 1, 1}, 7).item() == 7);
  CHECK(full({}, true, boolean).item() == 1);

  CHECK(error_of([&] { static_cast<void>(x.item()); }) ==
        "item: i64[2, 3] has 6 elements, not one, at here; use at({...}) or reduce it first");
  CHECK(error_of([&] { static_cast<void>(zeros({0}).item()); }) ==
        "item: f32[0] has 0 elements, not one, at here; use at({...}) or reduce it first");
  CHECK(error_of([&] { static_cast<void>(x.at({1})); }) == "at: 1 index for i64[2, 3], which has 2 axes, at here");
  CHECK(error_of([&] {
          static_cast<void>(zeros({4}).at({1, 2}));
        }) == "at: 2 indices for f32[4], which has 1 axis, at here");
  CHECK(error_of([&] {
          static_cast<void>(x.at({0, 3}));
        }) == "at: index 3 is out of range for axis 1 of i64[2, 3], at here");
  CHECK(error_of([&] {
          static_cast<void>(x.at({-3, 0}));
        }) == "at: index -3 is out of range for axis 0 of i64[2, 3], at here");
  CHECK(error_of([&] { static_cast<void>(x.shape(2)); }) ==
        "shape: axis 2 is out of range, at here; a tensor of 2 axes has axes -2 to 1");
}

TEST_CASE("an empty handle is an error and no crash") {
  Tensor nothing;
  const std::string hint = "the tensor holds nothing, at here; it was default-constructed or moved from";
  CHECK(error_of([&] { static_cast<void>(nothing.item()); }) == "item: " + hint);
  CHECK(error_of([&] { static_cast<void>(nothing.at({0})); }) == "at: " + hint);
  CHECK(error_of([&] { static_cast<void>(nothing.shape(0)); }) == "shape: " + hint);
  CHECK(error_of([&] { static_cast<void>(nothing.span<float>()); }) == "span: " + hint);
  CHECK(error_of([&] { allclose(nothing, 1.0); }) == "allclose: a tensor holds nothing, at here");
  CHECK(error_of([&] { array_equal(zeros({1}), nothing); }) == "array_equal: a tensor holds nothing, at here");
}

TEST_CASE("a span gives the elements and counts as a mutation only when it can write") {
  Tensor x = zeros({2, 2});
  const Tensor& constant = x;
  CHECK(constant.span<float>().size() == 4);
  CHECK(x.span<const float>().size() == 4);
  CHECK(x.block()->version == 0);
  const int line = __LINE__ + 1;
  x.span<float>()[3] = 2;
  CHECK(x.block()->version == 1);
  CHECK(std::string(x.block()->changed_by) == "span");
  CHECK(where(x.block()->changed_at) == "test_tensor.cpp:" + std::to_string(line));
  CHECK(x.at({1, 1}) == 2);

  CHECK(error_of([&] { static_cast<void>(x.span<double>()); }) ==
        "span: f32[2, 2] holds f32, not f64, at here; convert it with to(f64)");
  CHECK(x.block()->version == 1);
  Tensor column = strided(x, {2}, {2}, 0);
  CHECK(error_of([&] { static_cast<void>(column.span<float>()); }) ==
        "span: f32[2] is a view with gaps between its elements, at here; copy it with clone()");
}

TEST_CASE("views share elements, with any strides") {
  Tensor x = counting({2, 3});
  const Tensor base = x.clone();
  Tensor transposed = strided(base, {3, 2}, {1, 3}, 0);
  CHECK_FALSE(transposed.is_contiguous());
  CHECK(values(transposed) == std::vector<double>{0, 3, 1, 4, 2, 5});
  CHECK(transposed.at({2, 0}) == 2);

  const Tensor reversed = strided(base, {2, 3}, {3, -1}, 2);
  CHECK(values(reversed) == std::vector<double>{2, 1, 0, 5, 4, 3});
  CHECK(reversed.at({-1, -1}) == 3);
  CHECK(reversed.strides()[1] == -1);

  const Tensor expanded = strided(base, {2, 2, 2}, {0, 3, 2}, 0);
  CHECK(values(expanded) == std::vector<double>{0, 2, 3, 5, 0, 2, 3, 5});

  const Tensor of_view = strided(transposed, {2}, {2}, 1);
  CHECK(of_view.block()->owner == base.block());
  CHECK(values(of_view) == std::vector<double>{1, 3});

  // Without gaps a view is as good as an own tensor; axes of size 1 and empty tensors have none.
  CHECK(strided(base, {3}, {1}, 3).is_contiguous());
  CHECK(strided(base, {1, 3, 1}, {77, 1, -5}, 0).is_contiguous());
  CHECK(strided(base, {1, 3, 1}, {77, 1, -5}, 0).strides()[0] == 3);
  CHECK(strided(base, {0, 2}, {5, 7}, 0).is_contiguous());
  CHECK(strided(base, {}, {}, 4).item() == 4);

  Tensor row = strided(base, {3}, {1}, 3);
  row.span<float>()[0] = 40;
  CHECK(base.at({1, 0}) == 40);
  CHECK(base.block()->version == 1);
}

TEST_CASE("clone copies strided views of every element size") {
  for (DType type : {f32, f64, i32, i64}) {
    const Tensor x = counting({2, 2, 2}, type);
    const Tensor copy = strided(x, {2, 2, 2}, {1, 2, 4}, 0).clone();
    CHECK(copy.dtype() == type);
    CHECK(copy.is_contiguous());
    CHECK(values(copy) == std::vector<double>{0, 4, 2, 6, 1, 5, 3, 7});
  }
  const Tensor mask = Tensor::from({true, false, false});
  CHECK(values(strided(mask, {3}, {-1}, 2).clone()) == std::vector<double>{0, 0, 1});
  CHECK(describe(strided(mask, {0, 3}, {1, 1}, 0).clone()) == "boolean[0, 3]");
}

TEST_CASE("a view keeps the elements alive") {
  Tensor tail;
  {
    const Tensor x = arange(100000);  // a chunk of its own
    tail = strided(x, {2}, {1}, 99998);
  }
  const Tensor other = zeros({100000});
  CHECK(values(tail) == std::vector<double>{99998, 99999});
}

TEST_CASE("a borrowed tensor shares the caller's memory and keeps its owner") {
  auto memory = std::make_shared<std::vector<double>>(6, 1.5);
  const std::weak_ptr<std::vector<double>> watch = memory;
  Tensor view;
  {
    Tensor x = Tensor::borrow(memory->data(), {2, 3}, memory);
    CHECK(x.data() == memory->data());
    (*memory)[4] = 9;
    CHECK(x.at({1, 1}) == 9);
    x.span<double>()[0] = 4;
    CHECK((*memory)[0] == 4);
    CHECK_FALSE(x.is_sole_owner());
    view = strided(x, {3}, {2}, 0);
    memory.reset();
  }
  CHECK_FALSE(watch.expired());
  CHECK(values(view) == std::vector<double>{4, 1.5, 9});
  view = Tensor();
  CHECK(watch.expired());

  float on_stack[3] = {1, 2, 3};
  CHECK(values(Tensor::borrow(on_stack, {3})) == std::vector<double>{1, 2, 3});
  CHECK(Tensor::borrow(static_cast<float*>(nullptr), {0}).size() == 0);
  CHECK(error_of([] { Tensor::borrow(static_cast<float*>(nullptr), {3}); }) ==
        "borrow: a null pointer for f32[3], at here");
  alignas(8) std::byte bytes[12];
  CHECK(error_of([&] { Tensor::borrow(reinterpret_cast<double*>(bytes + 4), {1}); }) ==
        "borrow: the pointer is not aligned for f64, at here");
}

TEST_CASE("the owner of borrowed memory may use tensors when it goes") {
  double seen = 0;
  float element = 3;
  {
    const std::shared_ptr<void> owner(&element, [&](void* p) {
      const Tensor again = Tensor::borrow(static_cast<float*>(p), {1});
      seen = again.item() + full({}, 1).item();
    });
    const Tensor x = Tensor::borrow(&element, {1}, owner);
  }
  CHECK(seen == 4);
}

TEST_CASE("like takes shape and dtype, from every kind of tensor") {
  const Tensor x = counting({2, 3}, i32);
  const Tensor large = zeros({20000});
  CHECK(describe(Tensor::like(x)) == "i32[2, 3]");
  CHECK(describe(Tensor::like(large)) == "f32[20000]");
  const Tensor transposed = strided(x, {3, 2}, {1, 3}, 0);
  CHECK(describe(Tensor::like(transposed)) == "i32[3, 2]");
  CHECK(Tensor::like(transposed).is_contiguous());
  std::int64_t element = 1;
  CHECK(describe(Tensor::like(Tensor::borrow(&element, {}))) == "i64[]");
}

TEST_CASE("sole ownership") {
  Tensor x = zeros({2});
  CHECK(x.is_sole_owner());
  {
    const Tensor second = x;
    CHECK_FALSE(x.is_sole_owner());
  }
  CHECK(x.is_sole_owner());
  const Tensor view = strided(x, {1}, {1}, 0);
  CHECK_FALSE(x.is_sole_owner());
  CHECK_FALSE(view.is_sole_owner());
}

TEST_CASE("a number as an argument takes the dtype that it meets") {
  CHECK(describe(Arg(2).tensor(f64)) == "f64[]");
  CHECK(describe(Arg(2).tensor(i32)) == "i32[]");
  CHECK(Arg(2).tensor(i32).item() == 2);
  CHECK(describe(Arg(2.0).tensor(i32)) == "f32[]");
  CHECK(describe(Arg(0.5).tensor(boolean)) == "f32[]");
  CHECK(describe(Arg(2).tensor(boolean)) == "i64[]");
  CHECK(describe(Arg(0.1F).tensor()) == "f32[]");
  const Arg twice(3);
  CHECK(describe(twice.tensor(f32)) == "f32[]");
  CHECK(describe(twice.tensor(f64)) == "f64[]");
  CHECK(Arg(twice).tensor(f32).item() == 3);
  CHECK(error_of([] { static_cast<void>(Arg(3000000000).tensor(i32)); }) ==
        "full: i32 cannot hold 3000000000, at here");
}

TEST_CASE("zeros, ones, full and eye") {
  CHECK(values(zeros({3}, i32)) == std::vector<double>{0, 0, 0});
  CHECK(values(ones({2, 1}, boolean)) == std::vector<double>{1, 1});
  CHECK(full({}, 2.5).item() == 2.5);
  CHECK(std::isnan(full({1}, not_a_number).item()));
  CHECK(full({1}, -0x1p63, i64).item() == -0x1p63);
  const Tensor x = counting({2, 2}, f64);
  CHECK(describe(zeros_like(x)) == "f64[2, 2]");
  CHECK(values(ones_like(x)) == std::vector<double>{1, 1, 1, 1});
  CHECK(values(full_like(x, 0.1)) == std::vector<double>{0.1, 0.1, 0.1, 0.1});
  CHECK(values(eye(2)) == std::vector<double>{1, 0, 0, 1});
  CHECK(values(eye(2, 3, i64)) == std::vector<double>{1, 0, 0, 0, 1, 0});
  CHECK(values(eye(3, 1)) == std::vector<double>{1, 0, 0});
  CHECK(eye(0).size() == 0);

  CHECK(error_of([] { full({2}, 2.5, i32); }) == "full: i32 cannot hold 2.5, at here");
  CHECK(error_of([] { full({2}, 0x1p63, i64); }) == "full: i64 cannot hold 9.2233720368547758e+18, at here");
  CHECK(error_of([] { full({2}, not_a_number, i64); }) == "full: i64 cannot hold nan, at here");
  CHECK(error_of([] { full({2}, 2, boolean); }) == "full: boolean cannot hold 2, at here");
  CHECK(error_of([&] { full_like(zeros({1}, i32), 0.5); }) == "full: i32 cannot hold 0.5, at here");
  const Tensor nothing;
  CHECK(error_of([&] { zeros_like(nothing); }) == "zeros_like: input 0 is an empty handle, at here");
  CHECK(error_of([&] { ones_like(nothing); }) == "ones_like: input 0 is an empty handle, at here");
  CHECK(error_of([&] { full_like(nothing, 2); }) == "full_like: input 0 is an empty handle, at here");
  CHECK(error_of([] { zeros({2, -1}); }) == "shape [2, -1] has a negative size, at here");
  CHECK(error_of([] { eye(-1); }) == "shape [-1, -1] has a negative size, at here");
}

TEST_CASE("arange and linspace") {
  CHECK(values(arange(4)) == std::vector<double>{0, 1, 2, 3});
  CHECK(describe(arange(4)) == "f32[4]");
  CHECK(describe(arange(3, i64)) == "i64[3]");
  CHECK(values(arange(1, 2, 0.25, f64)) == std::vector<double>{1, 1.25, 1.5, 1.75});
  CHECK(values(arange(5, 0, -2, i32)) == std::vector<double>{5, 3, 1});
  CHECK(arange(3, 3).size() == 0);
  CHECK(arange(3, 1).size() == 0);
  CHECK(arange(0, 1, 0.1, f64).at({3}) == 3 * 0.1);  // not 0.1 + 0.1 + 0.1
  CHECK(values(linspace(0, 1, 5)) == std::vector<double>{0, 0.25, 0.5, 0.75, 1});
  CHECK(values(linspace(2, 3, 1)) == std::vector<double>{2});
  CHECK(linspace(2, 3, 0).size() == 0);
  CHECK(linspace(0, 0.7, 4, f64).at({3}) == 0.7);

  CHECK(error_of([] { arange(0, 5, 0); }) == "arange: the step is 0, at here");
  CHECK(error_of([] { arange(0, not_a_number); }) ==
        "arange: start 0, stop nan, step 1 do not give a number of elements, at here");
  CHECK(error_of([] { arange(0, infinity); }) ==
        "arange: start 0, stop inf, step 1 do not give a number of elements, at here");
  CHECK(error_of([] { arange(0, 1, 0.25, i32); }) == "arange: i32 cannot hold 0.25, at here");
  CHECK(error_of([] { arange(0, 3e9, 1e9, i32); }) == "no error");
  CHECK(error_of([] { arange(0, 4e9, 1e9, i32); }) == "arange: i32 cannot hold 3000000000, at here");
  CHECK(error_of([] { linspace(0, 1, -1); }) == "shape [-1] has a negative size, at here");
  CHECK(error_of([] { linspace(0, 1, 3, i32); }) == "linspace: the dtype is i32, not f32 or f64, at here");
}

TEST_CASE("allclose broadcasts and follows NumPy's formula") {
  CHECK(allclose(Tensor::from({1.0, 2.0}), Tensor::from({1.0, 2.0 + 1e-5})));
  CHECK_FALSE(allclose(Tensor::from({1.0, 2.0}), Tensor::from({1.0, 2.0 + 3e-5})));
  CHECK(allclose(Tensor::from({1.0}), Tensor::from({1.1}), {.rtol = 0, .atol = 0.11}));
  CHECK_FALSE(allclose(Tensor::from({1.0}), Tensor::from({1.1}), {.rtol = 0, .atol = 0.09}));
  CHECK(allclose(ones({2, 3}), Tensor::from({1.0, 1.0, 1.0})));
  CHECK(allclose(ones({2, 3}), Tensor::from({1, 1}, {2, 1})));
  CHECK_FALSE(allclose(Tensor::from({1.0, 2.0}, {2, 1}), Tensor::from({1.0, 2.0})));
  CHECK(allclose(zeros({0, 3}), ones({3})));
  CHECK(allclose(full({2}, 0.1), 0.1));
  CHECK(allclose(full({1}, infinity), infinity));
  CHECK_FALSE(allclose(full({1}, infinity), -infinity));
  CHECK_FALSE(allclose(full({1}, 1), infinity));
  CHECK_FALSE(allclose(full({1}, infinity), 1));
  CHECK_FALSE(allclose(full({1}, not_a_number), full({1}, not_a_number)));
  CHECK(allclose(full({1}, not_a_number), full({1}, not_a_number), {.equal_nan = true}));
  CHECK_FALSE(allclose(full({1}, not_a_number), full({1}, 1), {.equal_nan = true}));
  const Tensor x = counting({2, 3});
  CHECK(allclose(strided(x, {3, 2}, {1, 3}, 0), Tensor::from({0, 3, 1, 4, 2, 5}, {3, 2})));
  CHECK(error_of([&] { allclose(x, zeros({2})); }) ==
        "allclose: shapes [2, 3] and [2] do not broadcast: axis -1 has 3 and 2, at here; "
        "sizes, counted from the last axis, must be equal or 1");
}

TEST_CASE("array_equal compares shapes and values") {
  CHECK(array_equal(arange(3), arange(3, i64)));
  CHECK_FALSE(array_equal(arange(3), arange(4)));
  CHECK_FALSE(array_equal(ones({1}), ones({1, 1})));
  CHECK_FALSE(array_equal(arange(3), Tensor::from({0, 1, 3})));
  CHECK(array_equal(zeros({0, 2}), ones({0, 2})));
  CHECK_FALSE(array_equal(zeros({0, 2}), ones({2, 0})));
  CHECK_FALSE(array_equal(full({1}, not_a_number), full({1}, not_a_number)));
  const std::int64_t big = (std::int64_t{1} << 53) + 1;
  CHECK_FALSE(array_equal(Tensor::from({big}), Tensor::from({big - 1})));
  CHECK(array_equal(full({}, 0.1), 0.1F));
}
