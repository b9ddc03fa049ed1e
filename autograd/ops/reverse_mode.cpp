// The derivative of every primitive.
#include "autograd/ops/reverse_mode.h"

#include <numbers>

namespace tapegrad::program {

int ReverseMode::unary(Primitive primitive, int a, int y, int g) {
  Calculus& c = calculus_;
  const int one = c.constant(1);
  switch (primitive) {
    case Primitive::copy:
      return g;
    case Primitive::negate:
      return c.negate(g);
    case Primitive::abs:
      return c.multiply(g, c.apply(Primitive::sign, a));
    case Primitive::relu:
      return c.where(c.apply(Primitive::less_equal, y, c.constant(0)), c.constant(0), g);
    case Primitive::sqrt:
      return c.divide(c.multiply(c.constant(0.5), g), y);
    case Primitive::rsqrt:
      return product({c.constant(-0.5), g, y, c.multiply(y, y)});
    case Primitive::reciprocal:
      return c.negate(product({g, y, y}));
    case Primitive::exp:
      return c.multiply(g, y);
    case Primitive::expm1:
      // exp(a) is cheaper than an expm1 that nothing else needs.
      return c.multiply(g, graph_[y].kind == Node::Kind::input ? c.add(y, one) : c.apply(Primitive::exp, a));
    case Primitive::log:
      return c.divide(g, a);
    case Primitive::log1p:
      return c.divide(g, c.add(one, a));
    case Primitive::tanh:
      return c.tanh_derivative(g, y);
    case Primitive::sigmoid:
      return c.sigmoid_derivative(g, y);
    case Primitive::erf:
      return bell(2 * std::numbers::inv_sqrtpi, a, g);
    case Primitive::erfc:
      return bell(-2 * std::numbers::inv_sqrtpi, a, g);
    case Primitive::sin:
      return c.multiply(g, c.apply(Primitive::cos, a));
    case Primitive::cos:
      return c.negate(c.multiply(g, c.apply(Primitive::sin, a)));
    case Primitive::softplus:
      return c.multiply(g, c.apply(Primitive::sigmoid, a));
    case Primitive::exp2:
      return product({c.constant(std::numbers::ln2), g, y});
    case Primitive::log2:
      return c.divide(c.multiply(c.constant(std::numbers::log2e), g), a);
    case Primitive::sinh:
      return c.multiply(g, c.apply(Primitive::cosh, a));
    case Primitive::cosh:
      return c.multiply(g, c.apply(Primitive::sinh, a));
    case Primitive::tan:
      return c.multiply(g, c.add(one, c.multiply(y, y)));
    case Primitive::asin:
      return c.multiply(g, c.apply(Primitive::rsqrt, c.subtract(one, c.multiply(a, a))));
    case Primitive::acos:
      return c.negate(c.multiply(g, c.apply(Primitive::rsqrt, c.subtract(one, c.multiply(a, a)))));
    case Primitive::atan:
      return c.divide(g, c.add(one, c.multiply(a, a)));
    default:  // sign, floor, ceil, round: constant between their steps
      return c.constant(0);
  }
}

/// factor * g * exp(-a^2)
int ReverseMode::bell(double factor, int a, int g) {
  Calculus& c = calculus_;
  const int exponential = c.apply(Primitive::exp, c.negate(c.multiply(a, a)));
  return product({c.constant(factor), g, exponential});
}

void ReverseMode::binary(const Node& node, int y, int g) {
  Calculus& c = calculus_;
  const int left = node.operands[0];
  const int right = node.operands[1];
  const int a = value_[static_cast<std::size_t>(left)];
  const int b = value_[static_cast<std::size_t>(right)];
  switch (node.primitive) {
    case Primitive::add:
      accumulate(left, g);
      accumulate(right, g);
      break;
    case Primitive::subtract:
      accumulate(left, g);
      accumulate(right, c.negate(g));
      break;
    case Primitive::multiply:
      accumulate(left, c.multiply(g, b));
      accumulate(right, c.multiply(g, a));
      break;
    case Primitive::divide: {
      const int quotient = c.divide(g, b);
      accumulate(left, quotient);
      accumulate(right, c.negate(c.multiply(quotient, y)));
      break;
    }
    case Primitive::minimum:
    case Primitive::maximum:
      extreme(node, g);
      break;
    case Primitive::power:
      power(node, y, g);
      break;
    case Primitive::atan2: {
      const int share = c.divide(g, c.add(c.multiply(a, a), c.multiply(b, b)));
      accumulate(left, c.multiply(share, b));
      accumulate(right, c.negate(c.multiply(share, a)));
      break;
    }
    case Primitive::tanh_derivative:
      accumulate(left, c.tanh_derivative(g, b));
      accumulate(right, product({c.constant(-2), g, a, b}));
      break;
    case Primitive::sigmoid_derivative:
      accumulate(left, c.sigmoid_derivative(g, b));
      accumulate(right, c.multiply(c.multiply(g, a), c.subtract(c.constant(1), c.multiply(c.constant(2), b))));
      break;
    case Primitive::at_least:
    case Primitive::at_most: {
      const bool is_least = node.is(Primitive::at_least);
      const int takes_b = c.apply(Primitive::less, is_least ? a : b, is_least ? b : a);
      accumulate(left, c.where(takes_b, c.constant(0), g));
      accumulate(right, c.where(takes_b, g, c.constant(0)));
      break;
    }
    default:  // comparisons
      break;
  }
}

/// The gradient goes to the operand that was chosen, in halves if they are equal; NaN passes it to both.
void ReverseMode::extreme(const Node& node, int g) {
  Calculus& c = calculus_;
  const int a = value_[static_cast<std::size_t>(node.operands[0])];
  const int b = value_[static_cast<std::size_t>(node.operands[1])];
  if (a == b) return accumulate(node.operands[0], g);
  const bool is_maximum = node.is(Primitive::maximum);
  const int a_below = c.apply(Primitive::less, a, b);
  const int b_below = c.apply(Primitive::less, b, a);
  const int shared = c.where(c.apply(Primitive::equal, a, b), c.multiply(c.constant(0.5), g), g);
  accumulate(node.operands[0], c.where(is_maximum ? a_below : b_below, c.constant(0), shared));
  accumulate(node.operands[1], c.where(is_maximum ? b_below : a_below, c.constant(0), shared));
}

void ReverseMode::power(const Node& node, int y, int g) {
  Calculus& c = calculus_;
  const int base = value_[static_cast<std::size_t>(node.operands[0])];
  const int exponent = value_[static_cast<std::size_t>(node.operands[1])];
  const int zero = c.constant(0);
  if (is_constant(node.operands[1])) {
    const double n = graph_[exponent].value;
    accumulate(node.operands[0], product({c.constant(n), g, c.power(base, n - 1)}));
    return;
  }
  if (!is_constant(node.operands[0])) {
    // 0^0 = 1 has slope 0 in its base, which 0 * 0^-1 would turn into NaN.
    const int lower = c.apply(Primitive::power, base, c.subtract(exponent, c.constant(1)));
    const int slope = product({g, exponent, lower});
    accumulate(node.operands[0], c.where(c.apply(Primitive::equal, exponent, zero), zero, slope));
  }
  // 0^b does not change with b > 0, though log(0) is infinite; at b = 0 PyTorch's choice, 0.
  const int slope = product({g, y, c.apply(Primitive::log, base)});
  const int is_flat = c.multiply(c.apply(Primitive::equal, base, zero), c.apply(Primitive::less_equal, zero, exponent));
  accumulate(node.operands[1], graph_.is_constant(is_flat, 0) ? slope : c.where(is_flat, zero, slope));
}

void ReverseMode::ternary_or_more(const Node& node, int g) {
  Calculus& c = calculus_;
  const int first = node.operands[0];
  const int second = node.operands[1];
  const int third = node.operands[2];
  const int a = value_[static_cast<std::size_t>(first)];
  const int b = value_[static_cast<std::size_t>(second)];
  const int zero = c.constant(0);
  switch (node.primitive) {
    case Primitive::fma:
    case Primitive::fms:
    case Primitive::fnma: {
      const int g_product = node.is(Primitive::fnma) ? c.negate(g) : g;
      accumulate(first, c.multiply(g_product, b));
      accumulate(second, c.multiply(g_product, a));
      accumulate(third, node.is(Primitive::fms) ? c.negate(g) : g);
      break;
    }
    case Primitive::select:
      accumulate(second, c.where(a, g, zero));
      accumulate(third, c.where(a, zero, g));
      break;
    case Primitive::scale_unless_positive:
      accumulate(second, c.apply(node.primitive, a, g, value_[static_cast<std::size_t>(third)]));
      accumulate(third, c.where(c.apply(Primitive::less, zero, a), zero, c.multiply(g, b)));
      break;
    case Primitive::zero_outside:
      accumulate(node.operands[3], c.apply(node.primitive, a, b, value_[static_cast<std::size_t>(third)], g));
      break;
    default: {  // select_less, select_less_equal
      const int mask = c.apply(node.is(Primitive::select_less) ? Primitive::less : Primitive::less_equal, a, b);
      accumulate(third, c.where(mask, g, zero));
      accumulate(node.operands[3], c.where(mask, zero, g));
      break;
    }
  }
}

}  // namespace tapegrad::program
