// Matrix products: packed, direct and narrow (see GemmPath), after Goto and van de Geijn, "Anatomy of high-performance
// matrix multiplication" (2008).
//
// Every element of C is, for each block of k, one chain of multiply-adds in ascending k, added to what the blocks
// before gave. The blocks of k depend on k alone. So an element's bits depend neither on the path nor on the tile that
// it falls into, and callers may cut m and n as they like.
#include "autograd/kernels/fill.h"
#include "autograd/kernels/gemm_micro.h"
#include "autograd/kernels/transpose.h"

namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME {
namespace {

constexpr Index divide_up(Index a, Index b) { return (a + b - 1) / b; }
constexpr Index round_up(Index a, Index b) { return divide_up(a, b) * b; }
constexpr Index smaller(Index a, Index b) { return a < b ? a : b; }
constexpr Index larger(Index a, Index b) { return a > b ? a : b; }

/// Cuts `size` evenly into as few parts of at most `limit` as possible; a part is a multiple of `unit`. Even parts
/// avoid a thin last one.
constexpr Index even_part(Index size, Index limit, Index unit) {
  const Index units = divide_up(size, unit);
  const Index parts = divide_up(units, limit / unit);
  return divide_up(units, parts) * unit;
}

/// A typed view of GemmArguments.
template <class T>
struct Problem {
  Index m, n, k;
  const T* a;
  Index a_row_stride, a_column_stride;
  const T* b;
  Index b_row_stride, b_column_stride;
  T* c;
  Index c_row_stride;
  const T* bias;
  bool accumulate;
  T* workspace;
};

template <class T, class Arch>
struct Gemm {
  using Sizes = Tuning<T, Arch>;
  static constexpr Index width = lanes<T, Arch>;

  /// Panels start on cache lines.
  static constexpr Index line = 64 / static_cast<Index>(sizeof(T));

  static Index k_part(Index k) { return even_part(k, Sizes::k_block, 8); }
  static Index m_part(Index m) { return even_part(m, Sizes::m_block, Sizes::rows); }
  static Index n_part(Index n) { return even_part(n, Sizes::n_block, Sizes::columns); }

  /// Rows of C that the narrow path turns around at once.
  static constexpr Index narrow_rows = 8 * Sizes::columns;

  // ---- which path ----

  static GemmPath path(const Problem<T>& p) {
    if (p.m == 0 || p.n == 0 || p.k == 0) {
      return GemmPath::empty;
    }
    if (p.n < width && p.m > p.n) {
      return GemmPath::narrow;
    }
    return is_direct(p) ? GemmPath::direct : GemmPath::packed;
  }

  /// Few rows read a panel of B too seldom to pay for a copy, few columns a strip of A; small products fit the caches as
  /// they are. The limits are measured.
  static bool is_direct(const Problem<T>& p) {
    constexpr Index bytes = static_cast<Index>(sizeof(T));
    if (p.m <= 64 || p.m * p.n * p.k <= 128 * 128 * 128) {
      return true;
    }
    if (p.a_column_stride == 1) {
      // Rows at multiples of 4 KiB would fall into the same few lines of the first cache.
      const bool is_cacheable = p.a_row_stride * bytes % 4096 != 0;
      return is_cacheable && (p.n * bytes <= 768 || p.m * p.k * bytes <= Sizes::direct_bytes);
    }
    return p.a_row_stride == 1 && p.m * p.k * bytes <= Sizes::direct_bytes;
  }

  static Index workspace_elements(const Problem<T>& p) {
    if (const Index tail = narrow_tail(p); tail > 0) {
      return larger(workspace_elements(columns_of(p, 0, p.n - tail)),
                    workspace_elements(columns_of(p, p.n - tail, p.n)));
    }
    switch (path(p)) {
      case GemmPath::empty:
        return 0;
      case GemmPath::narrow:
        return narrow_result(p.m, p.n) + direct_workspace(p.k);
      case GemmPath::direct:
        return direct_workspace(p.k);
      case GemmPath::packed:
        break;
    }
    return k_part(p.k) * (n_part(p.n) + round_up(m_part(p.m), line));
  }

  static Index direct_workspace(Index k) { return k_part(k) * Sizes::columns; }
  static Index narrow_result(Index m, Index n) { return round_up(n * smaller(m, narrow_rows), line); }

  /// The columns behind the last whole register that are computed by themselves, on the narrow path: few of them would
  /// fill a register of the other paths badly.
  static Index narrow_tail(const Problem<T>& p) {
    const Index tail = p.n % width;
    return p.n > width && p.m >= 2 * Sizes::columns && tail <= width / 2 ? tail : 0;
  }

  static Problem<T> columns_of(Problem<T> p, Index begin, Index end) {
    p.b += begin * p.b_column_stride;
    p.c += begin;
    if (p.bias != nullptr) p.bias += begin;
    p.n = end - begin;
    return p;
  }

  // ---- packing ----

  /// to[k * stride + i] = element (i, k), for i < count, k < depth; zeros for count <= i < padded.
  static void pack(const T* from, Index i_stride, Index k_stride, Index count, Index padded, Index stride, Index depth,
                   T* to) {
    if (k_stride == 1) {
      transpose<T, Arch>(from, i_stride, to, stride, count, depth);
    } else if (i_stride == 1) {
      copy_rows(from, k_stride, count, stride, depth, to);
    } else {
      for (Index k = 0; k < depth; ++k) {
        for (Index i = 0; i < count; ++i) {
          to[k * stride + i] = from[k * k_stride + i * i_stride];
        }
      }
    }
    for (Index k = 0; k < depth; ++k) {
      for (Index i = count; i < padded; ++i) {
        to[k * stride + i] = T(0);
      }
    }
  }

  static void copy_rows(const T* from, Index from_stride, Index count, Index to_stride, Index rows, T* to) {
    const Index whole = count / width * width;
    for (Index r = 0; r < rows; ++r) {
      const T* source = from + r * from_stride;
      T* target = to + r * to_stride;
      for (Index i = 0; i < whole; i += width) {
        store_all<T, Arch>(target + i, load_all<T, Arch>(source + i));
      }
      if (whole < count) {
        store_partial<T, Arch>(target + whole, load_partial<T, Arch>(source + whole, count - whole), count - whole);
      }
    }
  }

  // ---- the packed path ----

  static void packed(const Problem<T>& p) {
    const Index k_step = k_part(p.k);
    const Index m_step = m_part(p.m);
    const Index n_step = n_part(p.n);
    T* packed_b = p.workspace;
    T* packed_a = packed_b + k_step * n_step;
    for (Index n0 = 0; n0 < p.n; n0 += n_step) {
      const Index n_count = smaller(n_step, p.n - n0);
      for (Index k0 = 0; k0 < p.k; k0 += k_step) {
        const Index k_count = smaller(k_step, p.k - k0);
        pack_b(p, n0, n_count, k0, k_count, packed_b);
        for (Index m0 = 0; m0 < p.m; m0 += m_step) {
          const Index m_count = smaller(m_step, p.m - m0);
          pack_a(p, m0, m_count, k0, k_count, packed_a);
          multiply_block(p, m0, m_count, n0, n_count, k0, k_count, packed_a, packed_b);
        }
      }
    }
  }

  static void pack_b(const Problem<T>& p, Index n0, Index n_count, Index k0, Index k_count, T* to) {
    constexpr Index columns = Sizes::columns;
    for (Index j = 0; j < n_count; j += columns) {
      const T* from = p.b + k0 * p.b_row_stride + (n0 + j) * p.b_column_stride;
      pack(from, p.b_column_stride, p.b_row_stride, smaller(columns, n_count - j), columns, columns, k_count,
           to + j * k_count);
    }
  }

  static void pack_a(const Problem<T>& p, Index m0, Index m_count, Index k0, Index k_count, T* to) {
    constexpr Index rows = Sizes::rows;
    for (Index i = 0; i < m_count; i += rows) {
      const Index count = smaller(rows, m_count - i);
      const T* from = p.a + (m0 + i) * p.a_row_stride + k0 * p.a_column_stride;
      pack(from, p.a_row_stride, p.a_column_stride, count, count, count, k_count, to + i * k_count);
    }
  }

  static void multiply_block(const Problem<T>& p, Index m0, Index m_count, Index n0, Index n_count, Index k0,
                             Index k_count, const T* packed_a, const T* packed_b) {
    for (Index j = 0; j < n_count; j += Sizes::columns) {
      const Index columns = smaller(Sizes::columns, n_count - j);
      for (Index i = 0; i < m_count; i += Sizes::rows) {
        const Index rows = smaller(Sizes::rows, m_count - i);
        TileArguments<T> tile{.k = k_count,
                              .a = packed_a + i * k_count,
                              .a_row_stride = 1,
                              .a_column_stride = rows,
                              .b = packed_b + j * k_count,
                              .b_row_stride = Sizes::columns,
                              .c = p.c + (m0 + i) * p.c_row_stride + n0 + j,
                              .c_row_stride = p.c_row_stride,
                              .tail = columns % width,
                              .accumulate = p.accumulate || k0 > 0};
        tile_function<T, Arch, true>(rows, columns, tile.tail)(tile);
        if (p.bias != nullptr && k0 + k_count == p.k) {
          add_bias<T, Arch>(tile.c, tile.c_row_stride, rows, columns, p.bias + n0 + j);
        }
      }
    }
  }

  // ---- the direct path ----

  static void direct(const Problem<T>& p) {
    const Index k_step = k_part(p.k);
    for (Index n0 = 0; n0 < p.n; n0 += Sizes::columns) {
      const Index columns = smaller(Sizes::columns, p.n - n0);
      const Index tail = columns % width;
      const bool in_place = p.b_column_stride == 1 && (tail == 0 || reads_tail_in_place<Arch>);
      for (Index k0 = 0; k0 < p.k; k0 += k_step) {
        const Index k_count = smaller(k_step, p.k - k0);
        const T* b = p.b + k0 * p.b_row_stride + n0 * p.b_column_stride;
        Index b_row_stride = p.b_row_stride;
        if (!in_place) {
          const Index padded = round_up(columns, width);
          pack(b, p.b_column_stride, p.b_row_stride, columns, padded, padded, k_count, p.workspace);
          b = p.workspace;
          b_row_stride = padded;
        }
        multiply_panel(p, n0, columns, k0, k_count, b, b_row_stride);
      }
    }
  }

  /// All rows of C against one panel of B. Row blocks differ by at most one row.
  static void multiply_panel(const Problem<T>& p, Index n0, Index columns, Index k0, Index k_count, const T* b,
                             Index b_row_stride) {
    const Index blocks = divide_up(p.m, Sizes::rows);
    const Index base = p.m / blocks;
    const Index larger = p.m % blocks;
    Index i = 0;
    for (Index block = 0; block < blocks; ++block) {
      const Index rows = base + (block < larger ? 1 : 0);
      TileArguments<T> tile{.k = k_count,
                            .a = p.a + i * p.a_row_stride + k0 * p.a_column_stride,
                            .a_row_stride = p.a_row_stride,
                            .a_column_stride = p.a_column_stride,
                            .b = b,
                            .b_row_stride = b_row_stride,
                            .c = p.c + i * p.c_row_stride + n0,
                            .c_row_stride = p.c_row_stride,
                            .tail = columns % width,
                            .accumulate = p.accumulate || k0 > 0};
      tile_function<T, Arch, false>(rows, columns, tile.tail)(tile);
      if (p.bias != nullptr && k0 + k_count == p.k) {
        add_bias<T, Arch>(tile.c, tile.c_row_stride, rows, columns, p.bias + n0);
      }
      i += rows;
    }
  }

  // ---- the narrow path ----

  /// C^T = B^T A^T: the many rows of C become lanes, its few columns become rows.
  static void narrow(const Problem<T>& p) {
    T* result = p.workspace;
    for (Index m0 = 0; m0 < p.m; m0 += narrow_rows) {
      const Index count = smaller(narrow_rows, p.m - m0);
      T* c = p.c + m0 * p.c_row_stride;
      if (p.accumulate) {
        transpose<T, Arch>(c, p.c_row_stride, result, count, count, p.n);
      }
      direct({.m = p.n,
              .n = count,
              .k = p.k,
              .a = p.b,
              .a_row_stride = p.b_column_stride,
              .a_column_stride = p.b_row_stride,
              .b = p.a + m0 * p.a_row_stride,
              .b_row_stride = p.a_column_stride,
              .b_column_stride = p.a_row_stride,
              .c = result,
              .c_row_stride = count,
              .bias = nullptr,
              .accumulate = p.accumulate,
              .workspace = result + narrow_result(p.m, p.n)});
      transpose<T, Arch>(result, count, c, p.c_row_stride, p.n, count);
      if (p.bias != nullptr) {
        add_bias<T, Arch>(c, p.c_row_stride, count, p.n, p.bias);
      }
    }
  }

  // ---- all paths ----

  static void multiply(const Problem<T>& p) {
    if (const Index tail = narrow_tail(p); tail > 0) {
      multiply(columns_of(p, 0, p.n - tail));
      return multiply(columns_of(p, p.n - tail, p.n));
    }
    switch (path(p)) {
      case GemmPath::empty:
        return empty(p);
      case GemmPath::narrow:
        return narrow(p);
      case GemmPath::direct:
        return direct(p);
      case GemmPath::packed:
        return packed(p);
    }
  }

  // ---- nothing to multiply ----

  static void empty(const Problem<T>& p) {
    if (!p.accumulate) {
      for (Index i = 0; i < p.m; ++i) {
        for (Index j = 0; j < p.n; ++j) {
          p.c[i * p.c_row_stride + j] = T(0);
        }
      }
    }
    if (p.bias != nullptr) {
      add_bias<T, Arch>(p.c, p.c_row_stride, p.m, p.n, p.bias);
    }
  }
};

template <class T>
Problem<T> problem_of(const GemmArguments& arguments) {
  return {.m = arguments.m,
          .n = arguments.n,
          .k = arguments.k,
          .a = static_cast<const T*>(arguments.a),
          .a_row_stride = arguments.a_row_stride,
          .a_column_stride = arguments.a_column_stride,
          .b = static_cast<const T*>(arguments.b),
          .b_row_stride = arguments.b_row_stride,
          .b_column_stride = arguments.b_column_stride,
          .c = static_cast<T*>(arguments.c),
          .c_row_stride = arguments.c_row_stride,
          .bias = static_cast<const T*>(arguments.bias),
          .accumulate = arguments.accumulate,
          .workspace = static_cast<T*>(arguments.workspace)};
}

template <class T, class Arch>
void gemm(const GemmArguments& arguments) {
  Gemm<T, Arch>::multiply(problem_of<T>(arguments));
}

template <class T, class Arch>
std::size_t workspace_bytes(const GemmArguments& arguments) {
  return static_cast<std::size_t>(Gemm<T, Arch>::workspace_elements(problem_of<T>(arguments))) * sizeof(T);
}

template <class T, class Arch>
GemmPath path(const GemmArguments& arguments) {
  return Gemm<T, Arch>::path(problem_of<T>(arguments));
}

template <class T, class Arch>
void fill_type(Table& table, int type) {
  table.gemm[type] = gemm<T, Arch>;
  table.gemm_workspace_bytes[type] = workspace_bytes<T, Arch>;
  table.gemm_path[type] = path<T, Arch>;
  table.gemm_tile_rows[type] = Tuning<T, Arch>::rows;
  table.gemm_tile_columns[type] = Tuning<T, Arch>::columns;
}

}  // namespace

void fill_gemm(Table& table) {
  fill_type<float, TargetArch>(table, 0);
  fill_type<double, TargetArch>(table, 1);
}

}  // namespace tapegrad::kernels::inline TAPEGRAD_ARCH_NAME
