// Trains generative adversarial networks on a ring of eight Gaussians, with the non-saturating loss and as WGAN-GP, and
// counts how many of the eight they find.
//
//     gan_toy [--loss both|non-saturating|wgan-gp] [--steps N] [--seed N] [--svg FILE]
//
// Exit status: 1 when the better generator misses a mode or the gradient check of the loss fails, 2 when an option is
// wrong or the picture cannot be written.
#include <tapegrad.h>

#include <algorithm>
#include <iostream>

#include "../options.h"
#include "gan.h"
#include "svg.h"

using namespace tapegrad;

constexpr std::int64_t batch = 256;
constexpr std::int64_t noise = 8;  // numbers that the generator makes a point of
constexpr std::int64_t hidden = 128;
constexpr int critic_steps = 5;  // per step of the generator

constexpr optim::AdamOptions adam = {.lr = 1e-3, .betas = {0.5, 0.9}};

/// The learning rate falls evenly to 0.
double rate(std::int64_t step, std::int64_t steps) {
  return adam.lr * (1 - static_cast<double>(step) / static_cast<double>(steps));
}

Tensor random_noise(std::int64_t n = batch) { return random::normal({n, noise}); }

/// Goodfellow et al., "Generative adversarial nets", 2014: the discriminator tells real from fake, and the generator
/// makes it say "real".
Mlp train_non_saturating(std::int64_t steps) {
  Mlp generator = make_mlp(noise, hidden, 2), discriminator = make_mlp(2, hidden, 1);
  optim::Adam g_opt{generator, adam}, d_opt{discriminator, adam};
  Progress progress{steps, {.label = "non-saturating"}};
  for (std::int64_t step = 0; step < steps; ++step) {
    g_opt.set_lr(rate(step, steps));
    d_opt.set_lr(rate(step, steps));
    // One pass of the generator for two steps, each of which walks to one network only.
    Tape tape;
    Tensor fake = generator(random_noise());
    Tensor d_loss =
        bce_logits(discriminator(real_points(batch)), 1) + bce_logits(discriminator(stop_gradient(fake)), 0);
    d_opt.step(tape.gradient(d_loss, discriminator));
    Tensor g_loss = bce_logits(discriminator(fake), 1);
    g_opt.step(tape.gradient(g_loss, generator));
    progress.step({{"discriminator", d_loss.item()}, {"generator", g_loss.item()}});
  }
  return generator;
}

/// The critic learns to tell how far the fake points are from the real ones, and the generator to come closer.
Mlp train_wgan_gp(std::int64_t steps) {
  Mlp generator = make_mlp(noise, hidden, 2);
  CriticLoss loss{make_mlp(2, hidden, 1)};
  optim::Adam g_opt{generator, adam}, c_opt{loss, adam};
  Progress progress{steps, {.label = "wgan-gp"}};
  for (std::int64_t step = 0; step < steps; ++step) {
    g_opt.set_lr(rate(step, steps));
    c_opt.set_lr(rate(step, steps));
    Tensor critic_loss;
    for (int k = 0; k < critic_steps; ++k) {
      Tensor fake = generator(random_noise());  // no tape is open: a plain value
      Tape tape;
      critic_loss = loss(real_points(batch), fake, random::uniform({batch, 1}));
      c_opt.step(tape.gradient(critic_loss, loss));
    }
    Tape tape;
    Tensor g_loss = -mean(loss.critic(generator(random_noise())));
    g_opt.step(tape.gradient(g_loss, generator));
    progress.step({{"critic", critic_loss.item()}, {"generator", g_loss.item()}});
  }
  return generator;
}

int main(int count, char** arguments) try {
  const Options options(count, arguments, {"--loss", "--steps", "--seed", "--svg"});
  const std::string loss = options.choice("--loss", {"both", "non-saturating", "wgan-gp"});
  const std::int64_t steps = options.number("--steps", 3000, 1, 1'000'000);
  const auto seed = static_cast<std::uint64_t>(options.number("--seed", 1, 0, 1'000'000));
  const std::string file = options.text("--svg", "gan_toy.svg");
  std::cout.precision(3);

  // The whole loss, with its nested tape, against differences of its values in double.
  random::seed(seed);
  const GradcheckReport gradients =
      gradcheck(CriticLoss{make_mlp(2, hidden, 1)}, real_points(8), random::normal({8, 2}), random::uniform({8, 1}));
  std::cout << "the loss of WGAN-GP: " << gradients << '\n';

  int best = 0;
  std::vector<Panel> panels;
  const auto run = [&](const std::string& name, auto train) {
    random::seed(seed);
    const Mlp generator = train(steps);
    const Tensor points = generator(random_noise(10'000));
    const Coverage found = coverage(points);
    std::cout << name << ": " << found.modes << " of " << modes << " modes, " << 100 * found.good
              << " % of the points within three sigma of one\n";
    best = std::max(best, found.modes);
    panels.push_back({name + ": " + std::to_string(found.modes) + " of 8 modes", points.slice(0, 0, 1000)});
  };
  if (loss != "wgan-gp") run("non-saturating", train_non_saturating);
  if (loss != "non-saturating") run("wgan-gp", train_wgan_gp);
  write_svg(file, panels, real_points(1000));
  std::cout << "the points are in " << file << '\n';

  if (!gradients) std::cerr << "gan_toy: the gradient check did not pass\n";
  if (best < modes)
    std::cerr << "gan_toy: the better generator misses " << modes - best << " of " << modes << " modes\n";
  return gradients && best == modes ? 0 : 1;
} catch (const std::exception& error) {
  std::cerr << "gan_toy: " << error.what() << '\n';
  return 2;
}
