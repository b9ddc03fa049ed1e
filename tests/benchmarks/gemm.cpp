// bench_gemm [--threads N] [--only NAME] [--rounds R] [--json] [--check] [--list]
//
// Matrix products against the most multiply-adds that this machine makes and against OpenBLAS, when that is installed
// (Debian: libopenblas0-pthread; it is opened while the program runs, the library never links it). Ratios are medians
// over alternating samples in one process. Names end in _bt where the right operand is a transposed weight [n, k], and
// in _f64 for double precision. With --check the program fails when a product misses its budget (docs/design.md).
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "autograd/kernels/table.h"
#include "tapegrad.h"
#include "tests/benchmarks/measure.h"
#include "tests/benchmarks/set_loops.h"

namespace {

using namespace tapegrad;
using bench::Step;

// ---- OpenBLAS ----

/// The C interface to BLAS: row-major 101, as it is 111, transposed 112.
template <class T>
using Gemm = void (*)(int order, int transpose_a, int transpose_b, int m, int n, int k, T alpha, const T* a, int lda,
                      const T* b, int ldb, T beta, T* c, int ldc);

struct OpenBlas {
  Gemm<float> sgemm = nullptr;
  Gemm<double> dgemm = nullptr;

  explicit OpenBlas(int threads) {
    // Its threads would spin through the samples of the others for 20 ms.
    setenv("OPENBLAS_THREAD_TIMEOUT", "4", 1);
    void* const library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) return;
    sgemm = reinterpret_cast<Gemm<float>>(dlsym(library, "cblas_sgemm"));
    dgemm = reinterpret_cast<Gemm<double>>(dlsym(library, "cblas_dgemm"));
    const auto set_threads = reinterpret_cast<void (*)(int)>(dlsym(library, "openblas_set_num_threads"));
    if (set_threads != nullptr) set_threads(threads);
  }
  explicit operator bool() const { return sgemm != nullptr && dgemm != nullptr; }
};

// ---- the products ----

struct Product {
  int m, n, k;
  bool is_transposed = false;
  DType type = f32;

  std::string name() const {
    return "gemm_" + std::to_string(m) + "x" + std::to_string(n) + "x" + std::to_string(k) +
           (is_transposed ? "_bt" : "") + (type == f64 ? "_f64" : "");
  }
  double flops() const { return 2.0 * m * n * k; }
  /// Squares of 256 to 1024 in f32.
  bool has_budget() const { return type == f32 && !is_transposed && m == n && n == k && m >= 256 && m <= 1024; }
};

std::vector<Product> products() {
  constexpr int shapes[][3] = {{64, 64, 64},       {128, 128, 128},    {256, 256, 256}, {512, 512, 512},
                               {1024, 1024, 1024}, {2048, 2048, 2048}, {64, 128, 784},  {64, 10, 128},
                               {128, 1024, 1024},  {2048, 256, 1024},  {32, 1024, 256}, {768, 128, 128},
                               {768, 512, 128},    {64, 100, 128},     {1, 512, 512},   {1, 1024, 1024}};
  std::vector<Product> all;
  for (const auto& [m, n, k] : shapes) all.push_back({m, n, k});
  for (const auto& [m, n, k] : shapes) all.push_back({m, n, k, true});
  for (const int n : {512, 1024}) all.push_back({n, n, n, false, f64});
  return all;
}

Step ours(const Product& p, const Tensor& a, const Tensor& b) {
  if (p.is_transposed) return [=] { matmul(a, transpose(b)); };
  return [=] { matmul(a, b); };
}

template <class T>
Step openblas(const Product& p, Gemm<T> gemm, const Tensor& a, const Tensor& b) {
  auto c = std::make_shared<Tensor>(zeros({p.m, p.n}, a.dtype()));
  return [=] {
    gemm(101, 111, p.is_transposed ? 112 : 111, p.m, p.n, p.k, T(1), a.span<T>().data(), p.k, b.span<T>().data(),
         p.is_transposed ? p.k : p.n, T(0), c->span<T>().data(), p.n);
  };
}

// ---- measuring ----

struct Options {
  int threads = 1;
  int rounds = 21;
  std::string only;
  bool json = false, check = false, list = false;
};

/// False when the budget is missed.
bool report(const Product& p, const OpenBlas& blas, const Options& options) {
  random::seed(1);
  const Tensor a = random::normal({p.m, p.k}).to(p.type);
  const Tensor b = random::normal(p.is_transposed ? Shape{p.n, p.k} : Shape{p.k, p.n}).to(p.type);
  const auto peak = bench::set_loops().multiply_add[p.type == f64 ? 1 : 0];
  constexpr std::size_t peak_rounds = 20000;
  const double peak_flops = peak(peak_rounds) * options.threads;
  std::vector<Step> contenders = {ours(p, a, b),
                                  [&] { parallel_for(options.threads, [&](std::int64_t) { peak(peak_rounds); }); }};
  if (blas) {
    contenders.push_back(p.type == f64 ? openblas<double>(p, blas.dgemm, a, b) : openblas<float>(p, blas.sgemm, a, b));
  }
  const std::vector<bench::Comparison> t =
      bench::compare(contenders, {.sample_ns = 2e6, .rounds = options.rounds, .processor_time = options.threads == 1});
  const double of_peak = p.flops() / peak_flops * t[1].ratio;
  const double budget = options.threads == 1 ? 0.88 : 0.85;
  const bool passes = !p.has_budget() || of_peak >= budget;
  std::printf(
      "{\"name\": \"%s\", \"threads\": %d, \"median_ms\": %.5f, \"peer\": \"tapegrad 0.1.0\", "
      "\"variant\": \"%s\", \"gflops\": %.1f, \"of_peak\": %.3f",
      p.name().c_str(), options.threads, t[0].ns * 1e-6, kernels::instruction_set(), p.flops() / t[0].ns, of_peak);
  if (blas) std::printf(", \"openblas_ms\": %.5f, \"openblas_over_ours\": %.3f", t[2].ns * 1e-6, t[2].ratio);
  std::printf("}\n");
  std::fflush(stdout);
  if (options.json) return passes;
  std::fprintf(stderr, "%-28s %8.1f GFLOP/s %5.1f %% of peak", p.name().c_str(), p.flops() / t[0].ns, 100 * of_peak);
  if (blas) std::fprintf(stderr, "  OpenBLAS %8.1f, its time over ours %5.2f", p.flops() / t[2].ns, t[2].ratio);
  std::fprintf(stderr, "%s\n", passes ? "" : "  over budget");
  return passes;
}

Options parse(int count, char** arguments) {
  Options options;
  const auto value = [&](int& i) -> const char* { return ++i < count ? arguments[i] : ""; };
  for (int i = 1; i < count; ++i) {
    const std::string name = arguments[i];
    if (name == "--threads") {
      options.threads = std::atoi(value(i));
    } else if (name == "--rounds") {
      options.rounds = std::atoi(value(i));
    } else if (name == "--only") {
      options.only = value(i);
    } else if (name == "--json") {
      options.json = true;
    } else if (name == "--check") {
      options.check = true;
    } else if (name == "--list") {
      options.list = true;
    } else {
      options.threads = 0;
    }
  }
  if (options.threads >= 1 && options.rounds >= 1) return options;
  std::fprintf(stderr, "usage: bench_gemm [--threads N] [--only NAME] [--rounds R] [--json] [--check] [--list]\n");
  std::exit(2);
}

}  // namespace

int main(int count, char** arguments) {
  const Options options = parse(count, arguments);
  set_num_threads(options.threads);
  const OpenBlas blas(options.threads);
  if (!blas && !options.json) std::fprintf(stderr, "OpenBLAS is not installed: without a comparison\n");
  int misses = 0;
  for (const Product& p : products()) {
    if (p.name().find(options.only) == std::string::npos) continue;
    if (options.list) {
      std::printf("%s\n", p.name().c_str());
    } else {
      misses += !report(p, blas, options);
    }
  }
  return options.check && misses > 0 ? 1 : 0;
}
