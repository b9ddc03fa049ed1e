#pragma once
// Options of the example programs: pairs "--name value".
#include <algorithm>
#include <charconv>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

class Options {
 public:
  /// Throws for a word that is none of the known names, and for a name without a value.
  Options(int count, char** arguments, const std::vector<std::string_view>& known) {
    for (int i = 1; i < count; i += 2) {
      const std::string name = arguments[i];
      if (std::find(known.begin(), known.end(), name) == known.end()) {
        std::string names;
        for (std::string_view other : known) names.append(" ").append(other);
        throw std::runtime_error("there is no option " + name + "; the options are" + names);
      }
      if (i + 1 == count) throw std::runtime_error(name + " needs a value");
      given_.emplace_back(name, arguments[i + 1]);
    }
  }

  /// The last value that was given; else `fallback`.
  std::string text(std::string_view name, const std::string& fallback) const {
    std::string value = fallback;
    for (const auto& [given, its_value] : given_) {
      if (given == name) value = its_value;
    }
    return value;
  }

  /// One of `choices`; the first unless one was given.
  std::string choice(std::string_view name, const std::vector<std::string>& choices) const {
    const std::string value = text(name, choices.front());
    if (std::find(choices.begin(), choices.end(), value) != choices.end()) return value;
    std::string all;
    for (const std::string& other : choices) all += " " + other;
    throw std::runtime_error(std::string(name) + " is one of" + all + ", not \"" + value + "\"");
  }

  /// A whole number, low <= value <= high.
  std::int64_t number(std::string_view name, std::int64_t fallback, std::int64_t low, std::int64_t high) const {
    const std::string value = text(name, std::to_string(fallback));
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (error == std::errc() && end == value.data() + value.size() && number >= low && number <= high) return number;
    throw std::runtime_error(std::string(name) + " is a whole number from " + std::to_string(low) + " to " +
                             std::to_string(high) + ", not \"" + value + "\"");
  }

 private:
  std::vector<std::pair<std::string, std::string>> given_;
};
