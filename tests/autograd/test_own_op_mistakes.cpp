// Structured ops that are written wrong: each mistake is an error that names the op and the user's line.
#include "autograd/op.h"
#include "tests/autograd/tape_support.h"

namespace tape_test {

namespace {

/// An op of one input that is right; the ones below change one part of it.
struct Twice {
  using Attributes = NoAttributes;
  static constexpr const char* name = "twice";
  static constexpr const char* doc = "2 x";
  static constexpr Uses uses = {};
  static Shape shape(const Inputs& x, const Attributes&) { return x[0].shape(); }
  static Tensor forward(const Inputs& x, Attributes&, const Shape&) {
    return no_tape([&] { return 2 * x[0]; });
  }
  static void vjp(Walk& w, const Attributes&, const Tensor& g) { w.give(0, 2 * g); }
  static std::vector<Sample<Attributes>> samples() { return {{{wave({3}, 1)}, {}}}; }
};

struct Reversed : Twice {
  static Tensor forward(const Inputs& x, Attributes&, const Shape&) { return x[0]; }
  static void vjp(Walk& w, const Attributes&, const Tensor& g) { w.give(0, -g); }
};

struct ReadsTooMany : Twice {
  static Shape shape(const Inputs& x, const Attributes&) { return x[1].shape(); }
};

struct UsesTooMany : Twice {
  static constexpr Uses uses = {reads_input(5)};
};

struct GivesFar : Twice {
  static void vjp(Walk& w, const Attributes&, const Tensor& g) { w.give(7, g); }
};

struct GivesTransposed : Twice {
  static void vjp(Walk& w, const Attributes&, const Tensor& g) { w.give(0, transpose(g)); }
};

template <class Op>
std::string error_of_walk(const Shape& shape, int& line) {
  Tape tape;
  Tensor x = wave(shape, 1);
  tape.watch(x);
  return error_of([&] {
    line = __LINE__ + 1;
    const Tensor y = apply<Op>({}, Arg(x));
    tape.gradient(sum(y), x);
  });
}

}  // namespace

TEST_CASE_METHOD(CleanRecord, "an op whose result is its input has an entry of its own", "[tape][own-op]") {
  Tensor x = wave({3}, 1);
  Tape tape;
  tape.watch(x);
  CHECK(is_close(tape.gradient(sum(apply<Reversed>({}, Arg(x))), x), full_like(x, -1)));
  const Tensor h = 3 * x;
  CHECK(is_close(tape.gradient(sum(h) + sum(apply<Reversed>({}, Arg(h))), x), zeros_like(x)));
}

TEST_CASE_METHOD(CleanRecord, "mistakes in the parts of an op are errors that name it", "[tape][own-op]") {
  const auto check = [](const std::string& error, int line, const std::string& part) {
    INFO(error);
    CHECK(error.find("twice: " + part) == 0);
    CHECK(error.find("at " + here(line)) != std::string::npos);
  };
  int line = 0;
  std::string error = error_of_walk<ReadsTooMany>({3}, line);
  check(error, line, "reads input 1, but was applied to 1");
  error = error_of_walk<UsesTooMany>({3}, line);
  check(error, line, "its `uses` names input 5, but it was applied to 1");
  error = error_of_walk<GivesFar>({3}, line);
  check(error, line, "its rule asks for input 7, which it does not have");
  error = error_of_walk<GivesTransposed>({2, 3}, line);
  check(error, line, "its rule gave f64[3, 2] as the gradient of input 0, which is f64[2, 3]");
  CHECK(error_of_walk<Twice>({3}, line) == "no error");
}

}  // namespace tape_test
