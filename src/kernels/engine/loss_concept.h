// What a loss kernel computes for one element, and what it may rely on.
//
// A kernel is a struct in losses/NAME.h, named as the loss, with
//
//   static constexpr int parameters;               how many numbers beside inputs and targets (at most two)
//   static constexpr const char* parameter_names[] their names in the public signature, when there are any
//   static constexpr bool of_residual;             whether only the difference of inputs and targets counts
//   static constexpr bool only_in_pieces;          whether loops over contiguous runs are not worth their compilation
//   static constexpr double error;                 bound of the relative error of evaluate; 0: its sums are exact
//   static constexpr bool cancels;                 only when error > 0: whether a result may be a small difference
//   static bool valid(Parameters);                 false: every result is NaN
//   template <class T> static Outcome evaluate(double inputs, double targets, Parameters);
//   static Outcome evaluate_accurately(double inputs, double targets, Parameters);    only when error > 0
//
// `evaluate` is inlined into vector loops, so its branches must be selections. T is the type of the result (types in
// dtypes.h). With error = 0, `low` is at most a hundred units in the last place of `high`, and high + low of each
// result has the sign of the true result's distance from any number of at most 51 bits: rounding to odd then decides.
// With error > 0 only `high` counts, and the rare results that the bound cannot decide are computed again by
// `evaluate_accurately`. Where terms cancel, no relative bound holds: `low` is what may be missing beside it, with the
// sign of `high`.
#pragma once

#include "kernels/arith/arithmetic.h"

namespace lossless {
namespace {

struct Parameters {
  double first, second;
};

// The loss, its derivative by inputs, and its second derivative by inputs.
struct Outcome {
  Split value, gradient, curvature;
};

// inputs - targets without error. Where it overflows, `low` is NaN.
LOSSLESS_INLINE Split exact_residual(double inputs, double targets) { return two_sum(inputs, -targets); }

}  // namespace
}  // namespace lossless
