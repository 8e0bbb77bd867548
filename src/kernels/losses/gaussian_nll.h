// The negative logarithm of a normal density at the residual r = inputs - targets, less log(2 pi) / 2:
//
//   l(r) = (log v + r^2 / v) / 2        l'(r) = r / v        l''(r) = 1 / v        v = max(vars, eps)
//
// The terms of l may cancel. The logarithm has a relative error of 2^-57, the quotient a smaller one. A result that
// cancels nearly completely is computed again.
#pragma once

#include "kernels/arith/elementary.h"
#include "kernels/loops/loss_concept.h"

namespace lossless {
namespace {

// With `full`, the loss includes the constant log(2 pi) / 2.
template <bool full>
struct normal_density {
  static constexpr int parameters = 2;
  static constexpr const char* parameter_names[] = {"vars", "eps"};
  static constexpr bool uses_difference_only = true;
  static constexpr bool only_gathered = true;
  static constexpr double error = 0x1p-44;
  static constexpr bool cancels = true;

  static bool valid(Parameters p) { return p.second > 0; }

  template <class T>
  LOSSLESS_INLINE ValueAndDerivatives evaluate(double inputs, double targets, Parameters p) {
    double v = at_least(p.second, p.first);
    DoubleDouble residual = exact_residual(inputs, targets);
    double r = residual.high;
    DoubleDouble log_v = logarithm(v);
    double slope = r / v;
    // In float64 r * r may overflow, and so may r / v, of a subnormal v; not both where the result is finite.
    bool steep = (std::fabs(slope) > largest) & (std::fabs(r) <= largest);
    DoubleDouble exact_square = {steep ? r * r / v : r * slope, 0};
    if constexpr (sizeof(typename T::storage) < sizeof(double)) {
      exact_square = quotient(two_product(r, r), v);
      exact_square.low += 2 * slope * residual.low;
    }
    DoubleDouble sum = two_sum(log_v.high, exact_square.high);
    double low = sum.low + (log_v.low + exact_square.low);
    if constexpr (full) {
      DoubleDouble with_constant = two_sum(sum.high, log_2_pi);
      sum.high = with_constant.high;
      low += with_constant.low + log_2_pi_rest;
    }
    double value = 0.5 * nearest({sum.high, low});
    if constexpr (sizeof(typename T::storage) == sizeof(double)) {
      // Twice the value, and the residual itself, may overflow where the value and the slope do not.
      double half = 0.5 * inputs - 0.5 * targets;
      double square = steep ? half * half / v : half * (half / v);
      value = std::fabs(value) <= largest ? value : 2 * square + 0.5 * log_v.high;
      slope = std::fabs(r) <= largest ? slope : 2 * (half / v);
    }
    double lost = 0x1p-57 * (std::fabs(log_v.high) + exact_square.high + (full ? 2 : 0));
    return {{value, std::copysign(lost, value)}, {slope, 0}, {r == r ? 1 / v : r, 0}};
  }

  static ValueAndDerivatives evaluate_accurately(double inputs, double targets, Parameters p) {
    double v = at_least(p.second, p.first);
    DoubleDouble residual = exact_residual(inputs, targets);
    DoubleDouble square = divide(multiply(residual, residual), {v, 0});
    DoubleDouble sum = add(logarithm_accurately({v, 0}), square);
    if constexpr (full) sum = add(sum, {log_2_pi, log_2_pi_rest});
    return {scale(sum, 0.5), divide(residual, {v, 0}), divide({1, 0}, {v, 0})};
  }

 private:
  static constexpr double log_2_pi = 0x1.d67f1c864beb5p+0;
  static constexpr double log_2_pi_rest = -0x1.65b5a1b7ff5dfp-54;

  // A NaN in x stays.
  LOSSLESS_INLINE double at_least(double limit, double x) { return x < limit ? limit : x; }
};

using gaussian_nll = normal_density<false>;

}  // namespace
}  // namespace lossless
