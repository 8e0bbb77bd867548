// Cross entropy of rows of few classes, as many rows at a time as there are lanes.
//
// A short row by itself leaves most of a vector empty, and waits for its logarithm. Here every lane has a row, and the
// loops go over the classes. The formulas are those of cross_entropy.h, for labels and for results narrower than
// float64; sums go from the first class to the last.
#pragma once

#include <algorithm>

#include "kernels/arith/dtypes.h"
#include "kernels/loops/kernels.h"
#include "kernels/rows/exponential.h"

namespace lossless {
namespace {

struct cross_entropy_small {
  // So many rows of one number of classes, with labels; at most as many as there are lanes.
  template <class T>
  static void rows(const ScoreRow* rows, int count, double* losses) {
    using storage = typename T::storage;
    int classes = int(rows[0].classes);
    double smoothing = rows[0].smoothing, share = smoothing / classes;
    storage logits[small_row_classes][lanes];
    double labelled[lanes], scale[lanes];
    for (int row = 0; row < lanes; ++row) {
      const ScoreRow& from = rows[row < count ? row : 0];
      auto x = static_cast<const typename T::in_memory*>(from.logits);
      for (int c = 0; c < classes; ++c) logits[c][row] = x[c];
      labelled[row] = T::load(x[from.label]);
      scale[row] = from.gradient_scale;
    }

    double m[lanes], others[lanes], shared[lanes] = {}, exponentials[small_row_classes][lanes];
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
  LOSSLESS_INLINE void largest(const typename T::storage (&logits)[small_row_classes][lanes], int classes, double* m) {
    std::fill(m, m + lanes, -infinity);
    for (int c = 0; c < classes; ++c)
      for (int row = 0; row < lanes; ++row) {
        double x = T::load(logits[c][row]);
        m[row] = m[row] < x ? x : m[row];
      }
  }

  // log(1 + x) for x >= 0 as large as there are classes.
  LOSSLESS_INLINE double log1p_of_sum(double x) {
    DoubleDouble large = logarithm(1 + x);
    return x <= 1 ? log1p_of(x) : large.high + large.low;
  }

  template <class T>
  static void write_gradients(const ScoreRow* rows, int count, const double (&exponentials)[small_row_classes][lanes],
                              const double* m, const double* others, const double* labelled, const double* scale,
                              double share) {
    using storage = typename T::storage;
    int classes = int(rows[0].classes);
    storage gradients[small_row_classes][lanes], slopes[lanes];
    double factor[lanes];
    for (int row = 0; row < lanes; ++row) {
      double total = 1 + others[row];
      factor[row] = scale[row] / total;
      double rest = total - exponential<T>(labelled[row], m[row]);
      double slope = (rows[0].smoothing - share) - (labelled[row] == m[row] ? others[row] : rest) / total;
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
