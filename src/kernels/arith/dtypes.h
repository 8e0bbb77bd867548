// The element types: how to read one into a double, round a double to one, and write it.
//
// Each rounds directly from double: a double that was first rounded to float32 and then to float16 would be rounded
// twice.
#pragma once

#include "kernels/arith/rounding.h"

namespace lossless {
namespace {

// `storage` is the type of an element. `in_memory` is the same type without alignment: pointers into arrays point to
// it, since views of packed records may begin at any address, and the compiler must not use aligned loads there.
// `rounded` is the type that a result is rounded in, before it is packed.
struct boolean {
  using storage = uint8_t;
  LOSSLESS_INLINE double load(storage x) { return double(x); }
};

struct float64 {
  using storage = double;
  typedef double in_memory __attribute__((aligned(1)));
  using rounded = double;
  LOSSLESS_INLINE double load(storage x) { return x; }
  LOSSLESS_INLINE rounded round(double x) { return x; }
  LOSSLESS_INLINE storage pack(rounded x) { return x; }
};

struct float32 {
  using storage = float;
  typedef float in_memory __attribute__((aligned(1)));
  using rounded = float;
  LOSSLESS_INLINE double load(storage x) { return double(x); }
  LOSSLESS_INLINE rounded round(double x) { return float(x); }
  LOSSLESS_INLINE storage pack(rounded x) { return x; }
};

struct bfloat16 {
  using storage = uint16_t;
  typedef uint16_t in_memory __attribute__((aligned(1)));
  using rounded = double;
  LOSSLESS_INLINE double load(storage x) { return double(from_bits(uint32_t(x) << 16)); }
  LOSSLESS_INLINE rounded round(double x) { return round_to<8>(x, 0x1p-126, 0x1.ffp127); }
  LOSSLESS_INLINE storage pack(rounded x) { return storage(to_bits(float(x)) >> 16); }
};

// To read a float16, `bias` is added to its exponent, which makes it that of a double. A subnormal number has exponent
// 0, which stands for 1, and no leading bit: it is read as if it had the leading bit, which is then subtracted.
struct float16 {
  using storage = uint16_t;
  typedef uint16_t in_memory __attribute__((aligned(1)));
  using rounded = double;
  static constexpr uint64_t bias = uint64_t(1023 - 15) << 52;
  static constexpr double smallest_normal = 0x1p-14;

  LOSSLESS_INLINE double load(storage x) {
    uint64_t magnitude = uint64_t(x & 0x7fff) << 42;
    double normal = from_bits(magnitude + bias);
    double subnormal = from_bits(magnitude + bias + (uint64_t(1) << 52)) - smallest_normal;
    double finite = normal < smallest_normal ? subnormal : normal;
    double infinite_or_nan = from_bits(magnitude | 0x7ff0000000000000);
    double result = finite >= 65536 ? infinite_or_nan : finite;
    return from_bits(to_bits(result) | (uint64_t(x & 0x8000) << 48));
  }

  LOSSLESS_INLINE rounded round(double x) { return round_to<11>(x, smallest_normal, 65520); }

  LOSSLESS_INLINE storage pack(rounded x) {
    double magnitude = std::fabs(x);
    uint64_t normal = (to_bits(magnitude) - bias) >> 42;
    uint64_t subnormal = (to_bits(magnitude + smallest_normal) - bias - (uint64_t(1) << 52)) >> 42;
    uint64_t finite = magnitude < smallest_normal ? subnormal : normal;
    uint64_t special = magnitude > largest ? 0x7c00 : 0x7e00;
    uint64_t result = magnitude < 65536 ? finite : special;
    return storage(result | (to_bits(x) >> 48 & 0x8000));
  }
};

}  // namespace
}  // namespace lossless
