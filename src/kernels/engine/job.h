// What the engine is asked to compute: what jobs of element-wise losses (sweep.h) and of losses of rows (row_sweep.h)
// have in common.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace lossless {

enum class DType : int { float16, bfloat16, float32, float64, boolean };  // boolean: only of `where`
constexpr int result_dtypes = 4;
constexpr int all_dtypes = 5;

inline int64_t item_size(DType dtype) {
  constexpr int64_t sizes[all_dtypes] = {2, 2, 4, 8, 1};
  return sizes[int(dtype)];
}

enum class Reduction : int { none, sum, mean, weighted_mean };

// How many numbers a loss may take beside its arrays: an element-wise one, and one of rows.
constexpr int most_parameters = 2;
constexpr int most_row_parameters = 2;

// Elements in memory; strides in bytes, one for each dimension of the job, 0 where the operand repeats.
struct Operand {
  const void* data = nullptr;
  DType dtype = DType::float64;
  std::vector<int64_t> strides;
};

// Results in memory, of the job's dtype. Without data: not wanted. May be the memory of an operand, if the strides are
// the same, too.
struct Result {
  void* data = nullptr;
  std::vector<int64_t> strides;
};

struct CommonJob {
  int kernel_index = 0;  // of the loss, in the table of kernels
  DType dtype = DType::float32;
  Reduction reduction = Reduction::none;
  std::vector<int64_t> shape;
  int outer_dims = 0;  // with a reduction: the leading dimensions, which the value has; the others are reduced
  Operand weights, where;
  Operand cotangent;                 // factor of the derivatives: one for each value
  Result value;                      // with a reduction: contiguous, in the shape of the outer dimensions
  std::optional<DType> value_dtype;  // of a reduced value, if not the job's: it will be added to those of other jobs
  Result gradient;                   // of the reduced value
  int threads = 0;                   // how many may take part, with the caller; 0: no limit of this job's own
};

// A slice is the elements that one value is reduced from, in C order. Its sum runs over blocks of this many elements.
constexpr int64_t block_elements = 64 * 1024;
// Inside a block element i is added to lane i % 16; sums.h has the rest.
constexpr int lanes = 16;

}  // namespace lossless
