// What lives how long: entries, saved tensors, handles that outlive their tape, and memory over many steps.
#include <memory>
#include <thread>
#include <type_traits>

#include "autograd/checkpoint.h"
#include "autograd/parameter.h"
#include "autograd/vjp.h"
#include "tests/autograd/tape_support.h"

namespace tape_test {

static_assert(!std::is_copy_constructible_v<Tape> && !std::is_copy_assignable_v<Tape>);
static_assert(!std::is_move_constructible_v<Tape> && !std::is_move_assignable_v<Tape>);
static_assert(!std::is_copy_constructible_v<Tape::Pause> && !std::is_copy_assignable_v<Tape::Pause>);
static_assert(!std::is_move_constructible_v<Tape::Pause> && !std::is_move_assignable_v<Tape::Pause>);

TEST_CASE_METHOD(CleanRecord, "a tape that is never walked leaves nothing behind", "[tape][lifetime]") {
  const Parameter w(wave({64}, 1));
  {
    Tape tape;
    const Tensor y = sum(tanh(w * w));
    CHECK(w.value().block()->references.load() > 1);  // saved by the product
  }
  CHECK(w.value().block()->references.load() == 1);
}

TEST_CASE_METHOD(CleanRecord, "a walk releases what was saved", "[tape][lifetime]") {
  const Parameter w(wave({64}, 1));
  Tape tape;
  const Tensor y = sum(tanh(w * w));
  CHECK(tape.statistics().saved_bytes == 2 * 64 * 8);
  tape.gradient(y, w);
  CHECK(tape.statistics().saved_bytes == 0);
  CHECK(w.value().block()->references.load() == 2);  // ours, and the tape's list of parameters
}

TEST_CASE_METHOD(CleanRecord, "a persistent tape keeps what was saved until it ends", "[tape][lifetime]") {
  const Parameter w(wave({64}, 1));
  {
    Tape tape{{.persistent = true}};
    const Tensor y = sum(tanh(w * w));
    tape.gradient(y, w);
    CHECK(tape.statistics().saved_bytes == 2 * 64 * 8);
  }
  CHECK(w.value().block()->references.load() == 1);
}

TEST_CASE_METHOD(CleanRecord, "what an inner tape walked is kept for the outer one", "[tape][lifetime]") {
  Tensor x = scalar(2);
  Tape outer;
  outer.watch(x);
  Tensor g;
  {
    Tape inner;
    inner.watch(x);
    g = inner.gradient(x * x * x, x);
  }
  const std::size_t saved = outer.statistics().saved_bytes;
  CHECK(saved > 0);
  outer.gradient(g, x, {.allow_unused = true});
  CHECK(outer.statistics().saved_bytes < saved);
}

TEST_CASE_METHOD(CleanRecord, "handles may be dropped before the walk", "[tape][lifetime]") {
  const Parameter w(wave({64}, 1));
  Tape tape;
  Tensor y;
  {
    const Tensor a = w * w;
    const Tensor b = tanh(a);
    y = sum(b * a);
  }
  const Tensor squared = square(w);
  const Tensor t = tanh(squared);
  CHECK(is_close(tape.gradient(y, w), 2 * w * (t + squared * (1 - t * t))));
}

TEST_CASE_METHOD(CleanRecord, "an op that saves its own output, alone and after the handle is gone",
                 "[tape][lifetime]") {
  const Parameter w(wave({64}, 1));
  {
    Tape tape;
    tanh(w);  // a cycle here would leak
  }
  CHECK(w.value().block()->references.load() == 1);
  Tape tape;
  const Tensor y = sum(sigmoid(tanh(w)));
  const Tensor t = tanh(w.value());
  const Tensor s = sigmoid(t);
  CHECK(is_close(tape.gradient(y, w), s * (1 - s) * (1 - t * t)));
}

TEST_CASE_METHOD(CleanRecord, "a tensor of an ended tape is a constant", "[tape][lifetime]") {
  const Parameter w(wave({3}, 1));
  Tensor old;
  {
    Tape tape;
    old = w * 2.0;
  }
  CHECK(is_close(old, 2 * wave({3}, 1)));
  Tape tape;
  const Tensor y = old * w;
  CHECK(tape.size() == 2);  // the parameter and the product, nothing for `old`
  CHECK(is_close(tape.gradient(sum(y), w), old));
}

TEST_CASE_METHOD(CleanRecord, "an entry of an inner tape passes to the enclosing one", "[tape][lifetime]") {
  const Parameter w(scalar(3));
  Tape outer;
  Tensor y;
  {
    Tape inner;
    y = w * w;
  }
  CHECK(outer.gradient(y, w).item() == 6);
}

TEST_CASE_METHOD(CleanRecord, "tensors, gradients and parameters outlive their tape and their thread",
                 "[tape][lifetime]") {
  Tensor kept;
  Tensor slope;
  Parameter w;
  std::thread([&] {
    w = Parameter(wave({3}, 1));
    Tape tape;
    kept = tanh(w);
    slope = tape.gradient(sum(kept), w);
  }).join();
  CHECK(is_close(kept, tanh(wave({3}, 1))));
  CHECK(is_close(slope, 1 - square(kept)));
  Tape tape;
  CHECK(is_close(tape.gradient(sum(kept * w), w), kept));
}

TEST_CASE_METHOD(CleanRecord, "a parameter that dies while the tape is open", "[tape][lifetime]") {
  const Parameter kept(wave({3}, 2));
  Tape tape;
  Tensor y;
  {
    const Parameter w(wave({3}, 1));
    y = sum(w * kept);
  }
  // A new parameter may take the same memory; it must not be taken for the old one.
  const Parameter other(wave({3}, 3));
  const Tensor z = y + sum(other * kept);
  CHECK(is_close(tape.gradient(z, kept), wave({3}, 1) + wave({3}, 3)));
}

TEST_CASE_METHOD(CleanRecord, "a parameter of a paused inner tape that is gone does not haunt the outer one",
                 "[tape][lifetime]") {
  const Parameter kept(wave({4}, 2));
  Tape outer;
  for (int k = 0; k < 3; ++k) {
    const Tape::Pause pause;
    Tape inner;
    const Parameter w(wave({3}, 1));
    CHECK(is_close(inner.gradient(sum(w * w), w), w * 2.0));
  }
  // Same size class, so it may take the same memory.
  const Parameter other(wave({4}, 3));
  const Tensor y = sum(other * kept);
  CHECK(is_close(outer.gradient(y, std::vector<Tensor>{other})[0], kept));
}

namespace {

std::string ended_early(int line, SourceLocation at = SourceLocation::current()) {
  return "tapegrad: the tape opened at " + here(line, at) +
         " was still open when the scope around it ended; it ends too\n";
}

}  // namespace

TEST_CASE_METHOD(CleanRecord, "an outer tape that ends first takes the inner ones along", "[tape][lifetime]") {
  const Parameter w(wave({3}, 1));
  auto outer = std::make_unique<Tape>();
  const int line = __LINE__ + 1;
  auto inner = std::unique_ptr<Tape>(new Tape{{.persistent = true}});
  auto innermost = std::unique_ptr<Tape>(new Tape);
  Tensor y = sum(square(w));
  CHECK(standard_error_of([&] { outer.reset(); }) == ended_early(line + 1) + ended_early(line));
  CHECK(record_is_empty());
  CHECK(w.value().block()->references.load() == 1);

  y = sum(square(w));
  CHECK(y.block()->node.load() == 0);  // nothing records
  Tensor x = wave({3}, 2);
  CHECK(inner->size() == 0);
  CHECK(inner->statistics().entries == 0);
  const int use = __LINE__ + 1;
  const std::string gradient_error = error_of([&] { inner->gradient(y, w); });
  const std::string watch_error = error_of([&] { inner->watch(x); });
  CHECK(gradient_error == "gradient: this tape has ended with the scope around it, at " + here(use));
  CHECK(watch_error == "watch: this tape has ended with the scope around it, at " + here(use + 1));

  Tape tape;  // which those that have ended leave alone
  y = sum(square(w));
  inner.reset();
  CHECK(error_of([&] { innermost->gradient(y, w); }).find("has ended") != std::string::npos);
  innermost.reset();
  CHECK(is_close(tape.gradient(y, w), 2 * w));
}

TEST_CASE_METHOD(CleanRecord, "a tape in the middle ends before the one inside it", "[tape][lifetime]") {
  const Parameter w(wave({3}, 1));
  Tape outer;
  auto middle = std::make_unique<Tape>();
  const int line = __LINE__ + 1;
  const auto inner = std::unique_ptr<Tape>(new Tape);
  const Tensor y = sum(square(w));
  CHECK(standard_error_of([&] { middle.reset(); }) == ended_early(line));
  CHECK(detail::record.recording == &outer);
  CHECK(is_close(outer.gradient(y, w), 2 * w));
}

TEST_CASE_METHOD(CleanRecord, "a tape that outlives the pause in which it was opened", "[tape][lifetime]") {
  const Parameter w(wave({3}, 1));
  Tape outer;
  const Tensor h = square(w);
  std::unique_ptr<Tape> inner;
  auto pause = std::make_unique<Tape::Pause>();
  const int line = __LINE__ + 1;
  inner = std::unique_ptr<Tape>(new Tape);
  const Tensor constant = square(w);
  CHECK(standard_error_of([&] { pause.reset(); }) == ended_early(line));
  CHECK(detail::record.recording == &outer);
  const Tensor y = sum(h * constant);
  inner.reset();  // takes nothing of what the outer tape has recorded since
  CHECK(is_close(outer.gradient(y, w), 2 * w * square(w)));
}

TEST_CASE_METHOD(CleanRecord, "a tape that ends in a pause leaves its place to the one around it", "[tape][lifetime]") {
  const Parameter w(wave({3}, 1));
  {
    auto tape = std::make_unique<Tape>();
    const Tape::Pause pause;
    tape.reset();
  }
  CHECK(record_is_empty());
  Tape outer;
  {
    auto inner = std::make_unique<Tape>();
    const Tape::Pause pause;
    inner.reset();
    CHECK(!detail::record.recording);
  }
  CHECK(is_close(outer.gradient(sum(square(w)), w), 2 * w));
}

TEST_CASE_METHOD(CleanRecord, "a held output across 20000 steps keeps the record small", "[tape][lifetime]") {
  const Parameter w(scalar(1.0001));
  Tensor held;
  std::uint32_t capacity = 0;
  for (int step = 0; step < 20000; ++step) {
    Tape tape;
    const Tensor y = w * w;
    if (step % 1000 == 0) held = y;
    tape.gradient(y, w);
    if (step == 0) capacity = detail::record.capacity;
  }
  CHECK(detail::record.capacity == capacity);
  CHECK(held.item() == 1.0001 * 1.0001);
}

namespace {

struct Mlp {
  Parameter w1;
  Parameter w2;
  Mlp(const Shape& first, const Shape& second, double step) : w1(wave(first, step)), w2(wave(second, step + 1)) {}
  Tensor operator()(Arg x) const { return matmul(tanh(matmul(x, w1)), w2); }
  using fields = nn::Fields<&Mlp::w1, &Mlp::w2>;
};

void descend(Parameter& p, const Tensor& gradient) { p.assign(p.value() - 0.001 * gradient); }

void descend(Mlp& net, const Gradients& g) {
  descend(net.w1, g[net.w1]);
  descend(net.w2, g[net.w2]);
}

// Runs `step` 1000 times: after the first hundred no chunk is taken from the system, and the record does not grow.
void check_no_growth(const std::function<void()>& step) {
  AllocatorStatistics warm;
  std::uint32_t entries = 0;
  std::uint32_t shapes = 0;
  for (int i = 0; i < 1000; ++i) {
    step();
    if (i != 100) continue;
    warm = allocator_statistics();
    entries = detail::record.capacity;
    shapes = detail::record.shapes_capacity;
  }
  CHECK(allocator_statistics().system_allocations == warm.system_allocations);
  CHECK(allocator_statistics().reserved_bytes == warm.reserved_bytes);
  CHECK(detail::record.capacity == entries);
  CHECK(detail::record.shapes_capacity == shapes);
}

}  // namespace

TEST_CASE_METHOD(CleanRecord, "truncated BPTT: the state outlives its tape, and nothing grows", "[tape][lifetime]") {
  Parameter w(wave({3, 3}, 1.3));
  Tensor state = wave({1, 3}, 2);
  const Tensor x = wave({1, 3}, 0.5);
  std::size_t first = 0;
  bool same_size = true;
  check_no_growth([&] {
    Tape tape;
    Tensor h = state;
    for (int k = 0; k < 5; ++k) h = tanh(matmul(h, w) + x);
    descend(w, tape.gradient(sum(square(h)), w));
    if (first == 0) first = tape.size();
    same_size = same_size && tape.size() == first;
    state = h;
  });
  CHECK(same_size);
}

TEST_CASE_METHOD(CleanRecord, "truncated BPTT stops the gradient where the window begins", "[tape][lifetime]") {
  const Parameter w(scalar(0.5));
  Tensor state = scalar(2);
  for (int window = 0; window < 3; ++window) {
    const double before = state.item();
    Tape tape;
    const Tensor h = state * w;
    CHECK(tape.gradient(h, w).item() == before);
    state = h;
  }
}

TEST_CASE_METHOD(CleanRecord, "1000 steps of a GAN do not grow", "[tape][lifetime]") {
  Mlp generator({2, 3}, {3, 2}, 1);
  Mlp critic({2, 4}, {4, 1}, 3);
  const Tensor z = wave({6, 2}, 0.3);
  const Tensor real = wave({6, 2}, 0.9);
  check_no_growth([&] {
    Tape tape;
    const Tensor fake = generator(z);
    const Tensor critic_loss = mean(square(critic(real) - 1)) + mean(square(critic(stop_gradient(fake))));
    descend(critic, tape.gradient(critic_loss, critic));
    descend(generator, tape.gradient(mean(square(critic(fake) - 1)), generator));
  });
}

TEST_CASE_METHOD(CleanRecord, "1000 steps with checkpoints do not grow", "[tape][lifetime]") {
  Mlp net({2, 4}, {4, 2}, 3);
  const Tensor input = wave({6, 2}, 0.9);
  check_no_growth([&] {
    Tape tape;
    const Tensor y = checkpoint(net, checkpoint(net, input));
    descend(net, tape.gradient(mean(square(y - 1)), net));
  });
}

TEST_CASE_METHOD(CleanRecord, "1000 pullbacks do not grow", "[tape][lifetime]") {
  const Tensor x = wave({6, 2}, 0.9);
  check_no_growth([&] {
    const auto [y, pullback] = vjp([](const Tensor& v) { return exp(v) * v; }, x);
    static_cast<void>(pullback(y));
  });
}

TEST_CASE_METHOD(CleanRecord, "1000 steps with a gradient penalty do not grow", "[tape][lifetime]") {
  Mlp critic({2, 4}, {4, 1}, 3);
  const Tensor real = wave({6, 2}, 0.9);
  check_no_growth([&] {
    Tape tape;
    Tensor x = real;
    Tensor slope;
    {
      Tape inner;
      inner.watch(x);
      slope = inner.gradient(sum(critic(x)), x);
    }
    descend(critic, tape.gradient(mean(square(norm(slope, {.axis = 1}) - 1)), critic));
  });
}

}  // namespace tape_test
