// exp and log: in double, for loops that the compiler vectorises, and a second time in double-double arithmetic.
//
// exp(x) is 2^k (1 + expm1(r)) with x = k log(2) + r. log(x) is 2 atanh(s), whose series has only odd powers.
// tools/coefficients.py prints the coefficients.
#pragma once

#include "kernels/arith/double_double.h"

namespace lossless {
namespace {

constexpr double ln2 = 0x1.62e42fefa39efp-1;
constexpr double ln2_rest = 0x1.abc9e3b39803fp-56;  // log(2) - ln2
constexpr double ln2_high = 0x1.62e42fef00000p-1;   // 33 bits: exact times an exponent
constexpr double ln2_low = 0x1.473de6af278edp-34;
constexpr double ln2_lowest = -0x1.9ff0342542fc3p-90;
constexpr double inverse_ln2 = 0x1.71547652b82fep0;
// x + round_to_integer - round_to_integer is x rounded to an integer k; the last bits of x + round_to_integer are the
// biased exponent of 2^k.
constexpr double round_to_integer = 0x1.8p52 + 1023;

// (expm1(r) - r) / r^2 for |r| <= log(2) / 2; the relative error of expm1 is 2^-54.4. The even and the odd powers are
// summed separately: that halves the chain of dependent operations.
LOSSLESS_INLINE double exponential_tail(double r) {
  double even = polynomial(r * r, 0x1.0000000000001p-1, 0x1.5555555553d56p-5, 0x1.6c16c17890eb4p-10,
                           0x1.a019b8f9792eep-16, 0x1.28919ccaf9211p-22);
  double odd = polynomial(r * r, 0x1.5555555555556p-3, 0x1.11111111109afp-7, 0x1.a01a01a7c73c0p-13,
                          0x1.71de0da24602dp-19, 0x1.af38c67fbb53ep-26);
  return std::fma(odd, r, even);
}

// exp(-a) for a >= 0, with a relative error of 2^-53 for as long as a double can hold the result. The tail is at most
// 0.054 in a sum of 0.71, or 0.069 in one of 1.41. Its four roundings and that of the sum with r.low make 2^-54.5 of
// the result, its polynomial 2^-55.7.
LOSSLESS_INLINE DoubleDouble exponential_of_minus(double a) {
  constexpr double vanishes = 746;
  double clamped = at_most(vanishes, a);
  double shifted = std::fma(clamped, -inverse_ln2, round_to_integer);
  double k = shifted - round_to_integer;
  // 2^k has two factors here, since subnormal numbers have no exponent of their own.
  double bounded = k < -1000 ? -1000 : k;
  double power = from_bits(to_bits(bounded + round_to_integer) << 52);
  double rest = from_bits(to_bits((k - bounded) + round_to_integer) << 52);
  DoubleDouble r = two_sum(std::fma(k, -ln2_high, -clamped), -k * ln2_low);
  DoubleDouble tail = fast_two_sum(r.high, r.low + r.high * r.high * exponential_tail(r.high));
  DoubleDouble sum = fast_two_sum(1, tail.high);
  sum.low += std::fma(r.low, r.high, tail.low);
  DoubleDouble result = fast_two_sum(sum.high, sum.low);
  return {(result.high * power) * rest, (result.low * power) * rest};
}

// log(1 + q) for 0 <= q <= 1, with a relative error of 2^-51, from the quotient s = q / (2 + q).
LOSSLESS_INLINE double log1p_of(double q) {
  double s = q / (2 + q);
  double w = s * s;
  double tail = polynomial(w, 0x1.5555555555555p-1, 0x1.999999999a3f3p-2, 0x1.24924923d2d4bp-2, 0x1.c71c72726bfddp-3,
                           0x1.745cf0769697fp-3, 0x1.3b18b8f867cf3p-3, 0x1.10ac0d1d370edp-3, 0x1.eb9826b1a15a3p-4,
                           0x1.6852b0c683c0cp-4, 0x1.4b3447466ead2p-3);
  return std::fma(s * w, tail, 2 * s);
}

// log(x), with a relative error of 2^-57; NaN for x < 0.
LOSSLESS_INLINE DoubleDouble logarithm(double x) {
  constexpr double smallest_normal = 0x1p-1022;
  bool is_small = x < smallest_normal;
  double normal = is_small ? x * 0x1p54 : x;
  // x = 2^k m with m between the roots of 1/2 and 2.
  constexpr uint64_t root_of_half = 0x3fe6a09e667f3bcd;
  constexpr uint64_t one = 0x3ff0000000000000;
  uint64_t biased = (to_bits(normal) + one - root_of_half) >> 52;
  double m = from_bits(to_bits(normal) - (biased << 52) + one);
  double k = from_bits(biased | to_bits(0x1p52)) - (0x1p52 + 1023) - (is_small ? 54 : 0);

  double numerator = m - 1;
  DoubleDouble denominator = two_sum(m, 1);
  double s = numerator / denominator.high;
  double remainder = std::fma(-s, denominator.high, numerator) - s * denominator.low;
  double w = s * s;
  double tail = s * w *
                polynomial(w, 0x1.5555555555555p-1, 0x1.9999999999a3ap-2, 0x1.249249247670ap-2, 0x1.c71c7201fc0e6p-3,
                           0x1.745cf8c09a9d4p-3, 0x1.3b1c43c68eb6dp-3, 0x1.0fbd140544b63p-3, 0x1.0c135adcf3011p-3);
  DoubleDouble sum = fast_two_sum(k * ln2_high, 2 * s);
  DoubleDouble result = fast_two_sum(sum.high, sum.low + (k * ln2_low + (2 * remainder / denominator.high + tail)));
  double special = x == 0 ? -infinity : x > 0 ? x : not_a_number;
  return select(x > 0 && x <= largest, result, {special, 0});
}

// With relative errors below 2^-98, for the rare results that double arithmetic cannot round.

// expm1(r) for |r| <= log(2) / 2; the terms left out are below 0.35^23 / 23! < 2^-109.
inline DoubleDouble expm1_of_reduced(DoubleDouble r) {
  DoubleDouble sum = {0, 0};
  DoubleDouble term = {1, 0};
  for (int n = 1; n <= 22; ++n) {
    term = divide(multiply(term, r), {double(n), 0});
    sum = add(sum, term);
  }
  return sum;
}

// atanh(s), by its series up to the power `last`.
inline DoubleDouble inverse_tanh(DoubleDouble s, int last) {
  DoubleDouble w = multiply(s, s);
  DoubleDouble power = s;
  DoubleDouble sum = {0, 0};
  for (int n = 1; n <= last; n += 2) {
    sum = add(sum, divide(power, {double(n), 0}));
    power = multiply(power, w);
  }
  return sum;
}

// r = -a - k log(2).
inline DoubleDouble reduced_of_minus(DoubleDouble a, double k) {
  return add(scale(a, -1), add(two_product(k, -ln2_high), add(two_product(k, -ln2_low), {k * -ln2_lowest, 0})));
}

// exp(-a) for 0 <= a <= 700.
inline DoubleDouble exponential_of_minus_accurately(DoubleDouble a) {
  double k = std::nearbyint(a.high / -ln2);
  return scale(add({1, 0}, expm1_of_reduced(reduced_of_minus(a, k))), std::ldexp(1, int(k)));
}

// log(1 + q) for 0 <= q <= 1; the terms left out are below (1/3)^71 / 71 < 2^-118.
inline DoubleDouble log1p_accurately(DoubleDouble q) { return scale(inverse_tanh(divide(q, add({2, 0}, q)), 69), 2); }

// log(x) for x > 0; the terms left out are below 0.172^43 / 43 < 2^-114.
inline DoubleDouble logarithm_accurately(DoubleDouble x) {
  int exponent;
  double half = std::frexp(x.high, &exponent);
  if (half < 0.70710678118654752) --exponent;
  DoubleDouble m = {std::ldexp(x.high, -exponent), std::ldexp(x.low, -exponent)};  // 2^-exponent itself may overflow
  DoubleDouble log_m = scale(inverse_tanh(divide(add(m, {-1, 0}), add(m, {1, 0})), 41), 2);
  double k = exponent;
  return add(add(two_product(k, ln2_high), add(two_product(k, ln2_low), {k * ln2_lowest, 0})), log_m);
}

}  // namespace
}  // namespace lossless
