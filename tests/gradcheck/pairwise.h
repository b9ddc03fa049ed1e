#pragma once
// Few combinations of options that contain every pair of them.
#include <algorithm>
#include <cstddef>
#include <set>
#include <tuple>
#include <vector>

namespace tapegrad::tests {

/// Combinations of `counts[0]` values of a first option, `counts[1]` of a second one, and so on, such that any two values
/// of two options occur together in one of them. Each is begun with a pair that is missing; the other options then take
/// the value that adds most missing pairs. The same ones at every call.
inline std::vector<std::vector<std::size_t>> pairwise(const std::vector<std::size_t>& counts) {
  using Pair = std::tuple<std::size_t, std::size_t, std::size_t, std::size_t>;  // option, its value; a later one, its
  std::set<Pair> missing;
  for (std::size_t a = 0; a < counts.size(); ++a) {
    for (std::size_t b = a + 1; b < counts.size(); ++b) {
      for (std::size_t i = 0; i < counts[a]; ++i) {
        for (std::size_t j = 0; j < counts[b]; ++j) missing.insert({a, i, b, j});
      }
    }
  }
  std::vector<std::vector<std::size_t>> combinations;
  while (!missing.empty()) {
    std::vector<std::size_t> values(counts.size());
    std::vector<bool> is_chosen(counts.size());
    const auto pair_of = [&](std::size_t option, std::size_t value, std::size_t other) {
      return option < other ? Pair{option, value, other, values[other]} : Pair{other, values[other], option, value};
    };
    const auto [a, i, b, j] = *missing.begin();
    values[a] = i;
    values[b] = j;
    is_chosen[a] = is_chosen[b] = true;
    for (std::size_t option = 0; option < counts.size(); ++option) {
      if (is_chosen[option]) continue;
      const auto gain = [&](std::size_t value) {
        std::size_t pairs = 0;
        for (std::size_t other = 0; other < counts.size(); ++other) {
          if (is_chosen[other]) pairs += missing.count(pair_of(option, value, other));
        }
        return pairs;
      };
      for (std::size_t value = 1; value < counts[option]; ++value) {
        if (gain(value) > gain(values[option])) values[option] = value;
      }
      is_chosen[option] = true;
    }
    for (std::size_t option = 0; option < counts.size(); ++option) {
      for (std::size_t other = option + 1; other < counts.size(); ++other) {
        missing.erase(pair_of(option, values[option], other));
      }
    }
    combinations.push_back(values);
  }
  return combinations;
}

}  // namespace tapegrad::tests
