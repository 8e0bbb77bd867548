// exp(x - m) for x <= m, for loops that the compiler vectorises: x - m = k log(2) + r, exp(r) - 1 = e.
//
// For float64 results it is accurate to a double and corrects the rounding error of x - m. For narrower results a
// shorter polynomial suffices, with a relative error of 2^-43.5. tools/coefficients.py prints the coefficients.
#pragma once

#include <type_traits>

#include "kernels/arith/elementary.h"

namespace lossless {
namespace {

// Like exponential_tail, with a relative error of exp(r) of 2^-43.5.
LOSSLESS_INLINE double short_exponential_tail(double r) {
  double even =
      polynomial(r * r, 0x1.fffffffffe051p-2, 0x1.55555565ce931p-5, 0x1.6c166bc75e823p-10, 0x1.a136e5a92400ep-16);
  double odd =
      polynomial(r * r, 0x1.5555555554f93p-3, 0x1.111111170e2fap-7, 0x1.a019c35adf08ep-13, 0x1.72ad61987410cp-19);
  return std::fma(odd, r, even);
}

// exp(x - m) for results of the type T. At `vanishing` the bits of 2^k are those of 0.
template <class T>
LOSSLESS_INLINE double exponential(double x, double m) {
  if constexpr (std::is_same_v<typename T::storage, double>) {
    constexpr double vanishing = -753.5;
    constexpr double excess = 64;  // 2^(k + 64) is normal where 2^k is subnormal, and has no exponent of its own
    DoubleDouble d = two_sum(x, -m);
    double clamped = d.high < vanishing ? vanishing : d.high;
    double d_low = d.high < vanishing ? 0 : d.low;  // NaN where the difference overflows
    double shifted = std::fma(clamped, inverse_ln2, round_to_integer + excess);
    double k = shifted - (round_to_integer + excess);
    double power = from_bits(to_bits(shifted) << 52);
    double most = std::fma(k, -ln2_high, clamped);
    double r = std::fma(k, -ln2_low, most);
    double r_low = std::fma(k, -ln2_low, most - r) + d_low;
    double e = std::fma(r * r, exponential_tail(r), r);
    e += std::fma(r_low, e, r_low);
    return std::fma(power, e, power) * 0x1p-64;
  } else {
    constexpr double vanishing = -709.2;
    double d = x - m;
    double clamped = d < vanishing ? vanishing : d;
    double shifted = std::fma(clamped, inverse_ln2, round_to_integer);
    double k = shifted - round_to_integer;
    double power = from_bits(to_bits(shifted) << 52);
    double r = std::fma(k, -ln2, clamped);
    double e = std::fma(r * r, short_exponential_tail(r), r);
    return std::fma(power, e, power);
  }
}

}  // namespace
}  // namespace lossless
