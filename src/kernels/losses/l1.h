// The absolute value of the residual r = inputs - targets:
//
//   l(r) = |r|        l'(r) = sign(r), 0 at 0        l''(r) = 0
//
// The residual is known without error, and so are these.
#pragma once

#include "kernels/loops/loss_concept.h"

namespace lossless {
namespace {

struct l1 {
  static constexpr int parameters = 0;
  static constexpr bool uses_difference_only = true;
  static constexpr bool only_gathered = false;
  static constexpr double error = 0;

  static bool valid(Parameters) { return true; }

  template <class T>
  LOSSLESS_INLINE ValueAndDerivatives evaluate(double inputs, double targets, Parameters) {
    DoubleDouble residual = exact_residual(inputs, targets);
    double r = residual.high;
    double sign = r == 0 ? r : std::copysign(1.0, r);
    return {absolute(residual), {r == r ? sign : r, 0}, {r == r ? 0 : r, 0}};
  }
};

}  // namespace
}  // namespace lossless
