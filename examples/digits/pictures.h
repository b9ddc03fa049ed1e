#pragma once
// What a classifier got wrong: as a table, and as a picture.
#include <tapegrad.h>

#include <array>
#include <cmath>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

using namespace tapegrad;

// Rows are the true classes, columns the predicted ones.
inline void print_confusion(const Tensor& predicted, const Tensor& labels) {
  std::array<std::array<int, 10>, 10> counts{};
  for (std::int64_t i = 0; i < labels.size(); ++i) {
    ++counts[static_cast<std::size_t>(labels.at({i}))][static_cast<std::size_t>(predicted.at({i}))];
  }
  std::cout << "confusion: rows are true, columns predicted\n     ";
  for (int k = 0; k < 10; ++k) std::cout << std::setw(6) << k;
  for (std::size_t row = 0; row < 10; ++row) {
    std::cout << '\n' << std::setw(5) << row;
    for (const int count : counts[row]) {
      if (count == 0) {
        std::cout << "     .";
      } else {
        std::cout << std::setw(6) << count;
      }
    }
  }
  std::cout << "\n\n";
}

// Which images were misclassified, at most `most` of them.
inline std::vector<std::int64_t> mistakes(const Tensor& predicted, const Tensor& labels, std::size_t most) {
  std::vector<std::int64_t> list;
  for (std::int64_t i = 0; i < labels.size() && list.size() < most; ++i) {
    if (predicted.at({i}) != labels.at({i})) list.push_back(i);
  }
  return list;
}

// A picture of images [n, height, width, 1] side by side, dark ink on white, as a portable graymap (PGM). Throws when
// the file cannot be written.
inline void write_picture(const std::string& file, const Tensor& images, const std::vector<std::int64_t>& which) {
  constexpr std::int64_t columns = 10, gap = 1;
  const std::int64_t height = images.shape(1), width = images.shape(2);
  const std::int64_t zoom = height < 20 ? 8 : 3;  // pixels of the picture for one of the image
  const auto count = static_cast<std::int64_t>(which.size());
  const std::int64_t rows = (count + columns - 1) / columns;
  const std::int64_t full_width = columns * (width + gap) * zoom, full_height = rows * (height + gap) * zoom;
  std::vector<char> pixels(static_cast<std::size_t>(full_width * full_height), static_cast<char>(255));
  for (std::int64_t k = 0; k < count; ++k) {
    const Tensor image = images.slice(0, which[static_cast<std::size_t>(k)], which[static_cast<std::size_t>(k)] + 1);
    const std::int64_t top = k / columns * (height + gap) * zoom, left = k % columns * (width + gap) * zoom;
    for (std::int64_t i = 0; i < height * zoom; ++i) {
      for (std::int64_t j = 0; j < width * zoom; ++j) {
        const double ink = image.at({0, i / zoom, j / zoom, 0});
        pixels[static_cast<std::size_t>((top + i) * full_width + left + j)] =
            static_cast<char>(std::lround(255 * (1 - ink)));
      }
    }
  }
  std::ofstream out(file, std::ios::binary);
  out << "P5\n" << full_width << ' ' << full_height << "\n255\n";
  out.write(pixels.data(), static_cast<std::streamsize>(pixels.size()));
  if (!out.flush()) throw std::runtime_error(file + " cannot be written");
}

// Images side by side on the terminal, darker where there is more ink, with what was predicted (and what is true).
inline void show(const Tensor& images, const Tensor& predicted, const Tensor& labels,
                 const std::vector<std::int64_t>& which) {
  constexpr std::string_view ink = " .:-=+*#%@";
  const std::int64_t height = images.shape(1), width = images.shape(2);
  for (std::int64_t row = 0; row < height; ++row) {
    for (const std::int64_t i : which) {
      for (std::int64_t column = 0; column < width; ++column) {
        const char c = ink[static_cast<std::size_t>(images.at({i, row, column, 0}) * 9)];
        std::cout << c << c;
      }
      std::cout << "  ";
    }
    std::cout << '\n';
  }
  for (const std::int64_t i : which) {
    const double truth = labels.at({i}), guess = predicted.at({i});
    std::string text = "predicted " + std::to_string(static_cast<int>(guess));
    if (guess != truth) text += " (" + std::to_string(static_cast<int>(truth)) + ")";
    std::cout << std::left << std::setw(static_cast<int>(2 * width + 2)) << text << std::right;
  }
  std::cout << "\n";
}
