"""What losses in long double share, which screen millions of points: results with error bounds.

The forms are definitions or textbook ones, none of them a kernel's. Long double here is whatever
NumPy has: 64 bits of precision on x86, 53 where it is a plain double; the bounds are multiples of
its own epsilon, so a short one only sends more points to mpmath.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .formats import Array, Extended, Format

LOG_2 = np.log(np.longdouble(2))
LOG_2_PI = np.log(np.longdouble("6.28318530717958647692528676655900577"))
PRECISION = np.finfo(np.longdouble).nmant + 1
EPSILON = np.finfo(np.longdouble).eps
# glibc states at most 5 ULP for each of sinhl, coshl, tanhl, expl, logl, log1pl; the longest chains
# are 1/cosh**2 with (5 + 1) * 2 + 1 < 32, and t log1p(e**-x) with 5 + 5 + 4 < 32.
LIBRARY_BOUND = 32 * EPSILON
# Four roundings or fewer, one of them that of a residual which is squared.
ROUNDED = 8 * EPSILON
EXACT = np.longdouble(0)
UNKNOWN = np.longdouble(np.inf)

# A result and its relative error bound (0: exact; infinite: nothing is known). The bounds are long
# doubles throughout: 1 + bound would be 1 in float64.
Bounds = Extended | np.longdouble
Screened = tuple[Extended, Bounds]


def extended(numbers: Array) -> Extended:
    with np.errstate(invalid="ignore"):  # of NaNs that signal
        return numbers.astype(np.longdouble)


def difference(a: Extended | np.longdouble, b: Extended | np.longdouble) -> tuple[Extended, ...]:
    """a - b, and what rounding lost of it: zero exactly where it did not round (Knuth)."""
    with np.errstate(invalid="ignore", over="ignore"):
        rounded = a - b
        back = rounded - a
        return np.asarray(rounded), np.asarray((a - (rounded - back)) - (b + back))


@dataclass(frozen=True)
class Residual:
    """inputs - targets in long double; `inexact` marks where that rounded (None: nowhere)."""

    value: Extended
    inexact: NDArray[np.bool_] | None
    short: bool | NDArray[np.bool_]  # whether its square fits a long double

    @classmethod
    def of(cls, inputs: Array, targets: Array | None, fmt: Format) -> Residual:
        x = extended(inputs)
        if targets is None:
            return cls(x, None, 2 * fmt.precision <= PRECISION)
        value, error = difference(x, extended(targets))
        with np.errstate(invalid="ignore", over="ignore"):
            inexact = (error != 0) & np.isfinite(value)
            leading = np.ldexp(np.frexp(value)[0], PRECISION // 2)
            short = ~inexact & (leading == np.rint(leading))
        return cls(value, inexact if inexact.any() else None, short)

    @property
    def exact(self) -> bool | NDArray[np.bool_]:
        return True if self.inexact is None else ~self.inexact


@dataclass(frozen=True)
class Pair:
    """Inputs and targets in long double, which holds them."""

    inputs: Extended
    targets: Extended

    @classmethod
    def of(cls, inputs: Array, targets: Array | None, _: Format) -> Pair:
        x = extended(inputs)
        return cls(x, np.zeros_like(x) if targets is None else extended(targets))


Operands = Residual | Pair


def piecewise(
    mask: NDArray[np.bool_],
    numbers: Extended,
    inside: Callable[[Extended], Extended],
    outside: Callable[[Extended], Extended],
) -> Extended:
    if mask.all():
        return inside(numbers)
    if not mask.any():
        return outside(numbers)
    result = np.empty_like(numbers)
    result[mask] = inside(numbers[mask])
    result[~mask] = outside(numbers[~mask])
    return result


def is_power_of_2(number: float) -> bool:
    return abs(math.frexp(number)[0]) == 0.5


def signs(r: Extended) -> Extended:
    return np.where((r == 0) | np.isnan(r), r, np.copysign(np.longdouble(1), r))


def constant(r: Extended, number: float | np.longdouble) -> Extended:
    """The same for every residual, and NaN for NaN."""
    return np.where(np.isnan(r), r, np.longdouble(number))


def no_second_derivative(residual: Residual, **_: float) -> Screened:
    return constant(residual.value, 0), EXACT


def library_bound(residual: Residual, condition: Extended | float) -> Bounds:
    """The library's bound, and what half an ULP of a rounded residual does to the result."""
    if residual.inexact is None:
        return LIBRARY_BOUND
    return np.where(residual.inexact, LIBRARY_BOUND + EPSILON * condition, LIBRARY_BOUND)


def unless_beside(residual: Residual, limit: float, bound: Bounds) -> Bounds:
    """Unknown where a residual that was rounded lies beside the limit of a piece."""
    if residual.inexact is None:
        return bound
    with np.errstate(invalid="ignore"):
        distance = np.abs(np.abs(residual.value) - np.longdouble(limit))
        return np.where(residual.inexact & (distance <= 2 * EPSILON * limit), UNKNOWN, bound)


def unless(exact: bool | NDArray[np.bool_], bound: Bounds) -> Bounds:
    """The bound of a result that is exact in some places, or everywhere."""
    return EXACT if exact is True else np.where(exact, EXACT, bound)


def of_terms(result: Extended, terms: Extended) -> Bounds:
    """The bound of a sum whose terms, of these magnitudes together, have the library's."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(np.isfinite(result), LIBRARY_BOUND * (terms / np.abs(result)), EXACT)
