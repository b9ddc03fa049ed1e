// Writes to tensors that a tape saved: noticed where they matter, with both lines, and nowhere else.
#include "optim/sgd.h"
#include "tests/autograd/tape_support.h"

namespace tape_test {

TEST_CASE_METHOD(CleanRecord, "a saved tensor was changed: the error names both lines", "[tape][in-place]") {
  const Parameter w(wave({2, 3}, 1));
  Tape tape;
  Tensor h = w * 2.0;
  const int saved_at = __LINE__ + 1;
  const Tensor y = sum(h * h);
  const int changed_at = __LINE__ + 1;
  h.span<double>()[0] = 3;
  CHECK(error_of([&] { tape.gradient(y, w); }) ==
        "`mul` at " + here(saved_at) + " saved a tensor f64[2, 3]; `span` at " + here(changed_at) + " changed it");
}

TEST_CASE_METHOD(CleanRecord, "an update between forward pass and gradient is an error", "[tape][in-place]") {
  Parameter w(wave({2, 3}, 1));
  Tape tape;
  const int saved_at = __LINE__ + 1;
  const Tensor y = sum(w * w);
  const int changed_at = __LINE__ + 1;
  w.assign(zeros({2, 3}, f64));
  CHECK(error_of([&] { tape.gradient(y, w); }) == "`mul` at " + here(saved_at) +
                                                      " saved a tensor f64[2, 3]; `Parameter::assign` at " +
                                                      here(changed_at) + " changed it");
}

TEST_CASE_METHOD(CleanRecord, "an optimizer step between forward pass and gradient is an error", "[tape][in-place]") {
  struct {
    Parameter w{wave({2, 3}, 1)};
  } net;
  optim::SGD sgd{net, {.lr = 0.1}};
  Tape tape;
  sgd.step(tape.gradient(sum(net.w * 2.0), net));
  const int saved_at = __LINE__ + 1;
  const Tensor y = sum(net.w * net.w);
  const Gradients other = tape.gradient(sum(net.w * 3.0), net);
  const int changed_at = __LINE__ + 1;
  sgd.step(other);
  CHECK(error_of([&] { tape.gradient(y, net); }) ==
        "`mul` at " + here(saved_at) + " saved a tensor f64[2, 3]; `SGD::step` at " + here(changed_at) + " changed it");
}

TEST_CASE_METHOD(CleanRecord, "the version is shared by views, in both directions", "[tape][in-place]") {
  const Parameter w(wave({2, 3}, 1));
  Tape tape{{.persistent = true}};
  Tensor base = zeros({2, 3}, f64);
  Tensor view = reshape(base, {6});
  const int from_base = __LINE__ + 1;
  const Tensor y = sum(w * base);
  const int changed_view = __LINE__ + 1;
  view.span<double>()[0] = 1;
  CHECK(error_of([&] { tape.gradient(y, w); }) ==
        "`mul` at " + here(from_base) + " saved a tensor f64[2, 3]; `span` at " + here(changed_view) + " changed it");
  const int from_view = __LINE__ + 1;
  const Tensor z = sum(reshape(w, {6}) * view);
  const int changed_base = __LINE__ + 1;
  base.span<double>()[0] = 2;
  CHECK(error_of([&] { tape.gradient(z, w); }) ==
        "`mul` at " + here(from_view) + " saved a tensor f64[6]; `span` at " + here(changed_base) + " changed it");
}

TEST_CASE_METHOD(CleanRecord, "a change that no rule reads is fine", "[tape][in-place]") {
  const Parameter w(wave({3}, 1));
  Parameter v(wave({3}, 2));
  Tape tape;
  Tensor h = w + v;
  const Tensor y = sum(h * 2.0);  // saves the number, not h
  h.span<double>()[0] = 100;
  CHECK(is_close(tape.gradient(y, w), full({3}, 2, f64)));

  const Tensor z = sum(w * v);  // saves both; the gradient of v reads w only
  v.assign(zeros({3}, f64));
  CHECK(is_close(tape.gradient(z, v), w));
}

TEST_CASE_METHOD(CleanRecord, "a change before the op is fine, one after the walk too", "[tape][in-place]") {
  Parameter w(wave({3}, 1));
  Tape tape;
  Tensor x = zeros({3}, f64);
  x.span<double>()[1] = 5;
  const Tensor y = sum(w * x);
  CHECK(values_of(tape.gradient(y, w)) == std::vector<double>{0, 5, 0});
  x.span<double>()[1] = 6;
  w.assign(ones({3}, f64));
  CHECK(values_of(tape.gradient(sum(w * x), w)) == std::vector<double>{0, 6, 0});
}

TEST_CASE_METHOD(CleanRecord, "an output that its op saved was changed", "[tape][in-place]") {
  const Parameter w(wave({3}, 1));
  Tape tape;
  const int saved_at = __LINE__ + 1;
  Tensor h = tanh(w);
  const Tensor y = sum(h);
  const int changed_at = __LINE__ + 1;
  h.span<double>()[2] = 0;
  CHECK(error_of([&] { tape.gradient(y, w); }) ==
        "`tanh` at " + here(saved_at) + " saved a tensor f64[3]; `span` at " + here(changed_at) + " changed it");
}

TEST_CASE_METHOD(CleanRecord, "reading a span changes nothing", "[tape][in-place]") {
  const Parameter w(wave({3}, 1));
  Tape tape;
  Tensor h = w * 2.0;
  const Tensor y = sum(h * h);
  CHECK(h.span<const double>()[0] == std::as_const(h).span<double>()[0]);
  CHECK(is_close(tape.gradient(y, w), w * 8.0));
}

TEST_CASE_METHOD(CleanRecord, "a parameter may be written under an open tape that has not saved it",
                 "[tape][in-place]") {
  Parameter w(wave({3}, 1));
  Tape tape;
  w* w;
  w.assign(ones({3}, f64));
  CHECK(is_close(tape.gradient(sum(w * w), w), full({3}, 2, f64)));
  {
    const Tape::Pause pause;
    w.assign(full({3}, 4, f64));
  }
  CHECK(is_close(tape.gradient(sum(w * w), w), full({3}, 8, f64)));
}

TEST_CASE_METHOD(CleanRecord, "x += y rebinds x: what was saved keeps its values", "[tape][in-place]") {
  const Parameter w(wave({3}, 1));
  Tape tape;
  Tensor x = w * 1.0;
  const Tensor before = x;
  const Tensor y = sum(x * x);
  x += 1.0;
  x *= 3.0;
  CHECK(is_close(before, wave({3}, 1)));
  CHECK(is_close(tape.gradient(y + sum(x), w), 2 * w + 3));
}

TEST_CASE_METHOD(CleanRecord, "borrowed memory is not watched", "[tape][in-place]") {
  const Parameter w(wave({3}, 1));
  std::vector<double> memory{1, 2, 3};
  const Tensor x = Tensor::borrow(memory.data(), {3});
  Tape tape;
  const Tensor y = sum(w * x);
  memory[0] = 10;
  CHECK(values_of(tape.gradient(y, w)) == std::vector<double>{10, 2, 3});
}

}  // namespace tape_test
