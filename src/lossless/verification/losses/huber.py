"""Huber's loss of the residual r: r²/2 up to delta, then delta (|r| - delta/2)."""

from __future__ import annotations

import math

import numpy as np
from mpmath import mp

from ..definitions import magnitude
from ..extended import (
    EPSILON,
    EXACT,
    ROUNDED,
    Residual,
    Screened,
    difference,
    is_power_of_2,
    unless,
    unless_beside,
)
from ..formats import Mpf
from ..reference import Loss, outputs
from ..special import OF_UNKNOWN_RESIDUALS, SpecialValues

INF = math.inf


def value(r: Mpf, delta: float) -> Mpf:
    a, d = magnitude(r), mp.mpf(delta)
    if a <= d:
        return mp.ldexp(mp.fmul(a, a, exact=True), -1)
    return mp.fmul(d, mp.fsub(a, mp.ldexp(d, -1), exact=True), exact=True)


def gradient(r: Mpf, delta: float) -> Mpf:
    if magnitude(r) <= mp.mpf(delta):
        return r
    return mp.mpf(delta if r > 0 else -delta)


def second_derivative(r: Mpf, delta: float) -> Mpf:
    return mp.mpf(1 if magnitude(r) <= mp.mpf(delta) else 0)


def extended_value(residual: Residual, delta: float) -> Screened:
    """The exact cases have bound 0: Huber is full of ties, which no tolerance could decide."""
    a = np.abs(residual.value)
    quadratic = a <= delta
    if quadratic.all() and residual.short is True:
        return np.square(a) / np.longdouble(2), EXACT
    shifted, error = difference(a, np.longdouble(delta) / 2)
    with np.errstate(invalid="ignore", over="ignore"):
        value = np.where(quadratic, a * a / 2, delta * shifted)
    exact_line = is_power_of_2(delta) & (error == 0) & residual.exact
    return value, unless(np.where(quadratic, residual.short, exact_line), ROUNDED)


def extended_gradient(residual: Residual, delta: float) -> Screened:
    gradient = np.clip(residual.value, -np.longdouble(delta), np.longdouble(delta))
    return gradient, unless(residual.exact, EPSILON)


def extended_second_derivative(residual: Residual, delta: float) -> Screened:
    a = np.abs(residual.value)
    second = np.where(np.isnan(a), a, (a <= delta).astype(np.longdouble))
    return second, unless_beside(residual, delta, EXACT)


# Of all positive numbers of the narrow dtypes.
BELOW_ALL, BEYOND_ALL = 2.0**-1060, 1e300

LOSS = Loss(
    "huber",
    outputs(value, gradient, second_derivative),
    outputs(extended_value, extended_gradient, extended_second_derivative),
    exact=True,
    parameters={"delta": 1.0},
    other_parameters=tuple({"delta": delta} for delta in (0.1, 1.345, 3e-5, 1e4, INF)),
    ulp_float64=outputs(1, 1, 0),
    hard_outputs=("value",),
    absolute_beyond_2=("second_derivative",),
    special_values=(
        SpecialValues(
            {"delta": 1.0},
            (
                *OF_UNKNOWN_RESIDUALS,
                ((0.0, 0.0), (0.0, 0.0, 1.0)),
                ((-0.0, 0.0), (0.0, -0.0, 1.0)),
                ((-5.0, -5.0), (0.0, 0.0, 1.0)),
                ((INF, 3.0), (INF, 1.0, 0.0)),
                ((-INF, INF), (INF, -1.0, 0.0)),
                ((1.0, 0.0), (0.5, 1.0, 1.0)),
                ((3.0, 4.0), (0.5, -1.0, 1.0)),
                ((-3.0, -0.5), (2.0, -1.0, 0.0)),
                (("above one", 0.0), ("above half", 1.0, 0.0)),
                ((0.0, "above one"), ("above half", -1.0, 0.0)),
                (("below one", 0.0), ("half below", "below one", 1.0)),
                (("smallest", 0.0), (0.0, "smallest", 1.0)),
                ((0.0, "smallest"), (0.0, "-smallest", 1.0)),
                (("largest", 0.0), ("largest", 1.0, 0.0)),
                (("largest", "-largest"), (INF, 1.0, 0.0)),
            ),
        ),
        SpecialValues(
            {"delta": INF},
            (
                *OF_UNKNOWN_RESIDUALS,
                ((0.0, -3.0), (4.5, 3.0, 1.0)),
                ((-0.5, 2.0), (3.125, -2.5, 1.0)),
                ((INF, 1.0), (INF, INF, 1.0)),
                ((-INF, 1.0), (INF, -INF, 1.0)),
                (("largest", 0.0), (INF, "largest", 1.0)),
                (("largest", "-largest"), (INF, INF, 1.0)),
                ((-0.0, 0.0), (0.0, -0.0, 1.0)),
            ),
        ),
        SpecialValues(
            {"delta": BELOW_ALL},
            (
                *OF_UNKNOWN_RESIDUALS,
                ((0.0, 0.0), (0.0, 0.0, 1.0)),
                ((-0.0, 0.0), (0.0, -0.0, 1.0)),
                ((1.5, 0.0), (1.5 * BELOW_ALL, BELOW_ALL, 0.0)),
                ((0.0, 1.5), (1.5 * BELOW_ALL, -BELOW_ALL, 0.0)),
                ((INF, 1.0), (INF, BELOW_ALL, 0.0)),
                ((-INF, 1.0), (INF, -BELOW_ALL, 0.0)),
            ),
        ),
        SpecialValues(
            {"delta": BEYOND_ALL},
            (
                *OF_UNKNOWN_RESIDUALS,
                ((-3.0, 1.0), (8.0, -4.0, 1.0)),
                ((INF, 1.0), (INF, BEYOND_ALL, 0.0)),
                ((-INF, 1.0), (INF, -BEYOND_ALL, 0.0)),
            ),
        ),
    ),
)
