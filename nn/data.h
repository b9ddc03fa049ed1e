#pragma once
// Data sets: pairs of tensors whose first axis counts the examples. Batches are in nn/batches.h.
#include <cstdint>
#include <iosfwd>
#include <string>

#include "autograd/tensor.h"

namespace tapegrad {

/// Labelled images: `images` [n, height, width, channels], `labels` [n] i64.
struct Dataset {
  Tensor images;
  Tensor labels;

  /// The number of examples. Throws when there are no tensors.
  std::int64_t size(SourceLocation at = SourceLocation::current()) const;
};

struct TrainTest {
  Dataset train;
  Dataset test;
};

struct TrainValidation {
  Dataset train;
  Dataset validation;
};

/// Which of the 1,797 digits are for training: 1,347 in both cases, so that 450 are left for the test.
enum class DigitsSplit {
  shuffled,   ///< a fixed random choice: the test has other images of the same writers
  by_writer,  ///< the first 1,347 in the order of the source: the test has other writers, which is harder
};

struct DigitsOptions {
  DigitsSplit split = DigitsSplit::shuffled;
  /// Reads this file instead of the data that is compiled in; it must have the same format and number of lines.
  std::string file = {};
};

/// The UCI handwritten digits (nn/data/ATTRIBUTION.md): images [n, 8, 8, 1] f32 from 0 (paper) to 1 (ink), labels 0
/// to 9.
///
///     auto [train, test] = load_digits();
///
/// Throws when a file is missing, cut short, or not in the format; then nothing is loaded.
TrainTest load_digits(const DigitsOptions& options = {}, SourceLocation at = SourceLocation::current());

/// Parses lines of 64 pixels (integers 0 to 16) and a label (0 to 9), separated by commas, into images [n, 8, 8, 1] f32
/// from 0 to 1 and labels [n] i64. `name` is the name of the source in messages. Throws for the first line that is not
/// so, with its number, and when there is no line.
Dataset read_digits(std::istream& in, const std::string& name, SourceLocation at = SourceLocation::current());

/// Reads the images and labels of a data set in IDX files, as MNIST and its kin come: a folder with
/// train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, each as it is or
/// with .gz (where the library was built with zlib). images [n, height, width, 1] f32 from 0 to 1, labels [n] i64.
///
///     auto [train, test] = load_idx("mnist");
///
/// Throws when a file is missing, cut short, longer than its header says, or not in the format (LeCun's page of MNIST:
/// unsigned bytes, a size for each axis), and when images and labels do not belong together; then nothing is loaded.
TrainTest load_idx(const std::string& folder, SourceLocation at = SourceLocation::current());

/// Parses one IDX file of unsigned bytes: [sizes...] f32 from 0 to 255. `name` is the name of the source in messages.
/// Throws as load_idx does. Memory grows with what is there, not with what the header says.
Tensor read_idx(std::istream& in, const std::string& name, SourceLocation at = SourceLocation::current());

/// The folder of Debian's package dataset-fashion-mnist; "" where it is not installed.
std::string fashion_mnist_folder();

/// Cuts the last `count` examples off as a validation part; both parts share the elements of `data`. Throws unless at
/// least one example is left in each.
///
///     auto [fit, validation] = hold_out(train, 347);
TrainValidation hold_out(const Dataset& data, std::int64_t count, SourceLocation at = SourceLocation::current());

/// The share of examples whose largest logit is at the label: logits [..., classes] f32 or f64, labels [...] i64 or
/// i32. The first of several equal logits counts; a row with a NaN is counted as wrong. Throws when the shapes do not
/// fit, there is no example, a label is not in [0, classes), or one of the two is an empty handle.
double accuracy(const Tensor& logits, const Tensor& labels, SourceLocation at = SourceLocation::current());

}  // namespace tapegrad
