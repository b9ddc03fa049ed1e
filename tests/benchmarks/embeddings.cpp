// A table of 50,000 vectors: 8192 rows looked up, with the gradient of the table.
#include "tapegrad.h"
#include "tests/benchmarks/measure.h"

namespace bench {

using namespace tapegrad;

namespace {

struct Table {
  Parameter weight{random::normal({50000, 256})};
};

Step look_up(EmbeddingOptions options) {
  auto table = std::make_shared<Table>();
  const Tensor indices = random::integers(0, 50000, {8192});
  const Tensor upstream = random::normal({8192, 256});
  return [=] {
    Tape tape;
    tape.gradient(embedding(indices, table->weight, options), *table, {.seed = upstream});
  };
}

Step dense() { return look_up({}); }
Step touched_rows() { return look_up({.sparse = true}); }

Step dropout_1m() {
  auto x = std::make_shared<Parameter>(random::normal({1000000}));
  const Tensor upstream = random::normal({1000000});
  return [=] {
    Tape tape;
    tape.gradient(dropout(*x, 0.1), *x, {.seed = upstream});
  };
}

}  // namespace

std::vector<Workload> embedding_workloads() {
  return {
      {"embedding_50000x256_8192", dense}, {"embedding_rows_50000x256_8192", touched_rows}, {"dropout_1m", dropout_1m}};
}

}  // namespace bench
