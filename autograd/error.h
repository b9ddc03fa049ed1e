#pragma once
// The one exception type of the library, and how a source line is written in messages.
#include <source_location>
#include <stdexcept>
#include <string>

namespace tapegrad {

using SourceLocation = std::source_location;

/// Thrown for every mistake that a caller can make. The text names the op, the shapes, the caller's file and line,
/// and, where there is one, a hint.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// "train.cpp:17": the file's name without its folders, and the line ("an unknown line" for an empty location).
std::string where(SourceLocation at);

/// Joins what went wrong, where, and a hint: "matmul: inner dimensions differ ..., at train.cpp:17; hint".
[[noreturn]] void fail(const std::string& what, SourceLocation at, const std::string& hint = {});

}  // namespace tapegrad
