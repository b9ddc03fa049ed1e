#include <cmath>

#include "nn/data.h"

namespace tapegrad {

namespace {

/// The position of the largest element, or -1 when one is NaN.
template <class T>
std::int64_t argmax(const T* row, std::int64_t count) {
  std::int64_t best = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    if (std::isnan(row[i])) return -1;
    if (row[i] > row[best]) best = i;
  }
  return best;
}

template <class T, class Label>
std::int64_t count_hits(const Tensor& logits, const Tensor& labels, SourceLocation at) {
  const std::int64_t classes = logits.shape(-1);
  const T* row = logits.data<T>();
  const Label* label = labels.data<Label>();
  std::int64_t hits = 0;
  for (std::int64_t i = 0; i < labels.size(); ++i, row += classes) {
    if (label[i] < 0 || label[i] >= classes) {
      fail("accuracy: label " + std::to_string(label[i]) + " at position " + std::to_string(i) + " is not one of " +
               std::to_string(classes) + " classes",
           at);
    }
    if (argmax(row, classes) == label[i]) ++hits;
  }
  return hits;
}

template <class T>
std::int64_t count_hits(const Tensor& logits, const Tensor& labels, SourceLocation at) {
  return labels.dtype() == i64 ? count_hits<T, std::int64_t>(logits, labels, at)
                               : count_hits<T, std::int32_t>(logits, labels, at);
}

void check(const Tensor& logits, const Tensor& labels, SourceLocation at) {
  if (!logits.defined()) fail("accuracy: the logits are an empty handle", at);
  if (!labels.defined()) fail("accuracy: the labels are an empty handle", at);
  const auto got = [&] { return "logits " + describe(logits) + " and labels " + describe(labels); };
  if (!is_floating(logits.dtype()) || (labels.dtype() != i64 && labels.dtype() != i32)) {
    fail("accuracy: needs floating logits and integer labels, got " + got(), at);
  }
  bool fits = logits.ndim() == labels.ndim() + 1;
  for (int axis = 0; fits && axis < labels.ndim(); ++axis) fits = logits.shape(axis) == labels.shape(axis);
  if (!fits) fail("accuracy: needs logits [..., classes] and labels [...], got " + got(), at);
  if (labels.size() == 0) fail("accuracy: there is no example in " + got(), at);
}

}  // namespace

double accuracy(const Tensor& logits, const Tensor& labels, SourceLocation at) {
  check(logits, labels, at);
  const Tensor x = logits.is_contiguous() ? logits : logits.clone();
  const Tensor y = labels.is_contiguous() ? labels : labels.clone();
  const std::int64_t hits = x.dtype() == f32 ? count_hits<float>(x, y, at) : count_hits<double>(x, y, at);
  return static_cast<double>(hits) / static_cast<double>(y.size());
}

}  // namespace tapegrad
