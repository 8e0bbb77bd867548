"""Rounding to the formats: to nearest, ties to even; of fractions, of reals and of arrays."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import gmpy2
import numpy as np
from gmpy2 import mpq

from lossless.verification.formats import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, Format

Exact = Any  # a gmpy2.mpq


class Real(NamedTuple):
    """A number that no fraction is: an approximation and a bound of its error, of any precision."""

    enclose: Callable[[int], tuple[Exact, Exact]]


# Digits of a number, exponents of the least normal and of the largest one.
SHAPES = {
    FLOAT16: (11, -14, 15),
    BFLOAT16: (8, -126, 127),
    FLOAT32: (24, -126, 127),
    FLOAT64: (53, -1022, 1023),
}
NARROW = (FLOAT16, BFLOAT16, FLOAT32)
MOST_BITS = 1 << 12


def power(exponent: int) -> Exact:
    return mpq(1 << exponent) if exponent >= 0 else mpq(1, 1 << -exponent)


def _magnitude(x: Exact) -> int:
    """The e of 2^e <= |x| < 2^(e + 1)."""
    exponent = int(x.numerator.bit_length() - x.denominator.bit_length())
    return exponent - int(abs(x) < power(exponent))


def unit(x: Exact, fmt: Format) -> Exact:
    """The distance of neighbours at x."""
    digits, least, _ = SHAPES[fmt]
    return power(max(_magnitude(x) if x else least, least) - digits + 1)


def rounded(x: Exact, fmt: Format) -> float:
    if not x:
        return 0.0
    step = unit(x, fmt)
    result = round(x / step) * step
    if abs(result) >= power(SHAPES[fmt][2] + 1):
        return math.inf if result > 0 else -math.inf
    return float(result)


def rounded_real(x: Exact | Real, fmt: Format) -> float:
    """With as many bits as it takes to tell on which side of the middle of two numbers it lies."""
    if not isinstance(x, Real):
        return rounded(x, fmt)
    bits = 128
    while bits <= MOST_BITS:
        middle, error = x.enclose(bits)
        result = rounded(middle - error, fmt)
        if result == rounded(middle + error, fmt):
            return result
        bits *= 2
    raise ArithmeticError(f"undecided after {MOST_BITS} bits: {middle}")


def known_to(x: Exact | Real, digits: int) -> Exact:
    """A fraction that is off by less than 2^-digits of the number."""
    if not isinstance(x, Real):
        return x
    bits = 128
    while bits <= MOST_BITS:
        middle, error = x.enclose(bits)
        if error <= abs(middle) * power(-digits):
            return middle
        bits *= 2
    raise ArithmeticError(f"unknown after {MOST_BITS} bits: {middle}")


def to_format(numbers: Any, fmt: Format) -> Any:
    """Long doubles as an array of the format. A cast would round to half types twice."""
    digits, least, _ = SHAPES[fmt]
    with np.errstate(all="ignore"):
        if fmt in (FLOAT32, FLOAT64):
            return numbers.astype(fmt.dtype)
        step = np.maximum(np.frexp(numbers)[1] - digits, least - digits + 1)
        nearest = np.ldexp(np.rint(np.ldexp(numbers, -step)), step)
        return nearest.astype(np.float32).astype(fmt.dtype)


def middle_near(numbers: Any, fmt: Format) -> Any:
    """The middle of two neighbours of the format between which each number lies."""
    digits, least, _ = SHAPES[fmt]
    with np.errstate(all="ignore"):
        step = np.maximum(np.frexp(numbers)[1] - digits, least - digits + 1)
        return np.ldexp(np.floor(np.ldexp(numbers, -step)) + 0.5, step)


def cell(numbers: Any, fmt: Format) -> tuple[Any, Any]:
    """For numbers of a narrow format: between which two middles all is rounded to each."""
    with np.errstate(all="ignore"):
        beyond = 2.0 ** (SHAPES[fmt][2] + 1)
        if fmt is FLOAT32:
            ends = [np.nextafter(numbers, np.float32(end)) for end in (-np.inf, np.inf)]
        else:
            bits = numbers.view(np.int16).astype(np.int32)
            ordered = np.where(bits < 0, -32768 - bits, bits)
            ends = [_of_order(ordered + step, fmt) for step in (-1, 1)]
        number = np.clip(numbers.astype(np.float64), -beyond, beyond)
        low, high = (
            (number + np.clip(end.astype(np.float64), -beyond, beyond)) / 2 for end in ends
        )
        infinite = np.isinf(numbers.astype(np.float64))
        low = np.where(infinite & (number < 0), -np.inf, low)
        high = np.where(infinite & (number > 0), np.inf, high)
        return low, high


def _of_order(ordered: Any, fmt: Format) -> Any:
    bits = np.where(ordered < 0, -32768 - ordered, ordered)
    return bits.astype(np.int16).view(fmt.dtype)


def fraction(number: Any) -> Exact:
    return mpq(float(number))


def precisely(bits: int) -> Any:
    """A context of that many bits in which nothing overflows or vanishes."""
    return gmpy2.context(precision=bits, emin=-(1 << 40), emax=1 << 40)
