// The hinge loss of inputs x and targets t, which are to be -1 or 1:
//
//   l = max(0, 1 - t x)        l' = -t where t x < 1, 0 elsewhere        l'' = 0
//
// with the derivatives with respect to x. The product of two narrow numbers is exact in double, and the difference is
// a sum high + low without error.
#pragma once

#include "kernels/loops/loss_concept.h"

namespace lossless {
namespace {

struct hinge {
  static constexpr int parameters = 0;
  static constexpr bool uses_difference_only = false;
  static constexpr bool only_gathered = false;
  static constexpr double error = 0;

  static bool valid(Parameters) { return true; }

  template <class T>
  LOSSLESS_INLINE ValueAndDerivatives evaluate(double inputs, double targets, Parameters) {
    DoubleDouble product = two_product(inputs, targets);
    DoubleDouble margin = two_sum(1, -product.high);
    // If the product is infinite, the low parts are NaN.
    double low = margin.low - product.low;
    double sum = margin.high + (low == low ? low : 0);
    bool counts = !(sum <= 0);  // where NaN, too
    bool is_number = sum == sum;
    return {select(counts, {margin.high, low}, {0, 0}),
            {is_number ? (counts ? 0 - targets : 0) : sum, 0},
            {is_number ? 0 : sum, 0}};
  }
};

}  // namespace
}  // namespace lossless
