// The tape's first promises: what is recorded, what is a constant, and the forms of gradient().
#include "tests/autograd/tape_support.h"

namespace tape_test {

TEST_CASE_METHOD(CleanRecord, "nothing is recorded outside a tape", "[tape]") {
  const Parameter w(wave({3}, 1));
  const Tensor y = sum(square(w));
  CHECK(y.block()->node.load() == 0);
  CHECK(detail::record.size <= 1);
}

TEST_CASE_METHOD(CleanRecord, "a parameter is recorded at its first use and once per tape", "[tape]") {
  const Parameter w(wave({3}, 1));
  Tape tape;
  CHECK(tape.size() == 0);
  const Tensor a = w * 2.0;
  CHECK(tape.size() == 2);  // the parameter and the product
  const Tensor b = w * 3.0;
  CHECK(tape.size() == 3);
  CHECK(tape.statistics().entries == 3);
}

TEST_CASE_METHOD(CleanRecord, "an op on constants is not recorded while a tape is open", "[tape]") {
  Tape tape;
  const Tensor y = tanh(wave({3}, 1)) + 1.0;
  CHECK(tape.size() == 0);
}

TEST_CASE_METHOD(CleanRecord, "watch re-points the handle and leaves other handles constants", "[tape]") {
  Tensor x = wave({3}, 1);
  const Tensor other = x;
  Tape tape;
  tape.watch(x);
  CHECK(tape.size() == 1);
  CHECK(x.data() == other.data());
  CHECK(is_close(tape.gradient(sum(x * other), x), other));  // not 2 x: `other` is a constant
  tape.watch(x);
  CHECK(error_of([&] { tape.gradient(sum(other * 2.0), x); }).find("is not on this tape") != std::string::npos);
}

TEST_CASE_METHOD(CleanRecord, "watching twice is one entry", "[tape]") {
  Tensor x = wave({3}, 1);
  Tape tape;
  tape.watch(x);
  tape.watch(x);
  CHECK(tape.size() == 1);
}

TEST_CASE_METHOD(CleanRecord, "watching a result makes an alias through which the gradient passes", "[tape]") {
  const Parameter w(wave({3}, 1));
  Tape tape;
  const Tensor h = w * w;
  Tensor y;
  {
    Tape inner;
    y = h;
    inner.watch(y);
    CHECK(inner.size() == 1);
    CHECK(y.data() == h.data());
    y = y * 3.0;
  }
  CHECK(is_close(tape.gradient(sum(y), w), w * 6.0));
}

TEST_CASE_METHOD(CleanRecord, "gradient of a result with respect to itself", "[tape]") {
  const Parameter w(scalar(2));
  Tape tape;
  const Tensor y = w * w;
  CHECK(tape.gradient(y, y).item() == 1);
  CHECK(tape.gradient(w, w).item() == 1);
}

TEST_CASE_METHOD(CleanRecord, "gradients of several tensors, of which some lie between the others", "[tape]") {
  const Parameter w(scalar(3));
  Tape tape;
  const Tensor h = w * w;
  const Tensor y = h * h * w;
  const std::vector<Tensor> g = tape.gradient(y, std::vector<Tensor>{h, w.value(), h});
  CHECK(g[0].item() == 2 * 9 * 3);
  CHECK(g[1].item() == 5 * 81);
  CHECK(g[2].item() == 2 * 9 * 3);
}

TEST_CASE_METHOD(CleanRecord, "a parameter can be named as itself or by its value", "[tape]") {
  const Parameter w(scalar(3));
  Tape tape{{.persistent = true}};
  const Tensor y = w * w;
  CHECK(tape.gradient(y, w).item() == 6);
  CHECK(tape.gradient(y, w.value()).item() == 6);
}

TEST_CASE_METHOD(CleanRecord, "a seed is the cotangent of the result", "[tape]") {
  const Parameter w(wave({2, 3}, 1));
  const Tensor seed = wave({2, 3}, 2);
  Tape tape;
  CHECK(is_close(tape.gradient(w * w, w, {.seed = seed}), 2 * w * seed));
  CHECK(same_bits(seed, wave({2, 3}, 2)));
}

TEST_CASE_METHOD(CleanRecord, "stop_gradient is a constant that shares the elements", "[tape]") {
  const Parameter w(wave({3}, 1));
  Tape tape;
  const Tensor h = w * 2.0;
  const Tensor c = stop_gradient(h);
  CHECK(c.data() == h.data());
  CHECK(is_close(tape.gradient(sum(c * h), w), c * 2.0));
}

TEST_CASE_METHOD(CleanRecord, "stop_gradient in the middle cuts one path of two", "[tape]") {
  const Parameter w(scalar(3));
  Tape tape;
  const Tensor y = stop_gradient(w * w) * w + w;
  CHECK(tape.gradient(y, w).item() == 10);
}

TEST_CASE_METHOD(CleanRecord, "statistics count entries, saved bytes once per storage, and rule calls", "[tape]") {
  const Parameter w(wave({16}, 1));
  Tape tape;
  const Tensor h = tanh(w);                                  // saves its output: 128 bytes
  const Tensor a = h * 2.0;                                  // saves the number
  const Tensor b = reshape(h, {4, 4}) * reshape(h, {4, 4});  // views of h: the same storage
  const TapeStatistics before = tape.statistics();
  CHECK(before.entries == tape.size());
  CHECK(before.saved_bytes == 16 * 8 + 8);
  tape.gradient(sum(b), w);
  const TapeStatistics after = tape.statistics();
  CHECK(after.rule_calls - before.rule_calls == 5);  // sum, mul, two reshapes, tanh
  CHECK(after.saved_bytes == 8);                     // `a` was not walked
}

TEST_CASE_METHOD(CleanRecord, "only the inputs that need a gradient make an op save", "[tape]") {
  const Parameter w(wave({16}, 1));
  const Tensor c = wave({16}, 2);
  Tape tape;
  const Tensor y = w * c;  // the gradient of w reads c, nobody reads w
  CHECK(tape.statistics().saved_bytes == 16 * 8);
  const Tensor z = w + c;
  CHECK(tape.statistics().saved_bytes == 16 * 8);
}

TEST_CASE_METHOD(CleanRecord, "f32 gradients are f32, and pass through to() in their own dtype", "[tape]") {
  const Parameter w(wave({4}, 1).to(f32));
  Tape tape;
  const Tensor wide = w.value().to(f64);
  const Tensor g = tape.gradient(sum(wide * wide), w);
  CHECK(g.dtype() == f32);
  CHECK(allclose(g, 2 * w));
}

TEST_CASE_METHOD(CleanRecord, "integer tensors ride along as constants", "[tape]") {
  const Parameter w(wave({2, 3}, 1));
  const Tensor index = Tensor::from<std::int64_t>({0, 2, 1, 1}, {2, 2});
  Tape tape;
  const Tensor count = index + 1;
  const Tensor g = tape.gradient(sum(gather(w, index, 1) * count), w);
  CHECK(values_of(g) == std::vector<double>{1, 0, 3, 0, 4, 0});
}

}  // namespace tape_test
