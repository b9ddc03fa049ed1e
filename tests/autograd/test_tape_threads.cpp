// One tape per thread, one set of parameters for all; tensors that cross threads. Meant to be run under a thread
// sanitizer too. Catch's checks are made on the main thread.
#include <atomic>
#include <barrier>
#include <thread>

#include "autograd/thread_pool.h"
#include "tests/autograd/tape_support.h"

namespace tape_test {

namespace {

struct Net {
  Parameter w1{wave({3, 8}, 1.3)};
  Parameter b1{wave({8}, 0.3)};
  Parameter w2{wave({8, 2}, 0.7)};
  Tensor operator()(Arg x) const { return matmul(tanh(matmul(x, w1) + b1), w2); }
};

std::vector<Tensor> gradients_of(const Net& net, const Tensor& x) {
  Tape tape;
  const Gradients g = tape.gradient(sum(square(net(x))), net);
  return {g[net.w1], g[net.b1], g[net.w2]};
}

// Threads that start together, each with `steps` tapes over one model: every gradient has the bits of a lone thread's.
void check_shared_model(std::size_t threads, int steps) {
  const Net net;
  std::vector<Tensor> inputs;
  for (std::size_t k = 0; k < threads; ++k) inputs.push_back(wave({5, 3}, 0.1 * static_cast<double>(k + 1)));
  std::atomic<int> different{0};
  std::barrier start(static_cast<std::ptrdiff_t>(threads));
  std::vector<std::vector<Tensor>> last(threads);
  std::vector<std::thread> pool;
  for (std::size_t k = 0; k < threads; ++k) {
    pool.emplace_back([&, k] {
      start.arrive_and_wait();
      const std::vector<Tensor> first = gradients_of(net, inputs[k]);
      for (int s = 1; s < steps; ++s) {
        const std::vector<Tensor> g = gradients_of(net, inputs[k]);
        for (std::size_t p = 0; p < g.size(); ++p) different += !same_bits(g[p], first[p]);
      }
      last[k] = first;
    });
  }
  for (std::thread& t : pool) t.join();
  CHECK(different == 0);
  for (std::size_t k = 0; k < threads; ++k) {
    const std::vector<Tensor> alone = gradients_of(net, inputs[k]);
    for (std::size_t p = 0; p < alone.size(); ++p) CHECK(same_bits(last[k][p], alone[p]));
  }
}

}  // namespace

TEST_CASE_METHOD(CleanRecord, "two threads, each with its own tapes, share parameters", "[tape][threads]") {
  check_shared_model(2, 300);
}

TEST_CASE_METHOD(CleanRecord, "sixteen threads, each with its own tapes, share parameters", "[tape][threads]") {
  check_shared_model(16, 60);
}

TEST_CASE_METHOD(CleanRecord, "threads with nested tapes share parameters", "[tape][threads]") {
  const Parameter w(wave({3, 3}, 1.3));
  const Tensor x = wave({2, 3}, 0.4);
  const auto second_order = [&] {
    Tape outer;
    Tensor slope;
    {
      Tape inner;
      slope = inner.gradient(sum(tanh(matmul(x, w))), w);
    }
    return outer.gradient(sum(square(slope)), w);
  };
  std::vector<Tensor> results(4);
  std::vector<std::thread> pool;
  for (Tensor& result : results) {
    pool.emplace_back([&] {
      for (int s = 0; s < 50; ++s) result = second_order();
    });
  }
  for (std::thread& t : pool) t.join();
  const Tensor alone = second_order();
  for (const Tensor& result : results) CHECK(same_bits(result, alone));
}

TEST_CASE_METHOD(CleanRecord, "the first derivative of a new formula is asked for by many threads at once",
                 "[tape][threads]") {
  static const auto fresh = pointwise("fresh", [](auto a, auto b) { return tanh(a * b) * exp(a - b); });
  const Tensor a = wave({40}, 1);
  const Tensor b = wave({40}, 2);
  std::vector<Tensor> results(8);
  std::barrier start(8);
  std::vector<std::thread> pool;
  for (Tensor& result : results) {
    pool.emplace_back([&] {
      start.arrive_and_wait();
      result =
          grad([&](const Tensor& x) { return sum(grad([&](const Tensor& y) { return sum(fresh(y, b)); })(x)); })(a);
    });
  }
  for (std::thread& t : pool) t.join();
  for (const Tensor& result : results) CHECK(same_bits(result, results[0]));
}

TEST_CASE_METHOD(CleanRecord, "a tensor of another thread's live tape is an error, as a value it is welcome",
                 "[tape][threads]") {
  const Parameter w(wave({3}, 1));
  const Parameter v(wave({3}, 2));
  Tape tape;
  const Tensor h = w * 2.0;
  std::string error;
  Tensor unrecorded;
  Tensor slope;
  int line = 0;
  std::thread([&] {
    unrecorded = h * 3.0;  // nothing is recorded here
    Tape own;
    error = error_of([&] {
      line = __LINE__ + 1;
      h* v;
    });
    slope = own.gradient(sum(stop_gradient(h) * v), v);
  }).join();
  CHECK(error == "a tensor f64[3] belongs to a tape that is open on another thread, at " + here(line) +
                     "; pass it on as a value: stop_gradient(x)");
  CHECK(is_close(unrecorded, w * 6.0));
  CHECK(is_close(slope, w * 2.0));
  CHECK(is_close(tape.gradient(sum(h * h), w), w * 8.0));  // this thread's tape took no harm
}

TEST_CASE_METHOD(CleanRecord, "a tensor of another thread's ended tape is a constant", "[tape][threads]") {
  const Parameter v(wave({3}, 2));
  Tensor h;
  std::thread([&] {
    const Parameter w(wave({3}, 1));
    Tape tape;
    h = w * 2.0;
  }).join();
  Tape tape;
  CHECK(is_close(tape.gradient(sum(h * v), v), 2 * wave({3}, 1)));
}

TEST_CASE_METHOD(CleanRecord, "the gradient of another thread's result is an error", "[tape][threads]") {
  const Parameter w(wave({3}, 1));
  Tape tape;
  const Tensor y = sum(w * 2.0);
  std::string with_tape;
  std::thread([&] {
    Tape own;
    with_tape = error_of([&] { own.gradient(y, w); });
  }).join();
  CHECK(with_tape.find("is not on this tape") != std::string::npos);
}

TEST_CASE_METHOD(CleanRecord, "tracked tensors dropped on another thread, while their tape is open",
                 "[tape][threads]") {
  const Parameter w(wave({300}, 1));
  for (int round = 0; round < 50; ++round) {
    Tape tape;
    std::vector<Tensor> results;
    for (int i = 0; i < 20; ++i) results.push_back(tanh(w * (i + 1.0)));
    const Tensor y = sum(results[3] * results[4]);
    std::thread dropper([moved = std::move(results)]() mutable { moved.clear(); });
    const Tensor g = tape.gradient(y, w);
    dropper.join();
    if (round == 0) CHECK(g.size() == 300);
  }
}

TEST_CASE_METHOD(CleanRecord, "dropping on another thread does not take new memory for ever", "[tape][threads]") {
  const Parameter w(wave({300}, 1));
  std::uint64_t warm = 0;
  for (int round = 0; round < 60; ++round) {
    std::vector<Tensor> results;
    {
      Tape tape;
      for (int i = 0; i < 20; ++i) results.push_back(tanh(w * (i + 1.0)));
    }
    std::thread([moved = std::move(results)]() mutable { moved.clear(); }).join();
    if (round == 20) warm = allocator_statistics().system_allocations;
  }
  CHECK(allocator_statistics().system_allocations == warm);
}

TEST_CASE_METHOD(CleanRecord, "the bits do not depend on the number of worker threads", "[tape][threads]") {
  const Parameter w(wave({300, 300}, 0.013));
  const Tensor x = wave({500, 300}, 0.7);
  const auto gradient = [&] {
    Tape tape;
    const Tensor h = tanh(matmul(x, w));
    return tape.gradient(mean(softmax(h) * h), w);
  };
  const int before = num_threads();
  set_num_threads(1);
  const Tensor one = gradient();
  set_num_threads(2);
  const Tensor two = gradient();
  set_num_threads(5);
  const Tensor five = gradient();
  set_num_threads(before);
  CHECK(same_bits(one, two));
  CHECK(same_bits(one, five));
}

}  // namespace tape_test
