// Every allocation of a small training step fails once. Whichever it is, std::bad_alloc reaches the caller, no tape is
// left open, nothing leaks, and the library works on.
//
// This program replaces operator new, from which all of the library's memory comes. Each failure is tried in two ways:
// in a child process in which nothing has run yet, so that what is made once per process fails too, and in a fresh
// thread with empty free lists, where every block must be given back.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <new>
#include <thread>

#include "nn/dense.h"
#include "optim/sgd.h"
#include "tests/autograd/tape_support.h"

namespace {

constexpr long never = -1;
thread_local long allocations_left = never;  // the one after them fails
std::atomic<long> blocks_in_use{0};

void* allocate(std::size_t bytes, std::size_t alignment) {
  if (allocations_left == 0) {
    allocations_left = never;
    return nullptr;
  }
  if (allocations_left > 0) --allocations_left;
  void* memory = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (memory) blocks_in_use.fetch_add(1, std::memory_order_relaxed);
  return memory;
}

void* allocate_or_throw(std::size_t bytes, std::size_t alignment) {
  void* memory = allocate(bytes ? bytes : 1, alignment);
  if (!memory) throw std::bad_alloc();
  return memory;
}

void give_back(void* memory) {
  if (!memory) return;
  blocks_in_use.fetch_sub(1, std::memory_order_relaxed);
  std::free(memory);
}

constexpr std::size_t usual_alignment = alignof(std::max_align_t);

}  // namespace

void* operator new(std::size_t n) { return allocate_or_throw(n, usual_alignment); }
void* operator new[](std::size_t n) { return allocate_or_throw(n, usual_alignment); }
void* operator new(std::size_t n, std::align_val_t a) { return allocate_or_throw(n, static_cast<std::size_t>(a)); }
void* operator new[](std::size_t n, std::align_val_t a) { return allocate_or_throw(n, static_cast<std::size_t>(a)); }
void* operator new(std::size_t n, const std::nothrow_t&) noexcept { return allocate(n ? n : 1, usual_alignment); }
void* operator new[](std::size_t n, const std::nothrow_t&) noexcept { return allocate(n ? n : 1, usual_alignment); }
void operator delete(void* p) noexcept { give_back(p); }
void operator delete[](void* p) noexcept { give_back(p); }
void operator delete(void* p, std::size_t) noexcept { give_back(p); }
void operator delete[](void* p, std::size_t) noexcept { give_back(p); }
void operator delete(void* p, std::align_val_t) noexcept { give_back(p); }
void operator delete[](void* p, std::align_val_t) noexcept { give_back(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { give_back(p); }
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept { give_back(p); }

namespace tape_test {

namespace {

constexpr std::int64_t batch = 4;
constexpr std::int64_t features = 6;
constexpr std::int64_t hidden = 5;
constexpr std::int64_t classes = 3;

// What a step leaves behind: all parameters and the loss.
constexpr std::size_t result_size = features * hidden + hidden + hidden * classes + classes + 1;
using Result = std::array<float, result_size>;

struct Net {
  nn::Dense first{features, hidden};
  nn::Dense second{hidden, classes};
  Tensor operator()(Arg x) const { return second(relu(first(x))); }
};

Result values_of(const Net& net, const Tensor& loss) {
  Result result{};
  float* to = result.data();
  for (const Parameter* p : {&net.first.weight, &*net.first.bias, &net.second.weight, &*net.second.bias}) {
    for (float v : p->value().span<float>()) *to++ = v;
  }
  *to = static_cast<float>(loss.item());
  return result;
}

void set_values(Parameter& p, double step) { p.assign(wave(p.shape(), step).to(f32)); }

Net make_net() {
  Net net;
  set_values(net.first.weight, 1);
  set_values(*net.first.bias, 2);
  set_values(net.second.weight, 3);
  set_values(*net.second.bias, 4);
  return net;
}

enum class Kind { plain, persistent, penalty };

// One training step. `updating` is set when the gradients are there and the update begins.
Result train(Net& net, Kind kind, bool& updating) {
  const Tensor images = wave({batch, features}, 0.3).to(f32);
  const Tensor labels = Tensor::from<std::int64_t>({2, 0, 1, 2});
  optim::SGD sgd{net, {.lr = 0.1, .momentum = 0.9}};
  Tape tape{{.persistent = kind == Kind::persistent}};
  Tensor loss = cross_entropy(net(images), labels);
  if (kind == Kind::penalty) {
    Tensor x = images;
    Tensor slope;
    {
      Tape inner;
      inner.watch(x);
      slope = inner.gradient(sum(net(x)), x);
    }
    loss = loss + mean(square(norm(slope, {.axis = 1}) - 1)) + 0.0 * sum(net(x));
  }
  const Gradients gradients = tape.gradient(loss, net);
  updating = true;
  sgd.step(gradients);
  return values_of(net, loss);
}

Result whole_step(Kind kind) {
  Net net = make_net();
  bool updating = false;
  return train(net, kind, updating);
}

// `fine`: bad_alloc reached the caller, or the library did without (a worker thread, say); then all was as it should
// be.
enum class Outcome : int { no_failure, fine, wrong_exception, tape_left_open, parameter_changed, wrong_afterwards };

// Lets the allocation after the first `n` ones fail, and looks at what is left. The net is made before that.
Outcome fail_allocation(long n, Kind kind, const Result& expected) {
  bool has_failed = false;
  {
    Net net = make_net();
    const Result before = values_of(net, zeros({}));
    bool updating = false;
    bool has_thrown = false;
    try {
      allocations_left = n;
      const Result result = train(net, kind, updating);
      has_failed = allocations_left == never;
      allocations_left = never;
      if (result != expected) return Outcome::wrong_afterwards;
    } catch (const std::bad_alloc&) {
      has_failed = has_thrown = true;
    } catch (...) {
      return Outcome::wrong_exception;
    }
    if (!record_is_empty()) return Outcome::tape_left_open;
    // The same net goes on, when it was not half updated.
    if (has_thrown && !updating) {
      if (values_of(net, zeros({})) != before) return Outcome::parameter_changed;
      if (train(net, kind, updating) != expected) return Outcome::wrong_afterwards;
    }
  }
  if (whole_step(kind) != expected) return Outcome::wrong_afterwards;
  return has_failed ? Outcome::fine : Outcome::no_failure;
}

// f in a child process, which dies with it: 128 + the signal's number when it crashed.
template <class F>
int in_child(F&& f) {
  const pid_t child = fork();
  if (child == 0) _exit(f());
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// Memory that child processes share.
Result* shared_result() {
  return static_cast<Result*>(mmap(nullptr, sizeof(Result), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
}

constexpr Kind kinds[] = {Kind::plain, Kind::persistent, Kind::penalty};
constexpr int most_allocations = 100000;

}  // namespace

// First in this file: the parent must not have run anything of the library when the children start.
TEST_CASE("each allocation of a training step fails in a process that has run nothing", "[tape][allocation]") {
  Result& expected = *shared_result();
  REQUIRE(in_child([&] {
            expected = whole_step(Kind::plain);
            return 0;
          }) == 0);
  int n = 0;
  for (; n < most_allocations; ++n) {
    const int outcome = in_child([&] { return static_cast<int>(fail_allocation(n, Kind::plain, expected)); });
    if (outcome == static_cast<int>(Outcome::no_failure)) break;
    INFO("allocation " << n);
    CHECK(outcome == static_cast<int>(Outcome::fine));
  }
  CHECK(n > 500);  // formulas are traced and differentiated at their first use
  CHECK(n < most_allocations);
}

TEST_CASE("each allocation of a training step fails in a thread with empty free lists; nothing leaks",
          "[tape][allocation]") {
  for (const Kind kind : kinds) {
    Result expected{};
    std::thread([&] { expected = whole_step(kind); }).join();  // makes what is made once per process
    int n = 0;
    for (; n < most_allocations; ++n) {
      Outcome outcome = Outcome::no_failure;
      release_cached_memory();
      const long in_use = blocks_in_use;
      const std::uint64_t reserved = allocator_statistics().reserved_bytes;
      std::thread([&] { outcome = fail_allocation(n, kind, expected); }).join();
      release_cached_memory();
      const long in_use_after = blocks_in_use;  // before Catch allocates
      INFO("kind " << static_cast<int>(kind) << ", allocation " << n);
      CHECK(in_use_after == in_use);
      CHECK(allocator_statistics().reserved_bytes == reserved);
      if (outcome == Outcome::no_failure) break;
      CHECK(outcome == Outcome::fine);
    }
    CHECK(n > 10);
    CHECK(n < most_allocations);
  }
}

TEST_CASE("the same tape goes on after a failed allocation in the forward pass", "[tape][allocation]") {
  const Tensor images = wave({batch, features}, 0.3).to(f32);
  const Tensor labels = Tensor::from<std::int64_t>({2, 0, 1, 2});
  const Net net = make_net();
  const auto loss_of = [&] { return cross_entropy(net(images), labels); };
  const auto norm_of_gradient = [&](Tape& tape) { return tape.gradient(loss_of(), net).norm(); };
  double expected = 0;
  std::thread([&] {
    Tape tape;
    expected = norm_of_gradient(tape);
  }).join();
  bool has_failed = true;
  int n = 0;
  for (; has_failed && n < most_allocations; ++n) {
    release_cached_memory();
    double norm = 0;
    std::string error = "no error";
    std::thread([&] {
      Tape tape;
      try {
        allocations_left = n;
        loss_of();
      } catch (const std::bad_alloc&) {
      }
      has_failed = allocations_left == never;
      allocations_left = never;
      error = error_of([&] { norm = norm_of_gradient(tape); });
    }).join();
    INFO("allocation " << n);
    CHECK(error == "no error");
    CHECK(norm == expected);
  }
  CHECK(n > 5);
}

TEST_CASE("a failed allocation is what the counter says", "[tape][allocation]") {
  std::unique_ptr<int> first;
  std::unique_ptr<int> second;
  bool failed = false;
  allocations_left = 1;
  try {
    first = std::make_unique<int>(1);
    second = std::make_unique<int>(2);
  } catch (const std::bad_alloc&) {
    failed = true;
  }
  CHECK(failed);
  CHECK(first);
  CHECK_FALSE(second);
  CHECK(allocations_left == never);
}

}  // namespace tape_test
