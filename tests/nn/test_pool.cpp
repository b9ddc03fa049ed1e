// Pooling layers: they are the functions with their options, have names, and refuse bad sizes where they are made.
#include "nn/pool.h"

#include "autograd/create.h"
#include "autograd/gradcheck.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/random.h"
#include "nn/sequential.h"
#include "nn/summary.h"
#include "tests/catch.h"
#include "tests/error_of.h"

using namespace tapegrad;
using tapegrad::tests::error_of;

TEST_CASE("pooling layers compute what their functions do") {
  const Tensor image = random::normal({2, 7, 6, 3});
  const Tensor sequence = random::normal({2, 9, 3});
  CHECK(array_equal(nn::MaxPool2d{2}(image), max_pool2d(image, 2)));
  CHECK(array_equal(nn::MaxPool2d({3, 2}, {.stride = {2, 1}, .padding = 1})(image),
                    max_pool2d(image, {3, 2}, {.stride = {2, 1}, .padding = 1})));
  CHECK(array_equal(nn::MaxPool1d{3, {.stride = 2, .ceil_mode = true}}(sequence),
                    max_pool1d(sequence, 3, {.stride = 2, .ceil_mode = true})));
  CHECK(array_equal(nn::AvgPool2d{3, {.padding = 1, .count_include_pad = false}}(image),
                    avg_pool2d(image, 3, {.padding = 1, .count_include_pad = false})));
  CHECK(array_equal(nn::AvgPool1d{2}(sequence), avg_pool1d(sequence, 2)));
  CHECK(array_equal(nn::AdaptiveMaxPool1d{4}(sequence), adaptive_max_pool1d(sequence, 4)));
  CHECK(array_equal(nn::AdaptiveMaxPool2d{{3, 2}}(image), adaptive_max_pool2d(image, {3, 2})));
  CHECK(array_equal(nn::AdaptiveAvgPool1d{4}(sequence), adaptive_avg_pool1d(sequence, 4)));
  CHECK(array_equal(nn::AdaptiveAvgPool2d{2}(image), adaptive_avg_pool2d(image, 2)));
  CHECK(array_equal(nn::GlobalMaxPool{}(image), max(image, {.axis = {1, 2}})));
  CHECK(array_equal(nn::GlobalAvgPool{}(sequence), mean(sequence, {.axis = 1})));
}

TEST_CASE("pooling layers have a row in the summary and a name in errors") {
  struct Net {
    nn::MaxPool2d pool{2};
    nn::GlobalAvgPool global;
    Tensor operator()(Arg x) const { return global(pool(x)); }
  };
  const Net net;
  const nn::Summary summary = nn::summary(net, {4, 8, 6, 3});
  REQUIRE(summary.rows.size() == 2);
  CHECK(summary.rows[0].name == "pool");
  CHECK(summary.rows[0].type == "MaxPool2d");
  CHECK(summary.rows[0].output == "[4, 4, 3, 3]");
  CHECK(summary.rows[1].output == "[4, 3]");
  CHECK(error_of([&] {
          net.pool(zeros({4, 1, 8, 8}));
        }) ==
        "max_pool2d: windows over 2 elements are larger than the 1 along the height of x, f32[4, 1, 8, 8], in pool, at "
        "here; the layout is that of images [batch, height, width, channels]; if x has its channels first, permute(x, "
        "{0, 2, 3, 1})");
  CHECK(error_of([&] {
          net.global(zeros({4, 8}));
        }) == "global_avg_pool: x is f32[4, 8], not images [batch, height, width, channels], in global, at here");
}

TEST_CASE("pooling layers refuse sizes where they are made") {
  CHECK(error_of([] { nn::MaxPool1d{0}; }) == "MaxPool1d: kernel_size 0 is below 1, at here");
  CHECK(error_of([] { nn::MaxPool2d(2, {.padding = 2}); }) ==
        "MaxPool2d: padding 2 is more than half of kernel_size 2, at here; more can be added by pad()");
  CHECK(error_of([] { nn::AvgPool1d(2, {.stride = -1}); }) == "AvgPool1d: stride -1 is below 1, at here");
  CHECK(error_of([] { nn::AvgPool2d(2, {.stride = {1, 0}}); }) == "AvgPool2d: stride {1, 0} is below 1, at here");
  CHECK(error_of([] { nn::AdaptiveMaxPool1d{0}; }) == "AdaptiveMaxPool1d: output_size 0 is below 1, at here");
  CHECK(error_of([] { nn::AdaptiveMaxPool2d{{1, 0}}; }) == "AdaptiveMaxPool2d: output_size {1, 0} is below 1, at here");
  CHECK(error_of([] { nn::AdaptiveAvgPool1d{-1}; }) == "AdaptiveAvgPool1d: output_size -1 is below 1, at here");
  CHECK(error_of([] { nn::AdaptiveAvgPool2d{0}; }) == "AdaptiveAvgPool2d: output_size 0 is below 1, at here");
}

TEST_CASE("pooling between other functions is differentiated to the second order") {
  const nn::Sequential net{[](Arg x) { return x * x; }, nn::MaxPool2d{3, {.stride = 2, .padding = 1}},
                           [](Arg x) { return tanh(x); }, nn::AvgPool2d{2, {.stride = 1}}, nn::GlobalMaxPool{}};
  CHECK(gradcheck(net, random::normal({2, 7, 6, 3}), {.second_order = true}));
}
