// IDX files: two zero bytes, the type of an element (8: unsigned byte), the number of axes, a big-endian 32-bit size for
// each axis, and the elements.
#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <functional>
#include <istream>
#include <memory>
#include <vector>

#include "nn/data.h"

#ifdef TAPEGRAD_HAS_ZLIB
#include <zlib.h>
#endif

namespace tapegrad {
namespace {

/// Reads up to `count` bytes to `to` and returns how many there were; fewer only at the end. Throws when reading fails.
using Source = std::function<std::size_t(unsigned char* to, std::size_t count)>;

constexpr int unsigned_byte = 8;
constexpr std::size_t most_axes = 4;
constexpr std::int64_t most_elements = std::int64_t{1} << 31;

class IdxParser {
 public:
  IdxParser(const Source& source, const std::string& name, SourceLocation at) : source_(source), name_(name), at_(at) {}

  Tensor parse() {
    const Shape shape = header();
    const std::vector<unsigned char> bytes = elements(shape.size());
    Tensor result = Tensor::empty(shape, f32);
    std::copy(bytes.begin(), bytes.end(), result.data<float>());
    return result;
  }

 private:
  [[noreturn]] void fail_file(const std::string& what, const std::string& hint = {}) const {
    fail(name_ + ": " + what, at_, hint);
  }

  Shape header() {
    std::array<unsigned char, 4> magic{};
    if (source_(magic.data(), 4) < 4) fail_file("is cut short: it has no header");
    if (magic[0] == 0x1f && magic[1] == 0x8b) {
      fail_file("is compressed", "gunzip it, or build the library with -Dzlib=enabled");
    }
    if (magic[0] != 0 || magic[1] != 0) fail_file("is not an IDX file: it does not begin with two zero bytes");
    if (magic[2] != unsigned_byte) {
      fail_file("holds elements of type " + std::to_string(magic[2]) + "; only unsigned bytes (8) are read");
    }
    if (magic[3] < 1 || magic[3] > most_axes) fail_file("has " + std::to_string(magic[3]) + " axes, not 1 to 4");
    Shape shape;
    std::int64_t size = 1;
    for (int axis = 0; axis < magic[3]; ++axis) {
      shape.append(axis_size());
      size *= shape[axis];
      if (size > most_elements) fail_file("says that it has more than 2^31 elements");
    }
    return shape;
  }

  std::int64_t axis_size() {
    std::array<unsigned char, 4> bytes{};
    if (source_(bytes.data(), 4) < 4) fail_file("is cut short within its header");
    std::int64_t size = 0;
    for (const unsigned char b : bytes) size = size * 256 + b;
    return size;
  }

  // Piece by piece, so that a header that lies costs no memory.
  std::vector<unsigned char> elements(std::int64_t count) {
    constexpr std::int64_t piece = 1 << 20;
    std::vector<unsigned char> bytes;
    for (std::int64_t read = 0; read < count;) {
      const std::int64_t wanted = std::min(piece, count - read);
      bytes.resize(static_cast<std::size_t>(read + wanted));
      const std::size_t got = source_(bytes.data() + read, static_cast<std::size_t>(wanted));
      read += static_cast<std::int64_t>(got);
      if (got < static_cast<std::size_t>(wanted)) {
        fail_file("is cut short: " + std::to_string(read) + " elements where its header says " + std::to_string(count));
      }
    }
    unsigned char more = 0;
    if (source_(&more, 1) != 0) fail_file("is longer than its header says: " + std::to_string(count) + " elements");
    return bytes;
  }

  const Source& source_;
  const std::string& name_;
  SourceLocation at_;
};

Source source_of(std::istream& in, const std::string& name, SourceLocation at) {
  return [&in, name, at](unsigned char* to, std::size_t count) {
    in.read(reinterpret_cast<char*>(to), static_cast<std::streamsize>(count));
    if (in.bad()) fail(name + ": could not be read to its end", at);
    return static_cast<std::size_t>(in.gcount());
  };
}

#ifdef TAPEGRAD_HAS_ZLIB
Tensor read_file(const std::string& path, SourceLocation at) {
  // What is not compressed is read as it is.
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(gzopen(path.c_str(), "rb"), gzclose);
  if (!file) fail(path + ": the file cannot be opened", at);
  const Source source = [&](unsigned char* to, std::size_t count) {
    const int got = gzread(file.get(), to, static_cast<unsigned>(count));
    int error = Z_OK;
    const char* const what = gzerror(file.get(), &error);
    if (got < 0 || (error != Z_OK && error != Z_BUF_ERROR)) fail(path + ": cannot be decompressed: " + what, at);
    return static_cast<std::size_t>(got);
  };
  return IdxParser(source, path, at).parse();
}
#else
Tensor read_file(const std::string& path, SourceLocation at) {
  std::ifstream in(path, std::ios::binary);
  if (!in) fail(path + ": the file cannot be opened", at);
  return read_idx(in, path, at);
}
#endif

// The file, or the compressed one.
std::string find_file(const std::string& folder, const std::string& name, SourceLocation at) {
  std::error_code ignored;
  for (const char* end : {"", ".gz"}) {
    const std::filesystem::path path = std::filesystem::path(folder) / (name + end);
    if (std::filesystem::is_regular_file(path, ignored)) return path.string();
  }
  fail(folder + ": there is no " + name + ", nor " + name + ".gz", at);
}

Dataset load_part(const std::string& folder, const std::string& part, SourceLocation at) {
  const std::string images_path = find_file(folder, part + "-images-idx3-ubyte", at);
  const std::string labels_path = find_file(folder, part + "-labels-idx1-ubyte", at);
  const Tensor pixels = read_file(images_path, at);
  const Tensor labels = read_file(labels_path, at);
  if (pixels.ndim() != 3) fail(images_path + ": images have three axes; these are " + describe(pixels), at);
  if (labels.ndim() != 1) fail(labels_path + ": labels have one axis; these are " + describe(labels), at);
  if (pixels.shape(0) != labels.shape(0)) {
    fail(folder + ": " + std::to_string(pixels.shape(0)) + " images, but " + std::to_string(labels.shape(0)) +
             " labels, in " + part,
         at);
  }
  Tensor images = Tensor::empty({pixels.shape(0), pixels.shape(1), pixels.shape(2), 1}, f32);
  std::transform(pixels.data<float>(), pixels.data<float>() + pixels.size(), images.data<float>(),
                 [](float p) { return p / 255; });
  return {images, labels.to(i64)};
}

}  // namespace

Tensor read_idx(std::istream& in, const std::string& name, SourceLocation at) {
  const Source source = source_of(in, name, at);
  return IdxParser(source, name, at).parse();
}

TrainTest load_idx(const std::string& folder, SourceLocation at) {
  return {load_part(folder, "train", at), load_part(folder, "t10k", at)};
}

std::string fashion_mnist_folder() {
  const std::string folder = "/usr/share/datasets/fashion-mnist";
  std::error_code ignored;
  return std::filesystem::is_directory(folder, ignored) ? folder : "";
}

}  // namespace tapegrad
