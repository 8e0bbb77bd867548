#include "kernels/engine/sweep.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "kernels/arith/float_environment.h"
#include "kernels/engine/layout.h"
#include "kernels/engine/numbers.h"
#include "kernels/engine/pool.h"
#include "kernels/engine/slices.h"
#include "kernels/loops/kernels.h"
#include "kernels/loops/sums.h"

namespace lossless {
namespace {

bool is_contiguous(const std::vector<int64_t>& strides, const std::vector<int64_t>& shape, int64_t item) {
  for (size_t d = shape.size(); d-- > 0; item *= shape[d])
    if (shape[d] != 1 && strides[d] != item) return false;
  return true;
}

bool is_constant(const Operand& operand) {
  return std::all_of(operand.strides.begin(), operand.strides.end(), [](int64_t stride) { return stride == 0; });
}

// What a contiguous run has to compute for a job that wants these.
Wanted wanted_of(bool reduces, bool value, bool gradient) {
  if (!value) return Wanted::gradient;
  if (reduces) return gradient ? Wanted::sum_and_gradient : Wanted::sum;
  return gradient ? Wanted::value_and_gradient : Wanted::value;
}

namespace view {
enum View { inputs, targets, first, second, weights, where, cotangent, value, gradient, second_derivative, views };
}
using ElementLayout = Layout<view::views>;

ElementLayout layout_of(const Job& job) {
  const Operand* operands[] = {&job.inputs,  &job.targets, &job.parameters[0], &job.parameters[1],
                               &job.weights, &job.where,   &job.cotangent};
  const Result* results[] = {job.reduction == Reduction::none ? &job.value : nullptr, &job.gradient,
                             &job.second_derivative};
  const std::vector<int64_t>* strides[view::views] = {};
  for (int v = 0; v < view::value; ++v)
    if (operands[v]->data) strides[v] = &operands[v]->strides;
  for (int v = view::value; v < view::views; ++v)
    if (const Result* result = results[v - view::value]; result && result->data) strides[v] = &result->strides;
  return ElementLayout(job.shape, job.shape.size(), strides);
}

// Of a count, the terms are the weights, or 1 each: its sums are the denominators of means.
enum class JobKind { loss, count };

class Sweep {
 public:
  explicit Sweep(const Job& job, JobKind kind = JobKind::loss)
      : job_(job),
        kind_(kind),
        kernels_(*instruction_set().kernels),
        reduces_(job.reduction != Reduction::none),
        slices_(job, job.shape.size()),
        blocks_(std::max<int64_t>(1, (slices_.size + block_elements - 1) / block_elements)),
        contiguous_(wanted_of_contiguous_run()),
        factors_(kernels_, job) {
    if (!contiguous_) layout_.emplace(layout_of(job));
    factors_.find(slices_, [&](bool weighted) { return count(weighted); });
  }

  void run() {
    int64_t blocks = slices_.count * blocks_;
    if (reduces_ && blocks > 1) {
      many_sums_.resize(blocks);
      sums_ = many_sums_.data();
    }
    if (job_.total_gradient.data) gradient_sums_.resize(blocks);
    if (slices_.count * slices_.size > 0) {
      if (blocks == 1) {  // a small job, which should not wait for a thread pool
        run_block(0, 0);
      } else if (blocks_ > 1) {
        parallel(blocks, [&](int64_t block) { run_block(block / blocks_, block % blocks_); }, job_.threads);
      } else {
        int64_t slices_together = std::max<int64_t>(1, block_elements / std::max<int64_t>(1, slices_.size));
        parallel((slices_.count + slices_together - 1) / slices_together,
                 [&](int64_t chunk) {
                   int64_t end = std::min(slices_.count, (chunk + 1) * slices_together);
                   for (int64_t slice = chunk * slices_together; slice < end; ++slice) run_block(slice, 0);
                 },
                 job_.threads);
      }
    }
    if (reduces_) store_values(job_, slices_, factors_, sums_, blocks_);
    if (job_.total_gradient.data)
      store(add_blocks(gradient_sums_.data(), blocks), job_.dtype, job_.total_gradient.data);
  }

 private:
  // What the loops over contiguous runs have to compute, if they can do this job: they take contiguous arrays of the
  // result's dtype, and numbers as parameters.
  std::optional<Wanted> wanted_of_contiguous_run() {
    const Job& job = job_;
    if (kind_ == JobKind::count || job.weights.data || job.where.data || job.total_gradient.data) return {};
    if (!loss().contiguous[0][0]) return {};
    auto plain = [&](const void* data, DType dtype, const std::vector<int64_t>& strides) {
      return !data || (dtype == job.dtype && is_contiguous(strides, job.shape, item_size(dtype)));
    };
    for (const Operand* operand : {&job.inputs, &job.targets})
      if (!plain(operand->data, operand->dtype, operand->strides)) return {};
    for (int i = 0; i < most_parameters; ++i) {
      const Operand& parameter = job.parameters[i];
      if (!parameter.data) continue;
      if (!is_constant(parameter)) return {};
      parameters_[i] = read_number(kernels_, parameter, 0);
    }
    if (!reduces_ && job.cotangent.data && !is_constant(job.cotangent)) return {};
    if (!loss().valid(parameters_)) return {};
    if (!reduces_ && !plain(job.value.data, job.dtype, job.value.strides)) return {};
    for (const Result* result : {&job.gradient, &job.second_derivative})
      if (!plain(result->data, job.dtype, result->strides)) return {};

    bool value = job.value.data, gradient = job.gradient.data;
    if (job.second_derivative.data) {
      if (value || !gradient || reduces_ || job.cotangent.data) return {};
      return Wanted::gradient_and_second_derivative;
    }
    return wanted_of(reduces_, value, gradient);
  }

  const LossKernels& loss() const { return kernels_.losses[job_.kernel_index]; }

  // The sum of the weights, or the number of elements, that `where` selects in each slice.
  std::vector<double> count(bool weighted) const {
    std::vector<double> counts(slices_.count);
    Job job = job_;
    job.dtype = DType::float64;
    job.value_dtype = {};
    job.reduction = Reduction::sum;
    job.inputs = job.targets = job.parameters[0] = job.parameters[1] = {};
    job.cotangent = {};
    job.gradient = job.second_derivative = job.total_gradient = {};
    if (!weighted) job.weights = {};
    job.value.data = counts.data();
    Sweep(job, JobKind::count).run();
    return counts;
  }

  double gradient_scale(int64_t slice) const {
    if (reduces_) return factors_.gradient_scale(slice);
    return job_.cotangent.data && is_constant(job_.cotangent) ? read_number(kernels_, job_.cotangent, 0) : 1;
  }

  void run_block(int64_t slice, int64_t block) {
    int64_t begin = slice * slices_.size + block * block_elements;
    int64_t elements = std::min(block_elements, slices_.size - block * block_elements);
    double sums[lanes] = {};
    if (contiguous_) {
      run_contiguous(begin, elements, gradient_scale(slice), sums);
    } else {
      double gradient_sums[lanes] = {};
      run_gathered(begin, elements, gradient_scale(slice), sums, gradient_sums);
      if (!gradient_sums_.empty())
        gradient_sums_[slice * blocks_ + block] = add_lanes(gradient_sums) * gradient_scale(slice);
    }
    if (reduces_) sums_[slice * blocks_ + block] = add_lanes(sums);
  }

  void run_contiguous(int64_t begin, int64_t elements, double scale, double* sums) const {
    int64_t offset = begin * item_size(job_.dtype);
    auto at = [offset](const void* data) { return data ? static_cast<const char*>(data) + offset : nullptr; };
    auto to = [offset](void* data) { return data ? static_cast<char*>(data) + offset : nullptr; };
    ContiguousRun run = {at(job_.inputs.data),
                         at(job_.targets.data),
                         {parameters_[0], parameters_[1]},
                         elements,
                         nullptr,
                         to(job_.gradient.data),
                         to(job_.second_derivative.data),
                         sums,
                         scale};
    if (!reduces_) run.value = to(job_.value.data);
    loss().contiguous[int(job_.dtype)][int(*contiguous_)](run);
  }

  // Gathers a few elements of every operand, computes them, and scatters the results.
  void run_gathered(int64_t begin, int64_t elements, double scale, double* sums, double* gradient_sums) const {
    constexpr int operands = view::cotangent + 1;
    const Operand* operand[operands] = {&job_.inputs,  &job_.targets, &job_.parameters[0], &job_.parameters[1],
                                        &job_.weights, &job_.where,   &job_.cotangent};
    double numbers[operands][tile_elements] = {};
    bool gathers[operands];
    for (int v = 0; v < operands; ++v) {
      bool constant = operand[v]->data && is_constant(*operand[v]);
      if (constant) kernels_.load[int(operand[v]->dtype)](operand[v]->data, 0, tile_elements, numbers[v]);
      gathers[v] = operand[v]->data && !constant;
    }
    // A cotangent for each element acts as a weight; a cotangent for each value is part of the scale.
    bool weighs = !reduces_ && gathers[view::cotangent];
    if (reduces_) gathers[view::cotangent] = false;
    alignas(double) char results[3][tile_elements * sizeof(double)];
    const Result* result[3] = {&job_.value, &job_.gradient, &job_.second_derivative};
    bool wanted[3];
    for (int i = 0; i < 3; ++i) wanted[i] = result[i]->data && !(i == 0 && reduces_);

    double products[tile_elements];
    GatheredTile tile = {0,
                         numbers[0],
                         numbers[1],
                         {numbers[2], numbers[3]},
                         weighs              ? products
                         : job_.weights.data ? numbers[view::weights]
                                             : nullptr,
                         job_.where.data ? numbers[view::where] : nullptr,
                         wanted[0] ? results[0] : nullptr,
                         wanted[1] ? results[1] : nullptr,
                         wanted[2] ? results[2] : nullptr,
                         reduces_ ? sums : nullptr,
                         gradient_sums_.empty() ? nullptr : gradient_sums,
                         scale};
    ElementLayout::Cursor read(*layout_, begin), write(*layout_, begin);
    for (int64_t left = elements; left > 0; left -= tile_elements) {
      tile.elements = int(std::min<int64_t>(left, tile_elements));
      for (int at = 0, run; at < tile.elements; at += run, read.advance(run)) {
        run = read.run(tile.elements - at);
        for (int v = 0; v < operands; ++v)
          if (gathers[v]) gather(*operand[v], read, v, run, numbers[v] + at);
      }
      if (weighs) {
        const double* weights = job_.weights.data ? numbers[view::weights] : nullptr;
        for (int i = 0; i < tile_elements; ++i) products[i] = (weights ? weights[i] : 1) * numbers[view::cotangent][i];
      }
      if (kind_ == JobKind::count)
        kernels_.count_tile(tile);
      else
        loss().gathered[int(job_.dtype)](tile);
      for (int at = 0, run; at < tile.elements; at += run, write.advance(run)) {
        run = write.run(tile.elements - at);
        for (int i = 0; i < 3; ++i)
          if (wanted[i]) scatter(results[i], at, write, view::value + i, run, result[i]->data);
      }
    }
  }

  void gather(const Operand& operand, const ElementLayout::Cursor& cursor, int view, int run, double* to) const {
    const char* from = static_cast<const char*>(operand.data) + cursor.offset(view);
    kernels_.load[int(operand.dtype)](from, cursor.stride(view), run, to);
  }

  void scatter(const char* results, int at, const ElementLayout::Cursor& cursor, int view, int run, void* to) const {
    int64_t size = item_size(job_.dtype);
    int64_t stride = cursor.stride(view);
    char* first = static_cast<char*>(to) + cursor.offset(view);
    if (stride == size) {
      std::memcpy(first, results + at * size, run * size);
    } else {
      for (int i = 0; i < run; ++i) std::memcpy(first + i * stride, results + (at + i) * size, size);
    }
  }

  const Job& job_;
  const JobKind kind_;
  const Kernels& kernels_;
  bool reduces_;
  const Slices slices_;
  int64_t blocks_;                           // of each slice
  double parameters_[most_parameters] = {};  // of contiguous runs
  std::optional<Wanted> contiguous_;
  std::optional<ElementLayout> layout_;  // if not contiguous
  SliceFactors factors_;
  // Of each block. A small job has one, and should not wait for an allocator.
  double one_sum_ = 0;
  std::vector<double> many_sums_;
  double* sums_ = &one_sum_;
  std::vector<double> gradient_sums_;
};

}  // namespace

void sweep(const Job& job) {
  FloatEnvironment environment;
  Sweep(job).run();
}

bool sweep_small(const SmallJob& job) {
  if (job.elements == 0 || job.elements > block_elements) return false;
  const LossKernels& loss = instruction_set().kernels->losses[job.kernel_index];
  bool reduces = job.reduction != Reduction::none;
  auto run = loss.contiguous[int(job.dtype)][int(wanted_of(reduces, job.value, job.gradient))];
  if (!run || !loss.valid(job.parameters)) return false;

  FloatEnvironment environment;
  double sums[lanes] = {};
  double denominator = reduces && job.reduction != Reduction::sum ? double(job.elements) : 1;
  run({job.inputs,
       job.targets,
       {job.parameters[0], job.parameters[1]},
       job.elements,
       reduces ? nullptr : job.value,
       job.gradient,
       nullptr,
       sums,
       1 / denominator});
  if (reduces && job.value) {
    double total = add_lanes(sums);
    store(add_blocks(&total, 1) / denominator, job.value_dtype, job.value);
  }
  return true;
}

}  // namespace lossless
