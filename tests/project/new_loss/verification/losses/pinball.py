"""max((1 - q) r, -q r) of the residual r, whose derivative at 0 is 0."""

from __future__ import annotations

import math

import numpy as np
from mpmath import mp

from ..definitions import guarded, zero
from ..extended import (
    EXACT,
    ROUNDED,
    Residual,
    Screened,
    difference,
    is_power_of_2,
    no_second_derivative,
    unless,
)
from ..formats import Extended, Mpf
from ..reference import Loss, outputs
from ..special import OF_UNKNOWN_RESIDUALS, SpecialValues

INF = math.inf


def value(r: Mpf, quantile: float) -> Mpf:
    q = mp.mpf(quantile)
    return max((1 - q) * r, -q * r)


def gradient(r: Mpf, quantile: float) -> Mpf:
    q = mp.mpf(quantile)
    return 1 - q if r > 0 else -q if r < 0 else mp.mpf(0)


def extended_value(residual: Residual, quantile: float) -> Screened:
    above, error = difference(np.longdouble(1), np.longdouble(quantile))
    slopes = np.where(residual.value > 0, above, np.longdouble(quantile))
    # With such slopes, the middle between two numbers is reached.
    exact = is_power_of_2(quantile) and is_power_of_2(float(above)) and not error
    return slopes * np.abs(residual.value), unless(residual.exact & exact, ROUNDED)


def extended_gradient(residual: Residual, quantile: float) -> Screened:
    above, error = difference(np.longdouble(1), np.longdouble(quantile))
    r = residual.value
    slopes = np.where(r > 0, above, np.longdouble(-quantile))
    return np.where((r == 0) | np.isnan(r), r, slopes), ROUNDED if error else EXACT


def terms(residual: Residual, quantile: float) -> Extended:
    """What cancels in 1 - q."""
    return (1 + np.longdouble(quantile)) * np.abs(residual.value)


def terms_of_gradient(residual: Residual, quantile: float) -> Extended:
    return np.full_like(residual.value, 1 + np.longdouble(quantile))


LOSS = Loss(
    "pinball",
    outputs(*map(guarded, (value, gradient, zero))),
    outputs(extended_value, extended_gradient, no_second_derivative),
    even=False,
    parameters={"quantile": 0.5},
    other_parameters=({"quantile": 0.1}, {"quantile": 0.75}, {"quantile": 0.999}),
    terms={"value": terms, "gradient": terms_of_gradient},
    ulp_float64=outputs(1, 1, 0),
    hard_outputs=("value",),
    kink=lambda x, t, quantile: x - t,
    special_values=(
        SpecialValues(
            {"quantile": 0.75},
            (
                *OF_UNKNOWN_RESIDUALS,
                ((0.0, 0.0), (0.0, 0.0, 0.0)),
                ((-0.0, 0.0), (0.0, -0.0, 0.0)),
                ((3.0, 1.0), (0.5, 0.25, 0.0)),
                ((1.0, 3.0), (1.5, -0.75, 0.0)),
                ((INF, 1.0), (INF, 0.25, 0.0)),
                ((-INF, 1.0), (INF, -0.75, 0.0)),
                ((0.0, INF), (INF, -0.75, 0.0)),
                ((INF, -INF), (INF, 0.25, 0.0)),
            ),
        ),
    ),
)
