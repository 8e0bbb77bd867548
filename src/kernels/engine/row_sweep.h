// One pass over memory for losses of rows, such as one of scores for each class: any layout, value and gradient, row by
// row or reduced. The counterpart of sweep.h.
#pragma once

#include "kernels/engine/job.h"

namespace lossless {

// A place in each row, as signed integers of 4 or 8 bytes; strides as an operand's.
struct Labels {
  const void* data = nullptr;
  int64_t bytes = 8;
  std::vector<int64_t> strides;
};

// The shape is that of the rows and, as the last dimension, their length. The strides of arrays without this last
// dimension, which are labels, weights, mask, cotangent and value, may have it or not.
struct RowJob : CommonJob {
  Operand inputs;   // of the job's dtype
  Labels labels;    // either these
  Operand targets;  // or these, in the shape of the inputs
  double parameters[most_row_parameters] = {};
};

// Returns the index of the first row, in C order, whose label is no place in it, or -1. The results of such rows, and
// the values that are reduced from them, are NaN.
int64_t sweep_rows(const RowJob& job);

}  // namespace lossless
