#pragma once
// The parts of gan_toy: the data, the network, the loss of WGAN-GP, and what is measured.
#include <tapegrad.h>

#include <numbers>

using namespace tapegrad;

// Eight Gaussians on a ring, as in Metz, Poole, Pfau and Sohl-Dickstein, "Unrolled generative adversarial networks",
// 2017.
constexpr int modes = 8;
constexpr double radius = 2;
constexpr double sigma = 0.02;

/// The centres of the Gaussians: [8, 2].
inline Tensor centres() {
  const Tensor angle = 2 * std::numbers::pi / modes * arange(modes);
  return radius * stack({cos(angle), sin(angle)}, 1);
}

/// [n, 2], each from one of the Gaussians.
inline Tensor real_points(std::int64_t n) {
  return take(centres(), random::integers(0, modes, {n})) + random::normal({n, 2}, {.std = sigma});
}

/// Two hidden layers: a generator, a discriminator or a critic.
struct Mlp {
  nn::Dense first, second, out;

  Tensor operator()(Arg x) const { return out(tanh(second(tanh(first(x))))); }
};

inline Mlp make_mlp(std::int64_t in, std::int64_t hidden, std::int64_t out) {
  return {{in, hidden}, {hidden, hidden}, {hidden, out}};
}

/// The loss of a critic with gradient penalty:
///     mean(critic(fake)) - mean(critic(real)) + weight * mean((|slope| - 1)^2)
/// where slope is the critic's gradient at points between real and fake ones: lerp(real, fake, eps), eps [n, 1].
/// Gulrajani, Ahmed, Arjovsky, Dumoulin and Courville, "Improved training of Wasserstein GANs", 2017.
struct CriticLoss {
  Mlp critic;
  double weight = 0.1;  // as in the authors' program for toys

  Tensor operator()(Arg real, Arg fake, Arg eps) const {
    Tensor x = lerp(real, fake, eps), slope;
    {
      Tape inner;
      inner.watch(x);
      slope = inner.gradient(sum(critic(x)), x);
    }
    const Tensor penalty = mean(square(norm(slope, {.axis = 1}) - 1));
    return mean(critic(fake)) - mean(critic(real)) + weight * penalty;
  }
};

/// A point is good when it is within three sigma of a centre; a mode counts when at least 1 % of all points are good
/// ones of its own.
struct Coverage {
  int modes;
  double good;  // share of the points
};

inline Coverage coverage(const Tensor& points) {
  const Tensor offsets = unsqueeze(points, 1) - centres();               // [n, 8, 2]
  const Tensor good = (norm(offsets, {.axis = 2}) < 3 * sigma).to(f32);  // [n, 8]
  const Tensor shares = mean(good, {.axis = 0});                         // [8]
  return {static_cast<int>(sum((shares >= 0.01).to(f32)).item()), sum(shares).item()};
}
