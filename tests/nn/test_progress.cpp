#include <algorithm>
#include <sstream>
#include <string>

#include "nn/progress.h"
#include "tests/catch.h"
#include "tests/error_of.h"

using namespace tapegrad;
using tapegrad::tests::error_of;

namespace {

/// The lines of a text, with every duration ("1.2 s", "1:02 min") replaced by "T".
std::string without_times(const std::string& text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::size_t end = i;
    while (end < text.size() && (std::isdigit(static_cast<unsigned char>(text[end])) || text[end] == '.')) ++end;
    if (end > i && text.compare(end, 2, " s") == 0) {
      result += 'T';
      i = end + 1;
    } else {
      result.append(text, i, std::max<std::size_t>(end - i, 1));
      i = std::max(end, i + 1) - 1;
    }
  }
  return result;
}

}  // namespace

TEST_CASE("off a terminal, progress is a plain line after every tenth of the steps") {
  std::ostringstream out;
  {
    Progress progress{40, {.label = "training", .out = &out}};
    for (int i = 1; i <= 40; ++i) progress.step({{"loss", 1.0 / i}, {"accuracy", i / 40.0}});
  }
  const std::string text = without_times(out.str());
  CHECK(std::ranges::count(text, '\n') == 10);
  CHECK(text.starts_with("training  10 %  T  loss 0.25  accuracy 0.1\ntraining  20 %  T  loss 0.125  accuracy 0.2\n"));
  CHECK(text.ends_with("\ntraining 100 %  T  loss 0.025  accuracy 1\n"));
  CHECK(text.find('\r') == std::string::npos);
}

TEST_CASE("fewer steps than ten give one line each") {
  std::ostringstream out;
  Progress progress{3, {.out = &out}};
  for (int i = 0; i < 3; ++i) progress.step();
  CHECK(without_times(out.str()) == " 33 %  T\n 66 %  T\n100 %  T\n");
}

TEST_CASE("on a terminal, progress is one line that is drawn again") {
  std::ostringstream out;
  {
    Progress progress{4, {.label = "training", .out = &out, .terminal = true, .width = 100}};
    for (int i = 1; i <= 4; ++i) progress.step({{"loss", 0.5}});
  }
  const std::string text = without_times(out.str());
  CHECK(text.starts_with("\rtraining [######..................]  25 %  T left  loss 0.5"));
  // The last state is always drawn; the blanks cover the rest of the longer line before.
  CHECK(ContainsSubstring("\rtraining [########################] 100 %  T  loss 0.5     \n").match(text));
  CHECK(std::ranges::count(text, '\n') == 1);
}

TEST_CASE("a terminal line is ended when the loop is left early") {
  std::ostringstream out;
  {
    Progress progress{4, {.out = &out, .terminal = true}};
    progress.step();
  }
  CHECK(out.str().ends_with("\n"));
}

TEST_CASE("a line is never wider than the terminal") {
  std::ostringstream out;
  {
    Progress progress{1, {.label = std::string(1000, 'x'), .out = &out, .terminal = true, .width = 40}};
    progress.step();
  }
  CHECK(out.str() == "\r" + std::string(39, 'x') + "\n");
}

TEST_CASE("steps beyond the total show nothing") {
  std::ostringstream out;
  Progress progress{1, {.out = &out}};
  progress.step();
  const std::string text = out.str();
  progress.step();
  CHECK(out.str() == text);
}

TEST_CASE("progress needs at least one step") {
  const auto at = SourceLocation::current();
  const auto error = [&](std::int64_t total) { return error_of([&] { Progress(total, {}, at); }, at); };
  CHECK(error(0) == "Progress: total is 0; it must be at least 1, at here");
  CHECK(error(-2) == "Progress: total is -2; it must be at least 1, at here");
}
