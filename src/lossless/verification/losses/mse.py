"""r² of the residual r."""

from __future__ import annotations

import math

import numpy as np
from mpmath import mp

from ..definitions import guarded
from ..extended import EPSILON, EXACT, ROUNDED, Residual, Screened, constant, unless
from ..formats import Mpf
from ..reference import Loss, outputs
from ..special import SpecialValues

INF, NAN = math.inf, math.nan


def value(r: Mpf) -> Mpf:
    return r * r


def gradient(r: Mpf) -> Mpf:
    return 2 * r


def second_derivative(_: Mpf) -> Mpf:
    return mp.mpf(2)


def extended_value(residual: Residual) -> Screened:
    return np.square(residual.value), unless(residual.short, ROUNDED)


def extended_gradient(residual: Residual) -> Screened:
    return 2 * residual.value, unless(residual.exact, EPSILON)


def extended_second_derivative(residual: Residual) -> Screened:
    return constant(residual.value, 2), EXACT


LOSS = Loss(
    "mse",
    outputs(*map(guarded, (value, gradient, second_derivative))),
    outputs(extended_value, extended_gradient, extended_second_derivative),
    ulp_float64=outputs(1, 1, 0),
    hard_outputs=("value",),
    special_values=(
        SpecialValues(
            {},
            (
                ((-0.0, 0.0), (0.0, -0.0, 2.0)),
                ((1.0, 3.0), (4.0, -4.0, 2.0)),
                ((INF, 1.0), (INF, INF, 2.0)),
                ((-INF, 1.0), (INF, -INF, 2.0)),
                ((NAN, 1.0), (NAN, NAN, NAN)),
            ),
        ),
    ),
)
