#include "autograd/gradients.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "autograd/kernels/table.h"
#include "autograd/ops/elements.h"
#include "autograd/touched_rows.h"

namespace tapegrad {
namespace {

constexpr double nanoseconds_per_element = 0.25;

double sum_of_squares(const Tensor& gradient) {
  const Tensor x = detail::contiguous_elements(gradient);
  const auto kernel = kernels::table().sum_of_squares_chunk[detail::kernel_index(x.dtype())];
  const std::int64_t chunks = chunks_for(x.size(), nanoseconds_per_element);
  std::array<double, max_chunks> partial{};
  parallel_for(chunks, [&](std::int64_t chunk) {
    const Range range = chunk_range(x.size(), chunks, chunk, 4096);
    partial[static_cast<std::size_t>(chunk)] = kernel(detail::element_at(x, range.begin), range.end - range.begin);
  });
  double sum = 0;
  for (double part : partial) sum += part;
  return sum;
}

}  // namespace

const Gradients::Item& Gradients::item(std::string_view name, SourceLocation at) const {
  for (const Item& item : items_) {
    if (detail::interned(item.name) != name) continue;
    if (item.gradient.defined()) return item;
    fail("gradients: the loss did not reach \"" + std::string(name) + "\", so it has no gradient", at);
  }
  const std::string nearest = detail::nearest_name(name, names());
  fail("gradients: there is no parameter \"" + std::string(name) + "\"", at,
       nearest.empty() ? "" : "did you mean \"" + nearest + "\"?");
}

Tensor Gradients::dense(const Item& item) {
  if (!item.rows.defined()) return item.gradient;
  return detail::dense_rows({item.rows, item.gradient}, item.parameter.shape());
}

Tensor Gradients::at(std::string_view name, SourceLocation at) const { return dense(item(name, at)); }

Tensor Gradients::operator[](const detail::ParameterAt& key) const {
  for (const Item& item : items_) {
    if (item.parameter.block() != key.parameter.value().block()) continue;
    if (item.gradient.defined()) return dense(item);
    fail("gradients: the loss did not reach \"" + detail::interned(item.name) + "\", so it has no gradient", key.line);
  }
  fail("gradients: the parameter is not one of those that the gradients were taken for", key.line,
       "a copy of a model has parameters of its own");
}

std::optional<TouchedRows> Gradients::touched_rows(std::string_view name, SourceLocation at) const {
  const Item& found = item(name, at);
  if (!found.rows.defined()) return {};
  return TouchedRows{found.rows, found.gradient};
}

std::size_t Gradients::size() const {
  return static_cast<std::size_t>(
      std::count_if(items_.begin(), items_.end(), [](const Item& item) { return item.gradient.defined(); }));
}

std::vector<std::string> Gradients::names() const {
  std::vector<std::string> names;
  for (const Item& item : items_) names.push_back(detail::interned(item.name));
  return names;
}

std::vector<std::string> Gradients::unused() const {
  std::vector<std::string> names;
  for (const Item& item : items_) {
    if (!item.gradient.defined()) names.push_back(detail::interned(item.name));
  }
  return names;
}

Gradients& Gradients::operator+=(const Gradients& other) {
  const bool same_parameters =
      std::equal(items_.begin(), items_.end(), other.items_.begin(), other.items_.end(),
                 [](const Item& a, const Item& b) { return a.parameter.block() == b.parameter.block(); });
  if (!same_parameters) {
    throw Error("Gradients::operator+=: the gradients are of other parameters (" + std::to_string(items_.size()) +
                " and " + std::to_string(other.items_.size()) +
                "); take both for the same model: a copy of a model has parameters of its own");
  }
  for (std::size_t k = 0; k < items_.size(); ++k) {
    if (other.items_[k].gradient.defined()) add(items_[k], other.items_[k]);
  }
  return *this;
}

void Gradients::add(Item& item, const Item& other) {
  Tensor& sum = item.gradient;
  if (!sum.defined()) {
    sum = other.gradient;
    item.rows = other.rows;
    return;
  }
  if (other.rows.defined()) {
    const TouchedRows addend{other.rows, other.gradient};
    if (item.rows.defined()) {
      auto [rows, values] = detail::sum_of({item.rows, sum}, addend, item.parameter.shape());
      item.rows = std::move(rows);
      sum = std::move(values);
    } else {
      sum = detail::sum_of(std::move(sum), addend);
    }
    return;
  }
  sum = dense(item);
  item.rows = {};
  const Tensor addend = detail::contiguous_elements(other.gradient);
  detail::make_own(sum);
  const auto axpy = kernels::table().axpy[detail::kernel_index(sum.dtype())];
  detail::for_ranges(sum.size(), nanoseconds_per_element, [&](std::int64_t begin, std::int64_t end) {
    axpy(1, detail::element_at(addend, begin), detail::element_at(sum, begin), end - begin);
  });
}

Gradients& Gradients::clip(double low, double high) {
  const auto clip_elements = [&]<class T>(std::span<T> elements) {
    for (T& x : elements) x = x < low ? static_cast<T>(low) : x > high ? static_cast<T>(high) : x;
  };
  for (Item& item : items_) {
    if (!item.gradient.defined()) continue;
    if (!(low <= 0 && high >= 0)) {
      item.gradient = dense(item);
      item.rows = {};
    }
    detail::make_own(item.gradient);
    const auto n = static_cast<std::size_t>(item.gradient.size());
    if (item.gradient.dtype() == f64) {
      clip_elements(std::span(item.gradient.data<double>(), n));
    } else {
      clip_elements(std::span(item.gradient.data<float>(), n));
    }
  }
  return *this;
}

Gradients& Gradients::operator*=(double factor) {
  for (Item& item : items_) {
    if (!item.gradient.defined()) continue;
    detail::make_own(item.gradient);
    const auto scale = kernels::table().scale[detail::kernel_index(item.gradient.dtype())];
    detail::for_ranges(item.gradient.size(), nanoseconds_per_element, [&](std::int64_t begin, std::int64_t end) {
      scale(factor, detail::element_at(item.gradient, begin), end - begin);
    });
  }
  return *this;
}

double Gradients::norm() const {
  double sum = 0;
  for (const Item& item : items_) {
    if (item.gradient.defined()) sum += sum_of_squares(item.gradient);
  }
  return std::sqrt(sum);
}

}  // namespace tapegrad
