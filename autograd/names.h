#pragma once
// Names of layers and parameters: interned paths such as "blocks.2.attention.query.weight".
//
// A name is a number: it fits into a tensor's header, a copy costs nothing, and many threads may read and set it. Only
// the first use of a path allocates.
#include <atomic>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "autograd/cached.h"

namespace tapegrad {
namespace detail {

/// The number of a path; 0 for an empty one. Equal paths have equal numbers. Names are kept until the program ends.
std::uint32_t intern(std::string_view path);
/// The path with that number. Without locks; the reference stays valid.
const std::string& interned(std::uint32_t name);

/// The candidate that differs least from `wanted` (Levenshtein's distance), or "" when none is at all similar.
std::string nearest_name(std::string_view wanted, std::span<const std::string> candidates);

/// Where a walk over a model is. One buffer that grows and shrinks with the walk.
class Path {
 public:
  std::string_view text() const { return text_; }
  std::uint32_t name() const { return intern(text_); }
  /// As name(), faster when `guess` is right.
  std::uint32_t name(std::uint32_t guess) const { return guess && interned(guess) == text() ? guess : name(); }

  /// Adds a component for as long as it lives.
  class Step {
   public:
    Step(Path& path, std::string_view component) : path_(path), length_(path.text_.size()) {
      if (length_) path.text_ += '.';
      path.text_ += component;
    }
    Step(Path& path, std::size_t index);
    ~Step() { path_.text_.resize(length_); }
    Step(const Step&) = delete;
    Step& operator=(const Step&) = delete;

   private:
    Path& path_;
    std::size_t length_;
  };

 private:
  CachedString text_;
};

}  // namespace detail

namespace nn {

/// The name of a layer: its path in the model, set by every walk over a model that contains the layer (an optimizer, a
/// gradient, a summary, `nn::name(net)`), also a const one. A layer holds one, lists it in its `fields`, and passes it
/// to detail::LayerScope, so that tape entries and errors can say "blocks.2.attention".
class Name {
 public:
  Name() = default;
  Name(const Name& other) noexcept : id_(other.id()) {}
  Name& operator=(const Name& other) noexcept {
    id_.store(other.id(), std::memory_order_release);
    return *this;
  }

  std::uint32_t id() const { return id_.load(std::memory_order_acquire); }
  operator std::uint32_t() const { return id(); }
  /// "" before the first walk, and for the model itself.
  const std::string& text() const { return detail::interned(id()); }
  void set(const detail::Path& path) const { id_.store(path.name(id()), std::memory_order_release); }

 private:
  mutable std::atomic<std::uint32_t> id_{0};
};

}  // namespace nn
}  // namespace tapegrad
