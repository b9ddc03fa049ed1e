// Graphs of every form: shared inputs, diamonds, deep chains, wide fans, dead branches, and random ones.
#include <exception>
#include <thread>

#include <pthread.h>

#include "tests/autograd/random_dag.h"

namespace tape_test {

TEST_CASE_METHOD(CleanRecord, "the same tensor twice: x * x + x", "[tape][structure]") {
  Tensor x = wave({5}, 1);
  Tape tape;
  tape.watch(x);
  CHECK(is_close(tape.gradient(sum(x * x + x), x), 2 * x + 1));
}

TEST_CASE_METHOD(CleanRecord, "a diamond", "[tape][structure]") {
  Tensor x = scalar(0.7);
  Tape tape;
  tape.watch(x);
  const Tensor h = tanh(x);
  const Tensor left = h * h;
  const Tensor right = exp(h);
  const double t = std::tanh(0.7);
  const double expected = (2 * t * std::exp(t) + t * t * std::exp(t)) * (1 - t * t);
  CHECK(tape.gradient(left * right, x).item() == Approx(expected).epsilon(1e-14));
}

namespace {

struct SmallStack {
  std::function<void()> run;
  std::exception_ptr error;
};

// Runs f in a thread whose stack has 128 KiB.
void on_small_stack(std::function<void()> f) {
  SmallStack job{std::move(f), {}};
  pthread_attr_t attributes;
  REQUIRE(pthread_attr_init(&attributes) == 0);
  REQUIRE(pthread_attr_setstacksize(&attributes, 128 * 1024) == 0);
  pthread_t thread;
  const auto body = [](void* p) -> void* {
    auto* j = static_cast<SmallStack*>(p);
    try {
      j->run();
    } catch (...) {
      j->error = std::current_exception();
    }
    return nullptr;
  };
  REQUIRE(pthread_create(&thread, &attributes, body, &job) == 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
  if (job.error) std::rethrow_exception(job.error);
}

constexpr int million = 1000000;
constexpr double near_one = 1.0000001;

Tensor long_chain(const Parameter& w) {
  Tensor y = scalar(1);
  for (int i = 0; i < million; ++i) y = y * w;
  return y;
}

}  // namespace

TEST_CASE_METHOD(CleanRecord, "a chain of a million ops on a stack of 128 KiB", "[tape][structure]") {
  double slope = 0;
  std::size_t entries = 0;
  on_small_stack([&] {
    const Parameter w(scalar(near_one));
    Tape tape;
    const Tensor y = long_chain(w);
    slope = tape.gradient(y, w).item();
    entries = tape.size();
  });
  release_cached_memory();
  CHECK(entries == million + 1);
  CHECK(slope == Approx(1e6 * std::pow(near_one, million - 1)).epsilon(1e-9));
}

TEST_CASE_METHOD(CleanRecord, "a chain of a million ops dropped without a walk", "[tape][structure]") {
  double value = 0;
  bool is_empty = false;
  on_small_stack([&] {
    const Parameter w(scalar(near_one));
    {
      Tape tape;
      value = long_chain(w).item();
    }
    is_empty = record_is_empty();
  });
  release_cached_memory();
  CHECK(is_empty);
  CHECK(value == Approx(std::pow(near_one, million)).epsilon(1e-9));
}

TEST_CASE_METHOD(CleanRecord, "chains at the lengths where the record grows", "[tape][structure]") {
  for (const int length : {1, 2, 510, 511, 512, 513, 1021, 1022, 1023, 1024, 1025, 2047, 2048, 2049}) {
    double slope = 0;
    std::thread([&] {  // a fresh record, which starts small
      const Parameter w(scalar(1));
      Tape tape;
      Tensor y = w;
      for (int i = 0; i < length; ++i) y = y + w;
      slope = tape.gradient(y, w).item();
    })
        .join();
    CHECK(slope == length + 1);
  }
}

TEST_CASE_METHOD(CleanRecord, "a fan-in of 5000", "[tape][structure]") {
  const Parameter w(wave({3}, 1));
  Tape tape;
  std::vector<Tensor> parts;
  for (int i = 1; i <= 5000; ++i) parts.push_back(w * (0.001 * i));
  Tensor total = parts[0];
  for (std::size_t i = 1; i < parts.size(); ++i) total = total + parts[i];
  const double factor = 0.001 * 5000 * 5001 / 2;
  CHECK(is_close(tape.gradient(sum(total), w), full({3}, factor, f64), 1e-11));
}

TEST_CASE_METHOD(CleanRecord, "one op with 200 tracked inputs", "[tape][structure]") {
  const Parameter w(wave({2}, 1));
  Tape tape;
  std::vector<Tensor> parts;
  for (int i = 1; i <= 200; ++i) parts.push_back(w * static_cast<double>(i));
  CHECK(is_close(tape.gradient(sum(concat(parts)), w), full({2}, 20100, f64)));
}

TEST_CASE_METHOD(CleanRecord, "a dead branch costs no rule call and changes nothing", "[tape][structure]") {
  const Parameter w(wave({3}, 1));
  Tape tape;
  const Tensor h = w * 2.0;
  Tensor dead = h;
  for (int i = 0; i < 10; ++i) dead = exp(dead);
  const Tensor y = sum(h);
  const Tensor later = sum(tanh(h));
  const auto before = tape.statistics().rule_calls;
  CHECK(is_close(tape.gradient(y, w), full({3}, 2, f64)));
  CHECK(tape.statistics().rule_calls - before == 2);
}

TEST_CASE_METHOD(CleanRecord, "unused parts of a split get zeros, a subset the right elements", "[tape][structure]") {
  const Parameter w(wave({2, 6}, 1));
  Tape tape;
  const auto [a, b, c] = split<3>(w, 1);
  const Tensor g = tape.gradient(sum(a * 2.0) + sum(c * 3.0), w);
  CHECK(values_of(g) == std::vector<double>{2, 2, 0, 0, 3, 3, 2, 2, 0, 0, 3, 3});
}

TEST_CASE_METHOD(CleanRecord, "a persistent tape gives the same gradient again and again", "[tape][structure]") {
  const Parameter w(wave({3, 3}, 1));
  Tape tape{{.persistent = true}};
  const Tensor h = tanh(matmul(w, w));
  const Tensor y = sum(square(h));
  const Tensor first = tape.gradient(y, w);
  const Tensor second = tape.gradient(y, w);
  const Tensor third = tape.gradient(sum(h), w);
  const Tensor fourth = tape.gradient(y, w);
  CHECK(same_bits(first, second));
  CHECK(same_bits(first, fourth));
  CHECK_FALSE(same_bits(first, third));
}

TEST_CASE_METHOD(CleanRecord, "a persistent tape keeps the same bits although it may not write in place",
                 "[tape][structure]") {
  // Sizes around registers, blocks and what is shared among threads.
  for (const std::int64_t n : {1, 7, 8, 9, 63, 65, 1000, 4097, 70001}) {
    const Parameter a(wave({n}, 0.1));
    const Parameter b(wave({n}, 0.2));
    const auto gradients = [&](bool persistent) {
      Tape tape{{.persistent = persistent}};
      const Tensor h = tanh(a) * sigmoid(b);
      const Tensor y = sum(h * exp(h) / (2.0 + square(b)));
      return tape.gradient(y, std::vector<Tensor>{a, b});
    };
    const auto kept = gradients(true);
    const auto released = gradients(false);
    CHECK(same_bits(kept[0], released[0]));
    CHECK(same_bits(kept[1], released[1]));
  }
}

TEST_CASE_METHOD(CleanRecord, "300 random graphs: first order against differences", "[tape][structure]") {
  int checked = 0;
  for (unsigned seed = 0; seed < 300; ++seed) {
    const RandomDag dag(seed);
    const std::vector<Tensor> g = dag.gradients(dag.inputs());
    for (std::size_t k = 0; k < g.size(); ++k) {
      const Tensor wanted =
          numeric_gradient([&](const std::vector<Tensor>& x) { return dag(x).item(); }, dag.inputs(), k);
      INFO("graph " << seed << ", input " << k);
      CHECK(is_close(g[k].defined() ? g[k] : zeros_like(wanted), wanted, 1e-9));
      checked += g[k].defined();
    }
  }
  CHECK(checked > 500);  // most inputs are reached
}

TEST_CASE_METHOD(CleanRecord, "300 random graphs: second order against differences", "[tape][structure]") {
  int checked = 0;
  for (unsigned seed = 0; seed < 300; ++seed) {
    const RandomDag dag(seed);
    Tape tape;
    std::vector<Tensor> x = dag.inputs();
    for (Tensor& t : x) tape.watch(t);
    const Tensor slope = dag.slope(x);
    if (slope.block()->node.load() == 0) continue;  // no input is reached
    const std::vector<Tensor> g = tape.gradient(slope, x, {.allow_unused = true});
    const Tape::Pause pause;
    for (std::size_t k = 0; k < g.size(); ++k) {
      const Tensor wanted =
          numeric_gradient([&](const std::vector<Tensor>& at) { return dag.slope(at).item(); }, dag.inputs(), k);
      INFO("graph " << seed << ", input " << k);
      CHECK(is_close(g[k].defined() ? g[k] : zeros_like(wanted), wanted, 1e-8));
      checked += g[k].defined();
    }
  }
  CHECK(checked > 500);
}

}  // namespace tape_test
