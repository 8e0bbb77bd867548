// The smooth L1 loss of the residual r = inputs - targets, with a = |r|:
//
//   l(r) = r^2 / (2 beta)     where a < beta    l'(r) = r / beta      l''(r) = 1 / beta
//        = a - beta / 2       elsewhere               = sign(r)               = 0
//
// R. Girshick, "Fast R-CNN", ICCV 2015, with the beta of later implementations. beta = 0 is L1.
//
// Everything comes as a quotient or a sum high + low. The remainder of a division is exact (fma), and the sign of low,
// which is all that a rounding needs to know beyond high, is that of the remainder. In float64 the square is a product
// of the residual and the slope, each with its low part: the error is 1 ULP, or 2 where the slope is subnormal.
//
// The square of a residual of narrower numbers, (h + l)^2, has up to 154 bits, and a divisor such as 0.1 can leave but
// the last of them, l^2, between the quotient and the middle of two results. square_over() therefore sums exactly.
#pragma once

#include <type_traits>

#include "kernels/arith/elementary.h"
#include "kernels/loops/loss_concept.h"

namespace lossless {
namespace {

struct smooth_l1 {
  static constexpr int parameters = 1;
  static constexpr const char* parameter_names[] = {"beta"};
  static constexpr bool uses_difference_only = true;
  static constexpr bool only_gathered = false;
  static constexpr double error = 0;

  static bool valid(Parameters p) { return p.first >= 0; }

  template <class T>
  LOSSLESS_INLINE ValueAndDerivatives evaluate(double inputs, double targets, Parameters p) {
    double beta = p.first;
    DoubleDouble residual = exact_residual(inputs, targets);
    DoubleDouble a = absolute(residual);
    bool near = (a.high < beta) | ((a.high == beta) & (a.low < 0));

    DoubleDouble slope = quotient(a, beta);
    DoubleDouble quadratic;
    if constexpr (std::is_same_v<typename T::storage, double>) {  // whose squares overflow and vanish
      double lacks = slope.low == slope.low ? slope.low : 0;      // NaN where beta is infinite
      quadratic = {0.5 * std::fma(a.high, slope.high, std::fma(a.low, slope.high, a.high * lacks)), 0};
    } else {
      quadratic = select(beta <= largest, scale(square_over(at_most(largest, beta), a), 0.5), {0, 0});
    }
    double half = beta - 0.5 * beta;  // not 0 where beta is the smallest number, whose product with 0.5 is
    DoubleDouble linear = two_sum(a.high, -half);
    linear.low += a.low;
    if constexpr (std::is_same_v<typename T::storage, double>) {
      // The residual may be beyond the largest double and its loss not.
      double beyond_range = 2 * (std::fabs(0.5 * inputs - 0.5 * targets) - 0.5 * half);
      linear = select((a.high > largest) & (beta <= largest), {beyond_range, 0}, linear);
    }

    double r = residual.high;
    double sign = r == 0 ? r : std::copysign(1.0, r);
    DoubleDouble value = select(near, quadratic, linear);
    DoubleDouble gradient = select(near, scale(slope, std::copysign(1.0, r)), {r == r ? sign : r, 0});
    DoubleDouble bend = quotient({1, 0}, beta);
    bend.low = bend.high > largest ? 0 : bend.low;  // of a subnormal beta
    DoubleDouble second_derivative = select(near, bend, {r == r ? 0 : r, 0});
    return {value, gradient, second_derivative};
  }

 private:
  // (h + l)^2 / y for the exact residual h + l of numbers of at most 24 bits. In units of h^2:
  //
  // - `middle`, `rest` and their errors are exact sums. So is what remains of rest.high after it has changed the
  //   quotient by at most two units in its last place;
  // - the other four terms are below 2^-103. If l is not 0, the lowest bits of the two numbers are more than 53 places
  //   apart: up to 77, all is a multiple of 2^-156, so that the sum of the four is exact, too; beyond, h is one of the
  //   two numbers, whose square has 48 bits, so middle.low and cross.low are 0, and l^2 decides alone or not at all.
  LOSSLESS_INLINE DoubleDouble square_over(double y, DoubleDouble a) {
    DoubleDouble square = two_product(a.high, a.high);
    DoubleDouble cross = two_product(2 * a.high, a.low);
    DoubleDouble middle = two_sum(square.low, cross.high);
    double first = square.high / y;
    DoubleDouble rest = two_sum(std::fma(-first, y, square.high), middle.high);
    double high = first + rest.high / y;
    rest.high = std::fma(first - high, y, rest.high);
    double low = rest.high + (rest.low + (middle.low + (cross.low + a.low * a.low)));
    return {high, low / y};
  }
};

}  // namespace
}  // namespace lossless
