"""Huber's loss divided by beta: r²/(2 beta) below beta, then |r| - beta/2; at beta 0 it is |r|."""

from __future__ import annotations

import math

import numpy as np
from mpmath import mp

from ..definitions import guarded, sign
from ..extended import (
    EPSILON,
    ROUNDED,
    Residual,
    Screened,
    constant,
    difference,
    is_power_of_2,
    signs,
    unless,
    unless_beside,
)
from ..formats import Mpf
from ..reference import Loss, outputs
from ..special import SpecialValues

INF, NAN = math.inf, math.nan


def value(r: Mpf, beta: float) -> Mpf:
    a, b = abs(r), mp.mpf(beta)
    return r * r / (2 * b) if a < b else a - b / 2


def gradient(r: Mpf, beta: float) -> Mpf:
    return r / mp.mpf(beta) if abs(r) < mp.mpf(beta) else sign(r)


def second_derivative(r: Mpf, beta: float) -> Mpf:
    return 1 / mp.mpf(beta) if abs(r) < mp.mpf(beta) else mp.mpf(0)


def extended_value(residual: Residual, beta: float) -> Screened:
    """The pieces meet where |r| = beta, so a rounded residual may be taken for one of either."""
    a, width = np.abs(residual.value), np.longdouble(beta)
    linear, error = difference(a, width / 2)
    with np.errstate(all="ignore"):
        value = np.where(a < beta, a * a / (2 * width), linear)
    exact_square = residual.short & is_power_of_2(beta)
    return value, unless(np.where(a < beta, exact_square, (error == 0) & residual.exact), ROUNDED)


def extended_gradient(residual: Residual, beta: float) -> Screened:
    near = np.abs(residual.value) < beta
    with np.errstate(all="ignore"):
        slope = np.where(near, residual.value / np.longdouble(beta), signs(residual.value))
    return slope, unless(residual.exact & (~near | is_power_of_2(beta)), ROUNDED)


def extended_second_derivative(residual: Residual, beta: float) -> Screened:
    near = np.abs(residual.value) < beta
    with np.errstate(divide="ignore"):
        second = np.where(near, 1 / np.longdouble(beta), constant(residual.value, 0))
    bound = unless(~near | is_power_of_2(beta), EPSILON)
    return second, unless_beside(residual, beta, bound)


LOSS = Loss(
    "smooth_l1",
    outputs(*map(guarded, (value, gradient, second_derivative))),
    outputs(extended_value, extended_gradient, extended_second_derivative),
    parameters={"beta": 1.0},
    other_parameters=tuple({"beta": beta} for beta in (0.1, 0.0, 1 / 3, 2.5, 3e-5, 1e4)),
    ulp_float64=outputs(2, 1, 1),
    hard_outputs=("value",),
    special_values=(
        SpecialValues(
            {"beta": 1.0},
            (
                ((0.0, 0.0), (0.0, 0.0, 1.0)),
                ((-0.0, 0.0), (0.0, -0.0, 1.0)),
                ((1.0, 0.0), (0.5, 1.0, 0.0)),
                ((0.0, 1.0), (0.5, -1.0, 0.0)),
                ((0.5, 0.0), (0.125, 0.5, 1.0)),
                ((INF, 1.0), (INF, 1.0, 0.0)),
                ((-INF, 1.0), (INF, -1.0, 0.0)),
                ((NAN, 1.0), (NAN, NAN, NAN)),
            ),
        ),
    ),
)
