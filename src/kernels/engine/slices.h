// The reductions of a job: its slices, and what their sums are divided by.
#pragma once

#include <vector>

#include "kernels/arith/scalar.h"
#include "kernels/engine/job.h"
#include "kernels/engine/numbers.h"
#include "kernels/loops/kernels.h"
#include "kernels/loops/sums.h"

namespace lossless {
namespace {

inline double read_number(const Kernels& kernels, const Operand& operand, int64_t offset) {
  double x;
  kernels.load[int(operand.dtype)](static_cast<const char*>(operand.data) + offset, 0, 1, &x);
  return x;
}

// A slice is what one value is reduced from, in C order: the elements, or rows, along the dimensions that are not outer
// ones. Without a reduction everything is one slice.
struct Slices {
  // The first `dims` dimensions of the job are those of its elements or rows.
  Slices(const CommonJob& job, size_t dims)
      : count(job.reduction == Reduction::none ? 1 : product(job.shape, 0, job.outer_dims)),
        size(product(job.shape, job.reduction == Reduction::none ? 0 : job.outer_dims, dims)) {}

  int64_t count, size;
};

// What the sum of each slice is divided by, and what its gradient is multiplied by.
class SliceFactors {
 public:
  SliceFactors(const Kernels& kernels, const CommonJob& job) : kernels_(kernels), job_(job) {}

  // `count(weighted)` returns, for each slice, the sum of the weights or the number of those that `where` selects.
  template <class Count>
  void find(const Slices& slices, Count count) {
    if (job_.reduction == Reduction::none || job_.reduction == Reduction::sum) return;
    constant_divisor_ = double(slices.size);
    if (job_.where.data) selected_ = count(false);
    divisors_ = job_.reduction == Reduction::weighted_mean && job_.weights.data ? count(true) : selected_;
  }

  double divisor(int64_t slice) const {
    double divisor = divisors_.empty() ? constant_divisor_ : divisors_[slice];
    return divisor == 0 ? not_a_number : divisor;
  }

  // The gradient of a mean over nothing is 0; that of a mean whose weights add up to 0 is NaN.
  double gradient_scale(int64_t slice) const {
    if (!selected_.empty() && selected_[slice] == 0) return 0;
    return cotangent(slice) / divisor(slice);
  }

 private:
  double cotangent(int64_t slice) const {
    if (!job_.cotangent.data) return 1;
    int64_t offset = 0;
    for (int64_t d = job_.outer_dims; d-- > 0; slice /= job_.shape[d])
      offset += slice % job_.shape[d] * job_.cotangent.strides[d];
    return read_number(kernels_, job_.cotangent, offset);
  }

  const Kernels& kernels_;
  const CommonJob& job_;
  double constant_divisor_ = 1;
  std::vector<double> divisors_;  // of each slice; empty: all are constant_divisor_
  std::vector<double> selected_;  // how many of each slice `where` selects; empty: all
};

// Writes the values of a reduction: the sums of the blocks of each slice, divided.
inline void store_values(const CommonJob& job, const Slices& slices, const SliceFactors& factors, const double* sums,
                         int64_t blocks) {
  if (!job.value.data) return;
  DType dtype = job.value_dtype.value_or(job.dtype);
  for (int64_t slice = 0; slice < slices.count; ++slice)
    store(add_blocks(sums + slice * blocks, blocks) / factors.divisor(slice), dtype,
          static_cast<char*>(job.value.data) + slice * item_size(dtype));
}

}  // namespace
}  // namespace lossless
