// The tape made visible: as a table, as a graph, in numbers.
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <ostream>
#include <unordered_set>

#include "autograd/record.h"

namespace tapegrad {

using detail::Block;
using detail::Entry;
using detail::record;

namespace {

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", value);
  return text;
}

// The first elements: "0.5", "[1, 2, 3, ...]".
std::string brief(const Tensor& x) {
  if (!x.defined()) return "";
  const Tensor values = x.is_contiguous() ? x : x.clone();
  const auto element = [&](std::int64_t i) {
    return number(values.dtype() == f32 ? static_cast<double>(values.data<float>()[i]) : values.data<double>()[i]);
  };
  if (values.ndim() == 0) return element(0);
  std::string text = "[";
  for (std::int64_t i = 0; i < std::min<std::int64_t>(values.size(), 3); ++i) text += (i ? ", " : "") + element(i);
  return text + (values.size() > 3 ? ", ...]" : "]");
}

std::string result_of(std::uint32_t i) {
  const std::uint32_t shape = record.entries[i].shape;
  return to_string(detail::dtype_at(shape), detail::shape_at(shape));
}

std::string input_list(const Entry& entry) {
  std::string text;
  const int count = detail::inputs_of(entry);
  for (int k = 0; k < count; ++k) {
    const std::uint32_t in = detail::input_of(entry, k);
    if (in) text += (text.empty() ? "%" : ", %") + std::to_string(in);
  }
  return text;
}

// A parameter's own name, else that of the layer in which the entry was made.
std::string name_of_entry(std::uint32_t i) {
  const Entry& entry = record.entries[i];
  if (!entry.op->vjp && entry.saved[0]) {
    const std::uint32_t name = entry.saved[0]->name.load(std::memory_order_relaxed);
    if (name) return detail::interned(name);
  }
  const std::uint32_t layer = detail::layer_of(i);
  return layer ? detail::interned(layer) : "";
}

std::string gradient_of(std::uint32_t i) {
  if (record.values && record.values->gradients[i].defined()) return brief(record.values->gradients[i]);
  if (detail::was_released(record.entries[i])) return "released";
  return detail::was_walked(i) ? "walked" : "not walked";
}

void print_table(std::ostream& out, const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> width(rows.front().size());
  for (const auto& row : rows) {
    for (std::size_t c = 0; c < row.size(); ++c) width[c] = std::max(width[c], row[c].size());
  }
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t c = 0; c < row.size(); ++c) {
      if (width[c] == 0) continue;
      line += row[c] + std::string(width[c] - row[c].size() + 2, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out << line << '\n';
  }
}

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += c;
  }
  return result + '"';
}

}  // namespace

void Tape::print(std::ostream& out) const {
  std::vector<std::vector<std::string>> rows{{"entry", "op", "inputs", "result", "value", "gradient", "name", "line"}};
  bool any_name = false;
  for (std::uint32_t i = begin_; i < record.size; ++i) {
    const Entry& entry = record.entries[i];
    const std::string name = name_of_entry(i);
    any_name |= !name.empty();
    rows.push_back({"%" + std::to_string(i), entry.op->name, input_list(entry), result_of(i),
                    record.values ? brief(record.values->outputs[i]) : "", gradient_of(i), name, where(entry.at)});
  }
  if (!record.values) rows.front()[4] = "";
  if (!any_name) rows.front()[6] = "";
  print_table(out, rows);
  const TapeStatistics s = statistics();
  out << s.entries << (s.entries == 1 ? " entry, " : " entries, ") << s.saved_bytes << " bytes saved\n";
}

void Tape::dot(std::ostream& out) const {
  out << "digraph tape {\n  rankdir=LR;\n  node [fontname=\"sans-serif\", shape=box, style=rounded];\n";
  std::map<std::string, std::string> clusters;
  for (std::uint32_t i = begin_; i < record.size; ++i) {
    const Entry& entry = record.entries[i];
    const bool is_leaf = !entry.op->vjp;
    const std::string name = name_of_entry(i);
    const std::string title = is_leaf && !name.empty() ? name : entry.op->name;
    std::string node = "  n" + std::to_string(i) + " [label=" + quoted("%" + std::to_string(i) + " " + title) +
                       ", tooltip=" + quoted(result_of(i) + " at " + where(entry.at));
    if (is_leaf) node += ", shape=ellipse, style=filled, fillcolor=\"#e8e8e8\"";
    if (detail::was_released(entry)) node += ", color=gray, fontcolor=gray";
    clusters[is_leaf ? "" : name] += node + "];\n";
  }
  int cluster = 0;
  for (const auto& [layer, nodes] : clusters) {
    if (layer.empty()) {
      out << nodes;
    } else {
      out << "  subgraph cluster_" << cluster++ << " {\n  label=" << quoted(layer) << ";\n" << nodes << "  }\n";
    }
  }
  for (std::uint32_t i = begin_; i < record.size; ++i) {
    const Entry& entry = record.entries[i];
    const int count = detail::inputs_of(entry);
    for (int k = 0; k < count; ++k) {
      const std::uint32_t in = detail::input_of(entry, k);
      if (in < begin_) continue;
      out << "  n" << in << " -> n" << i << " [label=" << quoted(to_string(detail::shape_at(record.entries[in].shape)))
          << "];\n";
    }
  }
  out << "}\n";
}

void Tape::dot(const std::string& file, SourceLocation at) const {
  std::ofstream out(file);
  dot(out);
  out.flush();
  if (!out) fail("dot: cannot write " + file, at);
}

TapeStatistics Tape::statistics() const {
  TapeStatistics s;
  s.entries = size();
  s.rule_calls = record.rule_calls;
  std::unordered_set<const Block*> seen;
  const auto count = [&](const Block* b) {
    if (!b || b == detail::released || !seen.insert(b->storage()).second) return;
    s.saved_bytes += static_cast<std::size_t>(b->storage()->size) * size_of(b->dtype());
  };
  for (std::uint32_t i = begin_; i < record.size; ++i) {
    const Entry& entry = record.entries[i];
    if (!entry.op->vjp) continue;  // a parameter's own elements are not held for the backward pass
    for (const Block* b : entry.saved) count(b);
    for (int k = 0; entry.extra && k < entry.extra->saved; ++k) count(entry.extra->more_saved()[k].block);
  }
  return s;
}

}  // namespace tapegrad
