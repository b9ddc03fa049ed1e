// Wrong rules, planted into the shipped ops: for each, the gradient check of one of the wall's cases must fail and say
// what is wrong. Wrong kernels must fail the wall itself.
//
// A planted op computes its result by the shipped op, and its gradients by the shipped rule on a nested tape; then it
// spoils them. So every shipped op is tried with every fault, and the library needs no hook for it. Wrong kernels are
// planted into a copy of the kernel table, which takes the place of the real one.
#include <algorithm>
#include <memory>

#include "autograd/create.h"
#include "autograd/gradcheck.h"
#include "autograd/kernels/table.h"
#include "autograd/ops/all.h"
#include "autograd/ops/elements.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "tests/catch.h"
#include "tests/gradcheck/forward.h"
#include "tests/gradcheck/layers.h"

using namespace tapegrad;
using tests::check_op;
using tests::WallRow;

namespace {

enum class Fault { none, twice, half, negated, zero, transposed, without_sum, without_second_order };

struct Plan {
  std::function<Tensor(const std::vector<Tensor>&)> apply;  // the shipped op
  Fault fault;
};

// The gradient of the first slice alone, where `x` was broadcast to the shape of `full`.
Tensor first_slice(Tensor full, const Shape& shape) {
  const int extra = full.ndim() - shape.ndim();
  for (int axis = 0; axis < full.ndim(); ++axis) {
    const bool is_broadcast = axis < extra || shape[axis - extra] == 1;
    if (is_broadcast && full.shape(axis) > 1) full = full.slice(axis, 0, 1);
  }
  return reshape(full, shape);
}

Tensor spoiled(Fault fault, const Tensor& g, const Shape& shape) {
  switch (fault) {
    case Fault::twice:
      return 2 * g;
    case Fault::half:
      return 0.5 * g;
    case Fault::negated:
      return -g;
    case Fault::zero:
      return 0 * g;
    case Fault::transposed:
      return g.ndim() < 2 ? g : reshape(transpose(g), shape);
    case Fault::without_sum:
      return first_slice(g, shape);
    default:
      return g;
  }
}

template <int count>
struct Planted {
  struct Attributes {
    std::shared_ptr<const Plan> plan;
  };
  static constexpr const char* name = "planted";
  static constexpr const char* doc = "A shipped op with a wrong rule.";
  static constexpr Uses uses = [] {
    Uses all{};
    for (int k = 0; k < count; ++k) all[static_cast<std::size_t>(k)] = (1u << count) - 1;
    return all;
  }();
  static Shape shape(const Inputs& x, const Attributes& a) {
    const Tape::Pause pause;
    return a.plan->apply(list(x)).shape();
  }
  static Tensor forward(const Inputs& x, Attributes& a, const Shape&) {
    const Tape::Pause pause;
    return a.plan->apply(list(x));
  }
  static void vjp(Walk& w, const Attributes& a, const Tensor& g) {
    std::vector<Tensor> x;
    std::vector<Tensor> targets;
    Tape inner;
    for (int k = 0; k < count; ++k) {
      Tensor input = w.input(k);
      if (a.plan->fault == Fault::without_second_order) input = stop_gradient(input);
      if (a.plan->fault == Fault::without_sum) input = expand(input, g.shape());
      if (is_floating(input.dtype())) {
        inner.watch(input);
        targets.push_back(input);
      }
      x.push_back(input);
    }
    const Tensor y = a.plan->apply(x);
    std::vector<Tensor> gradients = inner.gradient(y, targets, {.seed = g, .allow_unused = true});
    std::size_t next = 0;
    for (int k = 0; k < count; ++k) {
      if (!is_floating(x[static_cast<std::size_t>(k)].dtype())) continue;
      const Tensor& gradient = gradients[next++];
      if (gradient.defined() && w.needs(k)) w.give(k, spoiled(a.plan->fault, gradient, w.shape(k)));
    }
  }
  static std::vector<Sample<Attributes>> samples() { return {}; }

 private:
  static std::vector<Tensor> list(const Inputs& x) {
    std::vector<Tensor> tensors;
    for (int k = 0; k < count; ++k) tensors.push_back(x[k]);
    return tensors;
  }
};

// The fault in a forward rule, which is the jvp of the shipped op; the vjp is right.
template <int count>
struct PlantedForward : Planted<count> {
  using Attributes = typename Planted<count>::Attributes;
  static void vjp(Walk& w, const Attributes& a, const Tensor& g) {
    Planted<count>::vjp(w, {std::make_shared<const Plan>(Plan{a.plan->apply, Fault::none})}, g);
  }
  static void jvp(Tangents& t, const Attributes& a) {
    const bool is_constant = a.plan->fault == Fault::without_second_order;
    std::vector<Tensor> x;
    std::vector<Tensor> moving;
    std::vector<Tensor> tangents;
    for (int k = 0; k < count; ++k) {
      x.push_back(is_constant ? stop_gradient(t.input(k)) : t.input(k));
      if (!t.has(k)) continue;
      moving.push_back(x.back());
      tangents.push_back(t[k]);
    }
    const auto f = [&](const std::vector<Tensor>& inputs) {
      std::vector<Tensor> all = x;
      std::size_t next = 0;
      for (int k = 0; k < count; ++k) {
        if (t.has(k)) all[static_cast<std::size_t>(k)] = inputs[next++];
      }
      return a.plan->apply(all);
    };
    t.give(spoiled(a.plan->fault, tapegrad::jvp(f, moving, tangents).tangent, t.shape()));
  }
};

template <template <int> class Op>
Tensor apply_planted(const std::shared_ptr<const Plan>& plan, const std::vector<Tensor>& x) {
  const SourceLocation at = SourceLocation::current();
  switch (x.size()) {
    case 1:
      return apply_to_all<Op<1>>({plan}, x, at);
    case 2:
      return apply_to_all<Op<2>>({plan}, x, at);
    default:
      return apply_to_all<Op<3>>({plan}, x, at);
  }
}

bool is_plantable(const OpSample& s) { return s.inputs.size() <= 3 && s.inputs[0].size() <= 1000; }

std::vector<OpDescription> plantable_ops() {
  std::vector<OpDescription> ops = detail::all_ops();
  std::erase_if(ops, [](const OpDescription& op) { return std::ranges::none_of(op.samples, is_plantable); });
  return ops;
}

// The op with the fault in its rule. Samples of more than three tensors are left out, and large ones, for speed.
template <template <int> class Op = Planted>
OpDescription plant(OpDescription op, Fault fault) {
  std::erase_if(op.samples, [](const OpSample& s) { return !is_plantable(s); });
  for (OpSample& sample : op.samples) {
    const auto plan = std::make_shared<const Plan>(Plan{sample.apply, fault});
    sample.apply = [plan](const std::vector<Tensor>& x) { return apply_planted<Op>(plan, x); };
  }
  return op;
}

// True when a fault of the row says so.
bool names(const WallRow& row, const std::string& cause) {
  return std::any_of(row.faults.begin(), row.faults.end(),
                     [&](const std::string& fault) { return fault.find(cause) != std::string::npos; });
}

// What the wall runs of an op, the smallest cases first, up to one that is caught and named: a fault is planted into
// every op, and most are caught at once.
bool is_caught(const OpDescription& planted, const std::string& cause) {
  std::vector<tests::WallCase> cases = tests::wall_cases(planted);
  std::erase_if(cases, [](const tests::WallCase& c) { return c.inputs[0].size() == 0; });
  std::stable_sort(cases.begin(), cases.end(), [](const tests::WallCase& a, const tests::WallCase& b) {
    return a.inputs[0].size() < b.inputs[0].size();
  });
  return std::any_of(cases.begin(), cases.end(), [&](const tests::WallCase& c) {
    const GradcheckReport report = gradcheck(c.sample->apply, c.inputs, {.second_order = true});
    return !report && to_string(report).find(cause) != std::string::npos;
  });
}

void require_caught(Fault fault, const std::string& cause, const std::function<bool(const OpDescription&)>& applies) {
  int planted = 0;
  for (const OpDescription& op : plantable_ops()) {
    if (!applies(op)) continue;
    INFO(op.name);
    CHECK(is_caught(plant(op, fault), cause));
    ++planted;
  }
  CHECK(planted > 0);
}

// What the wall finds of jvp on the cases of an op.
std::vector<std::string> forward_faults(const OpDescription& op, bool dot_test) {
  std::vector<std::string> faults;
  for (const tests::WallCase& c : tests::wall_cases(op)) {
    for (std::string& fault : tests::check_forward(*c.sample, c.inputs, dot_test).faults) {
      faults.push_back(std::move(fault));
    }
  }
  return faults;
}

void require_forward_caught(Fault fault, const std::vector<std::string>& causes,
                            const std::function<bool(const OpDescription&)>& applies) {
  int planted = 0;
  for (const OpDescription& op : plantable_ops()) {
    if (!applies(op)) continue;
    const std::vector<std::string> faults = forward_faults(plant<PlantedForward>(op, fault), true);
    for (const std::string& cause : causes) {
      INFO(op.name << ": " << cause);
      CHECK(std::any_of(faults.begin(), faults.end(), [&](const std::string& f) { return f.find(cause) == 0; }));
    }
    ++planted;
  }
  CHECK(planted > 0);
}

// Gradients of first and second order on every sample; a comparison has none.
void require_passes(const OpDescription& op) {
  const OpSample& first = op.samples[0];
  if (!is_floating(first.apply(first.inputs).dtype())) return;
  const GradcheckReport report = gradcheck_op(op, {.second_order = true});
  INFO(op.name << ": " << report);
  CHECK(report);
}

// False for floor and such, and for comparisons.
bool has_slope(const OpDescription& op) {
  const OpSample& first = op.samples[0];
  if (!is_floating(first.apply(first.inputs).dtype())) return false;
  const auto is_slope = [](const std::string& gradient) { return gradient != "0"; };
  return op.kind != OpKind::pointwise || std::any_of(op.gradients.begin(), op.gradients.end(), is_slope);
}

OpDescription shipped(const std::string& name) {
  for (OpDescription& op : plantable_ops()) {
    if (op.name == name) return op;
  }
  FAIL("no op " + name);
  return {};
}

// The gradients of a sample with its floating inputs moved by `step`, each element of each input by another multiple of
// it: a loss of x - target must notice.
std::vector<Tensor> gradients_at(const OpSample& sample, double step) {
  std::vector<Tensor> inputs;
  std::vector<Tensor> wanted;
  Tape tape;
  for (const Tensor& x : sample.inputs) {
    inputs.push_back(is_floating(x.dtype()) ? x + step * detail::sample_values(x.shape(), 9 + inputs.size()) : x);
    if (!is_floating(x.dtype())) continue;
    tape.watch(inputs.back());
    wanted.push_back(inputs.back());
  }
  const Tensor y = sample.apply(inputs);
  return tape.gradient(y, wanted, {.seed = detail::sample_values(y.shape(), 5), .allow_unused = true});
}

// Ops whose gradient depends on their inputs. Of the others, nothing of second order can be dropped.
bool is_nonlinear(const OpDescription& op) {
  return has_slope(op) && std::any_of(op.samples.begin(), op.samples.end(), [](const OpSample& sample) {
           if (sample.inputs[0].size() > 1000) return false;
           const std::vector<Tensor> here = gradients_at(sample, 0);
           const std::vector<Tensor> there = gradients_at(sample, 1e-6);  // near enough to stay on the same branches
           for (std::size_t k = 0; k < here.size(); ++k) {
             if (here[k].defined() && !allclose(here[k], there[k], {.rtol = 1e-9, .atol = 1e-9})) return true;
           }
           return false;
         });
}

// While it lives, ops run on a copy of the kernel table, which may be changed.
class WrongKernels {
 public:
  WrongKernels() : real_(&kernels::table()), wrong_(*real_) { kernels::detail::selected_table = &wrong_; }
  ~WrongKernels() { kernels::detail::selected_table = real_; }
  WrongKernels(const WrongKernels&) = delete;
  WrongKernels& operator=(const WrongKernels&) = delete;
  kernels::Table* operator->() { return &wrong_; }

 private:
  const kernels::Table* real_;
  kernels::Table wrong_;
};

const kernels::Table& real_table() {
  static const kernels::Table copy = kernels::table();
  return copy;
}

constexpr auto tanh_index = static_cast<std::size_t>(kernels::Primitive::tanh);

}  // namespace

TEST_CASE("a shipped op with its own rule passes, however it is wrapped", "[planted]") {
  for (const OpDescription& op : plantable_ops()) {
    require_passes(plant(op, Fault::none));
  }
}

TEST_CASE("a factor of two is caught in every op", "[planted]") {
  require_caught(Fault::twice, "factor of 2: the gradient is twice what it should be", has_slope);
  require_caught(Fault::half, "factor of 2: the gradient is half of what it should be", has_slope);
}

TEST_CASE("a wrong sign is caught in every op", "[planted]") {
  require_caught(Fault::negated, "sign: the gradient is negated", has_slope);
}

TEST_CASE("a dropped gradient is caught in every op", "[planted]") {
  require_caught(Fault::zero, "dropped: the gradient is zero", has_slope);
}

TEST_CASE("a transposed gradient is caught in every op of matrices", "[planted]") {
  require_caught(Fault::transposed, "transposed: the last two axes of the gradient are swapped",
                 [](const OpDescription& op) {
                   const auto is_matrix = [](const OpSample& s) {
                     return s.inputs.size() <= 3 && s.inputs[0].ndim() >= 2 && s.inputs[0].shape(-1) > 1 &&
                            s.inputs[0].shape(-2) > 1 && is_floating(s.inputs[0].dtype());
                   };
                   return has_slope(op) && std::any_of(op.samples.begin(), op.samples.end(), is_matrix);
                 });
}

TEST_CASE("a missing sum over broadcast axes is caught in every op that broadcasts", "[planted]") {
  require_caught(Fault::without_sum, "missing broadcast sum: the gradient is that of the first slice along axis",
                 [](const OpDescription& op) {
                   return op.kind == OpKind::pointwise && op.samples[0].inputs.size() > 1 && has_slope(op);
                 });
}

TEST_CASE("a second-order term that is dropped is caught in every op that has one", "[planted]") {
  CHECK(is_nonlinear(shipped("mul")));
  CHECK_FALSE(is_nonlinear(shipped("abs")));
  CHECK_FALSE(is_nonlinear(shipped("sum")));
  require_caught(Fault::without_second_order, "a second-order term is", is_nonlinear);
  for (const OpDescription& op : plantable_ops()) {
    if (!is_nonlinear(op)) require_passes(plant(op, Fault::without_second_order));
  }
}

namespace {
// A product whose `uses` are exchanged. When both gradients are wanted, both factors are saved, and nobody notices.
struct ForgetfulProduct {
  static constexpr const char* name = "forgetful_product";
  static constexpr const char* doc = "a b";
  using Attributes = NoAttributes;
  static constexpr Uses uses = {reads_input(0), reads_input(1)};
  static Shape shape(const Inputs& x, const Attributes&) { return x[0].shape(); }
  static Tensor forward(const Inputs& x, Attributes&, const Shape&) {
    return no_tape([&] { return x[0] * x[1]; });
  }
  static void vjp(Walk& w, const Attributes&, const Tensor& g) {
    if (w.needs(0)) w.give(0, g * w.input(1));
    if (w.needs(1)) w.give(1, g * w.input(0));
  }
  static std::vector<Sample<Attributes>> samples() {
    return {{{detail::sample_values({3, 4}, 1), detail::sample_values({3, 4}, 2)}, {}}};
  }
};
}  // namespace

TEST_CASE("a rule that reads what `uses` does not name for its input is caught", "[planted]") {
  CHECK(gradcheck<ForgetfulProduct>());
  const WallRow row = check_op(detail::describe_op<ForgetfulProduct>());
  const std::string fault = "when no other is asked for: throws forgetful_product: its rule reads a tensor that `uses`";
  CHECK(names(row, "the gradient of input 0, " + fault));
  CHECK(names(row, "the gradient of input 1, " + fault));
}

TEST_CASE("every op without its forward rule has the same jvp by its vjp", "[planted]") {
  for (const OpDescription& op : plantable_ops()) {
    for (const std::string& fault : forward_faults(plant(op, Fault::none), false)) {
      INFO(op.name << ": " << fault);
      CHECK(false);
    }
  }
}

TEST_CASE("a wrong forward rule is caught in every op, by differences and by the dot test", "[planted]") {
  require_forward_caught(Fault::twice, {"jvp: element", "dot test"}, has_slope);
  require_forward_caught(Fault::zero, {"jvp: element", "dot test"}, has_slope);
  require_forward_caught(Fault::without_second_order, {"jvp of jvp: element"}, is_nonlinear);
  for (const OpDescription& op : plantable_ops()) {
    INFO(op.name);
    CHECK(forward_faults(plant<PlantedForward>(op, Fault::none), true).empty());
  }
}

TEST_CASE("a wrong f32 kernel is caught and named, the f64 one is not blamed", "[planted]") {
  real_table();
  WrongKernels wrong;
  // The last element of a block is a little off, as if a loop's tail were another formula.
  wrong->block[0][tanh_index][0] = [](void* out, const void* a, const void* b, const void* c, const void* d,
                                      std::size_t n) {
    real_table().block[0][tanh_index][0](out, a, b, c, d, n);
    if (n > 1) static_cast<float*>(out)[n - 1] *= 1.00001f;
  };
  const WallRow row = check_op(shipped("tanh"));
  CHECK_FALSE(row.passed());
  CHECK(names(row, "f32 forward kernel: the result"));
  CHECK_FALSE(names(row, "gradcheck: FAILED"));
  CHECK(check_op(shipped("exp")).passed());
}

TEST_CASE("a wrong f32 backward kernel is caught and named", "[planted]") {
  real_table();
  WrongKernels wrong;
  wrong->log_softmax_backward[0] = [](const void* y, const void* g, void* dx, kernels::Index n, kernels::Index begin,
                                      kernels::Index end) {
    real_table().log_softmax_backward[0](y, g, dx, n, begin, end);
    if (begin < end) static_cast<float*>(dx)[begin * n] += 1e-3f;
  };
  const WallRow row = check_op(shipped("log_softmax"));
  CHECK_FALSE(row.passed());
  CHECK(names(row, "f32 backward kernel: the gradient of input 0"));
  CHECK_FALSE(names(row, "f32 forward kernel"));
}

TEST_CASE("a wrong f64 kernel is caught by the differences", "[planted]") {
  real_table();
  WrongKernels wrong;
  wrong->block[1][tanh_index][0] = [](void* out, const void* a, const void* b, const void* c, const void* d,
                                      std::size_t n) {
    real_table().block[1][tanh_index][0](out, a, b, c, d, n);
    for (std::size_t i = 0; i < n; ++i) static_cast<double*>(out)[i] *= 0.5;
  };
  const WallRow row = check_op(shipped("tanh"));
  CHECK_FALSE(row.passed());
  CHECK(names(row, "gradcheck: FAILED"));
}

namespace {

struct WrongLayer {
  nn::Dense dense{5, 3};
  Fault fault;

  Tensor operator()(Arg x) const {
    const Tensor y = dense(x);
    if (fault == Fault::twice) return 2 * y - stop_gradient(y);
    if (fault == Fault::without_sum) return y + num_threads();  // depends on what it must not depend on
    return y;
  }
};

}  // namespace

TEST_CASE("a wrong layer is caught and named", "[planted]") {
  const Tensor x = detail::sample_values({3, 5});
  const auto row_of = [&](Fault fault) {
    return tests::check_layer({"Wrong", {tests::layer_sample("an option", WrongLayer{.fault = fault}, x)}});
  };
  CHECK(row_of(Fault::none).passed());
  const WallRow wrong = row_of(Fault::twice);
  CHECK(names(wrong, "an option: gradcheck: FAILED"));
  CHECK(names(wrong, "dense.weight"));
  CHECK(names(row_of(Fault::without_sum), "an option: 2 threads give other bits in result 0"));
}

TEST_CASE("after all that the kernels are the real ones again", "[planted]") {
  CHECK(check_op(shipped("tanh")).passed());
  CHECK(check_op(shipped("log_softmax")).passed());
}
