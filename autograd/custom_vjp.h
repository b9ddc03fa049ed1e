#pragma once
// custom_vjp: a function with a gradient of the user's own.
#include "autograd/vjp.h"

namespace tapegrad {
namespace detail {

using VjpRule = std::function<std::vector<Tensor>(const Tensor& g, const std::vector<Tensor>& x, const Tensor& y)>;

/// The op of that name with so many inputs; it lives for ever.
const Op& custom_op(const char* name, int inputs);
Tensor apply_custom(const Op& op, const TensorFunction& f, std::shared_ptr<const VjpRule> rule,
                    std::vector<Tensor> inputs, SourceLocation at);

}  // namespace detail

/// A function of N tensors with a rule for its gradient; made by custom_vjp().
template <int N, class F>
class CustomVjp {
 public:
  using fields = nn::Fields<>;

  CustomVjp(const char* name, F f, detail::VjpRule rule)
      : op_(&detail::custom_op(name, N)),
        f_(std::move(f)),
        rule_(std::make_shared<const detail::VjpRule>(std::move(rule))) {}

  Tensor operator()(Arg x) const
    requires(N == 1)
  {
    return detail::apply_custom(
        *op_, [this](const auto& v) { return Tensor(f_(v[0])); }, rule_, {x.tensor()}, x.at());
  }
  Tensor operator()(Arg a, Arg b) const
    requires(N == 2)
  {
    return detail::apply_custom(
        *op_, [this](const auto& v) { return Tensor(f_(v[0], v[1])); }, rule_, {a.tensor(), b.tensor()}, a.at());
  }
  Tensor operator()(Arg a, Arg b, Arg c) const
    requires(N == 3)
  {
    return detail::apply_custom(
        *op_, [this](const auto& v) { return Tensor(f_(v[0], v[1], v[2])); }, rule_,
        {a.tensor(), b.tensor(), c.tensor()}, a.at());
  }

 private:
  const detail::Op* op_;
  F f_;
  std::shared_ptr<const detail::VjpRule> rule_;
};

/// f, with `rule` in the place of its derivative. f is not recorded; the rule gets the cotangent g, the inputs and the
/// result y, and returns the cotangent of the input; of several inputs, a std::array with one for each (an empty handle
/// stands for zero).
///     const auto sign_through = custom_vjp("sign_through", [](Arg x) { return sign(x); },
///                                          [](const Tensor& g, const Tensor& x, const Tensor& y) { return g; });
/// The rule is made of differentiable ops, so higher derivatives are those of the rule. What f captures gets no gradient.
/// A walk sums the cotangents over axes along which an input was broadcast, and throws when the shapes then still differ.
template <class F, class Rule>
auto custom_vjp(const char* name, F f, Rule rule) {
  using T = const Tensor&;
  if constexpr (std::is_invocable_v<const F&, T> && std::is_invocable_v<const Rule&, T, T, T>) {
    return CustomVjp<1, F>(name, std::move(f),
                           [rule](T g, const auto& x, T y) { return std::vector<Tensor>{Tensor(rule(g, x[0], y))}; });
  } else if constexpr (std::is_invocable_v<const F&, T, T> && std::is_invocable_v<const Rule&, T, T, T, T>) {
    return CustomVjp<2, F>(name, std::move(f), [rule](T g, const auto& x, T y) {
      const std::array<Tensor, 2> all = rule(g, x[0], x[1], y);
      return std::vector<Tensor>(all.begin(), all.end());
    });
  } else {
    static_assert(std::is_invocable_v<const F&, T, T, T> && std::is_invocable_v<const Rule&, T, T, T, T, T>,
                  "custom_vjp(name, f, rule): f takes one to three tensors; the rule takes the cotangent, the same "
                  "tensors, and the result");
    return CustomVjp<3, F>(name, std::move(f), [rule](T g, const auto& x, T y) {
      const std::array<Tensor, 3> all = rule(g, x[0], x[1], x[2], y);
      return std::vector<Tensor>(all.begin(), all.end());
    });
  }
}

}  // namespace tapegrad
