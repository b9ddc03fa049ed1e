#include "tests/gradcheck/program.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>

#include "autograd/gradcheck.h"
#include "autograd/kernels/table.h"
#include "autograd/names.h"
#include "tests/gradcheck/coverage.h"
#include "tests/gradcheck/page.h"

namespace tapegrad::tests {

namespace {

constexpr std::size_t most_faults = 5;  // printed of an op

struct UnknownName {};

bool contains(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Keeps the ops and layers that were asked for.
void select(std::vector<OpDescription>& ops, std::vector<LayerDescription>& layers,
            const std::vector<std::string>& names) {
  if (names.empty()) return;
  std::vector<std::string> known;
  for (const OpDescription& op : ops) known.push_back(op.name);
  for (const LayerDescription& layer : layers) known.push_back(layer.name);
  for (const std::string& name : names) {
    if (contains(known, name)) continue;
    const std::string nearest = detail::nearest_name(name, known);
    std::cerr << "gradcheck: there is no op or layer `" << name << "`";
    if (!nearest.empty()) std::cerr << "; did you mean `" << nearest << "`?";
    std::cerr << '\n';
    throw UnknownName();
  }
  std::erase_if(ops, [&](const OpDescription& op) { return !contains(names, op.name); });
  std::erase_if(layers, [&](const LayerDescription& layer) { return !contains(names, layer.name); });
}

void print_row(const WallRow& row) {
  char forward[16] = "-", dot_test[16] = "-";
  if (row.has_jvp) std::snprintf(forward, sizeof forward, "%.0e", row.forward);
  if (row.has_forward_rule) std::snprintf(dot_test, sizeof dot_test, "%.0e", row.dot_test);
  std::printf("%-24s %5d %8d  %9.0e %9.0e %6s %8s %10.0e %10.0e  %s\n", row.name.c_str(), row.cases, row.threaded,
              row.first_order, row.second_order, forward, dot_test, row.f32_value, row.f32_gradient,
              row.passed() ? "passed" : "FAILED");
  for (std::size_t k = 0; k < row.faults.size() && k < most_faults; ++k) std::printf("  %s\n", row.faults[k].c_str());
  if (row.faults.size() > most_faults) std::printf("  ... and %zu more\n", row.faults.size() - most_faults);
  std::fflush(stdout);
}

// True when the samples of all ops reached every kernel.
bool print_coverage(int reached, const std::vector<std::string>& missed) {
  std::printf("%d kernels and paths reached\n", reached);
  for (const std::string& name : missed) std::printf("  FAILED: no sample reaches %s\n", name.c_str());
  return missed.empty();
}

std::string read(const std::string& file) {
  std::ifstream in(file);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

bool write_page(const std::string& file, const std::vector<OpDescription>& ops, const std::vector<WallRow>& rows) {
  const std::string page = reference_page(ops, rows, read(file));
  std::ofstream out(file);
  out << page;
  return static_cast<bool>(out.flush());
}

// True when the page is up to date.
bool check_page(const std::string& file, const std::vector<OpDescription>& ops, const std::vector<WallRow>& rows) {
  const std::vector<std::string> faults = page_faults(read(file), ops, rows);
  for (std::size_t k = 0; k < faults.size() && k < most_faults; ++k) {
    std::printf("%s: %s\n", file.c_str(), faults[k].c_str());
  }
  if (!faults.empty()) std::printf("FAILED: the page is not up to date; write it with gradcheck --write-page FILE\n");
  return faults.empty();
}

int run(std::vector<OpDescription> ops, std::vector<LayerDescription> layers, std::vector<std::string> names) {
  std::string page;
  const bool writes = names.size() == 2 && names[0] == "--write-page";
  if (writes || (names.size() == 2 && names[0] == "--check-page")) {
    page = names[1];
    names.clear();
  }

  count_kernel_calls();
  select(ops, layers, names);
  std::printf("kernels: %s\n\n", kernels::instruction_set());
  // Relative errors: of f64 gradients and jvp against differences, of gradients against forward rules of their own, and
  // of f32 kernels against f64 ones.
  std::printf("%-24s %5s %8s  %9s %9s %6s %8s %10s %10s\n", "", "", "", "gradients", "", "", "", "f32 and", "f64");
  std::printf("%-24s %5s %8s  %9s %9s %6s %8s %10s %10s  %s\n", "op or layer", "cases", "threaded", "1st order",
              "2nd order", "jvp", "dot test", "forward", "backward", "verdict");
  std::size_t failed_ops = 0, failed_layers = 0;
  std::vector<WallRow> rows;
  for (const OpDescription& op : ops) {
    rows.push_back(check_op(op));
    print_row(rows.back());
    failed_ops += !rows.back().passed();
  }
  // Of ops alone: a kernel that only a layer reaches is checked less well.
  const std::vector<std::string> missed = kernels_not_reached();
  const int reached = kernels_reached();
  for (const LayerDescription& layer : layers) {
    const WallRow row = check_layer(layer);
    print_row(row);
    failed_layers += !row.passed();
  }
  std::printf("\n%zu of %zu ops passed\n", ops.size() - failed_ops, ops.size());
  if (!layers.empty()) std::printf("%zu of %zu layers passed\n", layers.size() - failed_layers, layers.size());
  const bool all_reached = !names.empty() || print_coverage(reached, missed);
  const bool page_is_good = page.empty() || (writes ? write_page : check_page)(page, ops, rows);
  return failed_ops || failed_layers || !all_reached || !page_is_good ? 1 : 0;
}

}  // namespace

int gradcheck_program(const std::vector<OpDescription>& ops, const std::vector<LayerDescription>& layers,
                      const std::vector<std::string>& arguments) {
  try {
    return run(ops, layers, arguments);
  } catch (const UnknownName&) {
    return 2;
  } catch (const std::exception& error) {
    std::cerr << "gradcheck: " << error.what() << '\n';
    return 1;
  }
}

}  // namespace tapegrad::tests
