// The cross entropy of a row of logits x_j with the largest one, m, of which x_k is any:
//
//   l = Q log1p(S) + (1 - s) D + s mean(m - x_j),    S = sum over j != k of exp(x_j - m)
//
// with label smoothing s, and Q = 1, D = m - x_t for the label t, or for probabilities p, which need not add up to 1,
// Q = (1 - s) sum of p_j + s, D = sum of p_j (m - x_j), to which a probability of 0 adds 0 even at a logit of -inf.
// That is -sum of q_j log(softmax(x)_j) with q_j = (1 - s) p_j + s / C, without its differences of large numbers: the
// terms here have one sign (if the probabilities have), so that the sum is as accurate as they are. S begins with what
// the others add to the 1 of the largest, so that a loss near 0, where the label dominates, keeps its digits, too. The
// gradient is
//
//   l'_j = Q exp(x_j - m) / (1 + S) - (1 - s) p_j - s / C
//
// but at a label -(1 + S - exp(x_t - m)) / (1 + S) + s - s / C: minus the share of the others, of which S itself is
// known where the label is the largest.
//
// A row is read from memory once, for its maximum, and again from the cache for S and for the gradient, if it fits
// there. The exponentials are computed twice: to keep them would take as much memory again as a row of doubles.
//
// Results narrower than float64 come from short exponentials, good to 2^-43: together with at most 2^12 additions in
// each lane of a sum, whose blocks are added without error to speak of, that is less than 2^-40 of the sum of the
// terms.
//
// A NaN or a largest logit that is infinite makes the row NaN.
#pragma once

#include "kernels/arith/dtypes.h"
#include "kernels/loops/kernels.h"
#include "kernels/loops/sums.h"
#include "kernels/rows/exponential.h"

namespace lossless {
namespace {

struct cross_entropy {
  template <class T>
  static double row(const ScoreRow& row) {
    Logits<T> logits(row);
    double m = largest(logits);
    Sums sums = {not_a_number, not_a_number, not_a_number, not_a_number};
    if (std::fabs(m) <= lossless::largest) {
      if (row.probabilities) {
        if (row.smoothing > 0)
          sums = add<T, true, true>(row, logits, m);
        else
          sums = add<T, true, false>(row, logits, m);
      } else {
        if (row.smoothing > 0)
          sums = add<T, false, true>(row, logits, m);
        else
          sums = add<T, false, false>(row, logits, m);
      }
    }
    double labelled = row.probabilities ? m : T::load(logits.x[row.label]);
    double all = 1;
    if (row.probabilities)
      all = (1 - row.smoothing) * sums.probabilities + row.smoothing;
    else
      sums.distance = m - labelled;

    double share = row.smoothing / double(row.classes);
    double loss = all * std::log1p(sums.others) + (1 - row.smoothing) * sums.distance;
    if (row.smoothing > 0) loss += sums.shared;
    if (!row.gradient) return loss;

    double total = 1 + sums.others;
    double factor = row.gradient_scale * all / total;
    if (row.probabilities) {
      write_gradient<T, true>(row, logits, m, factor, share * row.gradient_scale);
    } else {
      double others = labelled == m ? sums.others : total - exponential<T>(labelled, m);
      double slope = (row.smoothing - share) - others / total;
      write_gradient<T, false>(row, logits, m, factor, share * row.gradient_scale);
      static_cast<typename T::in_memory*>(row.gradient)[row.label] = T::pack(T::round(slope * row.gradient_scale));
    }
    return loss;
  }

 private:
  struct Sums {
    double others;    // exponentials but that of one that is the largest
    double distance;  // from the largest, with the probabilities as weights
    double shared;    // by smoothing, of all distances
    double probabilities;
  };

  // Whole groups, and a copy of the rest, which is filled up with numbers that are in the row: rows may be short.
  template <class T>
  struct Logits {
    explicit Logits(const ScoreRow& row)
        : x(static_cast<const typename T::in_memory*>(row.logits)),
          whole(row.classes / group_elements * group_elements),
          rest(int(row.classes - whole)) {
      std::fill(last, last + group_elements, x[row.classes - 1]);
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
  static Sums add(const ScoreRow& row, const Logits<T>& logits, double m) {
    BlockSum others, distance, shared, probabilities;
    double share = row.smoothing / double(row.classes);
    int64_t equal = 0;
    for (int64_t block = 0; block < row.classes; block += block_elements) {
      int64_t end = std::min(block + block_elements, logits.whole);
      LaneSums sums;
      double p[group_elements];
      for (int64_t at = block; at < end; at += group_elements) {
        if constexpr (soft) load_probabilities(row, at, group_elements, p);
        equal += add_terms<T, soft, smooth, group_elements>(logits.x + at, p, m, share, group_elements, sums);
      }
      if (row.classes - block < block_elements) {
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

  // The first so many elements. Returns how many of them are the largest, whose exponentials are not added.
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

  // Filled up with zeros.
  LOSSLESS_INLINE void load_probabilities(const ScoreRow& row, int64_t at, int elements, double* p) {
    const char* from = static_cast<const char*>(row.probabilities) + at * row.probability_stride;
    row.load_probabilities(from, row.probability_stride, elements, p);
    std::fill(p + elements, p + group_elements, 0.0);
  }

  // exp(x_j - m) * factor - offset, less the probabilities' part.
  template <class T, bool soft>
  static void write_gradient(const ScoreRow& row, const Logits<T>& logits, double m, double factor, double offset) {
    auto gradient = static_cast<typename T::in_memory*>(row.gradient);
    double weight = (1 - row.smoothing) * row.gradient_scale;
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

  // May be where the logits are.
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
