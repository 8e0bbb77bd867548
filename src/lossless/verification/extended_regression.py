"""The losses of a residual in long double, and the magnitudes of what they add up."""

from __future__ import annotations

import math

import numpy as np

from .extended import (
    EPSILON,
    EXACT,
    LIBRARY_BOUND,
    ROUNDED,
    UNKNOWN,
    Bounds,
    Residual,
    Screened,
    difference,
    of_terms,
    piecewise,
    unless,
)
from .formats import Extended

LOG_2 = np.log(np.longdouble(2))
LOG_2_PI = np.log(np.longdouble("6.28318530717958647692528676655900577"))


def _is_power_of_2(number: float) -> bool:
    return abs(math.frexp(number)[0]) == 0.5


def _sign(r: Extended) -> Extended:
    return np.where((r == 0) | np.isnan(r), r, np.copysign(np.longdouble(1), r))


def _constant(r: Extended, number: float | np.longdouble) -> Extended:
    """The same for every residual, and NaN for NaN."""
    return np.where(np.isnan(r), r, np.longdouble(number))


def _library(residual: Residual, condition: Extended | float) -> Bounds:
    """The library's bound, and what half an ULP of a rounded residual does to the result."""
    if residual.inexact is None:
        return LIBRARY_BOUND
    return np.where(residual.inexact, LIBRARY_BOUND + EPSILON * condition, LIBRARY_BOUND)


def log_cosh_value(residual: Residual) -> Screened:
    """cosh r = 1 + 2 sinh(r/2)**2 below 2, log(e**r + e**-r) - log 2 above."""
    a = np.abs(residual.value)
    value = piecewise(
        a < 2,
        a,
        lambda a: np.log1p(2 * np.square(np.sinh(a / 2))),
        lambda a: (a - LOG_2) + np.log1p(np.exp(-2 * a)),
    )
    return value, _library(residual, 2)  # r tanh(r) / log cosh(r) <= 2


def log_cosh_gradient(residual: Residual) -> Screened:
    return np.tanh(residual.value), _library(residual, 1)


def log_cosh_second_derivative(residual: Residual) -> Screened:
    a = np.minimum(np.abs(residual.value), 10000)  # 1/cosh**2 is 0 in every format long before
    return np.square(1 / np.cosh(a)), _library(residual, 2 * a)


def huber_value(residual: Residual, delta: float) -> Screened:
    """The exact cases have bound 0: Huber is full of ties, which no tolerance could decide."""
    a = np.abs(residual.value)
    quadratic = a <= delta
    if quadratic.all() and residual.short is True:
        return np.square(a) / np.longdouble(2), EXACT
    shifted, error = difference(a, np.longdouble(delta) / 2)
    with np.errstate(invalid="ignore", over="ignore"):
        value = np.where(quadratic, a * a / 2, delta * shifted)
    exact_line = _is_power_of_2(delta) & (error == 0) & residual.exact
    return value, unless(np.where(quadratic, residual.short, exact_line), ROUNDED)


def huber_gradient(residual: Residual, delta: float) -> Screened:
    gradient = np.clip(residual.value, -np.longdouble(delta), np.longdouble(delta))
    return gradient, unless(residual.exact, EPSILON)


def _unless_beside(residual: Residual, limit: float, bound: Bounds) -> Bounds:
    """Unknown where a residual that was rounded lies beside the limit of a piece."""
    if residual.inexact is None:
        return bound
    with np.errstate(invalid="ignore"):
        distance = np.abs(np.abs(residual.value) - np.longdouble(limit))
        return np.where(residual.inexact & (distance <= 2 * EPSILON * limit), UNKNOWN, bound)


def huber_second_derivative(residual: Residual, delta: float) -> Screened:
    a = np.abs(residual.value)
    second = np.where(np.isnan(a), a, (a <= delta).astype(np.longdouble))
    return second, _unless_beside(residual, delta, EXACT)


def l1_value(residual: Residual) -> Screened:
    return np.abs(residual.value), unless(residual.exact, EPSILON)


def l1_gradient(residual: Residual) -> Screened:
    return _sign(residual.value), EXACT


def no_second_derivative(residual: Residual, **_: float) -> Screened:
    return _constant(residual.value, 0), EXACT


def mse_value(residual: Residual) -> Screened:
    return np.square(residual.value), unless(residual.short, ROUNDED)


def mse_gradient(residual: Residual) -> Screened:
    return 2 * residual.value, unless(residual.exact, EPSILON)


def mse_second_derivative(residual: Residual) -> Screened:
    return _constant(residual.value, 2), EXACT


def smooth_l1_value(residual: Residual, beta: float) -> Screened:
    """The pieces meet where |r| = beta, so a rounded residual may be taken for one of either."""
    a, width = np.abs(residual.value), np.longdouble(beta)
    linear, error = difference(a, width / 2)
    with np.errstate(all="ignore"):
        value = np.where(a < beta, a * a / (2 * width), linear)
    exact_square = residual.short & _is_power_of_2(beta)
    return value, unless(np.where(a < beta, exact_square, (error == 0) & residual.exact), ROUNDED)


def smooth_l1_gradient(residual: Residual, beta: float) -> Screened:
    near = np.abs(residual.value) < beta
    with np.errstate(all="ignore"):
        slope = np.where(near, residual.value / np.longdouble(beta), _sign(residual.value))
    return slope, unless(residual.exact & (~near | _is_power_of_2(beta)), ROUNDED)


def smooth_l1_second_derivative(residual: Residual, beta: float) -> Screened:
    near = np.abs(residual.value) < beta
    with np.errstate(divide="ignore"):
        curvature = np.where(near, 1 / np.longdouble(beta), _constant(residual.value, 0))
    bound = unless(~near | _is_power_of_2(beta), EPSILON)
    return curvature, _unless_beside(residual, beta, bound)


def _normal_terms(residual: Residual, variance: float, constant: np.longdouble) -> Extended:
    with np.errstate(invalid="ignore", over="ignore"):
        square = np.square(residual.value) / np.longdouble(variance)
    terms: Extended = (np.abs(np.log(np.longdouble(variance))) + square + constant) / 2
    return terms


def _normal(residual: Residual, variance: float, constant: np.longdouble) -> Screened:
    """Half of log v + r**2 / v, and of a constant. Only 1 has a logarithm that is exact: 0."""
    with np.errstate(invalid="ignore"):
        square = np.square(residual.value) / np.longdouble(variance)
    value = (np.log(np.longdouble(variance)) + square + constant) / 2
    exact = residual.short & (variance == 1 and constant == 0)
    return value, unless(exact, of_terms(value, _normal_terms(residual, variance, constant)))


def gaussian_nll_value(residual: Residual, vars: float, eps: float) -> Screened:  # noqa: A002
    return _normal(residual, max(vars, eps), EXACT)


def full_gaussian_nll_value(residual: Residual, vars: float, eps: float) -> Screened:  # noqa: A002
    return _normal(residual, max(vars, eps), LOG_2_PI)


def gaussian_nll_gradient(residual: Residual, vars: float, eps: float) -> Screened:  # noqa: A002
    variance = max(vars, eps)
    exact = residual.exact & _is_power_of_2(variance)
    return residual.value / np.longdouble(variance), unless(exact, ROUNDED)


def gaussian_nll_second_derivative(
    residual: Residual,
    vars: float,  # noqa: A002
    eps: float,
) -> Screened:
    variance = max(vars, eps)
    second = _constant(residual.value, 1 / np.longdouble(variance))
    return second, EXACT if _is_power_of_2(variance) else EPSILON


def gaussian_nll_terms(residual: Residual, vars: float, eps: float) -> Extended:  # noqa: A002
    return _normal_terms(residual, max(vars, eps), EXACT)


def full_gaussian_nll_terms(residual: Residual, vars: float, eps: float) -> Extended:  # noqa: A002
    return _normal_terms(residual, max(vars, eps), LOG_2_PI)


def _missing(residual: Residual, targets: float, margin: float) -> Screened:
    """margin - targets * residual, with a bound that is at least 1 where not even the sign is."""
    with np.errstate(invalid="ignore", over="ignore"):
        product = np.longdouble(targets) * residual.value
        missing, error = difference(np.longdouble(margin), product)
        exact = residual.exact & (error == 0) & (targets == 0 or _is_power_of_2(targets))
    return missing, unless(exact, of_terms(missing, np.abs(product) + abs(margin)))


def margin_ranking_value(residual: Residual, targets: float, margin: float) -> Screened:
    missing, bound = _missing(residual, targets, margin)
    value = np.where(missing < 0, np.longdouble(0), missing)
    return value, np.where(bound < 1, bound, UNKNOWN)


def margin_ranking_gradient(residual: Residual, targets: float, margin: float) -> Screened:
    missing, bound = _missing(residual, targets, margin)
    slope = np.where(missing > 0, np.longdouble(-targets), np.longdouble(0))
    return np.where(np.isnan(missing), missing, slope), np.where(bound < 1, EXACT, UNKNOWN)


def margin_ranking_terms(residual: Residual, targets: float, margin: float) -> Extended:
    product: Extended = np.abs(np.longdouble(targets) * residual.value)
    return product + abs(margin)
