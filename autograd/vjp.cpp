#include "autograd/vjp.h"

#include <atomic>

#include "autograd/create.h"
#include "autograd/tape_access.h"

namespace tapegrad::detail {

// Without a tape around it, a call is recorded in a record of its own, which takes the thread's place for as long as
// something happens in it. With one, it is a stretch of that tape's record.
struct RecordedCall::State {
  std::unique_ptr<KeptRecord> own;
  std::unique_ptr<Tape> tape;  // the outermost one of `own`
  std::uint64_t generation = 0;
  std::uint32_t begin = 0;
  std::vector<Tensor> inputs;
  Tensor result;  // as the record knows it
  Tensor value;   // as the caller gets it
  std::atomic<bool> is_busy{false};

  // The thread works in the call's own record, if it has one.
  class Inside {
   public:
    explicit Inside(State& state) : state_(state) {
      if (state_.own) state_.own->exchange();
    }
    ~Inside() {
      if (state_.own) state_.own->exchange();
    }
    Inside(const Inside&) = delete;
    Inside& operator=(const Inside&) = delete;

   private:
    State& state_;
  };

  void run(Tape& t, const TensorFunction& f, SourceLocation at) {
    for (Tensor& x : inputs) t.watch(x, at);
    result = f(inputs);
    if (!result.defined()) fail("vjp: the function returned an empty handle", at);
  }

  std::vector<Tensor> gradient(Tape& t, const Tensor& cotangent, SourceLocation at) {
    if (!TapeAccess::has(t, result)) return std::vector<Tensor>(inputs.size());
    std::vector<TapeAccess::Wanted> wanted;
    for (const Tensor& x : inputs) wanted.push_back({x.block()});
    return TapeAccess::gradient(t, Arg(result, at), wanted, {.seed = cotangent, .allow_unused = true});
  }

  ~State() {
    if (!tape) return;
    const Inside inside(*this);
    tape.reset();
  }
};

RecordedCall::RecordedCall(const TensorFunction& f, const std::vector<Tensor>& inputs, SourceLocation at)
    : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.inputs = inputs;
  for (const Tensor& x : inputs) {
    if (!x.defined()) fail("vjp: x is an empty handle", at);
  }
  enter_parameters(s.inputs, at);
  if (record.recording) {
    Tape tape({}, at);
    s.generation = record.generation;
    s.begin = TapeAccess::begin(tape);
    s.run(tape, f, at);
    s.value = s.result;
    return;
  }
  s.own = std::make_unique<KeptRecord>();
  const State::Inside inside(s);
  s.tape = std::make_unique<Tape>(TapeOptions{}, at);
  TapeAccess::keep_saved(*s.tape);
  s.run(*s.tape, f, at);
  s.value = stop_gradient(s.result);
}

RecordedCall::~RecordedCall() = default;

const Tensor& RecordedCall::value() const { return state_->value; }

std::vector<Tensor> RecordedCall::pull_back(const Tensor& cotangent, SourceLocation at) {
  State& s = *state_;
  if (!cotangent.defined()) fail("vjp: the cotangent is an empty handle", at);
  if (!(cotangent.shape() == s.result.shape()) || cotangent.dtype() != s.result.dtype()) {
    fail("vjp: the cotangent is " + describe(cotangent) + " and the result " + describe(s.result), at);
  }
  if (s.is_busy.exchange(true, std::memory_order_acquire)) {
    fail("vjp: a pullback is called while it runs", at, "give each thread one of its own, by a call of vjp there");
  }
  struct Done {
    std::atomic<bool>& busy;
    ~Done() { busy.store(false, std::memory_order_release); }
  } done{s.is_busy};
  std::vector<Tensor> gradients;
  if (s.own) {
    if (record.recording && record.index(cotangent.block(), at)) {
      fail("vjp: a tape tracks the cotangent " + describe(cotangent) + ", but the pullback was made without it", at,
           "call vjp under that tape, or pass stop_gradient(cotangent)");
    }
    const State::Inside inside(s);
    gradients = s.gradient(*s.tape, cotangent, at);
  } else {
    if (record.generation != s.generation) {
      fail("vjp: the tape that was open when this pullback was made has ended", at,
           "a pullback that is made without a tape owns what it needs");
    }
    Tape again({}, at);
    TapeAccess::reopen(again, s.begin);
    if (TapeAccess::has_ended(again, s.result)) {
      fail("vjp: the tape that was open when this pullback was made was opened in a pause, and has ended", at);
    }
    gradients = s.gradient(again, cotangent, at);
  }
  for (std::size_t k = 0; k < gradients.size(); ++k) {
    if (!gradients[k].defined()) gradients[k] = zeros_like(s.inputs[k], at);
  }
  return gradients;
}

}  // namespace tapegrad::detail
