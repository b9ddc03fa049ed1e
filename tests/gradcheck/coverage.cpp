#include "tests/gradcheck/coverage.h"

#include <atomic>

#include "autograd/kernels/table.h"

namespace tapegrad::tests {
namespace {

using kernels::GemmArguments;
using kernels::GemmPath;
using kernels::Table;

struct Count {
  std::string name;
  const std::atomic<long>* calls;
};
std::vector<Count>& counts() {
  static std::vector<Count> list;
  return list;
}

// A function that counts and passes on; one per `member` of the table and `type`.
template <auto member, int type, class Function>
struct Counting;
template <auto member, int type, class Result, class... A>
struct Counting<member, type, Result (*)(A...)> {
  static inline Result (*real)(A...) = nullptr;
  static inline std::atomic<long> calls = 0;
  static Result call(A... arguments) {
    calls.fetch_add(1, std::memory_order_relaxed);
    return real(arguments...);
  }
};

template <auto member, int type = 0, class Function>
void count(Function& function, const std::string& name) {
  using Counter = Counting<member, type, Function>;
  Counter::real = function;
  function = &Counter::call;
  counts().push_back({name, &Counter::calls});
}

// One for f32 and one for f64.
template <auto member>
void count_pair(Table& table, const std::string& name) {
  count<member, 0>((table.*member)[0], name + " f32");
  count<member, 1>((table.*member)[1], name + " f64");
}

constexpr const char* path_names[] = {"empty", "narrow", "direct", "packed"};
std::atomic<long> path_calls[2][std::size(path_names)];
void (*real_gemm[2])(const GemmArguments&);
GemmPath (*path_of[2])(const GemmArguments&);

template <int type>
void counting_gemm(const GemmArguments& g) {
  path_calls[type][static_cast<std::size_t>(path_of[type](g))].fetch_add(1, std::memory_order_relaxed);
  real_gemm[type](g);
}

void count_gemm(Table& table) {
  for (std::size_t type : {0u, 1u}) {
    real_gemm[type] = table.gemm[type];
    path_of[type] = table.gemm_path[type];
    for (std::size_t path = 0; path < std::size(path_names); ++path) {
      const char* const suffix = type == 0 ? " f32" : " f64";
      counts().push_back({std::string("gemm, ") + path_names[path] + " path" + suffix, &path_calls[type][path]});
    }
  }
  table.gemm[0] = &counting_gemm<0>;
  table.gemm[1] = &counting_gemm<1>;
}

}  // namespace

void count_kernel_calls() {
  static Table table = kernels::table();
  if (!counts().empty()) return;
  count_pair<&Table::sum>(table, "sum");
  count_pair<&Table::sum_of_squares>(table, "sum_of_squares");
  count_pair<&Table::sum_of_magnitudes>(table, "sum_of_magnitudes");
  count_pair<&Table::prod>(table, "prod");
  count_pair<&Table::cumsum>(table, "cumsum");
  count_pair<&Table::cumprod>(table, "cumprod");
  count_pair<&Table::linear_scan>(table, "linear_scan");
  count_pair<&Table::products_of_others>(table, "products_of_others");
  count_pair<&Table::max>(table, "max");
  count_pair<&Table::min>(table, "min");
  count_pair<&Table::max_index>(table, "max_index");
  count_pair<&Table::min_index>(table, "min_index");
  count_pair<&Table::sum_chunk>(table, "sum_chunk");
  count_pair<&Table::sum_columns_chunk>(table, "sum_columns_chunk");
  count_pair<&Table::window_sums>(table, "window_sums");
  count_pair<&Table::window_gradient>(table, "window_gradient");
  count_pair<&Table::tap_sums>(table, "tap_sums");
  count_pair<&Table::depthwise_sums>(table, "depthwise_sums");
  count_pair<&Table::depthwise_gradient>(table, "depthwise_gradient");
  count<&Table::winograd_weight>(table.winograd_weight, "winograd_weight");
  count<&Table::winograd_input>(table.winograd_input, "winograd_input");
  count<&Table::winograd_output>(table.winograd_output, "winograd_output");
  count_pair<&Table::softmax>(table, "softmax");
  count_pair<&Table::softmax_backward>(table, "softmax_backward");
  count_pair<&Table::log_softmax>(table, "log_softmax");
  count_pair<&Table::log_softmax_backward>(table, "log_softmax_backward");
  count_pair<&Table::cross_entropy>(table, "cross_entropy");
  count_pair<&Table::cross_entropy_fused>(table, "cross_entropy_fused");
  count_pair<&Table::normalize_rows>(table, "normalize_rows");
  count_pair<&Table::normalize_rows_backward>(table, "normalize_rows_backward");
  count_pair<&Table::column_moments>(table, "column_moments");
  count_pair<&Table::column_dots>(table, "column_dots");
  count_pair<&Table::column_affine>(table, "column_affine");
  count_pair<&Table::column_affine_of_two>(table, "column_affine_of_two");
  count_pair<&Table::max_pool>(table, "max_pool");
  count_pair<&Table::max_pool_select>(table, "max_pool_select");
  count_pair<&Table::max_pool_scatter>(table, "max_pool_scatter");
  count_pair<&Table::resample>(table, "resample");
  count_pair<&Table::dropout>(table, "dropout");
  count_pair<&Table::sum_rows>(table, "sum_rows");
  count<&Table::any>(table.any, "any");
  count<&Table::all>(table.all, "all");
  count_pair<&Table::machine>(table, "pointwise machine");
  count<&Table::copy>(table.copy, "copy");
  count<&Table::gather_rows>(table.gather_rows, "gather_rows");
  count_gemm(table);
  count_pair<&Table::gemv>(table, "gemv");
  kernels::detail::selected_table = &table;
}

std::vector<std::string> kernels_not_reached() {
  std::vector<std::string> names;
  for (const Count& c : counts()) {
    if (c.calls->load() == 0) names.push_back(c.name);
  }
  return names;
}

int kernels_reached() { return static_cast<int>(counts().size() - kernels_not_reached().size()); }

}  // namespace tapegrad::tests
