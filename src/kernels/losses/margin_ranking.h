// The margin ranking loss of r = inputs1 - inputs2 and targets y, which are to be -1 or 1:
//
//   l(r) = max(0, margin - y r)        l'(r) = -y where y r < margin, 0 elsewhere        l''(r) = 0
//
// With r = d + e without error, margin - y d - y e is a sum high + low whose last part alone is rounded.
#pragma once

#include "../outcome.h"

namespace lossless {
namespace {

struct margin_ranking {
  static constexpr int parameters = 2;
  static constexpr const char* parameter_names[] = {"targets", "margin"};
  static constexpr bool of_residual = true;
  static constexpr bool only_in_pieces = true;
  static constexpr double error = 0;

  static bool valid(Parameters) { return true; }

  template <class T>
  LOSSLESS_INLINE Outcome evaluate(double inputs1, double inputs2, Parameters p) {
    double targets = p.first, margin = p.second;
    Split residual = exact_residual(inputs1, inputs2);
    Split product = two_product(targets, residual.high);
    Split sum = two_sum(margin, -product.high);
    // Of infinite parts the low ones are NaN.
    double low = sum.low - (product.low + targets * residual.low);
    Split value = two_sum(sum.high, low == low ? low : 0);
    bool counts = !(value.high <= 0);  // where NaN, too
    bool is_number = value.high == value.high;
    return {select(counts, value, {0, 0}),
            {is_number ? (counts ? 0 - targets : 0) : value.high, 0},
            {is_number ? 0 : value.high, 0}};
  }
};

}  // namespace
}  // namespace lossless
