#include "kernels/engine/row_sweep.h"

#include <algorithm>
#include <atomic>
#include <limits>
#include <optional>
#include <utility>

#include "kernels/arith/float_environment.h"
#include "kernels/engine/layout.h"
#include "kernels/engine/numbers.h"
#include "kernels/engine/pool.h"
#include "kernels/engine/row_tiles.h"
#include "kernels/engine/slices.h"
#include "kernels/loops/kernels.h"
#include "kernels/loops/sums.h"

namespace lossless {
namespace {

namespace view {
enum View { inputs, labels, targets, weights, where, cotangent, value, gradient, views };
}
using RowLayout = Layout<view::views>;

RowLayout layout_of(const RowJob& job) {
  const std::vector<int64_t>* strides[view::views] = {};
  auto set = [&](view::View v, const auto& array) {
    if (array.data) strides[v] = &array.strides;
  };
  set(view::inputs, job.inputs);
  set(view::labels, job.labels);
  set(view::targets, job.targets);
  set(view::weights, job.weights);
  set(view::where, job.where);
  set(view::gradient, job.gradient);
  if (job.reduction == Reduction::none) {
    set(view::cotangent, job.cotangent);
    set(view::value, job.value);
  }
  return RowLayout(job.shape, job.shape.size() - 1, strides);
}

// The rows of each slice are cut into chunks. Row i of a chunk is added to lane i % lanes, the lanes are added, and
// then the chunks, as blocks are.
class RowSweep {
 public:
  explicit RowSweep(const RowJob& job)
      : job_(job),
        kernels_(*instruction_set().kernels),
        loss_(kernels_.row_losses[job.kernel_index]),
        reduces_(job.reduction != Reduction::none),
        size_(item_size(job.dtype)),
        elements_(job.shape.back()),
        slices_(job, job.shape.size() - 1),
        chunk_rows_(std::clamp<int64_t>(block_elements / elements_, 1, most_rows)),
        chunks_((slices_.size + chunk_rows_ - 1) / chunk_rows_),
        chunks_together_(std::max<int64_t>(1, chunk_rows_ / std::max<int64_t>(1, slices_.size))),
        layout_(layout_of(job)),
        gathers_(!has_contiguous_rows(job.inputs.data, job.inputs.strides)),
        scatters_(job.gradient.data && !has_contiguous_rows(job.gradient.data, job.gradient.strides)),
        small_rows_(elements_ <= small_row_elements && !job.targets.data ? loss_.small_rows[int(job.dtype)] : nullptr),
        factors_(kernels_, job) {
    factors_.find(slices_, [&](bool weighted) { return count(weighted); });
  }

  int64_t run() {
    if (reduces_) sums_.resize(slices_.count * chunks_);
    int64_t most = std::min<int64_t>(tasks(), job_.threads > 0 ? std::min(job_.threads, threads()) : threads());
    int64_t tile_bytes = std::min(slices_.size, chunk_rows_) * elements_ * size_;
    Tiles inputs(gathers_ ? tile_bytes : 0, most), gradients(scatters_ ? tile_bytes : 0, most);
    parallel(
        tasks(),
        [&](int64_t task) {
          auto inputs_tile = inputs.take(), gradient_tile = gradients.take();
          for_chunks(task, [&](const Chunk& chunk) { run_chunk(chunk, inputs_tile.get(), gradient_tile.get()); });
          if (inputs_tile) inputs.put_back(std::move(inputs_tile));
          if (gradient_tile) gradients.put_back(std::move(gradient_tile));
        },
        job_.threads);
    if (reduces_) store_values(job_, slices_, factors_, sums_.data(), chunks_);
    return first_bad_ == none ? -1 : first_bad_.load();
  }

 private:
  static constexpr int64_t none = std::numeric_limits<int64_t>::max();
  static constexpr int64_t most_rows = 1024;  // of a chunk: a row has costs of its own, however short it is

  struct Chunk {
    int64_t index, slice, begin, rows;
  };

  // A row that waits for its loss.
  struct Pending : Row {
    int64_t index;         // in the chunk
    int64_t value_offset;  // in bytes
    double factor;         // of the loss
  };

  // Short slices have one chunk each, and a thread takes several of them.
  int64_t tasks() const { return (slices_.count * chunks_ + chunks_together_ - 1) / chunks_together_; }

  template <class Work>
  void for_chunks(int64_t task, Work work) const {
    int64_t end = std::min(slices_.count * chunks_, (task + 1) * chunks_together_);
    for (int64_t index = task * chunks_together_; index < end; ++index) {
      int64_t slice = index / chunks_, first = index % chunks_ * chunk_rows_;
      work(Chunk{index, slice, slice * slices_.size + first, std::min(chunk_rows_, slices_.size - first)});
    }
  }

  bool has_contiguous_rows(const void* data, const std::vector<int64_t>& strides) const {
    int64_t together = int64_t(reinterpret_cast<uintptr_t>(data));
    for (int64_t stride : strides) together |= stride;
    return (elements_ == 1 || strides.back() == size_) && together % size_ == 0;
  }

  bool selects(const RowLayout::Cursor& row) const {
    return !job_.where.data || read_number(kernels_, job_.where, row.offset(view::where)) != 0;
  }

  double weight(const RowLayout::Cursor& row) const {
    return job_.weights.data ? read_number(kernels_, job_.weights, row.offset(view::weights)) : 1;
  }

  // The sum of the weights, or the number of rows, that `where` selects in each slice.
  std::vector<double> count(bool weighted) const {
    std::vector<double> sums(slices_.count * chunks_), counts(slices_.count);
    parallel(
        tasks(),
        [&](int64_t task) {
          for_chunks(task, [&](const Chunk& chunk) {
            double lane_sums[lanes] = {};
            RowLayout::Cursor row(layout_, chunk.begin);
            for (int64_t i = 0; i < chunk.rows; ++i, row.advance(1))
              if (selects(row)) lane_sums[i % lanes] += weighted ? weight(row) : 1;
            sums[chunk.index] = add_lanes(lane_sums);
          });
        },
        job_.threads);
    for (int64_t slice = 0; slice < slices_.count; ++slice) counts[slice] = add_blocks(&sums[slice * chunks_], chunks_);
    return counts;
  }

  void run_chunk(const Chunk& chunk, char* inputs_tile, char* gradient_tile) {
    if (gathers_) gather(chunk, inputs_tile);
    double scale = reduces_ ? factors_.gradient_scale(chunk.slice) : 1;
    double sums[lanes] = {};
    auto finish = [&](const Pending& row, double loss) {
      sums[row.index % lanes] += loss;
      if (!reduces_ && job_.value.data) store(loss, job_.dtype, static_cast<char*>(job_.value.data) + row.value_offset);
    };
    Pending batch[lanes];
    int waiting = 0;
    RowLayout::Cursor cursor(layout_, chunk.begin);
    for (int64_t i = 0; i < chunk.rows; ++i, cursor.advance(1)) {
      int64_t bytes = elements_ * size_;
      Pending row;
      row.index = i;
      row.value_offset = cursor.offset(view::value);
      row.inputs = gathers_ ? inputs_tile + i * bytes : at(job_.inputs.data, cursor.offset(view::inputs));
      if (job_.gradient.data)
        row.gradient = scatters_ ? gradient_tile + i * bytes
                                 : static_cast<char*>(job_.gradient.data) + cursor.offset(view::gradient);
      if (auto loss = prepare(cursor, chunk.begin + i, scale, row)) {
        finish(row, *loss);
      } else if (!small_rows_) {
        finish(row, loss_.row[int(job_.dtype)](row) * row.factor);
      } else {
        batch[waiting++] = row;
        if (waiting == lanes) run_small(batch, std::exchange(waiting, 0), finish);
      }
    }
    if (waiting) run_small(batch, waiting, finish);
    if (reduces_) sums_[chunk.index] = add_lanes(sums);
    if (scatters_) scatter(chunk, gradient_tile);
  }

  template <class Finish>
  void run_small(const Pending* batch, int count, Finish finish) const {
    Row rows[lanes];
    double losses[lanes];
    std::copy(batch, batch + count, rows);
    small_rows_(rows, count, losses);
    for (int i = 0; i < count; ++i) finish(batch[i], losses[i] * batch[i].factor);
  }

  // Completes a row for the kernel. Returns its loss if there is nothing to compute, and then writes its gradient.
  std::optional<double> prepare(const RowLayout::Cursor& cursor, int64_t index, double scale, Pending& row) {
    if (!selects(cursor)) {
      if (row.gradient) std::memset(row.gradient, 0, elements_ * size_);
      return 0;
    }
    row.elements = elements_;
    std::copy(job_.parameters, job_.parameters + most_row_parameters, row.parameters);
    if (job_.targets.data) {
      row.targets = at(job_.targets.data, cursor.offset(view::targets));
      row.target_stride = job_.targets.strides.back();
      row.load_targets = kernels_.load[int(job_.targets.dtype)];
    } else {
      row.label = label(cursor);
      if (row.label < 0 || row.label >= elements_) {
        report_bad_label(index);
        auto gradient = static_cast<char*>(row.gradient);
        for (int64_t i = 0; gradient && i < elements_; ++i) store(not_a_number, job_.dtype, gradient + i * size_);
        return not_a_number;
      }
    }
    row.factor = row.gradient_scale = weight(cursor);
    if (reduces_)
      row.gradient_scale *= scale;
    else if (job_.cotangent.data)
      row.gradient_scale *= read_number(kernels_, job_.cotangent, cursor.offset(view::cotangent));
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

  void report_bad_label(int64_t row) {
    int64_t first = first_bad_;
    while (row < first && !first_bad_.compare_exchange_weak(first, row)) {
    }
  }

  static const char* at(const void* data, int64_t offset) { return static_cast<const char*>(data) + offset; }

  void gather(const Chunk& chunk, char* tile) const {
    for_runs(chunk, [&](const RowLayout::Cursor& row, int64_t i, int64_t run) {
      RowStrides strides = {row.stride(view::inputs), job_.inputs.strides.back()};
      const char* from = at(job_.inputs.data, row.offset(view::inputs));
      copy_rows(from, strides, tile + i * elements_ * size_, tile_strides(), run, elements_, size_);
    });
  }

  void scatter(const Chunk& chunk, const char* tile) const {
    for_runs(chunk, [&](const RowLayout::Cursor& row, int64_t i, int64_t run) {
      RowStrides strides = {row.stride(view::gradient), job_.gradient.strides.back()};
      char* to = static_cast<char*>(job_.gradient.data) + row.offset(view::gradient);
      copy_rows(tile + i * elements_ * size_, tile_strides(), to, strides, run, elements_, size_);
    });
  }

  // Calls work(cursor, i, run) for the runs of rows that lie one stride apart.
  template <class Work>
  void for_runs(const Chunk& chunk, Work work) const {
    RowLayout::Cursor row(layout_, chunk.begin);
    for (int64_t i = 0, run; i < chunk.rows; i += run, row.advance(int(run))) {
      run = row.run(int(chunk.rows - i));
      work(row, i, run);
    }
  }

  RowStrides tile_strides() const { return {elements_ * size_, size_}; }

  const RowJob& job_;
  const Kernels& kernels_;
  const RowLossKernels& loss_;
  bool reduces_;
  int64_t size_;      // of an element, in bytes
  int64_t elements_;  // of a row
  const Slices slices_;
  int64_t chunk_rows_;       // at most
  int64_t chunks_;           // of each slice
  int64_t chunks_together_;  // that one task takes
  RowLayout layout_;
  bool gathers_, scatters_;
  void (*small_rows_)(const Row*, int, double*);  // null: not for these rows
  SliceFactors factors_;
  std::vector<double> sums_;
  std::atomic<int64_t> first_bad_{none};
};

}  // namespace

int64_t sweep_rows(const RowJob& job) {
  FloatEnvironment environment;
  return RowSweep(job).run();
}

}  // namespace lossless
