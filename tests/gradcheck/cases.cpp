// The inputs on which the wall runs an op: its samples, the same values in other memory layouts, and for pointwise ops
// every way to broadcast.
#include <algorithm>
#include <string_view>

#include "autograd/ops/elements.h"
#include "autograd/ops/shape.h"
#include "tests/gradcheck/wall.h"

namespace tapegrad::tests {
namespace {

std::string shapes_of(const std::vector<Tensor>& inputs) {
  std::string text;
  for (const Tensor& x : inputs) text += (text.empty() ? "" : " ") + describe(x);
  return text;
}

// The same values, with the last two axes in the other order in memory.
Tensor transposed_layout(const Tensor& x) {
  const int n = x.ndim();
  return n < 2 ? x : detail::swapped_view(detail::swapped_view(x, n - 2, n - 1).clone(), n - 2, n - 1);
}

// The same values, as every second element of a longer last axis, from its end to its start.
Tensor sliced_layout(const Tensor& x) {
  if (x.ndim() == 0 || x.size() == 0) return x;
  const int last = x.ndim() - 1;
  Shape twice = x.shape();
  twice[last] *= 2;
  const Tensor memory = Tensor::empty(twice, x.dtype());
  detail::copy_elements(detail::sliced_view(memory, last, 0, twice[last], 1), memory);
  const Tensor view = detail::sliced_view(memory, last, twice[last] - 1, x.shape(-1), -2);
  detail::copy_elements(x, view);
  return view;
}

using Change = Tensor (*)(const Tensor&);

// The sample with a change to all inputs; nothing when it changes none.
void add_changed(std::vector<WallCase>& cases, const OpSample& sample, Change change, const char* name) {
  WallCase made{shapes_of(sample.inputs) + ", " + name, {}, &sample};
  for (const Tensor& x : sample.inputs) made.inputs.push_back(change(x));
  const bool differs =
      std::any_of(made.inputs.begin(), made.inputs.end(), [](const Tensor& x) { return !x.is_contiguous(); });
  if (differs) cases.push_back(std::move(made));
}

Tensor row_of(const Tensor& x) { return detail::sliced_view(x, 0, 0, 1, 1).clone(); }
Tensor flat_row_of(const Tensor& x) { return reshape(row_of(x), {-1}); }
Tensor column_of(const Tensor& x) { return detail::sliced_view(x, 1, 0, 1, 1).clone(); }
Tensor scalar_of(const Tensor& x) { return reshape(column_of(row_of(x)), Shape{}); }
Tensor empty_of(const Tensor& x) { return detail::sliced_view(x, 0, 0, 0, 1).clone(); }

struct Broadcast {
  const char* name;
  Change change;
};

// Each input in turn as a row, a column or a scalar; all inputs empty; an empty one with a row.
void add_broadcasts(std::vector<WallCase>& cases, const OpSample& sample) {
  const auto add = [&](std::vector<Tensor> inputs, const char* name) {
    cases.push_back({shapes_of(inputs) + ", " + name, std::move(inputs), &sample});
  };
  const auto all = [&](Change change) {
    std::vector<Tensor> inputs;
    for (const Tensor& x : sample.inputs) inputs.push_back(change(x));
    return inputs;
  };
  add(all(empty_of), "empty");
  add(all(scalar_of), "0-dim");
  if (sample.inputs.size() < 2) return;
  for (std::size_t k = 0; k < sample.inputs.size(); ++k) {
    for (const Broadcast b :
         {Broadcast{"row", flat_row_of}, {"row of rank 2", row_of}, {"column", column_of}, {"scalar", scalar_of}}) {
      std::vector<Tensor> inputs = sample.inputs;
      inputs[k] = b.change(inputs[k]);
      add(std::move(inputs), b.name);
    }
    std::vector<Tensor> outer = all(flat_row_of);
    outer[k] = column_of(sample.inputs[k]);
    add(std::move(outer), "column with rows");
    std::vector<Tensor> empty = all(empty_of);
    empty[k] = flat_row_of(sample.inputs[k]);
    add(std::move(empty), "empty with a row");
  }
}

// Shapes beyond the samples, large enough for packed panels and for several threads, with the attributes of sample 0.
struct LargeCase {
  std::string_view op;
  std::vector<Shape> shapes;
};

void add_large(std::vector<WallCase>& cases, const OpDescription& op) {
  static const LargeCase large[] = {
      {"matmul", {{260, 140}, {140, 180}}},
      {"contiguous", {{90, 170}}},
      {"to", {{90, 170}}},
  };
  for (const LargeCase& c : large) {
    if (op.name != c.op || op.samples.empty()) continue;
    std::vector<Tensor> inputs;
    for (const Shape& shape : c.shapes) inputs.push_back(detail::sample_values(shape, inputs.size() + 1));
    cases.push_back({shapes_of(inputs) + ", large", inputs, &op.samples[0]});
    for (Tensor& x : inputs) x = transposed_layout(x);
    cases.push_back({shapes_of(inputs) + ", large, transposed in memory", inputs, &op.samples[0]});
  }
}

bool is_matrix_sample(const OpSample& sample) {
  return std::all_of(sample.inputs.begin(), sample.inputs.end(), [&](const Tensor& x) {
    return x.ndim() == 2 && x.size() > 0 && x.shape() == sample.inputs[0].shape();
  });
}

}  // namespace

std::vector<WallCase> wall_cases(const OpDescription& op) {
  std::vector<WallCase> cases;
  for (const OpSample& sample : op.samples) {
    cases.push_back({shapes_of(sample.inputs), sample.inputs, &sample});
    add_changed(cases, sample, transposed_layout, "transposed in memory");
    add_changed(cases, sample, sliced_layout, "every second element, backwards");
  }
  add_large(cases, op);
  if (op.kind != OpKind::pointwise) return cases;
  const auto matrix = std::find_if(op.samples.begin(), op.samples.end(), is_matrix_sample);
  if (matrix != op.samples.end()) add_broadcasts(cases, *matrix);
  return cases;
}

}  // namespace tapegrad::tests
