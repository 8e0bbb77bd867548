"""max(0, margin - t r) of the difference r of two scores, of which t says the larger one."""

from __future__ import annotations

import math

import numpy as np
from mpmath import mp

from ..definitions import guarded, where_positive, zero
from ..extended import (
    EXACT,
    UNKNOWN,
    Residual,
    Screened,
    difference,
    is_power_of_2,
    no_second_derivative,
    of_terms,
    unless,
)
from ..formats import Extended, Mpf
from ..reference import Loss, outputs
from ..special import SpecialValues

INF, NAN = math.inf, math.nan


def _missing(r: Mpf, targets: float, margin: float) -> Mpf:
    return mp.mpf(margin) - mp.mpf(targets) * r


def value(r: Mpf, targets: float, margin: float) -> Mpf:
    missing = _missing(r, targets, margin)
    return where_positive(missing, missing)


def gradient(r: Mpf, targets: float, margin: float) -> Mpf:
    return where_positive(_missing(r, targets, margin), mp.mpf(-targets))


def _extended_missing(residual: Residual, targets: float, margin: float) -> Screened:
    """margin - targets * residual, with a bound that is at least 1 where not even the sign is."""
    with np.errstate(invalid="ignore", over="ignore"):
        product = np.longdouble(targets) * residual.value
        missing, error = difference(np.longdouble(margin), product)
        exact = residual.exact & (error == 0) & (targets == 0 or is_power_of_2(targets))
    return missing, unless(exact, of_terms(missing, np.abs(product) + abs(margin)))


def extended_value(residual: Residual, targets: float, margin: float) -> Screened:
    missing, bound = _extended_missing(residual, targets, margin)
    value = np.where(missing < 0, np.longdouble(0), missing)
    return value, np.where(bound < 1, bound, UNKNOWN)


def extended_gradient(residual: Residual, targets: float, margin: float) -> Screened:
    missing, bound = _extended_missing(residual, targets, margin)
    slope = np.where(missing > 0, np.longdouble(-targets), np.longdouble(0))
    return np.where(np.isnan(missing), missing, slope), np.where(bound < 1, EXACT, UNKNOWN)


def terms_of_value(residual: Residual, targets: float, margin: float) -> Extended:
    product: Extended = np.abs(np.longdouble(targets) * residual.value)
    return product + abs(margin)


LOSS = Loss(
    "margin_ranking",
    outputs(*map(guarded, (value, gradient, zero))),
    outputs(extended_value, extended_gradient, no_second_derivative),
    even=False,
    parameters={"targets": 1.0, "margin": 0.0},
    other_parameters=(
        {"targets": -1.0, "margin": 0.5},
        {"targets": 1.0, "margin": 0.1},
        {"targets": 1.0, "margin": -2.0},
        {"targets": 0.75, "margin": 1 / 3},
    ),
    ulp_float64=outputs(1, 0, 0),
    terms={"value": terms_of_value},
    kink=lambda x, t, targets, margin: margin - targets * (x - t),
    special_values=(
        SpecialValues(
            {"targets": 1.0, "margin": 0.0},
            (
                ((0.0, 0.0), (0.0, 0.0, 0.0)),
                ((1.0, 3.0), (2.0, -1.0, 0.0)),
                ((3.0, 1.0), (0.0, 0.0, 0.0)),
                ((-INF, 1.0), (INF, -1.0, 0.0)),
                ((INF, 1.0), (0.0, 0.0, 0.0)),
                ((NAN, 1.0), (NAN, NAN, NAN)),
            ),
        ),
    ),
)
