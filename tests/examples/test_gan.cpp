// The parts of examples/gan_toy.
#include <cmath>

#include "examples/gan_toy/gan.h"
#include "tests/catch.h"

TEST_CASE("The whole loss of WGAN-GP passes the gradient check") {
  random::seed(4);
  const CriticLoss loss{make_mlp(2, 6, 1), 10};
  const GradcheckReport report = gradcheck(loss, real_points(4), random::normal({4, 2}), random::uniform({4, 1}));
  INFO(report);
  CHECK(report.passed());
  // All six parameters of the critic, and the three inputs; the last bias cancels.
  CHECK(report.checked.size() == 9);
}

TEST_CASE("The gradient penalty is that of a critic whose slope is known") {
  // Near 0, tanh(x) = x: this critic is 3 x + 4 y, and its slope is 5 everywhere.
  const double small = 1e-4;
  CriticLoss loss = nn::to(CriticLoss{make_mlp(2, 1, 1)}, f64);
  for (nn::Dense* layer : {&loss.critic.first, &loss.critic.second, &loss.critic.out}) {
    nn::init::constant(*layer->bias, 0);
  }
  loss.critic.first.weight.assign(Tensor::from({3 * small, 4 * small}, {1, 2}));
  loss.critic.second.weight.assign(ones({1, 1}, f64));
  loss.critic.out.weight.assign(full({1, 1}, 1 / small, f64));
  const Tensor real = Tensor::from({1.0, 0.0}, {1, 2}), fake = Tensor::from({0.0, 1.0}, {1, 2});
  const Tensor eps = Tensor::from({0.25}, {1, 1});
  // 4 - 3 + weight (5 - 1)^2
  CHECK(std::abs(loss(real, fake, eps).item() - 2.6) < 1e-5);
  loss.weight = 10;
  CHECK(std::abs(loss(real, fake, eps).item() - 161) < 1e-4);
}

TEST_CASE("Coverage counts modes with one percent of the points within three sigma") {
  random::seed(5);
  const Coverage real = coverage(real_points(10'000));
  CHECK(real.modes == 8);
  // In the plane, three sigma hold 1 - exp(-9 / 2) of a Gaussian.
  CHECK(std::abs(real.good - 0.98889) < 0.005);

  const Tensor centre = centres().slice(0, 0, 1);
  const auto at = [&](std::int64_t n, double offset) { return tile(centre + offset / std::sqrt(2.0), {n, 1}); };
  CHECK(coverage(at(10, 0)).modes == 1);
  CHECK(coverage(at(10, 0)).good == 1);
  CHECK(coverage(at(10, 0.059)).good == 1);
  CHECK(coverage(at(10, 0.061)).good == 0);
  CHECK(coverage(concat({at(99, 1), at(1, 0)})).modes == 1);
  CHECK(coverage(concat({at(101, 1), at(1, 0)})).modes == 0);
}
