#pragma once
// Pointwise ops: a formula of up to six numbers, applied to every element of tensors that broadcast (NumPy's rules).
//
// The formula is a lambda that is called once, on symbols. What it leaves behind is a program: differentiated
// symbolically, printable, and run by kernels for the processor's best instruction set, whatever flags this file was
// compiled with. So one lambda gives a fused forward pass, a fused backward pass and every higher derivative.
//
// dtypes: f32 and f64 tensors do not mix (convert with to()); integers and booleans take the dtype of a float that they
// meet; among themselves they stay integers unless the formula needs fractions, then they become f32.
// Every op throws when shapes do not broadcast or f32 meets f64.
#include "autograd/ops/pointwise_op.h"

namespace tapegrad {

// ---- arithmetic ----

/// a + b
Tensor operator+(Arg a, Arg b);
/// a - b
Tensor operator-(Arg a, Arg b);
/// a * b, element by element
Tensor operator*(Arg a, Arg b);
/// a / b; integers give f32
Tensor operator/(Arg a, Arg b);
/// -x
Tensor operator-(Arg x);

// x += y makes x a handle to x + y: other handles to the old tensor keep its values.
Tensor& operator+=(Tensor& a, Arg b);
Tensor& operator-=(Tensor& a, Arg b);
Tensor& operator*=(Tensor& a, Arg b);
Tensor& operator/=(Tensor& a, Arg b);

/// The larger of a and b; NaN if either is. Where they are equal each gets half of the gradient.
Tensor maximum(Arg a, Arg b);
/// The smaller of a and b; NaN if either is. Where they are equal each gets half of the gradient.
Tensor minimum(Arg a, Arg b);
/// base^exponent. The gradient with respect to the exponent needs a positive base.
Tensor pow(Arg base, Arg exponent);
/// a + t (b - a)
Tensor lerp(Arg a, Arg b, Arg t);

// ---- functions ----

/// |x|; the gradient at 0 is 0
Tensor abs(Arg x);
/// e^x
Tensor exp(Arg x);
/// The natural logarithm.
Tensor log(Arg x);
/// The square root. The gradient at 0 is infinite.
Tensor sqrt(Arg x);
/// x^2
Tensor square(Arg x);
/// The hyperbolic tangent.
Tensor tanh(Arg x);
/// 1 / (1 + e^-x)
Tensor sigmoid(Arg x);
/// max(x, 0); the gradient at 0 is 0
Tensor relu(Arg x);

// ---- choices ----

/// condition ? a : b. The gradient goes to the branch that was taken.
Tensor where(Arg condition, Arg a, Arg b);
// Comparisons give booleans, and no gradient. NaN is unequal to everything.
Tensor operator<(Arg a, Arg b);
Tensor operator<=(Arg a, Arg b);
Tensor operator>(Arg a, Arg b);
Tensor operator>=(Arg a, Arg b);
Tensor operator==(Arg a, Arg b);
Tensor operator!=(Arg a, Arg b);

namespace detail {
std::vector<OpDescription> pointwise_ops();
}

}  // namespace tapegrad
