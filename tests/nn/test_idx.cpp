// IDX files: what is read, what is refused and how that is said, and ten thousand broken ones.
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "autograd/create.h"
#include "autograd/random.h"
#include "nn/data.h"
#include "tests/catch.h"
#include "tests/error_of.h"

#ifdef TAPEGRAD_HAS_ZLIB
#include <zlib.h>
#endif

using namespace tapegrad;
using tapegrad::tests::error_of;

namespace {

/// A file of unsigned bytes 0, 1, 2, ...
std::string idx(const std::vector<std::uint32_t>& sizes) {
  std::string text{'\0', '\0', '\x08', static_cast<char>(sizes.size())};
  std::size_t count = 1;
  for (const std::uint32_t size : sizes) {
    for (const int shift : {24, 16, 8, 0}) text += static_cast<char>(size >> shift & 0xff);
    count *= size;
  }
  for (std::size_t k = 0; k < count; ++k) text += static_cast<char>(k % 256);
  return text;
}

/// What is said, without the line.
std::string without_line(std::string text) {
  const std::size_t place = text.find(", at here");
  REQUIRE(place != std::string::npos);
  return text.erase(place, 9);
}

std::string reading_error(const std::string& text, SourceLocation at) {
  std::istringstream in(text);
  return without_line(error_of([&] { read_idx(in, "file", at); }, at));
}

/// A folder that is removed at the end of the scope.
class TemporaryFolder {
 public:
  TemporaryFolder() : path_(std::filesystem::temp_directory_path() / ("tapegrad_idx_" + std::to_string(::getpid()))) {
    std::filesystem::create_directory(path_);
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ / name, std::ios::binary) << text;
  }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

void write_all(const TemporaryFolder& folder) {
  folder.write("train-images-idx3-ubyte", idx({5, 2, 3}));
  folder.write("train-labels-idx1-ubyte", idx({5}));
  folder.write("t10k-images-idx3-ubyte", idx({2, 2, 3}));
  folder.write("t10k-labels-idx1-ubyte", idx({2}));
}

}  // namespace

TEST_CASE("an IDX file gives its elements") {
  std::istringstream in(idx({2, 3}));
  const Tensor x = read_idx(in, "file");
  CHECK(x.shape() == Shape{2, 3});
  CHECK(x.dtype() == f32);
  CHECK(x.at({1, 2}) == 5);
  std::istringstream empty(idx({0, 3}));
  CHECK(read_idx(empty, "file").shape() == Shape{0, 3});
}

TEST_CASE("a folder gives images from 0 to 1 and labels") {
  const TemporaryFolder folder;
  write_all(folder);
  const auto [train, test] = load_idx(folder.path());
  CHECK(train.images.shape() == Shape{5, 2, 3, 1});
  CHECK(train.images.at({1, 0, 1, 0}) == Approx(7 / 255.0));
  CHECK(train.labels.dtype() == i64);
  CHECK(train.labels.at({4}) == 4);
  CHECK(test.size() == 2);
}

TEST_CASE("a broken IDX file is refused with what is wrong") {
  const auto at = SourceLocation::current();
  const std::string whole = idx({2, 3});
  CHECK(reading_error("", at) == "file: is cut short: it has no header");
  CHECK(reading_error("\x1f\x8b\x08\x01", at) ==
        "file: is compressed; gunzip it, or build the library with -Dzlib=enabled");
  CHECK(reading_error("P5 28 28", at) == "file: is not an IDX file: it does not begin with two zero bytes");
  CHECK(reading_error(std::string("\0\0\x0d\x01", 4), at) ==
        "file: holds elements of type 13; only unsigned bytes (8) are read");
  CHECK(reading_error(std::string("\0\0\x08\x05", 4), at) == "file: has 5 axes, not 1 to 4");
  CHECK(reading_error(whole.substr(0, 10), at) == "file: is cut short within its header");
  CHECK(reading_error(whole.substr(0, 16), at) == "file: is cut short: 4 elements where its header says 6");
  CHECK(reading_error(whole + "x", at) == "file: is longer than its header says: 6 elements");
  CHECK(reading_error(idx({0xffffffff, 0}).replace(11, 1, "\x02"), at) ==
        "file: says that it has more than 2^31 elements");
  // Two thousand million elements that are not there cost no memory.
  CHECK(reading_error(idx({0x7fffffff, 0}).substr(0, 8).replace(3, 1, "\x01"), at) ==
        "file: is cut short: 0 elements where its header says 2147483647");
}

TEST_CASE("a folder whose files do not belong together is refused") {
  const auto at = SourceLocation::current();
  const TemporaryFolder folder;
  const auto error = [&] { return without_line(error_of([&] { load_idx(folder.path(), at); }, at)); };
  CHECK(error() == folder.path() + ": there is no train-images-idx3-ubyte, nor train-images-idx3-ubyte.gz");
  write_all(folder);
  folder.write("t10k-labels-idx1-ubyte", idx({3}));
  CHECK(error() == folder.path() + ": 2 images, but 3 labels, in t10k");
  folder.write("t10k-labels-idx1-ubyte", idx({2, 1}));
  CHECK(error() == folder.path() + "/t10k-labels-idx1-ubyte: labels have one axis; these are f32[2, 1]");
  folder.write("t10k-images-idx3-ubyte", idx({2, 6}));
  CHECK(error() == folder.path() + "/t10k-images-idx3-ubyte: images have three axes; these are f32[2, 6]");
}

TEST_CASE("ten thousand broken IDX files are read or refused, never worse") {
  const std::string whole = idx({3, 4, 5});
  random::Generator generator(5);
  int refused = 0;
  for (int k = 0; k < 10000; ++k) {
    std::string text = whole;
    const auto bits = generator.reserve(1).block(0);
    // In the header mostly; there all the lies are.
    const std::size_t length = bits[0] % 2 ? 16 : text.size();
    text[bits[1] % length] = static_cast<char>(bits[2]);
    if (bits[0] % 8 == 2) text.resize(bits[3] % text.size());
    if (bits[0] % 8 == 4) text.append(bits[3] % 40, 'x');
    if (bits[0] % 8 == 6) text.erase(bits[3] % text.size(), 3);
    std::istringstream in(text);
    try {
      read_idx(in, "file");
    } catch (const Error&) {
      ++refused;
    }
  }
  CHECK(refused > 5000);
  CHECK(refused < 10000);
}

#ifdef TAPEGRAD_HAS_ZLIB
TEST_CASE("compressed files are read, broken ones refused") {
  const TemporaryFolder folder;
  write_all(folder);
  const std::string plain = folder.path() + "/train-labels-idx1-ubyte";
  const std::string packed = plain + ".gz";
  const std::string whole = idx({5});
  gzFile file = gzopen(packed.c_str(), "wb");
  gzwrite(file, whole.data(), static_cast<unsigned>(whole.size()));
  gzclose(file);
  std::filesystem::remove(plain);
  CHECK(load_idx(folder.path()).train.labels.at({3}) == 3);

  std::ifstream in(packed, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(in), {}};
  random::Generator generator(6);
  int refused = 0;
  for (int k = 0; k < 1000; ++k) {
    std::string text = bytes;
    const auto bits = generator.reserve(1).block(0);
    text[bits[0] % text.size()] = static_cast<char>(bits[1]);
    if (bits[2] % 4 == 0) text.resize(bits[3] % text.size());
    folder.write("train-labels-idx1-ubyte.gz", text);
    try {
      load_idx(folder.path());
    } catch (const Error&) {
      ++refused;
    }
  }
  CHECK(refused > 500);
}
#endif
