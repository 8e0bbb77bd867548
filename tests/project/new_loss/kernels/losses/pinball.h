// The pinball loss of the residual r = inputs - targets and a quantile q between 0 and 1:
//
//   l(r) = s |r|        l'(r) = s sign(r), 0 at 0        l''(r) = 0        s = 1 - q where r > 0, q elsewhere
//
// R. Koenker and G. Bassett, "Regression Quantiles", Econometrica 46 (1978).
//
// Neither 1 - q nor r is a double, but both are sums of two without error: s = s1 + s2, |r| = a + b. Their product is
// s1 a, exact as a sum, and s2 a + s1 b; s2 b is below 2^-105 of it.
#pragma once

#include <type_traits>

#include "kernels/loops/loss_concept.h"

namespace lossless {
namespace {

struct pinball {
  static constexpr int parameters = 1;
  static constexpr const char* parameter_names[] = {"quantile"};
  static constexpr bool uses_difference_only = true;
  static constexpr bool only_gathered = false;
  static constexpr double error = 0;

  static bool valid(Parameters p) { return p.first > 0 && p.first < 1; }

  template <class T>
  LOSSLESS_INLINE ValueAndDerivatives evaluate(double inputs, double targets, Parameters p) {
    DoubleDouble residual = exact_residual(inputs, targets);
    double r = residual.high;
    DoubleDouble above = two_sum(1, -p.first);
    DoubleDouble slope = select(r > 0, above, {p.first, 0});

    DoubleDouble value = product(slope, absolute(residual));
    if constexpr (std::is_same_v<typename T::storage, double>) {
      // The residual may be beyond the largest double and its loss not.
      DoubleDouble half = absolute(two_sum(0.5 * inputs, -0.5 * targets));
      value = select(std::fabs(r) > largest, product(scale(slope, 2), half), value);
    }
    DoubleDouble gradient = select(r > 0, above, {-p.first, 0});
    bool bends = (r == 0) | (r != r);
    return {value, select(bends, {r, 0}, gradient), {r == r ? 0 : r, 0}};
  }

 private:
  LOSSLESS_INLINE DoubleDouble product(DoubleDouble slope, DoubleDouble a) {
    DoubleDouble result = two_product(slope.high, a.high);
    // In this order: where the first two terms cancel, the last one decides.
    result.low = std::fma(slope.high, a.low, std::fma(slope.low, a.high, result.low));
    return result;
  }
};

}  // namespace
}  // namespace lossless
