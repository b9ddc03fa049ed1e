#pragma once
// Shapes, axes and element types.
#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "autograd/error.h"

namespace tapegrad {

enum class DType : std::uint8_t { f32, f64, i32, i64, boolean };
inline constexpr DType f32 = DType::f32;
inline constexpr DType f64 = DType::f64;
inline constexpr DType i32 = DType::i32;
inline constexpr DType i64 = DType::i64;
inline constexpr DType boolean = DType::boolean;

constexpr bool is_floating(DType type) { return type <= DType::f64; }

/// Bytes of one element.
constexpr std::size_t size_of(DType type) {
  constexpr std::size_t bytes[] = {4, 8, 4, 8, 1};
  return bytes[static_cast<int>(type)];
}

const char* name_of(DType type);

/// The DType of a C++ type: dtype_of<float> is f32.
template <class T>
inline constexpr DType dtype_of = [] {
  static_assert(sizeof(T) == 0, "no DType for this type: use float, double, std::int32_t, std::int64_t or bool");
  return DType::f32;
}();
template <>
inline constexpr DType dtype_of<float> = f32;
template <>
inline constexpr DType dtype_of<double> = f64;
template <>
inline constexpr DType dtype_of<std::int32_t> = i32;
template <>
inline constexpr DType dtype_of<std::int64_t> = i64;
template <>
inline constexpr DType dtype_of<bool> = boolean;

inline constexpr int max_rank = 8;

/// The sizes of a tensor's axes, at most 8. `Shape{}` is the shape of a scalar.
class Shape {
 public:
  Shape() = default;
  /// Throws for more than 8 axes or a negative size.
  Shape(std::initializer_list<std::int64_t> sizes, SourceLocation at = SourceLocation::current())
      : Shape(std::span<const std::int64_t>(sizes.begin(), sizes.size()), at) {}
  explicit Shape(std::span<const std::int64_t> sizes, SourceLocation at = SourceLocation::current());

  int ndim() const { return ndim_; }
  std::int64_t operator[](int axis) const { return size_[static_cast<std::size_t>(axis)]; }
  std::int64_t& operator[](int axis) { return size_[static_cast<std::size_t>(axis)]; }
  const std::int64_t* begin() const { return size_.data(); }
  const std::int64_t* end() const { return size_.data() + ndim_; }
  std::int64_t back() const { return size_[static_cast<std::size_t>(ndim_ - 1)]; }

  /// The number of elements: the product of the sizes (1 for a scalar).
  std::int64_t size() const {
    std::int64_t n = 1;
    for (std::int64_t s : *this) n *= s;
    return n;
  }
  void append(std::int64_t size, SourceLocation at = SourceLocation::current());

  friend bool operator==(const Shape& a, const Shape& b) {
    if (a.ndim_ != b.ndim_) return false;
    for (int i = 0; i < a.ndim_; ++i) {
      if (a[i] != b[i]) return false;
    }
    return true;
  }

 private:
  std::array<std::int64_t, max_rank> size_{};
  int ndim_ = 0;
};

/// "[64, 784]"
std::string to_string(const Shape& shape);
/// "f32[64, 784]"
std::string to_string(DType type, const Shape& shape);

/// The shape to which two shapes broadcast (NumPy's rule), or an Error that names `op`.
Shape broadcast_shapes(const char* op, const Shape& a, const Shape& b, SourceLocation at);

/// Turns a negative axis into a position (-1 is the last one). Throws when it is out of range.
int normalize_axis(const char* op, int axis, int ndim, SourceLocation at);

/// A choice of axes: `Axes::all()`, none (`{}`), one (`1`) or several (`{0, 2}`); negative ones count from the end.
class Axes {
 public:
  Axes() = default;
  Axes(int axis) : Axes({axis}) {}
  Axes(std::initializer_list<int> axes);
  static Axes all() {
    Axes a;
    a.all_ = true;
    return a;
  }
  bool is_all() const { return all_; }
  /// Bit k is set when axis k is chosen, for a tensor of `ndim` axes. Throws for an axis out of range or named twice.
  unsigned mask(const char* op, int ndim, SourceLocation at) const;

 private:
  std::array<int, max_rank> axis_{};
  int count_ = 0;
  bool all_ = false;
};

}  // namespace tapegrad
