// Unevaluated sums of two doubles: error-free sums and products, and arithmetic with twice the digits.
//
// The algorithms are those of Dekker (1971) and Knuth (TAOCP 2, 4.2.2).
#pragma once

#include "kernels/arith/scalar.h"

namespace lossless {

// high + low; low is at most a few units in the last place of high.
struct DoubleDouble {
  double high, low;
};

namespace {

// Selects each half by itself: of a selection of structs the compiler makes a branch.
LOSSLESS_INLINE DoubleDouble select(bool condition, DoubleDouble a, DoubleDouble b) {
  return {condition ? a.high : b.high, condition ? a.low : b.low};
}

// x or -x, with high >= 0.
LOSSLESS_INLINE DoubleDouble absolute(DoubleDouble x) {
  uint64_t sign = to_bits(x.high) & (uint64_t(1) << 63);
  return {std::fabs(x.high), from_bits(to_bits(x.low) ^ sign)};
}

LOSSLESS_INLINE DoubleDouble fast_two_sum(double large, double small) {
  double sum = large + small;
  return {sum, small - (sum - large)};
}

LOSSLESS_INLINE DoubleDouble two_sum(double a, double b) {
  double sum = a + b;
  double b_part = sum - a;
  return {sum, (a - (sum - b_part)) + (b - b_part)};
}

LOSSLESS_INLINE DoubleDouble two_product(double a, double b) {
  double product = a * b;
  return {product, std::fma(a, b, -product)};
}

// x / y, whose `low` has the sign of the remainder: the remainder of two doubles is known without error.
LOSSLESS_INLINE DoubleDouble quotient(DoubleDouble x, double y) {
  double high = x.high / y;
  return {high, (std::fma(-high, y, x.high) + x.low) / y};
}

// With relative errors below 2^-100, for the rare results that double arithmetic cannot round.

LOSSLESS_INLINE DoubleDouble add(DoubleDouble a, DoubleDouble b) {
  DoubleDouble high = two_sum(a.high, b.high);
  DoubleDouble low = two_sum(a.low, b.low);
  high = fast_two_sum(high.high, high.low + low.high);
  return fast_two_sum(high.high, high.low + low.low);
}

LOSSLESS_INLINE DoubleDouble multiply(DoubleDouble a, DoubleDouble b) {
  DoubleDouble product = two_product(a.high, b.high);
  return fast_two_sum(product.high, product.low + (a.high * b.low + a.low * b.high));
}

LOSSLESS_INLINE DoubleDouble scale(DoubleDouble a, double power_of_two) {
  return {a.high * power_of_two, a.low * power_of_two};
}

LOSSLESS_INLINE DoubleDouble divide(DoubleDouble a, DoubleDouble b) {
  double first = a.high / b.high;
  DoubleDouble rest = add(a, multiply(b, {-first, 0}));
  double second = rest.high / b.high;
  rest = add(rest, multiply(b, {-second, 0}));
  DoubleDouble quotient = fast_two_sum(first, second);
  return add(quotient, {rest.high / b.high, 0});
}

}  // namespace
}  // namespace lossless
