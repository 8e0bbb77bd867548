"""Print the polynomial coefficients of the headers in src/kernels, with their errors.

    python tools/coefficients.py

Each is a near-minimax fit, by Chebyshev interpolation at 200 bits: long ones for float64, with an
error below that of the double arithmetic which evaluates them, and short ones for narrower types.
"""

from collections.abc import Callable

from mpmath import atanh, chebyfit, expm1, log, mp, mpf, sqrt

mp.prec = 200
LARGEST_REDUCED = mpf("0.3467")  # ln(2)/2 and a little, for the rounding of the reduction
LARGEST_SQUARE = mpf(1) / 81 + mpf("0.0001")  # of s = tanh(ln(2)/2)^2 = 1/9
LARGEST_OF_LOG1P = mpf(1) / 9 + mpf("0.0001")  # of s = q / (2 + q) <= 1/3
LARGEST_OF_LOG = mpf("0.0295")  # of s = (m - 1) / (m + 1), m between the roots of 1/2 and 2


def exponential_tail(r: mpf) -> mpf:
    """(expm1(r) - r) / r^2."""
    return (expm1(r) - r) / r**2 if abs(r) > mpf(2) ** -60 else mpf(1) / 2 + r / 6


def atanh_tail(w: mpf) -> mpf:
    """(2 atanh(s) / s - 2) / w with w = s^2."""
    s = sqrt(w)
    return (2 * atanh(s) / s - 2) / w if w > mpf(2) ** -100 else mpf(2) / 3 + 2 * w / 5


def show(
    name: str, tail: Callable[[mpf], mpf], interval: list[mpf], terms: int, weight: mpf
) -> None:
    coefficients, error = chebyfit(tail, interval, terms, error=True)
    print(f"{name}: relative error 2^{float(log(error * weight, 2)):.1f}, lowest first")
    for coefficient in reversed(coefficients):
        print(f"    {float(coefficient).hex()},")


if __name__ == "__main__":
    exponential_weight = LARGEST_REDUCED**2 / -expm1(-LARGEST_REDUCED)
    reduced = [-LARGEST_REDUCED, LARGEST_REDUCED]
    show("exponential", exponential_tail, reduced, 10, exponential_weight)
    show("short_exponential", exponential_tail, reduced, 9, exponential_weight)
    exponential_weight = LARGEST_REDUCED**2 / mp.exp(-LARGEST_REDUCED)
    show("tail", exponential_tail, reduced, 10, exponential_weight)
    show("short_tail", exponential_tail, reduced, 8, exponential_weight)
    squares = [mpf(0), LARGEST_SQUARE]
    show("inverse_tanh", atanh_tail, squares, 6, LARGEST_SQUARE / 2)
    show("short_inverse_tanh", atanh_tail, squares, 5, LARGEST_SQUARE / 2)
    squares = [mpf(0), LARGEST_OF_LOG1P]
    show("log1p_tail", atanh_tail, squares, 10, LARGEST_OF_LOG1P / 2)
    squares = [mpf(0), LARGEST_OF_LOG]
    show("log_tail", atanh_tail, squares, 8, LARGEST_OF_LOG / 2)
    ln2 = mp.log(2)
    high = mp.ldexp(mp.floor(mp.ldexp(ln2, 33)), -33)
    print(f"ln2_high = {float(high).hex()}  # 33 bits: exact times an exponent")
    print(f"ln2_low = {float(ln2 - high).hex()}")
    print(f"ln2_lowest = {float(ln2 - high - float(ln2 - high)).hex()}")
    print(f"ln2 = {float(ln2).hex()}")
    print(f"ln2_rest = {float(ln2 - float(ln2)).hex()}  # ln2 - the double above")
    log_2_pi = mp.log(2 * mp.pi)
    print(f"log_2_pi = {float(log_2_pi).hex()}")
    print(f"log_2_pi_rest = {float(log_2_pi - float(log_2_pi)).hex()}")
