// The loops over elements, compiled once for each instruction set from kernels.cpp, and the table that finds them.
#pragma once

#include <cstdint>

#include "kernels/engine/sweep.h"

namespace lossless {

// A contiguous run of elements, all of the result's dtype; results that are not wanted are null.
struct Run {
  const void* inputs;
  const void* targets;
  double parameters[most_parameters];
  int64_t elements;
  void* value;
  void* gradient;
  void* curvature;
  double* sums;           // [lanes], added to
  double gradient_scale;  // 1: the gradient is correctly rounded
};

// The most elements that the kernels with options take at a time: their working set stays in the L1 cache.
constexpr int piece_elements = 256;

// At most piece_elements elements with every option, already as doubles (`where` as 0 or not). The arrays have room for
// piece_elements, all of them numbers. Results are contiguous; not wanted: null.
struct Piece {
  int elements;
  const double* inputs;
  const double* targets;
  const double* parameters[most_parameters];
  const double* weights;  // null: no weights
  const double* where;    // null: no mask
  void* value;
  void* gradient;
  void* curvature;
  double* sums;           // [lanes], added to; null: not wanted
  double* gradient_sums;  // the same for the gradient
  double gradient_scale;
};

// Which results a contiguous run can produce.
enum class Wanted : int { value, value_and_gradient, sum, sum_and_gradient, gradient, gradient_and_curvature };
constexpr int wanted_combinations = 6;

// The value, first and second derivative of one element, each as high + low.
using Splits = double[3][2];

struct LossKernels {
  const char* name;
  int parameters;
  const char* const* parameter_names;
  bool of_residual;                                             // the loss depends on inputs - targets alone
  bool (*valid)(const double* parameters);                      // a run takes no others
  void (*run[result_dtypes][wanted_combinations])(const Run&);  // null: only in pieces
  void (*piece[result_dtypes])(const Piece&);
  // One element, to prove the claims of the loss: as a result of each dtype is computed at first, and as one near a
  // rounding boundary is computed again (null where the first computation is exact).
  double error;
  void (*evaluate[result_dtypes])(double inputs, double targets, const double* parameters, Splits& results);
  void (*evaluate_accurately)(double inputs, double targets, const double* parameters, Splits& results);
};

// One row of scores, contiguous, and what it is compared with.
struct ScoreRow {
  const void* logits = nullptr;  // of the result's dtype, as the gradient
  int64_t classes = 0;
  int64_t label = 0;                    // one of the classes; not looked at beside probabilities
  const void* probabilities = nullptr;  // null: the label has all
  int64_t probability_stride = 0;
  void (*load_probabilities)(const void* from, int64_t stride, int elements, double* to) = nullptr;
  double smoothing = 0;
  void* gradient = nullptr;  // null: not wanted; may be where the logits are
  double gradient_scale = 1;
};

constexpr int few_classes = 32;

struct Kernels {
  const LossKernels* losses;
  int count;
  void (*count_piece)(const Piece&);  // a piece of the loss that is 1 everywhere: sums weights, counts the mask
  void (*load[all_dtypes])(const void* from, int64_t stride, int elements, double* to);
  void (*subtract)(const float* inputs, const float* targets, float* out, int64_t elements);
  double (*cross_entropy[result_dtypes])(const ScoreRow&);  // the loss
  // The losses of so many rows, at most `lanes`, of one number of classes, at most `few_classes`, with labels. Null: of
  // this dtype none.
  void (*cross_entropy_of_few[result_dtypes])(const ScoreRow* rows, int count, double* losses);
};

// In order of preference, worst first; only those that this processor runs.
struct InstructionSet {
  const char* name;
  const Kernels* kernels;
};
const std::vector<InstructionSet>& instruction_sets();
const InstructionSet& instruction_set();
bool set_instruction_set(const char* name);  // false: there is none of that name here

}  // namespace lossless
