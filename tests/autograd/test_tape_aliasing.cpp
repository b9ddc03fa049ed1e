// Gradients of tensors that share elements, and buffers that must not be written over.
#include "tests/autograd/tape_support.h"

namespace tape_test {

TEST_CASE_METHOD(CleanRecord, "x + x", "[tape][aliasing]") {
  const Parameter w(wave({5}, 1));
  Tape tape;
  CHECK(is_close(tape.gradient(sum(w + w), w), full({5}, 2, f64)));
  const Tensor h = w * 1.0;
  CHECK(is_close(tape.gradient(sum((h + h) * h), w), w * 4.0));
}

TEST_CASE_METHOD(CleanRecord, "a view used twice", "[tape][aliasing]") {
  const Parameter w(wave({2, 3}, 1));
  Tape tape;
  const Tensor y = reshape(w, {6});
  CHECK(is_close(tape.gradient(sum(y * y + y), w), 2 * w + 1));
}

TEST_CASE_METHOD(CleanRecord, "the gradients of a base and of its view, in one call", "[tape][aliasing]") {
  const Parameter w(wave({2, 3}, 1));
  Tape tape;
  const Tensor base = w * 1.0;
  const Tensor view = transpose(base);
  const Tensor y = sum(square(base)) + sum(view * 3.0);
  const auto g = tape.gradient(y, std::vector<Tensor>{base, view, w});
  CHECK(is_close(g[0], 2 * w + 3));
  CHECK(is_close(g[1], full({3, 2}, 3, f64)));
  CHECK(is_close(g[2], 2 * w + 3));
}

TEST_CASE_METHOD(CleanRecord, "expand then sum", "[tape][aliasing]") {
  const Parameter w(wave({3, 1}, 1));
  Tape tape;
  const Tensor wide = expand(w, {2, 3, 4});
  CHECK(is_close(tape.gradient(sum(wide), w), full({3, 1}, 8, f64)));
  const Tensor again = expand(w, {2, 3, 4});
  CHECK(is_close(tape.gradient(sum(again * again), w), w * 16.0));
  // The gradient of a sum is a broadcast view: writing over it would write over its neighbours.
  const Tensor h = expand(w, {2, 3, 4}) * 1.0;
  CHECK(is_close(tape.gradient(sum(h) + sum(tanh(h) * 0.0), w), full({3, 1}, 8, f64)));
}

TEST_CASE_METHOD(CleanRecord, "two inputs get the same cotangent, and one of them accumulates more",
                 "[tape][aliasing]") {
  const Parameter a(wave({64}, 1));
  const Parameter b(wave({64}, 2));
  Tape tape;
  const Tensor x = a * 1.0;
  const Tensor y = b * 1.0;
  const Tensor more = square(x);  // walked after the sum: its share is added to what x has got
  const Tensor z = sum(x + y) + sum(more);
  const auto g = tape.gradient(z, std::vector<Tensor>{x, y});
  CHECK(is_close(g[0], 2 * a + 1));
  CHECK(is_close(g[1], ones({64}, f64)));

  const Tensor early = square(x);  // walked last
  const Tensor s = x + y;
  const auto h = tape.gradient(sum(s) + sum(early) + sum(square(x)), std::vector<Tensor>{x, y, s});
  CHECK(is_close(h[0], 4 * a + 1));
  CHECK(is_close(h[1], ones({64}, f64)));
  CHECK(is_close(h[2], ones({64}, f64)));
}

TEST_CASE_METHOD(CleanRecord, "changing one gradient leaves the others alone", "[tape][aliasing]") {
  struct {
    Parameter w{wave({64}, 1)};
    Parameter b{wave({64}, 2)};
  } net;
  Tape tape;
  const Tensor y = net.w + net.b;
  Gradients g = tape.gradient(y, net, {.seed = wave({64}, 3)});
  const Tensor held = g[net.w];
  g *= 2.0;
  CHECK(is_close(g[net.w], 2 * wave({64}, 3)));
  CHECK(is_close(g[net.b], 2 * wave({64}, 3)));
  CHECK(is_close(held, wave({64}, 3)));
  g += g;
  CHECK(is_close(g[net.w], 4 * wave({64}, 3)));
  CHECK(is_close(g[net.b], 4 * wave({64}, 3)));
}

TEST_CASE_METHOD(CleanRecord, "the walk does not write over the seed or over gradients that the user holds",
                 "[tape][aliasing]") {
  const Parameter w(wave({4096}, 1));
  const Tensor seed = wave({4096}, 2);
  Tape tape{{.persistent = true}};
  const Tensor h = tanh(w);
  const Tensor y = exp(h) * h;
  const auto first = tape.gradient(y, std::vector<Tensor>{w, h, y}, {.seed = seed});
  std::vector<Tensor> copies;
  for (const Tensor& g : first) copies.push_back(g.clone());
  tape.gradient(y, std::vector<Tensor>{w, h}, {.seed = seed});
  CHECK(same_bits(seed, wave({4096}, 2)));
  for (std::size_t k = 0; k < first.size(); ++k) CHECK(same_bits(first[k], copies[k]));
}

TEST_CASE_METHOD(CleanRecord, "values that the user can see are never written over", "[tape][aliasing]") {
  const Parameter w(wave({1000}, 1));
  Tape tape;
  const Tensor a = tanh(w);
  const Tensor b = exp(a);
  const Tensor c = a * b;
  const std::vector<Tensor> seen{w.value(), a, b, c};
  std::vector<Tensor> copies;
  for (const Tensor& t : seen) copies.push_back(t.clone());
  tape.gradient(sum(c * c), w);
  for (std::size_t k = 0; k < seen.size(); ++k) CHECK(same_bits(seen[k], copies[k]));
}

namespace {

Tensor twice(Arg x) { return x + x; }
Tensor thrice(Arg x) { return twice(x) + x; }

}  // namespace

TEST_CASE_METHOD(CleanRecord, "a function that uses its expiring argument twice", "[tape][aliasing]") {
  CHECK(is_close(thrice(wave({64}, 1) * 1.0), 3 * wave({64}, 1)));
  const Parameter w(wave({64}, 1));
  Tape tape;
  CHECK(is_close(tape.gradient(sum(thrice(w * 1.0)), w), full({64}, 3, f64)));
}

TEST_CASE_METHOD(CleanRecord, "an expiring operand is written over only when it is the sole owner",
                 "[tape][aliasing]") {
  Tensor x = wave({64}, 1);
  const Tensor other = x;
  const Tensor view = reshape(wave({64}, 2), {8, 8});
  CHECK(is_close(std::move(x) * 2.0, 2 * wave({64}, 1)));
  CHECK(same_bits(other, wave({64}, 1)));
  Tensor moved = reshape(view, {64});
  CHECK(is_close(std::move(moved) * 2.0, 2 * wave({64}, 2)));
  CHECK(same_bits(view, reshape(wave({64}, 2), {8, 8})));
}

TEST_CASE_METHOD(CleanRecord, "tensors with negative and zero strides", "[tape][aliasing]") {
  const Parameter w(wave({6}, 1));
  const Tensor weight = wave({6}, 2);
  Tape tape;
  const Tensor reversed = w.value().slice(0, 5, -7, -1);
  const Tensor back = weight.slice(0, 5, -7, -1).clone();
  CHECK(is_close(tape.gradient(sum(reversed * weight), w), back));
  const Tensor row = expand(w, {4, 6});
  CHECK(is_close(tape.gradient(sum(row * expand(weight, {4, 6})), w), 4 * weight));
}

}  // namespace tape_test
