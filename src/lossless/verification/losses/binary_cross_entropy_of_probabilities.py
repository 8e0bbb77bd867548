"""-t log p - (1 - t) log(1 - p) of the probability p; no logarithm is below -100."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from mpmath import mp

from ..definitions import guarded
from ..extended import EXACT, ROUNDED, Pair, Screened, of_terms
from ..formats import Extended, Mpf
from ..reference import OUTPUTS, Loss, outputs
from ..special import SpecialValues

NAN = math.nan
LEAST = np.longdouble(-100)  # of a logarithm


def _counted(p: Mpf) -> tuple[bool, bool]:
    """Which of log p and log(1 - p) are above -100."""
    least = mp.exp(-100)
    return p > least, 1 - p > least


def _of_probability(function: Callable[[Mpf, Mpf], Mpf]) -> Callable[[Mpf, Mpf], Mpf]:
    return lambda p, t: function(p, t) if 0 <= p <= 1 else mp.nan


@_of_probability
def value(p: Mpf, t: Mpf) -> Mpf:
    one, other = _counted(p)
    return -t * (mp.log(p) if one else -100) - (1 - t) * (mp.log1p(-p) if other else -100)


@_of_probability
def gradient(p: Mpf, t: Mpf) -> Mpf:
    one, other = _counted(p)
    return (-t / p if one else 0) + ((1 - t) / (1 - p) if other else mp.mpf(0))


@_of_probability
def second_derivative(p: Mpf, t: Mpf) -> Mpf:
    one, other = _counted(p)
    return (t / p**2 if one else 0) + ((1 - t) / (1 - p) ** 2 if other else mp.mpf(0))


def _probabilities(pair: Pair) -> Extended:
    """The inputs, NaN where they are no probabilities."""
    p = pair.inputs
    return np.where((p >= 0) & (p <= 1), p, np.longdouble(np.nan))


def _sum(pair: Pair, sign: Callable[[Extended], Extended]) -> Extended:
    """The sum of what both classes add, or with `sign` np.abs, of its magnitudes."""
    p, t = _probabilities(pair), pair.targets
    with np.errstate(divide="ignore"):
        one, zero = np.maximum(np.log(p), LEAST), np.maximum(np.log1p(-p), LEAST)
    return -(sign(t) * one + sign(1 - t) * zero)


def extended_value(pair: Pair) -> Screened:
    value = _sum(pair, np.positive)
    return value, of_terms(value, terms_of_value(pair))


def _first_parts(pair: Pair) -> tuple[Extended, Extended]:
    """t / p and (1 - t) / (1 - p), 0 where the logarithm is bounded."""
    p, t = _probabilities(pair), pair.targets
    with np.errstate(divide="ignore", invalid="ignore"):
        one = np.where(np.log(p) <= LEAST, EXACT, t / p)
        zero = np.where(p == 1, EXACT, (1 - t) / (1 - p))
    return one, zero


def extended_gradient(pair: Pair) -> Screened:
    """Where both parts count, their difference is (p - t) / (p (1 - p)), of which none cancels."""
    one, zero = _first_parts(pair)
    p, t = _probabilities(pair), pair.targets
    with np.errstate(divide="ignore", invalid="ignore"):
        both = (np.log(p) > LEAST) & (p < 1)
        return np.where(both, (p - t) / (p * (1 - p)), zero - one), ROUNDED


def _second_parts(pair: Pair) -> tuple[Extended, Extended]:
    """t / p**2 and (1 - t) / (1 - p)**2, in the same places."""
    one, zero = _first_parts(pair)
    p = _probabilities(pair)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(one == 0, one, one / p), np.where(zero == 0, zero, zero / (1 - p))


def extended_second_derivative(pair: Pair) -> Screened:
    one, zero = _second_parts(pair)
    second = one + zero
    return second, of_terms(second, terms_of_second_derivative(pair))


def terms_of_value(pair: Pair) -> Extended:
    return _sum(pair, np.abs)


def terms_of_gradient(pair: Pair) -> Extended:
    one, zero = _first_parts(pair)
    return np.abs(one) + np.abs(zero)


def terms_of_second_derivative(pair: Pair) -> Extended:
    one, zero = _second_parts(pair)
    return np.abs(one) + np.abs(zero)


LOSS = Loss(
    "binary_cross_entropy_of_probabilities",
    outputs(*map(guarded, (value, gradient, second_derivative))),
    outputs(extended_value, extended_gradient, extended_second_derivative),
    function="binary_cross_entropy",
    fixed={"with_logits": False},
    uses_difference_only=False,
    even=False,
    probabilities=True,
    ulp_float64=outputs(4, 4, 6),
    targets=(1.0, 0.0),
    balanced_targets=np.positive,
    terms=outputs(terms_of_value, terms_of_gradient, terms_of_second_derivative),
    hard_outputs=OUTPUTS,
    special_values=(
        SpecialValues(
            {},
            (
                ((0.0, 0.0), (0.0, 1.0, 1.0)),
                ((1.0, 1.0), (0.0, -1.0, 1.0)),
                ((0.0, 1.0), (100.0, 0.0, 0.0)),
                ((1.0, 0.0), (100.0, 0.0, 0.0)),
                ((0.5, 1.0), (math.log(2), -2.0, 4.0)),
                ((-0.5, 1.0), (NAN, NAN, NAN)),
                ((1.5, 1.0), (NAN, NAN, NAN)),
                ((NAN, 1.0), (NAN, NAN, NAN)),
            ),
        ),
    ),
)
