#include "optim/clip.h"

#include <cmath>

#include "optim/optimizer.h"

namespace tapegrad::optim {

double clip_norm(Gradients& gradients, double max, SourceLocation at) {
  if (!(max > 0)) fail("clip_norm: the largest norm must be above 0, it is " + detail::number_text(max), at);
  const double norm = gradients.norm();
  if (norm > max && std::isfinite(norm)) gradients *= max / (norm + 1e-6);
  return norm;
}

void clip_value(Gradients& gradients, double max, SourceLocation at) {
  if (!(max >= 0)) fail("clip_value: the largest value must not be negative, it is " + detail::number_text(max), at);
  gradients.clip(-max, max);
}

}  // namespace tapegrad::optim
