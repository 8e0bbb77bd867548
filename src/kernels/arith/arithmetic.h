// Error-free double arithmetic, and the unevaluated sums that carry a result to its one rounding.
//
// Everything here assumes round-to-nearest without contraction (-ffp-contract=off) and without flushing of
// subnormals; float_environment.h sees to the latter. The algorithms are those of Dekker (1971), Knuth (TAOCP 2,
// 4.2.2) and, for rounding to odd, Boldo and Melquiond, "Emulation of FMA and correctly rounded sums: proved
// algorithms using rounding to odd" (2008).
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#define LOSSLESS_INLINE static inline __attribute__((always_inline))

namespace lossless {
namespace {  // a copy for each instruction set: the linker must not merge them

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double largest = std::numeric_limits<double>::max();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

LOSSLESS_INLINE uint64_t to_bits(double x) {
  uint64_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

LOSSLESS_INLINE double from_bits(uint64_t bits) {
  double x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

// high + low; low is at most a few units in the last place of high.
struct Split {
  double high, low;
};

// A selection of numbers: the compiler makes a branch of one of structs.
LOSSLESS_INLINE Split select(bool condition, Split a, Split b) {
  return {condition ? a.high : b.high, condition ? a.low : b.low};
}

// A NaN in x stays.
LOSSLESS_INLINE double at_most(double limit, double x) { return limit < x ? limit : x; }

// Both parts with the sign that makes high positive.
LOSSLESS_INLINE Split absolute(Split x) {
  uint64_t sign = to_bits(x.high) & (uint64_t(1) << 63);
  return {std::fabs(x.high), from_bits(to_bits(x.low) ^ sign)};
}

LOSSLESS_INLINE Split fast_two_sum(double large, double small) {
  double sum = large + small;
  return {sum, small - (sum - large)};
}

LOSSLESS_INLINE Split two_sum(double a, double b) {
  double sum = a + b;
  double b_part = sum - a;
  return {sum, (a - (sum - b_part)) + (b - b_part)};
}

LOSSLESS_INLINE Split two_product(double a, double b) {
  double product = a * b;
  return {product, std::fma(a, b, -product)};
}

// The sum as a double. A low part that is NaN, as errors of infinite results are, counts as 0; -0 keeps its sign.
LOSSLESS_INLINE double nearest(Split x) {
  double sum = x.high + x.low;
  return std::copysign(sum == sum ? sum : x.high, x.high);
}

// The double with an odd last bit next to an inexact sum, or the sum itself where it is exact. Rounding that to a
// format of at most 51 bits is rounding the exact sum once. NaN and -0 as above.
LOSSLESS_INLINE double round_to_odd(Split x) {
  Split sum = fast_two_sum(x.high, x.low == x.low ? x.low : 0);
  uint64_t bits = to_bits(sum.high);
  int64_t away_from_zero = int64_t(to_bits(sum.low) ^ bits) >> 63 | 1;  // 1 or -1
  uint64_t if_even = (bits & 1) - 1;                                    // a mask
  uint64_t step = uint64_t(away_from_zero) & if_even;
  bool inexact = std::fabs(sum.low) > 0;  // it is NaN where the sum is infinite
  return std::copysign(from_bits(bits + (inexact ? step : 0)), x.high);
}

// The polynomial with these coefficients, the lowest first, by Horner's rule.
template <class... Coefficients>
LOSSLESS_INLINE double polynomial(double x, double lowest, Coefficients... higher) {
  if constexpr (sizeof...(higher) == 0)
    return lowest;
  else
    return std::fma(polynomial(x, higher...), x, lowest);
}

// Double-double arithmetic for the rare results that double cannot round; relative errors are below 2^-100.

LOSSLESS_INLINE Split add(Split a, Split b) {
  Split high = two_sum(a.high, b.high);
  Split low = two_sum(a.low, b.low);
  high = fast_two_sum(high.high, high.low + low.high);
  return fast_two_sum(high.high, high.low + low.low);
}

LOSSLESS_INLINE Split multiply(Split a, Split b) {
  Split product = two_product(a.high, b.high);
  return fast_two_sum(product.high, product.low + (a.high * b.low + a.low * b.high));
}

LOSSLESS_INLINE Split scale(Split a, double power_of_two) { return {a.high * power_of_two, a.low * power_of_two}; }

LOSSLESS_INLINE Split divide(Split a, Split b) {
  double first = a.high / b.high;
  Split rest = add(a, multiply(b, {-first, 0}));
  double second = rest.high / b.high;
  rest = add(rest, multiply(b, {-second, 0}));
  Split quotient = fast_two_sum(first, second);
  return add(quotient, {rest.high / b.high, 0});
}

}  // namespace
}  // namespace lossless
