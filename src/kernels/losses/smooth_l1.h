// The smooth L1 loss of the residual r = inputs - targets, with a = |r|:
//
//   l(r) = r^2 / (2 beta)     where a < beta    l'(r) = r / beta      l''(r) = 1 / beta
//        = a - beta / 2       elsewhere               = sign(r)               = 0
//
// R. Girshick, "Fast R-CNN", ICCV 2015, with the beta of later implementations. beta = 0 is L1.
//
// Everything comes as a quotient or a sum high + low. The remainder of a division is exact (fma), and the sign of low,
// which is all that a rounding needs to know beyond high, is that of the remainder. In float64 the square is a product
// of the residual and the slope, each off by half an ULP at most: 2.5 ULP where they count double.
#pragma once

#include <type_traits>

#include "../elementary.h"
#include "../outcome.h"

namespace lossless {
namespace {

struct smooth_l1 {
  static constexpr int parameters = 1;
  static constexpr const char* parameter_names[] = {"beta"};
  static constexpr bool of_residual = true;
  static constexpr bool only_in_pieces = false;
  static constexpr double error = 0;

  static bool valid(Parameters p) { return p.first >= 0; }

  template <class T>
  LOSSLESS_INLINE Outcome evaluate(double inputs, double targets, Parameters p) {
    double beta = p.first;
    Split residual = exact_residual(inputs, targets);
    Split a = absolute(residual);
    bool near = (a.high < beta) | ((a.high == beta) & (a.low < 0));

    Split slope = quotient(a, beta);
    Split square = two_product(a.high, a.high);
    square.low += 2 * a.high * a.low;
    Split quadratic = quotient(scale(square, 0.5), beta);
    if constexpr (std::is_same_v<typename T::storage, double>)  // whose squares overflow and vanish
      quadratic = {0.5 * a.high * slope.high, 0};
    Split linear = two_sum(a.high, -0.5 * beta);
    linear.low += a.low;

    double r = residual.high;
    double sign = r == 0 ? r : std::copysign(1.0, r);
    Split value = select(near, quadratic, linear);
    Split gradient = select(near, scale(slope, std::copysign(1.0, r)), {r == r ? sign : r, 0});
    Split curvature = select(near, quotient({1, 0}, beta), {r == r ? 0 : r, 0});
    return {value, gradient, curvature};
  }
};

}  // namespace
}  // namespace lossless
