#pragma once
// Options of images: one number for both axes, or one for each.
#include <cstdint>

namespace tapegrad {

/// Numbers along height and width: 3, or {3, 5}. One that was made of nothing stands for an option that was not given.
template <class T>
struct HeightWidth {
  T height{}, width{};

  constexpr HeightWidth() = default;
  constexpr HeightWidth(T both) : HeightWidth(both, both) {}
  constexpr HeightWidth(T of_height, T of_width) : height(of_height), width(of_width), given_(true) {}

  constexpr bool is_given() const { return given_; }

 private:
  bool given_ = false;
};

using Size2d = HeightWidth<std::int64_t>;

}  // namespace tapegrad
