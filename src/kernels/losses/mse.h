// The square of the residual r = inputs - targets:
//
//   l(r) = r^2        l'(r) = 2 r        l''(r) = 2
//
// The residual is d + e without error. Its square is d^2, an exact sum of two doubles, plus 2 d e; e^2 is below 2^-105
// of it. The derivative depends on d alone, as in huber.h.
#pragma once

#include "kernels/loops/loss_concept.h"

namespace lossless {
namespace {

struct mse {
  static constexpr int parameters = 0;
  static constexpr bool uses_difference_only = true;
  static constexpr bool only_gathered = false;
  static constexpr double error = 0;

  static bool valid(Parameters) { return true; }

  template <class T>
  LOSSLESS_INLINE ValueAndDerivatives evaluate(double inputs, double targets, Parameters) {
    DoubleDouble residual = exact_residual(inputs, targets);
    double r = residual.high;
    DoubleDouble value = two_product(r, r);
    value.low += 2 * r * residual.low;
    return {value, {2 * r, 0}, {r == r ? 2 : r, 0}};
  }
};

}  // namespace
}  // namespace lossless
