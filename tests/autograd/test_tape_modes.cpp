// Recording on and off, two networks on one tape, and who is walked.
#include "tests/autograd/tape_support.h"

namespace tape_test {

TEST_CASE_METHOD(CleanRecord, "nothing is recorded while a tape is paused", "[tape][modes]") {
  const Parameter w(wave({3}, 1));
  Tape tape;
  const Tensor h = w * 2.0;
  const std::size_t entries = tape.size();
  Tensor metric;
  {
    const Tape::Pause pause;
    metric = mean(square(h));
  }
  CHECK(tape.size() == entries);
  CHECK(is_close(tape.gradient(sum(h * metric), w), full({3}, 2 * metric.item(), f64)));
}

TEST_CASE_METHOD(CleanRecord, "no_tape returns what the function returns", "[tape][modes]") {
  const Parameter w(scalar(3));
  Tape tape;
  CHECK(no_tape([&] { return w * w; }).item() == 9);
  CHECK(no_tape([&] { return 7; }) == 7);
  CHECK(tape.size() == 0);
}

TEST_CASE_METHOD(CleanRecord, "pauses nest, and end with an exception", "[tape][modes]") {
  const Parameter w(scalar(3));
  Tape tape;
  {
    const Tape::Pause outer;
    { const Tape::Pause inner; }
    w* w;
    CHECK(tape.size() == 0);
  }
  CHECK_THROWS_AS(no_tape([&]() -> int { throw Error("stop"); }), Error);
  w* w;
  CHECK(tape.size() == 2);
}

TEST_CASE_METHOD(CleanRecord, "a tape opened while recording is paused works for itself", "[tape][modes]") {
  const Parameter w(scalar(3));
  Tape outer;
  const Tensor h = w * w;
  Tensor inside;
  {
    const Tape::Pause pause;
    Tape inner;
    inside = w * h;  // h is older: a constant here
    CHECK(inner.gradient(inside, w).item() == 9);
    const Tensor again = w * w * w;
    CHECK(inner.gradient(again, w).item() == 27);
  }
  // For the outer tape, what was made in the pause is a constant.
  CHECK(outer.gradient(inside * h, w, {.allow_unused = false}).item() == 27 * 6);
}

TEST_CASE_METHOD(CleanRecord, "a result of a paused inner tape cannot be differentiated by the outer one",
                 "[tape][modes]") {
  const Parameter w(scalar(3));
  Tape outer;
  Tensor inside;
  {
    const Tape::Pause pause;
    Tape inner;
    inside = w * w;
  }
  CHECK(error_of([&] { outer.gradient(inside, w); }) != "no error");
}

TEST_CASE_METHOD(CleanRecord, "the gradient under a pause is not recorded by the outer tape", "[tape][modes]") {
  Tensor x = scalar(2);
  Tape outer;
  outer.watch(x);
  Tape inner;
  inner.watch(x);
  const Tensor y = x * x * x;
  const std::size_t entries = outer.size();
  Tensor g;
  {
    const Tape::Pause pause;
    g = inner.gradient(y, x);
  }
  CHECK(outer.size() == entries);
  CHECK(g.item() == 12);
  CHECK(outer.gradient(y * g, x).item() == 144);  // g is a constant
}

TEST_CASE_METHOD(CleanRecord, "what is computed in a pause is a constant, also over an expiring result",
                 "[tape][modes]") {
  const Parameter w(wave({3}, 1));
  Tape tape;
  Tensor h = w + 1.0;  // saves nothing: h is its only owner
  {
    const Tape::Pause pause;
    h *= full({3}, 2, f64);
  }
  const Tensor y = sum(h) + sum(w);
  CHECK(is_close(tape.gradient(y, w), ones({3}, f64)));
  Tensor k = w + 1.0;
  const Tensor bounded = no_tape([&] { return tanh(std::move(k)); });
  CHECK(is_close(tape.gradient(sum(bounded) + sum(w * 1.0), w), ones({3}, f64)));
}

TEST_CASE_METHOD(CleanRecord, "finite differences under an open tape", "[tape][modes]") {
  Parameter w(wave({3}, 1));
  Tape tape;
  const Tensor y = sum(tanh(w));
  const Tensor numeric = no_tape([&] {
    return numeric_gradient([](const std::vector<Tensor>& x) { return sum(tanh(x[0])).item(); }, {w.value()}, 0);
  });
  CHECK(is_close(tape.gradient(y, w), numeric, 1e-10));
}

namespace {

struct Net {
  Parameter w1;
  Parameter w2;
  Net(const Shape& first, const Shape& second, double step) : w1(wave(first, step)), w2(wave(second, step + 1)) {}
  Tensor operator()(Arg x) const { return matmul(tanh(matmul(x, w1)), w2); }
  using fields = nn::Fields<&Net::w1, &Net::w2>;
};

struct Gan {
  Net generator{{2, 3}, {3, 2}, 1};
  Net critic{{2, 4}, {4, 1}, 3};
  Tensor z = wave({6, 2}, 0.3);
  Tensor real = wave({6, 2}, 0.9);
};

template <class F>
std::uint64_t rule_calls_of(const Tape& tape, F&& f) {
  const std::uint64_t before = tape.statistics().rule_calls;
  f();
  return tape.statistics().rule_calls - before;
}

}  // namespace

TEST_CASE_METHOD(CleanRecord, "a gradient runs the rules between the result and what is wanted, no others",
                 "[tape][modes]") {
  const Gan gan;
  {
    Tape tape;
    const Tensor y = sum(gan.critic(gan.generator(gan.z)));
    CHECK(rule_calls_of(tape, [&] { tape.gradient(y, gan.critic); }) == 4);  // sum, matmul, tanh, matmul
  }
  Tape tape;
  const Tensor y = sum(gan.critic(gan.generator(gan.z)));
  CHECK(rule_calls_of(tape, [&] { tape.gradient(y, gan.generator); }) == 7);
}

TEST_CASE_METHOD(CleanRecord, "a GAN: one generator pass, two gradients of one tape", "[tape][modes]") {
  Gan gan;
  Gradients of_critic;
  Gradients of_generator;
  const auto critic_loss = [&](Arg fake) {
    return sum(square(gan.critic(gan.real) - 1)) + sum(square(gan.critic(stop_gradient(fake))));
  };
  const auto generator_loss = [&](Arg fake) { return sum(square(gan.critic(fake) - 1)); };
  {
    Tape tape;
    const Tensor fake = gan.generator(gan.z);
    const Tensor first = critic_loss(fake);
    // add, and twice sum, square and the critic's three; the subtraction once; nothing of the generator
    CHECK(rule_calls_of(tape, [&] { of_critic = tape.gradient(first, gan.critic); }) == 12);
    const Tensor second = generator_loss(fake);
    CHECK(rule_calls_of(tape, [&] { of_generator = tape.gradient(second, gan.generator); }) == 9);
  }
  const auto loss_at = [&](Parameter& p, const Tensor& values, const std::function<Tensor()>& loss) {
    const Tensor old = p.value().clone();
    p.assign(values);
    const double result = loss().item();
    p.assign(old);
    return result;
  };
  const auto check = [&](Parameter& p, const Tensor& gradient, const std::function<Tensor()>& loss) {
    const auto f = [&](const std::vector<Tensor>& x) { return loss_at(p, x[0], loss); };
    CHECK(is_close(gradient, numeric_gradient(f, {p.value().clone()}, 0), 1e-8));
  };
  check(gan.critic.w1, of_critic[gan.critic.w1], [&] { return critic_loss(gan.generator(gan.z)); });
  check(gan.critic.w2, of_critic[gan.critic.w2], [&] { return critic_loss(gan.generator(gan.z)); });
  check(gan.generator.w1, of_generator[gan.generator.w1], [&] { return generator_loss(gan.generator(gan.z)); });
  check(gan.generator.w2, of_generator[gan.generator.w2], [&] { return generator_loss(gan.generator(gan.z)); });
}

TEST_CASE_METHOD(CleanRecord, "allow_unused: what was not reached is listed, the rest has gradients", "[tape][modes]") {
  const Gan gan;
  Tape tape;
  const Gradients g = tape.gradient(sum(gan.critic(gan.real)), gan, {.allow_unused = true});
  CHECK(g.size() == 2);
  CHECK(g.unused() == std::vector<std::string>{"generator.w1", "generator.w2"});
  std::vector<std::string> names;
  for (const auto& [name, gradient] : g) names.push_back(name);
  CHECK(names == std::vector<std::string>{"critic.w1", "critic.w2"});
}

TEST_CASE_METHOD(CleanRecord, "allow_unused for single tensors and for lists gives empty handles", "[tape][modes]") {
  const Parameter w(scalar(2));
  const Parameter v(scalar(3));
  Tape tape{{.persistent = true}};
  const Tensor y = w * w;
  CHECK_FALSE(tape.gradient(y, v, {.allow_unused = true}).defined());
  const auto g = tape.gradient(y, std::vector<Tensor>{v, w}, {.allow_unused = true});
  CHECK_FALSE(g[0].defined());
  CHECK(g[1].item() == 4);
}

TEST_CASE_METHOD(CleanRecord, "a parameter entered after the result was made is not reached", "[tape][modes]") {
  const Parameter w(scalar(2));
  const Parameter late(scalar(3));
  Tape tape;
  const Tensor y = w * w;
  const Tensor z = late * y;
  CHECK_FALSE(tape.gradient(y, late, {.allow_unused = true}).defined());
}

}  // namespace tape_test
