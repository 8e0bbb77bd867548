"""The losses in long double, to screen millions of points: each result with a relative error bound.

The forms are definitions or textbook ones that do not cancel, none of them a kernel's. Long double
here is whatever NumPy has: 64 bits of precision on x86, 53 where it is a plain double; the bounds
are multiples of its own epsilon, so a short one only sends more points to mpmath.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .formats import Array, Extended, Format

PRECISION = np.finfo(np.longdouble).nmant + 1
EPSILON = np.finfo(np.longdouble).eps
# glibc states at most 5 ULP for each of sinhl, coshl, tanhl, expl, log1pl; the longest chain below
# is 1/cosh**2: (5 + 1) * 2 + 1 < 32.
LIBRARY_BOUND = 32 * EPSILON
LOG_2 = np.log(np.longdouble(2))


@dataclass(frozen=True)
class Residual:
    """inputs - targets in long double; `inexact` marks where that rounded (None: nowhere)."""

    value: Extended
    inexact: NDArray[np.bool_] | None
    short: bool | NDArray[np.bool_]  # whether its square fits a long double

    @classmethod
    def of(cls, inputs: Array, targets: Array | None, fmt: Format) -> Residual:
        with np.errstate(invalid="ignore", over="ignore"):
            x = inputs.astype(np.longdouble)
            if targets is None:
                return cls(x, None, 2 * fmt.precision <= PRECISION)
            t = targets.astype(np.longdouble)
            difference = x - t
            # Knuth's error of a difference: zero exactly where it did not round.
            back = difference - x
            error = (x - (difference - back)) - (t + back)
            inexact = (error != 0) & np.isfinite(difference)
            leading = np.ldexp(np.frexp(difference)[0], PRECISION // 2)
            short = ~inexact & (leading == np.rint(leading))
        return cls(difference, inexact if inexact.any() else None, short)


# A result and its relative error bound (0: exact; infinite: nothing is known). The bounds are long
# doubles throughout: 1 + bound would be 1 in float64.
Screened = tuple[Extended, Extended | np.longdouble]
EXACT = np.longdouble(0)


def _piecewise(
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


def _bound(residual: Residual, condition: Extended | float) -> Extended | np.longdouble:
    """The library's bound, and what half an ULP of a rounded residual does to the result."""
    if residual.inexact is None:
        return LIBRARY_BOUND
    return np.where(residual.inexact, LIBRARY_BOUND + EPSILON * condition, LIBRARY_BOUND)


def log_cosh_value(residual: Residual) -> Screened:
    """cosh r = 1 + 2 sinh(r/2)**2 below 2, log(e**r + e**-r) - log 2 above."""
    a = np.abs(residual.value)
    value = _piecewise(
        a < 2,
        a,
        lambda a: np.log1p(2 * np.square(np.sinh(a / 2))),
        lambda a: (a - LOG_2) + np.log1p(np.exp(-2 * a)),
    )
    return value, _bound(residual, 2)  # r tanh(r) / log cosh(r) <= 2


def log_cosh_gradient(residual: Residual) -> Screened:
    return np.tanh(residual.value), _bound(residual, 1)


def log_cosh_second_derivative(residual: Residual) -> Screened:
    a = np.minimum(np.abs(residual.value), 10000)  # 1/cosh**2 is 0 in every format long before
    return np.square(1 / np.cosh(a)), _bound(residual, 2 * a)


def huber_value(residual: Residual, delta: float) -> Screened:
    """The exact cases have bound 0: Huber is full of ties, which no tolerance could decide."""
    a = np.abs(residual.value)
    quadratic = a <= delta
    if quadratic.all() and residual.short is True:
        return np.square(a) / np.longdouble(2), EXACT
    half = np.longdouble(delta) / 2
    with np.errstate(invalid="ignore", over="ignore"):
        shifted = a - half
        back = shifted - a
        shift_error = (a - (shifted - back)) - (half + back)
        value = np.where(quadratic, a * a / 2, delta * shifted)
    exact_line = (math.frexp(delta)[0] == 0.5) & (shift_error == 0)
    exact = np.where(quadratic, residual.short, exact_line)
    if residual.inexact is not None:
        exact &= ~residual.inexact
    return value, np.where(exact, 0, 8 * EPSILON)


def huber_gradient(residual: Residual, delta: float) -> Screened:
    gradient = np.clip(residual.value, -np.longdouble(delta), np.longdouble(delta))
    if residual.inexact is None:
        return gradient, EXACT
    return gradient, np.where(residual.inexact, EPSILON, np.longdouble(0))


def huber_second_derivative(residual: Residual, delta: float) -> Screened:
    a = np.abs(residual.value)
    second = np.where(np.isnan(a), a, (a <= delta).astype(np.longdouble))
    if residual.inexact is None:
        return second, EXACT
    with np.errstate(invalid="ignore"):
        near = residual.inexact & (np.abs(a - delta) <= 2 * EPSILON * delta)
    return second, np.where(near, np.longdouble(np.inf), np.longdouble(0))
