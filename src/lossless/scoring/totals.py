"""Sums that equal the library's to within one rounding, however a file is split."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .losses import ChosenLoss

Vector = NDArray[np.float64]
Groups = NDArray[np.intp]
# The block that the library adds up in one step (src/kernels/engine/sweep.h). Blocks begin at
# multiples of it, so their sums are the library's.
BLOCK = 1 << 16


# Within these magnitudes nothing overflows or underflows in the arithmetic of `quotients`.
SMALL, LARGE = 2.0**-400, 2.0**400


class Totals:
    """A running sum for each group, and the sum of the errors of its additions."""

    def __init__(self) -> None:
        self._sums, self._errors = np.zeros(0), np.zeros(0)

    def add(self, groups: Groups, sums: Vector, errors: Vector | float = 0.0) -> None:
        """Add to some groups; each is named once."""
        needed = int(groups.max(initial=-1)) + 1
        if needed > len(self._sums):
            longer = max(needed, 2 * len(self._sums))
            self._sums, self._errors = (_lengthened(x, longer) for x in (self._sums, self._errors))
        after, lost = two_sum(self._sums[groups], sums)
        self._sums[groups] = after
        self._errors[groups] += np.where(np.isfinite(lost), lost + errors, 0.0)

    def add_to(self, group: int, sums: Vector) -> None:
        """Add several sums to one group."""
        if group >= len(self._sums):
            self.add(np.array([group]), np.zeros(1))
        total, error = float(self._sums[group]), float(self._errors[group])
        for number in sums.tolist():
            before, total = total, total + number
            back = total - before
            lost = (before - (total - back)) + (number - back)
            error += lost if math.isfinite(lost) else 0.0
        self._sums[group], self._errors[group] = total, error

    def of(self, group: int) -> Fraction | float:
        """The exact sum; infinities and NaN are floats."""
        if group >= len(self._sums):
            return Fraction(0)
        return _exactly(float(self._sums[group]), float(self._errors[group]))

    def between(self, first: int, end: int) -> tuple[Vector, Vector]:
        """The sums of consecutive groups, and their errors."""
        sums, errors = (_lengthened(x[first:end], end - first) for x in (self._sums, self._errors))
        return sums, errors


def _lengthened(numbers: Vector, length: int) -> Vector:
    """The numbers followed by zeros; the system provides their memory on first use."""
    longer = np.zeros(length)
    longer[: len(numbers)] = numbers
    return longer


def _exactly(total: float, error: float) -> Fraction | float:
    return Fraction(total) + Fraction(error) if math.isfinite(total) else total


def divided(total: Fraction | float, divisor: Fraction | float) -> float:
    """The quotient, rounded once; NaN if the divisor is 0."""
    if not divisor:
        return float("nan")
    try:
        return float(total / divisor)
    except OverflowError:
        return float("inf") if (total > 0) == (divisor > 0) else float("-inf")


def quotients(totals: tuple[Vector, Vector], divisors: tuple[Vector, Vector]) -> Vector:
    """Like `divided`, for many sums of two numbers each."""
    with np.errstate(all="ignore"):
        high, low = two_sum(*totals)
        divisor, rest = two_sum(*divisors)
        first = high / divisor
        product, missing = _two_product(first, divisor)
        result = first + (high - product - missing + low - first * rest) / divisor + 0.0
        normal = (abs(divisor) > SMALL) & (abs(divisor) < LARGE)
        normal &= (high == 0) | ((abs(high) > SMALL) & (abs(high) < LARGE))
    for i in np.flatnonzero(~normal):
        total, by = (_exactly(float(x[i]), float(y[i])) for x, y in (totals, divisors))
        result[i] = divided(total, by)
    return np.asarray(result, np.float64)


def two_sum(a: Vector, b: Vector) -> tuple[Vector, Vector]:
    """The rounded sum, and the rounding error."""
    with np.errstate(invalid="ignore", over="ignore"):
        total = a + b
        back = total - a
        return total, (a - (total - back)) + (b - back)


def _two_product(a: Vector, b: Vector) -> tuple[Vector, Vector]:
    """The rounded product, and the rounding error (Dekker 1971)."""
    (a_high, a_low), (b_high, b_low) = map(_halves, (a, b))
    product = a * b
    lost = a_high * b_high - product + a_high * b_low + a_low * b_high + a_low * b_low
    return product, lost


def _halves(x: Vector) -> tuple[Vector, Vector]:
    """Two halves of 26 bits each."""
    shifted = x * (2.0**27 + 1)
    high = shifted - (shifted - x)
    return high, x - high


def block_sums(loss: ChosenLoss, inputs: Any, targets: Any, weights: Vector | None) -> Vector:
    """The sum of the losses of each block of rows; the last block may be short."""
    whole = len(inputs) // BLOCK * BLOCK
    sums = []
    for part, shape in ((slice(0, whole), (-1, BLOCK)), (slice(whole, None), (1, -1))):
        if inputs[part].size:
            x, t = inputs[part].reshape(shape), targets[part].reshape(shape)
            w = None if weights is None else weights[part].reshape(shape)
            sums.append(loss.sums(x, t, w))
    return np.concatenate(sums)


def group_sums(groups: Groups, numbers: Vector) -> tuple[Vector, Vector]:
    """The sum of the numbers of each group, and its error.

    Each number is split in two parts. The sums of the upper parts, which are multiples of one
    unit, are exact. The sums of the lower parts are so small that their roundings do not matter.
    """
    largest = float(np.abs(numbers).max(initial=0.0))
    with np.errstate(invalid="ignore", over="ignore"):
        if not math.isfinite(largest):
            finite = np.isfinite(numbers)
            sums, errors = group_sums(groups, np.where(finite, numbers, 0.0))
            return sums + _bincount(groups, np.where(finite, 0.0, numbers)), errors
        if largest > 1e290:
            sums = _bincount(groups, numbers)
            return sums, np.zeros_like(sums)
    anchor = 1.5 * np.ldexp(1.0, int(np.frexp(largest)[1]) + len(numbers).bit_length())
    upper = (numbers + anchor) - anchor
    return _bincount(groups, upper), _bincount(groups, numbers - upper)


def _bincount(groups: Groups, numbers: Vector) -> Vector:
    return np.asarray(np.bincount(groups, numbers), np.float64)
