// The cells and the text of examples/bptt_from_scratch.
#include <cmath>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>

#include "examples/bptt_from_scratch/cells.h"
#include "examples/bptt_from_scratch/text.h"
#include "tests/catch.h"

namespace {

// One input, two hidden numbers, one output: U = [0.5, 0.6], W = [[0.1, 0.2], [0.3, 0.4]], V = [1, 2].
TextModel<RnnCell> small_rnn() {
  auto model = nn::to(TextModel<RnnCell>{make_cell<RnnCell>(1, 2), {2, 1}}, f64);
  model.cell.input.weight.assign(Tensor::from({0.5, 0.6}, {2, 1}));
  model.cell.input.bias->assign(Tensor::from({1.0, -1.0}));
  model.cell.recurrent.weight.assign(Tensor::from({0.1, 0.2, 0.3, 0.4}, {2, 2}));
  model.head.weight.assign(Tensor::from({1.0, 2.0}, {1, 2}));
  model.head.bias->assign(Tensor::from({0.1}));
  return model;
}

// The logits behind every symbol, as a function of the parameters.
template <class Cell>
struct Unrolled {
  TextModel<Cell> model;
  Tensor operator()(Arg symbols) const { return model(symbols, zero_state(model.cell, 2)).first; }
};

double sigmoid_of(double x) { return 1 / (1 + std::exp(-x)); }

// A file of its own for every test, removed at the end of it.
struct TextFile {
  std::filesystem::path path;
  TextFile(const std::string& name, const std::string& content)
      : path(std::filesystem::temp_directory_path() / ("tapegrad_" + std::to_string(std::random_device()()) + name)) {
    std::ofstream(path, std::ios::binary) << content;
  }
  ~TextFile() { std::filesystem::remove(path); }
};

std::string error_of_reading(const std::filesystem::path& file, std::int64_t least_train = 1) {
  try {
    read_text({file}, least_train);
  } catch (const std::runtime_error& error) {
    std::string text = error.what();
    const std::size_t name = text.find(file.string());
    return name == std::string::npos ? text : text.replace(name, file.string().size(), "FILE");
  }
  return "no error";
}

}  // namespace

TEST_CASE("The simple RNN gives the known outputs") {
  const auto model = small_rnn();
  auto state = model.cell(Tensor::from({2.0}, {1, 1}), zero_state(model.cell, 1));
  CHECK(std::abs(model.head(state[0]).item() - 1.458778) < 5e-7);
  state = model.cell(Tensor::from({3.0}, {1, 1}), state);
  CHECK(std::abs(model.head(state[0]).item() - 2.737145) < 5e-7);
}

TEST_CASE("The LSTM cell computes its formulas") {
  random::seed(1);
  const LstmCell cell = nn::to(make_cell<LstmCell>(1, 1), f64);
  LstmCell::State state = zero_state(cell, 1);
  double h = 0, c = 0;
  for (double x : {0.7, -1.2, 2.0}) {
    state = cell(Tensor::from({x}, {1, 1}), state);
    double gate[4];
    for (int k = 0; k < 4; ++k) {
      gate[k] = cell.input.weight.value().at({k, 0}) * x + cell.input.bias->value().at({k}) +
                cell.recurrent.weight.value().at({k, 0}) * h;
    }
    c = sigmoid_of(gate[1] + 1) * c + sigmoid_of(gate[0]) * std::tanh(gate[2]);
    h = sigmoid_of(gate[3]) * std::tanh(c);
    CHECK(std::abs(state[0].item() - h) < 1e-14);
    CHECK(std::abs(state[1].item() - c) < 1e-14);
  }
}

TEMPLATE_TEST_CASE("Gradients through time pass the gradient check", "", RnnCell, LstmCell) {
  random::seed(2);
  const Unrolled<TestType> unrolled{make_text_model<TestType>(5, 3)};
  const GradcheckReport report = gradcheck(unrolled, random::integers(0, 5, {2, 6}));
  INFO(report);
  CHECK(report.passed());
  CHECK(report.checked.size() == 5);  // weights and biases; symbols are no variables
}

TEMPLATE_TEST_CASE("A state that is carried on gives the same logits and stops the gradient", "", RnnCell, LstmCell) {
  random::seed(3);
  const auto model = make_text_model<TestType>(6, 4);
  const Tensor symbols = random::integers(0, 6, {3, 8});
  const auto zero = zero_state(model.cell, 3);
  const Tensor whole = model(symbols, zero).first;

  auto carried = zero;
  {
    Tape tape;
    auto [logits, state] = model(symbols.slice(1, 0, 4), carried);
    CHECK(array_equal(logits, whole.slice(1, 0, 4)));
    tape.gradient(sum(square(logits)), model);
    carried = state;
  }
  auto values = carried;
  for (Tensor& s : values) s = s.clone();
  const auto gradients_from = [&](const auto& state) {
    Tape tape;
    const Tensor logits = model(symbols.slice(1, 4, 8), state).first;
    CHECK(array_equal(logits, whole.slice(1, 4, 8)));
    return tape.gradient(sum(square(logits)), model);
  };
  const Gradients expected = gradients_from(values);
  for (auto [name, gradient] : gradients_from(carried)) CHECK(array_equal(gradient, expected.at(name)));
}

TEST_CASE("Gradient norms per step are those of the chain rule") {
  // Two symbols: the inputs are the columns of U.
  auto model = nn::to(make_text_model<RnnCell>(2, 2), f64);
  model.cell.recurrent.weight.assign(Tensor::from({0.1, 0.2, 0.3, 0.4}, {2, 2}));
  const Tensor symbols = Tensor::from<std::int64_t>({0, 1, 1}, {1, 3});
  const std::vector<double> norms = gradient_norms(model, symbols);
  REQUIRE(norms.size() == 2);

  const auto first = model.step(Tensor::from<std::int64_t>({0}), zero_state(model.cell, 1));
  const auto second = model.step(Tensor::from<std::int64_t>({1}), first);
  const Tensor p = softmax(model.head(second[0]));
  const Tensor at_second = matmul(p - Tensor::from({0.0, 1.0}, {1, 2}), model.head.weight);
  const Tensor at_first = matmul(at_second * (1 - square(second[0])), model.cell.recurrent.weight);
  CHECK(std::abs(norms[1] - norm(at_second).item()) < 1e-14);
  CHECK(std::abs(norms[0] - norm(at_first).item()) < 1e-14);
}

TEST_CASE("An LSTM's gradient norms are those of its memory c") {
  random::seed(4);
  const auto model = nn::to(make_text_model<LstmCell>(2, 1), f64);
  const Tensor symbols = Tensor::from<std::int64_t>({0, 1, 1}, {1, 3});
  const std::vector<double> norms = gradient_norms(model, symbols);
  REQUIRE(norms.size() == 2);
  const auto first = model.step(Tensor::from<std::int64_t>({0}), zero_state(model.cell, 1));
  // h = sigmoid(o) tanh(c) changes with c.
  const double o = first[0].item() / std::tanh(first[1].item());
  const auto loss = [&](double c) {
    const LstmCell::State state{full({1, 1}, o * std::tanh(c), f64), full({1, 1}, c, f64)};
    const auto second = model.step(Tensor::from<std::int64_t>({1}), state);
    return cross_entropy(model.head(second[0]), Tensor::from<std::int64_t>({1})).item();
  };
  const double c = first[1].item(), e = 1e-5;
  CHECK(std::abs(norms[0] - std::abs(loss(c + e) - loss(c - e)) / (2 * e)) < 1e-9);
}

TEST_CASE("A text is cut into a training part and a held-out one") {
  const TextFile file("text", "abcabcabcabcabcabcab");
  const Text text = read_text({file.path}, 1);
  CHECK(text.symbols == "abc");
  CHECK(text.train.size() == 18);
  CHECK(array_equal(text.held_out, Tensor::from<std::int64_t>({0, 1})));
  CHECK(array_equal(text.train.slice(0, 0, 4), Tensor::from<std::int64_t>({0, 1, 2, 0})));
  // a is followed 6 times, by b; of the 3 symbols, each is counted once more.
  CHECK(std::abs(bigram_bits(text) - std::log2(9.0 / 7.0)) < 1e-14);
}

TEST_CASE("Every byte but zero is a symbol") {
  std::string bytes;
  for (int k = 0; k < 2; ++k) {
    for (int byte = 1; byte < 256; ++byte) bytes += static_cast<char>(byte);
  }
  const TextFile file("bytes", bytes);
  const Text text = read_text({file.path}, 1);
  CHECK(text.symbols == bytes.substr(0, 255));
  CHECK(text.held_out.at({50}) == 254);
}

TEST_CASE("What is no text is refused") {
  CHECK(error_of_reading(std::filesystem::temp_directory_path() / "tapegrad_no_such_file") == "FILE cannot be read");
  CHECK(error_of_reading(std::filesystem::temp_directory_path()) == "FILE cannot be read");
  CHECK(error_of_reading(TextFile("empty", "").path) == "FILE is empty");
  CHECK(error_of_reading(TextFile("zero", std::string("ab\0cd", 5)).path) == "FILE is not a text: byte 2 is zero");
  CHECK(error_of_reading(TextFile("short", "abcdefghijklmnopqrstuvwxyz").path, 100) ==
        "the text has 26 bytes; at least 112 are needed");
  CHECK(error_of_reading(TextFile("large", std::string((16 << 20) + 1, 'a')).path) == "FILE is larger than 16 MiB");
}
