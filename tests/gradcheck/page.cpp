#include "tests/gradcheck/page.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <sstream>

namespace tapegrad::tests {
namespace {

constexpr const char* introduction =
    R"(<!-- Written by `build/tests/gradcheck --write-page docs/ops.md`. Do not edit: change the op and run it again. -->

# The ops

Every op of the library. [One op, one place](02-one-op-one-place.md) says how to add one.

The last three columns are bounds of relative errors, measured on all samples of an op and kept by the tests on every instruction
set. *Check*: f64 gradients of first and second order against differences; it is mostly the error of the differences. *f32* and
*f32 gradient*: the kernels that train, against the same in f64. An error of 0 means equal bits.
)";

constexpr const char* pointwise_introduction = R"(
## Pointwise ops

Inputs broadcast as in NumPy; the result has the broadcast shape. There is one gradient for each input, in the order of the
arguments; in it g is the gradient that arrives and y is the result. Formulas and gradients are printed from the programs that run.

)";

constexpr const char* structured_introduction = R"(
## Structured ops

Their gradients are rules written in ops of this page. The shapes are those of one of the samples.

)";

constexpr const char* composite_introduction = R"(
## Composite functions

Functions made of the ops above. They have no entry of their own on the tape.

)";

/// How a column's bounds follow from errors, so that they hold for all instruction sets: the room left above what was
/// measured, and the smallest error that is distinguished.
struct Column {
  double room, smallest;
};
constexpr Column check_column = {10, 1e-14};  // the rounding of differences varies most
constexpr Column f32_column = {4, 1e-7};
constexpr double widest_room = 1000;

/// The error with its room, rounded up to 1, 2 or 5 times a power of ten.
double bound_of(double error, Column column) {
  if (error == 0) return 0;
  const double wanted = std::max(column.room * error, column.smallest) * (1 - 1e-9);
  const double power = std::pow(10.0, std::floor(std::log10(wanted)));
  for (const double step : {1.0, 2.0, 5.0}) {
    if (wanted <= step * power) return step * power;
  }
  return 10 * power;
}

std::string bound_text(double bound) {
  char text[32];
  std::snprintf(text, sizeof text, "%.0e", bound);
  return bound == 0 ? "0" : text;
}

struct Cell {
  std::string text;
  double error = -1;  // of a bound: what was measured
  Column column = check_column;
};

using Line = std::vector<Cell>;

std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) result += c == '|' ? "\\|" : std::string(1, c);
  return result;
}

std::string code(const std::string& text) { return "`" + escaped(text) + "`"; }

Cell bound(double error, Column column) { return {bound_text(bound_of(error, column)), error, column}; }

void add_errors(Line& line, const WallRow& row) {
  line.push_back(bound(std::max(row.first_order, row.second_order), check_column));
  line.push_back(bound(row.f32_value, f32_column));
  line.push_back(bound(row.f32_gradient, f32_column));
}

std::string gradients_of(const OpDescription& op) {
  if (op.gradients.empty()) return "none";
  std::string text;
  for (const std::string& gradient : op.gradients) text += (text.empty() ? "" : "<br>") + code(gradient);
  return text;
}

std::string shapes_of(const OpDescription& op) {
  const auto is_matrix = [](const OpSample& s) { return s.inputs[0].ndim() >= 2 && s.inputs[0].size() > 1; };
  auto sample = std::find_if(op.samples.begin(), op.samples.end(), is_matrix);
  if (sample == op.samples.end()) sample = op.samples.begin();
  std::string text;
  for (const Tensor& x : sample->inputs) text += to_string(x.shape()) + " ";
  return code(text + "-> " + to_string(sample->apply(sample->inputs).shape()));
}

Line row_of(const OpDescription& op, const WallRow& row) {
  Line line{{code(op.name)}, {escaped(op.doc)}};
  if (op.kind == OpKind::pointwise) {
    line.push_back({code(op.formula)});
    line.push_back({gradients_of(op)});
  } else {
    if (!op.formula.empty()) line.back().text += " " + code(op.formula);
    line.push_back({shapes_of(op)});
  }
  add_errors(line, row);
  return line;
}

/// The page as lines; those of a table have several cells.
std::vector<Line> lines_of(const std::vector<OpDescription>& ops, const std::vector<WallRow>& rows) {
  std::vector<Line> lines;
  const auto add_text = [&](const std::string& text) {
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) lines.push_back({{line}});
  };
  const auto add_table = [&](OpKind kind, const Line& head) {
    lines.push_back(head);
    lines.push_back(Line(head.size(), {"---"}));
    for (std::size_t k = 0; k < ops.size(); ++k) {
      if (ops[k].kind == kind) lines.push_back(row_of(ops[k], rows[k]));
    }
  };
  add_text(introduction);
  const Line shapes_head = {{"op"}, {"what it is"}, {"shapes"}, {"check"}, {"f32"}, {"f32 gradient"}};
  add_text(pointwise_introduction);
  add_table(OpKind::pointwise,
            {{"op"}, {"what it is"}, {"formula"}, {"gradients"}, {"check"}, {"f32"}, {"f32 gradient"}});
  add_text(structured_introduction);
  add_table(OpKind::structured, shapes_head);
  add_text(composite_introduction);
  add_table(OpKind::composite, shapes_head);
  return lines;
}

std::string text_of(const Line& line) {
  if (line.size() == 1) return line[0].text;
  std::string text = "|";
  for (const Cell& cell : line) text += " " + cell.text + " |";
  return text;
}

/// The cells of a table's line as they are written.
std::vector<std::string> cells_of(const std::string& line) {
  std::vector<std::string> cells;
  std::size_t start = line.find("| ");
  while (start != std::string::npos && start + 2 < line.size()) {
    start += 2;
    const std::size_t end = line.find(" |", start);
    if (end == std::string::npos) break;
    cells.push_back(line.substr(start, end - start));
    start = end + 1;
  }
  return cells;
}

/// What is wrong with a bound on the page, or "".
std::string bound_fault(const Cell& now, const std::string& written) {
  char* end = nullptr;
  const double bound = std::strtod(written.c_str(), &end);
  if (end == written.c_str() || *end != '\0') return "is no number";
  const bool may_round = bound == 0 && now.column.smallest < 1e-10;  // f64 differences; f32 kernels may not
  const double allowed = may_round ? now.column.smallest : bound;
  char text[64] = "";
  if (!(now.error <= allowed)) std::snprintf(text, sizeof text, "is exceeded: the error is %.1e", now.error);
  const bool says_nothing = now.error > 0 && bound > widest_room * std::max(now.error, now.column.smallest);
  if (says_nothing) std::snprintf(text, sizeof text, "is too wide: the error is %.1e", now.error);
  return text;
}

/// "" when the line on the page is true.
std::string line_fault(const Line& now, const std::string& written) {
  const std::string expected = text_of(now);
  if (written == expected) return "";
  const std::string differs = "reads\n    " + written + "\n  and should read\n    " + expected;
  const std::vector<std::string> cells = cells_of(written);
  if (now.size() == 1 || cells.size() != now.size()) return differs;
  for (std::size_t k = 0; k < cells.size(); ++k) {
    if (now[k].error < 0 && cells[k] != now[k].text) return differs;
  }
  for (std::size_t k = 0; k < cells.size(); ++k) {
    const std::string fault = now[k].error < 0 ? "" : bound_fault(now[k], cells[k]);
    if (!fault.empty()) return cells[0] + ": the bound " + cells[k] + " " + fault;
  }
  return "";
}

}  // namespace

std::string reference_page(const std::vector<OpDescription>& ops, const std::vector<WallRow>& rows,
                           const std::string& earlier) {
  std::vector<std::string> kept;
  std::istringstream stream(earlier);
  for (std::string line; std::getline(stream, line);) kept.push_back(line);
  std::string page;
  for (const Line& line : lines_of(ops, rows)) {
    const auto same =
        std::find_if(kept.begin(), kept.end(), [&](const std::string& old) { return line_fault(line, old).empty(); });
    page += (same == kept.end() ? text_of(line) : *same) + "\n";
  }
  return page;
}

std::vector<std::string> page_faults(const std::string& page, const std::vector<OpDescription>& ops,
                                     const std::vector<WallRow>& rows) {
  std::vector<std::string> faults;
  std::istringstream stream(page);
  int number = 0;
  std::string written;
  for (const Line& line : lines_of(ops, rows)) {
    ++number;
    if (!std::getline(stream, written)) {
      faults.push_back("ends before: " + text_of(line));
      return faults;
    }
    const std::string fault = line_fault(line, written);
    if (!fault.empty()) faults.push_back("line " + std::to_string(number) + " " + fault);
  }
  if (std::getline(stream, written)) faults.push_back("goes on after line " + std::to_string(number) + ": " + written);
  return faults;
}

}  // namespace tapegrad::tests
