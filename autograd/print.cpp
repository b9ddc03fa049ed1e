// Printing as NumPy does: the rules (and the reasons for them) are those of numpy/_core/arrayprint.py.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <ostream>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "autograd/tensor.h"

namespace tapegrad {
namespace {

constexpr std::int64_t summary_threshold = 1000;  // elements above which long axes are shortened
constexpr std::int64_t edge_items = 3;
constexpr std::size_t line_width = 75;
constexpr int precision = 8;
constexpr std::string_view dots = "...";

// f32 has about 7 digits: powers of ten from 10^6 on, lest digits appear that mean nothing.
template <class T>
constexpr bool is_single = std::is_same_v<T, float>;

// The digits of |x|: 0.d1d2d3... * 10^exponent. As few as tell x from its neighbours, or so many after the point as
// asked for. No digits for 0.
struct Digits {
  std::string digits;
  int exponent = 0;
};

// Of to_chars' "d.ddde+xx".
Digits digits_of_text(std::string_view text) {
  Digits result;
  const std::size_t e = text.find('e');
  result.digits = text[0];
  if (e > 1) result.digits += text.substr(2, e - 2);
  std::from_chars(text.data() + e + (text[e + 1] == '+' ? 2 : 1), text.data() + text.size(), result.exponent);
  result.exponent += 1;
  result.digits.resize(result.digits.find_last_not_of('0') + 1);  // npos + 1 is 0: nothing is left of a zero
  if (result.digits.empty()) result.exponent = 1;
  return result;
}

template <class T>
Digits shortest_digits(T x) {
  std::array<char, 64> text{};
  const auto end = std::to_chars(text.begin(), text.end(), std::abs(x), std::chars_format::scientific).ptr;
  return digits_of_text({text.data(), static_cast<std::size_t>(end - text.data())});
}

// Rounded to so many significant digits.
template <class T>
Digits rounded_digits(T x, int count) {
  std::array<char, 1100> text{};
  const auto end = std::to_chars(text.begin(), text.end(), std::abs(x), std::chars_format::scientific, count - 1).ptr;
  return digits_of_text({text.data(), static_cast<std::size_t>(end - text.data())});
}

struct Parts {
  std::string whole;     // with the sign
  std::string fraction;  // without the point
};

template <class T>
Parts positional(T x, int most_digits) {
  Digits d = shortest_digits(x);
  if (static_cast<int>(d.digits.size()) - d.exponent > most_digits) {
    // to_chars rounds correctly at a decimal place also where that leaves no digit.
    std::array<char, 400> text{};
    const auto end = std::to_chars(text.begin(), text.end(), std::abs(x), std::chars_format::fixed, most_digits).ptr;
    const std::string_view fixed(text.data(), static_cast<std::size_t>(end - text.data()));
    const std::size_t point = fixed.find('.');
    Parts parts{std::string(fixed.substr(0, point)), std::string(fixed.substr(point + 1))};
    parts.fraction.resize(parts.fraction.find_last_not_of('0') + 1);
    if (std::signbit(x)) parts.whole.insert(0, "-");
    return parts;
  }
  Parts parts;
  const auto whole_digits = static_cast<std::size_t>(std::max(0, d.exponent));
  parts.whole = d.digits.substr(0, whole_digits);
  parts.whole.resize(std::max<std::size_t>(whole_digits, 1), '0');
  if (d.exponent < 0) parts.fraction.assign(static_cast<std::size_t>(-d.exponent), '0');
  if (d.digits.size() > whole_digits) parts.fraction += d.digits.substr(whole_digits);
  if (std::signbit(x)) parts.whole.insert(0, "-");
  return parts;
}

// The exponent counts to the first digit, as it is written: "1.5e-05" has -5.
struct Scientific {
  Parts mantissa;
  int exponent = 0;
};

template <class T>
Scientific scientific(T x, Digits d) {
  if (d.digits.empty()) d.digits = "0";
  Scientific result;
  result.mantissa.whole = (std::signbit(x) ? "-" : "") + d.digits.substr(0, 1);
  result.mantissa.fraction = d.digits.substr(1);
  result.exponent = d.exponent - 1;
  return result;
}

// As few digits as tell x from its neighbours, but at most so many after the point.
template <class T>
Scientific shortest(T x, int most_digits) {
  Digits d = shortest_digits(x);
  if (static_cast<int>(d.digits.size()) > most_digits + 1) d = rounded_digits(x, most_digits + 1);
  return scientific(x, std::move(d));
}

// So many digits after the point.
template <class T>
Scientific rounded(T x, int digits) {
  Scientific result = scientific(x, rounded_digits(x, digits + 1));
  result.mantissa.fraction.resize(static_cast<std::size_t>(digits), '0');
  return result;
}

std::string exponent_text(int exponent, int digits) {
  std::string text = std::to_string(std::abs(exponent));
  if (static_cast<int>(text.size()) < digits) text.insert(0, static_cast<std::size_t>(digits) - text.size(), '0');
  return (exponent < 0 ? "e-" : "e+") + text;
}

int exponent_digits(int exponent) { return std::abs(exponent) >= 100 ? 3 : 2; }

std::string pad_left(const std::string& text, std::size_t width) {
  return text.size() < width ? std::string(width - text.size(), ' ') + text : text;
}

template <class T>
std::string text_of_non_finite(T x) {
  if (std::isnan(x)) return "nan";
  return x < 0 ? "-inf" : "inf";
}

// One way of writing for all numbers of a print, so that the points stand below each other.
template <class T>
class FloatFormat {
 public:
  explicit FloatFormat(const std::vector<T>& values) {
    choose_notation(values);
    std::size_t non_finite_width = 0;
    for (T x : values) {
      if (std::isfinite(x)) {
        measure(x);
      } else {
        non_finite_width = std::max(non_finite_width, text_of_non_finite(x).size());
      }
    }
    const std::size_t after_whole = 1 + fraction_width_ + exponent_width();
    if (non_finite_width > whole_width_ + after_whole) whole_width_ = non_finite_width - after_whole;
  }

  std::string operator()(T x) const {
    const std::size_t width = whole_width_ + 1 + fraction_width_ + exponent_width();
    if (!std::isfinite(x)) return pad_left(text_of_non_finite(x), width);
    if (uses_exponent_) {
      const Scientific s = rounded(x, static_cast<int>(fraction_width_));
      return pad_left(s.mantissa.whole, whole_width_) + "." + s.mantissa.fraction +
             exponent_text(s.exponent, exponent_digits_);
    }
    Parts parts = positional(x, precision);
    parts.fraction.resize(fraction_width_, ' ');
    return pad_left(parts.whole, whole_width_) + "." + parts.fraction;
  }

 private:
  // Powers of ten when a number is large, or small, or the range is wide.
  void choose_notation(const std::vector<T>& values) {
    T largest = 0;
    T smallest = std::numeric_limits<T>::infinity();
    for (T x : values) {
      if (!std::isfinite(x) || x == 0) continue;
      largest = std::max(largest, std::abs(x));
      smallest = std::min(smallest, std::abs(x));
    }
    if (largest == 0) return;
    uses_exponent_ = largest >= (is_single<T> ? T(1e6) : T(1e8)) || smallest < T(1e-4) || largest / smallest > T(1000);
  }

  void measure(T x) {
    if (uses_exponent_) {
      const Scientific s = shortest(x, precision);
      measure(s.mantissa);
      exponent_digits_ = std::max(exponent_digits_, exponent_digits(s.exponent));
    } else {
      measure(positional(x, precision));
    }
  }
  void measure(const Parts& parts) {
    whole_width_ = std::max(whole_width_, parts.whole.size());
    fraction_width_ = std::max(fraction_width_, parts.fraction.size());
  }

  std::size_t exponent_width() const { return uses_exponent_ ? 2 + static_cast<std::size_t>(exponent_digits_) : 0; }

  bool uses_exponent_ = false;
  int exponent_digits_ = 2;
  std::size_t whole_width_ = 0;
  std::size_t fraction_width_ = 0;
};

template <class T>
class IntegerFormat {
 public:
  explicit IntegerFormat(const std::vector<T>& values) {
    for (T x : values) width_ = std::max(width_, std::to_string(x).size());
  }
  std::string operator()(T x) const { return pad_left(std::to_string(x), width_); }

 private:
  std::size_t width_ = 0;
};

struct BoolFormat {
  explicit BoolFormat(const std::vector<std::uint8_t>&) {}
  std::string operator()(std::uint8_t x) const { return x ? " True" : "False"; }
};

// A number by itself: all the digits that tell it from its neighbours.
template <class T>
std::string text_of_float(T x) {
  if (!std::isfinite(x)) return text_of_non_finite(x);
  constexpr int all_digits = 2000;
  const T size = std::abs(x);
  if (size != 0 && (size < T(1e-4) || size >= (is_single<T> ? T(1e6) : T(1e16)))) {
    const Scientific s = shortest(x, all_digits);
    const std::string point = s.mantissa.fraction.empty() ? "" : ".";
    return s.mantissa.whole + point + s.mantissa.fraction + exponent_text(s.exponent, 2);
  }
  const Parts parts = positional(x, all_digits);
  return parts.whole + "." + (parts.fraction.empty() ? "0" : parts.fraction);
}

// Writes the brackets. `Element` is how the elements lie in memory.
template <class Element>
class Printer {
 public:
  explicit Printer(const Tensor& x)
      : shape_(x.shape()), strides_(x.strides()), data_(x.data<Element>()), is_summary_(x.size() > summary_threshold) {}

  std::vector<Element> visible() const {
    std::vector<Element> values;
    collect(0, 0, values);
    return values;
  }

  template <class Format>
  std::string write(const Format& format) const {
    return write_axis(0, 0, " ", line_width, format);
  }

 private:
  std::int64_t size(int axis) const { return shape_[axis]; }
  std::int64_t stride(int axis) const { return strides_[static_cast<std::size_t>(axis)]; }
  bool is_shortened(int axis) const { return is_summary_ && size(axis) > 2 * edge_items; }

  // Calls visit(i) for every position of the axis that is shown, and visit(-1) for the gap.
  template <class Visit>
  void for_each_position(int axis, const Visit& visit) const {
    for (std::int64_t i = 0; i < size(axis); ++i) {
      if (is_shortened(axis) && i == edge_items) {
        visit(std::int64_t{-1});
        i = size(axis) - edge_items;
      }
      visit(i);
    }
  }

  void collect(int axis, std::int64_t offset, std::vector<Element>& values) const {
    for_each_position(axis, [&](std::int64_t i) {
      if (i < 0) return;
      const std::int64_t at = offset + i * stride(axis);
      if (axis + 1 == shape_.ndim()) {
        values.push_back(data_[at]);
      } else {
        collect(axis + 1, at, values);
      }
    });
  }

  template <class Format>
  std::string write_axis(int axis, std::int64_t offset, const std::string& indent, std::size_t width,
                         const Format& format) const {
    const bool is_row = axis + 1 == shape_.ndim();
    const std::string inner =
        is_row ? write_row(offset, indent, width - 1, format) : write_block(axis, offset, indent, width - 1, format);
    return "[" + inner + "]";
  }

  // Elements, broken into lines.
  template <class Format>
  std::string write_row(std::int64_t offset, const std::string& indent, std::size_t width, const Format& format) const {
    std::string done;
    std::string line = indent;
    for_each_position(shape_.ndim() - 1, [&](std::int64_t i) {
      const std::string word = i < 0 ? std::string(dots) : format(data_[offset + i * stride(shape_.ndim() - 1)]);
      if (line.size() > indent.size() && line.size() + 1 + word.size() > width) {
        line.resize(line.find_last_not_of(' ') + 1);
        done += line + "\n";
        line = indent;
      }
      if (line.size() > indent.size()) line += ' ';
      line += word;
    });
    return (done + line).substr(indent.size());
  }

  // Rows or blocks of rows below each other, with an empty line more for every further axis.
  template <class Format>
  std::string write_block(int axis, std::int64_t offset, const std::string& indent, std::size_t width,
                          const Format& format) const {
    const std::string line_end(static_cast<std::size_t>(shape_.ndim() - axis - 1), '\n');
    std::string text;
    for_each_position(axis, [&](std::int64_t i) {
      if (!text.empty()) text += line_end + indent;
      text += i < 0 ? std::string(dots) : write_axis(axis + 1, offset + i * stride(axis), indent + " ", width, format);
    });
    return text;
  }

  Shape shape_;
  std::array<std::int64_t, max_rank> strides_;
  const Element* data_;
  bool is_summary_;
};

template <class Element, template <class> class Format>
std::string write(const Tensor& x) {
  const Printer<Element> printer(x);
  return printer.write(Format<Element>(printer.visible()));
}

template <class>
using BoolFormatOf = BoolFormat;

std::string text_of_scalar(const Tensor& x) {
  switch (x.dtype()) {
    case f32:
      return text_of_float(*x.data<float>());
    case f64:
      return text_of_float(*x.data<double>());
    case i32:
      return std::to_string(*x.data<std::int32_t>());
    case i64:
      return std::to_string(*x.data<std::int64_t>());
    case boolean:
      return *x.data<bool>() ? "True" : "False";
  }
  return {};
}

}  // namespace

std::string to_string(const Tensor& x) {
  if (!x.defined()) return describe(x);
  if (x.size() == 0) return "[]";
  if (x.ndim() == 0) return text_of_scalar(x);
  switch (x.dtype()) {
    case f32:
      return write<float, FloatFormat>(x);
    case f64:
      return write<double, FloatFormat>(x);
    case i32:
      return write<std::int32_t, IntegerFormat>(x);
    case i64:
      return write<std::int64_t, IntegerFormat>(x);
    case boolean:
      return write<std::uint8_t, BoolFormatOf>(x);
  }
  return {};
}

std::ostream& operator<<(std::ostream& out, const Tensor& x) { return out << to_string(x); }

}  // namespace tapegrad
