#include "autograd/create.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "autograd/tape.h"

namespace tapegrad {
namespace {

std::string text_of(double value) {
  std::ostringstream text;
  text.precision(17);
  text << value;
  return text.str();
}

// Calls f with a null pointer of the C++ type that `type` stands for.
template <class F>
decltype(auto) with_type(DType type, F&& f) {
  switch (type) {
    case f64:
      return f(static_cast<double*>(nullptr));
    case i32:
      return f(static_cast<std::int32_t*>(nullptr));
    case i64:
      return f(static_cast<std::int64_t*>(nullptr));
    case boolean:
      return f(static_cast<bool*>(nullptr));
    default:
      return f(static_cast<float*>(nullptr));
  }
}

bool can_hold(DType type, double value) {
  if (is_floating(type)) return true;
  if (type == boolean) return value == 0 || value == 1;
  const double limit = type == i32 ? 0x1p31 : 0x1p63;
  return std::trunc(value) == value && value >= -limit && value < limit;
}

void check_can_hold(const char* by, DType type, double value, SourceLocation at) {
  if (!can_hold(type, value)) fail(std::string(by) + ": " + name_of(type) + " cannot hold " + text_of(value), at);
}

void fill(Tensor& x, double value) {
  with_type(x.dtype(), [&]<class T>(T*) { std::fill_n(x.data<T>(), x.size(), static_cast<T>(value)); });
}

// x[i] = f(i), with f in double.
template <class F>
void generate(Tensor& x, F&& f) {
  with_type(x.dtype(), [&]<class T>(T*) {
    T* data = x.data<T>();
    for (std::int64_t i = 0; i < x.size(); ++i) data[i] = static_cast<T>(f(i));
  });
}

Tensor filled(const Shape& shape, double value, DType type) {
  Tensor x = Tensor::empty(shape, type);
  fill(x, value);
  return x;
}

// Calls f(offset in a, offset in b) for every index of `shape` to which both broadcast, until f returns false.
template <class F>
bool all_pairs(const Tensor& a, const Tensor& b, const Shape& shape, F&& f) {
  const auto broadcast_strides = [&](const Tensor& x) {
    const auto own = x.strides();
    std::array<std::int64_t, max_rank> strides{};
    const int offset = shape.ndim() - x.ndim();
    for (int i = 0; i < x.ndim(); ++i) {
      const bool repeats = x.block()->shape[i] == 1;
      strides[static_cast<std::size_t>(i + offset)] = repeats ? 0 : own[static_cast<std::size_t>(i)];
    }
    return strides;
  };
  const auto a_strides = broadcast_strides(a);
  const auto b_strides = broadcast_strides(b);
  std::array<std::int64_t, max_rank> index{};
  std::int64_t a_offset = 0;
  std::int64_t b_offset = 0;
  for (std::int64_t n = shape.size(); n > 0; --n) {
    if (!f(a_offset, b_offset)) return false;
    for (int axis = shape.ndim() - 1; axis >= 0; --axis) {
      const auto k = static_cast<std::size_t>(axis);
      a_offset += a_strides[k];
      b_offset += b_strides[k];
      if (++index[k] < shape[axis]) break;
      a_offset -= a_strides[k] * shape[axis];
      b_offset -= b_strides[k] * shape[axis];
      index[k] = 0;
    }
  }
  return true;
}

// Calls f(typed element of a, typed element of b) for all pairs, until it returns false.
template <class F>
bool all_elements(const Tensor& a, const Tensor& b, const Shape& shape, F&& f) {
  return with_type(a.dtype(), [&]<class A>(A*) {
    return with_type(b.dtype(), [&]<class B>(B*) {
      const A* a_data = a.data<A>();
      const B* b_data = b.data<B>();
      return all_pairs(a, b, shape, [&](std::int64_t i, std::int64_t j) { return f(a_data[i], b_data[j]); });
    });
  });
}

const Tensor& tensor_of(const char* by, const Arg& a, const Arg& other) {
  const bool other_has_type = !other.is_number() && other.tensor().defined();
  const Tensor& x = a.tensor(other_has_type ? other.tensor().dtype() : f64);
  if (!x.defined()) fail(std::string(by) + ": a tensor holds nothing", a.at());
  return x;
}

void check_defined(const char* by, const Tensor& x, SourceLocation at) {
  if (!x.defined()) detail::fail_op(by, "input 0 is an empty handle", at);
}

}  // namespace

Tensor zeros(const Shape& shape, DType type) { return filled(shape, 0, type); }
Tensor ones(const Shape& shape, DType type) { return filled(shape, 1, type); }

Tensor full(const Shape& shape, double value, DType type, SourceLocation at) {
  check_can_hold("full", type, value, at);
  return filled(shape, value, type);
}

Tensor zeros_like(const Tensor& x, SourceLocation at) {
  check_defined("zeros_like", x, at);
  return filled(x.shape(), 0, x.dtype());
}

Tensor ones_like(const Tensor& x, SourceLocation at) {
  check_defined("ones_like", x, at);
  return filled(x.shape(), 1, x.dtype());
}

Tensor full_like(const Tensor& x, double value, SourceLocation at) {
  check_defined("full_like", x, at);
  return full(x.shape(), value, x.dtype(), at);
}

Tensor arange(double start, double stop, double step, DType type, SourceLocation at) {
  if (step == 0) fail("arange: the step is 0", at);
  const double count = std::ceil((stop - start) / step);
  if (!std::isfinite(start) || !std::isfinite(step) || !(std::abs(count) < 0x1p53)) {
    fail("arange: start " + text_of(start) + ", stop " + text_of(stop) + ", step " + text_of(step) +
             " do not give a number of elements",
         at);
  }
  const std::int64_t n = std::max<std::int64_t>(0, static_cast<std::int64_t>(count));
  const auto element = [&](std::int64_t i) { return start + static_cast<double>(i) * step; };
  if (n > 0) {
    // Between the ends the values are as whole and as large as these.
    check_can_hold("arange", type, start, at);
    if (n > 1) check_can_hold("arange", type, element(1), at);
    check_can_hold("arange", type, element(n - 1), at);
  }
  Tensor x = Tensor::empty(Shape({n}, at), type);
  generate(x, element);
  return x;
}

Tensor arange(double stop, DType type, SourceLocation at) { return arange(0, stop, 1, type, at); }

Tensor linspace(double start, double stop, std::int64_t count, DType type, SourceLocation at) {
  if (!is_floating(type)) fail(std::string("linspace: the dtype is ") + name_of(type) + ", not f32 or f64", at);
  Tensor x = Tensor::empty(Shape({count}, at), type);
  const double intervals = static_cast<double>(count - 1);
  generate(x, [&](std::int64_t i) {
    if (i == 0) return start;
    return i == count - 1 ? stop : start + (stop - start) * (static_cast<double>(i) / intervals);
  });
  return x;
}

Tensor eye(std::int64_t rows, std::int64_t columns, DType type, SourceLocation at) {
  Tensor x = zeros(Shape({rows, columns}, at), type);
  with_type(type, [&]<class T>(T*) {
    for (std::int64_t i = 0; i < std::min(rows, columns); ++i) x.data<T>()[i * columns + i] = T{1};
  });
  return x;
}

Tensor eye(std::int64_t n, DType type, SourceLocation at) { return eye(n, n, type, at); }

bool allclose(const Arg& a, const Arg& b, AllcloseOptions options) {
  const Tensor& x = tensor_of("allclose", a, b);
  const Tensor& y = tensor_of("allclose", b, a);
  const Shape shape = broadcast_shapes("allclose", x.shape(), y.shape(), a.at());
  return all_elements(x, y, shape, [&](auto p_value, auto q_value) {
    const double p = static_cast<double>(p_value);
    const double q = static_cast<double>(q_value);
    if (p == q) return true;
    if (std::isnan(p) && std::isnan(q)) return options.equal_nan;
    return std::isfinite(p) && std::isfinite(q) && std::abs(p - q) <= options.atol + options.rtol * std::abs(q);
  });
}

bool array_equal(const Arg& a, const Arg& b) {
  const Tensor& x = tensor_of("array_equal", a, b);
  const Tensor& y = tensor_of("array_equal", b, a);
  if (x.shape() != y.shape()) return false;
  return all_elements(x, y, x.shape(), []<class A, class B>(A p, B q) {
    // Whole numbers are compared as such: doubles above 2^53 would make different ones equal.
    if constexpr (std::is_integral_v<A> && std::is_integral_v<B>) {
      return static_cast<std::int64_t>(p) == static_cast<std::int64_t>(q);
    } else {
      return static_cast<double>(p) == static_cast<double>(q);
    }
  });
}

}  // namespace tapegrad
