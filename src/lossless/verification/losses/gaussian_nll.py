"""(log v + r²/v) / 2 of the residual r and a variance v, of which eps is the least."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from mpmath import mp

from ..definitions import guarded
from ..extended import (
    EPSILON,
    EXACT,
    ROUNDED,
    Residual,
    Screened,
    constant,
    is_power_of_2,
    of_terms,
    unless,
)
from ..formats import FLOAT32, Extended, Mpf
from ..reference import Loss, outputs
from ..special import SpecialValues

INF, NAN = math.inf, math.nan
# For `full_gaussian_nll`, too. Not 1, whose logarithm is 0.
PARAMETERS = {"vars": 0.7, "eps": 1e-6}
OTHER_PARAMETERS = (
    {"vars": 1.0, "eps": 1e-6},
    {"vars": 0.0, "eps": 0.015625},
    {"vars": 123.5, "eps": 1e-6},
)


def least_variance(vars: float, eps: float) -> Mpf:  # noqa: A002, as MLX calls it
    return max(mp.mpf(vars), mp.mpf(eps))


def value(r: Mpf, vars: float, eps: float) -> Mpf:  # noqa: A002
    v = least_variance(vars, eps)
    return (mp.log(v) + r * r / v) / 2


def gradient(r: Mpf, vars: float, eps: float) -> Mpf:  # noqa: A002
    return r / least_variance(vars, eps)


def second_derivative(r: Mpf, vars: float, eps: float) -> Mpf:  # noqa: A002
    return 1 / least_variance(vars, eps)


def terms_with(summand: np.longdouble) -> Callable[..., Extended]:
    """The terms of half of log v + r²/v + summand."""

    def terms(residual: Residual, vars: float, eps: float) -> Extended:  # noqa: A002
        variance = np.longdouble(max(vars, eps))
        with np.errstate(invalid="ignore", over="ignore"):
            square = np.square(residual.value) / variance
        terms: Extended = (np.abs(np.log(variance)) + square + summand) / 2
        return terms

    return terms


def extended_value_with(summand: np.longdouble) -> Callable[..., Screened]:
    """Half of log v + r²/v + summand. Only 1 has a logarithm that is exact: 0."""
    terms = terms_with(summand)

    def extended_value(residual: Residual, vars: float, eps: float) -> Screened:  # noqa: A002
        variance = max(vars, eps)
        with np.errstate(invalid="ignore"):
            square = np.square(residual.value) / np.longdouble(variance)
        value = (np.log(np.longdouble(variance)) + square + summand) / 2
        exact = residual.short & (variance == 1 and summand == 0)
        return value, unless(exact, of_terms(value, terms(residual, vars, eps)))

    return extended_value


def extended_gradient(residual: Residual, vars: float, eps: float) -> Screened:  # noqa: A002
    variance = max(vars, eps)
    exact = residual.exact & is_power_of_2(variance)
    return residual.value / np.longdouble(variance), unless(exact, ROUNDED)


def extended_second_derivative(
    residual: Residual,
    vars: float,  # noqa: A002
    eps: float,
) -> Screened:
    variance = max(vars, eps)
    second = constant(residual.value, 1 / np.longdouble(variance))
    return second, EXACT if is_power_of_2(variance) else EPSILON


def where_value_cancels(
    rng: np.random.Generator, summand: float = 0.0, count: int = 4000
) -> Iterator[tuple[float, ...]]:
    """Residuals next to the root of log v + r²/v + summand."""
    variances = np.exp2(rng.uniform(-9, -2.7, count))
    roots = FLOAT32.array(np.sqrt(variances * (-np.log(variances) - summand)))
    beside = FLOAT32.array(rng.normal(0, 1, count) * np.exp2(rng.uniform(-45, -10, count)))
    for row in zip(roots, beside, variances, strict=True):
        yield (*map(float, row), 1e-6)


LOSS = Loss(
    "gaussian_nll",
    outputs(*map(guarded, (value, gradient, second_derivative))),
    outputs(extended_value_with(EXACT), extended_gradient, extended_second_derivative),
    parameters=PARAMETERS,
    other_parameters=OTHER_PARAMETERS,
    ulp_float64=outputs(4, 2, 1),
    terms={"value": terms_with(EXACT)},
    hard_outputs=("value", "gradient"),
    cancelling=where_value_cancels,
    special_values=(
        SpecialValues(
            {"vars": 1.0, "eps": 1e-6},
            (
                ((1.0, 3.0), (2.0, -2.0, 1.0)),
                ((-0.0, 0.0), (0.0, -0.0, 1.0)),
                ((INF, 1.0), (INF, INF, 1.0)),
                ((NAN, 1.0), (NAN, NAN, NAN)),
            ),
        ),
    ),
)
