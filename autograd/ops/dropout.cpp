#include "autograd/ops/dropout.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iterator>

#include "autograd/create.h"
#include "autograd/kernels/table.h"
#include "autograd/ops/elements.h"
#include "autograd/ops/pointwise.h"

namespace tapegrad {
namespace {

constexpr double nanoseconds_per_element = 0.5;
constexpr std::int64_t group = kernels::dropout_group;

// What a draw takes from the generator: the last group may be shorter, but has its words too.
std::uint64_t blocks_for(std::int64_t elements) {
  return static_cast<std::uint64_t>((elements + group - 1) / group) * static_cast<std::uint64_t>(group / 4);
}

// Linear in x, and its own transpose: every derivative applies the same mask.
struct Dropout {
  struct Attributes {
    double p;
    random::Generator draw;  // as it was before the draw
  };
  static constexpr const char* name = "dropout";
  static constexpr const char* doc = "0 with probability p, x / (1 - p) otherwise.";
  static constexpr Uses uses = {reads_nothing};
  static constexpr bool is_linear = true;

  static Shape shape(const Inputs& x, const Attributes&) {
    if (!is_floating(x[0].dtype())) x.fail(describe(x[0]) + " holds integers", "convert it with to(f32)");
    return x[0].shape();
  }
  static Tensor forward(const Inputs& x, Attributes& a, const Shape& shape) {
    if (a.p == 1) return zeros(shape, x[0].dtype());
    const Tensor from = detail::contiguous_elements(x[0]);
    Tensor y = Tensor::empty(shape, from.dtype());
    kernels::DropoutArguments d;
    d.x = from.data();
    d.y = y.data();
    d.seed = a.draw.seed();
    d.position = a.draw.position();
    d.stream = a.draw.stream();
    d.threshold = static_cast<std::uint32_t>(std::min(std::round(a.p * 0x1p32), 0x1p32 - 1));
    d.scale = 1 / (1 - a.p);
    const auto kernel = kernels::table().dropout[detail::kernel_index(y.dtype())];
    const std::int64_t groups = (y.size() + group - 1) / group;
    detail::for_ranges(groups, nanoseconds_per_element * group, [&](std::int64_t begin, std::int64_t end) {
      kernels::DropoutArguments part = d;
      part.begin = begin * group;
      part.end = std::min(end * group, y.size());
      kernel(part);
    });
    return y;
  }
  static void vjp(Walk& w, const Attributes& a, const Tensor& g) { w.give(0, apply<Dropout>(a, Arg(g))); }
  static std::vector<Sample<Attributes>> samples() {
    const random::Generator draw(5, 1, 7);
    return {{{detail::sample_values({3, 4})}, {0.5, draw}},
            {{detail::swapped_view(detail::sample_values({7, 11}), 0, 1)}, {0.2, draw}},
            {{detail::sample_values({})}, {0.9, draw}},
            {{detail::sample_values({0, 3})}, {0.5, draw}},
            {{detail::sample_values({5})}, {1, draw}},
            {{detail::sample_values({123, 130})}, {0.1, draw}}};
  }
};

const auto masked = pointwise("channel_dropout", [](auto x, auto mask) { return where(mask > 0, x * mask, 0); });

}  // namespace

Tensor dropout(Arg x, double p, random::Generator* generator) {
  const Tensor& input = detail::defined("dropout", x);
  detail::check_probability("dropout", p, x.at());
  if (p == 0) return input;
  return apply<Dropout>({p, random::reserve(generator, blocks_for(input.size()))}, x);
}

Tensor channel_dropout(Arg x, double p, random::Generator* generator) {
  const Tensor& input = detail::defined("channel_dropout", x);
  detail::check_probability("channel_dropout", p, x.at());
  if (input.ndim() < 3 || !is_floating(input.dtype())) {
    detail::fail_op(
        "channel_dropout",
        "x must be [batch, ..., channels] in floating point, with three axes or more; it is " + describe(input), x.at(),
        "dropout() drops single elements of any tensor");
  }
  if (p == 0) return input;
  // The mask has one element for each sample and channel, so it may as well be kept.
  Shape one_each = input.shape();
  for (int axis = 1; axis < one_each.ndim() - 1; ++axis) one_each[axis] = 1;
  return masked(x, dropout(Arg(ones(one_each, input.dtype()), x.at()), p, generator));
}

namespace detail {

void check_probability(const char* who, double p, SourceLocation at) {
  if (p >= 0 && p <= 1) return;
  char text[80];
  std::snprintf(text, sizeof text, "the probability p must be in [0, 1], it is %g", p);
  fail_op(who, text, at);
}

namespace {

std::vector<OpDescription> composites() {
  using Tensors = std::vector<Tensor>;
  const auto drop = [](double p) {
    return [p](const Tensors& in) {
      random::Generator generator(5);
      return channel_dropout(in[0], p, &generator);
    };
  };
  return describe_composites({{"channel_dropout",
                               "Dropout of whole channels: one draw for each sample and channel.",
                               "x * dropout(1)",
                               {{{sample_values({3, 4, 5})}, drop(0.5)},
                                {{sample_values({2, 3, 2, 7})}, drop(0.3)},
                                {{sample_values({2, 2, 3})}, drop(1)},
                                {{sample_values({4, 9, 10, 30})}, drop(0.5)}}}});
}

}  // namespace

std::vector<OpDescription> dropout_ops() {
  std::vector<OpDescription> all = describe_ops<Dropout>();
  std::ranges::move(composites(), std::back_inserter(all));
  return all;
}

}  // namespace detail
}  // namespace tapegrad
