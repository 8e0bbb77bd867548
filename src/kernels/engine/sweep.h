// One pass over memory: any loss, any layout, value and derivatives, element-wise or reduced.
//
// This is what a framework's bridge calls. It hands in raw pointers with their dtypes and strides; sweep() cuts the
// elements into blocks, gives them to the threads, and rounds once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace lossless {

enum class DType : int { float16, bfloat16, float32, float64, boolean };  // boolean: of `where` only
constexpr int result_dtypes = 4;
constexpr int all_dtypes = 5;

enum class Reduction : int { none, sum, mean, weighted_mean };

constexpr int most_parameters = 2;

// Elements in memory; strides in bytes, one for each dimension of the job, 0 where the operand repeats.
struct Operand {
  const void* data = nullptr;
  DType dtype = DType::float64;
  std::vector<int64_t> strides;
};

// Results in memory, of the job's dtype. No data: not wanted. May be the same memory as `inputs` or `targets`, element
// for element.
struct Result {
  void* data = nullptr;
  std::vector<int64_t> strides;
};

struct Job {
  int loss = 0;
  DType dtype = DType::float32;
  Reduction reduction = Reduction::none;
  std::vector<int64_t> shape;
  int kept = 0;  // with a reduction: the leading dimensions of the value; the others are reduced
  Operand inputs, targets, weights, where;
  Operand parameters[most_parameters];
  Operand cotangent;  // factor of the derivatives, the same for all that one value is reduced from; not with values of
                      // elements
  Result value;       // with a reduction: contiguous, in the shape of the kept dimensions
  std::optional<DType> value_dtype;  // of a reduced value, if not the job's: to be added to those of other jobs
  Result gradient;                   // of the reduced value
  Result curvature;                  // the second derivative of the reduced value by each element
  Result total_gradient;  // one number: the sum of the gradient, for an `inputs` or `targets` that is one number
  int threads = 0;        // at most so many, the caller included; 0: as many as there may be
};

// Sums run over blocks of this many elements of a row (the reduced elements of one value) in C order.
constexpr int64_t block_elements = 64 * 1024;
// Inside a block element i goes to lane i % 16, and the lanes are added pairwise. Whatever the threads, the layout and
// the instruction set, the order is the same.
constexpr int lanes = 16;

void sweep(const Job& job);

// A job without options, of contiguous arrays of its dtype, one block at most, reduced as a whole or not at all.
struct SmallJob {
  int loss = 0;
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

// The bits of sweep() in less time. False: nothing is done, the job is for sweep().
bool sweep_small(const SmallJob& job);

// out = inputs - targets, by the same threads in the same blocks: the speed that memory allows.
void memory_pass(const float* inputs, const float* targets, float* out, int64_t elements);

}  // namespace lossless
