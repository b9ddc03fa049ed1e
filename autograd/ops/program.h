// Pointwise programs: a formula as a small immutable graph of primitives, with its printing, derivative and execution.
// Programs are made by `trace` (autograd/ops/trace.h) from a lambda, and by `differentiate`. Everything here is a plain
// value, never changed after it was built, so threads may share it. No SIMD and no Tensor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "autograd/kernels/machine_step.h"
#include "autograd/kernels/primitive.h"

namespace tapegrad::program {

using kernels::Primitive;

/// What a node of a graph is: the k-th input, a number, or a primitive of earlier nodes.
struct Node {
  enum class Kind : std::uint8_t { input, constant, primitive };
  Kind kind = Kind::input;
  Primitive primitive = Primitive::copy;
  int operands[kernels::most_operands] = {-1, -1, -1, -1};  // an input keeps its number in operands[0]
  double value = 0;                                         // of a constant

  int operand_count() const { return kind == Kind::primitive ? kernels::arity(primitive) : 0; }
  bool is(Primitive p) const { return kind == Kind::primitive && primitive == p; }
};

/// A growing graph in which equal nodes are the same node. Operands come before their users.
class Graph {
 public:
  int input(int number);
  int constant(double value);
  /// Primitives of constants only are evaluated (in double); nothing else is simplified.
  int apply(Primitive primitive, int a, int b = -1, int c = -1, int d = -1);
  /// A node of another graph, whose node k is place[k] here.
  int copy(const Node& node, std::span<const int> place);

  const Node& operator[](int node) const { return nodes_[static_cast<std::size_t>(node)]; }
  int size() const { return static_cast<int>(nodes_.size()); }
  bool is_constant(int node) const { return (*this)[node].kind == Node::Kind::constant; }
  bool is_constant(int node, double value) const { return is_constant(node) && (*this)[node].value == value; }

 private:
  int find(const Node& node) const;
  int find_or_add(const Node& node);
  void insert(int node);
  void grow();

  std::vector<Node> nodes_;
  std::vector<int> buckets_;  // open addressing; -1 is empty
};

/// base^exponent for an exponent that is known: products, roots and quotients where they do.
int literal_power(Graph& graph, int base, double exponent);

/// A formula: the nodes that its outputs need, operands first.
class Program {
 public:
  Program() = default;
  Program(const Graph& graph, std::span<const int> outputs, int input_count);

  int input_count() const { return input_count_; }
  int output_count() const { return static_cast<int>(outputs_.size()); }
  /// Bit k: some output reads input k.
  unsigned reads() const { return reads_; }
  const std::vector<Node>& nodes() const { return nodes_; }
  const std::vector<int>& outputs() const { return outputs_; }

 private:
  void add_node(const Graph& graph, int last, std::vector<int>& place);

  std::vector<Node> nodes_;
  std::vector<int> outputs_;
  int input_count_ = 0;
  unsigned reads_ = 0;
};

/// The formula of an output as text, with as few parentheses as its value allows: "x * sigmoid(x)". Inputs without a
/// name are x (when there is one only) or x0, x1, ... A long formula names what it uses twice: "t0 = exp(x); ...".
std::string to_string(const Program& program, std::span<const std::string> input_names = {}, int output = 0);

/// Where an input of a derivative comes from, for a program f with inputs x_0 .. x_{n-1} and outputs y_0 .. y_{m-1}.
struct Source {
  enum class Kind : std::uint8_t { input, output, upstream };
  Kind kind = Kind::input;  // x_index, y_index, or the gradient g_index that arrives at y_index
  int index = 0;
  bool operator==(const Source&) const = default;
};

/// What a gradient is when it needs no program of its own.
enum class Form : std::uint8_t { general, zero, upstream, negated_upstream };

/// The gradient of x_input.
struct Partial {
  int input = 0;
  Form form = Form::general;
  unsigned reads_inputs = 0;   // bit k: its formula reads x_k
  unsigned reads_outputs = 0;  // bit k: its formula reads y_k
};

/// The reverse-mode derivative of a program: itself a program, so that it can be differentiated again.
struct Derivative {
  Program program;                // one output per wanted input, in increasing order
  std::vector<Source> sources;    // of the program's inputs: only what it reads, in the order x, y, g
  std::vector<Partial> partials;  // one per output of the program
  unsigned reads_inputs = 0;      // unions over the partials
  unsigned reads_outputs = 0;
};

/// The gradients of the inputs whose bits are set in `wanted`, given the gradients of all outputs.
/// At kinks: relu'(0) = abs'(0) = sign' = floor' = 0; maximum(a, a) and minimum(a, a) give one half to each side;
/// `where` gives the gradient to the branch it took and an exact zero to the other, also where the other's derivative
/// is infinite.
Derivative differentiate(const Program& program, unsigned wanted);
/// ... of a program with one input x and one output, whose derivative is given as another program of x: slope(x) g.
Derivative differentiate_by(const Program& slope);

/// Input names for the text of a derivative: those of the program, "y" (or y0, y1, ...) and "g" (or g0, g1, ...).
std::vector<std::string> source_names(const Derivative& derivative, const Program& of,
                                      std::span<const std::string> input_names = {});

/// One step of an executable. Slots are numbered: inputs, outputs, constants, scratch.
struct Instruction {
  Primitive primitive = Primitive::copy;
  std::uint8_t destination = 0;
  std::uint8_t operands[kernels::most_operands] = {};
};

/// A program as a list of instructions over slots, ready to run in either precision.
struct Executable {
  std::vector<Instruction> instructions;
  std::vector<kernels::machine::Step> steps;  // the same for the accumulator machine; none when it has no room
  std::vector<double> constants;
  std::vector<float> constants_f32;
  std::vector<unsigned> read_after_store;  // per output: bit k if input k is read after the output was written
  std::uint8_t input_count = 0;
  std::uint8_t output_count = 0;
  std::uint8_t scratch_count = 0;
  bool stores_early = false;  // some read_after_store is not 0
  bool is_direct = false;     // every instruction reads inputs only and writes an output
  bool is_single = false;     // one instruction, of the inputs in their order: most ops
  Primitive single{};         // ... which one
  unsigned reads = 0;         // bit k: input k is read
  int cost = 0;
};

/// Throws Error when the program needs more slots than an instruction can name (256).
Executable lower(const Program& program);

enum class Precision : std::uint8_t { f32, f64 };

/// Computes n elements of every output. Bit k of `scalar_mask`: input k is one element, used for all n. Inputs that the
/// program does not read may be null. An output may be the same array as an input (not a shifted one); outputs differ
/// from each other. The bits of an element depend on its operands only, never on its position or on n, so that a caller
/// may cut the work anywhere: at rows, for an operand that repeats along them, or between threads.
void run(const Executable& executable, Precision precision, const void* const* inputs, unsigned scalar_mask,
         void* const* outputs, std::size_t n);

/// The ways to run a program. They give the same bits.
enum class Executor : std::uint8_t {
  strips,   // instruction by instruction, over pieces that fit the first-level cache
  machine,  // tile by tile, in registers: kernels/machine.h
};

/// `run` with an executor of the caller's choice, for tests and benchmarks. False when that one cannot run this.
bool run_with(Executor executor, const Executable& executable, Precision precision, const void* const* inputs,
              unsigned scalar_mask, void* const* outputs, std::size_t n);

/// The slope of the cost of `run`: about so many nanoseconds for 1,000 elements in f32 with data in cache.
inline int cost(const Executable& executable) { return executable.cost; }

}  // namespace tapegrad::program
