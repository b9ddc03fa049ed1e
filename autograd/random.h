#pragma once
// Random numbers from a counter: Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as
// 1, 2, 3", 2011).
//
// An element of a draw depends only on the generator's seed and stream, on the number of draws before, and on its
// index. So results have the same bits on every instruction set and with any number of threads; they do not depend on
// the C library either.
#include <array>
#include <cstdint>

#include "autograd/tensor.h"

namespace tapegrad::random {

using PhiloxCounter = std::array<std::uint32_t, 4>;
using PhiloxKey = std::array<std::uint32_t, 2>;

/// 128 random bits for a counter and a key.
constexpr PhiloxCounter philox(PhiloxCounter counter, PhiloxKey key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xD2511F53} * counter[0];
    const std::uint64_t b = std::uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<std::uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(b),
               static_cast<std::uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(a)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

/// The source of random numbers: a seed, a stream (different streams of one seed are independent) and the number of
/// draws so far. A plain value: a copy repeats the draws of the original. Not for use by two threads at once.
class Generator {
 public:
  explicit Generator(std::uint64_t seed = 0, std::uint32_t stream = 0, std::uint64_t position = 0)
      : seed_(seed), position_(position), stream_(stream) {}

  std::uint64_t seed() const { return seed_; }
  std::uint32_t stream() const { return stream_; }
  std::uint64_t position() const { return position_; }

  /// Reserves the numbers of one draw: `blocks` times 128 bits. Returns a copy of the generator as it was before, whose
  /// block(i) gives them.
  Generator reserve(std::uint64_t blocks) {
    const Generator before = *this;
    position_ += positions_for(blocks);
    return before;
  }
  /// The i-th 128 bits of the draw at this position.
  PhiloxCounter block(std::uint64_t i) const {
    const std::uint64_t position = position_ + (i >> 32);
    return philox({static_cast<std::uint32_t>(i), stream_, static_cast<std::uint32_t>(position),
                   static_cast<std::uint32_t>(position >> 32)},
                  {static_cast<std::uint32_t>(seed_), static_cast<std::uint32_t>(seed_ >> 32)});
  }
  /// By how much a draw of so many blocks moves the position on: one, and one more for every 2^32 blocks.
  static constexpr std::uint64_t positions_for(std::uint64_t blocks) { return blocks ? 1 + ((blocks - 1) >> 32) : 1; }

  friend bool operator==(const Generator&, const Generator&) = default;

 private:
  std::uint64_t seed_;
  std::uint64_t position_;
  std::uint32_t stream_;
};

/// Seeds the default generator, which all threads share and which starts with seed 0. Threads that draw from it at the
/// same time get different numbers, in no certain order: give each a generator of its own to repeat a run.
void seed(std::uint64_t n);
/// The default generator's state, to save it and to put it back.
Generator state();
void set_state(const Generator& generator);

/// Reserves the numbers of one draw from `generator`, or from the default one where there is none. Internal.
Generator reserve(Generator* generator, std::uint64_t blocks);

/// While it lives, this thread draws from `generator` where it would draw from the default one. Internal.
class StandIn {
 public:
  explicit StandIn(Generator& generator);
  ~StandIn();
  StandIn(const StandIn&) = delete;
  StandIn& operator=(const StandIn&) = delete;

 private:
  Generator* before_;
};

struct UniformOptions {
  double low = 0;
  double high = 1;
  DType dtype = f32;               ///< or f64
  Generator* generator = nullptr;  ///< nullptr: the default one
};
/// Evenly distributed over low <= x < high: 24 random bits for f32, 53 for f64. Throws for bounds that are not finite
/// or not in order.
Tensor uniform(const Shape& shape, UniformOptions options = {}, SourceLocation at = SourceLocation::current());

struct NormalOptions {
  double mean = 0;
  double std = 1;
  DType dtype = f32;               ///< or f64
  Generator* generator = nullptr;  ///< nullptr: the default one
};
/// Normally distributed, by the inverse of the distribution function (Wichura, "Algorithm AS 241", 1988), computed in
/// double from 32 random bits for f32 (values within 6.3 std) and 52 for f64 (8.2 std). Throws for a negative std.
Tensor normal(const Shape& shape, NormalOptions options = {}, SourceLocation at = SourceLocation::current());

struct IntegerOptions {
  DType dtype = i64;               ///< or i32
  Generator* generator = nullptr;  ///< nullptr: the default one
};
/// Whole numbers, low <= x < high, each with the same probability up to a relative error of (high - low) / 2^64. Throws
/// when there are none, or the dtype cannot hold them.
Tensor integers(std::int64_t low, std::int64_t high, const Shape& shape, IntegerOptions options = {},
                SourceLocation at = SourceLocation::current());

struct PermutationOptions {
  Generator* generator = nullptr;  ///< nullptr: the default one
};
/// 0 ... n - 1 in random order, i64 (Fisher and Yates, from the last element down). Throws for a negative n.
Tensor permutation(std::int64_t n, PermutationOptions options = {}, SourceLocation at = SourceLocation::current());

}  // namespace tapegrad::random
