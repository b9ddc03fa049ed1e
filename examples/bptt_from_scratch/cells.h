#pragma once
// Two recurrent cells as plain structs, and a model of text that unrolls one of them on the tape.
//
// A cell is called once per time step: it takes the inputs x [batch, in] and the state of the step before, and returns
// the new state. The first tensor of a state is the hidden one, h [batch, hidden], which is also the cell's output; the
// last one is the memory.
#include <tapegrad.h>

#include <array>
#include <cmath>
#include <utility>
#include <vector>

using namespace tapegrad;

/// h' = tanh(U x + b + W h) (Elman, "Finding structure in time", 1990).
struct RnnCell {
  nn::Dense input;      // U, b
  nn::Dense recurrent;  // W

  using State = std::array<Tensor, 1>;  // h
  static constexpr int gates = 1;

  State operator()(Arg x, const State& state) const {
    const auto& [h] = state;
    return {tanh(input(x) + recurrent(h))};
  }
};

/// i, f, g, o = the quarters of U x + b + W h
/// c' = sigmoid(f + 1) c + sigmoid(i) tanh(g)
/// h' = sigmoid(o) tanh(c')
/// Hochreiter and Schmidhuber, "Long short-term memory", 1997, with the forget gate f of Gers, Schmidhuber and Cummins,
/// "Learning to forget", 2000; the 1 lets an untrained cell remember (Jozefowicz, Zaremba and Sutskever, "An empirical
/// exploration of recurrent network architectures", 2015).
struct LstmCell {
  nn::Dense input;      // U, b
  nn::Dense recurrent;  // W

  using State = std::array<Tensor, 2>;  // h, c
  static constexpr int gates = 4;

  State operator()(Arg x, const State& state) const {
    const auto& [h, c] = state;
    const auto [i, f, g, o] = split<4>(input(x) + recurrent(h), -1);
    const Tensor next = sigmoid(f + 1) * c + sigmoid(i) * tanh(g);
    return {sigmoid(o) * tanh(next), next};
  }
};

template <class Cell>
Cell make_cell(std::int64_t in, std::int64_t hidden) {
  return {.input{in, Cell::gates * hidden}, .recurrent{hidden, Cell::gates * hidden, {.bias = false}}};
}

/// The state before the first step: zeros of the cell's dtype.
template <class Cell>
typename Cell::State zero_state(const Cell& cell, std::int64_t batch) {
  typename Cell::State state;
  const Parameter& w = cell.recurrent.weight;
  for (Tensor& s : state) s = zeros({batch, w.shape(1)}, w.dtype());
  return state;
}

/// Predicts the next symbol of a text: a cell that reads one symbol per step, and a dense layer on its output.
template <class Cell>
struct TextModel {
  Cell cell;
  nn::Dense head;  // hidden -> logits of the symbols

  using State = typename Cell::State;

  /// The state after one more column of symbols [batch].
  State step(Arg symbols, const State& state) const {
    return cell(one_hot(symbols, head.weight.shape(0), head.weight.dtype()), state);
  }

  /// The logits [batch, time, symbols] behind every one of the symbols [batch, time], and the state after the last.
  std::pair<Tensor, State> operator()(const Tensor& symbols, State state) const {
    std::vector<Tensor> outputs;
    for (std::int64_t t = 0; t < symbols.shape(1); ++t) {
      state = step(squeeze(symbols.slice(1, t, t + 1), 1), state);
      outputs.push_back(state.front());
    }
    return {head(stack(outputs, 1)), state};
  }
};

template <class Cell>
TextModel<Cell> make_text_model(std::int64_t symbols, std::int64_t hidden) {
  return {make_cell<Cell>(symbols, hidden), {hidden, symbols}};
}

/// How strongly the loss at the last step depends on the state after each step t = 1 ... T: |dL / dh_t| of a simple
/// RNN, |dL / dc_t| of an LSTM, whose c is what carries the state on. symbols [batch, T + 1]: the last column is what
/// the last step has to predict.
template <class Cell>
std::vector<double> gradient_norms(const TextModel<Cell>& model, const Tensor& symbols) {
  const std::int64_t steps = symbols.shape(1) - 1;
  const auto column = [&](std::int64_t t) { return squeeze(symbols.slice(1, t, t + 1), 1); };

  Tape tape;
  auto state = zero_state(model.cell, symbols.shape(0));
  std::vector<Tensor> carried;
  for (std::int64_t t = 0; t < steps; ++t) {
    state = model.step(column(t), state);
    carried.push_back(state.back());
  }
  const Tensor loss = cross_entropy(model.head(state.front()), column(steps));
  std::vector<double> norms;
  for (const Tensor& gradient : tape.gradient(loss, carried)) norms.push_back(norm(gradient).item());
  return norms;
}
