// The reference page: what it shows, and that a page which is not true any more is told line by line.
#include "autograd/ops/all.h"
#include "tests/catch.h"
#include "tests/gradcheck/page.h"

using namespace tapegrad;
using namespace tapegrad::tests;

namespace {

std::vector<OpDescription> two_ops() {
  std::vector<OpDescription> ops;
  for (OpDescription& op : detail::all_ops()) {
    if (op.name == std::string("mul") || op.name == std::string("matmul")) ops.push_back(std::move(op));
  }
  return ops;
}

std::vector<WallRow> two_rows() {
  WallRow mul, matmul;
  mul.first_order = 3e-9;
  mul.f32_value = 6e-8;
  matmul.second_order = 4e-9;
  matmul.f32_value = 2e-7;
  matmul.f32_gradient = 1e-6;
  return {mul, matmul};
}

std::string replaced(std::string page, const std::string& from, const std::string& to) {
  const std::size_t at = page.find(from);
  REQUIRE(at != std::string::npos);
  return page.replace(at, from.size(), to);
}

const std::string mul_line =
    "| `mul` | the product of a and b, element by element | `a * b` | `g * b`<br>`g * a` | 5e-08 | 5e-07 | 0 |";

std::vector<std::string> faults_of(const std::string& page) { return page_faults(page, two_ops(), two_rows()); }

}  // namespace

TEST_CASE("the reference page shows formulas, gradients, shapes and bounds of errors") {
  const std::string page = reference_page(two_ops(), two_rows());
  CHECK(page.find("\n" + mul_line + "\n") != std::string::npos);
  CHECK(page.find("| `[3, 4] [4, 2] -> [3, 2]` | 5e-08 | 1e-06 | 5e-06 |\n") != std::string::npos);
  CHECK(faults_of(page).empty());
}

TEST_CASE("lines of an earlier reference page that are still true are kept") {
  const std::string page = reference_page(two_ops(), two_rows());
  const std::string other_machine = replaced(page, "| 5e-08 | 5e-07 | 0 |", "| 2e-08 | 1e-06 | 0 |");
  CHECK(reference_page(two_ops(), two_rows(), other_machine) == other_machine);
  CHECK(reference_page(two_ops(), two_rows(), replaced(other_machine, "g * a", "g * c")) == page);
}

TEST_CASE("a reference page that is not true any more is told line by line") {
  const std::string page = reference_page(two_ops(), two_rows());
  const auto line = [](const std::string& what) { return std::vector<std::string>{"line 18 " + what}; };
  REQUIRE(page.find(mul_line) != std::string::npos);

  const std::string other = replaced(mul_line, "g * a", "g * c");
  CHECK(faults_of(replaced(page, mul_line, other)) ==
        line("reads\n    " + other + "\n  and should read\n    " + mul_line));

  CHECK(faults_of(replaced(page, "5e-08 | 5e-07 | 0 |", "5e-09 | 5e-07 | 0 |")).empty());
  CHECK(faults_of(replaced(page, "5e-08 | 5e-07 | 0 |", "2e-09 | 5e-07 | 0 |")) ==
        line("`mul`: the bound 2e-09 is exceeded: the error is 3.0e-09"));
  CHECK(faults_of(replaced(page, "5e-08 | 5e-07 | 0 |", "1e-05 | 5e-07 | 0 |")) ==
        line("`mul`: the bound 1e-05 is too wide: the error is 3.0e-09"));
  CHECK(faults_of(replaced(page, "5e-08 | 5e-07 | 0 |", "5e-08 | small | 0 |")) ==
        line("`mul`: the bound small is no number"));

  const std::vector<std::string> shorter = faults_of(replaced(page, mul_line + "\n", ""));
  REQUIRE(!shorter.empty());
  CHECK(shorter.front().find("line 18 reads") == 0);
  CHECK(shorter.back().find("ends before: | --- |") == 0);
  CHECK(faults_of(page + "more\n").back().find("goes on after line ") == 0);
}
