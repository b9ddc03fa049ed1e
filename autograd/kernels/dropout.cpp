// Dropout: random words by Philox4x32-10, as autograd/random.h computes them one by one, and what they drop.
#include "autograd/kernels/fill.h"

namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME {
namespace {

constexpr int rounds = 10;
constexpr Index blocks_of_group = dropout_group / 4;

template <class Arch>
using Words = Batch<std::uint64_t, Arch>;  // one word per lane, in its lower half

template <class Arch>
struct RoundKeys {
  Words<Arch> a[rounds], b[rounds];

  explicit RoundKeys(std::uint64_t seed) {
    std::uint32_t key_a = static_cast<std::uint32_t>(seed);
    std::uint32_t key_b = static_cast<std::uint32_t>(seed >> 32);
    for (int r = 0; r < rounds; ++r) {
      a[r] = Words<Arch>(std::uint64_t{key_a});
      b[r] = Words<Arch>(std::uint64_t{key_b});
      key_a += 0x9E3779B9;
      key_b += 0xBB67AE85;
    }
  }
};

/// A block per lane. What gathers in the upper halves of the words is not read by a product.
template <class Arch>
struct Blocks {
  Words<Arch> word[4];

  TAPEGRAD_INLINE void run_round(Words<Arch> key_a, Words<Arch> key_b) {
    const Words<Arch> a = multiply_lower_halves<Arch>(Words<Arch>(std::uint64_t{0xD2511F53}), word[0]);
    const Words<Arch> b = multiply_lower_halves<Arch>(Words<Arch>(std::uint64_t{0xCD9E8D57}), word[2]);
    word[0] = (b >> 32) ^ word[1] ^ key_a;
    word[1] = b;
    word[2] = (a >> 32) ^ word[3] ^ key_b;
    word[3] = a;
  }
};

/// The words of the elements of group `g`, in their order.
template <class Arch>
TAPEGRAD_INLINE void group_words(const DropoutArguments& d, const RoundKeys<Arch>& keys, Index g,
                                 std::uint32_t* words) {
  using Register = Words<Arch>;
  constexpr Index width = lanes<std::uint64_t, Arch>;
  alignas(64) static constexpr std::uint64_t even_numbers[8] = {0, 2, 4, 6, 8, 10, 12, 14};
  const std::uint64_t first = static_cast<std::uint64_t>(g) * blocks_of_group;
  const std::uint64_t position = d.position + (first >> 32);  // a group has no block on both sides of 2^32
  const Register lower(std::uint64_t{0xFFFFFFFF});
  for (Index at = 0; at < blocks_of_group; at += 2 * width) {
    // Even and odd blocks: put together, their words lie in the order of the blocks.
    Blocks<Arch> even;
    Blocks<Arch> odd;
    const Register number = Register::load_aligned(even_numbers) +
                            Register(std::uint64_t{static_cast<std::uint32_t>(first) + static_cast<std::uint32_t>(at)});
    even.word[0] = number;
    odd.word[0] = number + Register(std::uint64_t{1});
    even.word[1] = odd.word[1] = Register(std::uint64_t{d.stream});
    even.word[2] = odd.word[2] = Register(position & 0xFFFFFFFF);
    even.word[3] = odd.word[3] = Register(position >> 32);
    for (int r = 0; r < rounds; ++r) {
      even.run_round(keys.a[r], keys.b[r]);
      odd.run_round(keys.a[r], keys.b[r]);
    }
    static_for<4>([&](auto k) TAPEGRAD_INLINE_LAMBDA {
      const Register both = (even.word[k] & lower) | (odd.word[k] << 32);
      store_all<std::uint32_t, Arch>(words + k * blocks_of_group + at, bitcast<std::uint32_t>(both));
    });
  }
}

template <class T>
TAPEGRAD_INLINE void drop(const T* __restrict x, T* __restrict y, const std::uint32_t* __restrict words, Index n,
                          std::uint32_t threshold, T scale) {
  for (Index i = 0; i < n; ++i) y[i] = words[i] < threshold ? T(0) : x[i] * scale;
}

template <class T, class Arch>
void dropout(const DropoutArguments& d) {
  const RoundKeys<Arch> keys(d.seed);
  const T* const x = static_cast<const T*>(d.x);
  T* const y = static_cast<T*>(d.y);
  const T scale = static_cast<T>(d.scale);
  alignas(64) std::uint32_t words[dropout_group];
  Index i = d.begin;
  for (; i + dropout_group <= d.end; i += dropout_group) {
    group_words<Arch>(d, keys, i / dropout_group, words);
    drop(x + i, y + i, words, dropout_group, d.threshold, scale);
  }
  if (i < d.end) {
    group_words<Arch>(d, keys, i / dropout_group, words);
    drop(x + i, y + i, words, d.end - i, d.threshold, scale);
  }
}

}  // namespace

void fill_dropout(Table& table) {
  table.dropout[0] = dropout<float, TargetArch>;
  table.dropout[1] = dropout<double, TargetArch>;
}

}  // namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME
