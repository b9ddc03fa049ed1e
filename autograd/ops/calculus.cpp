#include "autograd/ops/calculus.h"

#include <algorithm>
#include <utility>

namespace tapegrad::program {

template <class F>
int Calculus::inside_where(int a, F f) {
  if (!is(a, Primitive::select)) return -1;
  const Node node = at(a);
  if (graph_.is_constant(node.operands[2], 0)) return where(node.operands[0], f(node.operands[1]), node.operands[2]);
  if (graph_.is_constant(node.operands[1], 0)) return where(node.operands[0], node.operands[1], f(node.operands[2]));
  return -1;
}

int Calculus::negate(int a) {
  const Node node = at(a);
  if (node.is(Primitive::negate)) return node.operands[0];
  if (node.is(Primitive::subtract)) return subtract(node.operands[1], node.operands[0]);
  if (node.is(Primitive::multiply) && graph_.is_constant(node.operands[0])) {
    return scaled(-at(node.operands[0]).value, node.operands[1]);
  }
  const int moved = inside_where(a, [&](int branch) { return negate(branch); });
  if (moved >= 0) return moved;
  if (graph_.is_constant(a, 0)) return a;
  return graph_.apply(Primitive::negate, a);
}

int Calculus::add(int a, int b) {
  if (graph_.is_constant(a, 0)) return b;
  if (graph_.is_constant(b, 0)) return a;
  if (is(b, Primitive::negate)) return subtract(a, at(b).operands[0]);
  if (is(a, Primitive::negate)) return subtract(b, at(a).operands[0]);
  int simpler = like_terms(a, b);
  if (simpler < 0) simpler = like_derivatives(a, b);
  if (simpler < 0) simpler = common_factor(a, b);
  if (simpler < 0 && is(a, Primitive::add)) simpler = add_to_sum(a, b);
  if (simpler < 0 && is(b, Primitive::add)) simpler = add_to_sum(b, a);
  if (simpler >= 0) return simpler;
  if (is(a, Primitive::select) && is(b, Primitive::select) && at(a).operands[0] == at(b).operands[0]) {
    const Node left = at(a);
    const Node right = at(b);
    // Only where no addition is lost or gained.
    if (graph_.is_constant(left.operands[2], 0) || graph_.is_constant(right.operands[2], 0) ||
        graph_.is_constant(left.operands[1], 0) || graph_.is_constant(right.operands[1], 0)) {
      const int taken = add(left.operands[1], right.operands[1]);
      return where(left.operands[0], taken, add(left.operands[2], right.operands[2]));
    }
  }
  return graph_.apply(Primitive::add, a, b);
}

int Calculus::subtract(int a, int b) {
  if (graph_.is_constant(b, 0)) return a;
  if (graph_.is_constant(a, 0)) return negate(b);
  if (is(b, Primitive::negate)) return add(a, at(b).operands[0]);
  const Term left = term(a);
  const Term right = term(b);
  if (same_base(left.base, right.base)) return scaled(left.factor - right.factor, left.base);
  return graph_.apply(Primitive::subtract, a, b);
}

int Calculus::multiply(int a, int b) {
  if (graph_.is_constant(b)) std::swap(a, b);
  if (graph_.is_constant(a) && graph_.is_constant(b)) return graph_.apply(Primitive::multiply, a, b);
  if (graph_.is_constant(a)) return scaled(at(a).value, b);
  if (is(a, Primitive::negate)) return negate(multiply(at(a).operands[0], b));
  if (is(b, Primitive::negate)) return negate(multiply(a, at(b).operands[0]));
  int moved = inside_where(a, [&](int branch) { return multiply(branch, b); });
  if (moved < 0) moved = inside_where(b, [&](int branch) { return multiply(a, branch); });
  if (moved >= 0) return moved;
  const Term left = term(a);
  const Term right = term(b);
  if (left.factor != 1 || right.factor != 1) {
    return scaled(left.factor * right.factor, multiply(left.base, right.base));
  }
  for (const auto& [x, y] : {std::pair(a, b), std::pair(b, a)}) {
    const Node node = at(x);
    if (node.is(Primitive::tanh_derivative) && moves_factors_) {
      return tanh_derivative(multiply(node.operands[0], y), node.operands[1]);
    }
    if (node.is(Primitive::sigmoid_derivative) && moves_factors_) {
      return sigmoid_derivative(multiply(node.operands[0], y), node.operands[1]);
    }
    if (node.is(Primitive::reciprocal)) return divide(y, node.operands[0]);
  }
  return graph_.apply(Primitive::multiply, a, b);
}

int Calculus::divide(int a, int b) {
  if (graph_.is_constant(a, 0)) return a;
  if (graph_.is_constant(b, 1)) return a;
  if (graph_.is_constant(a, 1)) return graph_.apply(Primitive::reciprocal, b);
  if (is(a, Primitive::negate)) return negate(divide(at(a).operands[0], b));
  const int moved = inside_where(a, [&](int branch) { return divide(branch, b); });
  if (moved >= 0) return moved;
  return graph_.apply(Primitive::divide, a, b);
}

int Calculus::where(int condition, int a, int b) {
  if (a == b) return a;
  condition = without_offset(condition);
  // Two choices by one condition.
  if (is(a, Primitive::select) && at(a).operands[0] == condition) a = at(a).operands[1];
  if (is(b, Primitive::select) && at(b).operands[0] == condition) b = at(b).operands[2];
  if (a == b) return a;
  // Two choices by another one, of which one side is the same.
  if (is(a, Primitive::select) && is(b, Primitive::select) && at(a).operands[0] == at(b).operands[0]) {
    const Node left = at(a);
    const Node right = at(b);
    if (left.operands[1] == right.operands[1]) {
      return where(left.operands[0], left.operands[1], where(condition, left.operands[2], right.operands[2]));
    }
    if (left.operands[2] == right.operands[2]) {
      return where(left.operands[0], where(condition, left.operands[1], right.operands[1]), left.operands[2]);
    }
  }
  const int reordered = younger_condition_first(condition, a, b);
  return reordered >= 0 ? reordered : graph_.apply(Primitive::select, condition, a, b);
}

/// u < k - c for u + c < k, and the like, which needs no sum.
int Calculus::without_offset(int condition) {
  const Node node = at(condition);
  if (!is(condition, Primitive::less) && !is(condition, Primitive::less_equal)) return condition;
  for (const int side : {0, 1}) {
    const Node sum = at(node.operands[side]);
    const Node bound = at(node.operands[1 - side]);
    if (sum.kind != Node::Kind::primitive || sum.primitive != Primitive::add) continue;
    for (const int part : {0, 1}) {
      const Node offset = at(sum.operands[part]);
      if (bound.kind != Node::Kind::constant || offset.kind != Node::Kind::constant) continue;
      const double moved = bound.value - offset.value;
      if (moved + offset.value != bound.value) continue;
      const int u = sum.operands[1 - part];
      const int k = graph_.constant(moved);
      return side == 0 ? graph_.apply(node.primitive, u, k) : graph_.apply(node.primitive, k, u);
    }
  }
  return condition;
}

/// c ? z : (d ? z : u) and the like as d ? z : (c ? z : u), or -1: the younger condition outside, as formulas nest them,
/// so that equal choices meet.
int Calculus::younger_condition_first(int condition, int a, int b) {
  for (const bool is_taken : {true, false}) {
    const int choice = is_taken ? a : b;
    const int other = is_taken ? b : a;
    if (!is(choice, Primitive::select) || at(choice).operands[0] < condition) continue;
    const Node inner = at(choice);
    for (const int k : {1, 2}) {
      if (inner.operands[k] != other) continue;
      const int rest = inner.operands[3 - k];
      const int chosen = is_taken ? where(condition, rest, other) : where(condition, other, rest);
      return k == 1 ? graph_.apply(Primitive::select, inner.operands[0], other, chosen)
                    : graph_.apply(Primitive::select, inner.operands[0], chosen, other);
    }
  }
  return -1;
}

int Calculus::tanh_derivative(int factor, int y) {
  if (graph_.is_constant(factor, 0)) return factor;
  if (is(factor, Primitive::negate)) return negate(tanh_derivative(at(factor).operands[0], y));
  const int moved = inside_where(factor, [&](int branch) { return tanh_derivative(branch, y); });
  if (moved >= 0) return moved;
  return graph_.apply(Primitive::tanh_derivative, factor, y);
}

int Calculus::sigmoid_derivative(int factor, int y) {
  if (graph_.is_constant(factor, 0)) return factor;
  if (is(factor, Primitive::negate)) return negate(sigmoid_derivative(at(factor).operands[0], y));
  const int moved = inside_where(factor, [&](int branch) { return sigmoid_derivative(branch, y); });
  if (moved >= 0) return moved;
  return graph_.apply(Primitive::sigmoid_derivative, factor, y);
}

// ---- terms and factors ----

Calculus::Term Calculus::term(int node) const {
  const Node& n = at(node);
  if (n.is(Primitive::multiply) && graph_.is_constant(n.operands[0])) return {at(n.operands[0]).value, n.operands[1]};
  if (n.is(Primitive::negate)) return {-1, n.operands[0]};
  return {1, node};
}

std::vector<int> Calculus::factors(int node) const {
  if (!is(node, Primitive::multiply)) return {node};
  std::vector<int> result = factors(at(node).operands[0]);
  const std::vector<int> right = factors(at(node).operands[1]);
  result.insert(result.end(), right.begin(), right.end());
  std::sort(result.begin(), result.end());
  return result;
}

bool Calculus::same_base(int a, int b) const {
  if (a == b) return true;
  return is(a, Primitive::multiply) && is(b, Primitive::multiply) && factors(a) == factors(b);
}

int Calculus::scaled(double factor, int a) {
  if (factor == 0) return graph_.constant(0);
  if (factor == 1) return a;
  if (factor == -1) return negate(a);
  if (graph_.is_constant(a)) return graph_.constant(factor * at(a).value);
  const Term inner = term(a);
  if (inner.factor != 1) return scaled(factor * inner.factor, inner.base);
  const int moved = inside_where(a, [&](int branch) { return scaled(factor, branch); });
  if (moved >= 0) return moved;
  const Node node = at(a);
  if (node.is(Primitive::tanh_derivative)) return tanh_derivative(scaled(factor, node.operands[0]), node.operands[1]);
  if (node.is(Primitive::sigmoid_derivative)) {
    return sigmoid_derivative(scaled(factor, node.operands[0]), node.operands[1]);
  }
  // Of c + u, so that its terms find like ones.
  if (adds_constant(a)) {
    const int first = scaled(factor, node.operands[0]);
    const int second = scaled(factor, node.operands[1]);
    return graph_.is_constant(first) ? add(first, second) : add(second, first);
  }
  // Into a factor c + u, which takes it for nothing.
  for (int k = 0; k < 2 && node.is(Primitive::multiply); ++k) {
    if (adds_constant(node.operands[k])) return multiply(node.operands[1 - k], scaled(factor, node.operands[k]));
  }
  return graph_.apply(Primitive::multiply, graph_.constant(factor), a);
}

bool Calculus::adds_constant(int a) const {
  return is(a, Primitive::add) && (graph_.is_constant(at(a).operands[0]) || graph_.is_constant(at(a).operands[1]));
}

/// a + b as one term, or -1.
int Calculus::like_terms(int a, int b) {
  if (graph_.is_constant(a) && graph_.is_constant(b)) return graph_.apply(Primitive::add, a, b);
  const Term left = term(a);
  const Term right = term(b);
  if (!same_base(left.base, right.base)) return -1;
  return scaled(left.factor + right.factor, left.base);
}

/// u * (1 - y * y) + v * (1 - y * y) as one, or -1; the same for sigmoid.
int Calculus::like_derivatives(int a, int b) {
  const Node left = at(a);
  const Node right = at(b);
  const bool is_tanh = left.is(Primitive::tanh_derivative) && right.is(Primitive::tanh_derivative);
  const bool is_sigmoid = left.is(Primitive::sigmoid_derivative) && right.is(Primitive::sigmoid_derivative);
  if ((!is_tanh && !is_sigmoid) || left.operands[1] != right.operands[1]) return -1;
  const int factor = add(left.operands[0], right.operands[0]);
  return is_tanh ? tanh_derivative(factor, left.operands[1]) : sigmoid_derivative(factor, left.operands[1]);
}

/// (u + v) + b where b goes with u or v, or -1.
int Calculus::add_to_sum(int sum, int b) {
  const Node node = at(sum);
  for (int k = 0; k < 2; ++k) {
    int together = like_terms(node.operands[k], b);
    if (together < 0) together = like_derivatives(node.operands[k], b);
    if (together >= 0) return add(node.operands[1 - k], together);
  }
  return -1;
}

/// p * q + p * r as p * (q + r), or -1.
int Calculus::common_factor(int a, int b) {
  const Term left = term(a);
  const Term right = term(b);
  if (!is(left.base, Primitive::multiply) || !is(right.base, Primitive::multiply)) return -1;
  const Node p = at(left.base);
  const Node q = at(right.base);
  for (int i = 0; i < 2; ++i) {
    for (int j = 0; j < 2; ++j) {
      if (p.operands[i] != q.operands[j]) continue;
      const int rest_left = scaled(left.factor, p.operands[1 - i]);
      const int rest_right = scaled(right.factor, q.operands[1 - j]);
      int rest = like_terms(rest_left, rest_right);
      if (rest < 0 && is(rest_left, Primitive::add)) rest = add_to_sum(rest_left, rest_right);
      if (rest < 0) rest = add(rest_left, rest_right);
      return multiply(p.operands[i], rest);
    }
  }
  return -1;
}

}  // namespace tapegrad::program
