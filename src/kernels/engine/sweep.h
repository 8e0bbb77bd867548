// One pass over memory: any element-wise loss, any layout, value and derivatives, element by element or reduced.
//
// The bridges to Python and to frameworks call this. They pass raw pointers with their dtypes and strides; sweep() cuts
// the elements into blocks, gives the blocks to the threads, and rounds each result once.
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

constexpr int most_parameters = 2;

// Elements in memory; strides in bytes, one for each dimension of the job, 0 where the operand repeats.
struct Operand {
  const void* data = nullptr;
  DType dtype = DType::float64;
  std::vector<int64_t> strides;
};

// Results in memory, of the job's dtype. Without data: not wanted. May be the memory of `inputs` or `targets`, if the
// strides are the same, too.
struct Result {
  void* data = nullptr;
  std::vector<int64_t> strides;
};

struct Job {
  int kernel_index = 0;  // of the loss, in the table of kernels
  DType dtype = DType::float32;
  Reduction reduction = Reduction::none;
  std::vector<int64_t> shape;
  int outer_dims = 0;  // with a reduction: the leading dimensions, which the value has; the others are reduced
  Operand inputs, targets, weights, where;
  Operand parameters[most_parameters];
  Operand cotangent;  // factor of the derivatives: one for each value. Without a reduction only if there is no `value`
  Result value;       // with a reduction: contiguous, in the shape of the outer dimensions
  std::optional<DType> value_dtype;  // of a reduced value, if not the job's: it will be added to those of other jobs
  Result gradient;                   // of the reduced value
  Result second_derivative;          // of the reduced value with respect to each element
  Result total_gradient;             // one number: the sum of the gradient, if `inputs` or `targets` is one number
  int threads = 0;                   // how many may take part, with the caller; 0: no limit of this job's own
};

// A slice is the elements that one value is reduced from, in C order. Its sum runs over blocks of this many elements.
constexpr int64_t block_elements = 64 * 1024;
// Inside a block element i is added to lane i % 16; sums.h has the rest.
constexpr int lanes = 16;

void sweep(const Job& job);

// A job without options, of contiguous arrays of its dtype, one block at most, reduced as a whole or not at all.
struct SmallJob {
  int kernel_index = 0;
  DType dtype = DType::float32;
  Reduction reduction = Reduction::none;
  const void* inputs = nullptr;
  const void* targets = nullptr;
  double parameters[most_parameters] = {};
  int64_t elements = 1;
  void* value = nullptr;  // null: not wanted
  void* gradient = nullptr;
  DType value_dtype = DType::float32;  // of a reduced value
};

// Computes the same bits as sweep() in less time. Returns false, and does nothing, if only sweep() can do the job.
bool sweep_small(const SmallJob& job);

// out = inputs - targets, by the same threads in the same blocks: the speed that memory allows.
void memory_pass(const float* inputs, const float* targets, float* out, int64_t elements);

}  // namespace lossless
