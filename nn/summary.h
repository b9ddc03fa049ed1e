#pragma once
// A table of a model's layers: what runs, with which result, and how many parameters it has.
#include <iosfwd>
#include <string>
#include <vector>

#include "autograd/create.h"
#include "autograd/random.h"
#include "nn/layer.h"

namespace tapegrad {
namespace nn {

/// A table of layers in the order of the model's fields; print it with <<.
struct Summary {
  struct Row {
    std::string name;             ///< path in the model; "" for parameters of the model itself
    std::string type;             ///< "Dense"
    std::string output;           ///< shape of the first result, without dtype; "" when the layer was not called
    std::int64_t parameters = 0;  ///< elements of the layer's own parameters
  };

  std::string model;   ///< type of the model
  std::string input;   ///< "f32[64, 8, 8, 1]"
  std::string output;  ///< of the model
  std::vector<Row> rows;
  std::int64_t parameters = 0;  ///< elements of all parameters
  std::int64_t buffers = 0;     ///< elements of all buffers
  std::int64_t bytes = 0;       ///< of both
};

std::ostream& operator<<(std::ostream& out, const Summary& summary);
std::string to_string(const Summary& summary);

}  // namespace nn

namespace detail {

/// Collects a row for every struct and layer of a model, and the shapes of the results.
class SummaryBuilder : public LayerObserver {
 public:
  template <class T>
  void enter(const Path& path, const T&) {
    open_row(path, type_name<T>());
  }
  template <class T>
  void leave(const Path&, const T&) {
    open_.pop_back();
  }
  void operator()(const Path& path, const Parameter& parameter);
  void operator()(const Path& path, const Buffer& buffer);
  void on_result(std::uint32_t layer, const Tensor& result) override;

  /// Drops what has neither parameters nor a result.
  nn::Summary finish(std::string_view model, const Tensor& input, const Tensor& output) &&;

 private:
  void open_row(const Path& path, std::string_view type);
  nn::Summary::Row& own_row(const Path& path);

  nn::Summary summary_;
  std::vector<std::uint32_t> names_;  // of the rows
  std::vector<std::size_t> open_;     // rows of the structs around the current place
  std::vector<const Block*> known_;
};

/// Puts the default generator, and the buffers that it is called with, back to what they were.
class StateGuard {
 public:
  StateGuard() : random_(random::state()) {}
  ~StateGuard();
  StateGuard(const StateGuard&) = delete;
  StateGuard& operator=(const StateGuard&) = delete;
  /// The buffer works on a copy from now on.
  void operator()(const Path&, const Buffer& buffer);

 private:
  struct Saved {
    const Buffer* buffer;
    Tensor value;
  };
  random::Generator random_;
  std::vector<Saved> buffers_;
};

/// model(x), such that errors name the line `at` where the model's own code does not stand in between.
template <class Model>
Tensor call_at(const Model& model, const Tensor& x, SourceLocation at) {
  if constexpr (has_one_signature<Model>) {
    if constexpr (std::is_invocable_v<const Model&, Arg>) return model(Arg(x, at));
  }
  return model(x);
}

}  // namespace detail

namespace nn {

/// Runs the model on that input, outside of any tape, and describes what ran. Buffers, the mode and the random state
/// are afterwards as they were.
template <class Model>
Summary summary(const Model& model, const Tensor& input, SourceLocation at = SourceLocation::current()) {
  if (!input.defined()) fail("nn::summary: the input is an empty handle", at);
  const Tape::Pause pause;
  detail::StateGuard guard;
  detail::walk_model(model, guard);
  detail::SummaryBuilder builder;
  detail::walk_model(model, builder);
  const Tensor output = detail::call_at(model, input, at);
  return std::move(builder).finish(detail::type_name<Model>(), input, output);
}

struct SummaryOptions {
  DType dtype = f32;  ///< of the input
};

/// ... on zeros of that shape: `std::cout << nn::summary(net, {64, 8, 8, 1});`
template <class Model>
Summary summary(const Model& model, const Shape& input, SummaryOptions options = {},
                SourceLocation at = SourceLocation::current()) {
  return summary(model, zeros(input, options.dtype), at);
}

}  // namespace nn
}  // namespace tapegrad
