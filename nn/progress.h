#pragma once
// Progress: a progress bar for training loops.
#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <optional>
#include <string>

#include "autograd/error.h"

namespace tapegrad {

struct ProgressOptions {
  /// Stands before the bar.
  std::string label = {};
  /// Where to draw; std::cerr when null.
  std::ostream* out = nullptr;
  /// Redraw one line (true) or write plain lines (false); by default true exactly when the stream is a terminal.
  std::optional<bool> terminal = {};
  /// Characters of the line on a terminal; 0 asks the terminal (80 when it does not say).
  int width = 0;
};

/// Shows how far a loop of `total` steps is, how long the rest will take, and some numbers of its choice.
///
///     Progress progress{epochs, {.label = "training"}};
///     for (int epoch = 0; epoch < epochs; ++epoch) {
///       ...
///       progress.step({{"loss", loss}});
///     }
///
/// On a terminal it is one line, redrawn at most ten times a second; elsewhere (a file, a pipe) it is a plain line
/// after every tenth of the steps. A step makes no heap allocation. Throws when `total` is below 1.
class Progress {
 public:
  struct Metric {
    const char* name;
    double value;
  };

  explicit Progress(std::int64_t total, const ProgressOptions& options = {},
                    SourceLocation at = SourceLocation::current());
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  /// Ends the line on a terminal, also when the loop was left early.
  ~Progress();

  /// One more step is done. Steps beyond `total` are not shown.
  void step(std::initializer_list<Metric> metrics = {});

 private:
  using Clock = std::chrono::steady_clock;

  void draw(std::initializer_list<Metric> metrics, Clock::time_point now);
  void write_line(std::initializer_list<Metric> metrics, Clock::time_point now);

  std::int64_t total_;
  std::int64_t done_ = 0;
  std::string label_;
  std::ostream* out_;
  bool terminal_;
  int width_;
  Clock::time_point started_;
  Clock::time_point drawn_;
  int drawn_length_ = 0;  // characters of the line that is on the terminal
};

}  // namespace tapegrad
