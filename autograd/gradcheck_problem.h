#pragma once
// What a gradient check works on: a function of tensors in double, made from any callable or model. Internal.
#include <functional>
#include <string>
#include <tuple>
#include <vector>

#include "autograd/callable.h"
#include "autograd/tape.h"

namespace tapegrad::detail {

/// A tensor with respect to which a function is differentiated. Its elements are the check's own.
struct CheckVariable {
  std::string name;
  Tensor value;  // f64
  bool is_parameter = false;
};

/// A function of several tensors with several results. It is handed the variables in their order; parameters it reads
/// by itself.
struct CheckProblem {
  std::vector<CheckVariable> variables;
  std::function<std::vector<Tensor>(const std::vector<Tensor>&)> function;
};

/// Which check was called, and where: for messages.
struct CheckCall {
  const char* name;
  SourceLocation at;
};

/// A copy that nobody else writes to, with the memory layout of x; a repeated axis becomes a real one.
Tensor copy_with_layout(const Tensor& x, DType type);
/// ... in which floating dtypes are f64.
Tensor double_copy(const Tensor& x);
void check_input(const Tensor& x, CheckCall call);

/// "x" for the only input, "x0", "x1", ... for several.
std::string input_name(std::size_t k, std::size_t count);

// ---- results ----

inline void append_results(std::vector<Tensor>& list, Tensor y) { list.push_back(std::move(y)); }
inline void append_results(std::vector<Tensor>& list, const std::vector<Tensor>& ys) {
  list.insert(list.end(), ys.begin(), ys.end());
}
template <TupleLike Tuple>
void append_results(std::vector<Tensor>& list, const Tuple& ys) {
  std::apply([&list](const auto&... y) { (append_results(list, y), ...); }, ys);
}

// ---- calls ----

inline constexpr std::size_t most_check_inputs = 8;

template <class F, std::size_t... I>
constexpr bool takes_tensors(std::index_sequence<I...>) {
  return std::is_invocable_v<F&, decltype(static_cast<void>(I), std::declval<const Tensor&>())...>;
}
template <class F, std::size_t... I>
constexpr bool takes_args(std::index_sequence<I...>) {
  if constexpr (has_one_signature<F>) {
    return std::is_invocable_v<F&, decltype(static_cast<void>(I), std::declval<Arg>())...>;
  } else {
    return false;
  }
}
template <class F, std::size_t... I>
std::vector<Tensor> call_with(F& f, const std::vector<Tensor>& x, SourceLocation at, std::index_sequence<I...> all) {
  std::vector<Tensor> results;
  if constexpr (takes_args<F>(decltype(all)())) {
    append_results(results, f(Arg(x[I], at)...));
  } else {
    append_results(results, f(x[I]...));
  }
  return results;
}

// A generic lambda of one argument is not asked: its body would not compile for a vector.
template <class F>
constexpr bool takes_vector() {
  if constexpr (takes_tensors<F>(std::index_sequence<0>())) {
    return false;
  } else {
    return std::is_invocable_v<F&, const std::vector<Tensor>&>;
  }
}

[[noreturn]] void fail_inputs(std::size_t count, CheckCall call);

/// f(x[0], x[1], ...), or f(x) when f takes a vector.
template <class F, std::size_t count = 1>
std::vector<Tensor> call_function(F& f, const std::vector<Tensor>& x, CheckCall call) {
  if constexpr (takes_tensors<F>(std::make_index_sequence<count>())) {
    if (x.size() == count) return call_with(f, x, call.at, std::make_index_sequence<count>());
  }
  if constexpr (count < most_check_inputs) {
    return call_function<F, count + 1>(f, x, call);
  } else if constexpr (takes_vector<F>()) {
    std::vector<Tensor> results;
    append_results(results, f(x));
    return results;
  } else {
    fail_inputs(x.size(), call);
  }
}

// ---- models ----

/// Throws when a copy of a model shares a parameter with it.
void check_not_shared(const ParameterList& originals, const Path& path, const Parameter& parameter, CheckCall call);
/// The parameter in double, with an identity of its own.
Parameter double_parameter(const Parameter& parameter);

/// A copy of a function or model in double, with copies of its inputs.
template <class F>
class CheckedFunction {
 public:
  CheckedFunction(const F& f, const std::vector<Tensor>& inputs, CheckCall call) : function_(f), call_(call) {
    const Tape::Pause pause;
    for (std::size_t k = 0; k < inputs.size(); ++k) {
      check_input(inputs[k], call);
      inputs_.push_back(double_copy(inputs[k]));
      if (is_floating(inputs[k].dtype())) variables_.push_back({input_name(k, inputs.size()), inputs_[k], false});
    }
    if constexpr (!is_plain_function<F>) convert_model(f);
  }
  CheckedFunction(const CheckedFunction&) = delete;
  CheckedFunction& operator=(const CheckedFunction&) = delete;

  /// Valid as long as this object.
  CheckProblem problem() const {
    return {variables_, [this](const std::vector<Tensor>& x) { return call(x); }};
  }

 private:
  struct KeptBuffer {
    Buffer* buffer;
    Tensor value;
  };

  void convert_model(const F& original) {
    static_assert(std::is_copy_constructible_v<F>, "gradcheck copies the model, but the model cannot be copied");
    const ParameterList originals = collect_parameters(original);
    walk_model(function_, [&](const Path& path, Parameter& parameter) {
      check_not_shared(originals, path, parameter, call_);
      parameter = double_parameter(parameter);
      variables_.push_back({std::string(path.text()), parameter.value(), true});
    });
    walk_model(function_, [](const Path&, const Parameter&) {});  // names the new identities
    walk_model(function_, [&](const Path&, Buffer& buffer) {
      if (buffer.defined()) buffers_.push_back({&buffer, double_copy(buffer.value())});
    });
  }

  std::vector<Tensor> call(const std::vector<Tensor>& variables) const {
    for (const KeptBuffer& kept : buffers_) kept.buffer->exchange(kept.value.clone());
    std::vector<Tensor> inputs = inputs_;
    std::size_t next = 0;
    for (Tensor& x : inputs) {
      if (is_floating(x.dtype())) x = variables[next++];
    }
    return call_function(function_, inputs, call_);
  }

  mutable F function_;
  CheckCall call_;
  std::vector<Tensor> inputs_;
  std::vector<CheckVariable> variables_;
  std::vector<KeptBuffer> buffers_;
};

}  // namespace tapegrad::detail
