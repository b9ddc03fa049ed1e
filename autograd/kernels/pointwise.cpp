// One loop per primitive, dtype and choice of operands that are a single element. An element's bits depend on its
// operands only: the body, the tail and a call for one element evaluate the same batch expression.
#include "autograd/kernels/fill.h"
#include "autograd/kernels/pointwise_compute.h"

namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME {
namespace {

// ---- the loop ----

// The first element of a register.
#if defined(__SSE2__)
[[maybe_unused]] TAPEGRAD_INLINE float first(__m128 x) { return _mm_cvtss_f32(x); }
[[maybe_unused]] TAPEGRAD_INLINE double first(__m128d x) { return _mm_cvtsd_f64(x); }
#endif
#if defined(__AVX__)
[[maybe_unused]] TAPEGRAD_INLINE float first(__m256 x) { return _mm256_cvtss_f32(x); }
[[maybe_unused]] TAPEGRAD_INLINE double first(__m256d x) { return _mm256_cvtsd_f64(x); }
#endif
#if defined(__AVX512F__)
[[maybe_unused]] TAPEGRAD_INLINE float first(__m512 x) { return _mm512_cvtss_f32(x); }
[[maybe_unused]] TAPEGRAD_INLINE double first(__m512d x) { return _mm512_cvtsd_f64(x); }
#endif

template <class T>
TAPEGRAD_INLINE void store_first(T* to, V<T> value) {
  if constexpr (requires { first(value.data); }) {
    *to = first(value.data);
  } else {
    store_partial<T, TargetArch>(to, value, 1);
  }
}

/// An array, or one element that stands for all.
template <class T, bool is_scalar>
class Operand {
 public:
  TAPEGRAD_INLINE explicit Operand(const void* data) : data_(static_cast<const T*>(data)), scalar_(T(0)) {
    if constexpr (is_scalar) scalar_ = V<T>(*data_);
  }
  TAPEGRAD_INLINE V<T> at(std::size_t i) const {
    if constexpr (is_scalar) return scalar_;
    return load_all<T, TargetArch>(data_ + i);
  }
  /// The next elements, of which `left` exist.
  TAPEGRAD_INLINE V<T> at_end(std::size_t i, std::ptrdiff_t left) const {
    if constexpr (is_scalar) return scalar_;
    if (left >= lanes<T, TargetArch>) return load_all<T, TargetArch>(data_ + i);
    return load_partial<T, TargetArch>(data_ + i, left);
  }

 private:
  const T* data_;
  V<T> scalar_;
};

template <class T>
TAPEGRAD_INLINE void store_end(T* to, V<T> value, std::ptrdiff_t left) {
  if (left >= lanes<T, TargetArch>) {
    store_all<T, TargetArch>(to, value);
  } else {
    store_partial<T, TargetArch>(to, value, left);
  }
}

/// Evaluates `batch(load)` for all n elements, where load(operand) gives the operand's current batch.
template <int unroll, class T, class Body>
TAPEGRAD_INLINE void for_each_batch(T* out, std::size_t n, Body batch) {
  constexpr std::size_t width = V<T>::size;
  std::size_t i = 0;
  for (; i + unroll * width <= n; i += unroll * width) {
    V<T> results[unroll];
    static_for<unroll>([&](auto u) TAPEGRAD_INLINE_LAMBDA {
      results[u] = batch([&](const auto& operand) TAPEGRAD_INLINE_LAMBDA { return operand.at(i + u * width); });
    });
    static_for<unroll>([&](auto u)
                           TAPEGRAD_INLINE_LAMBDA { store_all<T, TargetArch>(out + i + u * width, results[u]); });
  }
  for (; i < n; i += width) {
    const std::ptrdiff_t left = static_cast<std::ptrdiff_t>(n - i);
    const V<T> result = batch([&](const auto& operand) TAPEGRAD_INLINE_LAMBDA { return operand.at_end(i, left); });
    store_end(out + i, result, left);
  }
}

template <Primitive primitive, class T>
TAPEGRAD_INLINE V<T> compute_one(const void* a, const void* b, const void* c, const void* d) {
  const auto load = [](const void* from) TAPEGRAD_INLINE_LAMBDA { return V<T>(*static_cast<const T*>(from)); };
  if constexpr (arity(primitive) == 1) {
    return compute<primitive, T>(load(a));
  } else if constexpr (arity(primitive) == 2) {
    return compute<primitive, T>(load(a), load(b));
  } else if constexpr (arity(primitive) == 3) {
    return compute<primitive, T>(load(a), load(b), load(c));
  } else {
    return compute<primitive, T>(load(a), load(b), load(c), load(d));
  }
}

template <Primitive primitive, class T, unsigned scalars>
void loop(void* out, const void* a, const void* b, const void* c, const void* d, std::size_t n) {
  constexpr int unroll = unroll_of(primitive);
  T* const to = static_cast<T*>(out);
  if constexpr (scalars == 0) {
    // A chain of single numbers feels every instruction.
    if (n == 1) return store_first<T>(to, compute_one<primitive, T>(a, b, c, d));
  }
  const Operand<T, (scalars & 1) != 0> x(a);
  if constexpr (arity(primitive) == 1) {
    for_each_batch<unroll>(to, n, [&](auto load) TAPEGRAD_INLINE_LAMBDA { return compute<primitive, T>(load(x)); });
  } else {
    const Operand<T, (scalars & 2) != 0> y(b);
    if constexpr (arity(primitive) == 2) {
      for_each_batch<unroll>(to, n,
                             [&](auto load) TAPEGRAD_INLINE_LAMBDA { return compute<primitive, T>(load(x), load(y)); });
    } else {
      const Operand<T, (scalars & 4) != 0> z(c);
      if constexpr (arity(primitive) == 3) {
        for_each_batch<unroll>(
            to, n, [&](auto load) TAPEGRAD_INLINE_LAMBDA { return compute<primitive, T>(load(x), load(y), load(z)); });
      } else {
        const Operand<T, (scalars & 8) != 0> w(d);
        for_each_batch<unroll>(to, n, [&](auto load) TAPEGRAD_INLINE_LAMBDA {
          return compute<primitive, T>(load(x), load(y), load(z), load(w));
        });
      }
    }
  }
}

// ---- the table ----

/// Which operands are a single element.
constexpr int choices = 1 << most_operands;

/// A result that is the same for all elements is computed once, so only `copy` needs a loop with scalars alone.
template <Primitive primitive, unsigned scalars>
constexpr bool has_loop() {
  constexpr unsigned all = (1U << arity(primitive)) - 1;
  return scalars < all || (scalars == all && primitive == Primitive::copy);
}

template <class T, std::size_t index>
TAPEGRAD_INLINE void fill_primitive(BlockFunction (&functions)[choices]) {
  constexpr Primitive primitive = static_cast<Primitive>(index);
  static_for<choices>([&](auto scalars) TAPEGRAD_INLINE_LAMBDA {
    if constexpr (has_loop<primitive, static_cast<unsigned>(scalars)>()) {
      functions[scalars] = loop<primitive, T, static_cast<unsigned>(scalars)>;
    }
  });
}

template <class T>
void fill_primitives(BlockFunction (&functions)[primitive_count][choices]) {
  static_for<static_cast<int>(primitive_count)>(
      [&](auto index) TAPEGRAD_INLINE_LAMBDA { fill_primitive<T, static_cast<std::size_t>(index)>(functions[index]); });
}

}  // namespace

void fill_pointwise(Table& table) {
  fill_primitives<float>(table.block[0]);
  fill_primitives<double>(table.block[1]);
}

}  // namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME
