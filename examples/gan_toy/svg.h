#pragma once
// Scatter plots side by side, as SVG. Its colours follow the reader's light or dark theme.
#include <tapegrad.h>

#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "gan.h"

struct Panel {
  std::string title;
  Tensor points;  // [n, 2]
};

/// One panel per generator: its points, and behind them real ones and a circle of three sigma around each mode. Throws
/// when the file cannot be written.
inline void write_svg(const std::string& file, const std::vector<Panel>& panels, const Tensor& real) {
  constexpr int size = 320, scale = 70;  // pixels of a panel, and of one unit of length
  const int width = size * static_cast<int>(panels.size());
  std::ofstream out(file);
  out << "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " << width << ' ' << size + 30 << "\">\n"
      << "<style>\n"
         "  svg { background: #ffffff; } text { font: 14px sans-serif; fill: #222222; }\n"
         "  .real { fill: #bbbbbb; } .fake { fill: #1f6fb4; } .mode { fill: none; stroke: #d95f02; }\n"
         "  @media (prefers-color-scheme: dark) {\n"
         "    svg { background: #16181c; } text { fill: #dddddd; }\n"
         "    .real { fill: #5a5f68; } .fake { fill: #6db3f2; } .mode { stroke: #ff9d4d; }\n"
         "  }\n"
         "</style>\n";
  const auto circles = [&](const char* kind, const Tensor& points, double r) {
    for (std::int64_t i = 0; i < points.shape(0); ++i) {
      out << "<circle class=\"" << kind << "\" cx=\"" << scale * points.at({i, 0}) << "\" cy=\""
          << -scale * points.at({i, 1}) << "\" r=\"" << r << "\"/>\n";
    }
  };
  for (std::size_t k = 0; k < panels.size(); ++k) {
    const int middle = size * static_cast<int>(k) + size / 2;
    out << "<text x=\"" << middle << "\" y=\"20\" text-anchor=\"middle\">" << panels[k].title << "</text>\n"
        << "<g transform=\"translate(" << middle << ' ' << 30 + size / 2 << ")\">\n";
    circles("real", real, 1.2);
    circles("fake", panels[k].points, 0.8);
    circles("mode", centres(), 3 * sigma * scale);
    out << "</g>\n";
  }
  out << "</svg>\n";
  if (!out.flush()) throw std::runtime_error(file + " cannot be written");
}
