// The two stages of a correctly rounded result: what nearly every element needs, and what the few undecided ones need.
//
// The first stage rounds a double, and finds out whether a rounding boundary may lie between this double and the true
// result. Then the result is undecided, and the second stage computes it again, or looks at the exact sum.
#pragma once

#include <type_traits>

#include "kernels/arith/dtypes.h"
#include "kernels/loops/loss_concept.h"

namespace lossless {
namespace {

// Whether an element is undecided. The type is as wide as the numbers that are compared to find out, so that vectors
// keep their width.
template <class Loss>
using Flag = std::conditional_t<Loss::error == 0, uint64_t, int>;

template <class Flag, int size>
LOSSLESS_INLINE bool any(const Flag (&flags)[size]) {
  Flag all = 0;
  for (int i = 0; i < size; ++i) all |= flags[i];
  return all != 0;
}

// The first stage. Sets `undecided` where the result may be the wrong one of two neighbours.
template <class Loss, class T>
LOSSLESS_INLINE typename T::rounded try_to_round(DoubleDouble x, Flag<Loss>& undecided) {
  if constexpr (sizeof(typename T::storage) == sizeof(double)) {
    return Loss::error == 0 ? nearest(x) : x.high;
  } else if constexpr (Loss::error == 0) {
    // A boundary has zeros below the last bit of a T. Unless the bits of `high` there are nearly 0, `high` and the sum
    // are on the same side of each boundary.
    constexpr uint64_t last_bits = (uint64_t(1) << 28) - 1, near = 1 << 8;
    uint64_t beside = (to_bits(x.high) + near) & last_bits;
    uint64_t low_without_sign = to_bits(x.low) << 1;
    undecided |= beside <= 2 * near ? low_without_sign : 0;
    return T::round(x.high);
  } else {
    double less = x.high * (1 - Loss::error), more = x.high * (1 + Loss::error);
    if constexpr (Loss::cancels) {
      less -= x.low;
      more += x.low;
    }
    auto below = T::round(less), above = T::round(more);
    undecided |= (below < above) | (below > above);   // a NaN is decided
    return Loss::cancels ? T::round(x.high) : below;  // infinity less infinity is a NaN
  }
}

// The second stage: rounds the sum high + low once.
template <class T>
LOSSLESS_INLINE typename T::rounded round_exactly(DoubleDouble x) {
  return T::round(round_to_odd(x));
}

// Whether so much has cancelled that a product of this result with a weight or a scale lacks promised digits.
template <class Loss, class T>
LOSSLESS_INLINE bool lacks_digits([[maybe_unused]] DoubleDouble x) {
  if constexpr (Loss::error > 0 && sizeof(typename T::storage) < sizeof(double))
    return Loss::cancels && std::fabs(x.low) > 0x1p-45 * std::fabs(x.high);
  else
    return false;
}

}  // namespace
}  // namespace lossless
