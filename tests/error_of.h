#pragma once
// What an error says, to compare it whole, with the place that it names.
#include <exception>
#include <string>

#include "autograd/error.h"

namespace tapegrad::tests {

/// The text of the Error that f throws; "at here" in it stands for "at" and the file and line of this call. So write
/// the call and f's body on one line. Without an error: "no error".
template <class F>
std::string error_of(F&& f, SourceLocation at = SourceLocation::current()) {
  try {
    f();
  } catch (const Error& error) {
    std::string text = error.what();
    const std::string place = "at " + where(at);
    for (std::size_t i = text.find(place); i != std::string::npos; i = text.find(place, i + 1)) {
      const char next = text[i + place.size()];  // the terminating 0 at the end
      if (next < '0' || next > '9') text.replace(i, place.size(), "at here");
    }
    return text;
  }
  return "no error";
}

}  // namespace tapegrad::tests
