#include <stdexcept>
#include <string>

#include "autograd/kernels/built_sets.h"
#include "autograd/kernels/table.h"
#include "tests/benchmarks/set_loops.h"

namespace tapegrad::kernels {
#ifdef TAPEGRAD_HAS_SSE42
namespace sse42 {
const bench::SetLoops& set_loops();
}
#endif
#ifdef TAPEGRAD_HAS_AVX2
namespace avx2 {
const bench::SetLoops& set_loops();
}
#endif
#ifdef TAPEGRAD_HAS_AVX512
namespace avx512 {
const bench::SetLoops& set_loops();
}
#endif
#ifdef TAPEGRAD_HAS_DEFAULT
namespace portable {
const bench::SetLoops& set_loops();
}
#endif
}  // namespace tapegrad::kernels

const bench::SetLoops& bench::set_loops() {
  namespace kernels = tapegrad::kernels;
  const std::string set = kernels::instruction_set();
#ifdef TAPEGRAD_HAS_SSE42
  if (set == "sse42") return kernels::sse42::set_loops();
#endif
#ifdef TAPEGRAD_HAS_AVX2
  if (set == "avx2") return kernels::avx2::set_loops();
#endif
#ifdef TAPEGRAD_HAS_AVX512
  if (set == "avx512") return kernels::avx512::set_loops();
#endif
#ifdef TAPEGRAD_HAS_DEFAULT
  if (set == "default") return kernels::portable::set_loops();
#endif
  throw std::logic_error("no loops for " + set);
}
