// The binary cross entropy of logits x and targets t, probabilities as a rule:
//
//   l = log(1 + e^x) - t x        l' = 1 / (1 + e^-x) - t        l'' = e^x / (1 + e^x)^2
//
// with the derivatives with respect to x. With a = |x|, q = e^-a, and u = 1 - t for x > 0, u = t otherwise,
//
//   l = a u + log(1 + q)        l' = (u - q / (1 + q)) sign(x)        l'' = q / (1 + q)^2
//
// where nothing overflows and, for targets from 0 to 1, only l' can cancel: where the prediction is nearly the target.
// There q has a relative error of 2^-53 and u is exact. A result that cancels nearly completely is computed again.
#pragma once

#include "kernels/arith/elementary.h"
#include "kernels/loops/loss_concept.h"

namespace lossless {
namespace {

struct binary_cross_entropy {
  static constexpr int parameters = 0;
  static constexpr bool uses_difference_only = false;
  static constexpr bool only_gathered = false;
  static constexpr double error = 0x1p-44;
  static constexpr bool cancels = true;

  static bool valid(Parameters) { return true; }

  template <class T>
  LOSSLESS_INLINE ValueAndDerivatives evaluate(double inputs, double targets, Parameters) {
    double a = std::fabs(inputs);
    DoubleDouble u = distance(inputs, targets);
    DoubleDouble q = exponential_of_minus(a);
    DoubleDouble m = fast_two_sum(1, q.high);
    m.low += q.low;
    DoubleDouble w = ratio(q, m);

    double linear = a * u.high;
    linear = u.high == 0 ? u.high : linear;  // also of an infinite logit, which is right
    double series = log1p_of(q.high);
    double value = linear + series;
    DoubleDouble slope = two_sum(u.high, -w.high);
    double gradient = slope.high + (slope.low + (u.low - w.low));
    double sign = inputs > 0 ? 1 : -1;
    double lost = linear < 0 ? 0x1p-48 * (series - linear) : 0;
    return {{value, std::copysign(lost, value)},
            {sign * gradient, std::copysign(0x1p-53 * w.high, sign * gradient)},
            {targets == targets ? at_most(0.25, w.high / m.high) : targets, 0}};
  }

  static ValueAndDerivatives evaluate_accurately(double inputs, double targets, Parameters) {
    // e^-far changes no result of a narrow type, except by its sign.
    constexpr double far = 240;
    double a = std::fabs(inputs);
    DoubleDouble u = distance(inputs, targets);
    DoubleDouble q = exponential_of_minus_accurately({at_most(far, a), 0});
    DoubleDouble m = add({1, 0}, q);
    DoubleDouble w = divide(q, m);
    DoubleDouble gradient = scale(add(u, scale(w, -1)), inputs > 0 ? 1 : -1);
    // Near x = 0 the gradient is 1/2 - t + x/4 - x^3/48. The last term may decide on which side of the middle of two
    // results the gradient lies. The quotient has lost this term: its digits end at 2^-100.
    bool near = a < 0x1p-27;
    if (near) gradient = add(two_sum(0.5 - targets, 0.25 * inputs), {inputs * inputs * inputs / -48, 0});
    return {add(multiply(u, {a, 0}), log1p_accurately(q)), gradient, divide(w, m)};
  }

 private:
  // From the target to 1 if the logit is positive, to 0 otherwise.
  LOSSLESS_INLINE DoubleDouble distance(double inputs, double targets) {
    return select(inputs > 0, two_sum(1, -targets), {targets, 0});
  }

  LOSSLESS_INLINE DoubleDouble ratio(DoubleDouble x, DoubleDouble y) {
    double high = x.high / y.high;
    return {high, (std::fma(-high, y.high, x.high) + (x.low - high * y.low)) / y.high};
  }
};

}  // namespace
}  // namespace lossless
