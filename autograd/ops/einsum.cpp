#include "autograd/ops/einsum.h"

#include <algorithm>
#include <cctype>

#include "autograd/ops/elements.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"

namespace tapegrad {
namespace {

// At most as many letters as a tensor has axes: "bij" in "bij,bjk->bik". It lives without allocation.
class Letters {
 public:
  int size() const { return size_; }
  char operator[](int k) const { return letter_[static_cast<std::size_t>(k)]; }
  const char* begin() const { return letter_.data(); }
  const char* end() const { return letter_.data() + size_; }
  bool is_full() const { return size_ == max_rank; }
  void append(char letter) { letter_[static_cast<std::size_t>(size_++)] = letter; }
  void append(const Letters& others) {
    for (char letter : others) append(letter);
  }
  /// -1: it is not among them.
  int find(char letter) const {
    const char* const found = std::find(begin(), end(), letter);
    return found == end() ? -1 : static_cast<int>(found - begin());
  }
  bool has(char letter) const { return find(letter) >= 0; }
  void erase(int k) {
    std::copy(begin() + k + 1, end(), letter_.begin() + k);
    --size_;
  }

 private:
  std::array<char, max_rank> letter_{};
  int size_ = 0;
};

struct Specification {
  std::string_view text;
  SourceLocation at;
  Letters a, b, result;

  [[noreturn]] void fail(const std::string& what, const std::string& hint = {}) const {
    detail::fail_op("einsum", "\"" + std::string(text) + "\": " + what, at, hint);
  }
};

// ---- reading ----

constexpr const char* grammar = "write it as \"ij,jk->ik\": letters for the axes of both operands and of the result";

Letters read_letters(const Specification& s, std::string_view part) {
  Letters letters;
  for (char c : part) {
    if (c == ' ') continue;
    if (c == '.') s.fail("an ellipsis is not supported", "give every axis a letter");
    if (!std::isalpha(static_cast<unsigned char>(c))) s.fail(std::string("'") + c + "' is not a letter", grammar);
    if (letters.is_full()) s.fail("more than " + std::to_string(max_rank) + " axes");
    letters.append(c);
  }
  return letters;
}

Specification read(std::string_view text, SourceLocation at) {
  Specification s{text, at, {}, {}, {}};
  const std::size_t arrow = text.find("->");
  if (arrow == std::string_view::npos) s.fail("there is no \"->\" with the axes of the result", grammar);
  const std::string_view operands = text.substr(0, arrow);
  const auto commas = std::count(operands.begin(), operands.end(), ',');
  if (commas != 1) s.fail("there are " + std::to_string(commas) + " commas before \"->\", not 1", grammar);
  const std::size_t comma = operands.find(',');
  s.a = read_letters(s, operands.substr(0, comma));
  s.b = read_letters(s, operands.substr(comma + 1));
  s.result = read_letters(s, text.substr(arrow + 2));
  for (int k = 0; k < s.result.size(); ++k) {
    const char letter = s.result[k];
    if (s.result.find(letter) != k) s.fail(std::string("'") + letter + "' is twice in the result");
    if (!s.a.has(letter) && !s.b.has(letter)) {
      s.fail(std::string("'") + letter + "' of the result is in neither operand");
    }
  }
  return s;
}

// ---- one operand ----

// An operand and the letters of its axes.
struct Operand {
  Tensor x;
  Letters letters;

  std::int64_t size_of(char letter) const { return x.block()->shape[letters.find(letter)]; }
};

void check_operand(const Specification& s, const Tensor& x, const Letters& letters, const char* which) {
  if (!x.defined()) s.fail(std::string("the ") + which + " operand is an empty handle");
  if (!is_floating(x.dtype()))
    s.fail(std::string("the ") + which + " operand is " + describe(x), "convert it with to(f32)");
  if (x.ndim() == letters.size()) return;
  s.fail(std::string("the ") + which + " operand " + describe(x) + " has " + std::to_string(x.ndim()) + " axes, not " +
         std::to_string(letters.size()));
}

// Every letter has one size, in both operands.
void check_sizes(const Specification& s, const Tensor& a, const Tensor& b) {
  const auto check = [&](char letter, std::int64_t size, std::int64_t other) {
    if (size == other) return;
    s.fail(std::string("axis '") + letter + "' has sizes " + std::to_string(other) + " and " + std::to_string(size) +
           " in " + describe(a) + " and " + describe(b));
  };
  for (int k = 0; k < s.a.size(); ++k) check(s.a[k], a.block()->shape[k], a.block()->shape[s.a.find(s.a[k])]);
  for (int k = 0; k < s.b.size(); ++k) {
    const bool in_a = s.a.has(s.b[k]);
    check(s.b[k], b.block()->shape[k], in_a ? a.block()->shape[s.a.find(s.b[k])] : b.block()->shape[s.b.find(s.b[k])]);
  }
}

// The axes in another order: `order` names each letter once.
Operand permuted(const Operand& from, const Letters& order) {
  std::array<int, max_rank> axes{};
  bool is_same = true;
  for (int k = 0; k < order.size(); ++k) {
    axes[static_cast<std::size_t>(k)] = from.letters.find(order[k]);
    is_same &= axes[static_cast<std::size_t>(k)] == k;
  }
  if (is_same) return from;
  return {permute(from.x, std::span<const int>(axes).first(static_cast<std::size_t>(order.size()))), order};
}

// Where a letter comes twice, the elements with equal positions along both axes: of [..., n, n] as [..., n * n], every
// (n + 1)-th.
Operand diagonals(Operand from) {
  for (int second = 1; second < from.letters.size(); ++second) {
    const char letter = from.letters[second];
    const int first = from.letters.find(letter);
    if (first == second) continue;
    std::array<int, max_rank> order{};
    std::size_t count = 0;
    for (int k = 0; k < from.letters.size(); ++k) {
      if (k != first && k != second) order[count++] = k;
    }
    order[count++] = first;
    order[count++] = second;
    Shape shape = permute(from.x, std::span<const int>(order).first(count)).shape();
    const std::int64_t n = shape.back();
    Shape merged(std::span<const std::int64_t>(shape.begin(), count - 2));
    merged.append(n * n);
    from.x = reshape(permute(from.x, std::span<const int>(order).first(count)), merged).slice(-1, 0, n * n, n + 1);
    from.letters.erase(second);
    from.letters.erase(first);
    from.letters.append(letter);
    second = 0;  // positions changed: begin anew
  }
  return from;
}

// Sums over the axes that neither the other operand nor the result has.
Operand without_own_sums(Operand from, const Letters& other, const Letters& result) {
  for (int k = from.letters.size() - 1; k >= 0; --k) {
    if (other.has(from.letters[k]) || result.has(from.letters[k])) continue;
    from.x = sum(from.x, {.axis = k});
    from.letters.erase(k);
  }
  return from;
}

// ---- both ----

// The letters of both operands by their part in the product.
struct Parts {
  Letters batch, left, right, summed;

  Parts(const Letters& a, const Letters& b, const Letters& result) {
    for (char letter : a) (!b.has(letter) ? left : result.has(letter) ? batch : summed).append(letter);
    for (char letter : b) {
      if (!a.has(letter)) right.append(letter);
    }
  }
};

std::int64_t size_of(const Operand& x, const Letters& letters) {
  std::int64_t size = 1;
  for (char letter : letters) size *= x.size_of(letter);
  return size;
}

// The operand with the axes [batch..., rows, columns], both joined from the letters' axes.
Tensor as_matrices(const Operand& from, const Letters& batch, const Letters& rows, const Letters& columns) {
  Letters order = batch;
  order.append(rows);
  order.append(columns);
  Shape shape;
  for (char letter : batch) shape.append(from.size_of(letter));
  shape.append(size_of(from, rows));
  shape.append(size_of(from, columns));
  const Operand arranged = permuted(from, order);
  return arranged.x.shape() == shape ? arranged.x : reshape(arranged.x, shape);
}

// The batched matrix product, with its axes cut again.
Operand matrix_product(const Operand& a, const Operand& b, const Parts& parts) {
  const Tensor product = matmul(as_matrices(a, parts.batch, parts.left, parts.summed),
                                as_matrices(b, parts.batch, parts.summed, parts.right));
  Operand result{product, parts.batch};
  Shape shape;
  for (char letter : parts.batch) shape.append(a.size_of(letter));
  for (char letter : parts.left) shape.append(a.size_of(letter));
  for (char letter : parts.right) shape.append(b.size_of(letter));
  if (!(product.shape() == shape)) result.x = reshape(product, shape);
  result.letters.append(parts.left);
  result.letters.append(parts.right);
  return result;
}

// The product without a sum: both operands with the axes of the result, of size 1 where they have none.
Tensor broadcast_product(const Operand& a, const Operand& b, const Letters& result) {
  const auto arranged = [&](const Operand& from) {
    Letters order;
    Shape shape;
    for (char letter : result) {
      if (from.letters.has(letter)) order.append(letter);
      shape.append(from.letters.has(letter) ? from.size_of(letter) : 1);
    }
    return reshape(permuted(from, order).x, shape);
  };
  return arranged(a) * arranged(b);
}

}  // namespace

Tensor einsum(std::string_view specification, Arg a, Arg b) {
  const detail::LayerScope scope(detail::record.layer, a.at());  // what follows carries the caller's line
  const Specification s = read(specification, a.at());
  const DType number_type = detail::number_type({&a, &b});
  const Tensor& first = a.tensor(number_type);
  const Tensor& second = b.tensor(number_type);
  check_operand(s, first, s.a, "first");
  check_operand(s, second, s.b, "second");
  check_sizes(s, first, second);
  const Operand left = without_own_sums(diagonals({first, s.a}), s.b, s.result);
  const Operand right = without_own_sums(diagonals({second, s.b}), s.a, s.result);
  const Parts parts(left.letters, right.letters, s.result);
  if (parts.summed.size() == 0) return broadcast_product(left, right, s.result);
  return permuted(matrix_product(left, right, parts), s.result).x;
}

namespace detail {

std::vector<OpDescription> einsum_ops() {
  std::vector<OpSample> samples;
  const auto add = [&](const char* specification, const Shape& a, const Shape& b) {
    samples.push_back({{sample_values(a, 1), sample_values(b, 2)},
                       [specification](const std::vector<Tensor>& in) { return einsum(specification, in[0], in[1]); }});
  };
  add("ij,jk->ik", {3, 4}, {4, 2});
  add("bij,bjk->bik", {2, 3, 4}, {2, 4, 2});
  add("bqhd,bkhd->bhqk", {2, 3, 2, 4}, {2, 2, 2, 4});
  add("ij,ij->", {3, 4}, {3, 4});
  add("i,j->ji", {3}, {4});
  add("ij,ij->ij", {3, 4}, {3, 4});
  add("ii,i->i", {3, 3}, {3});
  add("iji,jk->k", {2, 3, 2}, {3, 2});
  add("ijij,ji->j", {2, 3, 2, 3}, {3, 2});
  add("ik,j->j", {3, 2}, {4});
  add("abc,cbd->da", {2, 3, 2}, {2, 3, 4});
  add(",i->i", {}, {4});
  add("ij,jk->ik", {3, 0}, {0, 2});
  add("bij,bjk->bik", {20, 24, 24}, {20, 24, 24});
  return describe_composites(
      {{"einsum", "Products of two tensors' elements, summed over the axes that the result does not name.",
        "\"ij,jk->ik\": y[i, k] = sum over j of a[i, j] b[j, k]", std::move(samples)}});
}

}  // namespace detail
}  // namespace tapegrad
