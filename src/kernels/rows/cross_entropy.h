// The cross entropy of a row of logits x_j. With m the largest logit, and k one of the places where it is,
//
//   l = Q log1p(S) + (1 - s) D + s mean(m - x_j),    S = sum over j != k of exp(x_j - m)
//
// where s is the label smoothing. For a label t, Q = 1 and D = m - x_t. For probabilities p, which need not add up to
// 1, Q = (1 - s) sum of p_j + s and D = sum of p_j (m - x_j), where a probability of 0 adds 0 even at a logit of -inf.
//
// This is -sum of q_j log(softmax(x)_j) with q_j = (1 - s) p_j + s / C for C classes, without differences of large
// numbers: all terms have one sign (if the probabilities have), so the sum is as accurate as its terms. S leaves out
// the 1 of the largest logit, so that a loss near 0, where the label dominates, keeps its digits, too. The gradient is
//
//   l'_j = Q exp(x_j - m) / (1 + S) - (1 - s) p_j - s / C
//
// except at a label: -(1 + S - exp(x_t - m)) / (1 + S) + s - s / C, which is minus the share of the other classes.
// Where the label is the largest logit, S itself is the sum of the others.
//
// A row is read from memory once, for its maximum, and then from the cache for S and for the gradient, if it fits
// there. The exponentials are computed twice: to store them would take as much memory as a row of doubles.
//
// Results narrower than float64 use short exponentials, with a relative error of 2^-43. Each lane of a sum has at most
// 2^12 additions, and blocks are added almost without error. Together the error is below 2^-40 of the sum of the terms.
//
// If a logit is NaN, or the largest one infinite, the row's results are NaN.
#pragma once

#include "kernels/arith/dtypes.h"
#include "kernels/loops/kernels.h"
#include "kernels/loops/sums.h"
#include "kernels/rows/parts/cross_entropy_small.h"
#include "kernels/rows/parts/exponential.h"

namespace lossless {
namespace {

struct cross_entropy {
  static constexpr int parameters = 1;
  static constexpr const char* parameter_names[] = {"label_smoothing"};

  template <class T>
  static constexpr auto small_rows() -> void (*)(const Row*, int, double*) {
    if constexpr (sizeof(typename T::storage) < sizeof(double))
      return cross_entropy_small::rows<T>;
    else
      return nullptr;
  }

  template <class T>
  static double row(const Row& row) {
    Logits<T> logits(row);
    double m = largest(logits), smoothing = label_smoothing(row);
    Sums sums = {not_a_number, not_a_number, not_a_number, not_a_number};
    if (std::fabs(m) <= lossless::largest) {
      if (row.targets) {
        if (smoothing > 0)
          sums = add<T, true, true>(row, logits, m);
        else
          sums = add<T, true, false>(row, logits, m);
      } else {
        if (smoothing > 0)
          sums = add<T, false, true>(row, logits, m);
        else
          sums = add<T, false, false>(row, logits, m);
      }
    }
    double labelled = row.targets ? m : T::load(logits.x[row.label]);
    double all = 1;
    if (row.targets)
      all = (1 - smoothing) * sums.probabilities + smoothing;
    else
      sums.distance = m - labelled;

    double share = smoothing / double(row.elements);
    double loss = all * std::log1p(sums.others) + (1 - smoothing) * sums.distance;
    if (smoothing > 0) loss += sums.shared;
    if (!row.gradient) return loss;

    double total = 1 + sums.others;
    double factor = row.gradient_scale * all / total;
    if (row.targets) {
      write_gradient<T, true>(row, logits, m, factor, share * row.gradient_scale);
    } else {
      double others = labelled == m ? sums.others : total - exponential<T>(labelled, m);
      double slope = (smoothing - share) - others / total;
      write_gradient<T, false>(row, logits, m, factor, share * row.gradient_scale);
      static_cast<typename T::in_memory*>(row.gradient)[row.label] = T::pack(T::round(slope * row.gradient_scale));
    }
    return loss;
  }

 private:
  struct Sums {
    double others;    // of exp(x_j - m), without one of the largest
    double distance;  // of p_j (m - x_j); for a label m - x_t
    double shared;    // of (m - x_j) s / C
    double probabilities;
  };

  // The logits of a row: whole groups in place, and a copy of the rest, which is filled up with a number of the row.
  template <class T>
  struct Logits {
    explicit Logits(const Row& row)
        : x(static_cast<const typename T::in_memory*>(row.inputs)),
          whole(row.elements / group_elements * group_elements),
          rest(int(row.elements - whole)) {
      std::fill(last, last + group_elements, x[row.elements - 1]);
      std::memcpy(last, x + whole, rest * sizeof *x);
    }

    const typename T::in_memory* x;
    int64_t whole;
    int rest;
    typename T::storage last[group_elements];
  };

  template <class T>
  static double largest(const Logits<T>& logits) {
    typename T::rounded best[group_elements];
    std::fill(best, best + group_elements, -infinity);
    for (int64_t at = 0; at < logits.whole; at += group_elements) keep_larger<T, group_elements>(logits.x + at, best);
    if (logits.rest <= lanes)
      keep_larger<T, lanes>(logits.last, best);
    else
      keep_larger<T, group_elements>(logits.last, best);
    fold<group_elements / 2>(best);
    return best[0];
  }

  template <class T, int width>
  LOSSLESS_INLINE void keep_larger(const typename T::in_memory* x, typename T::rounded* best) {
    for (int i = 0; i < width; ++i) {
      auto logit = typename T::rounded(T::load(x[i]));
      best[i] = best[i] < logit ? logit : best[i];
    }
  }

  template <int width, class Number>
  LOSSLESS_INLINE void fold(Number* best) {
    for (int i = 0; i < width; ++i) best[i] = best[i] < best[i + width] ? best[i + width] : best[i];
    if constexpr (width > 1) fold<width / 2>(best);
  }

  struct LaneSums {
    double others[lanes] = {}, distance[lanes] = {}, shared[lanes] = {}, probabilities[lanes] = {};
  };

  template <class T, bool soft, bool smooth>
  static Sums add(const Row& row, const Logits<T>& logits, double m) {
    BlockSum others, distance, shared, probabilities;
    double share = label_smoothing(row) / double(row.elements);
    int64_t equal = 0;
    for (int64_t block = 0; block < row.elements; block += block_elements) {
      int64_t end = std::min(block + block_elements, logits.whole);
      LaneSums sums;
      double p[group_elements];
      for (int64_t at = block; at < end; at += group_elements) {
        if constexpr (soft) load_probabilities(row, at, group_elements, p);
        equal += add_terms<T, soft, smooth, group_elements>(logits.x + at, p, m, share, group_elements, sums);
      }
      if (row.elements - block < block_elements) {
        if constexpr (soft) load_probabilities(row, logits.whole, logits.rest, p);
        if (logits.rest <= lanes)
          equal += add_terms<T, soft, smooth, lanes>(logits.last, p, m, share, logits.rest, sums);
        else
          equal += add_terms<T, soft, smooth, group_elements>(logits.last, p, m, share, logits.rest, sums);
      }
      others.add(add_lanes(sums.others));
      if constexpr (soft) distance.add(add_lanes(sums.distance));
      if constexpr (soft) probabilities.add(add_lanes(sums.probabilities));
      if constexpr (smooth) shared.add(add_lanes(sums.shared));
    }
    others.add(double(equal - 1));
    return {others.value(), distance.value(), shared.value(), probabilities.value()};
  }

  // Adds the terms of the first `elements` elements, but not the exponentials of those that are the largest. Returns
  // how many these are.
  template <class T, bool soft, bool smooth, int width>
  LOSSLESS_INLINE int add_terms(const typename T::in_memory* x, const double* p, double m, double share, int elements,
                                LaneSums& sums) {
    double exponentials[width], distance[width], shared[width];
    int equal = 0;
#pragma GCC unroll 4
    for (int i = 0; i < width; ++i) {
      double logit = T::load(x[i]);
      exponentials[i] = exponential<T>(logit, m);
      if constexpr (soft) distance[i] = p[i] == 0 ? 0 : p[i] * (m - logit);
      if constexpr (smooth) shared[i] = share * (m - logit);
    }
    for (int i = 0; i < width; ++i) {
      bool counts = i < elements, is_largest = T::load(x[i]) == m;
      exponentials[i] = is_largest || !counts ? 0 : exponentials[i];
      equal += is_largest && counts;
      if constexpr (soft) distance[i] = counts ? distance[i] : 0;
      if constexpr (smooth) shared[i] = counts ? shared[i] : 0;
    }
    add_group<width>(exponentials, sums.others);
    if constexpr (soft) add_group<width>(distance, sums.distance);
    if constexpr (soft) add_group<width>(p, sums.probabilities);
    if constexpr (smooth) add_group<width>(shared, sums.shared);
    return equal;
  }

  // Loads `elements` probabilities, and fills the group up with zeros.
  LOSSLESS_INLINE void load_probabilities(const Row& row, int64_t at, int elements, double* p) {
    const char* from = static_cast<const char*>(row.targets) + at * row.target_stride;
    row.load_targets(from, row.target_stride, elements, p);
    std::fill(p + elements, p + group_elements, 0.0);
  }

  // Writes exp(x_j - m) * factor - offset - p_j * weight.
  template <class T, bool soft>
  static void write_gradient(const Row& row, const Logits<T>& logits, double m, double factor, double offset) {
    auto gradient = static_cast<typename T::in_memory*>(row.gradient);
    double weight = (1 - label_smoothing(row)) * row.gradient_scale;
    double p[group_elements];
    for (int64_t at = 0; at < logits.whole; at += group_elements) {
      if constexpr (soft) load_probabilities(row, at, group_elements, p);
      write_group<T, soft, group_elements>(logits.x + at, p, m, factor, offset, weight, gradient + at);
    }
    typename T::storage last[group_elements];
    if constexpr (soft) load_probabilities(row, logits.whole, logits.rest, p);
    if (logits.rest <= lanes)
      write_group<T, soft, lanes>(logits.last, p, m, factor, offset, weight, last);
    else
      write_group<T, soft, group_elements>(logits.last, p, m, factor, offset, weight, last);
    std::memcpy(gradient + logits.whole, last, logits.rest * sizeof *last);
  }

  // The gradient may be where the logits are: all of it is computed before it is written.
  template <class T, bool soft, int width>
  LOSSLESS_INLINE void write_group(const typename T::in_memory* x, const double* p, double m, double factor,
                                   double offset, double weight, typename T::in_memory* to) {
    typename T::storage gradients[width];
#pragma GCC unroll 4
    for (int i = 0; i < width; ++i) {
      double away = soft ? std::fma(p[i], weight, offset) : offset;
      gradients[i] = T::pack(T::round(std::fma(exponential<T>(T::load(x[i]), m), factor, -away)));
    }
    std::memcpy(to, gradients, sizeof gradients);
  }
};

}  // namespace
}  // namespace lossless
