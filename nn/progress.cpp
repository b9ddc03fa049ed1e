#include "nn/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string_view>

namespace tapegrad {

namespace {

/// A line of fixed capacity; what does not fit is cut off.
class Line {
 public:
#if defined(__GNUC__)
  __attribute__((format(printf, 2, 3)))
#endif
  void
  add(const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const int written = std::vsnprintf(text_.data() + length_, text_.size() - length_, format, arguments);
    va_end(arguments);
    if (written > 0) length_ = std::min(length_ + static_cast<std::size_t>(written), text_.size() - 1);
  }
  void cut(int length) { length_ = std::min(length_, static_cast<std::size_t>(length)); }
  int length() const { return static_cast<int>(length_); }
  std::string_view text() const { return {text_.data(), length_}; }

 private:
  std::array<char, 512> text_{};
  std::size_t length_ = 0;
};

bool is_terminal(const std::ostream& out) {
  const char* kind = std::getenv("TERM");
  if (kind == nullptr || std::string_view(kind) == "dumb") return false;
  if (&out == &std::cerr || &out == &std::clog) return isatty(STDERR_FILENO) != 0;
  return &out == &std::cout && isatty(STDOUT_FILENO) != 0;
}

/// The width of the terminal.
int columns() {
  winsize size{};
  const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0;
  return known && size.ws_col > 0 ? size.ws_col : 80;
}

void add_duration(Line& line, double seconds) {
  if (seconds < 60) {
    line.add("%.1f s", seconds);
  } else {
    const auto whole = static_cast<long long>(seconds);
    line.add("%lld:%02lld min", whole / 60, whole % 60);
  }
}

}  // namespace

Progress::Progress(std::int64_t total, const ProgressOptions& options, SourceLocation at)
    : total_(total),
      label_(options.label),
      out_(options.out ? options.out : &std::cerr),
      terminal_(options.terminal.value_or(is_terminal(*out_))),
      width_(options.width > 0 ? options.width : columns()),
      started_(Clock::now()),
      drawn_(started_) {
  if (total < 1) fail("Progress: total is " + std::to_string(total) + "; it must be at least 1", at);
}

Progress::~Progress() {
  if (terminal_ && drawn_length_ > 0) *out_ << '\n' << std::flush;
}

void Progress::step(std::initializer_list<Metric> metrics) {
  if (done_ == total_) return;
  ++done_;
  const Clock::time_point now = Clock::now();
  if (terminal_) {
    const bool due = drawn_length_ == 0 || now - drawn_ >= std::chrono::milliseconds(100);
    if (due || done_ == total_) draw(metrics, now);
  } else if (done_ * 10 / total_ != (done_ - 1) * 10 / total_) {
    write_line(metrics, now);
  }
}

void Progress::draw(std::initializer_list<Metric> metrics, Clock::time_point now) {
  constexpr int bar_width = 24;
  const double share = static_cast<double>(done_) / static_cast<double>(total_);
  const double elapsed = std::chrono::duration<double>(now - started_).count();
  const int filled = static_cast<int>(share * bar_width);
  Line line;
  line.add("%s%s[", label_.c_str(), label_.empty() ? "" : " ");
  for (int i = 0; i < bar_width; ++i) line.add("%c", i < filled ? '#' : '.');
  line.add("] %3d %%  ", static_cast<int>(share * 100));
  if (done_ == total_) {
    add_duration(line, elapsed);
  } else {
    add_duration(line, elapsed / share - elapsed);
    line.add(" left");
  }
  for (const Metric& metric : metrics) line.add("  %s %.4g", metric.name, metric.value);
  line.cut(width_ - 1);  // a longer line would wrap, and only its last part would be redrawn
  const int length = line.length();
  // Blanks cover what is left of a longer line.
  line.add("%*s", std::max(0, drawn_length_ - length), "");
  *out_ << '\r' << line.text() << std::flush;
  drawn_length_ = length;
  drawn_ = now;
}

void Progress::write_line(std::initializer_list<Metric> metrics, Clock::time_point now) {
  Line line;
  line.add("%s%s%3d %%  ", label_.c_str(), label_.empty() ? "" : " ",
           static_cast<int>(100 * static_cast<double>(done_) / static_cast<double>(total_)));
  add_duration(line, std::chrono::duration<double>(now - started_).count());
  for (const Metric& metric : metrics) line.add("  %s %.4g", metric.name, metric.value);
  *out_ << line.text() << '\n' << std::flush;
}

}  // namespace tapegrad
