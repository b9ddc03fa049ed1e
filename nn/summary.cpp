#include "nn/summary.h"

#include <algorithm>
#include <iomanip>
#include <ostream>
#include <sstream>

namespace tapegrad {
namespace detail {

void SummaryBuilder::open_row(const Path& path, std::string_view type) {
  open_.push_back(summary_.rows.size());
  names_.push_back(path.name());
  summary_.rows.push_back({std::string(path.text()), std::string(type), "", 0});
}

// Parameters outside of any struct (a model that is a vector of parameters, say) get a row of their own.
nn::Summary::Row& SummaryBuilder::own_row(const Path& path) {
  if (open_.empty()) {
    open_row(path, "Parameter");
    open_.pop_back();
    return summary_.rows.back();
  }
  return summary_.rows[open_.back()];
}

void SummaryBuilder::operator()(const Path& path, const Parameter& parameter) {
  const Block* const block = parameter.value().block();
  if (std::find(known_.begin(), known_.end(), block) != known_.end()) return;
  known_.push_back(block);
  own_row(path).parameters += parameter.size();
  summary_.parameters += parameter.size();
  summary_.bytes += parameter.size() * static_cast<std::int64_t>(size_of(parameter.dtype()));
}

void SummaryBuilder::operator()(const Path&, const Buffer& buffer) {
  if (!buffer.defined()) return;
  summary_.buffers += buffer.value().size();
  summary_.bytes += buffer.value().size() * static_cast<std::int64_t>(size_of(buffer.value().dtype()));
}

void SummaryBuilder::on_result(std::uint32_t layer, const Tensor& result) {
  const auto found = std::find(names_.begin(), names_.end(), layer);
  if (found == names_.end()) return;
  std::string& output = summary_.rows[static_cast<std::size_t>(found - names_.begin())].output;
  if (output.empty()) output = to_string(result.shape());
}

nn::Summary SummaryBuilder::finish(std::string_view model, const Tensor& input, const Tensor& output) && {
  summary_.model = model;
  summary_.input = describe(input);
  summary_.output = describe(output);
  std::erase_if(summary_.rows, [](const nn::Summary::Row& row) { return row.parameters == 0 && row.output.empty(); });
  if (!summary_.rows.empty() && summary_.rows[0].name.empty()) summary_.rows[0].output = to_string(output.shape());
  return std::move(summary_);
}

StateGuard::~StateGuard() {
  random::set_state(random_);
  for (Saved& saved : buffers_) saved.buffer->exchange(std::move(saved.value));
}

void StateGuard::operator()(const Path&, const Buffer& buffer) {
  if (!buffer.defined()) return;
  Tensor copy = buffer.value().clone();
  buffers_.push_back({&buffer, Tensor()});
  buffers_.back().value = buffer.exchange(std::move(copy));
}

}  // namespace detail

namespace nn {
namespace {

// 1234567 -> "1,234,567"
std::string with_commas(std::int64_t n) {
  std::string digits = std::to_string(n);
  for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3) {
    digits.insert(static_cast<std::size_t>(at), ",");
  }
  return digits;
}

std::string memory_text(std::int64_t bytes) {
  const char* const units[] = {"bytes", "kB", "MB", "GB"};
  auto amount = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (amount >= 1000 && unit < 3) {
    amount /= 1000;
    ++unit;
  }
  std::ostringstream text;
  text << std::fixed << std::setprecision(unit ? 1 : 0) << amount << ' ' << units[unit];
  return text.str();
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const Summary& summary) {
  using Line = std::array<std::string, 4>;
  std::vector<Line> lines{{"layer", "type", "output", "parameters"}};
  for (const Summary::Row& row : summary.rows) {
    lines.push_back({row.name.empty() ? "(model)" : row.name, row.type, row.output.empty() ? "-" : row.output,
                     with_commas(row.parameters)});
  }
  std::array<std::size_t, 4> width{};
  for (const Line& line : lines) {
    for (std::size_t c = 0; c < 4; ++c) width[c] = std::max(width[c], line[c].size());
  }
  const std::string rule(width[0] + width[1] + width[2] + width[3] + 6, '-');
  const auto padding = [](std::size_t wanted, const std::string& text) {
    return std::string(wanted - text.size(), ' ');
  };

  out << summary.model << ": " << summary.input << " -> " << summary.output << '\n';
  for (std::size_t k = 0; k < lines.size(); ++k) {
    const Line& line = lines[k];
    for (std::size_t c = 0; c < 3; ++c) out << line[c] << padding(width[c], line[c]) << "  ";
    out << padding(width[3], line[3]) << line[3] << '\n';
    if (k == 0) out << rule << '\n';
  }
  out << rule << '\n' << with_commas(summary.parameters) << " parameters";
  if (summary.buffers) out << ", " << with_commas(summary.buffers) << " in buffers";
  return out << ", " << memory_text(summary.bytes) << '\n';
}

std::string to_string(const Summary& summary) {
  std::ostringstream text;
  text << summary;
  return text.str();
}

}  // namespace nn
}  // namespace tapegrad
