#include "autograd/names.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <memory>
#include <mutex>
#include <numeric>
#include <unordered_map>
#include <vector>

namespace tapegrad::detail {
namespace {

// Strings never move: chunk k holds 64 << k of them, so a reader finds one by its number without a lock.
class NameTable {
 public:
  NameTable() { add(""); }

  std::uint32_t number_of(std::string_view path) {
    const std::lock_guard lock(mutex_);
    const auto found = numbers_.find(path);
    return found != numbers_.end() ? found->second : add(path);
  }

  const std::string& text_of(std::uint32_t number) const {
    const Position p = position(number);
    return chunks_[p.chunk].load(std::memory_order_acquire)[p.index];
  }

 private:
  static constexpr std::uint32_t first_chunk = 64;
  struct Position {
    std::size_t chunk;
    std::size_t index;
  };

  static Position position(std::uint32_t number) {
    const auto k = static_cast<std::size_t>(std::bit_width(number / first_chunk + 1) - 1);
    return {k, number - first_chunk * ((std::size_t{1} << k) - 1)};
  }

  std::uint32_t add(std::string_view path) {
    const auto number = static_cast<std::uint32_t>(numbers_.size());
    const Position p = position(number);
    if (!owned_[p.chunk]) {
      owned_[p.chunk] = std::make_unique<std::string[]>(std::size_t{first_chunk} << p.chunk);
      chunks_[p.chunk].store(owned_[p.chunk].get(), std::memory_order_release);
    }
    std::string& text = owned_[p.chunk][p.index];
    text = path;
    numbers_.emplace(text, number);
    return number;
  }

  std::mutex mutex_;
  std::unordered_map<std::string_view, std::uint32_t> numbers_;
  std::array<std::unique_ptr<std::string[]>, 27> owned_;
  std::array<std::atomic<std::string*>, 27> chunks_{};
};

// Never destroyed: tensors of static storage duration may still ask for names while the program ends.
NameTable& names() {
  static NameTable* table = new NameTable;
  return *table;
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0]++;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::uint32_t intern(std::string_view path) { return names().number_of(path); }

const std::string& interned(std::uint32_t name) { return names().text_of(name); }

std::string nearest_name(std::string_view wanted, std::span<const std::string> candidates) {
  std::string nearest;
  std::size_t least = std::max<std::size_t>(wanted.size() / 2, 2) + 1;
  for (const std::string& candidate : candidates) {
    const std::size_t distance = edit_distance(wanted, candidate);
    if (distance < least) {
      least = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

Path::Step::Step(Path& path, std::size_t index) : path_(path), length_(path.text_.size()) {
  char digits[20];
  char* const end = std::to_chars(digits, digits + sizeof digits, index).ptr;
  if (length_) path.text_ += '.';
  path.text_.append(static_cast<const char*>(digits), static_cast<std::size_t>(end - digits));
}

}  // namespace tapegrad::detail
