#pragma once
// Containers over the tensors' free lists: what a training step needs again and again costs no malloc.
#include <string>
#include <vector>

#include "autograd/storage.h"

namespace tapegrad::detail {

/// A standard allocator over allocate_raw.
template <class T>
struct CachingAllocator {
  using value_type = T;

  CachingAllocator() = default;
  template <class U>
  CachingAllocator(const CachingAllocator<U>&) noexcept {}

  T* allocate(std::size_t n) { return static_cast<T*>(allocate_raw(n * sizeof(T))); }
  void deallocate(T* memory, std::size_t n) noexcept { release_raw(memory, n * sizeof(T)); }

  friend bool operator==(CachingAllocator, CachingAllocator) { return true; }
};

template <class T>
using CachedVector = std::vector<T, CachingAllocator<T>>;

using CachedString = std::basic_string<char, std::char_traits<char>, CachingAllocator<char>>;

}  // namespace tapegrad::detail
