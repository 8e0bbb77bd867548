// The logarithm of the hyperbolic cosine of the residual r = inputs - targets, with a = |r|:
//
//   l(r) = log(cosh(r))        l'(r) = tanh(r)        l''(r) = 1 / cosh(r)^2
//
// cosh(r) rounds to 1 near zero and overflows beyond 710; logaddexp(r, -r) - log(2), the usual way out, cancels near
// zero, where l(r) is about r^2/2 and the difference of two numbers near 0.69 has no digits left for it. Here, with
// q = exp(-a), u = q - 1 (from expm1, so that a small a keeps its digits) and m = 1 + q:
//
//   a <= log 2:  l = 2 atanh(s),                 s = tanh(a/2)^2 = u^2 / m^2
//   a >  log 2:  l = (a - log 2) + 2 atanh(s),   s = q^2 / (2 + q^2)
//   l'  = -u m / (1 + q^2) sign(r)
//   l'' = (2 q / (1 + q^2))^2
//
// Nothing cancels, for any a. The two pieces meet where both s are 1/9, their largest value, which keeps the series of
// atanh short. With q > 1/2 exactly where a < log 2 they differ by two selections:
//
//   s = (q > 1/2 ? u^2 : q^2) / (q^2 + max(1 + 2 q, 2))
//
// For float64 results the polynomials have errors of 2^-54. For narrower types shorter ones suffice, with 2^-48;
// rounding the residual to a double costs l'' another 2^-53 * 2a, with a < 53 before it underflows. A result so near
// the middle of two neighbours that an error of 2^-44 leaves both possible is computed again, with an error of 2^-90.
// No result is exactly in the middle: of an argument with finitely many digits, other than 0, log cosh, tanh and
// sech^2 have infinitely many (Lindemann). How near can one be? The 2^53 pairs that make different float32 residuals
// come within about 2^-25-53 of a middle by chance. Only tiny residuals, where l is slightly below r^2/2, come nearer:
// there the series computes the small difference explicitly.
//
// tools/coefficients.py makes the coefficients.
#pragma once

#include <type_traits>

#include "kernels/arith/elementary.h"
#include "kernels/loops/loss_concept.h"

namespace lossless {
namespace {

struct log_cosh {
  static constexpr int parameters = 0;
  static constexpr bool uses_difference_only = true;
  static constexpr bool only_gathered = false;
  static constexpr double error = 0x1p-44;
  static constexpr bool cancels = false;

  static bool valid(Parameters) { return true; }

  template <class T>
  LOSSLESS_INLINE ValueAndDerivatives evaluate(double inputs, double targets, Parameters) {
    DoubleDouble residual = exact_residual(inputs, targets);
    double a = std::fabs(residual.high);
    double clamped = at_most(underflow, a);

    // u = expm1(-a): a = -k log(2) - r, exp(r) - 1 = e.
    double shifted = std::fma(clamped, -inverse_ln2, round_to_integer);
    double k = shifted - round_to_integer;
    double power = from_bits(to_bits(shifted) << 52);  // 2^k
    double e, u, u_squared;
    if constexpr (std::is_same_v<typename T::storage, double>) {
      double a_low = a < underflow ? absolute(residual).low : 0;  // NaN where the residual overflows
      double most = std::fma(k, -ln2_high, -clamped);
      double r = std::fma(k, -ln2_low, most);
      double r_low = std::fma(k, -ln2_low, most - r) - a_low;
      DoubleDouble exact_e = fast_two_sum(r, r * r * exponential_tail(r));
      DoubleDouble exact_u = two_sum(power - 1, power * exact_e.high);
      double e_low = exact_e.low + std::fma(r_low, exact_e.high, r_low);
      e = exact_e.high + e_low;
      u = exact_u.high;
      u_squared = std::fma(2 * u, exact_u.low + power * e_low, u * u);
    } else {
      double r = std::fma(k, -ln2, -clamped);
      e = std::fma(r * r, short_exponential(r), r);
      u = std::fma(power, e, power - 1);
      u_squared = u * u;
    }

    double q = 1 + u;
    double m = 1 + q;
    double q2 = q * q;
    double cosine = 1 + q2;  // 2 q cosh(a)
    double numerator = q > 0.5 ? u_squared : q2;
    double denominator = q2 + (m + q > 2 ? m + q : 2);
    double s = numerator / denominator;
    double w = s * s;
    double tail = std::is_same_v<typename T::storage, double> ? long_inverse_tanh(w) : short_inverse_tanh(w);
    double series = std::fma(s * w, tail, 2 * s);
    double value = (a < ln2 ? 0 : a - ln2) + series;
    double gradient = std::copysign((u * m) / cosine, residual.high);
    double precise_q = std::fma(power, e, power);  // 1 + u has lost the digits of a small q
    double root = (2 * precise_q) / cosine;
    return {{value, 0}, {gradient, 0}, {root * root, 0}};
  }

  static ValueAndDerivatives evaluate_accurately(double inputs, double targets, Parameters) {
    DoubleDouble residual = exact_residual(inputs, targets);
    DoubleDouble a = absolute(residual);
    ValueAndDerivatives result = a.high < 0x1p-26 ? accurately_near_zero(a) : accurately(a);
    result.gradient = scale(result.gradient, std::copysign(1.0, residual.high));
    return result;
  }

 private:
  // exponential_tail with a relative error of expm1 of 2^-48.2.
  LOSSLESS_INLINE double short_exponential(double r) {
    double even = polynomial(r * r, 0x1.0000000000000p-1, 0x1.5555555554cb2p-5, 0x1.6c16c17393002p-10,
                             0x1.a019c99634817p-16, 0x1.2880562d283e2p-22);
    double odd =
        polynomial(r * r, 0x1.5555555553b6ap-3, 0x1.1111111c4c1f5p-7, 0x1.a019ad8c95b76p-13, 0x1.72c74c401d43ap-19);
    return std::fma(odd, r, even);
  }

  // (2 atanh(s) / s - 2) / w with w = s^2 <= 1/81, with a relative error of atanh of 2^-59.1 and, short, 2^-50.6.
  LOSSLESS_INLINE double long_inverse_tanh(double w) {
    return polynomial(w, 0x1.5555555555553p-1, 0x1.999999999ff65p-2, 0x1.2492490d4b231p-2, 0x1.c71cb0057a642p-3,
                      0x1.7437881fc116fp-3, 0x1.457c666cfdbfep-3);
  }
  LOSSLESS_INLINE double short_inverse_tanh(double w) {
    return polynomial(w, 0x1.5555555555894p-1, 0x1.999999933d17dp-2, 0x1.24925918f9a12p-2, 0x1.c70078d8d154ep-3,
                      0x1.7e5766731c874p-3);
  }

  static constexpr double far = 80;         // q^2 is nothing to any result of a narrow type from here on
  static constexpr double underflow = 380;  // l'' is 0 in every type from here on

  // l = a^2/2 - a^4/12, l' = a - a^3/3, l'' = 1 - a^2; the terms left out are below 2^-104 of the results.
  static ValueAndDerivatives accurately_near_zero(DoubleDouble a) {
    DoubleDouble square = multiply(a, a);
    double hair = square.high * square.high;
    return {add(scale(square, 0.5), {hair / -12, 0}), fast_two_sum(a.high, a.low - a.high * square.high / 3),
            add({1, 0}, scale(square, -1))};
  }

  // The identities above, in double-double arithmetic, for a from 2^-26 on.
  static ValueAndDerivatives accurately(DoubleDouble a) {
    DoubleDouble bounded = a.high > far ? DoubleDouble{far, 0} : a;
    double k = std::nearbyint(bounded.high / -ln2);
    DoubleDouble e = expm1_of_reduced(reduced_of_minus(bounded, k));
    double power = std::ldexp(1, int(k));
    DoubleDouble u = add(scale(e, power), two_sum(power, -1));

    DoubleDouble q = scale(add({1, 0}, e), power);
    DoubleDouble m = add({1, 0}, q);
    DoubleDouble q2 = multiply(q, q);
    DoubleDouble cosine = add({1, 0}, q2);
    bool near = a.high <= ln2;
    DoubleDouble s = near ? divide(multiply(u, u), multiply(m, m)) : divide(q2, add({2, 0}, q2));
    DoubleDouble offset = near ? DoubleDouble{0, 0} : add(a, {-ln2, -ln2_rest});

    DoubleDouble series = inverse_tanh(s, 33);  // (1/9)^35 / 35 < 2^-115
    DoubleDouble root = divide(scale(q, 2), cosine);
    return {add(offset, scale(series, 2)), divide(scale(multiply(u, m), -1), cosine), multiply(root, root)};
  }
};

}  // namespace
}  // namespace lossless
