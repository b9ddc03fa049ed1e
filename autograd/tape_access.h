#pragma once
// What transforms may do with a tape, and users may not. Internal.
#include "autograd/record.h"

namespace tapegrad::detail {

/// Prepares inputs that are parameters: a tape that is opened next makes aliases of them, so that uses of the same parameter
/// elsewhere are constants to it.
void enter_parameters(std::vector<Tensor>& x, SourceLocation at);

class TapeAccess {
 public:
  static std::uint32_t begin(const Tape& tape) { return tape.begin_; }

  /// What was recorded so far is older than the tape: a target, but not walked.
  static void begin_here(Tape& tape) { tape.begin_ = record.size; }

  /// Walks release nothing.
  static void keep_saved(Tape& tape) { tape.keeps_saved_ = true; }

  /// Of a tape that was just opened: its walks see what an ended tape recorded from `begin` on.
  static void reopen(Tape& tape, std::uint32_t begin) {
    tape.begin_ = begin;
    tape.is_reopened_ = true;
    tape.keeps_saved_ = true;
  }

  /// What a gradient is wanted for: a tensor, or (with a null block) the entry at that index, also an older one.
  struct Wanted {
    Block* block;
    std::uint32_t index = 0;
  };

  /// The gradient of y with respect to `wanted`; an empty handle for what was not reached.
  static std::vector<Tensor> gradient(Tape& tape, const Arg& y, std::span<const Wanted> wanted,
                                      const GradientOptions& options) {
    std::vector<Tape::Target> targets;
    for (const Wanted& w : wanted) targets.push_back({w.block, w.index, {}});
    tape.has_older_targets_ = true;
    tape.walk(y, targets, options);
    std::vector<Tensor> gradients;
    for (Tape::Target& t : targets) gradients.push_back(std::move(t.gradient));
    return gradients;
  }

  /// The entry that input k of the walk's entry is.
  static std::uint32_t input_index(const Walk& walk, int k) { return input_of(walk.entry_, k); }

  /// A result with its cotangent.
  struct From {
    const Tensor& tensor;
    Tensor cotangent;
  };

  /// The gradient of the sum of all <result, cotangent>, without that sum; an empty handle for what was not reached.
  static std::vector<Tensor> gradient(Tape& tape, std::span<const From> from, std::span<const Wanted> wanted,
                                      SourceLocation at) {
    std::vector<Tape::Result> results;
    for (const From& f : from) {
      if (has(tape, f.tensor)) results.push_back({f.tensor, f.cotangent});
    }
    std::vector<Tensor> gradients(wanted.size());
    if (results.empty()) return gradients;
    std::vector<Tape::Target> targets;
    for (const Wanted& w : wanted) targets.push_back({w.block, w.index, {}});
    tape.walk(results, targets, true, at);
    for (std::size_t k = 0; k < targets.size(); ++k) gradients[k] = std::move(targets[k].gradient);
    return gradients;
  }

  /// Whether y is on the record, of a tape whose entries are no more.
  static bool has_ended(const Tape& tape, const Tensor& y) {
    const std::uint32_t i = tape.index_of_target(y.block());
    return i != 0 && is_ended(record.entries[i]);
  }

  /// Whether a walk of this tape could start at y.
  static bool has(const Tape& tape, const Tensor& y) { return tape.index_of_target(y.block()) != 0; }
};

}  // namespace tapegrad::detail
