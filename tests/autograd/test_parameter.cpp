// Identity of parameters under copies, assignments and moves; buffers; names.
#include <atomic>
#include <chrono>
#include <thread>
#include <type_traits>
#include <vector>

#include "autograd/create.h"
#include "autograd/ops/index.h"
#include "autograd/reflect.h"
#include "tests/catch.h"
#include "tests/error_of.h"

using namespace tapegrad;
using tapegrad::tests::error_of;

static_assert(std::is_nothrow_move_constructible_v<Parameter> && std::is_nothrow_move_assignable_v<Parameter>);
static_assert(std::is_nothrow_move_constructible_v<Buffer> && std::is_nothrow_move_assignable_v<Buffer>);

namespace {

const detail::Block* identity(const Parameter& p) { return p.value().block(); }

std::vector<float> values(const Tensor& x) {
  const auto elements = x.span<const float>();
  return {elements.begin(), elements.end()};
}

}  // namespace

TEST_CASE("a parameter is a leaf and takes over a tensor that nobody else holds") {
  Tensor x = Tensor::from({1.0f, 2.0f});
  const detail::Block* const block = x.block();
  const Parameter adopted(std::move(x));
  CHECK(identity(adopted) == block);
  CHECK((identity(adopted)->flags & detail::leaf_flag) != 0);

  const Tensor shared = Tensor::from({1.0f, 2.0f});
  const Parameter copied{Tensor(shared)};
  CHECK(identity(copied) != shared.block());
  CHECK((shared.block()->flags & detail::leaf_flag) == 0);
  CHECK(values(copied) == values(shared));
}

TEST_CASE("copy construction of a parameter makes a new identity with equal values") {
  const Parameter a(Tensor::from({1.0f, 2.0f}));
  Parameter b = a;
  CHECK(identity(b) != identity(a));
  CHECK((identity(b)->flags & detail::leaf_flag) != 0);
  CHECK(values(b) == values(a));
  b.assign(Tensor::from({3.0f, 4.0f}));
  CHECK(values(a) == std::vector<float>{1, 2});
}

TEST_CASE("copy assignment of a parameter keeps the destination's identity and counts as a mutation") {
  const Parameter source(Tensor::from({3.0f, 4.0f}));
  Parameter p(Tensor::from({1.0f, 2.0f}));
  const detail::Block* const block = identity(p);
  const std::uint32_t version = block->version;
  const void* const elements = p.value().data();
  p = source;
  CHECK(identity(p) == block);
  CHECK(p.value().data() == elements);
  CHECK(values(p) == std::vector<float>{3, 4});
  CHECK(block->version == version + 1);
  CHECK(std::string(block->changed_by) == "Parameter::operator=");
  CHECK(identity(source) != block);

  const Parameter& same = p;
  p = same;
  CHECK(block->version == version + 1);
}

TEST_CASE("copy assignment to and from an empty parameter") {
  const Parameter source(Tensor::from({3.0f, 4.0f}));
  Parameter p;
  p = source;
  CHECK(values(p) == std::vector<float>{3, 4});
  CHECK(identity(p) != identity(source));
  p = Parameter();
  CHECK_FALSE(p.defined());
  const Parameter empty;
  Parameter q(Tensor::from({1.0f}));
  q = empty;
  CHECK_FALSE(q.defined());
}

TEST_CASE("moves of a parameter carry its identity") {
  Parameter a(Tensor::from({1.0f, 2.0f}));
  const detail::Block* const block = identity(a);
  Parameter b = std::move(a);
  CHECK(identity(b) == block);
  Parameter c(Tensor::from({3.0f}));
  c = std::move(b);
  CHECK(identity(c) == block);
}

TEST_CASE("a self-assignment through a view of the parameter works") {
  Parameter p(Tensor::from({1.0f, 2.0f, 3.0f}));
  p.assign(p.value().slice(0, 2, -4, -1));
  CHECK(values(p) == std::vector<float>{3, 2, 1});
}

TEST_CASE("errors of parameters name both shapes and the line") {
  Parameter p(zeros({2, 3}));
  CHECK(error_of([&] {
          p.assign(zeros({3, 2}));
        }) == "Parameter::assign: f32[2, 3] cannot take the values of f32[3, 2], at here");
  CHECK(error_of([&] {
          p.assign(zeros({2, 3}, f64));
        }) == "Parameter::assign: f32[2, 3] cannot take the values of f64[2, 3], at here");
  CHECK(error_of([&] { p.assign(Tensor()); }) == "Parameter::assign: the new values are an empty tensor, at here");
  const Parameter other(zeros({4}));
  CHECK(error_of([&] { p = other; }) == "Parameter::operator=: f32[2, 3] cannot take the values of f32[4]");
  CHECK(error_of([] { Parameter(zeros({2}, i64)); }) ==
        "Parameter: i64[2] cannot be trained, at here; convert it with .to(f32)");
  const Parameter empty;
  CHECK(error_of([&] { (void)Arg(empty); }) ==
        "a parameter without values was used, at here; it was default-constructed, or its values were moved to another "
        "parameter");
}

TEST_CASE("a buffer is updated through const, copied deep, and can be exchanged") {
  const Buffer a(Tensor::from({1.0f, 2.0f}));
  const Buffer b = a;
  a.assign(Tensor::from({3.0f, 4.0f}));
  CHECK(values(a) == std::vector<float>{3, 4});
  CHECK(values(b) == std::vector<float>{1, 2});
  const Tensor old = b.exchange(Tensor::from({5.0f}));
  CHECK(values(old) == std::vector<float>{1, 2});
  CHECK(values(b) == std::vector<float>{5});
  CHECK(error_of([&] { a.assign(zeros({3})); }) == "Buffer::assign: f32[2] cannot take the values of f32[3], at here");
}

TEST_CASE("equal paths have equal names, also when many threads ask for many") {
  std::vector<std::vector<std::uint32_t>> numbers(4);
  std::vector<std::thread> threads;
  for (auto& mine : numbers) {
    threads.emplace_back([&mine] {
      for (int k = 0; k < 1000; ++k) mine.push_back(detail::intern("thread_test." + std::to_string(k)));
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& mine : numbers) CHECK(mine == numbers[0]);
  for (std::size_t k = 0; k < 1000; ++k) {
    if (detail::interned(numbers[0][k]) != "thread_test." + std::to_string(k)) FAIL("name " << k << " is another");
  }
  CHECK(detail::intern("") == 0);
  CHECK(detail::interned(0).empty());
}

TEST_CASE("the nearest name is found, and none when nothing is similar") {
  const std::vector<std::string> names = {"hidden.weight", "hidden.bias", "out.weight"};
  CHECK(detail::nearest_name("hiden.weight", names) == "hidden.weight");
  CHECK(detail::nearest_name("hidden.bais", names) == "hidden.bias");
  CHECK(detail::nearest_name("zzzzzz", names).empty());
}

TEST_CASE("two threads that train one model with buffers: an error", "[threads]") {
  const Buffer statistics(zeros({1 << 20}));  // large enough for two updates to meet
  const Tensor batch = full({1 << 20}, 1.0f);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  std::atomic<bool> is_over{false};
  const auto train = [&](std::string& message) {
    while (!is_over && std::chrono::steady_clock::now() < end) {
      message = error_of([&] { statistics.assign(batch); });
      if (message != "no error") is_over = true;
    }
  };
  std::string first, second;
  std::thread other([&] { train(second); });
  train(first);
  other.join();
  const std::string expected =
      "Buffer::assign: two threads update the running statistics of one model, at here; copy the model per thread";
  const bool is_reported = first == expected || second == expected;
  CHECK(is_reported);
  statistics.assign(zeros({1 << 20}));  // it can be written again
  CHECK(values(statistics) == std::vector<float>(1 << 20, 0.0f));
}
