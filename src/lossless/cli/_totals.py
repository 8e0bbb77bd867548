"""Sums that are, but for one rounding, those of the library, whatever the pieces of a file are."""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Groups = NDArray[np.intp]
# What the library adds up at once (src/kernels/sweep.h). Blocks begin at multiples of it, so their
# sums are the library's.
BLOCK = 1 << 16


class Totals:
    """A running sum for each of any number of groups, with the errors of its additions beside."""

    def __init__(self) -> None:
        self._sums, self._errors = np.zeros(0), np.zeros(0)

    def add(self, groups: Groups, sums: Vector) -> None:
        """Add to some groups, each named once."""
        more = int(groups.max(initial=-1)) + 1 - len(self._sums)
        if more > 0:
            grown = max(more, len(self._sums))
            self._sums, self._errors = (np.pad(x, (0, grown)) for x in (self._sums, self._errors))
        before = self._sums[groups]
        with np.errstate(invalid="ignore", over="ignore"):
            after = before + sums
            back = after - before
            errors = (before - (after - back)) + (sums - back)
        self._sums[groups] = after
        self._errors[groups] += np.where(np.isfinite(errors), errors, 0.0)

    def add_to(self, group: int, sums: Vector) -> None:
        """Add several sums to one group."""
        self.add(np.array([group]), np.zeros(1))
        total, error = float(self._sums[group]), float(self._errors[group])
        for number in sums.tolist():
            before, total = total, total + number
            back = total - before
            lost = (before - (total - back)) + (number - back)
            error += lost if math.isfinite(lost) else 0.0
        self._sums[group], self._errors[group] = total, error

    def of(self, group: int) -> Fraction | float:
        """The sum without a rounding; infinities and NaN are floats."""
        if group >= len(self._sums):
            return Fraction(0)
        total = float(self._sums[group])
        return Fraction(total) + Fraction(self._errors[group]) if np.isfinite(total) else total


def divided(total: Fraction | float, divisor: Fraction | float) -> float:
    """Rounded once; NaN where there is nothing to divide by."""
    if not divisor:
        return float("nan")
    try:
        return float(total / divisor)
    except OverflowError:
        return float("inf") if (total > 0) == (divisor > 0) else float("-inf")


def block_sums(
    loss: Callable[..., Any], inputs: Any, targets: Any, weights: Vector | None
) -> Vector:
    """The sums of the losses of each block of rows, of which the last may be short."""
    whole = len(inputs) // BLOCK * BLOCK
    sums = []
    for part, shape in ((slice(0, whole), (-1, BLOCK)), (slice(whole, None), (1, -1))):
        if inputs[part].size:
            x, t = inputs[part].reshape(shape), targets[part].reshape(shape)
            w = None if weights is None else weights[part].reshape(shape)
            sums.append(loss(x, t, reduction="sum", axis=1, weights=w))
    return np.concatenate(sums)


def group_sums(groups: Groups, numbers: Vector) -> tuple[Groups, Vector]:
    """The groups that occur, and the sums of their numbers.

    Each number is cut in two: the sums of the upper parts, multiples of one unit, are exact, and
    those of the lower parts are so small that their roundings do not matter.
    """
    counts = np.bincount(groups)
    largest = float(np.abs(numbers).max(initial=0.0))
    if not np.isfinite(largest) or largest > 1e290:
        with np.errstate(invalid="ignore", over="ignore"):
            sums = np.bincount(groups, numbers)
    else:
        anchor = 1.5 * np.ldexp(1.0, int(np.frexp(largest)[1]) + len(numbers).bit_length())
        upper = (numbers + anchor) - anchor
        sums = np.bincount(groups, upper) + np.bincount(groups, numbers - upper)
    found = np.flatnonzero(counts)
    return found, np.asarray(sums[found], np.float64)
