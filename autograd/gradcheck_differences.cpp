#include "autograd/gradcheck_differences.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "autograd/create.h"
#include "autograd/ops/elements.h"
#include "autograd/ops/pointwise.h"
#include "autograd/random.h"

namespace tapegrad::detail {
namespace {

std::size_t bytes_of(const Tensor& x) { return static_cast<std::size_t>(x.size()) * size_of(x.dtype()); }

// The axes from the largest stride to the smallest: the order in which the elements lie in memory.
std::vector<int> axes_in_memory(const Tensor& x) {
  std::vector<int> axes(static_cast<std::size_t>(x.ndim()));
  std::iota(axes.begin(), axes.end(), 0);
  const Strides strides = x.strides();
  std::stable_sort(axes.begin(), axes.end(), [&](int a, int b) {
    return std::abs(strides[static_cast<std::size_t>(a)]) > std::abs(strides[static_cast<std::size_t>(b)]);
  });
  return axes;
}

// A tensor of that shape whose elements lie in the same order, and with gaps where x has some.
Tensor empty_with_layout(const Tensor& x, DType type) {
  const Shape shape = x.shape();
  if (x.is_contiguous() || x.size() == 0) return Tensor::empty(shape, type);
  const Strides strides = x.strides();
  Strides own{};
  std::int64_t step = 1;
  std::int64_t offset = 0;
  const std::vector<int> axes = axes_in_memory(x);
  for (auto axis = axes.rbegin(); axis != axes.rend(); ++axis) {
    const auto a = static_cast<std::size_t>(*axis);
    const std::int64_t gap = std::clamp<std::int64_t>(std::abs(strides[a]) / step, 1, 2);
    own[a] = strides[a] < 0 ? -step * gap : step * gap;
    if (strides[a] < 0) offset += (shape[*axis] - 1) * step * gap;
    step *= gap * shape[*axis];
  }
  const Tensor memory = zeros({step}, type);
  return Tensor::view(memory, shape, std::span(own).first(static_cast<std::size_t>(x.ndim())), offset);
}

bool is_on_tape(const Tensor& y, std::uint32_t begin, SourceLocation at) {
  const std::uint32_t i = record.index(y.block(), at);
  return i != 0 && (i >= begin || (y.block()->flags & leaf_flag) != 0);
}

// Sums J'v over the results of one recorded run, on the tape that recorded it. Nothing for a variable that no result
// depends on.
std::vector<Tensor> gradients_on(Tape& tape, std::uint32_t begin, const std::vector<Tensor>& results,
                                 const std::vector<Tensor>& targets, std::span<const Tensor> cotangents) {
  std::vector<Tensor> sums(targets.size());
  const SourceLocation at = SourceLocation::current();
  for (std::size_t k = 0; k < results.size(); ++k) {
    if (results[k].dtype() != f64 || !is_on_tape(results[k], begin, at)) continue;
    std::vector<Tensor> part = tape.gradient(results[k], targets, {.seed = cotangents[k], .allow_unused = true});
    for (std::size_t t = 0; t < targets.size(); ++t) {
      if (!part[t].defined()) continue;
      sums[t] = sums[t].defined() ? sums[t] + part[t] : std::move(part[t]);
    }
  }
  return sums;
}

struct Recorded {
  std::vector<Tensor> results;
  std::vector<Tensor> gradients;  // nothing for a variable that was not reached
};

Recorded record_and_walk(const CheckProblem& problem, std::vector<Tensor> handles, std::span<const Tensor> cotangents) {
  Tape tape({.persistent = true});
  const std::uint32_t begin = record.size;
  for (std::size_t k = 0; k < handles.size(); ++k) {
    if (!problem.variables[k].is_parameter) tape.watch(handles[k]);
  }
  Recorded r;
  r.results = problem.function(handles);
  r.gradients = gradients_on(tape, begin, r.results, handles, cotangents);
  return r;
}

std::vector<Tensor> values(const CheckProblem& problem) {
  std::vector<Tensor> list;
  for (const CheckVariable& v : problem.variables) list.push_back(v.value);
  return list;
}

}  // namespace

Tensor copy_with_layout(const Tensor& x, DType type) {
  const Tensor copy = empty_with_layout(x, type);
  copy_elements(x.dtype() == type ? x : converted(x, type), copy);
  return copy;
}

Tensor double_copy(const Tensor& x) { return copy_with_layout(x, is_floating(x.dtype()) ? f64 : x.dtype()); }

void check_input(const Tensor& x, CheckCall call) {
  if (!x.defined()) fail(std::string(call.name) + ": an input is an empty handle", call.at);
}

std::string input_name(std::size_t k, std::size_t count) { return count == 1 ? "x" : "x" + std::to_string(k); }

void fail_inputs(std::size_t count, CheckCall call) {
  fail(std::string(call.name) + ": the function does not take " + std::to_string(count) +
           (count == 1 ? " tensor" : " tensors"),
       call.at, "pass as many inputs as it has arguments");
}

void check_not_shared(const ParameterList& originals, const Path& path, const Parameter& parameter, CheckCall call) {
  for (const NamedBlock& original : originals) {
    if (original.block != parameter.value().block()) continue;
    fail(std::string(call.name) + ": a copy of the model shares \"" + std::string(path.text()) + "\" with it", call.at,
         "std::shared_ptr copies a pointer, not the layer");
  }
}

Parameter double_parameter(const Parameter& parameter) { return Parameter(double_copy(parameter.value())); }

PullBack pull_back(const CheckProblem& problem, const std::vector<Tensor>& cotangents) {
  const Tape::Pause pause;
  Recorded r = record_and_walk(problem, values(problem), cotangents);
  for (std::size_t k = 0; k < r.gradients.size(); ++k) {
    Tensor& g = r.gradients[k];
    g = g.defined() ? g.clone() : zeros(problem.variables[k].value.shape(), f64);
  }
  for (Tensor& y : r.results) y = y.clone();
  return {std::move(r.results), std::move(r.gradients)};
}

CheckProblem pull_back_problem(const CheckProblem& problem, const std::vector<Tensor>& cotangents) {
  CheckProblem result{problem.variables, {}};
  std::vector<std::size_t> place(cotangents.size());  // of each cotangent among the variables; 0: none
  for (std::size_t k = 0; k < cotangents.size(); ++k) {
    if (!cotangents[k].defined()) continue;
    place[k] = result.variables.size();
    const std::string name = cotangents.size() == 1 ? "cotangent" : "cotangent " + std::to_string(k);
    result.variables.push_back({name, cotangents[k].clone(), false});
  }
  result.function = [&problem, place](const std::vector<Tensor>& handles) {
    const std::size_t count = problem.variables.size();
    std::vector<Tensor> seeds(place.size());
    for (std::size_t k = 0; k < place.size(); ++k) {
      if (place[k]) seeds[k] = handles[place[k]];
    }
    const auto end = handles.begin() + static_cast<std::ptrdiff_t>(count);
    std::vector<Tensor> gradients = record_and_walk(problem, {handles.begin(), end}, seeds).gradients;
    for (std::size_t k = 0; k < count; ++k) {
      if (!gradients[k].defined()) gradients[k] = zeros(problem.variables[k].value.shape(), f64);
    }
    return gradients;
  };
  return result;
}

std::vector<Tensor> evaluate_problem(const CheckProblem& problem) {
  const Tape::Pause pause;
  std::vector<Tensor> results = problem.function(values(problem));
  // A result may be an input itself, whose elements the check is about to change.
  for (Tensor& y : results) y = y.clone();
  return results;
}

std::vector<Tensor> random_cotangents(const std::vector<Tensor>& results, std::uint64_t seed) {
  random::Generator generator(seed);
  std::vector<Tensor> list;
  for (const Tensor& y : results) {
    list.push_back(y.dtype() == f64 ? random::normal(y.shape(), {.dtype = f64, .generator = &generator}) : Tensor());
  }
  return list;
}

std::span<const double> values_of(const Tensor& contiguous) {
  return {contiguous.data<double>(), static_cast<std::size_t>(contiguous.size())};
}

double& element_of(const Tensor& x, std::int64_t i) {
  if (x.is_contiguous()) return x.data<double>()[i];
  const Strides strides = x.strides();
  std::int64_t offset = 0;
  for (int axis = x.ndim() - 1; axis >= 0; --axis) {
    const std::int64_t size = x.block()->shape[axis];
    offset += i % size * strides[static_cast<std::size_t>(axis)];
    i /= size;
  }
  return x.data<double>()[offset];
}

bool same_bits(const Tensor& a, const Tensor& b) {
  if (!(a.shape() == b.shape()) || a.dtype() != b.dtype()) return false;
  return a.size() == 0 || std::memcmp(a.data(), b.data(), bytes_of(a)) == 0;
}

std::string element_name(const CheckVariable& variable, std::int64_t i) {
  return variable.value.ndim() ? variable.name + position_text(variable.value.shape(), i) : variable.name;
}

double difference_step(double x) {
  static const double scale = std::cbrt(std::numeric_limits<double>::epsilon());
  return scale * std::max(1.0, std::abs(x));
}

// ---- differences ----

Differences::Differences(const CheckProblem& problem, const std::vector<Tensor>& cotangents)
    : problem_(problem), cotangents_(cotangents), base_(evaluate_problem(problem)) {
  for (std::size_t k = 0; k < base_.size(); ++k) {
    if (!cotangents_[k].defined()) continue;
    const auto y = values_of(base_[k]);
    const auto v = values_of(cotangents_[k]);
    for (std::size_t j = 0; j < y.size(); ++j) magnitude_ += std::abs(v[j] * y[j]);
  }
}

std::vector<Tensor> Differences::at(std::size_t variable, std::int64_t i, double value) const {
  double& place = element_of(problem_.variables[variable].value, i);
  struct Restore {
    double& place;
    double before;
    ~Restore() { place = before; }
  } restore{place, place};
  place = value;
  return evaluate_problem(problem_);
}

// Results are subtracted one by one, before they are summed: what did not change cancels without round-off.
double Differences::weigh(const std::vector<Tensor>& plus, const std::vector<Tensor>& minus) const {
  long double sum = 0;
  for (std::size_t k = 0; k < plus.size(); ++k) {
    if (!cotangents_[k].defined()) continue;
    const auto p = values_of(plus[k]);
    const auto m = values_of(minus[k]);
    const auto v = values_of(cotangents_[k]);
    for (std::size_t j = 0; j < v.size(); ++j) {
      if (p[j] != m[j]) sum += static_cast<long double>(v[j]) * (p[j] - m[j]);
    }
  }
  return static_cast<double>(sum);
}

Differences::Slopes Differences::slopes(std::size_t variable, std::int64_t i, double scale) const {
  const double x = element_of(problem_.variables[variable].value, i);
  const double h = difference_step(x) * scale;
  const double right = x + h;
  const double left = x - h;
  const std::vector<Tensor> plus = at(variable, i, right);
  const std::vector<Tensor> minus = at(variable, i, left);
  Slopes s;
  s.step = h;
  s.above = weigh(plus, base_) / (right - x);
  s.below = weigh(base_, minus) / (x - left);
  s.central = weigh(plus, minus) / (right - left);
  return s;
}

double Differences::central(std::size_t variable, std::int64_t i, double scale) const {
  const double x = element_of(problem_.variables[variable].value, i);
  const double h = difference_step(x) * scale;
  const double right = x + h;
  const double left = x - h;
  return weigh(at(variable, i, right), at(variable, i, left)) / (right - left);
}

Differences::Projection Differences::along(std::size_t variable, std::span<const double> direction,
                                           std::span<const double> gradient, double scale) const {
  const Tensor& x = problem_.variables[variable].value;
  struct Restore {
    const Tensor& x;
    Tensor before;
    ~Restore() { copy_elements(before, x); }
  } restore{x, x.clone()};
  const auto before = values_of(restore.before);
  const double unit = difference_step(0) * scale;
  long double analytic = 0;
  const auto move = [&](double sign) {
    for (std::size_t i = 0; i < direction.size(); ++i) {
      if (direction[i] == 0) continue;
      const double to = before[i] + sign * difference_step(before[i]) * scale * direction[i];
      analytic += static_cast<long double>(sign * gradient[i]) * (to - before[i]);
      element_of(x, static_cast<std::int64_t>(i)) = to;
    }
    return evaluate_problem(problem_);
  };
  const std::vector<Tensor> plus = move(1);
  const std::vector<Tensor> minus = move(-1);
  return {weigh(plus, minus) / (2 * unit), static_cast<double>(analytic / (2 * unit))};
}

std::vector<double> Differences::contributions(std::size_t variable, std::int64_t i) const {
  const double x = element_of(problem_.variables[variable].value, i);
  const double h = difference_step(x);
  const std::vector<Tensor> plus = at(variable, i, x + h);
  const std::vector<Tensor> minus = at(variable, i, x - h);
  std::vector<double> list;
  for (std::size_t k = 0; k < plus.size(); ++k) {
    if (!cotangents_[k].defined()) continue;
    const auto p = values_of(plus[k]);
    const auto m = values_of(minus[k]);
    const auto v = values_of(cotangents_[k]);
    for (std::size_t j = 0; j < v.size(); ++j) list.push_back(v[j] * ((p[j] - m[j]) / ((x + h) - (x - h))));
  }
  return list;
}

}  // namespace tapegrad::detail
