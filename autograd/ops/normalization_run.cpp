#include "autograd/ops/normalization_run.h"

#include <algorithm>
#include <cmath>

#include "autograd/kernels/table.h"
#include "autograd/ops/elements.h"

namespace tapegrad::detail {
namespace {

constexpr double nanoseconds_per_element = 0.5;

// to[c] = the sum over chunks of from[chunk * stride + c], in order.
template <class T>
void add_chunks(const double* from, std::int64_t chunks, std::int64_t stride, std::int64_t n, void* to) {
  for (std::int64_t c = 0; c < n; ++c) {
    double sum = 0;
    for (std::int64_t k = 0; k < chunks; ++k) sum += from[k * stride + c];
    static_cast<T*>(to)[c] = static_cast<T>(sum);
  }
}

template <class T>
constexpr std::size_t kernel_of = sizeof(T) == sizeof(double);

// ---- rows: one position, one group ----

template <class T>
void normalize_rows(const NormProblem& p, const void* x, const void* weight, const void* bias, double* statistics,
                    void* y) {
  const std::int64_t n = p.sizes.width;
  for_ranges(p.sizes.samples, nanoseconds_per_element * static_cast<double>(n),
             [&](std::int64_t begin, std::int64_t end) {
               kernels::table().normalize_rows[kernel_of<T>](
                   {n, x, weight, bias, y, statistics, p.epsilon, p.centred, begin, end});
             });
}

template <class T>
void normalize_rows_backward(const NormProblem& p, const void* x, const void* weight, const void* g,
                             const double* statistics, void* dx, void* dweight, void* dbias) {
  const std::int64_t n = p.sizes.width;
  const std::int64_t rows = p.sizes.samples;
  const std::int64_t chunks = chunks_for(rows, nanoseconds_per_element * static_cast<double>(n));
  const std::size_t columns = dweight ? static_cast<std::size_t>(2 * n) : 0;
  const Scratch partial(static_cast<std::size_t>(chunks) * columns * sizeof(double));
  parallel_for(chunks, [&](std::int64_t chunk) {
    const Scratch workspace(columns * sizeof(T));
    const Range range = chunk_range(rows, chunks, chunk, 1);
    double* const sums = dweight ? partial.get<double>() + chunk * 2 * n : nullptr;
    kernels::table().normalize_rows_backward[kernel_of<T>]({n, x, g, weight, statistics, p.epsilon, p.centred, dx, sums,
                                                            dweight ? sums + n : nullptr, workspace.get(), range.begin,
                                                            range.end});
  });
  if (!dweight) return;
  add_chunks<T>(partial.get<double>(), chunks, 2 * n, n, dweight);
  add_chunks<T>(partial.get<double>() + n, chunks, 2 * n, n, dbias);
}

// ---- columns ----

// How the work is cut: many samples are handed out whole, so that a sample is in the cache when it is read again; of
// few ones the positions are.
struct Cut {
  std::int64_t sample_chunks = 1;
  std::int64_t position_chunks = 1;

  explicit Cut(const NormSizes& z) {
    const double of_position = nanoseconds_per_element * static_cast<double>(z.channels());
    if (z.samples < max_chunks) {
      position_chunks = chunks_for(z.positions, of_position);
    } else {
      sample_chunks = chunks_for(z.samples, of_position * static_cast<double>(z.positions));
    }
  }
};

// Few channels fill no register: several positions are taken as one line with as many channels.
struct Lines {
  static constexpr std::int64_t enough = 32;
  std::int64_t channels, fold;

  explicit Lines(std::int64_t c) : channels(c), fold(c < enough ? (enough + c - 1) / c : 1) {}
  std::int64_t length() const { return fold * channels; }
  // What is kept of every line's column and, behind that, of every channel in the positions that fill no line.
  std::int64_t slots() const { return length() + channels; }

  // Calls f(first position, rows, columns, slot) for the lines in a range of positions, and for those left over.
  template <class F>
  void for_each(Range positions, F&& f) const {
    const std::int64_t count = positions.end - positions.begin;
    const std::int64_t rows = count / fold;
    if (rows) f(positions.begin, rows, length(), std::int64_t{0});
    if (count % fold) f(positions.begin + rows * fold, count % fold, channels, length());
  }
};

// The mean of `count` values and the sum of their squared differences from it (Chan, Golub and LeVeque, 1983).
struct Moments {
  double count = 0, mean = 0, squares = 0;

  void merge(const Moments& other) {
    const double all = count + other.count;
    const double difference = other.mean - mean;
    mean += difference * (other.count / all);
    squares += other.squares + difference * difference * (count * (other.count / all));
    count = all;
  }
};

// One sample after another, [positions, channels] each, on the memory that one thread needs for that.
template <class T>
class Columns {
 public:
  Columns(const NormProblem& p, const Cut& cut)
      : z_(p.sizes),
        epsilon_(p.epsilon),
        lines_(z_.channels()),
        chunks_(cut.position_chunks),
        sums_(bytes<double>(2 * chunks_ * lines_.slots())),
        coefficients_(bytes<T>(4 * lines_.length())) {}

  void forward(const T* x, const T* weight, const T* bias, double* statistics, T* y) {
    for_chunks([&](std::int64_t chunk, std::int64_t first, std::int64_t rows, std::int64_t columns, std::int64_t slot) {
      kernels_.column_moments[kernel_of<T>](x + first * z_.channels(), rows, columns, sums(0, chunk) + slot,
                                            sums(1, chunk) + slot);
    });
    for (std::int64_t group = 0; group < z_.groups; ++group) {
      const Moments of_group = moments(group);
      statistics[2 * group] = of_group.mean;
      statistics[2 * group + 1] = of_group.squares / of_group.count;
      const Group s(statistics, group, epsilon_);
      for (std::int64_t c = group * z_.width; c < (group + 1) * z_.width; ++c) {
        const double scale = s.factor * static_cast<double>(weight[c]);
        set(0, c, s.high);
        set(1, c, scale);
        set(2, c, static_cast<double>(bias[c]) - s.low * scale);
      }
    }
    for_chunks([&](std::int64_t, std::int64_t first, std::int64_t rows, std::int64_t columns, std::int64_t) {
      const std::int64_t offset = first * z_.channels();
      kernels_.column_affine[kernel_of<T>](x + offset, coefficient(0), coefficient(1), coefficient(2), y + offset, rows,
                                           columns);
    });
  }

  // Adds the sample's share to dweight and dbias, and writes dx unless it is null.
  void backward(const T* x, const T* weight, const T* g, const double* statistics, T* dx, double* dweight,
                double* dbias) {
    for (std::int64_t c = 0; c < z_.channels(); ++c) set(0, c, Group(statistics, c / z_.width, epsilon_).high);
    for_chunks([&](std::int64_t chunk, std::int64_t first, std::int64_t rows, std::int64_t columns, std::int64_t slot) {
      const std::int64_t offset = first * z_.channels();
      kernels_.column_dots[kernel_of<T>](x + offset, g + offset, coefficient(0), rows, columns, sums(0, chunk) + slot,
                                         sums(1, chunk) + slot);
    });
    for (std::int64_t group = 0; group < z_.groups; ++group) {
      set_gradient_of_group(group, Group(statistics, group, epsilon_), weight, dweight, dbias);
    }
    if (!dx) return;
    for_chunks([&](std::int64_t, std::int64_t first, std::int64_t rows, std::int64_t columns, std::int64_t) {
      const std::int64_t offset = first * z_.channels();
      kernels_.column_affine_of_two[kernel_of<T>]({rows, columns, x + offset, g + offset, coefficient(0),
                                                   coefficient(1), coefficient(2), coefficient(3), dx + offset});
    });
  }

 private:
  // A group's mean as high + low, of which x - high is exact near the mean, and 1 / sqrt(variance + epsilon).
  struct Group {
    double high, low, factor;
    Group(const double* statistics, std::int64_t group, double epsilon)
        : high(static_cast<double>(static_cast<T>(statistics[2 * group]))),
          low(statistics[2 * group] - high),
          factor(1 / std::sqrt(statistics[2 * group + 1] + epsilon)) {}
  };

  template <class E>
  static std::size_t bytes(std::int64_t n) {
    return static_cast<std::size_t>(n) * sizeof(E);
  }
  double* sums(int which, std::int64_t chunk) const {
    return sums_.get<double>() + (which * chunks_ + chunk) * lines_.slots();
  }
  T* coefficient(int which) const { return coefficients_.get<T>() + which * lines_.length(); }
  void set(int which, std::int64_t channel, double value) const {
    for (std::int64_t k = 0; k < lines_.fold; ++k) {
      coefficient(which)[k * lines_.channels + channel] = static_cast<T>(value);
    }
  }

  template <class F>
  void for_chunks(F&& f) const {
    parallel_for(chunks_, [&](std::int64_t chunk) {
      lines_.for_each(chunk_range(z_.positions, chunks_, chunk, 1),
                      [&](std::int64_t first, std::int64_t rows, std::int64_t columns, std::int64_t slot) {
                        f(chunk, first, rows, columns, slot);
                      });
    });
  }

  // Calls f(rows, slot, chunk) for everything that was summed of a channel.
  template <class F>
  void for_sums(std::int64_t channel, F&& f) const {
    for (std::int64_t chunk = 0; chunk < chunks_; ++chunk) {
      lines_.for_each(chunk_range(z_.positions, chunks_, chunk, 1),
                      [&](std::int64_t, std::int64_t rows, std::int64_t columns, std::int64_t slot) {
                        for (std::int64_t k = channel; k < columns; k += lines_.channels) f(rows, slot + k, chunk);
                      });
    }
  }

  Moments moments(std::int64_t group) const {
    Moments total;
    for (std::int64_t c = group * z_.width; c < (group + 1) * z_.width; ++c) {
      for_sums(c, [&](std::int64_t rows, std::int64_t slot, std::int64_t chunk) {
        total.merge({static_cast<double>(rows), sums(0, chunk)[slot], sums(1, chunk)[slot]});
      });
    }
    return total;
  }

  // dx = factor (u - mean(u) - h mean(u h)) with u = g weight and h = (x - high - low) factor, as coefficients of
  // x - high and g.
  void set_gradient_of_group(std::int64_t group, const Group& s, const T* weight, double* dweight, double* dbias) {
    double sum_u = 0;
    double sum_uh = 0;
    for (std::int64_t c = group * z_.width; c < (group + 1) * z_.width; ++c) {
      double sum = 0;
      double dot = 0;
      for_sums(c, [&](std::int64_t, std::int64_t slot, std::int64_t chunk) {
        sum += sums(0, chunk)[slot];
        dot += sums(1, chunk)[slot];
      });
      const double of_h = (dot - s.low * sum) * s.factor;
      sum_u += sum * static_cast<double>(weight[c]);
      sum_uh += of_h * static_cast<double>(weight[c]);
      dweight[c] += of_h;
      dbias[c] += sum;
    }
    const double count = static_cast<double>(z_.averaged());
    const double x_scale = -s.factor * s.factor * sum_uh / count;
    for (std::int64_t c = group * z_.width; c < (group + 1) * z_.width; ++c) {
      set(1, c, x_scale);
      set(2, c, s.factor * static_cast<double>(weight[c]));
      set(3, c, -s.factor * sum_u / count - s.low * x_scale);
    }
  }

  const kernels::Table& kernels_ = kernels::table();
  NormSizes z_;
  double epsilon_;
  Lines lines_;
  std::int64_t chunks_;
  Scratch sums_, coefficients_;
};

template <class T>
void normalize_columns(const NormProblem& p, const void* x, const void* weight, const void* bias, double* statistics,
                       void* y) {
  const NormSizes& z = p.sizes;
  const Cut cut(z);
  const std::int64_t size = z.positions * z.channels();
  parallel_for(cut.sample_chunks, [&](std::int64_t chunk) {
    Columns<T> columns(p, cut);
    const Range range = chunk_range(z.samples, cut.sample_chunks, chunk, 1);
    for (std::int64_t n = range.begin; n < range.end; ++n) {
      columns.forward(static_cast<const T*>(x) + n * size, static_cast<const T*>(weight), static_cast<const T*>(bias),
                      statistics + 2 * n * z.groups, static_cast<T*>(y) + n * size);
    }
  });
}

template <class T>
void normalize_columns_backward(const NormProblem& p, const void* x, const void* weight, const void* g,
                                const double* statistics, void* dx, void* dweight, void* dbias) {
  const NormSizes& z = p.sizes;
  const Cut cut(z);
  const std::int64_t size = z.positions * z.channels();
  const std::int64_t channels = z.channels();
  const Scratch partial(static_cast<std::size_t>(cut.sample_chunks * 2 * channels) * sizeof(double));
  parallel_for(cut.sample_chunks, [&](std::int64_t chunk) {
    Columns<T> columns(p, cut);
    double* const sums = partial.get<double>() + chunk * 2 * channels;
    std::fill_n(sums, 2 * channels, 0.0);
    const Range range = chunk_range(z.samples, cut.sample_chunks, chunk, 1);
    for (std::int64_t n = range.begin; n < range.end; ++n) {
      columns.backward(static_cast<const T*>(x) + n * size, static_cast<const T*>(weight),
                       static_cast<const T*>(g) + n * size, statistics + 2 * n * z.groups,
                       dx ? static_cast<T*>(dx) + n * size : nullptr, sums, sums + channels);
    }
  });
  if (!dweight) return;
  add_chunks<T>(partial.get<double>(), cut.sample_chunks, 2 * channels, channels, dweight);
  add_chunks<T>(partial.get<double>() + channels, cut.sample_chunks, 2 * channels, channels, dbias);
}

bool is_rows(const NormSizes& z) { return z.positions == 1 && z.groups == 1; }

}  // namespace

void normalize(DType dtype, const NormProblem& p, const void* x, const void* weight, const void* bias,
               double* statistics, void* y) {
  with_type(dtype, [&]<class T>(T*) {
    if constexpr (std::is_floating_point_v<T>) {
      (is_rows(p.sizes) ? normalize_rows<T> : normalize_columns<T>)(p, x, weight, bias, statistics, y);
    }
  });
}

void normalize_backward(DType dtype, const NormProblem& p, const void* x, const void* weight, const void* g,
                        const double* statistics, void* dx, void* dweight, void* dbias) {
  with_type(dtype, [&]<class T>(T*) {
    if constexpr (std::is_floating_point_v<T>) {
      (is_rows(p.sizes) ? normalize_rows_backward<T> : normalize_columns_backward<T>)(p, x, weight, g, statistics, dx,
                                                                                      dweight, dbias);
    }
  });
}

}  // namespace tapegrad::detail
