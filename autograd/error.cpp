#include "autograd/error.h"

#include <string_view>

namespace tapegrad {

std::string where(SourceLocation at) {
  if (at.line() == 0) return "an unknown line";
  std::string_view file = at.file_name();
  file.remove_prefix(file.find_last_of('/') + 1);  // npos + 1 is 0
  return std::string(file) + ":" + std::to_string(at.line());
}

void fail(const std::string& what, SourceLocation at, const std::string& hint) {
  std::string text = what + ", at " + where(at);
  if (!hint.empty()) text += "; " + hint;
  throw Error(text);
}

}  // namespace tapegrad
