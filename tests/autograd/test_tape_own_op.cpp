// A user's structured ops, in one file and with public headers only: many inputs, attributes that own something, rules
// that throw.
#include "autograd/op.h"

#include <memory>

#include "tests/autograd/tape_support.h"

namespace tape_test {

namespace {

// ---- five inputs, five saved tensors: more than an entry holds by itself ----

struct Product5 {
  static constexpr const char* name = "product5";
  static constexpr const char* doc = "a b c d e, element by element";
  using Attributes = NoAttributes;
  static constexpr Uses uses = {0b11110, 0b11101, 0b11011, 0b10111, 0b01111};
  static Shape shape(const Inputs& x, const Attributes&) {
    for (int k = 1; k < x.count(); ++k) {
      if (!(x[k].shape() == x[0].shape())) x.fail("shapes differ: " + describe(x[0]) + " and " + describe(x[k]), "ask");
    }
    return x[0].shape();
  }
  static Tensor forward(const Inputs& x, Attributes&, const Shape&) {
    return no_tape([&] { return x[0] * x[1] * x[2] * x[3] * x[4]; });
  }
  static void vjp(Walk& walk, const Attributes&, const Tensor& g) {
    for (int k = 0; k < 5; ++k) {
      asked += walk.needs(k);
      if (!walk.needs(k)) continue;
      Tensor gradient = g;
      for (int j = 0; j < 5; ++j) {
        if (j != k) gradient = gradient * walk.input(j);
      }
      walk.give(k, gradient);
    }
  }
  static std::vector<Sample<Attributes>> samples() {
    return {{{wave({3}, 1), wave({3}, 2), wave({3}, 3), wave({3}, 4), wave({3}, 5)}, {}}};
  }
  static inline int asked = 0;
};

Tensor product5(Arg a, Arg b, Arg c, Arg d, Arg e) { return apply<Product5>({}, a, b, c, d, e); }

// ---- attributes that own something ----

struct Scale {
  static constexpr const char* name = "scale";
  static constexpr const char* doc = "factor * tanh(x)";
  struct Attributes {
    double factor = 1;
    std::shared_ptr<int> owned = {};
  };
  static constexpr Uses uses = {reads_input(0) | reads_output};
  static Shape shape(const Inputs& x, const Attributes&) { return x[0].shape(); }
  static Tensor forward(const Inputs& x, Attributes& a, const Shape&) {
    return no_tape([&] { return a.factor * tanh(x[0]); });
  }
  static void vjp(Walk& walk, const Attributes& a, const Tensor& g) {
    if (countdown > 0 && --countdown == 0) throw Error("a rule gave up");
    // Reads both what it saved of the input and of the output.
    walk.give(0, g * (a.factor - walk.output() * tanh(walk.input(0))));
  }
  static std::vector<Sample<Attributes>> samples() { return {{{wave({3}, 1)}, {.factor = 2}}}; }
  static inline int countdown = 0;  // the rule throws when it gets to 0
};

Tensor scale(Arg x, double factor, std::shared_ptr<int> owned = {}) {
  return apply<Scale>({.factor = factor, .owned = std::move(owned)}, x);
}

// ---- what a rule may save ----

// tanh(x) + 1, whose slope 1 - tanh(x)^2 can be had from either.
template <std::uint32_t reads>
struct Saver {
  static constexpr const char* name = "saver";
  static constexpr const char* doc = "tanh(x) + 1";
  using Attributes = NoAttributes;
  static constexpr Uses uses = {reads};
  static Shape shape(const Inputs& x, const Attributes&) { return x[0].shape(); }
  static Tensor forward(const Inputs& x, Attributes&, const Shape&) {
    return no_tape([&] { return tanh(x[0]) + 1.0; });
  }
  static void vjp(Walk& walk, const Attributes&, const Tensor& g) {
    const auto from_input = [&] { return tanh(walk.input(0)); };
    const auto from_output = [&] { return walk.output() - 1.0; };
    if constexpr (reads == reads_output) {
      walk.give(0, g * (1.0 - square(from_output())));
    } else if constexpr (reads == reads_input(0)) {
      walk.give(0, g * (1.0 - square(from_input())));
    } else {
      walk.give(0, g * (1.0 - from_input() * from_output()));
    }
  }
  static std::vector<Sample<Attributes>> samples() { return {{{wave({3}, 1)}, {}}}; }
};

// ---- a rule with mistakes ----

template <int mistake>
struct Careless {
  static constexpr const char* name = "careless";
  static constexpr const char* doc = "x";
  using Attributes = NoAttributes;
  static constexpr Uses uses = {reads_nothing};
  static Shape shape(const Inputs& x, const Attributes&) { return x[0].shape(); }
  static Tensor forward(const Inputs& x, Attributes&, const Shape&) { return x[0].clone(); }
  static void vjp(Walk& walk, const Attributes&, const Tensor& g) {
    if (mistake == 0) walk.give(0, g * walk.input(0));  // not named by `uses`
    if (mistake == 1) walk.give(0, wave({7}, 1));       // not the input's shape
    if (mistake == 2) throw 42;                         // not even an exception of the library
    if (mistake == 3) walk.give(0, Tensor());
  }
  static std::vector<Sample<Attributes>> samples() { return {{{wave({3}, 1)}, {}}}; }
};

template <int mistake>
Tensor careless(Arg x) {
  return apply<Careless<mistake>>({}, x);
}

}  // namespace

TEST_CASE_METHOD(CleanRecord, "an own op with five inputs and five saved tensors, to second order", "[tape][own-op]") {
  std::vector<Tensor> at;
  for (int k = 0; k < 5; ++k) at.push_back(wave({3}, k + 1) + 1.5);
  const auto gradients = [](const std::vector<Tensor>& inputs) {
    Tape tape;
    std::vector<Tensor> x = inputs;
    for (Tensor& t : x) tape.watch(t);
    return tape.gradient(sum(tanh(product5(x[0], x[1], x[2], x[3], x[4]) * 0.1)), x);
  };
  const auto value = [](const std::vector<Tensor>& x) {
    return sum(tanh(product5(x[0], x[1], x[2], x[3], x[4]) * 0.1)).item();
  };
  const auto slope = [&](const std::vector<Tensor>& x) {
    Tensor s = scalar(0);
    const auto g = gradients(x);
    for (std::size_t k = 0; k < 5; ++k) s = s + sum(g[k] * wave({3}, 0.3 * static_cast<double>(k + 1)));
    return s;
  };
  const auto first = gradients(at);
  Tape tape;
  std::vector<Tensor> x = at;
  for (Tensor& t : x) tape.watch(t);
  const auto second = tape.gradient(slope(x), x);
  const Tape::Pause pause;
  for (std::size_t k = 0; k < 5; ++k) {
    CHECK(is_close(first[k], numeric_gradient(value, at, k), 1e-9));
    CHECK(is_close(second[k], numeric_gradient([&](const auto& v) { return slope(v).item(); }, at, k), 1e-8));
  }
}

TEST_CASE_METHOD(CleanRecord, "an own op saves only what the wanted gradients read", "[tape][own-op]") {
  const Parameter w(wave({4}, 1));
  const Tensor c = wave({4}, 2);
  Tape tape;
  const Tensor y = product5(c, c, c, c, w);
  CHECK(tape.statistics().saved_bytes == 4 * 8);  // c, once; w's own values are for the other inputs
  Product5::asked = 0;
  CHECK(is_close(tape.gradient(sum(y), w), c * c * c * c));
  CHECK(Product5::asked == 1);
}

TEST_CASE_METHOD(CleanRecord, "one tensor in all five places", "[tape][own-op]") {
  const Parameter w(wave({4}, 1));
  Tape tape{{.persistent = true}};
  const Tensor y = sum(product5(w, w, w, w, w));
  const Tensor expected = 5 * square(square(w));
  CHECK(is_close(tape.gradient(y, w), expected));
  CHECK(is_close(tape.gradient(y, w), expected));  // persistent: the extra part is still there
}

TEST_CASE_METHOD(CleanRecord, "an own op gives back all five saved tensors: without a walk, after one, and persistent",
                 "[tape][own-op]") {
  const Parameter w(wave({4}, 1));
  std::vector<Tensor> c;
  for (int k = 0; k < 4; ++k) c.push_back(wave({4}, k + 2));
  const auto references = [&] {
    std::uint32_t total = 0;
    for (const Tensor& t : c) total += t.block()->references.load();
    return total;
  };
  const auto record = [&] { return sum(product5(w, c[0], c[1], c[2], c[3])); };
  for (const bool walks : {false, true}) {
    for (const bool persistent : {false, true}) {
      {
        Tape tape{{.persistent = persistent}};
        const Tensor y = record();
        CHECK(references() == 8);
        if (walks) tape.gradient(y, w);
        CHECK(references() == (walks && !persistent ? 4 : 8));
      }
      CHECK(references() == 4);
    }
  }
}

TEST_CASE_METHOD(CleanRecord, "a change to a tensor saved beyond the second", "[tape][own-op]") {
  const Parameter w(wave({4}, 1));
  Tensor late = wave({4}, 5);
  Tape tape;
  const int saved = __LINE__ + 1;
  const Tensor y = sum(product5(w, w, w, w, late));
  const int changed = __LINE__ + 1;
  late.span<double>()[0] = 0;
  CHECK(error_of([&] { tape.gradient(y, w); }) ==
        "`product5` at " + here(saved) + " saved a tensor f64[4]; `span` at " + here(changed) + " changed it");
}

TEST_CASE_METHOD(CleanRecord, "an own op's error has its name, the hint and the user's line", "[tape][own-op]") {
  const Parameter w(wave({4}, 1));
  const int line = __LINE__ + 1;
  std::string message = error_of([&] { product5(w, w, wave({3}, 1), w, w); });
  CHECK(message == "product5: shapes differ: f64[4] and f64[3], at " + here(line) + "; ask");
}

TEST_CASE_METHOD(CleanRecord, "an own op that reads input, output and attributes, to third order", "[tape][own-op]") {
  const Function own = [](const Tensor& x) { return scale(x, 2.5); };
  const Function same = [](const Tensor& x) { return 2.5 * tanh(x); };
  const Tensor x = scalar(0.3);
  CHECK(is_close(grad(own)(x), grad(same)(x)));
  CHECK(is_close(grad(grad(own))(x), grad(grad(same))(x)));
  CHECK(is_close(grad(grad(grad(own)))(x), grad(grad(grad(same)))(x)));
}

namespace {

template <std::uint32_t reads>
void check_saver() {
  const Function own = [](const Tensor& x) { return sum(apply<Saver<reads>>({}, Arg(x))); };
  const Function same = [](const Tensor& x) { return sum(tanh(x) + 1.0); };
  const Tensor point = scalar(0.3);
  CHECK(is_close(grad(own)(point), grad(same)(point)));
  CHECK(is_close(grad(grad(own))(point), grad(grad(same))(point)));

  constexpr std::uint32_t input = reads & reads_input(0) ? 1 : 0;
  constexpr std::uint32_t output = reads & reads_output ? 1 : 0;
  for (const bool walks : {false, true}) {
    for (const bool recorded : {false, true}) {
      Tensor x = wave({4}, 1);
      Tensor y;
      {
        const std::unique_ptr<Tape> outer(recorded ? new Tape : nullptr);
        Tape tape;
        tape.watch(x);
        const std::uint32_t before = x.block()->references.load();
        y = apply<Saver<reads>>({}, Arg(x));
        CHECK(x.block()->references.load() == before + input);
        CHECK(y.block()->references.load() == 1 + output);
        CHECK(tape.statistics().saved_bytes == (input + output) * 32);
        const Tensor slope = no_tape([&] { return 1.0 - square(tanh(x)); });
        if (walks) CHECK(is_close(tape.gradient(sum(y), x), slope));
        if (walks && !recorded) {
          CHECK(x.block()->references.load() == before);
          CHECK(y.block()->references.load() == 1);
          CHECK(tape.statistics().saved_bytes == 0);
        } else {
          CHECK(x.block()->references.load() >= before + input);
          CHECK(y.block()->references.load() >= 1 + output);
        }
      }
      CHECK(x.block()->references.load() == 1);
      CHECK(y.block()->references.load() == 1);
    }
  }
}

}  // namespace

TEST_CASE_METHOD(CleanRecord, "own ops that save the input, the output, or both", "[tape][own-op]") {
  check_saver<reads_input(0)>();
  check_saver<reads_output>();
  check_saver<reads_input(0) | reads_output>();
}

TEST_CASE_METHOD(CleanRecord, "attributes are destroyed once: without a walk, after one, and persistent",
                 "[tape][own-op]") {
  const Parameter w(wave({4}, 1));
  const auto owned = std::make_shared<int>(7);
  {
    Tape tape;
    const Tensor y = scale(w, 2, owned);
    CHECK(owned.use_count() == 2);
  }
  CHECK(owned.use_count() == 1);
  {
    Tape tape;
    tape.gradient(sum(scale(w, 2, owned)), w);
    CHECK(owned.use_count() == 1);  // released by the walk
  }
  {
    Tape tape{{.persistent = true}};
    const Tensor y = sum(scale(w, 2, owned));
    tape.gradient(y, w);
    tape.gradient(y, w);
    CHECK(owned.use_count() == 2);
  }
  CHECK(owned.use_count() == 1);
  scale(w, 2, owned);  // not recorded
  CHECK(owned.use_count() == 1);
}

TEST_CASE_METHOD(CleanRecord, "a throw in the middle of a walk: no gradient, nothing changed, the tape goes on",
                 "[tape][own-op]") {
  Parameter w(wave({4}, 1));
  const auto owned = std::make_shared<int>(7);
  const Tensor before = w.value().clone();
  {
    Tape tape;
    const Tensor h = tanh(w);
    const int recorded = __LINE__ + 1;
    const Tensor y = sum(exp(scale(h, 2, owned)));
    Scale::countdown = 1;
    CHECK(error_of([&] { tape.gradient(y, w); }) == "a rule gave up");
    CHECK(detail::record.slots_size == 0);
    CHECK(detail::record.recording == &tape);
    CHECK(owned.use_count() == 1);
    CHECK(same_bits(w.value(), before));

    // What the walk had passed is released; what lies before is as it was.
    const Tensor again = sum(scale(h, 2, owned));
    CHECK(is_close(tape.gradient(again, w), 2 * (1 - square(tanh(h))) * (1 - square(h))));
    const Tensor once_more = sum(y * 2.0);
    const int line = __LINE__ + 1;
    const std::string error = error_of([&] { tape.gradient(once_more, w); });
    CHECK(error == "gradient: `sum` at " + here(recorded) + " was walked before and has released what it saved, at " +
                       here(line) + "; open the tape with {.persistent = true}, or take both gradients in one call");
  }
  CHECK(owned.use_count() == 1);
}

TEST_CASE_METHOD(CleanRecord, "a throw in the rule of a persistent tape can be tried again", "[tape][own-op]") {
  const Parameter w(wave({4}, 1));
  Tape tape{{.persistent = true}};
  const Tensor y = sum(exp(scale(tanh(w), 2)));
  Scale::countdown = 1;
  CHECK(error_of([&] { tape.gradient(y, w); }) == "a rule gave up");
  const Tensor g = tape.gradient(y, w);
  CHECK(is_close(g, grad([](const Tensor& x) { return sum(exp(2 * tanh(tanh(x)))); })(w.value())));
}

TEST_CASE_METHOD(CleanRecord, "a throw in a recorded walk leaves the outer tape recording", "[tape][own-op]") {
  Tensor x = wave({4}, 1);
  Tape outer;
  outer.watch(x);
  {
    Tape inner;
    Tensor z = x;
    inner.watch(z);
    const Tensor y = sum(scale(tanh(z), 2));
    Scale::countdown = 1;
    CHECK(error_of([&] { inner.gradient(y, z); }) == "a rule gave up");
    CHECK(detail::record.recording == &inner);
    CHECK(inner.gradient(y, z).defined());  // nothing is released under an outer tape
  }
  CHECK(detail::record.recording == &outer);
  CHECK(is_close(outer.gradient(sum(x * x), x), 2 * x));
}

TEST_CASE_METHOD(CleanRecord, "an exception of any type passes through the walk", "[tape][own-op]") {
  const Parameter w(wave({4}, 1));
  Tape tape;
  const Tensor y = sum(careless<2>(w));
  CHECK_THROWS_AS(tape.gradient(y, w), int);
  CHECK(is_close(tape.gradient(sum(w * w), w), w * 2.0));
}

TEST_CASE_METHOD(CleanRecord, "a rule that reads what it did not declare", "[tape][own-op]") {
  const Parameter w(wave({4}, 1));
  Tape tape;
  const int line = __LINE__ + 1;
  const Tensor y = sum(careless<0>(w));
  CHECK(error_of([&] { tape.gradient(y, w); }) ==
        "careless: its rule reads a tensor that `uses` does not name, at " + here(line));
}

TEST_CASE_METHOD(CleanRecord, "a rule that gives an empty handle", "[tape][own-op]") {
  const Parameter w(wave({4}, 1));
  Tape tape;
  const int line = __LINE__ + 1;
  const Tensor y = sum(careless<3>(w));
  const std::string error = error_of([&] { tape.gradient(y, w); });
  CHECK(error.find("careless") != std::string::npos);
  CHECK(error.find("an empty handle") != std::string::npos);
  CHECK(error.find("at " + here(line)) != std::string::npos);
}

TEST_CASE_METHOD(CleanRecord, "a rule that gives a gradient of a wrong shape", "[tape][own-op]") {
  const Parameter w(wave({4}, 1));
  Tape tape;
  const int line = __LINE__ + 1;
  const Tensor y = sum(careless<1>(w));
  const std::string error = error_of([&] { tape.gradient(y, w); });
  CHECK(error.find("[7]") != std::string::npos);
  CHECK(error.find("[4]") != std::string::npos);
  CHECK(error.find("at " + here(line)) != std::string::npos);
}

}  // namespace tape_test
