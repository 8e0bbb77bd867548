// The binary cross entropy of predicted probabilities p and targets t, whose logarithms are at least -100:
//
//   l   = -t max(log p, -100) - (1 - t) max(log(1 - p), -100)
//   l'  = -t / p + (1 - t) / (1 - p) = (p - t) / (p (1 - p))
//   l'' = t / p^2 + (1 - t) / (1 - p)^2
//
// with the derivatives with respect to p, and without those of a term whose logarithm is below -100. For p and t from
// 0 to 1 only p - t cancels. It is known without error, and so are 1 - p and 1 - t.
#pragma once

#include "kernels/arith/elementary.h"
#include "kernels/loops/loss_concept.h"

namespace lossless {
namespace {

struct binary_cross_entropy_of_probabilities {
  static constexpr int parameters = 0;
  static constexpr bool uses_difference_only = false;
  static constexpr bool only_gathered = true;
  static constexpr double error = 0x1p-44;
  static constexpr bool cancels = true;

  static bool valid(Parameters) { return true; }

  template <class T>
  LOSSLESS_INLINE ValueAndDerivatives evaluate(double p, double t, Parameters) {
    DoubleDouble other_p = two_sum(1, -p), other_t = two_sum(1, -t);
    DoubleDouble of_one = logarithm(p), of_zero = logarithm(other_p.high);
    double log_p = of_one.high;
    double log_other = of_zero.high + (of_zero.low + other_p.low / (other_p.high == 0 ? 1 : other_p.high));
    bool one_counts = p >= least, zero_counts = other_p.high > 0;
    log_p = log_p <= lowest ? lowest : log_p;
    log_other = log_other <= lowest ? lowest : log_other;
    // The terms of a huge target may overflow where their sum does not: a small part of them does not.
    bool huge = std::fabs(t) > 0x1p960;
    double shrink = huge ? 0x1p-60 : 1, grow = huge ? 0x1p60 : 1;
    double part_t = shrink * t, rest_t = shrink * nearest(other_t), rest_p = nearest(other_p);

    double first = -part_t * log_p, second = -rest_t * log_other;
    double value = grow * (first + second);
    bool is_probability = t >= 0 && t <= 1;
    double lost = is_probability ? 0 : 0x1p-47 * (std::fabs(first) + std::fabs(second));

    double by_one = part_t / p, by_zero = rest_t / rest_p;
    double of_both = nearest(two_sum(p, -t)) / (p * rest_p);
    double gradient = zero_counts ? (one_counts ? of_both : grow * by_zero) : (one_counts ? -grow * by_one : 0);
    double second_derivative = grow * ((one_counts ? by_one / p : 0) + (zero_counts ? by_zero / rest_p : 0));
    double lost_second_derivative =
        is_probability ? 0 : 0x1p-47 * (std::fabs(by_one / p) + std::fabs(by_zero / rest_p));
    bool is_number = value == value;
    return {{value, std::copysign(lost, value)},
            {is_number ? gradient : value, 0},
            {is_number ? second_derivative : value, std::copysign(lost_second_derivative, second_derivative)}};
  }

  static ValueAndDerivatives evaluate_accurately(double p, double t, Parameters) {
    DoubleDouble other_p = two_sum(1, -p), other_t = two_sum(1, -t);
    bool one_counts = p >= least, zero_counts = other_p.high > 0;
    // For a small p, too, 1 - p is exact as two doubles, and its logarithm has all digits.
    DoubleDouble log_p = one_counts ? logarithm_accurately({p, 0}) : DoubleDouble{lowest, 0};
    DoubleDouble log_other = zero_counts ? logarithm_accurately(other_p) : DoubleDouble{lowest, 0};
    DoubleDouble value = scale(add(multiply({t, 0}, log_p), multiply(other_t, log_other)), -1);
    if (std::fabs(t) > 2 && one_counts && zero_counts) {
      // For a target far from 0 and 1, the two terms may cancel to log 2 near p = 1/2. There the difference of the
      // logarithms, log(p / (1 - p)), keeps its digits as 2 atanh(2 p - 1).
      bool near = p > 0.35 && p < 0.65;
      DoubleDouble log_ratio = near ? scale(inverse_tanh(two_sum(2 * p, -1), 69), 2) : add(log_p, scale(log_other, -1));
      value = scale(add(multiply({t, 0}, log_ratio), log_other), -1);
    }
    DoubleDouble zero = {0, 0};
    DoubleDouble by_one = one_counts ? divide({t, 0}, {p, 0}) : zero;
    DoubleDouble by_zero = zero_counts ? divide(other_t, other_p) : zero;
    DoubleDouble gradient =
        one_counts && zero_counts ? divide(two_sum(p, -t), multiply({p, 0}, other_p)) : add(by_zero, scale(by_one, -1));
    DoubleDouble second_derivative =
        add(one_counts ? divide(by_one, {p, 0}) : zero, zero_counts ? divide(by_zero, other_p) : zero);
    return {value, gradient, second_derivative};
  }

 private:
  static constexpr double lowest = -100;
  static constexpr double least = 0x1.a8c1f14e2af5dp-145;  // the smallest double above exp(lowest)
};

}  // namespace
}  // namespace lossless
