// One pass over memory: any element-wise loss, any layout, value and derivatives, element by element or reduced.
//
// The bridges to Python and to frameworks call this. They pass raw pointers with their dtypes and strides; sweep() cuts
// the elements into blocks, gives the blocks to the threads, and rounds each result once.
#pragma once

#include "kernels/engine/job.h"

namespace lossless {

// A job without a reduction has a `value` or a `cotangent`, or neither.
struct Job : CommonJob {
  Operand inputs, targets;
  Operand parameters[most_parameters];
  Result second_derivative;  // of the reduced value with respect to each element
  Result total_gradient;     // one number: the sum of the gradient, if `inputs` or `targets` is one number
};

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

}  // namespace lossless
