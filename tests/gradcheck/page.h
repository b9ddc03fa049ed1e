#pragma once
// docs/ops.md: every op with its formula, its gradients and its worst errors, made from the list of ops and the wall.
#include <string>
#include <vector>

#include "tests/gradcheck/wall.h"

namespace tapegrad::tests {

/// The page. Its errors are bounds: several times what was measured here, rounded up, so that they hold for other
/// instruction sets too. Lines of the earlier page that are still true stay as they are. `rows` are those of `ops`, in
/// the same order.
std::string reference_page(const std::vector<OpDescription>& ops, const std::vector<WallRow>& rows,
                           const std::string& earlier = {});

/// How a page that was written earlier differs from what is true now, one line each: other text than reference_page
/// makes, an error above its bound, or a bound that says nothing because it is more than a thousand times the error.
std::vector<std::string> page_faults(const std::string& page, const std::vector<OpDescription>& ops,
                                     const std::vector<WallRow>& rows);

}  // namespace tapegrad::tests
