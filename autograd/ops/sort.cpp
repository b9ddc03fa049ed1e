#include "autograd/ops/sort.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "autograd/ops/elements.h"
#include "autograd/ops/index.h"

namespace tapegrad {
namespace {

constexpr double nanoseconds_per_comparison = 2;

// An element as a number that sorts as it does, with its position as the tie-break: all items of a row differ, so any
// correct sort is stable.
struct Item {
  std::uint64_t key;
  std::int64_t position;

  friend bool operator<(const Item& a, const Item& b) {
    return a.key != b.key ? a.key < b.key : a.position < b.position;
  }
};

constexpr std::uint64_t key_of_nan = ~std::uint64_t{0};

template <class T>
std::uint64_t ascending_key(T x) {
  constexpr std::uint64_t sign = std::uint64_t{1} << 63;
  if constexpr (std::is_floating_point_v<T>) {
    // Of numbers with the sign bit, larger bits are smaller numbers. x + 0 makes -0 equal to 0.
    const auto bits = std::bit_cast<std::uint64_t>(static_cast<double>(x) + 0.0);
    return bits & sign ? ~bits : bits | sign;
  } else {
    return static_cast<std::uint64_t>(static_cast<std::int64_t>(x)) ^ sign;
  }
}

template <class T>
std::uint64_t key_of(T x, bool descending) {
  if constexpr (std::is_floating_point_v<T>) {
    if (std::isnan(x)) return key_of_nan;
  }
  return descending ? ~ascending_key(x) : ascending_key(x);
}

// The positions of the first k of n elements in order.
template <class T>
void order_row(const T* row, std::int64_t n, std::int64_t k, bool descending, Item* items, std::int64_t* positions) {
  for (std::int64_t i = 0; i < n; ++i) items[i] = {key_of(row[i], descending), i};
  if (k < n) {
    std::partial_sort(items, items + k, items + n);
  } else {
    std::sort(items, items + n);
  }
  for (std::int64_t i = 0; i < k; ++i) positions[i] = items[i].position;
}

// Where the first k elements in order along the axis are, with x's shape but for k along the axis.
Tensor order(const Tensor& x, int axis, std::int64_t k, bool descending) {
  const int last = x.ndim() - 1;
  const Tensor rows = detail::contiguous_elements(detail::swapped_view(x, axis, last));
  const std::int64_t n = rows.block()->shape[last];
  Shape shape = rows.shape();
  shape[last] = k;
  Tensor positions = Tensor::empty(shape, i64);
  if (positions.size() > 0) {
    const double cost = nanoseconds_per_comparison * static_cast<double>(n) * std::log2(static_cast<double>(k) + 1);
    detail::with_type(x.dtype(), [&]<class T>(T*) {
      detail::for_ranges(positions.size() / k, cost, [&](std::int64_t begin, std::int64_t end) {
        const detail::Scratch items(static_cast<std::size_t>(n) * sizeof(Item));
        for (std::int64_t r = begin; r < end; ++r) {
          order_row(rows.data<T>() + r * n, n, k, descending, items.get<Item>(),
                    positions.data<std::int64_t>() + r * k);
        }
      });
    });
  }
  return detail::contiguous_elements(detail::swapped_view(positions, axis, last));
}

Tensor order_all(const char* name, const Arg& x, const SortOptions& options) {
  const Tensor& from = detail::defined(name, x);
  const int axis = normalize_axis(name, options.axis, from.ndim(), x.at());
  return order(from, axis, from.block()->shape[axis], options.descending);
}

}  // namespace

Tensor argsort(Arg x, const SortOptions& options) { return order_all("argsort", x, options); }

Tensor sort(Arg x, const SortOptions& options) {
  return gather(x, Arg(order_all("sort", x, options), x.at()), options.axis);
}

ValuesAndIndices topk(Arg x, std::int64_t k, const TopkOptions& options) {
  const Tensor& from = detail::defined("topk", x);
  const int axis = normalize_axis("topk", options.axis, from.ndim(), x.at());
  const std::int64_t size = from.block()->shape[axis];
  if (k < 0 || k > size) {
    detail::fail_op("topk",
                    "k = " + std::to_string(k) + " elements of axis " + std::to_string(axis) + " of " + describe(from),
                    x.at(), "k is at least 0 and at most the size of the axis, " + std::to_string(size));
  }
  const Tensor positions = order(from, axis, k, options.largest);
  return {gather(x, Arg(positions, x.at()), axis), positions};
}

namespace detail {
namespace {

// Rows in which any two elements differ by at least 1 / 32, so that differences do not change their order.
Tensor distant_values(std::int64_t rows, std::int64_t columns) {
  Tensor x = Tensor::empty({rows, columns}, f64);
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) {
      x.data<double>()[i * columns + j] = static_cast<double>((37 * j + 11 * i) % columns) / 32;
    }
  }
  return x;
}

}  // namespace

std::vector<OpDescription> sort_ops() {
  using Inputs = std::vector<Tensor>;
  const Tensor x = sample_values({3, 4, 5});
  const Tensor turned = swapped_view(x, 0, 2);
  const Tensor large = distant_values(40, 70);
  return describe_composites(
      {{"sort",
        "The elements in order along an axis; NaN last.",
        "y[i] = x[argsort(x)[i]]",
        {{{x}, [](const Inputs& in) { return sort(in[0]); }},
         {{turned}, [](const Inputs& in) { return sort(in[0], {.axis = 1, .descending = true}); }},
         {{sample_values({0, 3})}, [](const Inputs& in) { return sort(in[0], {.axis = 0}); }},
         {{large}, [](const Inputs& in) { return sort(in[0]); }}}},
       {"argsort",
        "Where the elements in order along an axis come from.",
        "",
        {{{x}, [](const Inputs& in) { return argsort(in[0]); }},
         {{turned}, [](const Inputs& in) { return argsort(in[0], {.axis = 1, .descending = true}); }},
         {{large}, [](const Inputs& in) { return argsort(in[0]); }}}},
       {"topk",
        "The k largest elements along an axis, the largest first.",
        "y[i] = x[argsort(-x)[i]], i < k",
        {{{x}, [](const Inputs& in) { return topk(in[0], 2).values; }},
         {{turned}, [](const Inputs& in) { return topk(in[0], 3, {.axis = 0, .largest = false}).values; }},
         {{x}, [](const Inputs& in) { return topk(in[0], 0, {.axis = 1}).values; }},
         {{large}, [](const Inputs& in) { return topk(in[0], 5).values; }}}}});
}

}  // namespace detail
}  // namespace tapegrad
