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
#include "autograd/ops/activations.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementary.h"
#include "autograd/ops/pointwise_op.h"
