// What the kernel of an element-wise loss computes for one element, and what it may rely on.
//
// A kernel is a struct in losses/NAME.h, named as the loss, with
//
//   static constexpr int parameters;               how many numbers the loss takes beside inputs and targets (at most
//   2) static constexpr const char* parameter_names[] their names in the public signature, if there are any static
//   constexpr bool uses_difference_only;    whether only the difference of inputs and targets counts static constexpr
//   bool only_gathered;           true: no loops over contiguous arrays are compiled, as for losses
//                                                  whose arrays nearly always have to be gathered
//   static constexpr double error;                 bound of the relative error of `evaluate`; 0: its sums are exact
//   static constexpr bool cancels;                 only if error > 0: whether a result may be a small difference
//   static bool valid(Parameters);                 false: every result is NaN
//   template <class T> static ValueAndDerivatives evaluate(double inputs, double targets, Parameters);
//   static ValueAndDerivatives evaluate_accurately(double inputs, double targets, Parameters);    only if error > 0
//
// `evaluate` is inlined into vector loops, so its branches must be selections. T is the type of the result, one of
// those in dtypes.h.
//
// With error = 0, `low` is at most a hundred units in the last place of `high`, and high + low of each result lies on
// the same side of every number of at most 51 bits as the true result: rounding to odd then decides.
//
// With error > 0 only `high` counts, and the rare results that the bound cannot decide are computed again, by
// `evaluate_accurately`. Where terms cancel, no relative bound holds: there `low` bounds what `high` has lost, and has
// the sign of `high`.
#pragma once

#include "kernels/arith/double_double.h"

namespace lossless {

// The loss of one element, and its first and second derivative with respect to inputs.
struct ValueAndDerivatives {
  DoubleDouble value, gradient, second_derivative;
};

namespace {

struct Parameters {
  double first, second;
};

// inputs - targets without error. Where the difference overflows, `low` is NaN.
LOSSLESS_INLINE DoubleDouble exact_residual(double inputs, double targets) { return two_sum(inputs, -targets); }

}  // namespace
}  // namespace lossless
