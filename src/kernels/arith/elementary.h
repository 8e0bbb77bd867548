// exp and log for the losses that need them: in double, in loops that vectorise, and again with twice the digits.
//
// Exponentials are reduced by k log(2) and summed as expm1(r); logarithms are 2 atanh(s), whose series has but odd
// powers. tools/coefficients.py makes the coefficients.
#pragma once

#include "kernels/arith/arithmetic.h"

namespace lossless {
namespace {

constexpr double ln2 = 0x1.62e42fefa39efp-1;
constexpr double ln2_rest = 0x1.abc9e3b39803fp-56;  // log(2) - ln2
constexpr double ln2_high = 0x1.62e42fef00000p-1;   // 33 bits: exact times an exponent
constexpr double ln2_low = 0x1.473de6af278edp-34;
constexpr double ln2_lowest = -0x1.9ff0342542fc3p-90;
constexpr double inverse_ln2 = 0x1.71547652b82fep0;
// x + this - this; the bits of x + this end in an exponent.
constexpr double round_to_integer = 0x1.8p52 + 1023;

// (expm1(r) - r) / r^2 for |r| <= log(2) / 2, with a relative error of expm1 of 2^-54.4. Even and odd powers apart
// halve the chain of dependent operations.
LOSSLESS_INLINE double exponential_tail(double r) {
  double even = polynomial(r * r, 0x1.0000000000001p-1, 0x1.5555555553d56p-5, 0x1.6c16c17890eb4p-10,
                           0x1.a019b8f9792eep-16, 0x1.28919ccaf9211p-22);
  double odd = polynomial(r * r, 0x1.5555555555556p-3, 0x1.11111111109afp-7, 0x1.a01a01a7c73c0p-13,
                          0x1.71de0da24602dp-19, 0x1.af38c67fbb53ep-26);
  return std::fma(odd, r, even);
}

// exp(-a) for a >= 0, to 2^-53 of it: until it vanishes, as a double can hold it. The tail, at most 0.054 beside 0.71
// or 0.069 beside 1.41, rounds four times and in the sum with r.low, which is 2^-54.5; its polynomial adds 2^-55.7.
LOSSLESS_INLINE Split exponential_of_minus(double a) {
  constexpr double vanishes = 746;
  double clamped = at_most(vanishes, a);
  double shifted = std::fma(clamped, -inverse_ln2, round_to_integer);
  double k = shifted - round_to_integer;
  // 2^k in two factors, as the smallest numbers have no exponent of their own.
  double bounded = k < -1000 ? -1000 : k;
  double power = from_bits(to_bits(bounded + round_to_integer) << 52);
  double rest = from_bits(to_bits((k - bounded) + round_to_integer) << 52);
  Split r = two_sum(std::fma(k, -ln2_high, -clamped), -k * ln2_low);
  Split tail = fast_two_sum(r.high, r.low + r.high * r.high * exponential_tail(r.high));
  Split sum = fast_two_sum(1, tail.high);
  sum.low += std::fma(r.low, r.high, tail.low);
  Split result = fast_two_sum(sum.high, sum.low);
  return {(result.high * power) * rest, (result.low * power) * rest};
}

// log(1 + q) for 0 <= q <= 1, to 2^-51 of it, from the quotient s = q / (2 + q).
LOSSLESS_INLINE double log1p_of(double q) {
  double s = q / (2 + q);
  double w = s * s;
  double tail = polynomial(w, 0x1.5555555555555p-1, 0x1.999999999a3f3p-2, 0x1.24924923d2d4bp-2, 0x1.c71c72726bfddp-3,
                           0x1.745cf0769697fp-3, 0x1.3b18b8f867cf3p-3, 0x1.10ac0d1d370edp-3, 0x1.eb9826b1a15a3p-4,
                           0x1.6852b0c683c0cp-4, 0x1.4b3447466ead2p-3);
  return std::fma(s * w, tail, 2 * s);
}

// log(x), to 2^-57 of it; NaN below 0.
LOSSLESS_INLINE Split logarithm(double x) {
  constexpr double smallest_normal = 0x1p-1022;
  bool is_small = x < smallest_normal;
  double normal = is_small ? x * 0x1p54 : x;
  // It is 2^k m with m between the roots of 1/2 and 2.
  constexpr uint64_t root_of_half = 0x3fe6a09e667f3bcd;
  constexpr uint64_t one = 0x3ff0000000000000;
  uint64_t biased = (to_bits(normal) + one - root_of_half) >> 52;
  double m = from_bits(to_bits(normal) - (biased << 52) + one);
  double k = from_bits(biased | to_bits(0x1p52)) - (0x1p52 + 1023) - (is_small ? 54 : 0);

  double numerator = m - 1;
  Split denominator = two_sum(m, 1);
  double s = numerator / denominator.high;
  double remainder = std::fma(-s, denominator.high, numerator) - s * denominator.low;
  double w = s * s;
  double tail = s * w *
                polynomial(w, 0x1.5555555555555p-1, 0x1.9999999999a3ap-2, 0x1.249249247670ap-2, 0x1.c71c7201fc0e6p-3,
                           0x1.745cf8c09a9d4p-3, 0x1.3b1c43c68eb6dp-3, 0x1.0fbd140544b63p-3, 0x1.0c135adcf3011p-3);
  Split sum = fast_two_sum(k * ln2_high, 2 * s);
  Split result = fast_two_sum(sum.high, sum.low + (k * ln2_low + (2 * remainder / denominator.high + tail)));
  double special = x == 0 ? -infinity : x > 0 ? x : not_a_number;
  return select(x > 0 && x <= largest, result, {special, 0});
}

// The quotient, with the sign of the remainder in `low`: that of two doubles is known without error.
LOSSLESS_INLINE Split quotient(Split x, double y) {
  double high = x.high / y;
  return {high, (std::fma(-high, y, x.high) + x.low) / y};
}

// For the rare results that double cannot round, to 2^-98 of each.

// expm1(r) for |r| <= log(2) / 2: 0.35^23 / 23! < 2^-109.
inline Split expm1_of_reduced(Split r) {
  Split sum = {0, 0};
  Split term = {1, 0};
  // mutation-equivalent(boundary): a term more or less is beyond the 2^-90 that is claimed
  for (int n = 1; n <= 22; ++n) {
    term = divide(multiply(term, r), {double(n), 0});
    sum = add(sum, term);
  }
  return sum;
}

// atanh(s), by its series up to the power `last`.
inline Split inverse_tanh(Split s, int last) {
  Split w = multiply(s, s);
  Split power = s;
  Split sum = {0, 0};
  // mutation-equivalent(boundary): a term more or less is beyond the 2^-90 that is claimed
  for (int n = 1; n <= last; n += 2) {
    sum = add(sum, divide(power, {double(n), 0}));
    power = multiply(power, w);
  }
  return sum;
}

// The r of -a = k log(2) + r.
inline Split reduced_of_minus(Split a, double k) {
  return add(scale(a, -1), add(two_product(k, -ln2_high), add(two_product(k, -ln2_low), {k * -ln2_lowest, 0})));
}

// exp(-a) for 0 <= a <= 700.
inline Split exponential_of_minus_accurately(Split a) {
  double k = std::nearbyint(a.high / -ln2);
  return scale(add({1, 0}, expm1_of_reduced(reduced_of_minus(a, k))), std::ldexp(1, int(k)));
}

// log(1 + q) for 0 <= q <= 1: (1/3)^71 / 71 < 2^-118.
inline Split log1p_accurately(Split q) { return scale(inverse_tanh(divide(q, add({2, 0}, q)), 69), 2); }

// log(x) for x > 0: 0.172^43 / 43 < 2^-114.
inline Split logarithm_accurately(Split x) {
  int exponent;
  double half = std::frexp(x.high, &exponent);
  if (half < 0.70710678118654752) --exponent;
  Split m = {std::ldexp(x.high, -exponent), std::ldexp(x.low, -exponent)};  // 2^-exponent itself may overflow
  Split log_m = scale(inverse_tanh(divide(add(m, {-1, 0}), add(m, {1, 0})), 41), 2);
  double k = exponent;
  return add(add(two_product(k, ln2_high), add(two_product(k, ln2_low), {k * ln2_lowest, 0})), log_m);
}

}  // namespace
}  // namespace lossless
