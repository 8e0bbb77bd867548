// What the kernel of a loss of rows computes for one row, and what it may rely on.
//
// A kernel is a struct in rows/NAME.h, named as the loss, with
//
//   static constexpr int parameters;               how many numbers the loss takes (at most most_row_parameters)
//   static constexpr const char* parameter_names[] their names in the public signature, if there are any
//   template <class T> static double row(const Row&);
//       returns the loss, and writes the gradient with respect to the inputs if it is wanted
//   template <class T> static constexpr auto small_rows() -> void (*)(const Row* rows, int count, double* losses);
//       a function that takes `count` rows, at most `lanes`, all of the same number of elements, at most
//       small_row_elements, and with labels; or null, if there is none for this type
//
// T is the type of the results, one of those in dtypes.h. A part of a kernel in a file of its own is NAME_small.h.
#pragma once

#include <cstdint>

#include "kernels/engine/job.h"

namespace lossless {

// A row, contiguous, and what it is compared with: a label, or a target for each of its elements.
struct Row {
  const void* inputs = nullptr;  // of the result's dtype, as the gradient
  int64_t elements = 0;
  int64_t label = 0;              // one of the elements; not used if there are targets
  const void* targets = nullptr;  // null: there is a label
  int64_t target_stride = 0;
  void (*load_targets)(const void* from, int64_t stride, int elements, double* to) = nullptr;
  double parameters[most_row_parameters] = {};
  void* gradient = nullptr;  // null: not wanted; may be where the inputs are
  double gradient_scale = 1;
};

}  // namespace lossless
