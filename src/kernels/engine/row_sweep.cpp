#include "kernels/engine/row_sweep.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "kernels/arith/float_environment.h"
#include "kernels/engine/layout.h"
#include "kernels/engine/numbers.h"
#include "kernels/engine/pool.h"
#include "kernels/loops/kernels.h"
#include "kernels/loops/sums.h"

namespace lossless {
namespace {

namespace view {
enum View { logits, labels, probabilities, weights, where, cotangent, value, gradient, views };
}
using RowLayout = Layout<view::views>;

RowLayout layout_of(const RowJob& job) {
  const std::vector<int64_t>* strides[view::views] = {};
  auto set = [&](view::View v, const auto& array) {
    if (array.data) strides[v] = &array.strides;
  };
  set(view::logits, job.logits);
  set(view::labels, job.labels);
  set(view::probabilities, job.probabilities);
  set(view::weights, job.weights);
  set(view::where, job.where);
  set(view::gradient, job.gradient);
  if (job.reduction == Reduction::none) {
    set(view::cotangent, job.cotangent);
    set(view::value, job.value);
  }
  return RowLayout(job.shape, job.shape.size() - 1, strides);
}

// Memory for one chunk at a time, of as many chunks as threads work on.
class Tiles {
 public:
  Tiles(int64_t bytes, int64_t count) {
    for (int64_t i = 0; i < (bytes ? count : 0); ++i) free_.emplace_back(new char[bytes]);
  }

  std::unique_ptr<char[]> take() {
    std::lock_guard lock(mutex_);
    if (free_.empty()) return nullptr;  // there are none
    auto tile = std::move(free_.back());
    free_.pop_back();
    return tile;
  }

  void put_back(std::unique_ptr<char[]> tile) {
    std::lock_guard lock(mutex_);
    free_.push_back(std::move(tile));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<char[]>> free_;
};

// Copies rows of elements of so many bytes, the inner loop along the shorter stride.
template <class Storage>
void copy_rows(const char* from, int64_t from_row, int64_t from_class, char* to, int64_t to_row, int64_t to_class,
               int64_t rows, int64_t classes, bool along_rows) {
  auto copy = [=](int64_t row, int64_t c) {
    std::memcpy(to + row * to_row + c * to_class, from + row * from_row + c * from_class, sizeof(Storage));
  };
  if (along_rows) {
    for (int64_t c = 0; c < classes; ++c)
      for (int64_t row = 0; row < rows; ++row) copy(row, c);
  } else {
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t c = 0; c < classes; ++c) copy(row, c);
  }
}

class RowSweep {
 public:
  explicit RowSweep(const RowJob& job)
      : job_(job),
        kernels_(*instruction_set().kernels),
        reduces_(job.reduction != Reduction::none),
        size_(item_size(job.dtype)),
        classes_(job.shape.back()),
        rows_(product(job.shape, 0, job.shape.size() - 1)),
        rows_together_(std::clamp<int64_t>(block_elements / classes_, 1, most_rows)),
        chunks_((rows_ + rows_together_ - 1) / rows_together_),
        layout_(layout_of(job)),
        gathers_(!is_contiguous(job.logits.data, job.logits.strides)),
        scatters_(job.gradient.data && !is_contiguous(job.gradient.data, job.gradient.strides)),
        small_(classes_ <= small_row_classes && !job.probabilities.data ? kernels_.cross_entropy_small[int(job.dtype)]
                                                                        : nullptr) {}

  int64_t run() {
    if (reduces_) find_scale();
    if (reduces_) sums_.resize(chunks_);
    int64_t most = std::min<int64_t>(chunks_, job_.threads > 0 ? std::min(job_.threads, threads()) : threads());
    int64_t tile_bytes = std::min(rows_, rows_together_) * classes_ * size_;
    Tiles logits(gathers_ ? tile_bytes : 0, most), gradients(scatters_ ? tile_bytes : 0, most);
    parallel(
        chunks_,
        [&](int64_t number) {
          auto logits_tile = logits.take(), gradient_tile = gradients.take();
          chunk(number, logits_tile.get(), gradient_tile.get());
          if (logits_tile) logits.put_back(std::move(logits_tile));
          if (gradient_tile) gradients.put_back(std::move(gradient_tile));
        },
        job_.threads);
    if (reduces_ && job_.value.data)
      store(add_blocks(sums_.data(), chunks_) / denominator_, job_.value_dtype.value_or(job_.dtype), job_.value.data);
    return first_bad_ == none ? -1 : first_bad_.load();
  }

 private:
  static constexpr int64_t none = std::numeric_limits<int64_t>::max();
  static constexpr int64_t most_rows = 1024;  // of a chunk: a short row takes as long as one of many classes

  bool is_contiguous(const void* data, const std::vector<int64_t>& strides) const {
    int64_t together = int64_t(reinterpret_cast<uintptr_t>(data));
    for (int64_t stride : strides) together |= stride;
    return (classes_ == 1 || strides.back() == size_) && together % size_ == 0;
  }

  double read_number(const Operand& operand, int64_t offset) const {
    double x;
    kernels_.load[int(operand.dtype)](static_cast<const char*>(operand.data) + offset, 0, 1, &x);
    return x;
  }

  bool selects(const RowLayout::Cursor& row) const {
    return !job_.where.data || read_number(job_.where, row.offset(view::where)) != 0;
  }

  double weight(const RowLayout::Cursor& row) const {
    return job_.weights.data ? read_number(job_.weights, row.offset(view::weights)) : 1;
  }

  // What the reduced value is divided by. The gradient of a mean over nothing is 0; that of one over weights which
  // cancel is not a number.
  void find_scale() {
    if (job_.reduction != Reduction::sum) {
      std::vector<double> counts(chunks_), weights(chunks_);
      parallel(
          chunks_,
          [&](int64_t number) {
            double count[lanes] = {}, weight_sum[lanes] = {};
            RowLayout::Cursor row(layout_, number * rows_together_);
            for (int64_t i = 0; i < rows_of(number); ++i, row.advance(1)) {
              if (!selects(row)) continue;
              count[i % lanes] += 1;
              weight_sum[i % lanes] += weight(row);
            }
            counts[number] = add_lanes(count);
            weights[number] = add_lanes(weight_sum);
          },
          job_.threads);
      bool weighted = job_.reduction == Reduction::weighted_mean;
      denominator_ = add_blocks((weighted ? weights : counts).data(), chunks_);
      if (denominator_ == 0) denominator_ = not_a_number;
    }
    scale_ = (job_.cotangent.data ? read_number(job_.cotangent, 0) : 1) / denominator_;
  }

  int64_t rows_of(int64_t number) const { return std::min(rows_together_, rows_ - number * rows_together_); }

  void chunk(int64_t number, char* logits_tile, char* gradient_tile) {
    int64_t begin = number * rows_together_, rows = rows_of(number);
    if (gathers_) gather(begin, rows, logits_tile);
    double sums[lanes] = {};
    auto finish = [&](const Scores& row, double loss) {
      sums[row.index % lanes] += loss;
      if (!reduces_ && job_.value.data) store(loss, job_.dtype, static_cast<char*>(job_.value.data) + row.value_offset);
    };
    Scores batch[lanes];
    int waiting = 0;
    RowLayout::Cursor cursor(layout_, begin);
    for (int64_t i = 0; i < rows; ++i, cursor.advance(1)) {
      int64_t bytes = classes_ * size_;
      Scores row;
      row.index = i;
      row.value_offset = cursor.offset(view::value);
      row.logits = gathers_ ? logits_tile + i * bytes : at(job_.logits.data, cursor.offset(view::logits));
      if (job_.gradient.data)
        row.gradient = scatters_ ? gradient_tile + i * bytes
                                 : static_cast<char*>(job_.gradient.data) + cursor.offset(view::gradient);
      if (auto loss = prepare(cursor, begin + i, row)) {
        finish(row, *loss);
      } else if (!small_) {
        finish(row, kernels_.cross_entropy[int(job_.dtype)](row) * row.factor);
      } else {
        batch[waiting++] = row;
        if (waiting == lanes) evaluate(batch, std::exchange(waiting, 0), finish);
      }
    }
    if (waiting) evaluate(batch, waiting, finish);
    if (reduces_) sums_[number] = add_lanes(sums);
    if (scatters_) scatter(begin, rows, gradient_tile);
  }

  struct Scores : ScoreRow {
    int64_t index;         // in the chunk
    int64_t value_offset;  // in bytes
    double factor;         // of the loss
  };

  template <class Finish>
  void evaluate(const Scores* batch, int count, Finish finish) const {
    ScoreRow rows[lanes];
    double losses[lanes];
    std::copy(batch, batch + count, rows);
    small_(rows, count, losses);
    for (int i = 0; i < count; ++i) finish(batch[i], losses[i] * batch[i].factor);
  }

  // What a row is compared with; its loss where nothing is to be computed.
  std::optional<double> prepare(const RowLayout::Cursor& cursor, int64_t number, Scores& row) {
    if (!selects(cursor)) {
      if (row.gradient) std::memset(row.gradient, 0, classes_ * size_);
      return 0;
    }
    row.classes = classes_;
    row.smoothing = job_.smoothing;
    if (job_.probabilities.data) {
      row.probabilities = at(job_.probabilities.data, cursor.offset(view::probabilities));
      row.probability_stride = job_.probabilities.strides.back();
      row.load_probabilities = kernels_.load[int(job_.probabilities.dtype)];
    } else {
      row.label = label(cursor);
      if (row.label < 0 || row.label >= classes_) {
        complain(number);
        auto gradient = static_cast<char*>(row.gradient);
        for (int64_t c = 0; gradient && c < classes_; ++c) store(not_a_number, job_.dtype, gradient + c * size_);
        return not_a_number;
      }
    }
    row.factor = row.gradient_scale = weight(cursor);
    if (reduces_)
      row.gradient_scale *= scale_;
    else if (job_.cotangent.data)
      row.gradient_scale *= read_number(job_.cotangent, cursor.offset(view::cotangent));
    return {};
  }

  int64_t label(const RowLayout::Cursor& row) const {
    const char* from = at(job_.labels.data, row.offset(view::labels));
    if (job_.labels.bytes == 4) {
      int32_t narrow;
      std::memcpy(&narrow, from, sizeof narrow);
      return narrow;
    }
    int64_t wide;
    std::memcpy(&wide, from, sizeof wide);
    return wide;
  }

  void complain(int64_t row) {
    int64_t first = first_bad_;
    while (row < first && !first_bad_.compare_exchange_weak(first, row)) {
    }
  }

  static const char* at(const void* data, int64_t offset) { return static_cast<const char*>(data) + offset; }

  void gather(int64_t begin, int64_t rows, char* tile) const {
    for_runs(begin, rows, [&](const RowLayout::Cursor& row, int64_t i, int64_t run) {
      copy(at(job_.logits.data, row.offset(view::logits)), row.stride(view::logits), job_.logits.strides.back(),
           tile + i * classes_ * size_, classes_ * size_, size_, run,
           is_shorter(row.stride(view::logits), job_.logits.strides.back()));
    });
  }

  void scatter(int64_t begin, int64_t rows, const char* tile) const {
    for_runs(begin, rows, [&](const RowLayout::Cursor& row, int64_t i, int64_t run) {
      copy(tile + i * classes_ * size_, classes_ * size_, size_,
           static_cast<char*>(job_.gradient.data) + row.offset(view::gradient), row.stride(view::gradient),
           job_.gradient.strides.back(), run, is_shorter(row.stride(view::gradient), job_.gradient.strides.back()));
    });
  }

  // Calls work(cursor, i, run) for the runs of rows that lie one stride apart.
  template <class Work>
  void for_runs(int64_t begin, int64_t rows, Work work) const {
    RowLayout::Cursor row(layout_, begin);
    for (int64_t i = 0, run; i < rows; i += run, row.advance(int(run))) {
      run = row.run(int(rows - i));
      work(row, i, run);
    }
  }

  static bool is_shorter(int64_t stride, int64_t other) { return std::abs(stride) < std::abs(other); }

  void copy(const char* from, int64_t from_row, int64_t from_class, char* to, int64_t to_row, int64_t to_class,
            int64_t rows, bool along_rows) const {
    auto function = size_ == 2 ? copy_rows<uint16_t> : size_ == 4 ? copy_rows<uint32_t> : copy_rows<uint64_t>;
    function(from, from_row, from_class, to, to_row, to_class, rows, classes_, along_rows);
  }

  const RowJob& job_;
  const Kernels& kernels_;
  bool reduces_;
  int64_t size_, classes_, rows_, rows_together_, chunks_;
  RowLayout layout_;
  bool gathers_, scatters_;
  void (*small_)(const ScoreRow*, int, double*);  // null: not for these rows
  double denominator_ = 1, scale_ = 1;
  std::vector<double> sums_;
  std::atomic<int64_t> first_bad_{none};
};

}  // namespace

int64_t sweep_rows(const RowJob& job) {
  FloatEnvironment environment;
  return RowSweep(job).run();
}

}  // namespace lossless
