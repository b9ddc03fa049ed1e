#pragma once
// Images whose elements are weighted sums of elements of other images, along height and along width: means of windows,
// interpolation, and the transposes of both. Internal.
#include "autograd/ops/windows.h"

namespace tapegrad::detail {

// An Axis says which sums there are along one of the two:
//   std::int64_t in, out;
//   bool has_weights() const;                             // else they are 1
//   void for_each_term(f) const;                          // f(position of the result, element of x, weight), in order
//   double divisor(std::int64_t position) const;          // of the sum
//   static constexpr const char *name, *doc;              // of the op
//   static std::vector<Sample<ResampleAttributes<Axis>>> samples();

/// The terms of the sums along one axis, and their divisors.
class TermTable {
 public:
  /// `unit`: the distance of neighbours along the axis in what is read.
  template <class Axis>
  TermTable(const Axis& axis, bool transposed, std::int64_t unit)
      : is_weighted_(axis.has_weights() || (transposed && !has_one_divisor(axis))),
        table_(transposed ? axis.in : axis.out,
               [&](auto visit) {
                 axis.for_each_term([&](std::int64_t position, std::int64_t element, double weight) {
                   if (!transposed) return visit(position, {element * unit, weight});
                   visit(element, {position * unit, is_weighted_ ? weight / axis.divisor(position) : 1.0});
                 });
               }),
        divisors_(static_cast<std::size_t>(transposed ? axis.in : axis.out) * sizeof(double)) {
    for (std::int64_t i = 0; i < (transposed ? axis.in : axis.out); ++i) {
      divisors_.get<double>()[i] = !transposed ? axis.divisor(i) : is_weighted_ ? 1.0 : axis.divisor(0);
    }
  }

  kernels::TapAxis<kernels::WeightedTap> axis() const { return table_.axis(); }
  const double* divisors() const { return divisors_.get<double>(); }
  double taps_per_position() const { return table_.taps_per_position(); }
  bool is_weighted() const { return is_weighted_; }

 private:
  template <class Axis>
  static bool has_one_divisor(const Axis& axis) {
    for (std::int64_t i = 1; i < axis.out; ++i) {
      if (axis.divisor(i) != axis.divisor(0)) return false;
    }
    return true;
  }

  bool is_weighted_;
  TapTable<kernels::WeightedTap> table_;
  Scratch divisors_;
};

template <class Axis>
struct ResampleAttributes {
  Axis height, width;
  bool transposed = false;
};

/// The op. Its gradient, and the gradient of that, is the same op with both axes transposed.
template <class Axis>
struct Resample {
  using Attributes = ResampleAttributes<Axis>;
  static constexpr const char* name = Axis::name;
  static constexpr const char* doc = Axis::doc;
  static constexpr Uses uses = {};
  static constexpr bool is_linear = true;

  static Shape shape(const Inputs& x, const Attributes& a) {
    Shape shape = x[0].shape();
    shape[1] = a.transposed ? a.height.in : a.height.out;
    if (shape.ndim() == 4) shape[2] = a.transposed ? a.width.in : a.width.out;
    return shape;
  }
  static Tensor forward(const Inputs& x, Attributes& a, const Shape& shape) {
    Tensor y = Tensor::empty(shape, x[0].dtype());
    const Tensor from = contiguous_elements(x[0]);
    const ImageSizes source(from.shape());
    const ImageSizes sizes(shape);
    const TermTable height(a.height, a.transposed, source.width * source.channels);
    const TermTable width(a.width, a.transposed, source.channels);
    kernels::ResampleArguments arguments{height.axis(), width.axis(), sizes.channels};
    arguments.from_image = source.height * source.width * source.channels;
    arguments.from = from.data();
    arguments.to = y.data();
    arguments.is_weighted = height.is_weighted() || width.is_weighted();
    arguments.height_divisor = height.divisors();
    arguments.width_divisor = width.divisors();
    const auto function = kernels::table().resample[kernel_index(y.dtype())];
    for_image_rows(sizes, height.taps_per_position() * width.taps_per_position(),
                   [&](std::int64_t begin, std::int64_t end) {
                     kernels::ResampleArguments part = arguments;
                     part.begin = begin;
                     part.end = end;
                     function(part);
                   });
    return y;
  }
  static void vjp(Walk& w, const Attributes& a, const Tensor& g) {
    w.give(0, apply<Resample>({a.height, a.width, !a.transposed}, Arg(g)));
  }
  static std::vector<Sample<Attributes>> samples() { return Axis::samples(); }
};

}  // namespace tapegrad::detail
