// What all arithmetic here is made of: the bits of numbers, special numbers, polynomials.
//
// The kernels assume round-to-nearest, no contraction of a * b + c (-ffp-contract=off) and no flushing of subnormals to
// zero; float_environment.h sees to the last.
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

LOSSLESS_INLINE uint32_t to_bits(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

LOSSLESS_INLINE float from_bits(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

// The smaller one of both. If x is NaN, so is the result.
LOSSLESS_INLINE double at_most(double limit, double x) { return limit < x ? limit : x; }

// The polynomial with these coefficients, the lowest first, by Horner's rule.
template <class... Coefficients>
LOSSLESS_INLINE double polynomial(double x, double lowest, Coefficients... higher) {
  if constexpr (sizeof...(higher) == 0)
    return lowest;
  else
    return std::fma(polynomial(x, higher...), x, lowest);
}

}  // namespace
}  // namespace lossless
