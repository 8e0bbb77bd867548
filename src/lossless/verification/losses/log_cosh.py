"""log cosh r of the residual r."""

from __future__ import annotations

import math

import numpy as np
from mpmath import mp

from ..extended import LOG_2, Residual, Screened, library_bound, piecewise
from ..formats import Mpf
from ..reference import OUTPUTS, Loss, outputs
from ..special import OF_UNKNOWN_RESIDUALS, SpecialValues

INF = math.inf


def value(r: Mpf) -> Mpf:
    if not r:
        return r
    # cosh(r) - 1 begins that many bits behind the point.
    cancelled = max(0, -2 * int(mp.mag(r))) if mp.isfinite(r) else 0
    with mp.workprec(mp.prec + cancelled + 8):
        return mp.log(mp.cosh(r))


def second_derivative(r: Mpf) -> Mpf:
    return mp.sech(r) ** 2


def extended_value(residual: Residual) -> Screened:
    """cosh r = 1 + 2 sinh(r/2)**2 below 2, log(e**r + e**-r) - log 2 above."""
    a = np.abs(residual.value)
    value = piecewise(
        a < 2,
        a,
        lambda a: np.log1p(2 * np.square(np.sinh(a / 2))),
        lambda a: (a - LOG_2) + np.log1p(np.exp(-2 * a)),
    )
    return value, library_bound(residual, 2)  # r tanh(r) / log cosh(r) <= 2


def extended_gradient(residual: Residual) -> Screened:
    return np.tanh(residual.value), library_bound(residual, 1)


def extended_second_derivative(residual: Residual) -> Screened:
    a = np.minimum(np.abs(residual.value), 10000)  # 1/cosh**2 is 0 in every format long before
    return np.square(1 / np.cosh(a)), library_bound(residual, 2 * a)


LOSS = Loss(
    "log_cosh",
    outputs(value, mp.tanh, second_derivative),
    outputs(extended_value, extended_gradient, extended_second_derivative),
    algebraic=False,
    ulp_float64=outputs(6, 6, 8),
    hard_outputs=OUTPUTS,
    absolute_beyond_2=("second_derivative",),
    special_values=(
        SpecialValues(
            {},
            (
                *OF_UNKNOWN_RESIDUALS,
                ((0.0, 0.0), (0.0, 0.0, 1.0)),
                ((-0.0, 0.0), (0.0, -0.0, 1.0)),
                ((5.0, 5.0), (0.0, 0.0, 1.0)),
                ((-5.0, -5.0), (0.0, 0.0, 1.0)),
                ((INF, 0.0), (INF, 1.0, 0.0)),
                ((-INF, 2.0), (INF, -1.0, 0.0)),
                ((3.0, INF), (INF, -1.0, 0.0)),
                ((INF, -INF), (INF, 1.0, 0.0)),
                (("smallest", 0.0), (0.0, "smallest", 1.0)),
                ((0.0, "smallest"), (0.0, "-smallest", 1.0)),
                (("normal", 0.0), (0.0, "normal", 1.0)),
                (("largest", 0.0), ("largest", 1.0, 0.0)),
                (("-largest", 0.0), ("largest", -1.0, 0.0)),
                (("largest", "-largest"), (INF, 1.0, 0.0)),
                (("-largest", "largest"), (INF, -1.0, 0.0)),
                (("largest", "smallest"), ("largest", 1.0, 0.0)),
                (("largest", "largest"), (0.0, 0.0, 1.0)),
            ),
        ),
    ),
)
