// The order of every sum: inside a block element i is added to lane i % 16, the lanes are added pairwise, and the
// blocks one after the other. The order does not depend on the threads, the layout and the instruction set, so neither
// does the result.
#pragma once

#include <algorithm>

#include "kernels/arith/double_double.h"
#include "kernels/engine/job.h"

namespace lossless {
namespace {

constexpr int group_elements = 64;

// Adds the terms of one group to the sums of the lanes. The caller fills the last group of a block up with zeros: to a
// whole group, or to a multiple of `lanes`, with the same result.
template <int elements = group_elements>
LOSSLESS_INLINE void add_group(const double* terms, double* sums) {
  for (int i = 0; i < elements; i += lanes)
    for (int lane = 0; lane < lanes; ++lane) sums[lane] += terms[i + lane];
}

inline double add_lanes(const double* sums) {
  double level[lanes];
  std::copy(sums, sums + lanes, level);
  for (int width = lanes / 2; width > 0; width /= 2)
    for (int lane = 0; lane < width; ++lane) level[lane] += level[lane + width];
  return level[0];
}

// The sum of blocks. The rounding errors of its additions are summed, too, and added at the end (Neumaier 1974).
class BlockSum {
 public:
  void add(double block) {
    DoubleDouble sum = two_sum(total_.high, block);
    total_ = {sum.high, total_.low + sum.low};
  }
  double value() const {
    double sum = total_.high + total_.low;
    return sum == sum ? sum : total_.high;  // the error of an infinite sum is NaN
  }

 private:
  DoubleDouble total_ = {0, 0};
};

inline double add_blocks(const double* blocks, int64_t count) {
  BlockSum sum;
  for (int64_t i = 0; i < count; ++i) sum.add(blocks[i]);
  return sum.value();
}

}  // namespace
}  // namespace lossless
