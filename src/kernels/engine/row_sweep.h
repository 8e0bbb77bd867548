// One pass over memory for losses of rows, such as one of scores for each class: any layout, value and gradient, of
// each row or reduced. The counterpart of sweep.h for cross entropy.
#pragma once

#include "kernels/engine/sweep.h"

namespace lossless {

// The class of each row, as signed integers of 4 or 8 bytes; strides as an operand's.
struct Labels {
  const void* data = nullptr;
  int64_t bytes = 8;
  std::vector<int64_t> strides;
};

// Of the shape of the rows and, last, of the classes; operands and the value step through the rows alone.
struct RowJob {
  DType dtype = DType::float32;
  Reduction reduction = Reduction::none;
  std::vector<int64_t> shape;
  Operand logits;         // of the job's dtype
  Labels labels;          // one of these two
  Operand probabilities;  // in the shape of the logits
  double smoothing = 0;
  Operand weights, where;
  Operand cotangent;                 // factor of the gradient: for each row or, with a reduction, one number
  Result value;                      // with a reduction: one number
  std::optional<DType> value_dtype;  // of a reduced value, if not the job's: to be added to those of other jobs
  Result gradient;                   // of the reduced value; may be where the logits are
  int threads = 0;                   // at most so many, the caller included; 0: as many as there may be
};

// Returns the number of the first row, in C order, that has no such class as its label says, or -1. The results of such
// rows, and the value that is reduced from them, are NaN.
int64_t sweep_rows(const RowJob& job);

}  // namespace lossless
