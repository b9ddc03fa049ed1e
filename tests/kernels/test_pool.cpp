// Kernels of pooling on tables of taps made by hand: every tail of channels, no element too many, any cut of the rows.
#include "tests/kernels/support.h"

using namespace kernel_test;
using tapegrad::kernels::MaxPoolArguments;
using tapegrad::kernels::ResampleArguments;
using tapegrad::kernels::TapAxis;
using tapegrad::kernels::WeightedTap;
using tapegrad::kernels::WindowTap;

namespace {

/// A table of taps, and what it says: lists[i] are those of position i.
template <class Tap>
struct Table {
  std::vector<Index> first = {0};
  std::vector<Tap> taps;

  explicit Table(const std::vector<std::vector<Tap>>& lists) {
    for (const auto& list : lists) {
      taps.insert(taps.end(), list.begin(), list.end());
      first.push_back(static_cast<Index>(taps.size()));
    }
  }
  TapAxis<Tap> axis() const { return {static_cast<Index>(first.size()) - 1, first.data(), taps.data()}; }
};

constexpr Index images = 2, rows = 4, columns = 5;  // of `from`

/// Windows of 0 to 3 rows and of 1 to 2 columns; the second axis counts in channels.
std::vector<std::vector<Index>> row_lists() { return {{0, 1, 2}, {}, {3, 1}}; }
std::vector<std::vector<Index>> column_lists() { return {{0, 1}, {4}, {2, 3}, {1, 4}}; }

Table<WindowTap> windows(const std::vector<std::vector<Index>>& lists, Index unit, std::int32_t numbers) {
  std::vector<std::vector<WindowTap>> taps;
  for (const auto& list : lists) {
    taps.emplace_back();
    for (std::size_t k = 0; k < list.size(); ++k) {
      taps.back().push_back({list[k] * unit, static_cast<std::int32_t>(k) * numbers});
    }
  }
  return Table<WindowTap>(taps);
}

Table<WeightedTap> terms(const std::vector<std::vector<Index>>& lists, Index unit, double weight) {
  std::vector<std::vector<WeightedTap>> taps;
  for (const auto& list : lists) {
    taps.emplace_back();
    for (const Index k : list) taps.back().push_back({k * unit, weight == 1 ? 1 : weight * static_cast<double>(k + 1)});
  }
  return Table<WeightedTap>(taps);
}

struct Sizes {
  Index pooled_rows = static_cast<Index>(row_lists().size());
  Index pooled_columns = static_cast<Index>(column_lists().size());
  Index channels;
  Index from() const { return images * rows * columns * channels; }
  Index to() const { return images * pooled_rows * pooled_columns * channels; }
};

/// Calls body(offset in `to`, list of rows, list of columns, offset of the first pixel's channel in `from`).
template <class F>
void for_elements(const Sizes& sizes, F body) {
  Index at = 0;
  for (Index image = 0; image < images; ++image) {
    for (const auto& row : row_lists()) {
      for (const auto& column : column_lists()) {
        for (Index c = 0; c < sizes.channels; ++c, ++at) {
          body(at, row, column, image * rows * columns * sizes.channels + c);
        }
      }
    }
  }
}

template <class T, class Stored>
void check_max_pool() {
  for (Index channels = 0; channels <= 3 * every_tail<T>; ++channels) {
    CAPTURE(channels);
    const Sizes sizes{.channels = channels};
    Guarded<T> x = integers<T>(sizes.from(), 1);
    for (Index i = 3; i < x.size(); i += 41) x[i] = static_cast<T>(i % 2 ? not_a_number : -infinity);
    const auto height = windows(row_lists(), columns * channels, 2);
    const auto width = windows(column_lists(), channels, 1);
    Guarded<T> plain(sizes.to());
    Guarded<T> y(sizes.to());
    Guarded<Stored> index(sizes.to());
    Guarded<T> selected(sizes.to());
    MaxPoolArguments a{height.axis(), width.axis(), channels, rows * columns * channels, x.data(), plain.data()};
    a.end = images * sizes.pooled_rows;
    table().max_pool[type<T>](a);
    a.to = y.data();
    a.index = index.data();
    a.has_wide_index = sizeof(Stored) == 4;
    for (const Index cut : {Index{0}, Index{1}, Index{5}}) {  // the last call writes all of it, in two parts
      MaxPoolArguments part = a;
      part.begin = cut;
      table().max_pool[type<T>](part);
      part.begin = 0;
      part.end = cut;
      table().max_pool[type<T>](part);
    }
    a.to = selected.data();
    table().max_pool_select[type<T>](a);
    for_elements(sizes, [&](Index at, const auto& row, const auto& column, Index from) {
      double best = -infinity;
      Index number = row.empty() ? static_cast<Stored>(-1) : 0;
      for (std::size_t r = 0; r < row.size(); ++r) {
        for (std::size_t s = 0; s < column.size(); ++s) {
          const auto value = static_cast<double>(x[from + (row[r] * columns + column[s]) * channels]);
          if (!(value > best || std::isnan(value))) continue;
          best = value;
          number = static_cast<Index>(2 * r + s);
        }
      }
      REQUIRE(same(static_cast<double>(plain[at]), best));
      REQUIRE(same(static_cast<double>(y[at]), best));
      REQUIRE(index[at] == static_cast<Stored>(number));
      REQUIRE(same(static_cast<double>(selected[at]), row.empty() ? 0 : best));
    });
    REQUIRE((plain.intact() && y.intact() && index.intact() && selected.intact()));

    // The transposed tables bring every element back to where it was.
    std::vector<std::vector<WindowTap>> back_rows(rows);
    std::vector<std::vector<WindowTap>> back_columns(columns);
    for (std::size_t i = 0; i < row_lists().size(); ++i) {
      for (std::size_t k = 0; k < row_lists()[i].size(); ++k) {
        back_rows[static_cast<std::size_t>(row_lists()[i][k])].push_back(
            {static_cast<Index>(i) * sizes.pooled_columns * channels, static_cast<std::int32_t>(2 * k)});
      }
    }
    for (std::size_t i = 0; i < column_lists().size(); ++i) {
      for (std::size_t k = 0; k < column_lists()[i].size(); ++k) {
        back_columns[static_cast<std::size_t>(column_lists()[i][k])].push_back(
            {static_cast<Index>(i) * channels, static_cast<std::int32_t>(k)});
      }
    }
    const Table<WindowTap> from_rows(back_rows);
    const Table<WindowTap> from_columns(back_columns);
    const Guarded<T> g = integers<T>(sizes.to(), 2);
    Guarded<T> scattered(sizes.from());
    MaxPoolArguments b{from_rows.axis(), from_columns.axis(),
                       channels,         sizes.pooled_rows * sizes.pooled_columns * channels,
                       g.data(),         scattered.data()};
    b.index = index.data();
    b.has_wide_index = a.has_wide_index;
    b.end = images * rows;
    table().max_pool_scatter[type<T>](b);
    Guarded<T> expected = zeros<T>(sizes.from());
    for_elements(sizes, [&](Index at, const auto& row, const auto& column, Index from) {
      if (row.empty()) return;
      const auto number = static_cast<std::size_t>(index[at]);
      expected[from + (row[number / 2] * columns + column[number % 2]) * channels] += g[at];
    });
    for (Index i = 0; i < expected.size(); ++i) REQUIRE(scattered[i] == expected[i]);
    REQUIRE(scattered.intact());
  }
}

}  // namespace

TEMPLATE_TEST_CASE("pool: largest elements, their numbers, and both ways back", "[kernels][pool]", float, double) {
  check_max_pool<TestType, std::uint8_t>();
  check_max_pool<TestType, std::int32_t>();
}

TEMPLATE_TEST_CASE("pool: weighted sums and their divisors", "[kernels][pool]", float, double) {
  for (const double weight : {1.0, 0.5}) {
    for (Index channels = 0; channels <= 3 * every_tail<TestType>; ++channels) {
      CAPTURE(channels, weight);
      const Sizes sizes{.channels = channels};
      const Guarded<TestType> x = integers<TestType>(sizes.from(), 1);
      const auto height = terms(row_lists(), columns * channels, weight);
      const auto width = terms(column_lists(), channels, weight);
      const std::vector<double> height_divisor = {1, 2, 4};
      const std::vector<double> width_divisor = {1, 1, 2, 8};
      Guarded<TestType> y(sizes.to());
      ResampleArguments a{height.axis(), width.axis(), channels, rows * columns * channels, x.data(), y.data()};
      a.is_weighted = weight != 1;
      a.height_divisor = height_divisor.data();
      a.width_divisor = width_divisor.data();
      for (Index row = 0; row < images * sizes.pooled_rows; ++row) {
        a.begin = row;
        a.end = row + 1;
        table().resample[type<TestType>](a);
      }
      for_elements(sizes, [&](Index at, const auto& row, const auto& column, Index from) {
        double sum = 0;
        for (const Index r : row) {
          for (const Index s : column) {
            const double factor = weight == 1 ? 1 : weight * weight * static_cast<double>((r + 1) * (s + 1));
            sum += factor * static_cast<double>(x[from + (r * columns + s) * channels]);
          }
        }
        const auto i = static_cast<std::size_t>(at / channels / sizes.pooled_columns % sizes.pooled_rows);
        const auto j = static_cast<std::size_t>(at / channels % sizes.pooled_columns);
        REQUIRE(static_cast<double>(y[at]) == sum / (height_divisor[i] * width_divisor[j]));
      });
      REQUIRE(y.intact());
    }
  }
}
