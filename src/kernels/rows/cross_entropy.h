// The cross entropy of a row of logits x_j with the largest one, m, of which x_k is the first:
//
//   l = log1p(S) + (1 - s) D + s mean(m - x_j),    S = sum over j != k of exp(x_j - m)
//
// with label smoothing s, and D = m - x_t for the label t, or sum of p_j (m - x_j) for probabilities p. That is
// log(sum of exp(x_j)) - (1 - s) x_t - s mean(x_j), without its differences of large numbers: the terms here have one
// sign (if the probabilities have), so that the sum is as accurate as they are. S begins with what the others add to
// the 1 of the largest, so that a loss near 0, where the label dominates, keeps its digits, too. The gradient is
//
//   l'_j = exp(x_j - m) / (1 + S) - (1 - s) [j = t] - s / C
//
// but at the label -(1 + S - exp(x_t - m)) / (1 + S) + s - s / C: minus the share of the others, of which S itself is
// known where the label is the largest.
//
// A row is read from memory once, for its maximum, and again from the cache for S and for the gradient, if it fits
// there. The exponentials are computed twice: to keep them would take as much memory again as a row of doubles.
//
// For float64 results the exponential is good to the double and takes in the rounding error of x_j - m. Results of
// narrower types come from a short one, good to 2^-43: together with at most 2^12 additions in each lane of a sum,
// whose blocks are added without error to speak of, that is less than 2^-40 of the sum of the terms.
//
// A NaN or a largest logit that is infinite makes the row NaN. tools/coefficients.py makes the coefficients.
#pragma once

#include <type_traits>

#include "../dtypes.h"
#include "../kernels.h"
#include "../sums.h"

namespace lossless {
namespace {

struct cross_entropy {
  template <class T>
  static double row(const ScoreRow& row) {
    auto x = static_cast<const typename T::storage*>(row.logits);
    double m = largest<T>(x, row.classes);
    Sums sums = {not_a_number, not_a_number, not_a_number};
    int64_t place = 0;
    if (std::fabs(m) <= lossless::largest) {
      place = first<T>(x, row.classes, m);
      if (row.probabilities) {
        if (row.smoothing > 0)
          sums = add<T, true, true>(row, m, place);
        else
          // mutation-equivalent(truth): what is added more is not used
          sums = add<T, true, false>(row, m, place);
      } else {
        if (row.smoothing > 0)
          sums = add<T, false, true>(row, m, place);
        else
          // mutation-equivalent(truth): what is added more is not used
          sums = add<T, false, false>(row, m, place);
      }
    }
    if (!row.probabilities) sums.distance = m - T::load(x[row.label]);

    double share = row.smoothing / double(row.classes);
    double loss = std::log1p(sums.others) + (1 - row.smoothing) * sums.distance;
    if (row.smoothing > 0) loss += sums.shared;
    if (!row.gradient) return loss;

    double total = 1 + sums.others;
    double factor = row.gradient_scale / total;
    if (row.probabilities) {
      write_gradient<T, true>(row, m, factor, share * row.gradient_scale);
    } else {
      double others = row.label == place ? sums.others : total - exponential<T>(T::load(x[row.label]), m);
      double slope = (row.smoothing - share) - others / total;
      write_gradient<T, false>(row, m, factor, share * row.gradient_scale);
      static_cast<typename T::storage*>(row.gradient)[row.label] = T::pack(T::round(slope * row.gradient_scale));
    }
    return loss;
  }

 private:
  struct Sums {
    double others;    // exponentials but that of the first largest
    double distance;  // from the largest, with the probabilities as weights
    double shared;    // by smoothing, of all distances
  };

  template <class T>
  static double largest(const typename T::storage* x, int64_t classes) {
    using number = typename T::rounded;
    number best[group_elements];
    for (number& b : best) b = number(-infinity);
    int64_t whole = classes / group_elements * group_elements;
    for (int64_t at = 0; at < whole; at += group_elements)
      for (int i = 0; i < group_elements; ++i) {
        number logit = number(T::load(x[at + i]));
        // mutation-equivalent(boundary): of equal ones, zeros of both signs included, either will do
        best[i] = best[i] < logit ? logit : best[i];
      }
    double result = -infinity;
    // mutation-equivalent(boundary, constant): without a whole group these are -inf
    if (whole > 0)
      // mutation-equivalent(boundary): as above
      for (number b : best) result = result < double(b) ? double(b) : result;
    for (int64_t i = whole; i < classes; ++i) {
      double logit = T::load(x[i]);
      // mutation-equivalent(boundary): as above
      result = result < logit ? logit : result;
    }
    return result;
  }

  // The place of the first number that is m. There is one.
  template <class T>
  static int64_t first(const typename T::storage* x, int64_t classes, double m) {
    using number = typename T::rounded;
    int64_t at = 0;
    // mutation-equivalent(boundary): the last group is then searched below
    for (; at + group_elements <= classes; at += group_elements) {
      int found = 0;
      for (int i = 0; i < group_elements; ++i) found |= number(T::load(x[at + i])) == number(m);
      if (found) break;
    }
    while (T::load(x[at]) != m) ++at;
    return at;
  }

  struct LaneSums {
    double others[lanes] = {}, distance[lanes] = {}, shared[lanes] = {};
  };

  template <class T, bool soft, bool smooth>
  static Sums add(const ScoreRow& row, double m, int64_t place) {
    auto x = static_cast<const typename T::storage*>(row.logits);
    BlockSum others, distance, shared;
    double share = row.smoothing / double(row.classes);
    // mutation-equivalent(boundary): a block of no elements adds nothing
    for (int64_t block = 0; block < row.classes; block += block_elements) {
      int64_t end = std::min(block + block_elements, row.classes);
      LaneSums sums;
      // mutation-equivalent(boundary): a group of no elements adds nothing
      for (int64_t at = block; at < end; at += group_elements) {
        double p[group_elements];
        int elements = int(std::min<int64_t>(group_elements, end - at));
        if constexpr (soft) load_probabilities(row, at, elements, p);
        if (elements == group_elements && (place < at || place >= at + group_elements))
          add_terms<T, soft, smooth, group_elements>(x + at, p, m, share, group_elements, -1, sums);
        else
          add_some<T, soft, smooth>(x + at, p, m, share, x[place], elements, int(place - at), sums);
      }
      others.add(add_lanes(sums.others));
      if constexpr (soft) distance.add(add_lanes(sums.distance));
      if constexpr (smooth) shared.add(add_lanes(sums.shared));
    }
    return {others.value(), distance.value(), shared.value()};
  }

  // A group that is not whole, or has the largest in it, by as many as there are lanes: rows may be short. What fills
  // them up is as large, so that its distance is 0.
  template <class T, bool soft, bool smooth>
  static void add_some(const typename T::storage* x, const double* p, double m, double share, typename T::storage fill,
                       int elements, int place, LaneSums& sums) {
    for (int at = 0; at < elements; at += lanes) {
      typename T::storage filled[lanes];
      for (int i = 0; i < lanes; ++i) filled[i] = at + i < elements ? x[at + i] : fill;
      add_terms<T, soft, smooth, lanes>(filled, p + at, m, share, elements - at, place - at, sums);
    }
  }

  // The first so many elements, and of these, the exponential of all but one.
  template <class T, bool soft, bool smooth, int width>
  LOSSLESS_INLINE void add_terms(const typename T::storage* x, const double* p, double m, double share, int elements,
                                 int place, LaneSums& sums) {
    double exponentials[width], distance[width], shared[width];
#pragma GCC unroll 4
    for (int i = 0; i < width; ++i) {
      double logit = T::load(x[i]);
      exponentials[i] = exponential<T>(logit, m);
      if constexpr (soft) distance[i] = p[i] * (m - logit);
      if constexpr (smooth) shared[i] = share * (m - logit);
    }
    if (elements < width || place >= 0)
      for (int i = 0; i < width; ++i) exponentials[i] = i < elements && i != place ? exponentials[i] : 0;
    add_group<width>(exponentials, sums.others);
    if constexpr (soft) add_group<width>(distance, sums.distance);
    if constexpr (smooth) add_group<width>(shared, sums.shared);
  }

  // Filled up with zeros.
  LOSSLESS_INLINE void load_probabilities(const ScoreRow& row, int64_t at, int elements, double* p) {
    const char* from = static_cast<const char*>(row.probabilities) + at * row.probability_stride;
    row.load_probabilities(from, row.probability_stride, elements, p);
    std::fill(p + elements, p + group_elements, 0.0);
  }

  // exp(x_j - m) * factor - offset, less the probabilities' part.
  template <class T, bool soft>
  static void write_gradient(const ScoreRow& row, double m, double factor, double offset) {
    using storage = typename T::storage;
    auto x = static_cast<const storage*>(row.logits);
    auto gradient = static_cast<storage*>(row.gradient);
    double weight = (1 - row.smoothing) * row.gradient_scale;
    int64_t whole = row.classes / group_elements * group_elements;
    double p[group_elements];
    for (int64_t at = 0; at < whole; at += group_elements) {
      if constexpr (soft) load_probabilities(row, at, group_elements, p);
      write_group<T, soft, group_elements>(x + at, p, m, factor, offset, weight, gradient + at, group_elements);
    }
    int rest = int(row.classes - whole);
    if constexpr (soft) load_probabilities(row, whole, rest, p);
    // mutation-equivalent(boundary): no elements are written
    for (int at = 0; at < rest; at += lanes) {
      storage last[lanes] = {};
      int elements = std::min(lanes, rest - at);
      std::memcpy(last, x + whole + at, elements * sizeof(storage));
      write_group<T, soft, lanes>(last, p + at, m, factor, offset, weight, gradient + whole + at, elements);
    }
  }

  template <class T, bool soft, int width>
  LOSSLESS_INLINE void write_group(const typename T::storage* x, const double* p, double m, double factor,
                                   double offset, double weight, typename T::storage* to, int elements) {
    typename T::storage gradients[width];
#pragma GCC unroll 4
    for (int i = 0; i < width; ++i) {
      double away = soft ? std::fma(p[i], weight, offset) : offset;
      gradients[i] = T::pack(T::round(std::fma(exponential<T>(T::load(x[i]), m), factor, -away)));
    }
    size_t bytes = elements * sizeof *gradients;
    if (elements == width) bytes = sizeof gradients;  // known when compiling: a few vector moves
    std::memcpy(to, gradients, bytes);
  }

  // exp(x - m) for x <= m: x - m = k log(2) + r, exp(r) - 1 = e. From `vanishing` on the bits of 2^k are those of 0.
  template <class T>
  LOSSLESS_INLINE double exponential(double x, double m) {
    if constexpr (std::is_same_v<typename T::storage, double>) {
      constexpr double vanishing = -753.5;
      constexpr double excess = 64;  // of the power, as the smallest numbers have no exponent of their own
      Split d = two_sum(x, -m);
      // mutation-equivalent(boundary): the same there
      double clamped = d.high < vanishing ? vanishing : d.high;
      double d_low = d.high < vanishing ? 0 : d.low;  // NaN where the difference overflows
      double shifted = std::fma(clamped, inverse_ln2, round_to_integer + excess);
      double k = shifted - (round_to_integer + excess);
      double power = from_bits(to_bits(shifted) << 52);
      double most = std::fma(k, -ln2_high, clamped);
      double r = std::fma(k, -ln2_low, most);
      double r_low = std::fma(k, -ln2_low, most - r) + d_low;
      double e = std::fma(r * r, tail(r), r);
      e += std::fma(r_low, e, r_low);
      return std::fma(power, e, power) * 0x1p-64;
    } else {
      constexpr double vanishing = -709.2;
      double d = x - m;
      // mutation-equivalent(boundary): the same there
      double clamped = d < vanishing ? vanishing : d;
      double shifted = std::fma(clamped, inverse_ln2, round_to_integer);
      double k = shifted - round_to_integer;
      double power = from_bits(to_bits(shifted) << 52);
      double r = std::fma(k, -ln2, clamped);
      double e = std::fma(r * r, short_tail(r), r);
      return std::fma(power, e, power);
    }
  }

  // (expm1(r) - r) / r^2 for |r| <= log(2) / 2, with an error of exp(r) of 2^-55.6 and, short, 2^-43.5. Even and odd
  // powers apart halve the chain of dependent operations.
  LOSSLESS_INLINE double tail(double r) {
    double even = polynomial(r * r, 0x1.0000000000001p-1, 0x1.5555555553d56p-5, 0x1.6c16c17890eb4p-10,
                             0x1.a019b8f9792eep-16, 0x1.28919ccaf9211p-22);
    double odd = polynomial(r * r, 0x1.5555555555556p-3, 0x1.11111111109afp-7, 0x1.a01a01a7c73c0p-13,
                            0x1.71de0da24602dp-19, 0x1.af38c67fbb53ep-26);
    return std::fma(odd, r, even);
  }
  LOSSLESS_INLINE double short_tail(double r) {
    double even =
        polynomial(r * r, 0x1.fffffffffe051p-2, 0x1.55555565ce931p-5, 0x1.6c166bc75e823p-10, 0x1.a136e5a92400ep-16);
    double odd =
        polynomial(r * r, 0x1.5555555554f93p-3, 0x1.111111170e2fap-7, 0x1.a019c35adf08ep-13, 0x1.72ad61987410cp-19);
    return std::fma(odd, r, even);
  }

  static constexpr double inverse_ln2 = 0x1.71547652b82fep0;
  static constexpr double ln2 = 0x1.62e42fefa39efp-1;
  static constexpr double ln2_high = 0x1.62e42fef00000p-1;  // 33 bits: exact times an exponent
  static constexpr double ln2_low = 0x1.473de6af278edp-34;
  static constexpr double round_to_integer =
      0x1.8p52 + 1023;  // x + this - this; the bits of x + this end in an exponent
};

}  // namespace
}  // namespace lossless
