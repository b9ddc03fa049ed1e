// Convolutions: one sum over products of elements of x, weight and g, seen from three sides. With sizes fixed,
//
//     S(x, weight, g) = sum over all that meet of x[..] weight[..] g[..]
//
// is linear in each of the three. Its derivative by g is the convolution of x with weight, that by x is the input gradient,
// that by weight the weight gradient. So the derivatives of each of the three ops are the other two.
#include "autograd/ops/conv.h"

#include "autograd/ops/convolution_sizes.h"
#include "autograd/ops/elements.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"

namespace tapegrad {
namespace {

using detail::ConvolutionAttributes;

Tensor convolution(const ConvolutionAttributes& a, const Tensor& x, const Tensor& weight);
Tensor input_gradient(const ConvolutionAttributes& a, const Tensor& g, const Tensor& weight);
Tensor weight_gradient(const ConvolutionAttributes& a, const Tensor& x, const Tensor& g);

// ---- samples ----

struct Case {
  Shape x, weight;
  Conv2dOptions options{};
  bool has_bias = false;

  ConvolutionAttributes attributes() const {
    const Tensor tensors[] = {detail::sample_values(x, 1), detail::sample_values(weight, 2)};
    const Tensor* const pointers[] = {&tensors[0], &tensors[1]};
    const Inputs inputs("a sample of convolution", pointers, 2, SourceLocation::current());
    return detail::convolution_of(inputs, options, x.ndim() == 3);
  }
};

std::vector<Case> cases() {
  return {
      {{2, 4, 5, 3}, {4, 3, 3, 3}, {.padding = 1}, true},
      {{1, 5, 4, 1}, {2, 3, 2, 1}},                                         // one channel, one image
      {{2, 3, 4, 3}, {5, 1, 1, 3}, {}, true},                               // 1x1
      {{2, 6, 5, 2}, {3, 1, 1, 2}, {.stride = 2}},                          // ... whose last row is not read
      {{2, 7, 6, 2}, {3, 3, 3, 2}, {.stride = 2, .padding = 1}},            // ... nor the last zeros
      {{1, 6, 5, 3}, {2, 5, 3, 3}, {.stride = {3, 2}, .padding = {2, 0}}},  // uneven in everything
      {{1, 7, 6, 2}, {2, 3, 2, 2}, {.padding = {2, 1}, .dilation = {2, 3}}},
      {{1, 3, 4, 2}, {2, 2, 4, 2}, {.padding = "same"}},  // more zeros behind than before
      {{2, 4, 3, 4}, {6, 3, 2, 2}, {.padding = 1, .groups = 2}, true},
      {{1, 5, 4, 3}, {3, 3, 3, 1}, {.padding = 1, .groups = 3}},  // depthwise
      {{1, 5, 6, 2}, {4, 2, 3, 1}, {.stride = 2, .dilation = 2, .groups = 2}},
      {{1, 3, 3, 2}, {2, 3, 3, 2}, {}, true},        // a single pixel
      {{2, 2, 2, 1}, {1, 2, 2, 1}, {.padding = 3}},  // pixels that see nothing of x
      {{0, 4, 4, 2}, {3, 3, 3, 2}, {}, true},
      {{2, 3, 3, 0}, {2, 2, 2, 0}, {}, true},
      {{2, 7, 3}, {4, 3, 3}, {.padding = 1}, true},  // sequences
      {{1, 9, 2}, {4, 3, 1}, {.stride = 2, .padding = 2, .dilation = 2, .groups = 2}},
      {{1, 4, 5, 1}, {16, 3, 3, 1}, {.padding = 1}},          // the gradient of x is one channel of many
      {{2, 19, 21, 9}, {17, 3, 3, 9}, {.padding = 1}, true},  // these are cut for threads
      {{2, 11, 13, 16}, {32, 3, 3, 16}, {.padding = 1}},
      {{2, 21, 25, 40}, {40, 3, 3, 1}, {.padding = 1, .groups = 40}},
      {{2, 6, 5, 3}, {5, 3, 3, 3}, {.padding = 1, .winograd = true}, true},
      {{1, 4, 7, 2}, {3, 3, 3, 2}, {.padding = {0, 2}, .winograd = true}},
      {{2, 21, 19, 17}, {18, 3, 3, 17}, {.padding = 1, .winograd = true}, true},  // cut for threads, too
  };
}

// ---- the three ops ----

// Of the sums, and of their derivatives of any order.
double sums_f32_error(const ConvolutionAttributes& a) { return a.sizes.winograd ? 2e-5 : 0; }

struct Convolution {
  static constexpr const char* name = "convolution";
  static constexpr const char* doc =
      "conv1d, conv2d: the sliding product of x with a kernel, plus a bias. The f32 errors are those of winograd.";
  using Attributes = ConvolutionAttributes;
  static constexpr auto f32_error = sums_f32_error;
  static constexpr Uses uses = {reads_input(1), reads_input(0), reads_nothing};

  static Shape shape(const Inputs&, const Attributes& a) { return a.y(); }
  static Tensor forward(const Inputs& in, Attributes& a, const Shape& shape) {
    Tensor y = Tensor::empty(shape, in[0].dtype());
    const Tensor x = detail::contiguous_elements(in[0]);
    const Tensor weight = detail::contiguous_elements(in[1]);
    const Tensor bias = in.count() > 2 ? detail::contiguous_elements(in[2]) : Tensor();
    detail::convolve(y.dtype(), a.sizes, x.data(), weight.data(), bias.defined() ? bias.data() : nullptr, y.data());
    return y;
  }
  static void vjp(Walk& w, const Attributes& a, const Tensor& cotangent) {
    const Tensor g = contiguous(cotangent);  // once, for both
    if (w.needs(0)) w.give(0, input_gradient(a, g, w.input(1)));
    if (w.needs(1)) w.give(1, weight_gradient(a, w.input(0), g));
    if (w.needs(2)) w.give(2, g);
  }
  static void jvp(Tangents& t, const Attributes& a) {
    if (t.has(0)) t.give(convolution(a, t[0], t.input(1)));
    if (t.has(1)) t.give(convolution(a, t.input(0), t[1]));
    if (t.has(2)) t.give(expand(t[2], t.shape()));
  }
  static std::vector<Sample<Attributes>> samples() {
    std::vector<Sample<Attributes>> list;
    for (const Case& c : cases()) {
      list.push_back({{detail::sample_values(c.x, 1), detail::sample_values(c.weight, 2)}, c.attributes()});
      if (c.has_bias) list.back().inputs.push_back(detail::sample_values({c.weight[0]}, 3));
    }
    return list;
  }
};

struct ConvolutionInputGradient {
  static constexpr const char* name = "convolution_input_gradient";
  static constexpr const char* doc = "conv_transpose1d, conv_transpose2d: the gradient of a convolution in its input.";
  using Attributes = ConvolutionAttributes;
  static constexpr auto f32_error = sums_f32_error;
  static constexpr Uses uses = {reads_input(1), reads_input(0)};

  static Shape shape(const Inputs&, const Attributes& a) { return a.x(); }
  static Tensor forward(const Inputs& in, Attributes& a, const Shape& shape) {
    Tensor x = Tensor::empty(shape, in[0].dtype());
    const Tensor g = detail::contiguous_elements(in[0]);
    const Tensor weight = detail::contiguous_elements(in[1]);
    detail::convolve_input_gradient(x.dtype(), a.sizes, g.data(), weight.data(), x.data());
    return x;
  }
  static void vjp(Walk& w, const Attributes& a, const Tensor& cotangent) {
    const Tensor h = contiguous(cotangent);
    if (w.needs(0)) w.give(0, convolution(a, h, w.input(1)));
    if (w.needs(1)) w.give(1, weight_gradient(a, h, w.input(0)));
  }
  static void jvp(Tangents& t, const Attributes& a) {
    if (t.has(0)) t.give(input_gradient(a, t[0], t.input(1)));
    if (t.has(1)) t.give(input_gradient(a, t.input(0), t[1]));
  }
  static std::vector<Sample<Attributes>> samples() {
    std::vector<Sample<Attributes>> list;
    for (const Case& c : cases()) {
      const ConvolutionAttributes a = c.attributes();
      list.push_back({{detail::sample_values(a.y(), 1), detail::sample_values(c.weight, 2)}, a});
    }
    return list;
  }
};

struct ConvolutionWeightGradient {
  static constexpr const char* name = "convolution_weight_gradient";
  static constexpr const char* doc = "The gradient of a convolution in its weight, from x and the cotangent g.";
  using Attributes = ConvolutionAttributes;
  static constexpr auto f32_error = sums_f32_error;
  static constexpr Uses uses = {reads_input(1), reads_input(0)};

  static Shape shape(const Inputs&, const Attributes& a) { return a.weight(); }
  static Tensor forward(const Inputs& in, Attributes& a, const Shape& shape) {
    Tensor weight = Tensor::empty(shape, in[0].dtype());
    const Tensor x = detail::contiguous_elements(in[0]);
    const Tensor g = detail::contiguous_elements(in[1]);
    detail::convolve_weight_gradient(weight.dtype(), a.sizes, x.data(), g.data(), weight.data());
    return weight;
  }
  static void vjp(Walk& w, const Attributes& a, const Tensor& cotangent) {
    const Tensor v = contiguous(cotangent);
    if (w.needs(0)) w.give(0, input_gradient(a, w.input(1), v));
    if (w.needs(1)) w.give(1, convolution(a, w.input(0), v));
  }
  static void jvp(Tangents& t, const Attributes& a) {
    if (t.has(0)) t.give(weight_gradient(a, t[0], t.input(1)));
    if (t.has(1)) t.give(weight_gradient(a, t.input(0), t[1]));
  }
  static std::vector<Sample<Attributes>> samples() {
    std::vector<Sample<Attributes>> list;
    for (const Case& c : cases()) {
      const ConvolutionAttributes a = c.attributes();
      list.push_back({{detail::sample_values(c.x, 1), detail::sample_values(a.y(), 2)}, a});
    }
    return list;
  }
};

Tensor convolution(const ConvolutionAttributes& a, const Tensor& x, const Tensor& weight) {
  return apply<Convolution>(a, Arg(x), Arg(weight));
}
Tensor input_gradient(const ConvolutionAttributes& a, const Tensor& g, const Tensor& weight) {
  return apply<ConvolutionInputGradient>(a, Arg(g), Arg(weight));
}
Tensor weight_gradient(const ConvolutionAttributes& a, const Tensor& x, const Tensor& g) {
  return apply<ConvolutionWeightGradient>(a, Arg(x), Arg(g));
}

// ---- the functions ----

// Calls f with the arguments as the inputs of the function `name`; `bias` may be null.
template <class F>
ConvolutionAttributes checked(const char* name, const Arg& x, const Arg& weight, const Arg* bias, F&& f) {
  const DType type = detail::defined(name, x).dtype();
  const Tensor* tensors[] = {&x.tensor(), &weight.tensor(type), bias ? &bias->tensor(type) : nullptr};
  const int count = bias ? 3 : 2;
  const Inputs inputs(name, tensors, count, x.at());
  for (int k = 1; k < count; ++k) {
    if (!inputs[k].defined()) inputs.fail(std::string(k == 1 ? "the weight" : "the bias") + " is an empty handle");
  }
  return f(inputs);
}

Tensor convolve(const char* name, const Arg& x, const Arg& weight, const Arg* bias, const Conv2dOptions& options,
                bool is_sequence) {
  const ConvolutionAttributes a = checked(
      name, x, weight, bias, [&](const Inputs& in) { return detail::convolution_of(in, options, is_sequence); });
  return bias ? apply<Convolution>(a, x, weight, *bias) : apply<Convolution>(a, x, weight);
}

Tensor convolve_transposed(const char* name, const Arg& x, const Arg& weight, const Arg* bias,
                           const ConvTranspose2dOptions& options, bool is_sequence) {
  const ConvolutionAttributes a = checked(name, x, weight, bias, [&](const Inputs& in) {
    return detail::transposed_convolution_of(in, options, is_sequence);
  });
  Tensor y = apply<ConvolutionInputGradient>(a, x, weight);
  return bias ? Arg(std::move(y), x.at()) + *bias : y;
}

}  // namespace

Tensor conv2d(Arg x, Arg weight, const Conv2dOptions& options) {
  return convolve("conv2d", x, weight, nullptr, options, false);
}
Tensor conv2d(Arg x, Arg weight, Arg bias, const Conv2dOptions& options) {
  return convolve("conv2d", x, weight, &bias, options, false);
}
Tensor conv1d(Arg x, Arg weight, const Conv1dOptions& options) {
  return convolve("conv1d", x, weight, nullptr, detail::of_images(options), true);
}
Tensor conv1d(Arg x, Arg weight, Arg bias, const Conv1dOptions& options) {
  return convolve("conv1d", x, weight, &bias, detail::of_images(options), true);
}

Tensor conv_transpose2d(Arg x, Arg weight, const ConvTranspose2dOptions& options) {
  return convolve_transposed("conv_transpose2d", x, weight, nullptr, options, false);
}
Tensor conv_transpose2d(Arg x, Arg weight, Arg bias, const ConvTranspose2dOptions& options) {
  return convolve_transposed("conv_transpose2d", x, weight, &bias, options, false);
}
Tensor conv_transpose1d(Arg x, Arg weight, const ConvTranspose1dOptions& options) {
  return convolve_transposed("conv_transpose1d", x, weight, nullptr, detail::of_images(options), true);
}
Tensor conv_transpose1d(Arg x, Arg weight, Arg bias, const ConvTranspose1dOptions& options) {
  return convolve_transposed("conv_transpose1d", x, weight, &bias, detail::of_images(options), true);
}

namespace detail {

std::vector<OpDescription> convolution_ops() {
  return describe_ops<Convolution, ConvolutionInputGradient, ConvolutionWeightGradient>();
}

}  // namespace detail
}  // namespace tapegrad
