// Huber's loss of the residual r = inputs - targets, with a = |r|:
//
//   l(r) = r^2 / 2                  where a <= delta        l'(r) = r                 l''(r) = 1
//        = delta (a - delta / 2)    elsewhere                     = delta sign(r)            = 0
//
// P. J. Huber, "Robust Estimation of a Location Parameter", Annals of Mathematical Statistics 35 (1964).
//
// Both pieces are q (a - q/2) with q = min(a, delta): no branch. In plain double that is three roundings, and with
// data on a grid (k/8192, quantised sensors) r^2/2 lies exactly between two float32 numbers every few elements, so
// each of them would matter. Hence the sum high + low: the residual is d + e without error, a - q/2 is m + n without
// error, and
//
//   (q + q') (m + n + ...)  =  q m  +  q (n + e)  +  terms below 2^-103 of it
//
// where e belongs to q as well as to a in the quadratic piece, which doubles its share of m = q/2, and to a alone in
// the linear one: q e both times. The gradient is d alone: e is not 0 only where one operand is below 2^-28 of the
// other, and d too near the other, itself a possible result, to lie half way between two.
#pragma once

#include <type_traits>

#include "kernels/loops/loss_concept.h"

namespace lossless {
namespace {

struct huber {
  static constexpr int parameters = 1;
  static constexpr const char* parameter_names[] = {"delta"};
  static constexpr bool uses_difference_only = true;
  static constexpr bool only_gathered = false;
  static constexpr double error = 0;

  static bool valid(Parameters p) { return p.first > 0; }

  template <class T>
  LOSSLESS_INLINE ValueAndDerivatives evaluate(double inputs, double targets, Parameters p) {
    double delta = p.first;
    DoubleDouble residual = exact_residual(inputs, targets);
    DoubleDouble a = absolute(residual);
    double excess = a.high == delta ? a.low : a.high - delta;  // of a over delta, in its sign

    double q = at_most(at_most(largest, delta), a.high);
    double m = std::fma(-0.5, q, a.high);
    double n = std::fma(-0.5, q, a.high - m);
    DoubleDouble value = two_product(q, m);
    value.low = std::fma(q, n + a.low, value.low);

    double clipped = at_most(delta, a.high);  // of two infinities infinite in every dtype: times a weight of 0, NaN
    if constexpr (std::is_same_v<typename T::storage, double>) {
      // The residual may be beyond the largest double and its loss not: delta/2 is nothing beside it.
      DoubleDouble half = absolute(two_sum(0.5 * inputs, -0.5 * targets));
      DoubleDouble beyond_range = two_product(2 * delta, half.high);
      beyond_range.low = std::fma(2 * delta, half.low, beyond_range.low);
      value = select(a.high > largest, beyond_range, value);
    }
    double inside = a.high <= delta ? 1 : a.high;
    double second_derivative = excess > 0 ? 0 : inside;
    return {value, {std::copysign(clipped, residual.high), 0}, {second_derivative, 0}};
  }
};

}  // namespace
}  // namespace lossless
