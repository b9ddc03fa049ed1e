// Products, and whether any or all of some booleans are true: short loops that the compiler vectorises.
#include <cstring>

#include "autograd/kernels/fill.h"

namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME {
namespace {

constexpr Index smaller(Index a, Index b) { return a < b ? a : b; }

// ---- products, in double ----

/// Columns that go down together, or neighbours in a row.
constexpr Index lanes_together = 16;
/// Rows of a block: a lane of f32 cannot overflow there, so that large elements meet the small ones beside them first.
constexpr Index block_rows = 8;

template <class T, Index Lanes>
TAPEGRAD_INLINE void multiply_down(const T* x, Index rows, Index row_stride, double* product) {
  for (Index lane = 0; lane < Lanes; ++lane) {
    product[lane] = 1;
  }
  for (Index r = 0; r < rows; ++r) {
    for (Index lane = 0; lane < Lanes; ++lane) {
      product[lane] *= static_cast<double>(x[r * row_stride + lane]);
    }
  }
}

template <class T>
T row_product(const T* x, Index n) {
  double total = 1;
  Index i = 0;
  while (i + lanes_together <= n) {
    const Index rows = smaller((n - i) / lanes_together, block_rows);
    double product[lanes_together];
    multiply_down<T, lanes_together>(x + i, rows, lanes_together, product);
    for (Index half = lanes_together / 2; half > 0; half /= 2) {
      for (Index lane = 0; lane < half; ++lane) {
        product[lane] = product[2 * lane] * product[2 * lane + 1];
      }
    }
    total *= product[0];
    i += rows * lanes_together;
  }
  for (; i < n; ++i) {
    total *= static_cast<double>(x[i]);
  }
  return static_cast<T>(total);
}

template <class T, Index Lanes>
TAPEGRAD_INLINE void column_products(const T* x, T* out, Index n, Index inner) {
  double product[Lanes];
  multiply_down<T, Lanes>(x, n, inner, product);
  for (Index lane = 0; lane < Lanes; ++lane) {
    out[lane] = static_cast<T>(product[lane]);
  }
}

template <class T>
void prod(const void* x, void* out, Index n, Index inner, Index begin, Index end) {
  const T* source = static_cast<const T*>(x);
  T* target = static_cast<T*>(out);
  for (Index o = begin; o < end; ++o) {
    if (inner == 1) {
      target[o] = row_product(source + o * n, n);
      continue;
    }
    Index c = 0;
    for (; c + lanes_together <= inner; c += lanes_together) {
      column_products<T, lanes_together>(source + o * n * inner + c, target + o * inner + c, n, inner);
    }
    for (; c < inner; ++c) {
      column_products<T, 1>(source + o * n * inner + c, target + o * inner + c, n, inner);
    }
  }
}

// ---- booleans ----

/// Whether a line holds `value`; a result of `value` means that it does.
template <unsigned char value>
void find(const void* x, void* out, Index n, Index inner, Index begin, Index end) {
  const auto* source = static_cast<const unsigned char*>(x);
  auto* target = static_cast<unsigned char*>(out);
  for (Index o = begin; o < end; ++o) {
    const unsigned char* from = source + o * n * inner;
    if (inner == 1) {
      const bool found = n > 0 && std::memchr(from, value, static_cast<std::size_t>(n)) != nullptr;
      target[o] = found ? value : 1 - value;
      continue;
    }
    unsigned char* const to = target + o * inner;
    for (Index c = 0; c < inner; ++c) {
      to[c] = 1 - value;
    }
    for (Index r = 0; r < n; ++r) {
      for (Index c = 0; c < inner; ++c) {
        const int seen = to[c];
        to[c] = static_cast<unsigned char>(value ? seen | from[r * inner + c] : seen & from[r * inner + c]);
      }
    }
  }
}

}  // namespace

void fill_fold(Table& table) {
  table.prod[0] = prod<float>;
  table.prod[1] = prod<double>;
  table.any = find<1>;
  table.all = find<0>;
}

}  // namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME
