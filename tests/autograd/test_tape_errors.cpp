// Every message of the tape, whole, with this file and line in it.
#include "tests/autograd/tape_support.h"

namespace tape_test {

namespace {

const std::string unreached_hint =
    "; was the model copied (by value into a lambda or a loop), did the forward pass run before the tape was opened, "
    "or "
    "was a tensor not given to watch()? Pass {.allow_unused = true} if this is intended";

struct Layer {
  Parameter weight;
  Parameter bias;
};

struct Model {
  Layer hidden{Parameter(wave({2, 3}, 1)), Parameter(wave({3}, 2))};
  Layer out{Parameter(wave({3, 1}, 3)), Parameter(wave({1}, 4))};
  Tensor operator()(Arg x) const { return matmul(tanh(matmul(x, hidden.weight) + hidden.bias), out.weight) + out.bias; }
};

}  // namespace

TEST_CASE_METHOD(CleanRecord, "a result of many elements without a seed", "[tape][errors]") {
  const Parameter w(wave({2, 3}, 1));
  Tape tape;
  const Tensor y = w * 2.0;
  const int line = __LINE__ + 1;
  std::string message = error_of([&] { tape.gradient(y, w); });
  CHECK(message == "gradient: the result is f64[2, 3], not one number, at " + here(line) +
                       "; reduce it with sum() or mean(), or pass a cotangent: {.seed = ...}");
}

TEST_CASE_METHOD(CleanRecord, "a seed of another shape or dtype", "[tape][errors]") {
  const Parameter w(wave({2, 3}, 1));
  Tape tape;
  const Tensor y = w * 2.0;
  int line = __LINE__ + 1;
  std::string message = error_of([&] { tape.gradient(y, w, {.seed = ones({3, 2}, f64)}); });
  CHECK(message == "gradient: the seed is f64[3, 2] and the result f64[2, 3], at " + here(line));
  line = __LINE__ + 1;
  message = error_of([&] { tape.gradient(y, w, {.seed = ones({2, 3})}); });
  CHECK(message == "gradient: the seed is f32[2, 3] and the result f64[2, 3], at " + here(line));
  CHECK(is_close(tape.gradient(y, w, {.seed = ones({2, 3}, f64)}), full({2, 3}, 2, f64)));
}

TEST_CASE_METHOD(CleanRecord, "a result that is not on the tape", "[tape][errors]") {
  const Parameter w(wave({3}, 1));
  const Tensor early = sum(w * 2.0);
  Tape tape;
  const std::string hint = "; compute it after the tape was opened, from parameters or tensors given to watch()";
  int line = __LINE__ + 1;
  std::string message = error_of([&] { tape.gradient(early, w); });
  CHECK(message == "gradient: the result f64[] is not on this tape, at " + here(line) + hint);
  line = __LINE__ + 1;
  message = error_of([&] { tape.gradient(2.0, w); });
  CHECK(message == "gradient: the result f32[] is not on this tape, at " + here(line) + hint);
  const Tensor integers = Tensor::from<std::int64_t>({3}, {});
  line = __LINE__ + 1;
  message = error_of([&] { tape.gradient(integers, w); });
  CHECK(message == "gradient: the result i64[] is not on this tape, at " + here(line) + hint);
  const Tensor y = sum(w * 1.0);
  Tape inner;
  line = __LINE__ + 1;
  message = error_of([&] { inner.gradient(y, w); });
  CHECK(message == "gradient: the result f64[] is not on this tape, at " + here(line) + hint);
}

TEST_CASE_METHOD(CleanRecord, "empty handles as result, as what is wanted, and to watch", "[tape][errors]") {
  const Parameter w(scalar(1));
  const Parameter empty;
  Tape tape;
  const Tensor y = w * w;
  Tensor nothing;
  int line = __LINE__ + 1;
  CHECK(error_of([&] { tape.watch(nothing); }) == "watch: the tensor is empty (default-constructed), at " + here(line));
  line = __LINE__ + 1;
  CHECK(error_of([&] { tape.gradient(nothing, w); }) == "gradient: the result is an empty handle, at " + here(line));
  const std::string as_target = "gradient: what the gradient is wanted for is an empty handle, at ";
  line = __LINE__ + 1;
  CHECK(error_of([&] { tape.gradient(y, nothing); }) == as_target + here(line));
  line = __LINE__ + 1;
  CHECK(error_of([&] { tape.gradient(y, empty); }) == as_target + here(line));
  const std::vector<Tensor> list{w, nothing};
  line = __LINE__ + 1;
  CHECK(error_of([&] { tape.gradient(y, list); }) == as_target + here(line));
}

TEST_CASE_METHOD(CleanRecord, "a parameter that was never given values: an error where it is used, else passed over",
                 "[tape][errors]") {
  struct {
    Parameter w{scalar(2)};
    Parameter empty;
  } model;
  Tape tape;
  const int line = __LINE__ + 1;
  std::string message = error_of([&] { model.w* model.empty; });
  CHECK(message == "a parameter without values was used, at " + here(line) +
                       "; it was default-constructed, or its values were moved to another parameter");
  const Gradients g = tape.gradient(model.w * model.w, model);
  CHECK(g.size() == 1);
  CHECK(g[model.w].item() == 4);
}

TEST_CASE_METHOD(CleanRecord, "watching integers", "[tape][errors]") {
  Tensor x = Tensor::from<std::int64_t>({1, 2, 3});
  Tape tape;
  const int line = __LINE__ + 1;
  std::string message = error_of([&] { tape.watch(x); });
  CHECK(message == "watch: i64[3] has no gradient, at " + here(line) + "; convert it with to(f32)");
}

TEST_CASE_METHOD(CleanRecord, "a tensor that was not reached", "[tape][errors]") {
  const Parameter w(scalar(2));
  Tensor x = wave({2, 3}, 1);
  Tape tape;
  const Tensor y = w * w;
  int line = __LINE__ + 1;
  std::string message = error_of([&] { tape.gradient(y, x); });
  CHECK(message == "gradient: the result does not depend on f64[2, 3], at " + here(line) + unreached_hint);
  tape.watch(x);
  const Tensor z = w * w;
  line = __LINE__ + 1;
  message = error_of([&] { tape.gradient(z, x); });
  CHECK(message == "gradient: the result does not depend on f64[2, 3], at " + here(line) + unreached_hint);
}

TEST_CASE_METHOD(CleanRecord, "parameters that were not reached, by name", "[tape][errors]") {
  const Model model;
  const Tensor x = wave({4, 2}, 1);
  {
    Tape tape;
    const Tensor y = sum(matmul(tanh(matmul(x, model.hidden.weight) + model.hidden.bias), model.out.weight));
    const int line = __LINE__ + 1;
    std::string message = error_of([&] { tape.gradient(y, model); });
    CHECK(message == "gradient: the result does not depend on `out.bias` f64[1], at " + here(line) + unreached_hint);
  }
  const auto call = [model](Arg images) { return model(images); };  // by value: a copy
  Tape tape;
  const Tensor y = sum(call(x));
  const int line = __LINE__ + 1;
  std::string message = error_of([&] { tape.gradient(y, model); });
  CHECK(message ==
        "gradient: the result does not depend on `hidden.weight` f64[2, 3], `hidden.bias` f64[3], `out.weight` f64[3, "
        "1] and 1 more, at " +
            here(line) + unreached_hint);
}

TEST_CASE_METHOD(CleanRecord, "a forward pass before the tape", "[tape][errors]") {
  const Parameter w(scalar(2));
  const Parameter v(scalar(3));
  const Tensor h = w * w;
  Tape tape;
  const Tensor y = h * v;
  const int line = __LINE__ + 1;
  std::string message = error_of([&] { tape.gradient(y, w); });
  CHECK(message == "gradient: the result does not depend on f64[], at " + here(line) + unreached_hint);
}

TEST_CASE_METHOD(CleanRecord, "a second walk over released entries", "[tape][errors]") {
  const Parameter w(wave({3}, 1));
  Tape tape;
  const int recorded = __LINE__ + 1;
  const Tensor h = tanh(w);
  const Tensor y = sum(h);
  tape.gradient(y, w);
  const Tensor z = sum(h * 2.0);
  const int line = __LINE__ + 1;
  std::string message = error_of([&] { tape.gradient(z, w); });
  CHECK(message == "gradient: `tanh` at " + here(recorded) + " was walked before and has released what it saved, at " +
                       here(line) + "; open the tape with {.persistent = true}, or take both gradients in one call");
}

TEST_CASE_METHOD(CleanRecord, "a second walk over a released entry with more inputs than an entry holds",
                 "[tape][errors]") {
  std::vector<Parameter> p;
  for (int k = 0; k < 5; ++k) p.emplace_back(wave({2}, k + 1));
  Tape tape;
  const int recorded = __LINE__ + 1;
  const Tensor all = concat({p[0], p[1], p[2], p[3], p[4]});
  tape.gradient(sum(all), p[0]);
  const std::string released =
      "gradient: `concat` at " + here(recorded) + " was walked before and has released what it saved, at ";
  const Tensor z = sum(all * 3.0) + sum(p[4] * 2.0);
  // The fourth and further inputs are still known: silence here would be a wrong gradient.
  const int line = __LINE__ + 1;
  std::string message = error_of([&] { tape.gradient(z, p[4]); });
  CHECK(message ==
        released + here(line) + "; open the tape with {.persistent = true}, or take both gradients in one call");
}

TEST_CASE_METHOD(CleanRecord, "after an error the tape still records", "[tape][errors]") {
  const Parameter w(wave({3}, 1));
  const Parameter other(wave({3}, 2));
  Tape tape;
  CHECK_THROWS_AS(tape.gradient(sum(w * w), other), Error);
  CHECK_THROWS_AS(matmul(w, wave({4}, 1)), Error);
  CHECK_THROWS_AS(tape.gradient(w * w, w), Error);
  CHECK(is_close(tape.gradient(sum(w * w), w), w * 2.0));
}

TEST_CASE_METHOD(CleanRecord, "ops name shapes and the user's line, through functions and operators",
                 "[tape][errors]") {
  const Parameter w(wave({3, 4}, 1));
  Tape tape;
  int line = __LINE__ + 1;
  CHECK(error_of([&] { w + wave({5}, 1); }).find("at " + here(line)) != std::string::npos);
  line = __LINE__ + 1;
  CHECK(error_of([&] { matmul(w, w); }).find("at " + here(line)) != std::string::npos);
  line = __LINE__ + 2;
  Tensor x = w * 1.0;
  CHECK(error_of([&] { x += wave({5}, 1); }).find("at " + here(line)) != std::string::npos);
  CHECK(x.shape() == Shape{3, 4});  // untouched
}

TEST_CASE_METHOD(CleanRecord, "an error inside a layer names it and the line of its call", "[tape][errors]") {
  const Parameter w(wave({3, 4}, 1));
  const auto layer = [&](Arg x) {
    const detail::LayerScope scope(detail::intern("blocks.2.hidden"), x.at());
    return matmul(x, w);
  };
  const Tensor x = wave({5, 7}, 1);
  Tape tape;
  const int line = __LINE__ + 1;
  const std::string error = error_of([&] { layer(x); });
  CHECK(error.find(", in blocks.2.hidden, at " + here(line)) != std::string::npos);
}

TEST_CASE_METHOD(CleanRecord,
                 "errors of shapes, axes and empty handles inside a layer name it and the line of its call",
                 "[tape][errors]") {
  const auto layer = [](Arg x, auto&& f) {
    const detail::LayerScope scope(detail::intern("blocks.1"), x.at());
    return f(x.tensor());
  };
  const Tensor x = wave({2, 3}, 1);
  const int line = __LINE__ + 1;
  const auto error = [&](auto&& f) { return error_of([&] { layer(x, f); }); };
  const std::string place = ", in blocks.1, at " + here(line);

  CHECK(error([](const Tensor& t) { return t + wave({4}, 1); }) ==
        "add: shapes [2, 3] and [4] do not broadcast: axis -1 has 3 and 4" + place +
            "; sizes, counted from the last axis, must be equal or 1");
  CHECK(error([](const Tensor& t) {
          return expand(t.slice(0, 0, 1).slice(1, 0, 1), {1 << 30, 1}) + expand(wave({1}, 1), {1 << 30});
        }) == "add: shape [1073741824, 1073741824] has too many elements" + place);
  CHECK(error([](const Tensor& t) { return sum(t, {.axis = 2}); }) ==
        "sum: axis 2 is out of range" + place + "; a tensor of 2 axes has axes -2 to 1");
  CHECK(error([](const Tensor& t) { return sum(sum(t), {.axis = 0}); }) ==
        "sum: axis 0 is out of range" + place + "; a 0-dim tensor has no axes");
  CHECK(error([](const Tensor& t) { return sum(t, {.axis = {0, -2}}); }) == "sum: axis 0 is named twice" + place);
  CHECK(error([](const Tensor& t) {
          return sum(t, {.axis = {0, 1, 2, 3, 4, 5, 6, 7, 8}});
        }) == "sum: 9 axes named, at most 8 are possible" + place);
  CHECK(error([](const Tensor& t) { return t.slice(-3, 0, 1); }) ==
        "slice: axis -3 is out of range" + place + "; a tensor of 2 axes has axes -2 to 1");
  CHECK(error([](const Tensor&) { return stop_gradient(Tensor()); }) ==
        "stop_gradient: input 0 is an empty handle" + place);
  CHECK(error([](const Tensor&) { return zeros_like(Tensor()); }) == "zeros_like: input 0 is an empty handle" + place);
}

TEST_CASE_METHOD(CleanRecord, "stop_gradient of an empty handle names the line", "[tape][errors]") {
  const int line = __LINE__ + 1;
  CHECK(error_of([&] { stop_gradient(Tensor()); }) == "stop_gradient: input 0 is an empty handle, at " + here(line));
}

TEST_CASE_METHOD(CleanRecord, "a change to what a layer saved names the line of the layer's call", "[tape][errors]") {
  const Parameter w(wave({3}, 1));
  const auto layer = [&](Arg x) {
    const detail::LayerScope scope(detail::intern("hidden"), x.at());
    return w * x;
  };
  Tensor x = wave({3}, 2);
  Tape tape;
  const int saved = __LINE__ + 1;
  const Tensor y = sum(layer(x));
  const int changed = __LINE__ + 1;
  x.span<double>()[0] = 1;
  CHECK(error_of([&] { tape.gradient(y, w); }) ==
        "`mul` at " + here(saved) + " saved a tensor f64[3]; `span` at " + here(changed) + " changed it");
}

TEST_CASE_METHOD(CleanRecord, "an entry made by a recorded walk has the line of the forward op", "[tape][errors]") {
  Tensor x = wave({3}, 1);
  Tape outer;
  outer.watch(x);
  Tensor factor = wave({3}, 2);
  Tensor g;
  const int forward = __LINE__ + 4;
  {
    Tape inner;
    inner.watch(x);
    g = inner.gradient(sum(tanh(x * factor)), x);
  }
  const int changed = __LINE__ + 1;
  factor.span<double>()[0] = 1;
  CHECK(error_of([&] { outer.gradient(sum(g), x); }) ==
        "`mul` at " + here(forward) + " saved a tensor f64[3]; `span` at " + here(changed) + " changed it");
}

}  // namespace tape_test
