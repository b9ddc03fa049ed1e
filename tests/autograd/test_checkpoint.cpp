// checkpoint: the gradients of the plain program, from less memory.
#include "autograd/checkpoint.h"

#include "autograd/random.h"
#include "autograd/transforms.h"
#include "nn/dense.h"
#include "tests/autograd/tape_support.h"

using namespace tape_test;

namespace {

struct Block {
  nn::Dense a{4, 16}, b{16, 4};
  Tensor operator()(Arg x) const { return x.tensor() + b(tanh(a(x))); }
};

struct Deep {
  std::vector<Block> blocks{4};
  bool saves_memory = false;
  Tensor operator()(Arg input) const {
    Tensor x = input;
    for (const Block& block : blocks) x = saves_memory ? checkpoint(block, x) : block(x);
    return mean(square(x));
  }
};

// Dropout with a mask of its own, and a running mean, as a layer of a user.
struct Noisy {
  nn::Dense dense{4, 4};
  Buffer mean_seen{zeros({4})};
  Tensor operator()(Arg x) const {
    const Tensor h = dense(x);
    mean_seen.assign(0.9 * mean_seen.value() + 0.1 * no_tape([&] { return mean(h, {.axis = 0}); }));
    return h * to_mask(h) + mean_seen.value();
  }
  static Tensor to_mask(const Tensor& h) { return (random::uniform(h.shape()) < 0.5).to(f32); }
};

void check_same(const Gradients& a, const Gradients& b) {
  CHECK(a.size() == b.size());
  for (const auto& [name, g] : a) {
    INFO(name);
    CHECK(same_bits(g, b.at(name)));
  }
}

}  // namespace

TEST_CASE_METHOD(CleanRecord, "a checkpointed model has the gradients of the plain one", "[tape][checkpoint]") {
  Deep net;
  const Tensor x = random::normal({8, 4});
  const auto gradients = [&](bool saves_memory) {
    net.saves_memory = saves_memory;
    return value_and_grad([&x](const Deep& n) { return n(x); }, net);
  };
  const auto plain = gradients(false), saving = gradients(true);
  CHECK(same_bits(plain.value, saving.value));
  check_same(plain.gradient, saving.gradient);
}

TEST_CASE_METHOD(CleanRecord, "a checkpoint is one entry and saves its input", "[tape][checkpoint]") {
  const Deep net;
  const Tensor x = random::normal({256, 4});
  const auto saved = [&](bool saves_memory) {
    Deep copy = net;
    copy.saves_memory = saves_memory;
    Tape tape;
    const Tensor loss = copy(x);
    const std::size_t bytes = tape.statistics().saved_bytes;
    tape.gradient(loss, copy);
    return bytes;
  };
  // Of each block, the input stays (and of the loss, its own): not the 16 hidden features, nor their tanh.
  const std::size_t one = 256 * 4 * sizeof(float);
  CHECK(saved(true) <= 6 * one);
  CHECK(saved(false) >= 4 * 5 * one);

  Tape tape;
  Tensor y = x;
  tape.watch(y);
  const std::size_t before = tape.size();
  static_cast<void>(checkpoint([](const Tensor& v) { return exp(v); }, y));
  CHECK(detail::record.entries[detail::record.size - 1].op->name == std::string("checkpoint"));
  CHECK(tape.size() > before);
}

TEST_CASE_METHOD(CleanRecord, "captured tensors and parameters get their gradients", "[tape][checkpoint]") {
  Tensor x = wave({3}, 0.7), c = wave({3}, 1.3);
  const Parameter p(wave({3}, 2.1));
  const auto run = [&](bool saves_memory) {
    Tape tape;
    Tensor u = x, w = c;
    tape.watch(u);
    tape.watch(w);
    const Tensor h = sin(w);  // on the tape, and older than the segment
    const auto f = [h, &p](const Tensor& v) { return v * h * p.value() + h; };
    const Tensor y = sum((saves_memory ? checkpoint(f, u) : f(u)) * u);
    std::vector<Tensor> g = tape.gradient(y, std::vector<Tensor>{u, w, p.value()});
    return g;
  };
  const std::vector<Tensor> plain = run(false), saving = run(true);
  for (std::size_t k = 0; k < 3; ++k) CHECK(is_close(plain[k], saving[k]));
}

TEST_CASE_METHOD(CleanRecord, "only captured tensors, or nothing tracked at all", "[tape][checkpoint]") {
  const Parameter p(wave({3}, 2.1));
  const Tensor x = wave({3}, 0.7);
  const auto f = [&p](const Tensor& v) { return v * p.value(); };
  Tape tape;
  CHECK(is_close(tape.gradient(sum(checkpoint(f, x)), p), x));
  const std::size_t size = tape.size();
  static_cast<void>(checkpoint([](const Tensor& v) { return 2 * v; }, x));
  CHECK(tape.size() == size);
  CHECK(is_close(no_tape([&] { return checkpoint(f, x); }), f(x)));
}

TEST_CASE_METHOD(CleanRecord, "what f captures may be its input, a parameter, or its result", "[tape][checkpoint]") {
  const Tensor start = wave({3}, 0.7);
  const Parameter w(wave({3}, 2.1));
  const auto slope = [&](auto f) {
    Tape tape;
    Tensor z = start;
    tape.watch(z);
    return tape.gradient(sum(f(z)), z);
  };
  const auto captures_input = [](Tensor z) { return checkpoint([z](const Tensor& v) { return v * z; }, z); };
  CHECK(is_close(slope(captures_input), 2 * start));
  CHECK(is_close(hessian([&](const Tensor& z) { return sum(captures_input(z)); }, start), 2 * eye(3, f64)));
  CHECK(is_close(slope([](Tensor z) { return checkpoint([](const Tensor& v) { return v; }, z); }), ones_like(start)));
  CHECK(is_close(slope([](Tensor z) { return checkpoint([z](const Tensor&) { return z; }, z); }), ones_like(start)));
  const auto nested = [](Tensor a) {
    return checkpoint([a](const Tensor& b) { return checkpoint([a](const Tensor& c) { return c * a; }, b) + a; }, a);
  };
  CHECK(is_close(slope(nested), 2 * start + 1));

  const auto slope_of_w = [&](auto f) {
    Tape tape;
    return tape.gradient(sum(f()), w);
  };
  const auto square_of = [](const Tensor& v) { return v * v; };
  const auto product = [](const Tensor& a, const Tensor& b) { return a * b; };
  CHECK(is_close(slope_of_w([&] { return checkpoint(square_of, w); }), 2 * w));
  CHECK(is_close(slope_of_w([&] { return checkpoint(product, w, w); }), 2 * w));
  CHECK(is_close(slope_of_w([&] { return checkpoint([&](const Tensor& v) { return v * w; }, w); }), 2 * w));
  CHECK(is_close(slope_of_w([&] { return checkpoint([&](const Tensor&) { return w.value(); }, start); }),
                 ones_like(start)));
}

TEST_CASE_METHOD(CleanRecord, "a parameter that was changed before the walk, a buffer that is gone",
                 "[tape][checkpoint]") {
  Parameter w(wave({3}, 2.1));
  Tape tape;
  const Tensor y = sum(checkpoint([&w](const Tensor& v) { return v * w; }, wave({3}, 0.7)));
  w.assign(ones({3}, f64));
  CHECK(error_of([&] { tape.gradient(y, w); }).find("was changed since: `Parameter::assign`") != std::string::npos);

  Tensor x = wave({3}, 0.7);
  tape.watch(x);
  const auto f = [](const Tensor& v) {
    const Buffer local(zeros({3}, f64));
    local.assign(v);
    return v * local.value();
  };
  CHECK(is_close(tape.gradient(sum(checkpoint(f, x)), x), x));
}

TEST_CASE_METHOD(CleanRecord, "random masks repeat and buffers are updated once", "[tape][checkpoint]") {
  const Noisy start;
  const Tensor x = random::normal({16, 4});
  const auto run = [&](bool saves_memory) {
    Noisy net = start;
    random::seed(7);
    Tape tape;
    Tensor y = saves_memory ? checkpoint(net, x) : net(x);
    y = saves_memory ? checkpoint(net, y) : net(y);  // twice: the buffer changes in between
    const Tensor next = random::uniform({4});
    Gradients g = tape.gradient(sum(y * y), net);
    const Tensor after = random::uniform({4});
    return std::tuple(y, std::move(g), net.mean_seen.value().clone(), next, after);
  };
  const auto [y, g, buffer, next, after] = run(false);
  const auto [y2, g2, buffer2, next2, after2] = run(true);
  CHECK(same_bits(y, y2));
  CHECK(same_bits(buffer, buffer2));
  CHECK(same_bits(next, next2));
  CHECK(same_bits(after, after2));
  for (const auto& [name, gradient] : g) CHECK(allclose(gradient, g2.at(name), {.rtol = 1e-5, .atol = 1e-5}));
}

TEST_CASE_METHOD(CleanRecord, "checkpoints nest", "[tape][checkpoint]") {
  const Tensor x = wave({5}, 0.9);
  const auto inner = [](const Tensor& v) { return sin(v) * v; };
  const auto nested = [&](const Tensor& v) {
    return sum(checkpoint([&](const Tensor& u) { return exp(checkpoint(inner, u)) + checkpoint(inner, u); }, v));
  };
  const auto plain = [&](const Tensor& v) { return sum(exp(inner(v)) + inner(v)); };
  CHECK(is_close(grad(nested, x), grad(plain, x)));
  CHECK(is_close(hessian(nested, x), hessian(plain, x)));
}

TEST_CASE_METHOD(CleanRecord, "checkpoints under higher order", "[tape][checkpoint]") {
  Tensor x = wave({4}, 0.9), w = wave({4}, 1.7);
  const auto run = [&](bool saves_memory) {
    Tape outer;
    Tensor u = x, v = w;
    outer.watch(u);
    outer.watch(v);
    Tensor slope;
    {
      Tape inner;
      Tensor a = u;
      inner.watch(a);
      const auto f = [&v](const Tensor& t) { return exp(t * v) * t; };  // v is captured, and older than the inner tape
      const Tensor y = saves_memory ? checkpoint(f, a) : f(a);
      slope = inner.gradient(sum(y), a);
    }
    return outer.gradient(sum(slope * slope), std::vector<Tensor>{u, v});
  };
  const std::vector<Tensor> plain = run(false), saving = run(true);
  CHECK(is_close(plain[0], saving[0]));
  CHECK(is_close(plain[1], saving[1]));

  const auto third = [&](const Tensor& t) {
    const auto f = [](const Tensor& v) { return sum(checkpoint([](const Tensor& q) { return q * q * q * q; }, v)); };
    const auto first = [&](const Tensor& v) { return sum(grad(f, v)); };
    return grad([&](const Tensor& v) { return sum(grad(first, v)); }, t);
  };
  CHECK(is_close(third(x), 24 * x));
}

TEST_CASE_METHOD(CleanRecord, "tangents go through checkpoints", "[tape][checkpoint]") {
  const Tensor x = wave({4}, 0.9), v = wave({4}, 1.7);
  const auto f = [](const Tensor& t) { return exp(t) * t; };
  const auto saving = [&](const Tensor& t) {
    const Tensor u = sin(t);
    return checkpoint([&f, u](const Tensor& w) { return f(w) * u; }, t);
  };
  const auto plain = [&](const Tensor& t) { return f(t) * sin(t); };
  CHECK(is_close(jvp(saving, x, v).tangent, jvp(plain, x, v).tangent));
  const auto sum_of = [](const auto& g) { return [&g](const Tensor& t) { return sum(g(t)); }; };
  CHECK(is_close(hvp(sum_of(saving), x, v), hvp(sum_of(plain), x, v)));
}

TEST_CASE_METHOD(CleanRecord, "functions of two and three tensors, and temporary models", "[tape][checkpoint]") {
  Tensor a = wave({3}, 0.4), b = wave({3}, 0.8), c = wave({3}, 1.2);
  Tape tape;
  for (Tensor* x : {&a, &b, &c}) tape.watch(*x);
  const Tensor two = checkpoint([](const Tensor& x, const Tensor& y) { return x * y; }, a, b);
  const Tensor three = checkpoint([](const Tensor& x, const Tensor& y, const Tensor& z) { return x * y * z; }, a, b, c);
  const std::vector<Tensor> g = tape.gradient(sum(two) + sum(three), std::vector<Tensor>{a, b, c});
  CHECK(is_close(g[0], b + b * c));
  CHECK(is_close(g[1], a + a * c));
  CHECK(is_close(g[2], a * b));

  Tensor x = random::normal({2, 4});
  tape.watch(x);
  CHECK(tape.gradient(sum(checkpoint(Block{}, x)), x).shape() == x.shape());
}

TEST_CASE_METHOD(CleanRecord, "what a checkpoint refuses", "[tape][checkpoint]") {
  Tape tape;
  Tensor x = wave({3}, 0.4);
  tape.watch(x);
  CHECK(error_of([&] { checkpoint([](const Tensor& v) { return matmul(v, ones({2}, f64)); }, x); }).find("matmul") ==
        0);
  CHECK(error_of([&] { checkpoint([](const Tensor&) { return Tensor(); }, x); }).find("checkpoint: the function") == 0);
  CHECK(error_of([&] { checkpoint([](const Tensor& v) { return v; }, Tensor()); }).find("checkpoint: an input") == 0);

  int calls = 0;
  const Tensor y = checkpoint([&calls](const Tensor& v) { return ++calls == 1 ? sum(v) : 2 * v; }, x);
  CHECK(error_of([&] { tape.gradient(y, x); }).find("run again, the function returned f64[3]") != std::string::npos);

  // The walk failed half way; the tape can still record, and be walked.
  CHECK(is_close(tape.gradient(sum(x * x), x), 2 * x));

  Tensor changed = wave({3}, 0.4);
  tape.watch(changed);
  const Tensor z = sum(checkpoint([](const Tensor& v) { return exp(v); }, changed));
  changed.span<double>()[0] = 1;
  CHECK(error_of([&] { tape.gradient(z, changed); }).find("changed it") != std::string::npos);
}
