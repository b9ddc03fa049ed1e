// How reports of gradient checks are combined and printed.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ostream>
#include <sstream>

#include "autograd/gradcheck.h"

namespace tapegrad {
namespace {

constexpr std::size_t most_shown = 10;
constexpr std::size_t most_rows = 16;  // a table of more tensors hides what matters

template <class... A>
std::string format(const char* pattern, A... values) {
  char text[160];
  const int length = std::snprintf(text, sizeof text, pattern, values...);
  return {text, static_cast<std::size_t>(std::min<int>(length, sizeof text - 1))};
}

std::string thousands(std::int64_t n) {
  std::string text = std::to_string(n);
  for (std::size_t k = text.size(); k > 3;) text.insert(k -= 3, ",");
  return text;
}

std::string plural(std::int64_t n, const char* what) { return thousands(n) + " " + what + (n == 1 ? "" : "s"); }

const char* verdict_text(GradcheckReport::Verdict verdict) {
  switch (verdict) {
    case GradcheckReport::Verdict::passed:
      return "passed";
    case GradcheckReport::Verdict::failed:
      return "FAILED";
    case GradcheckReport::Verdict::ill_posed:
      break;
  }
  return "ill-posed";
}

std::string order_text(int order) { return order == 1 ? "first order" : "second order"; }

template <class T>
void append(std::vector<T>& to, std::vector<T>& from) {
  std::move(from.begin(), from.end(), std::back_inserter(to));
}

// "first order: 2 tensors, 50 of 50 elements; worst relative error 3e-10"
std::string summary_of(const GradcheckReport& report, int order) {
  std::int64_t tensors = 0;
  std::int64_t size = 0;
  std::int64_t elements = 0;
  std::int64_t projections = 0;
  for (const auto& c : report.checked) {
    if (c.order != order) continue;
    ++tensors;
    size += c.size;
    elements += c.elements;
    projections += c.projections;
  }
  if (!tensors) return "";
  std::string text = "  " + order_text(order) + ": " + plural(tensors, "tensor") + ", ";
  if (elements < size) text += thousands(elements) + " of ";
  text += plural(size, "element");
  if (projections) text += " and " + plural(projections, "random projection");
  return text + format(", worst relative error %.0e\n", report.worst_error(order));
}

// One line for each tensor of a model or of a function of several.
void print_tensors(std::ostream& out, const GradcheckReport& report) {
  std::vector<const GradcheckReport::Checked*> rows;
  std::size_t width = 0;
  std::size_t tensor_width = 0;
  for (const auto& c : report.checked) {
    if (c.order != 1) continue;
    rows.push_back(&c);
    width = std::max(width, c.name.size());
    tensor_width = std::max(tensor_width, c.tensor.size());
  }
  if (rows.size() < 2 || rows.size() > most_rows) return;
  for (const auto* c : rows) {
    out << "    " << c->name << std::string(width - c->name.size() + 2, ' ');
    out << c->tensor << std::string(tensor_width - c->tensor.size(), ' ') << format("  %.0e", c->worst) << '\n';
  }
}

void print_worst(std::ostream& out, const GradcheckReport& report) {
  if (report.worst.empty()) return;
  std::size_t width = 7;
  for (const auto& e : report.worst) width = std::max(width, e.name.size());
  out << "  " << plural(report.wrong, "wrong element");
  if (report.wrong > static_cast<std::int64_t>(report.worst.size())) out << "; the worst " << report.worst.size();
  out << ":\n    " << std::string(width, ' ') << "       analytic        numeric      ratio\n";
  for (const auto& e : report.worst) {
    out << "    " << e.name << std::string(width - e.name.size(), ' ');
    out << format(" %14.7g %14.7g %10.4g", e.analytic, e.numeric, e.ratio());
    out << (e.order == 2 ? "  second order\n" : "\n");
  }
}

void print_list(std::ostream& out, const char* title, const std::vector<std::string>& list) {
  for (std::size_t k = 0; k < list.size() && k < most_shown; ++k) out << "  " << title << list[k] << '\n';
  if (list.size() > most_shown) out << "  ... and " << list.size() - most_shown << " more\n";
}

std::vector<std::string> kink_texts(const GradcheckReport& report) {
  std::vector<std::string> list;
  for (const auto& kink : report.kinks) {
    std::string text = "kink at " + kink.name;
    if (kink.order == 2) {
      text += ": the gradient jumps there (second order)";
    } else {
      text += format(": the slopes are %.4g below and %.4g above, the gradient is %.4g", kink.below, kink.above,
                     kink.analytic);
    }
    list.push_back(text);
  }
  return list;
}

}  // namespace

GradcheckReport::Verdict GradcheckReport::verdict() const {
  if (wrong || !violations.empty()) return Verdict::failed;
  return ill_posed.empty() ? Verdict::passed : Verdict::ill_posed;
}

double GradcheckReport::worst_error(int order) const {
  double largest = 0;
  for (const Checked& c : checked) {
    if (c.order == order) largest = std::max(largest, c.worst);
  }
  return largest;
}

void GradcheckReport::append(GradcheckReport other) {
  tapegrad::append(checked, other.checked);
  tapegrad::append(worst, other.worst);
  tapegrad::append(causes, other.causes);
  tapegrad::append(violations, other.violations);
  tapegrad::append(kinks, other.kinks);
  tapegrad::append(ill_posed, other.ill_posed);
  wrong += other.wrong;
  std::stable_sort(worst.begin(), worst.end(), [](const Element& a, const Element& b) { return a.error > b.error; });
  if (worst.size() > most_shown) worst.resize(most_shown);
}

std::ostream& operator<<(std::ostream& out, const GradcheckReport& report) {
  out << "gradcheck: " << verdict_text(report.verdict()) << '\n';
  out << summary_of(report, 1);
  print_tensors(out, report);
  out << summary_of(report, 2);
  print_list(out, "", report.violations);
  print_worst(out, report);
  print_list(out, "likely cause in ", report.causes);
  print_list(out, "", kink_texts(report));
  print_list(out, "ill-posed at ", report.ill_posed);
  return out;
}

std::string to_string(const GradcheckReport& report) {
  std::ostringstream out;
  out << report;
  return out.str();
}

}  // namespace tapegrad
