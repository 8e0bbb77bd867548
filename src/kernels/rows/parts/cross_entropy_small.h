// Cross entropy of small rows, as many at a time as there are lanes.
//
// A small row by itself leaves most of a vector empty, and waits for its logarithm. Here every lane has a row, and the
// loops go over the classes. The formulas are those of cross_entropy.h, for labels and for results narrower than
// float64. Sums start at the first class.
#pragma once

#include <algorithm>

#include "kernels/arith/dtypes.h"
#include "kernels/loops/kernels.h"
#include "kernels/rows/parts/exponential.h"

namespace lossless {
namespace {

// The first parameter: how much of each label is spread over all classes.
LOSSLESS_INLINE double label_smoothing(const Row& row) { return row.parameters[0]; }

struct cross_entropy_small {
  template <class T>
  static void rows(const Row* rows, int count, double* losses) {
    using storage = typename T::storage;
    int classes = int(rows[0].elements);
    double smoothing = label_smoothing(rows[0]), share = smoothing / classes;
    storage logits[small_row_elements][lanes];
    double labelled[lanes], scale[lanes];
    for (int row = 0; row < lanes; ++row) {
      const Row& from = rows[row < count ? row : 0];
      auto x = static_cast<const typename T::in_memory*>(from.inputs);
      for (int c = 0; c < classes; ++c) logits[c][row] = x[c];
      labelled[row] = T::load(x[from.label]);
      scale[row] = from.gradient_scale;
    }

    double m[lanes], others[lanes], shared[lanes] = {}, exponentials[small_row_elements][lanes];
    largest<T>(logits, classes, m);
    int equal[lanes] = {};
    std::fill(others, others + lanes, 0.0);
    for (int c = 0; c < classes; ++c)
      for (int row = 0; row < lanes; ++row) {
        double x = T::load(logits[c][row]);
        exponentials[c][row] = exponential<T>(x, m[row]);
        others[row] += x == m[row] ? 0 : exponentials[c][row];
        equal[row] += x == m[row];
        shared[row] += share * (m[row] - x);
      }
    for (int row = 0; row < lanes; ++row) {
      bool is_finite = std::fabs(m[row]) <= lossless::largest;
      others[row] = is_finite ? others[row] + (equal[row] - 1) : not_a_number;
      double loss = log1p_of_sum(others[row]) + (1 - smoothing) * (m[row] - labelled[row]);
      losses[row] = smoothing > 0 ? loss + shared[row] : loss;
    }
    if (rows[0].gradient) write_gradients<T>(rows, count, exponentials, m, others, labelled, scale, share);
  }

 private:
  template <class T>
  LOSSLESS_INLINE void largest(const typename T::storage (&logits)[small_row_elements][lanes], int classes, double* m) {
    std::fill(m, m + lanes, -infinity);
    for (int c = 0; c < classes; ++c)
      for (int row = 0; row < lanes; ++row) {
        double x = T::load(logits[c][row]);
        m[row] = m[row] < x ? x : m[row];
      }
  }

  // log(1 + x) for 0 <= x < small_row_elements.
  LOSSLESS_INLINE double log1p_of_sum(double x) {
    DoubleDouble large = logarithm(1 + x);
    return x <= 1 ? log1p_of(x) : large.high + large.low;
  }

  template <class T>
  static void write_gradients(const Row* rows, int count, const double (&exponentials)[small_row_elements][lanes],
                              const double* m, const double* others, const double* labelled, const double* scale,
                              double share) {
    using storage = typename T::storage;
    int classes = int(rows[0].elements);
    storage gradients[small_row_elements][lanes], slopes[lanes];
    double factor[lanes];
    for (int row = 0; row < lanes; ++row) {
      double total = 1 + others[row];
      factor[row] = scale[row] / total;
      double rest = total - exponential<T>(labelled[row], m[row]);
      double slope = (label_smoothing(rows[0]) - share) - (labelled[row] == m[row] ? others[row] : rest) / total;
      slopes[row] = T::pack(T::round(slope * scale[row]));
    }
    for (int c = 0; c < classes; ++c)
      for (int row = 0; row < lanes; ++row)
        gradients[c][row] = T::pack(T::round(std::fma(exponentials[c][row], factor[row], -(share * scale[row]))));
    for (int row = 0; row < count; ++row) {
      auto to = static_cast<typename T::in_memory*>(rows[row].gradient);
      for (int c = 0; c < classes; ++c) to[c] = gradients[c][row];
      to[rows[row].label] = slopes[row];
    }
  }
};

}  // namespace
}  // namespace lossless
