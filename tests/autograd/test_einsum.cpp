// einsum against loops over every index, what it costs on the tape, and what a bad specification says.
#include "autograd/ops/einsum.h"

#include <map>

#include "autograd/ops/matmul.h"
#include "tests/autograd/op_support.h"

using namespace op_test;

namespace {

// The sum over all values of all letters, one product at a time.
Tensor looped(const std::string& left, const std::string& right, const std::string& result, const Tensor& a,
              const Tensor& b) {
  std::map<char, std::int64_t> size;
  for (std::size_t k = 0; k < left.size(); ++k) size[left[k]] = a.shape(static_cast<int>(k));
  for (std::size_t k = 0; k < right.size(); ++k) size[right[k]] = b.shape(static_cast<int>(k));
  std::int64_t count = 1;
  for (const auto& [letter, n] : size) count *= n;
  Shape shape;
  for (char letter : result) shape.append(size[letter]);
  Tensor y = zeros(shape, f64);
  const Tensor x[] = {a.clone(), b.clone()};
  for (std::int64_t position = 0; position < count; ++position) {
    std::map<char, std::int64_t> index;
    std::int64_t rest = position;
    for (const auto& [letter, n] : size) {
      index[letter] = rest % n;
      rest /= n;
    }
    const auto offset = [&](const std::string& letters) {
      std::int64_t at = 0;
      for (char letter : letters) at = at * size[letter] + index[letter];
      return static_cast<std::size_t>(at);
    };
    y.span<double>()[offset(result)] +=
        x[0].span<const double>()[offset(left)] * x[1].span<const double>()[offset(right)];
  }
  return y;
}

}  // namespace

TEST_CASE("einsum agrees with loops over every index") {
  const std::map<char, std::int64_t> size = {{'i', 2}, {'j', 3}, {'k', 4}, {'l', 1}, {'b', 5}};
  const auto operand = [&](const std::string& letters, std::uint64_t seed) {
    Shape shape;
    for (char letter : letters) shape.append(size.at(letter));
    return irregular(shape, seed);
  };
  const std::tuple<std::string, std::string, std::string> cases[] = {
      {"ij", "jk", "ik"},    {"ij", "jk", "ki"},      {"ji", "kj", "ik"},    {"bij", "bjk", "bik"},
      {"bij", "bjk", "kbi"}, {"bij", "bij", "b"},     {"bij", "bij", ""},    {"bij", "bij", "jib"},
      {"i", "j", "ij"},      {"i", "j", "ji"},        {"i", "j", ""},        {"i", "j", "j"},
      {"ii", "ij", "j"},     {"ii", "jj", "ij"},      {"iii", "i", "i"},     {"ijji", "jk", "ik"},
      {"iijj", "ji", ""},    {"ijk", "", "kij"},      {"", "", ""},          {"", "ijk", "k"},
      {"ijk", "kji", "j"},   {"ijkb", "lkj", "bil"},  {"bikj", "jki", "ib"}, {"ijl", "klj", "ik"},
      {"ib", "jk", "ik"},    {"bkij", "kblj", "lbi"}, {"ik", "jk", "ij"},    {"ijb", "ibk", "ijk"}};
  for (const auto& [left, right, result] : cases) {
    const std::string specification = left + "," + right + "->" + result;
    CAPTURE(specification);
    const Tensor a = operand(left, 1);
    const Tensor b = operand(right, 2);
    const Tensor expected = looped(left, right, result, a, b);
    CHECK(is_close(einsum(specification, a, b), expected));
    CHECK(is_close(einsum(specification, a.to(f32), b.to(f32)), expected.to(f32), 1e-5));
    if (a.ndim() < 2) continue;
    CHECK(is_close(einsum(specification, transpose(contiguous(transpose(a))), b), expected));
  }
  CHECK(is_close(einsum(" i j , j k -> k i ", operand("ij", 1), operand("jk", 2)),
                 einsum("ij,jk->ki", operand("ij", 1), operand("jk", 2))));
  CHECK(einsum("ij,jk->ik", zeros({2, 0}), zeros({0, 3})).shape() == Shape{2, 3});
  CHECK(einsum("Aa,aB->AB", ones({2, 3}), ones({3, 4})).shape() == Shape{2, 4});
  CHECK(is_close(einsum("i,->i", operand("i", 1), 2), 2 * operand("i", 1)));
}

TEST_CASE("a matrix product in einsum costs one matmul, and its entries carry the caller's line") {
  Tensor a = irregular({2, 3, 4});
  const Tensor b = irregular({2, 4, 5});
  Tape tape;
  tape.watch(a);
  const std::size_t before = tape.size();
  einsum("bij,bjk->bik", a, b);
  CHECK(tape.size() == before + 1);
  const auto line = static_cast<unsigned>(__LINE__) + 1;
  einsum("bij,bjk->ki", a, b);
  for (auto i = static_cast<std::uint32_t>(before + 2); i < detail::record.size; ++i) {
    CHECK(detail::record.entries[i].at.line() == line);
  }
}

TEST_CASE("einsum says what it cannot read") {
  const Tensor a = zeros({2, 3});
  const Tensor b = zeros({3, 4});
  const std::string grammar = "; write it as \"ij,jk->ik\": letters for the axes of both operands and of the result";
  CHECK(error_of([&] { einsum("ij,jk", a, b); }) ==
        "einsum: \"ij,jk\": there is no \"->\" with the axes of the result, at here" + grammar);
  CHECK(error_of([&] { einsum("ij->ij", a, b); }) ==
        "einsum: \"ij->ij\": there are 0 commas before \"->\", not 1, at here" + grammar);
  CHECK(error_of([&] { einsum("ij,jk,kl->il", a, b); }) ==
        "einsum: \"ij,jk,kl->il\": there are 2 commas before \"->\", not 1, at here" + grammar);
  CHECK(error_of([&] { einsum("i1,jk->ik", a, b); }) ==
        "einsum: \"i1,jk->ik\": '1' is not a letter, at here" + grammar);
  CHECK(error_of([&] { einsum("ij,jk->i,k", a, b); }) ==
        "einsum: \"ij,jk->i,k\": ',' is not a letter, at here" + grammar);
  CHECK(error_of([&] { einsum("...ij,jk->ik", a, b); }) ==
        "einsum: \"...ij,jk->ik\": an ellipsis is not supported, at here; give every axis a letter");
  CHECK(error_of([&] { einsum("ij,jk->ii", a, b); }) == "einsum: \"ij,jk->ii\": 'i' is twice in the result, at here");
  CHECK(error_of([&] { einsum("ij,jk->im", a, b); }) ==
        "einsum: \"ij,jk->im\": 'm' of the result is in neither operand, at here");
  CHECK(error_of([&] { einsum("abcdefghi,a->a", a, b); }) == "einsum: \"abcdefghi,a->a\": more than 8 axes, at here");
}

TEST_CASE("einsum says which operand does not fit") {
  const Tensor a = zeros({2, 3});
  const Tensor b = zeros({3, 4});
  CHECK(error_of([&] { einsum("ijk,jk->ik", a, b); }) ==
        "einsum: \"ijk,jk->ik\": the first operand f32[2, 3] has 2 axes, not 3, at here");
  CHECK(error_of([&] { einsum("ij,j->i", a, b); }) ==
        "einsum: \"ij,j->i\": the second operand f32[3, 4] has 2 axes, not 1, at here");
  CHECK(error_of([&] { einsum("ij,kj->ik", a, b); }) ==
        "einsum: \"ij,kj->ik\": axis 'j' has sizes 3 and 4 in f32[2, 3] and f32[3, 4], at here");
  CHECK(error_of([&] { einsum("ii,jk->jk", a, b); }) ==
        "einsum: \"ii,jk->jk\": axis 'i' has sizes 2 and 3 in f32[2, 3] and f32[3, 4], at here");
  CHECK(error_of([&] { einsum("ij,kk->ik", a, b); }) ==
        "einsum: \"ij,kk->ik\": axis 'k' has sizes 3 and 4 in f32[2, 3] and f32[3, 4], at here");
  CHECK(error_of([&] { einsum("ij,jk->ik", a, b.to(i64)); }) ==
        "einsum: \"ij,jk->ik\": the second operand is i64[3, 4], at here; convert it with to(f32)");
  CHECK(error_of([&] { einsum("ij,jk->ik", Tensor(), b); }) ==
        "einsum: \"ij,jk->ik\": the first operand is an empty handle, at here");
  CHECK(error_of([&] { einsum("ijkl,mnop->ijklmnop", zeros({1, 1, 1, 1}), zeros({1, 1, 1, 1})); }) == "no error");
  CHECK(error_of([&] { einsum("ijkl,mnopq->ijklmnop", zeros({1, 1, 1, 1}), zeros({1, 1, 1, 1, 1})); }) == "no error");
}

TEST_CASE("gradients of einsum agree with differences") { check_samples(detail::einsum_ops()); }
