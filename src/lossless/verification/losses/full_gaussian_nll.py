"""-log of the normal density: `gaussian_nll` with half of log 2π added."""

from __future__ import annotations

import math
from functools import partial

from mpmath import mp

from ..definitions import guarded
from ..extended import LOG_2_PI
from ..formats import Mpf
from ..reference import Loss, outputs
from ..special import SpecialValues
from .gaussian_nll import (
    OTHER_PARAMETERS,
    PARAMETERS,
    extended_gradient,
    extended_second_derivative,
    extended_value_with,
    gradient,
    least_variance,
    second_derivative,
    terms_with,
    where_value_cancels,
)

INF, NAN = math.inf, math.nan


def value(r: Mpf, vars: float, eps: float) -> Mpf:  # noqa: A002
    v = least_variance(vars, eps)
    return -mp.log(mp.exp(-r * r / (2 * v)) / mp.sqrt(2 * mp.pi * v))


LOSS = Loss(
    "full_gaussian_nll",
    outputs(*map(guarded, (value, gradient, second_derivative))),
    outputs(extended_value_with(LOG_2_PI), extended_gradient, extended_second_derivative),
    function="gaussian_nll_loss",
    fixed={"full": True},
    parameters=PARAMETERS,
    other_parameters=OTHER_PARAMETERS,
    ulp_float64=outputs(4, 2, 1),
    terms={"value": terms_with(LOG_2_PI)},
    hard_outputs=("value", "gradient"),
    cancelling=partial(where_value_cancels, summand=math.log(2 * math.pi)),
    special_values=(
        SpecialValues(
            {"vars": 1.0, "eps": 1e-6},
            (
                ((1.0, 3.0), (2.91893853320467274178, -2.0, 1.0)),
                ((-0.0, 0.0), (0.91893853320467274178, -0.0, 1.0)),
                ((INF, 1.0), (INF, INF, 1.0)),
                ((NAN, 1.0), (NAN, NAN, NAN)),
            ),
        ),
    ),
)
