// Gradients of tables by touched rows: what a walk keeps of them, and what Gradients make of them.
#include <sstream>

#include "autograd/checkpoint.h"
#include "autograd/create.h"
#include "autograd/ops/embedding.h"
#include "autograd/ops/index.h"
#include "autograd/ops/matmul.h"
#include "autograd/thread_pool.h"
#include "autograd/transforms.h"
#include "tests/autograd/op_support.h"

using namespace op_test;

namespace {

struct Model {
  Parameter table{irregular({9, 4})};
  Parameter other{irregular({4}, 5)};
};

const Tensor first = Tensor::from({7, 2, 2, 0, 7, 2}, {2, 3});
const Tensor second = Tensor::from({3, 7});

Tensor loss_of(const Model& m, bool sparse, std::optional<std::int64_t> padding = {}) {
  const EmbeddingOptions options{.padding_idx = padding, .sparse = sparse};
  return sum(square(embedding(first, m.table, options)) * m.other) + sum(tanh(embedding(second, m.table, options)));
}

Gradients gradients_of(const Model& m, bool sparse, std::optional<std::int64_t> padding = {}) {
  Tape tape;
  return tape.gradient(loss_of(m, sparse, padding), m);
}

Tensor indices(std::initializer_list<std::int64_t> values) { return Tensor::from(values); }

}  // namespace

TEST_CASE("a walk keeps the rows that sparse look-ups touched, added up over all of them", "[rows]") {
  const Model m;
  const Gradients dense = gradients_of(m, false);
  const Gradients rows = gradients_of(m, true);
  CHECK_FALSE(dense.touched_rows("table"));
  CHECK_FALSE(rows.touched_rows("other"));
  const auto touched = rows.touched_rows("table");
  REQUIRE(touched);
  CHECK(array_equal(touched->rows, indices({0, 2, 3, 7})));
  CHECK(is_close(touched->values, take(dense.at("table"), touched->rows)));
  CHECK(is_close(rows.at("table"), dense.at("table")));
  CHECK(is_close(rows[m.table], dense[m.table]));
  CHECK(same_bits(rows.at("other"), dense.at("other")));
  CHECK(rows.size() == 2);
  CHECK(rows.unused().empty());
  CHECK(rows.norm() == Approx(dense.norm()));
  std::string shapes;
  for (auto [name, gradient] : rows) shapes += name + to_string(gradient.shape()) + " ";
  CHECK(shapes == "table[4, 4] other[4] ");
  CHECK(error_of([&] { rows.touched_rows("tabel"); }) ==
        "gradients: there is no parameter \"tabel\", at here; did you mean "
        "\"table\"?");
}

TEST_CASE("one look-up has the bits of the dense gradient, with and without a padding row", "[rows]") {
  const Model m;
  for (const std::optional<std::int64_t> padding : {std::optional<std::int64_t>(), {2}, {-2}}) {
    const auto run = [&](bool sparse) {
      Tape tape;
      const Tensor y = embedding(first, m.table, {.padding_idx = padding, .sparse = sparse});
      return tape.gradient(sum(y * irregular({2, 3, 4}, 3)), m, {.allow_unused = true});
    };
    const Gradients rows = run(true);
    REQUIRE(rows.touched_rows("table"));
    CHECK(same_bits(rows.at("table"), run(false).at("table")));
    CHECK(rows.unused() == std::vector<std::string>{"other"});
  }
  CHECK(array_equal(gradients_of(m, true, 2).touched_rows("table")->rows, indices({0, 3, 7})));
  // Of a look-up of the padding row alone, or of nothing, no row is touched;
  // but the loss has reached the table.
  for (const Tensor& index : {indices({2, 2}), Tensor::empty({0}, i64)}) {
    Tape tape;
    const Gradients none =
        tape.gradient(sum(embedding(index, m.table, {.padding_idx = 2, .sparse = true})) + sum(m.other), m);
    CHECK(none.touched_rows("table")->rows.size() == 0);
    CHECK(array_equal(none.at("table"), zeros({9, 4}, f64)));
    CHECK(none.norm() == 2);
  }
}

TEST_CASE("a table that is used in another way as well has a dense gradient", "[rows]") {
  const Model m;
  const auto run = [&](bool sparse) {
    Tape tape;
    const Tensor logits = matmul(square(embedding(first, m.table, {.sparse = sparse})), transpose(m.table));
    return tape.gradient(sum(tanh(logits)) + sum(m.other), m);
  };
  const Gradients mixed = run(true);
  CHECK_FALSE(mixed.touched_rows("table"));
  CHECK(is_close(mixed.at("table"), run(false).at("table")));
}

TEST_CASE("where somebody looks at the gradient on the way, it is dense", "[rows]") {
  const Model m;
  const Gradients expected = gradients_of(m, false);
  const auto check = [&](const Gradients& g) {
    CHECK_FALSE(g.touched_rows("table"));
    CHECK(is_close(g.at("table"), expected.at("table")));
  };
  {
    Tape outer;
    check(gradients_of(m, true));
  }
  {
    Tape tape{{.persistent = true}};
    check(tape.gradient(loss_of(m, true), m));
  }
  {
    Tape tape{{.check_finite = true}};
    check(tape.gradient(loss_of(m, true), m));
  }
  {
    Tape tape;
    const Tensor loss = loss_of(m, true);
    int calls = 0;
    tape.on_gradient(m.table, [&](const Tensor& g) { calls += g.shape() == Shape{9, 4}; });
    check(tape.gradient(loss, m));
    CHECK(calls == 1);
  }
  {
    Tape tape;
    const Tensor loss = checkpoint([&](const Tensor& w) { return loss_of(m, true) + sum(w); }, m.other);
    check(tape.gradient(loss, m));
  }
  check(value_and_grad([](const Model& n) { return loss_of(n, true); }, m).gradient);
  Tape tape;
  CHECK(is_close(tape.gradient(loss_of(m, true), m.table), expected.at("table")));
}

TEST_CASE("second order through a sparse look-up", "[rows]") {
  const Model m;
  const auto penalty = [&](bool sparse) {
    Tape outer;
    Tensor slope;
    {
      Tape inner;
      slope = inner.gradient(loss_of(m, sparse), m.table);
    }
    return outer.gradient(sum(square(slope)), m);
  };
  const Gradients rows = penalty(true);
  const Gradients dense = penalty(false);
  for (const auto& [name, g] : dense) CHECK(is_close(rows.at(name), g));
}

TEST_CASE("the table's entry counts as walked", "[rows]") {
  const Model m;
  Tape tape;
  tape.gradient(sum(embedding(first, m.table, {.sparse = true})), m, {.allow_unused = true});
  std::ostringstream text;
  tape.print(text);
  CHECK_THAT(text.str(), !ContainsSubstring("not walked"));
}

TEST_CASE("sums, products and limits of gradients by touched rows", "[rows]") {
  const Model m;
  const auto of = [&](const Tensor& index, bool sparse) {
    Tape tape;
    const Tensor y = embedding(index, m.table, {.sparse = sparse});
    return tape.gradient(sum(square(y)), m, {.allow_unused = true});
  };
  const Tensor a = indices({5, 1, 5});
  const Tensor b = indices({1, 8});
  const Tensor sum_of_both = of(a, false).at("table") + of(b, false).at("table");

  Gradients rows = of(a, true);
  rows += of(b, true);
  REQUIRE(rows.touched_rows("table"));
  CHECK(array_equal(rows.touched_rows("table")->rows, indices({1, 5, 8})));
  CHECK(is_close(rows.at("table"), sum_of_both));
  rows *= -2;
  CHECK(is_close(rows.at("table"), -2 * sum_of_both));
  rows.clip(-1, 0.5);
  CHECK(rows.touched_rows("table"));
  CHECK(is_close(rows.at("table"), minimum(maximum(-2 * sum_of_both, -1), 0.5)));
  rows.clip(0.25, 0.5);
  CHECK_FALSE(rows.touched_rows("table"));
  CHECK(is_close(rows.at("table"), minimum(maximum(-2 * sum_of_both, 0.25), 0.5)));

  for (const bool left_is_sparse : {false, true}) {
    const Gradients kept = of(a, left_is_sparse);
    Gradients mixed = kept;
    mixed += of(b, !left_is_sparse);
    CHECK_FALSE(mixed.touched_rows("table"));
    CHECK(is_close(mixed.at("table"), sum_of_both));
    CHECK(is_close(kept.at("table"), of(a, false).at("table")));  // a copy does not share what was written
  }
  Gradients copy = rows = of(a, true);
  copy *= 3;
  CHECK(is_close(rows.at("table"), of(a, false).at("table")));
}

TEST_CASE("touched rows have the same bits with any number of threads", "[rows]") {
  const int threads = num_threads();
  struct Large {
    Parameter table{irregular({5000, 33}, 1, f32)};
  };
  const Large m;
  Tensor index = Tensor::empty({4000}, i64);
  for (std::int64_t i = 0; i < 4000; ++i) index.data<std::int64_t>()[i] = i % 3 ? i % 5 : i * i % 5000;
  const auto run = [&](int n) {
    set_num_threads(n);
    Tape tape;
    return tape.gradient(sum(tanh(embedding(index, m.table, {.sparse = true}))), m).touched_rows("table")->values;
  };
  const Tensor one = run(1);
  for (int n : {2, 3, 7}) CHECK(same_bits(run(n), one));
  set_num_threads(threads);
}
