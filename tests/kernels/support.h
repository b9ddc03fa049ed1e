#pragma once
// What the kernel tests share: typed access to the table, data that exposes wrong elements, and guarded memory.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <new>
#include <random>
#include <type_traits>
#include <vector>

#include "autograd/kernels/table.h"
#include "tests/catch.h"

namespace kernel_test {

using tapegrad::kernels::Index;
using tapegrad::kernels::table;

/// Position of T in the table's entries with [2].
template <class T>
inline constexpr int type = std::is_same_v<T, float> ? 0 : 1;

/// Two registers of the widest instruction set and a bit: lengths 0 .. this reach every tail.
template <class T>
inline constexpr Index every_tail = 2 * 64 / static_cast<Index>(sizeof(T)) + 3;

inline constexpr double infinity = std::numeric_limits<double>::infinity();
inline constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

/// An array between two guard zones. Starts one element behind a cache line, so that nothing may rely on alignment.
template <class T>
class Guarded {
 public:
  explicit Guarded(Index n) : n_(n), bytes_(static_cast<std::size_t>(n + 2 * guard) * sizeof(T), marker) {}

  T* data() { return reinterpret_cast<T*>(bytes_.data()) + guard; }
  const T* data() const { return reinterpret_cast<const T*>(bytes_.data()) + guard; }
  T& operator[](Index i) { return data()[i]; }
  const T& operator[](Index i) const { return data()[i]; }
  Index size() const { return n_; }

  /// False when something wrote outside of the array.
  bool intact() const {
    const std::size_t edge = static_cast<std::size_t>(guard) * sizeof(T);
    for (std::size_t i = 0; i < edge; ++i) {
      if (bytes_[i] != marker || bytes_[bytes_.size() - 1 - i] != marker) return false;
    }
    return true;
  }

  bool operator==(const Guarded& other) const {
    return n_ == other.n_ && std::memcmp(data(), other.data(), static_cast<std::size_t>(n_) * sizeof(T)) == 0;
  }

 private:
  static constexpr Index guard = 33;
  static constexpr unsigned char marker = 0xA5;
  Index n_;
  std::vector<unsigned char> bytes_;
};

/// Small integers: their sums and products are exact in any order, so results compare with ==.
template <class T>
Guarded<T> integers(Index n, unsigned seed, int limit = 4) {
  std::mt19937 generator(seed);
  std::uniform_int_distribution<int> distribution(-limit, limit);
  Guarded<T> values(n);
  for (Index i = 0; i < n; ++i) values[i] = static_cast<T>(distribution(generator));
  return values;
}

template <class T>
Guarded<T> reals(Index n, unsigned seed, double low = -2, double high = 2) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<double> distribution(low, high);
  Guarded<T> values(n);
  for (Index i = 0; i < n; ++i) values[i] = static_cast<T>(distribution(generator));
  return values;
}

template <class T>
Guarded<T> zeros(Index n) {
  Guarded<T> values(n);
  for (Index i = 0; i < n; ++i) values[i] = T(0);
  return values;
}

/// Equal values, or both NaN.
inline bool same(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

/// |a - b| <= ulps * the spacing of T at max(|b|, floor); infinities and NaN must match.
template <class T>
bool near(T a, double b, double ulps, double floor = 0) {
  if (!std::isfinite(b) || !std::isfinite(static_cast<double>(a))) return same(static_cast<double>(a), b);
  const double scale = std::max(std::abs(b), floor);
  return std::abs(static_cast<double>(a) - b) <= ulps * static_cast<double>(std::numeric_limits<T>::epsilon()) * scale +
                                                     static_cast<double>(std::numeric_limits<T>::denorm_min());
}

/// Memory for a kernel, aligned as it asks, with a guard behind it.
class Workspace {
 public:
  explicit Workspace(std::size_t bytes)
      : bytes_(bytes), memory_(static_cast<unsigned char*>(::operator new(bytes + guard, std::align_val_t{64}))) {
    std::memset(memory_, marker, bytes + guard);
  }
  ~Workspace() { ::operator delete(memory_, std::align_val_t{64}); }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  void* data() { return memory_; }
  bool intact() const {
    for (std::size_t i = 0; i < guard; ++i) {
      if (memory_[bytes_ + i] != marker) return false;
    }
    return true;
  }

 private:
  static constexpr std::size_t guard = 256;
  static constexpr unsigned char marker = 0xA5;
  std::size_t bytes_;
  unsigned char* memory_;
};

}  // namespace kernel_test
