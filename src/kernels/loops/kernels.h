// The table of kernels: one for each instruction set, made by kernels.cpp, and the one that is in use.
#pragma once

#include <cstdint>

#include "kernels/engine/job.h"
#include "kernels/loops/loss_concept.h"
#include "kernels/loops/row_loss_concept.h"

namespace lossless {

// Elements that lie one after the other, of the result's dtype. Results that are not wanted are null.
struct ContiguousRun {
  const void* inputs;
  const void* targets;
  double parameters[most_parameters];
  int64_t elements;
  void* value;
  void* gradient;
  void* second_derivative;
  double* sums;           // [lanes], added to
  double gradient_scale;  // 1: the gradient is correctly rounded
};

// How many elements the loops with options take at a time: their working set stays in the L1 cache.
constexpr int tile_elements = 256;

// At most tile_elements elements with every option, already as doubles (`where` as 0 or another number). The arrays
// have tile_elements elements, and all of them are initialised. Results are contiguous, and null if not wanted.
struct GatheredTile {
  int elements;
  const double* inputs;
  const double* targets;
  const double* parameters[most_parameters];
  const double* weights;  // null: no weights
  const double* where;    // null: no mask
  void* value;
  void* gradient;
  void* second_derivative;
  double* sums;           // [lanes], added to; null: not wanted
  double* gradient_sums;  // the same for the gradient
  double gradient_scale;
};

// Which results a contiguous run can produce.
enum class Wanted : int { value, value_and_gradient, sum, sum_and_gradient, gradient, gradient_and_second_derivative };
constexpr int wanted_combinations = 6;

struct LossKernels {
  const char* name;
  int parameters;
  const char* const* parameter_names;
  bool uses_difference_only;                // the loss depends on inputs - targets alone
  bool (*valid)(const double* parameters);  // the loops over contiguous runs take no others
  void (*contiguous[result_dtypes][wanted_combinations])(const ContiguousRun&);  // null: gathered tiles only
  void (*gathered[result_dtypes])(const GatheredTile&);
};

// The two stages of a loss, one element at a time: the tests prove its claims by them.
struct LossProof {
  double error;  // bound of the relative error of `evaluate`; 0: its sums are exact
  ValueAndDerivatives (*evaluate[result_dtypes])(double inputs, double targets, const double* parameters);
  // Null if evaluate is exact.
  ValueAndDerivatives (*evaluate_accurately)(double inputs, double targets, const double* parameters);
};

// The kernels of small rows take rows of at most this many elements.
constexpr int small_row_elements = 32;

struct RowLossKernels {
  const char* name;
  int parameters;
  const char* const* parameter_names;
  double (*row[result_dtypes])(const Row&);
  void (*small_rows[result_dtypes])(const Row* rows, int count, double* losses);  // null: `row` takes small rows, too
};

struct Kernels {
  const LossKernels* losses;
  const LossProof* proofs;  // of the same losses
  int count;
  const RowLossKernels* row_losses;
  int row_count;
  void (*count_tile)(const GatheredTile&);  // the loss that is 1 everywhere: sums the weights or counts the elements
  void (*load[all_dtypes])(const void* from, int64_t stride, int elements, double* to);
  void (*subtract)(const float* inputs, const float* targets, float* out, int64_t elements);
};

// Sets of instructions that this processor has, the preferred one last.
struct InstructionSet {
  const char* name;
  const Kernels* kernels;
};
const std::vector<InstructionSet>& instruction_sets();
const InstructionSet& instruction_set();
bool set_instruction_set(const char* name);  // false: this processor has none of this name

}  // namespace lossless
