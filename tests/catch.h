#pragma once
// Catch2, version 2 or 3, under one set of names. Every test includes this header and no Catch2 header of its own.
#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
using Catch::Approx;  // version 2 has it in the global namespace already
#else
#include <catch2/catch.hpp>

// Version 3 moved the string matchers and gave some of them other names.
namespace Catch::Matchers {
inline auto ContainsSubstring(const std::string& text) { return Contains(text); }
}  // namespace Catch::Matchers
#endif

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::EndsWith;
using Catch::Matchers::StartsWith;
