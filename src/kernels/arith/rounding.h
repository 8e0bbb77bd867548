// From a sum of two doubles to one double, and from a double to fewer digits: each rounds once.
#pragma once

#include "kernels/arith/double_double.h"

namespace lossless {
namespace {

// The sum as a double. A NaN in x.low, which is what the error of an infinite result is, counts as 0. -0 keeps its
// sign.
LOSSLESS_INLINE double nearest(DoubleDouble x) {
  double sum = x.high + x.low;
  return std::copysign(sum == sum ? sum : x.high, x.high);
}

// Rounds the sum to odd: an exact sum is returned as it is; instead of an inexact one, the neighbouring double whose
// last bit is 1 is returned. To round the result to a format of at most 51 bits is to round the exact sum once. NaN in
// x.low and -0 are treated as in nearest(). (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums: proved
// algorithms using rounding to odd", 2008.)
LOSSLESS_INLINE double round_to_odd(DoubleDouble x) {
  DoubleDouble sum = fast_two_sum(x.high, x.low == x.low ? x.low : 0);
  uint64_t bits = to_bits(sum.high);
  int64_t away_from_zero = int64_t(to_bits(sum.low) ^ bits) >> 63 | 1;  // 1 or -1
  uint64_t if_even = (bits & 1) - 1;                                    // a mask
  uint64_t step = uint64_t(away_from_zero) & if_even;
  bool inexact = std::fabs(sum.low) > 0;  // NaN, and so false, where the sum is infinite
  return std::copysign(from_bits(bits + (inexact ? step : 0)), x.high);
}

// x rounded to `digits` significant bits, to nearest with ties to even; below smallest_normal to multiples of its
// last place; from `overflow` on to infinity. Adding and subtracting 1.5 * 2^52 units of the last place does it.
template <int digits>
LOSSLESS_INLINE double round_to(double x, double smallest_normal, double overflow) {
  constexpr uint64_t exponent_mask = 0x7ff0000000000000;
  constexpr double units = 1.5 * double(uint64_t(1) << (53 - digits));
  double magnitude = std::fabs(x);
  double bounded = magnitude < smallest_normal ? smallest_normal : magnitude;
  double shift = from_bits(to_bits(bounded) & exponent_mask) * units;
  double rounded = (magnitude + shift) - shift;
  return std::copysign(magnitude >= overflow ? infinity : rounded, x);
}

}  // namespace
}  // namespace lossless
