#include "autograd/ops/pad.h"

#include <cmath>
#include <cstdio>

#include "autograd/create.h"
#include "autograd/ops/elements.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"

namespace tapegrad {
namespace {

// ---- a constant ----

struct PadAttributes {
  std::array<PadWidth, max_rank> widths{};
  double value = 0;
};

struct Pad {
  static constexpr const char* name = "pad";
  static constexpr const char* doc = "Surrounded by a constant.";
  using Attributes = PadAttributes;
  static constexpr Uses uses = {};
  static Shape shape(const Inputs& x, const Attributes& a) {
    Shape shape;
    for (int k = 0; k < x[0].ndim(); ++k) {
      shape.append(x[0].block()->shape[k] + width(a, k).before + width(a, k).after, x.at());
    }
    return shape;
  }
  static Tensor forward(const Inputs& x, Attributes& a, const Shape& shape) {
    Tensor y = full(shape, a.value, x[0].dtype(), x.at());
    Tensor inside = y;
    for (int k = 0; k < shape.ndim(); ++k) {
      inside = detail::sliced_view(inside, k, width(a, k).before, x[0].block()->shape[k], 1);
    }
    detail::copy_elements(x[0], inside);
    return y;
  }
  static void vjp(Walk& w, const Attributes& a, const Tensor& g) {
    Tensor inside = g;
    for (int k = 0; k < g.ndim(); ++k) {
      const std::int64_t before = width(a, k).before;
      const std::int64_t after = width(a, k).after;
      if (before || after) inside = inside.slice(k, before, g.block()->shape[k] - after);
    }
    w.give(0, inside);
  }
  static void jvp(Tangents& t, const Attributes& a) { t.give(apply<Pad>({a.widths, 0}, Arg(t[0]))); }
  static std::vector<Sample<Attributes>> samples() {
    const Tensor x = detail::sample_values({3, 4});
    return {{{x}, {{{{1, 2}, {0, 1}}}, 0}},
            {{x}, {{{{0, 0}, {2, 0}}}, -1.5}},
            {{detail::swapped_view(x, 0, 1)}, {{{{1, 0}, {0, 2}}}, 2}},
            {{detail::sample_values({})}, {}},
            {{detail::sample_values({0, 2})}, {{{{1, 2}, {1, 0}}}, 3}},
            {{detail::sample_values({2, 1, 3})}, {{{{0, 0}, {2, 2}, {1, 1}}}, 0}},
            {{detail::sample_values({90, 170})}, {{{{1, 1}, {2, 2}}}, 0}}};
  }

 private:
  static const PadWidth& width(const Attributes& a, int axis) { return a.widths[static_cast<std::size_t>(axis)]; }
};

// ---- elements of x ----

// Around one axis, so that the corners follow from padding one axis after the other.
Tensor reflect_axis(const Tensor& x, int axis, PadWidth width, SourceLocation at) {
  const std::int64_t n = x.block()->shape[axis];
  const Tensor before = x.slice(axis, width.before, 0, -1, at);
  const Tensor after = x.slice(axis, n - 2, n - 2 - width.after - n, -1, at);
  return concat({before, x, width.after ? after : x.slice(axis, 0, 0, 1, at)}, axis, at);
}

Tensor replicate_axis(const Tensor& x, int axis, PadWidth width, SourceLocation at) {
  const std::int64_t n = x.block()->shape[axis];
  const auto times = [&](std::int64_t position, std::int64_t count) {
    Shape shape = x.shape();
    shape[axis] = count;
    return expand(Arg(x.slice(axis, position, position + 1, 1, at), at), shape);
  };
  return concat({times(0, width.before), x, times(n - 1, width.after)}, axis, at);
}

void check_widths(const Inputs& x, std::span<const PadWidth> widths, PadMode mode) {
  if (static_cast<int>(widths.size()) != x[0].ndim()) {
    x.fail(std::to_string(widths.size()) + " widths for " + describe(x[0]), "one {before, after} for each axis");
  }
  for (std::size_t k = 0; k < widths.size(); ++k) {
    const std::int64_t before = widths[k].before;
    const std::int64_t after = widths[k].after;
    const std::int64_t n = x[0].block()->shape[k];
    const auto where = [&] { return "axis " + std::to_string(k) + " of " + describe(x[0]); };
    const auto width = [&] { return "{" + std::to_string(before) + ", " + std::to_string(after) + "}"; };
    if (before < 0 || after < 0) x.fail("the width " + width() + " of " + where() + " is negative", "cut with slice()");
    constexpr std::int64_t most = std::int64_t{1} << 40;
    if (before > most || after > most) x.fail("the width " + width() + " of " + where() + " is too large");
    if (mode == PadMode::constant || (before == 0 && after == 0)) continue;
    if (n == 0) x.fail(where() + " has no elements to repeat");
    if (mode == PadMode::reflect && std::max(before, after) >= n) {
      x.fail(where() + " cannot be reflected by " + width(),
             "at most " + std::to_string(n - 1) + " elements on each side");
    }
  }
}

void check_value(const Inputs& x, double value) {
  const DType type = x[0].dtype();
  if (is_floating(type)) return;
  const double low = type == boolean ? 0 : type == i32 ? -0x1p31 : -0x1p63;
  const double high = type == boolean ? 1 : type == i32 ? 0x1p31 - 1 : 0x1p63 - 1024;
  if (value >= low && value <= high && value == std::floor(value)) return;
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  x.fail(describe(x[0]) + " cannot hold the value " + text);
}

}  // namespace

Tensor pad(Arg x, std::span<const PadWidth> widths, const PadOptions& options) {
  const Tensor& from = detail::defined("pad", x);
  const Tensor* const input = &from;
  const Inputs inputs("pad", &input, 1, x.at());
  check_widths(inputs, widths, options.mode);
  if (options.mode == PadMode::constant) {
    check_value(inputs, options.value);
    PadAttributes a{{}, options.value};
    std::copy(widths.begin(), widths.end(), a.widths.begin());
    return apply<Pad>(a, x);
  }
  Tensor y = from;
  for (std::size_t k = 0; k < widths.size(); ++k) {
    if (widths[k].before == 0 && widths[k].after == 0) continue;
    const auto pad_axis = options.mode == PadMode::reflect ? &reflect_axis : &replicate_axis;
    y = pad_axis(y, static_cast<int>(k), widths[k], x.at());
  }
  return y;
}

Tensor pad(Arg x, std::initializer_list<PadWidth> widths, const PadOptions& options) {
  return pad(x, std::span<const PadWidth>(widths.begin(), widths.size()), options);
}

namespace detail {

std::vector<OpDescription> pad_ops() {
  using Tensors = std::vector<Tensor>;
  const Tensor x = sample_values({3, 4});
  const Tensor large = sample_values({90, 170});
  std::vector<OpDescription> all = describe_ops<Pad>();
  for (OpDescription& op :
       describe_composites({{"pad_reflect",
                             "pad(x, widths, {.mode = PadMode::reflect}): surrounded by its mirror image.",
                             "",
                             {{{x},
                               [](const Tensors& in) {
                                 return pad(in[0], {{2, 1}, {0, 3}}, {.mode = PadMode::reflect});
                               }},
                              {{x},
                               [](const Tensors& in) {
                                 return pad(in[0], {{0, 0}, {1, 0}}, {.mode = PadMode::reflect});
                               }},
                              {{large},
                               [](const Tensors& in) {
                                 return pad(in[0], {{1, 1}, {3, 3}}, {.mode = PadMode::reflect});
                               }}}},
                            {"pad_replicate",
                             "pad(x, widths, {.mode = PadMode::replicate}): surrounded by its border.",
                             "",
                             {{{x},
                               [](const Tensors& in) {
                                 return pad(in[0], {{2, 1}, {0, 5}}, {.mode = PadMode::replicate});
                               }},
                              {{sample_values({1, 2})},
                               [](const Tensors& in) {
                                 return pad(in[0], {{2, 1}, {1, 0}}, {.mode = PadMode::replicate});
                               }},
                              {{large}, [](const Tensors& in) {
                                 return pad(in[0], {{1, 1}, {3, 3}}, {.mode = PadMode::replicate});
                               }}}}})) {
    all.push_back(std::move(op));
  }
  return all;
}

}  // namespace detail
}  // namespace tapegrad
