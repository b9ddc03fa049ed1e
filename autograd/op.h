#pragma once
// One op, one place: a structured op is one struct, shipped or the user's own.
//
//   struct Outer {
//     static constexpr const char* name = "outer";
//     static constexpr const char* doc = "y[i, j] = a[i] b[j]";
//     using Attributes = NoAttributes;                                  // or a struct: copied into the tape
//     static constexpr Uses uses = {reads_input(1), reads_input(0)};    // what the gradient of each input reads
//     static Shape shape(const Inputs& x, const Attributes&);           // of the result; x.fail(...) for bad inputs
//     static Tensor forward(const Inputs& x, Attributes&, const Shape&);
//     static void vjp(Walk& w, const Attributes&, const Tensor& g);     // w.give(k, ...), in differentiable ops
//     static std::vector<Sample<Attributes>> samples();                 // f64 inputs for the gradient checks
//   };
//   Tensor outer(Arg a, Arg b) { return apply<Outer>({}, a, b); }
//
// A forward rule is optional. Without one, jvp transposes the vjp; an op that is linear in its only input says so:
//
//     static void jvp(Tangents& t, const Attributes&);                  // t.give(...), in differentiable ops
//     static constexpr bool is_linear = true;                           // ... or: the same op on the input's tangent
//
// An op that gives up accuracy for speed says how much; the generated tests then allow for it in f32:
//
//     static double f32_error(const Attributes&);                       // of the largest element, also of gradients
//
// The walk sums over broadcast axes and adds up contributions; a rule only states its formula. A part that is missing
// is a compile error that names it. Pointwise ops are shorter still: see ops/pointwise.h.
#include <functional>

#include "autograd/jvp.h"
#include "autograd/tape.h"

namespace tapegrad {

struct NoAttributes {};

/// For each input, what its gradient reads; only that is saved. A rule reads it by w.input(k) and w.output().
using Uses = std::array<std::uint32_t, detail::max_inputs_with_uses>;
inline constexpr std::uint32_t reads_nothing = 0;
inline constexpr std::uint32_t reads_output = detail::output_bit;
constexpr std::uint32_t reads_input(int k) { return 1u << k; }

/// The tensors that an op is applied to.
class Inputs {
 public:
  Inputs(const char* op, const Tensor* const* tensors, int count, SourceLocation at)
      : op_(op), tensors_(tensors), count_(count), at_(at) {}
  /// Throws when the op was applied to fewer.
  const Tensor& operator[](int k) const {
    if (k < 0 || k >= count_) [[unlikely]]
      fail_missing(k);
    return *tensors_[k];
  }
  int count() const { return count_; }
  SourceLocation at() const { return at_; }
  const char* op() const { return op_; }
  /// Throws "op: what, in layer, at file:line; hint".
  [[noreturn]] void fail(const std::string& what, const std::string& hint = {}) const;

 private:
  [[noreturn]] void fail_missing(int k) const;

  const char* op_;
  const Tensor* const* tensors_;
  int count_;
  SourceLocation at_;
};

/// Inputs (f64; i64 for indices) and attributes on which the generated tests run an op. Cover every path of a kernel.
template <class Attributes>
struct Sample {
  std::vector<Tensor> inputs;
  Attributes attributes{};
};

/// A sample with its op applied to any inputs of the same shapes: what the checks work with.
struct OpSample {
  std::vector<Tensor> inputs;
  std::function<Tensor(const std::vector<Tensor>&)> apply;
  double f32_error = 0;  ///< what f32 may be wrong by, of the largest element, where that is more than usual
};

enum class OpKind : std::uint8_t {
  structured,  // one struct with a rule of its own
  pointwise,   // one traced formula
  composite    // a function of other differentiable ops, without an entry of its own on the tape
};

/// What the generated tests and pages know of an op.
struct OpDescription {
  const char* name;
  const char* doc;
  std::string formula;                 // of a pointwise op, or as a composite one states it
  std::vector<std::string> gradients;  // of a pointwise op: one formula per input
  std::vector<OpSample> samples;
  OpKind kind = OpKind::structured;
  bool has_forward_rule = false;  // jvp does not come from the vjp
};

/// The description of a function that is composed of differentiable ops, so that the generated tests and pages have it
/// like any other op: `{"flip", "...", "y[i] = x[n - 1 - i]", {{{x}, [](const auto& x) { return flip(x[0]); }}}}`.
struct Composite {
  const char* name;
  const char* doc;
  const char* formula;
  std::vector<OpSample> samples;
};

namespace detail {

template <class F>
inline constexpr bool has_forward_rule = requires { &F::jvp; };
template <class F>
inline constexpr bool is_linear_op = requires { requires F::is_linear; };

template <class F>
consteval bool check_op() {
  static_assert(
      requires { static_cast<const char*>(F::name); }, "an op needs `static constexpr const char* name`");
  static_assert(
      requires { static_cast<const char*>(F::doc); }, "an op needs `static constexpr const char* doc`");
  static_assert(
      requires { typename F::Attributes; }, "an op needs `using Attributes = NoAttributes;` or a struct");
  static_assert(
      requires { static_cast<Uses>(F::uses); }, "an op needs `static constexpr Uses uses = {...};`");
  static_assert(
      requires(const Inputs& x, const typename F::Attributes& a) { Shape(F::shape(x, a)); },
      "an op needs `static Shape shape(const Inputs&, const Attributes&)`");
  static_assert(
      requires(const Inputs& x, typename F::Attributes& a, const Shape& s) { Tensor(F::forward(x, a, s)); },
      "an op needs `static Tensor forward(const Inputs&, Attributes&, const Shape&)`");
  static_assert(
      requires(Walk& w, const typename F::Attributes& a, const Tensor& g) { F::vjp(w, a, g); },
      "an op needs `static void vjp(Walk&, const Attributes&, const Tensor& cotangent)`");
  static_assert(
      requires { std::vector<Sample<typename F::Attributes>>(F::samples()); },
      "an op needs `static std::vector<Sample<Attributes>> samples()`");
  if constexpr (has_forward_rule<F>) {
    static_assert(
        requires(Tangents& t, const typename F::Attributes& a) { F::jvp(t, a); },
        "the forward rule of an op is `static void jvp(Tangents&, const Attributes&)`");
    static_assert(!is_linear_op<F>, "a linear op needs no `jvp`");
  }
  return true;
}

template <class F, class Seen>
decltype(auto) attributes_of(const Seen& seen) {
  using A = typename F::Attributes;
  if constexpr (std::is_empty_v<A>) {
    return A{};
  } else {
    return seen.template attributes<A>();
  }
}

template <class F>
void call_rule(Walk& walk, Tensor g) {
  F::vjp(walk, attributes_of<F>(walk), std::move(g));
}

[[noreturn]] void fail_uses(const Inputs& inputs, int least);

template <class F>
Tensor apply_op(const Tensor* const* x, int count, SourceLocation at, typename F::Attributes attributes);

template <class F>
void call_forward_rule(Tangents& t) {
  if constexpr (is_linear_op<F>) {
    const Tensor tangent = t[0];
    const Tensor* const x = &tangent;
    t.give(apply_op<F>(&x, 1, t.at(), attributes_of<F>(t)));
  } else {
    F::jvp(t, attributes_of<F>(t));
  }
}

template <class F>
constexpr Op make_op() {
  using A = typename F::Attributes;
  Op op{F::name, &call_rule<F>, F::uses};
  op.assign_slots();
  if constexpr (!std::is_trivially_destructible_v<A>) {
    op.destroy_attributes = [](void* a) noexcept { static_cast<A*>(a)->~A(); };
  }
  if constexpr (has_forward_rule<F> || is_linear_op<F>) op.jvp = &call_forward_rule<F>;
  return op;
}

template <class F>
inline constexpr Op op_of = make_op<F>();

/// The inputs' indices on this thread's record, and whether any of them is tracked.
class TrackedInputs {
 public:
  TrackedInputs(const Tensor* const* x, int count, SourceLocation at);
  bool any() const { return any_; }
  const std::uint32_t* indices() const { return count_ <= inline_count ? few_ : many_.data(); }

 private:
  static constexpr int inline_count = 8;
  std::uint32_t few_[inline_count];
  CachedVector<std::uint32_t> many_;
  int count_;
  bool any_ = false;
};

template <class F>
Tensor apply_op(const Tensor* const* x, int count, SourceLocation at, typename F::Attributes attributes) {
  using A = typename F::Attributes;
  static_assert(check_op<F>());
  static_assert(alignof(A) <= 16);
  for (int k = 0; k < count; ++k) {
    if (!x[k]->defined()) Inputs(F::name, x, count, at).fail("input " + std::to_string(k) + " is an empty handle");
  }
  const Inputs inputs(F::name, x, count, at);
  if (count < op_of<F>.least_inputs) [[unlikely]]
    fail_uses(inputs, op_of<F>.least_inputs);
  const Shape shape = F::shape(inputs, attributes);
  Tensor y = F::forward(inputs, attributes, shape);
  if (!record.recording || !is_floating(y.dtype())) return y;
  const TrackedInputs tracked(x, count, at);
  if (!tracked.any()) return y;
  for (int k = 0; k < count; ++k) {
    if (y.block() == x[k]->block()) y = stop_gradient(Arg(y, at));  // an entry needs a result of its own
  }
  constexpr std::size_t attribute_bytes = std::is_empty_v<A> ? 0 : sizeof(A);
  Extra* extra = allocate_extra(op_of<F>, count, attribute_bytes);
  if constexpr (attribute_bytes) {
    static_assert(std::is_nothrow_move_constructible_v<A>, "attributes must be nothrow move constructible");
    new (extra->attributes()) A(std::move(attributes));
  }
  record.push(op_of<F>, at, y, tracked.indices(), x, count, extra);
  return y;
}

/// The dtype that numbers among the arguments take: that of the first tensor.
inline DType number_type(std::initializer_list<const Arg*> args) {
  for (const Arg* a : args) {
    if (!a->is_number() && a->tensor().defined()) return a->tensor().dtype();
  }
  return f32;
}

template <class F>
OpDescription describe_op() {
  static_assert(check_op<F>());
  OpDescription d{F::name, F::doc, {}, {}, {}, OpKind::structured, has_forward_rule<F> || is_linear_op<F>};
  for (auto& sample : F::samples()) {
    d.samples.push_back({sample.inputs, [attributes = sample.attributes](const std::vector<Tensor>& inputs) {
                           std::vector<const Tensor*> x;
                           for (const Tensor& t : inputs) x.push_back(&t);
                           return apply_op<F>(x.data(), static_cast<int>(x.size()), SourceLocation::current(),
                                              attributes);
                         }});
    if constexpr (requires { F::f32_error(sample.attributes); }) {
      d.samples.back().f32_error = F::f32_error(sample.attributes);
    }
  }
  return d;
}

}  // namespace detail

/// Applies a structured op and records it when a tape is open and an input is tracked. Its arguments are Args, which carry
/// the caller's line: those of the function around it (`Tensor outer(Arg a, Arg b)`), or `Arg(x)` for a Tensor x.
template <class F, class... A>
Tensor apply(typename F::Attributes attributes, const A&... args) {
  static_assert((std::is_same_v<A, Arg> && ...), "apply<Op>(attributes, x): x is an Arg; of a Tensor, write Arg(x)");
  const DType type = detail::number_type({&args...});
  const Tensor* x[] = {&args.tensor(type)...};
  const SourceLocation lines[] = {args.at()...};
  return detail::apply_op<F>(x, static_cast<int>(sizeof...(A)), lines[0], std::move(attributes));
}

/// ... to any number of tensors.
template <class F>
Tensor apply_to_all(typename F::Attributes attributes, std::span<const Tensor> tensors, SourceLocation at) {
  detail::CachedVector<const Tensor*> x;
  x.reserve(tensors.size());
  for (const Tensor& t : tensors) x.push_back(&t);
  return detail::apply_op<F>(x.data(), static_cast<int>(x.size()), at, std::move(attributes));
}

/// The descriptions of a family's structured ops: every family file ends with such a list.
template <class... F>
std::vector<OpDescription> describe_ops() {
  return {detail::describe_op<F>()...};
}

/// ... and of its composite functions.
inline std::vector<OpDescription> describe_composites(std::initializer_list<Composite> list) {
  std::vector<OpDescription> all;
  for (const Composite& c : list) all.push_back({c.name, c.doc, c.formula, {}, c.samples, OpKind::composite});
  return all;
}

}  // namespace tapegrad
