#pragma once
// Line plots with a logarithmic axis, two side by side, as SVG. Their colours follow the reader's light or dark theme.
#include <algorithm>
#include <cmath>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

struct Line {
  std::size_t colour, dash;    // places in the names of write_svg
  std::vector<double> values;  // positive
};

struct Panel {
  std::string title;
  std::vector<Line> lines;
};

/// One panel: values at 1, 2, ... from left to right. Its vertical axis spans the decades of its own values.
inline void write_panel(std::ostream& out, const Panel& panel, int width, int height) {
  double low = INFINITY, high = -INFINITY;
  for (const Line& line : panel.lines) {
    for (double value : line.values) {
      low = std::min(low, std::floor(std::log10(value)));
      high = std::max(high, std::ceil(std::log10(value)));
    }
  }
  high = std::max(high, low + 1);
  const auto count = panel.lines.front().values.size();
  const auto x = [&](std::size_t k) {
    return width * static_cast<double>(k) / static_cast<double>(std::max<std::size_t>(count - 1, 1));
  };
  const auto y = [&](double exponent) { return height * (high - exponent) / (high - low); };

  out << "<text x=\"" << width / 2 << "\" y=\"-12\" class=\"title\">" << panel.title << "</text>\n";
  const double step = std::ceil((high - low) / 8);
  for (double exponent = high; exponent >= low; exponent -= step) {
    out << "<path class=\"grid\" d=\"M0 " << y(exponent) << "h" << width << "\"/><text x=\"-6\" y=\"" << y(exponent) + 4
        << "\" class=\"scale\">1e" << exponent << "</text>\n";
  }
  out << "<text x=\"0\" y=\"" << height + 18 << "\">layer 1</text><text x=\"" << width << "\" y=\"" << height + 18
      << "\" class=\"scale\">layer " << count << "</text>\n";
  for (const Line& line : panel.lines) {
    out << "<polyline class=\"colour" << line.colour << " dash" << line.dash << "\" points=\"";
    for (std::size_t k = 0; k < count; ++k) out << (k ? " " : "") << x(k) << ',' << y(std::log10(line.values[k]));
    out << "\"/>\n";
  }
}

/// The panels, and below them what the colours (up to four) and dashes (up to three) stand for. Throws when the file
/// cannot be written.
inline void write_svg(const std::string& file, const std::vector<Panel>& panels,
                      const std::vector<std::string>& colours, const std::vector<std::string>& dashes) {
  constexpr int width = 360, height = 240, left = 60, across = width + left + 20, down = height + 70;
  const int rows = static_cast<int>(panels.size() + 1) / 2;
  std::ofstream out(file);
  out.precision(4);
  out << "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " << 2 * across << ' ' << rows * down + 50 << "\">\n"
      << "<style>\n"
         "  svg { background: #ffffff; } text { font: 12px sans-serif; fill: #222222; }\n"
         "  .title { font-size: 14px; text-anchor: middle; } .scale { text-anchor: end; }\n"
         "  .grid { stroke: #dddddd; } polyline, .key { fill: none; stroke-width: 1.6; }\n"
         "  .colour0 { stroke: #c44e00; } .colour1 { stroke: #1f6fb4; }\n"
         "  .colour2 { stroke: #1b8a4b; } .colour3 { stroke: #8e44ad; }\n"
         "  .dash1 { stroke-dasharray: 8 4; } .dash2 { stroke-dasharray: 2 3; } .ink { stroke: #222222; }\n"
         "  @media (prefers-color-scheme: dark) {\n"
         "    svg { background: #16181c; } text { fill: #dddddd; }\n"
         "    .grid { stroke: #34383f; } .ink { stroke: #dddddd; }\n"
         "    .colour0 { stroke: #ff9d4d; } .colour1 { stroke: #6db3f2; }\n"
         "    .colour2 { stroke: #5fd38d; } .colour3 { stroke: #cf9be6; }\n"
         "  }\n"
         "</style>\n";
  for (std::size_t k = 0; k < panels.size(); ++k) {
    out << "<g transform=\"translate(" << left + across * static_cast<int>(k % 2) << ' '
        << 40 + down * static_cast<int>(k / 2) << ")\">\n";
    write_panel(out, panels[k], width, height);
    out << "</g>\n";
  }
  int at = left;
  const auto key = [&](const std::string& style, const std::string& name) {
    out << "<path class=\"key " << style << "\" d=\"M" << at << ' ' << rows * down + 26 << "h28\"/><text x=\""
        << at + 34 << "\" y=\"" << rows * down + 30 << "\">" << name << "</text>\n";
    at += 112;
  };
  for (std::size_t k = 0; k < colours.size(); ++k) key("colour" + std::to_string(k), colours[k]);
  for (std::size_t k = 0; k < dashes.size(); ++k) key("ink dash" + std::to_string(k), dashes[k]);
  out << "</svg>\n";
  if (!out.flush()) throw std::runtime_error(file + " cannot be written");
}
