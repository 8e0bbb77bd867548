// The margin ranking loss of r = inputs1 - inputs2 and targets y, which are to be -1 or 1:
//
//   l(r) = max(0, margin - y r)        l'(r) = -y where y r < margin, 0 elsewhere        l''(r) = 0
//
// With r = d + e without error, margin - y d - y e is an exact sum of five doubles. They may cancel, and a last one
// may decide where the others make the middle of two results, so they are added up without error.
#pragma once

#include <type_traits>

#include "kernels/loops/loss_concept.h"

namespace lossless {
namespace {

struct margin_ranking {
  static constexpr int parameters = 2;
  static constexpr const char* parameter_names[] = {"targets", "margin"};
  static constexpr bool uses_difference_only = true;
  static constexpr bool only_gathered = true;
  static constexpr double error = 0;

  static bool valid(Parameters) { return true; }

  template <class T>
  LOSSLESS_INLINE ValueAndDerivatives evaluate(double inputs1, double inputs2, Parameters p) {
    double targets = p.first, margin = p.second;
    DoubleDouble residual = exact_residual(inputs1, inputs2);
    DoubleDouble product = two_product(targets, residual.high);
    // If a high part is infinite, its low part is NaN.
    DoubleDouble cross = two_product(targets, residual.low == residual.low ? residual.low : 0);
    DoubleDouble value =
        exact_sum(margin, -product.high, -finite(product.low), -finite(cross.high), -finite(cross.low));
    bool sums_exactly = (std::fabs(product.high) <= largest) & (std::fabs(margin) <= largest);
    value = select(sums_exactly, value, {margin - product.high, 0});
    if constexpr (std::is_same_v<typename T::storage, double>) {
      // A quarter of what overflows in between, and may be finite in the end, does not.
      DoubleDouble quarter = two_sum(0.25 * inputs1, -0.25 * inputs2);
      DoubleDouble part = two_product(targets, quarter.high);
      DoubleDouble rest = two_sum(0.25 * margin, -part.high);
      double beyond = 4 * (rest.high + finite(rest.low - part.low - targets * quarter.low));
      value = select(std::fabs(value.high) <= largest, value, {beyond, 0});
    }
    double sign = value.high;
    if constexpr (std::is_same_v<typename T::storage, double>) {
      // A product that vanishes still has a sign, which decides beside a margin of 0.
      DoubleDouble enlarged = two_product(targets * 0x1p600, residual.high * 0x1p600);
      double rest = targets * 0x1p600 * (residual.low * 0x1p600);
      DoubleDouble sum = exact_sum(margin * 0x1p600 * 0x1p600, -enlarged.high, -enlarged.low, -rest, 0);
      bool vanishes =
          (std::fabs(product.high) < 0x1p-900) & (std::fabs(margin) < 0x1p-200) & (targets != 0) & (residual.high != 0);
      sign = vanishes ? sum.high : sign;
      value = select(vanishes, {sum.high * 0x1p-600 * 0x1p-600, 0}, value);
    }
    bool counts = !(sign <= 0);  // where NaN, too
    bool is_number = value.high == value.high;
    return {select(counts, value, {0, 0}),
            {is_number ? (counts ? 0 - targets : 0) : value.high, 0},
            {is_number ? 0 : value.high, 0}};
  }

 private:
  LOSSLESS_INLINE double finite(double low) { return low == low ? low : 0; }

  // a + b + c + d + e: the sum as a double, and what that lost, in its sign and to a few bits. J. R. Shewchuk,
  // "Adaptive precision floating-point arithmetic" (1997): parts that do not overlap, then added from the smallest on.
  LOSSLESS_INLINE DoubleDouble exact_sum(double a, double b, double c, double d, double e) {
    DoubleDouble two = two_sum(a, b);
    DoubleDouble low = two_sum(c, two.low), high = two_sum(low.high, two.high);
    DoubleDouble part1 = two_sum(d, low.low), part2 = two_sum(part1.high, high.low),
                 part3 = two_sum(part2.high, high.high);
    DoubleDouble rest0 = two_sum(e, part1.low), rest1 = two_sum(rest0.high, part2.low);
    DoubleDouble rest2 = two_sum(rest1.high, part3.low), rest3 = two_sum(rest2.high, part3.high);
    // The parts from the smallest: rest0.low, rest1.low, rest2.low, rest3.low, rest3.high. Some may be 0.
    DoubleDouble sum1 = two_sum(rest0.low, rest1.low), sum2 = two_sum(sum1.high, rest2.low);
    DoubleDouble sum3 = two_sum(sum2.high, rest3.low), sum4 = two_sum(sum3.high, rest3.high);
    double lost = sum1.low + sum2.low + sum3.low + sum4.low;
    return {sum4.high, finite(lost)};
  }
};

}  // namespace
}  // namespace lossless
