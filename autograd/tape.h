#pragma once
// The tape: what ran on this thread while a Tape was open, and the walk back over it.
//
// Read list.h first (what is written down), then this file, then tape.cpp. Printing and drawing are in tape_print.cpp.
#include <functional>
#include <iosfwd>
#include <list>
#include <string>
#include <utility>
#include <vector>

#include "autograd/arg.h"
#include "autograd/gradients.h"
#include "autograd/list.h"
#include "autograd/reflect.h"

namespace tapegrad {

namespace detail {
struct IndexedRows;
struct RowParts;
}  // namespace detail

/// What an op's rule sees while the walk is at its entry.
class Walk {
 public:
  /// True when the gradient of input k is wanted.
  bool needs(int k) const { return k < 3 ? needed_ >> k & 1 : needs_far(k); }
  /// Input k as it was in the forward pass. Throws when its elements were changed since.
  const Tensor& input(int k) const { return saved(entry_.op->slot_of_input[k]); }
  /// The op's output, when its rule uses it.
  const Tensor& output() const { return saved(entry_.op->slot_of_output); }
  /// The tensor that the op saved in one of its slots.
  const Tensor& saved(std::size_t slot) const {
    if (slot < 2 && saved_[slot].defined()) [[likely]] {
      const detail::Block* storage = saved_[slot].block()->storage();
      if (storage->version == entry_.version[slot]) [[likely]]
        return saved_[slot];
    }
    return saved_elsewhere(slot);
  }
  /// The shape of a tracked input.
  Shape shape(int k) const;
  /// Hands over the gradient of input k; it is ignored when nobody needs it. Axes along which the input was broadcast
  /// are summed, the input's dtype is restored, and contributions of several consumers are added up.
  void give(int k, Tensor&& gradient);
  void give(int k, const Tensor& gradient);
  /// True when input k is a parameter whose gradient the caller takes by touched rows (touched_rows.h), and nobody
  /// looks at it on the way.
  bool takes_rows(int k) const;
  /// Hands over rows of the gradient of input k, where takes_rows(k).
  void give_rows(int k, detail::IndexedRows rows);
  /// Bit k: needs(k), for the first three inputs.
  unsigned needed() const { return needed_ & 7; }
  /// True when an enclosing tape records this walk: a fused backward must then be written in differentiable ops.
  bool recording() const { return detail::record.recording != nullptr; }
  template <class T>
  const T& attributes() const {
    return *static_cast<const T*>(entry_.extra->attributes());
  }
  const detail::Op& op() const { return *entry_.op; }
  SourceLocation at() const { return entry_.at; }
  int inputs() const { return detail::inputs_of(entry_); }

 private:
  friend class Tangents;
  friend class Tape;
  friend class detail::TapeAccess;
  bool needs_far(int k) const;
  void begin(std::uint32_t i, bool keep);
  void end() noexcept;
  const Tensor& saved_elsewhere(std::size_t slot) const;
  void give_fitted(int k, Tensor& gradient);
  void give_copy(int k, Tensor gradient);
  void add(std::uint32_t in, Tensor& gradient);
  void check_finite() const;
  [[noreturn]] void fail_empty(int k) const;
  std::uint64_t* slot(int k) const {
    const std::uint32_t in = detail::input_of(entry_, k);
    return in < first_ ? nullptr : &detail::record.slots[base_ + in - first_];
  }

  detail::Entry entry_{};  // a copy: the list may grow while the rule runs
  Tensor saved_[detail::max_saved];
  std::uint32_t first_ = 0, base_ = 0;
  unsigned needed_ = 0;
  bool owns_ = false;
  detail::RowParts* rows_ = nullptr;
};

struct GradientOptions {
  Tensor seed = {};           ///< the cotangent of the result; needed when it has more than one element
  bool allow_unused = false;  ///< what was not reached gets no gradient instead of an Error
};

struct TapeOptions {
  bool persistent = false;    ///< keep what was saved after a walk, and every value and gradient for print()
  bool check_finite = false;  ///< throw at the first entry or gradient with a NaN or an infinity (finite.h)
};

struct TapeStatistics {
  std::size_t entries = 0;       ///< since this tape was opened
  std::size_t saved_bytes = 0;   ///< elements held for the backward pass, each storage once
  std::uint64_t rule_calls = 0;  ///< on this thread, since it started
};

/// A scope in which ops are recorded. It ends with the scope; tapes nest strictly and belong to their thread. One that
/// is still open when the tape or pause around it ends is ended with it and says so on standard error: it records no
/// more, and gradient() and watch() throw.
class Tape {
 public:
  explicit Tape(TapeOptions options = {}, SourceLocation at = SourceLocation::current());
  ~Tape();
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  /// Tracks a tensor that is not a parameter: the handle x becomes an alias of itself that this tape knows. One that was
  /// recorded since this tape was opened stays as it is. Throws for an integer tensor.
  void watch(Tensor& x, SourceLocation at = SourceLocation::current());

  /// The gradient of y with respect to x, by walking this tape back from y: entries since the tape was opened, and
  /// parameters; anything older is a constant. The walk releases what it passes, unless the tape is persistent or an
  /// enclosing tape is open, which then records the walk: that is how higher derivatives are made.
  /// Throws when y has more than one element and no seed is given, when y is not on this tape, when x was not reached
  /// (unless `allow_unused`), when a saved tensor was changed since, or when entries were released by an earlier walk.
  Tensor gradient(Arg y, const Tensor& x, const GradientOptions& options = {});
  Tensor gradient(Arg y, const Parameter& x, const GradientOptions& options = {});
  std::vector<Tensor> gradient(Arg y, const std::vector<Tensor>& xs, const GradientOptions& options = {});
  /// ... with respect to every parameter of a model. The gradient of a table that only sparse look-ups used is kept by
  /// the rows that they touched, see Gradients.
  template <class Model>
    requires(!std::is_convertible_v<const Model&, const Tensor&>)
  Gradients gradient(Arg y, const Model& model, const GradientOptions& options = {}) {
    return gradient(y, detail::collect_parameters(model), options);
  }

  /// Calls f with the gradient of x in every walk of this tape that computes it, as soon as all uses of x have given
  /// their share: to look at it, or, when f returns a tensor of the same shape and dtype, to put that in its place:
  ///     tape.on_gradient(hidden, [](const Tensor& g) { return minimum(maximum(g, -1), 1); });
  /// What f computes is recorded where the walk is. Several functions of one tensor are called in the order in which they
  /// came. Throws when x is not on this tape.
  template <class F>
  void on_gradient(const Tensor& x, F f, SourceLocation at = SourceLocation::current()) {
    if constexpr (std::is_void_v<std::invoke_result_t<F&, const Tensor&>>) {
      add_hook(
          x, [f = std::move(f)](const Tensor& g) mutable { return f(g), Tensor(); }, at);
    } else {
      add_hook(x, std::move(f), at);
    }
  }

  /// The list as a table: index, op, result, inputs, value, gradient, layer and line. Values and gradients are those of
  /// a persistent tape; without one the gradient column reads "walked", or "released" when the walk has let go of what
  /// the entry saved. Before a walk it reads "not walked". The last line has the totals of statistics().
  void print(std::ostream& out) const;
  /// The list as a graph in Graphviz's DOT language, to a stream or a file. Throws when the file cannot be written.
  void dot(std::ostream& out) const;
  void dot(const std::string& file, SourceLocation at = SourceLocation::current()) const;
  TapeStatistics statistics() const;
  std::size_t size() const { return begin_ == ended ? 0 : detail::record.size - begin_; }

  /// Nothing is recorded on this thread while it lives: metrics, averages of weights, finite differences.
  class Pause {
   public:
    Pause() : recording_(std::exchange(detail::record.recording, nullptr)), innermost_(detail::record.innermost) {}
    ~Pause() {
      if (detail::record.innermost != innermost_) [[unlikely]]
        restore_nesting();
      detail::record.recording = recording_;
    }
    Pause(const Pause&) = delete;
    Pause& operator=(const Pause&) = delete;

   private:
    void restore_nesting() noexcept;

    Tape* recording_;
    Tape* innermost_;
  };

 private:
  struct Result {
    const Tensor& tensor;
    const Tensor& cotangent;  // an empty handle: 1
    std::uint32_t index = 0;
  };
  struct Target {
    detail::Block* block;  // null: the entry at `index`
    std::uint32_t index;
    Tensor gradient;
    bool has_rows = false;  // its gradient, or a part of it, came by rows
  };
  struct Hook {
    std::uint32_t index;
    std::function<Tensor(const Tensor&)> function;  // no tensor: the gradient stays
  };
  friend struct detail::Record;
  friend class detail::TapeAccess;
  static constexpr std::uint32_t ended = ~0u;  // as begin_
  static bool is_open(const Tape* tape) noexcept;
  static bool checks_finite(const Tape* tape) noexcept;
  static void end_younger(const Tape* tape) noexcept;
  void end() noexcept;
  Gradients gradient(Arg y, detail::ParameterList parameters, const GradientOptions& options);
  void add_hook(const Tensor& x, std::function<Tensor(const Tensor&)> f, SourceLocation at);
  void run_hooks(std::uint32_t i, std::uint32_t place);
  void walk(const Arg& y, std::span<Target> targets, const GradientOptions& options, detail::RowParts* rows = nullptr);
  void walk(std::span<Result> results, std::span<Target> targets, bool allow_unused, SourceLocation at,
            detail::RowParts* rows = nullptr);
  void find(Result& result, SourceLocation at) const;
  void walk_back(std::uint32_t first, std::uint32_t last, std::uint32_t base, SourceLocation at,
                 detail::RowParts* rows);
  std::uint32_t index_of_target(detail::Block* block) const;
  [[noreturn]] void fail_unreached(std::span<const Target> targets, SourceLocation at) const;

  std::uint32_t begin_;
  Tape* enclosing_;  // the tape that recorded when this one was opened
  Tape* older_;      // ... and the innermost one then
  bool keeps_values_;
  bool keeps_saved_ = false;        // after a walk
  bool is_reopened_ = false;        // its entries belong to a tape around it, and outlive it
  bool has_older_targets_ = false;  // gradients of what is older than this tape may be asked for
  TapeOptions options_;
  std::list<Hook> hooks_;  // one that runs may add others
  SourceLocation opened_at_;
};

/// Runs f with recording switched off and returns its result.
template <class F>
auto no_tape(F&& f) {
  Tape::Pause pause;
  return std::forward<F>(f)();
}

/// The same elements as a constant: no gradient flows through it. Throws for an empty handle.
Tensor stop_gradient(Arg x);

}  // namespace tapegrad
