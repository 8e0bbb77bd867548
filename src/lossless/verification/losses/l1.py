"""|r| of the residual r, whose derivative at 0 is 0."""

from __future__ import annotations

import math

import numpy as np

from ..definitions import guarded, sign, zero
from ..extended import EPSILON, EXACT, Residual, Screened, no_second_derivative, signs, unless
from ..reference import Loss, outputs
from ..special import SpecialValues

INF, NAN = math.inf, math.nan


def extended_value(residual: Residual) -> Screened:
    return np.abs(residual.value), unless(residual.exact, EPSILON)


def extended_gradient(residual: Residual) -> Screened:
    return signs(residual.value), EXACT


LOSS = Loss(
    "l1",
    outputs(*map(guarded, (abs, sign, zero))),
    outputs(extended_value, extended_gradient, no_second_derivative),
    ulp_float64=outputs(1, 0, 0),
    kink=lambda x, t: x - t,
    special_values=(
        SpecialValues(
            {},
            (
                ((0.0, 0.0), (0.0, 0.0, 0.0)),
                ((-0.0, 0.0), (0.0, -0.0, 0.0)),
                ((INF, 1.0), (INF, 1.0, 0.0)),
                ((1.0, INF), (INF, -1.0, 0.0)),
                ((INF, INF), (NAN, NAN, NAN)),
            ),
        ),
    ),
)
