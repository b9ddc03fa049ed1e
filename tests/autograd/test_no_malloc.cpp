// From the third step on, training makes no heap allocation: batches, forward pass, loss, gradient, clipping, update.
//
// This program puts itself before malloc and its relatives, operator new included (which calls them), and counts.
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <new>
#include <thread>

#include "autograd/ops/arrange.h"
#include "autograd/ops/diagonal.h"
#include "autograd/ops/pad.h"
#include "autograd/ops/scan.h"
#include "autograd/random.h"
#include "autograd/thread_pool.h"
#include "nn/batches.h"
#include "nn/conv.h"
#include "nn/conv_transpose.h"
#include "nn/dense.h"
#include "nn/dropout.h"
#include "nn/embedding.h"
#include "optim/adagrad.h"
#include "optim/adam.h"
#include "optim/clip.h"
#include "optim/sgd.h"
#include "tests/autograd/tape_support.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define TAPEGRAD_SANITIZED
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TAPEGRAD_SANITIZED
#endif

namespace {
std::atomic<bool> counting{false};
std::atomic<long> allocations{0};

void count() {
  if (counting.load(std::memory_order_relaxed)) allocations.fetch_add(1, std::memory_order_relaxed);
}
}  // namespace

#if defined(__GLIBC__) && !defined(TAPEGRAD_SANITIZED)
constexpr bool sees_malloc = true;
extern "C" {
void* __libc_malloc(std::size_t bytes);
void* __libc_calloc(std::size_t count, std::size_t bytes);
void* __libc_realloc(void* memory, std::size_t bytes);
void* __libc_memalign(std::size_t alignment, std::size_t bytes);

void* malloc(std::size_t bytes) noexcept {
  count();
  return __libc_malloc(bytes);
}
void* calloc(std::size_t n, std::size_t bytes) noexcept {
  count();
  return __libc_calloc(n, bytes);
}
void* realloc(void* memory, std::size_t bytes) noexcept {
  count();
  return __libc_realloc(memory, bytes);
}
void* aligned_alloc(std::size_t alignment, std::size_t bytes) noexcept {
  count();
  return __libc_memalign(alignment, bytes);
}
void* memalign(std::size_t alignment, std::size_t bytes) noexcept {
  count();
  return __libc_memalign(alignment, bytes);
}
int posix_memalign(void** memory, std::size_t alignment, std::size_t bytes) noexcept {
  count();
  *memory = __libc_memalign(alignment, bytes);
  return *memory ? 0 : 12;
}
}
#else
// A sanitizer owns malloc: then only operator new is counted, from which all of the library's memory comes.
constexpr bool sees_malloc = false;
void* operator new(std::size_t bytes) {
  count();
  if (void* memory = std::malloc(bytes ? bytes : 1)) return memory;
  throw std::bad_alloc();
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  count();
  const auto a = static_cast<std::size_t>(alignment);
  if (void* memory = std::aligned_alloc(a, (bytes + a - 1) / a * a)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }
#endif

namespace tape_test {

namespace {

template <class F>
long allocations_of(F&& f) {
  allocations = 0;
  counting = true;
  std::forward<F>(f)();
  counting = false;
  return allocations;
}

struct Net {
  nn::Dense first;
  nn::Dense second;
  Tensor operator()(Arg x) const { return second(relu(first(x))); }
};

struct Task {
  Net net;
  Tensor images;
  Tensor labels;
  Task(std::int64_t examples, std::int64_t features, std::int64_t hidden)
      : net{{features, hidden}, {hidden, 10}},
        images(random::uniform({examples, features})),
        labels(random::integers(0, 10, {examples})) {}
};

template <class Update>
void run_epochs(Task& task, std::int64_t size, Update&& update, std::vector<long>& counts) {
  double total = 0;
  for (std::uint32_t epoch = 0; epoch < 3; ++epoch) {
    counting = true;
    for (auto [images, labels] : batches(
             task.images, task.labels, {.size = size, .shuffle = true, .drop_last = true, .seed = 1, .epoch = epoch})) {
      Tape tape;
      const Tensor loss = cross_entropy(task.net(images), labels);
      Gradients gradients = tape.gradient(loss, task.net);
      update(gradients);
      total += loss.item();
      counting = false;
      counts.push_back(allocations.exchange(0));  // what stands before a batch counts for it
      counting = true;
    }
    counting = false;
  }
  CHECK(std::isfinite(total));
}

// Runs epochs and returns what each step from the third on allocated.
template <class Update>
std::vector<long> late_allocations(Task& task, std::int64_t size, Update&& update) {
  std::vector<long> counts;
  counts.reserve(1000);
  allocations = 0;
  run_epochs(task, size, update, counts);
  REQUIRE(counts.size() >= 9);
  return {counts.begin() + 2, counts.end()};
}

}  // namespace

TEST_CASE("the counter sees malloc, its relatives and operator new", "[tape][malloc]") {
  CHECK(allocations_of([] { delete new int(1); }) >= 0);
  static void* volatile kept = nullptr;
  CHECK(allocations_of([] {
          kept = ::operator new(100);
          ::operator delete(kept);
        }) == 1);
  CHECK(allocations_of([] {
          kept = ::operator new(100, std::align_val_t(64));
          ::operator delete(kept, std::align_val_t(64));
        }) == 1);
  if (!sees_malloc) return;
  CHECK(allocations_of([] {
          kept = std::malloc(100);
          kept = std::realloc(kept, 200);
          std::free(kept);
          kept = std::calloc(10, 10);
          std::free(kept);
          kept = std::aligned_alloc(64, 128);
          std::free(kept);
        }) == 4);
}

TEST_CASE("no heap allocation from the third step on: AdamW with clip_norm", "[tape][malloc]") {
  Task task(512, 64, 32);
  optim::AdamW adam{task.net, {.lr = 1e-3}};
  const std::vector<long> counts = late_allocations(task, 64, [&](Gradients& g) {
    optim::clip_norm(g, 0.5);
    adam.step(g);
  });
  CHECK(counts == std::vector<long>(counts.size(), 0));
}

TEST_CASE("no heap allocation from the third step on: SGD with momentum and clip_value", "[tape][malloc]") {
  Task task(512, 64, 32);
  optim::SGD sgd{task.net, {.lr = 1e-2, .momentum = 0.9, .weight_decay = 1e-4, .nesterov = true}};
  const std::vector<long> counts = late_allocations(task, 64, [&](Gradients& g) {
    optim::clip_value(g, 0.01);
    sgd.step(g);
  });
  CHECK(counts == std::vector<long>(counts.size(), 0));
}

namespace {

// Each thread computes a step by itself, whatever the system does later: it then holds the buffers of every product.
void warm_up_threads(const Task& task, std::int64_t size) {
  const Tensor images = task.images.slice(0, 0, size).clone();
  const Tensor labels = task.labels.slice(0, 0, size).clone();
  std::atomic<int> arrived{0};
  parallel_for(num_threads(), [&](std::int64_t) {
    ++arrived;
    while (arrived < num_threads()) std::this_thread::yield();
    Tape tape;
    tape.gradient(cross_entropy(task.net(images), labels), task.net);
  });
}

std::vector<long> large_steps(int threads, std::int64_t size) {
  const int before = num_threads();
  set_num_threads(threads);
  Task task(2048, 784, 256);
  optim::AdamW adam{task.net, {.lr = 1e-3}};
  if (threads > 1) warm_up_threads(task, size);
  std::vector<long> counts = late_allocations(task, size, [&](Gradients& g) {
    optim::clip_norm(g, 0.5);
    adam.step(g);
  });
  set_num_threads(before);
  return counts;
}

}  // namespace

TEST_CASE("no heap allocation from the third step on: large blocks", "[tape][malloc]") {
  const std::vector<long> counts = large_steps(1, 512);
  CHECK(counts == std::vector<long>(counts.size(), 0));
}

TEST_CASE("no heap allocation from the third step on: two threads", "[tape][malloc]") {
  const std::vector<long> counts = large_steps(2, 128);
  REQUIRE(counts.size() > 40);
  CHECK(counts == std::vector<long>(counts.size(), 0));
}

TEST_CASE("no heap allocation from the third step on: convolutions", "[malloc]") {
  struct ConvolutionNet {
    nn::Conv2d first{3, 8, 3, {.stride = 2, .padding = 1}};
    nn::Conv2d depthwise{8, 8, {3, 1}, {.padding = "same", .groups = 8, .bias = false}};
    nn::ConvTranspose2d up{8, 4, 4, {.stride = 2, .padding = 1}};
    nn::Conv1d along{4, 3, 5, {.padding = 2, .dilation = 1}};
    Tensor operator()(Arg x) const {
      const Tensor y = up(relu(depthwise(relu(first(x)))));
      return along(reshape(y, {y.shape(0), -1, 4}));
    }
  };
  ConvolutionNet net;
  optim::SGD sgd{net, {.lr = 1e-3}};
  const Tensor images = random::normal({4, 16, 12, 3});
  std::vector<long> counts;
  counts.reserve(100);
  for (int step = 0; step < 12; ++step) {
    counts.push_back(allocations_of([&] {
      Tape tape;
      sgd.step(tape.gradient(mean(square(net(images))), net));
    }));
  }
  CHECK(std::vector<long>(counts.begin() + 2, counts.end()) == std::vector<long>(10, 0));
}

TEST_CASE("no heap allocation from the third step on: a gradient penalty by a nested tape", "[tape][malloc]") {
  Task task(64, 16, 8);
  optim::SGD sgd{task.net, {.lr = 1e-3}};
  std::vector<long> counts;
  counts.reserve(100);
  for (int step = 0; step < 12; ++step) {
    counts.push_back(allocations_of([&] {
      Tape tape;
      Tensor x = task.images;
      Tensor slope;
      {
        Tape inner;
        inner.watch(x);
        slope = inner.gradient(sum(task.net(x)), x);
      }
      const Tensor loss = mean(square(norm(slope, {.axis = 1}) - 1)) + cross_entropy(task.net(x), task.labels);
      sgd.step(tape.gradient(loss, task.net));
    }));
  }
  CHECK(std::vector<long>(counts.begin() + 2, counts.end()) == std::vector<long>(10, 0));
}

TEST_CASE("no heap allocation from the third step on: a table of words, its touched rows, dropout", "[tape][malloc]") {
  for (const bool sparse : {false, true}) {
    struct Model {
      nn::Embedding words;
      nn::Dense out{8, 10};
      nn::Dropout drop{0.3};
    };
    Model model{nn::Embedding{500, 8, {.padding_idx = 0, .sparse = sparse}}};
    optim::Adagrad adagrad{model};
    std::vector<Tensor> words;
    for (int k = 0; k < 12; ++k) words.push_back(random::integers(0, 500, {16, 5}));
    const Tensor labels = random::integers(0, 10, {16});
    std::vector<long> counts;
    counts.reserve(100);
    for (const Tensor& x : words) {
      counts.push_back(allocations_of([&] {
        Tape tape;
        const Tensor loss = cross_entropy(model.out(model.drop(mean(model.words(x), {.axis = 1}))), labels);
        Gradients g = tape.gradient(loss, model);
        optim::clip_norm(g, 0.5);
        adagrad.step(g);
      }));
    }
    CHECK(std::vector<long>(counts.begin() + 2, counts.end()) == std::vector<long>(10, 0));
  }
}

TEST_CASE("no heap allocation from the third step on: reductions, scans and rearrangements", "[malloc]") {
  const Tensor start = random::uniform({12, 40});
  std::vector<long> counts;
  counts.reserve(100);
  for (int step = 0; step < 12; ++step) {
    counts.push_back(allocations_of([&] {
      Tape tape;
      Tensor x = start;
      tape.watch(x);
      Tensor rows = var(x, {.axis = 1}) + stddev(x, {.axis = 1}) + logsumexp(x, {.axis = 1}) + prod(x, {.axis = 1});
      for (const double ord : {1.0, 2.0, HUGE_VAL}) rows += norm(x, {.axis = 1, .ord = ord});
      const Tensor moved =
          flip(roll(x, {1, 2}, {0, 1}), 1) + tril(x, 3) + cumsum(x) + cumprod(x, 0) + linear_scan(x, x);
      const Tensor larger = tile(pad(x, {{1, 1}, {2, 0}}), {1, 2});
      const Tensor mirrored = repeat(pad(x, {{1, 0}, {0, 3}}, {.mode = PadMode::reflect}), 2, 0);
      const Tensor loss = mean(rows) + mean(moved) + mean(larger) + mean(mirrored) + mean(diagonal(x, {.offset = 2}));
      tape.gradient(where(any(x > 2), loss * 2, loss), x);
    }));
  }
  CHECK(std::vector<long>(counts.begin() + 2, counts.end()) == std::vector<long>(10, 0));
}

}  // namespace tape_test
