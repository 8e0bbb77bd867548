"""The losses of inputs and targets in long double, and the magnitudes of what they add up."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .extended import (
    EPSILON,
    EXACT,
    LIBRARY_BOUND,
    ROUNDED,
    Pair,
    Screened,
    difference,
    of_terms,
    unless,
)
from .formats import Extended

# e**-FAR is 0 in every narrow format, and nothing beside a number that is not.
FAR = np.longdouble(700)
LEAST = np.longdouble(-100)  # of a logarithm


def _times(t: Extended, loss: Extended) -> Extended:
    """A product in which a factor 0 takes out whatever the other is."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.where(t == 0, t, t * loss)


def _rest(pair: Pair) -> tuple[Extended, ...]:
    """1 - targets * inputs, with a sign that is right: the product is exact in narrow formats."""
    with np.errstate(invalid="ignore", over="ignore"):
        return difference(np.longdouble(1), pair.targets * pair.inputs)


def hinge_value(pair: Pair) -> Screened:
    rest, error = _rest(pair)
    return np.where(rest < 0, EXACT, rest), unless((error == 0) | ~np.isfinite(rest), EPSILON)


def hinge_gradient(pair: Pair) -> Screened:
    rest, _ = _rest(pair)
    slope = np.where(rest > 0, -pair.targets, EXACT)
    return np.where(np.isnan(rest), rest, slope), EXACT


def hinge_second_derivative(pair: Pair) -> Screened:
    rest, _ = _rest(pair)
    return np.where(np.isnan(rest), rest, EXACT), EXACT


def hinge_terms(pair: Pair) -> Extended:
    product: Extended = np.abs(pair.inputs * pair.targets)
    return product + 1


def _exponential(x: Extended) -> Extended:
    """e**-|x|, not too small to have all its digits."""
    return np.exp(-np.minimum(np.abs(x), FAR))


def _softplus(x: Extended) -> Extended:
    return np.maximum(x, 0) + np.log1p(_exponential(x))


def _sigmoid(x: Extended) -> Extended:
    e = _exponential(x)
    return np.where(x > 0, 1, e) / (1 + e)


def _cross_entropy(pair: Pair, sign: Callable[[Extended], Extended]) -> Extended:
    """What both classes add, or with `sign` np.abs, the magnitudes of it."""
    x, t = pair.inputs, pair.targets
    return _times(sign(t), _softplus(-x)) + _times(sign(1 - t), _softplus(x))


def cross_entropy_value(pair: Pair) -> Screened:
    value = _cross_entropy(pair, np.positive)
    return value, of_terms(value, cross_entropy_terms(pair))


def cross_entropy_gradient(pair: Pair) -> Screened:
    x, t = pair.inputs, pair.targets
    gradient = (1 - t) * _sigmoid(x) - t * _sigmoid(-x)
    return gradient, of_terms(gradient, cross_entropy_gradient_terms(pair))


def cross_entropy_second_derivative(pair: Pair) -> Screened:
    second = _sigmoid(pair.inputs) * _sigmoid(-pair.inputs)
    return np.where(np.isnan(pair.targets), pair.targets, second), LIBRARY_BOUND


def cross_entropy_terms(pair: Pair) -> Extended:
    return _cross_entropy(pair, np.abs)


def cross_entropy_gradient_terms(pair: Pair) -> Extended:
    x, t = pair.inputs, pair.targets
    return np.abs(1 - t) * _sigmoid(x) + np.abs(t) * _sigmoid(-x)


def cross_entropy_second_derivative_terms(pair: Pair) -> Extended:
    return cross_entropy_second_derivative(pair)[0]


def _probabilities(pair: Pair) -> Extended:
    """The inputs, NaN where they are none."""
    p = pair.inputs
    return np.where((p >= 0) & (p <= 1), p, np.longdouble(np.nan))


def _of_probabilities(pair: Pair, sign: Callable[[Extended], Extended]) -> Extended:
    p, t = _probabilities(pair), pair.targets
    with np.errstate(divide="ignore"):
        one, zero = np.maximum(np.log(p), LEAST), np.maximum(np.log1p(-p), LEAST)
    return -(sign(t) * one + sign(1 - t) * zero)


def of_probabilities_value(pair: Pair) -> Screened:
    value = _of_probabilities(pair, np.positive)
    return value, of_terms(value, of_probabilities_terms(pair))


def _parts(pair: Pair) -> tuple[Extended, Extended]:
    """t / p and (1 - t) / (1 - p), 0 where the logarithm is bounded."""
    p, t = _probabilities(pair), pair.targets
    with np.errstate(divide="ignore", invalid="ignore"):
        one = np.where(np.log(p) <= LEAST, EXACT, t / p)
        zero = np.where(p == 1, EXACT, (1 - t) / (1 - p))
    return one, zero


def of_probabilities_gradient(pair: Pair) -> Screened:
    """Where both parts count, their difference is (p - t) / (p (1 - p)), of which none cancels."""
    one, zero = _parts(pair)
    p, t = _probabilities(pair), pair.targets
    with np.errstate(divide="ignore", invalid="ignore"):
        both = (np.log(p) > LEAST) & (p < 1)
        return np.where(both, (p - t) / (p * (1 - p)), zero - one), ROUNDED


def _curvatures(pair: Pair) -> tuple[Extended, Extended]:
    """t / p**2 and (1 - t) / (1 - p)**2, in the same places."""
    one, zero = _parts(pair)
    p = _probabilities(pair)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(one == 0, one, one / p), np.where(zero == 0, zero, zero / (1 - p))


def of_probabilities_second_derivative(pair: Pair) -> Screened:
    by_one, by_zero = _curvatures(pair)
    second = by_one + by_zero
    return second, of_terms(second, of_probabilities_second_derivative_terms(pair))


def of_probabilities_terms(pair: Pair) -> Extended:
    return _of_probabilities(pair, np.abs)


def of_probabilities_gradient_terms(pair: Pair) -> Extended:
    one, zero = _parts(pair)
    return np.abs(one) + np.abs(zero)


def of_probabilities_second_derivative_terms(pair: Pair) -> Extended:
    by_one, by_zero = _curvatures(pair)
    return np.abs(by_one) + np.abs(by_zero)
