"""max(0, 1 - t x) of the score x and the label t."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from mpmath import mp

from ..definitions import guarded, where_positive
from ..extended import EPSILON, EXACT, Pair, Screened, difference, unless
from ..formats import Extended, Mpf
from ..reference import Loss, outputs
from ..special import SpecialValues

INF, NAN = math.inf, math.nan


def value(x: Mpf, t: Mpf) -> Mpf:
    return where_positive(1 - t * x, 1 - t * x)


def gradient(x: Mpf, t: Mpf) -> Mpf:
    return where_positive(1 - t * x, -t)


def second_derivative(x: Mpf, t: Mpf) -> Mpf:
    return where_positive(1 - t * x, mp.mpf(0))


def _rest(pair: Pair) -> tuple[Extended, ...]:
    """1 - targets * inputs, with a sign that is right: the product is exact in narrow formats."""
    with np.errstate(invalid="ignore", over="ignore"):
        return difference(np.longdouble(1), pair.targets * pair.inputs)


def extended_value(pair: Pair) -> Screened:
    rest, error = _rest(pair)
    return np.where(rest < 0, EXACT, rest), unless((error == 0) | ~np.isfinite(rest), EPSILON)


def extended_gradient(pair: Pair) -> Screened:
    rest, _ = _rest(pair)
    slope = np.where(rest > 0, -pair.targets, EXACT)
    return np.where(np.isnan(rest), rest, slope), EXACT


def extended_second_derivative(pair: Pair) -> Screened:
    rest, _ = _rest(pair)
    return np.where(np.isnan(rest), rest, EXACT), EXACT


def terms_of_value(pair: Pair) -> Extended:
    product: Extended = np.abs(pair.inputs * pair.targets)
    return product + 1


def _reciprocal(x: Any) -> Any:
    return 1 / np.where(x == 0, 1, x)


LOSS = Loss(
    "hinge",
    outputs(*map(guarded, (value, gradient, second_derivative))),
    outputs(extended_value, extended_gradient, extended_second_derivative),
    uses_difference_only=False,
    even=False,
    ulp_float64=outputs(1, 0, 0),
    targets=(1.0,),
    labels=(-1, 1),
    balanced_targets=_reciprocal,
    terms={"value": terms_of_value},
    hard_outputs=("value",),
    kink=lambda x, t: 1 - x * t,
    special_values=(
        SpecialValues(
            {},
            (
                ((1.0, 1.0), (0.0, 0.0, 0.0)),
                ((0.5, 1.0), (0.5, -1.0, 0.0)),
                ((0.5, -1.0), (1.5, 1.0, 0.0)),
                ((INF, 1.0), (0.0, 0.0, 0.0)),
                ((INF, -1.0), (INF, 1.0, 0.0)),
                ((INF, 0.0), (NAN, NAN, NAN)),
                ((NAN, 1.0), (NAN, NAN, NAN)),
            ),
        ),
    ),
)
