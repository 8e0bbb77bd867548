"""t softplus(-x) + (1 - t) softplus(x) of the logit x and the probability t of the class."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from mpmath import mp

from ..definitions import guarded
from ..extended import LIBRARY_BOUND, Pair, Screened, of_terms
from ..formats import Extended, Mpf
from ..reference import OUTPUTS, Loss, outputs
from ..special import SpecialValues

INF, NAN = math.inf, math.nan
# e^-FAR is below every number of every format; beyond it only its sign tells on which side of a
# midpoint a result is, and e^-x itself would take x bits to see.
FAR = 2000
# The same in long double: 0 in every narrow format, and nothing beside a number that is not.
EXTENDED_FAR = np.longdouble(700)


def _sigmoid(x: Mpf) -> Mpf:
    return 1 / (1 + mp.exp(-max(-FAR, min(FAR, x))))


def _softplus(x: Mpf) -> Mpf:
    return mp.log1p(mp.exp(x)) if x < FAR else x + mp.log1p(mp.exp(-FAR))


def _weighed(t: Mpf, loss: Mpf) -> Mpf:
    """Of a class that is not the target, an infinite loss does not count."""
    return t * loss if t else t


def value(x: Mpf, t: Mpf) -> Mpf:
    return _weighed(t, _softplus(max(-FAR, -x))) + _weighed(1 - t, _softplus(max(-FAR, x)))


def gradient(x: Mpf, t: Mpf) -> Mpf:
    return (1 - t) * _sigmoid(x) - t * _sigmoid(-x)


def second_derivative(x: Mpf, _: Mpf) -> Mpf:
    return _sigmoid(x) * _sigmoid(-x)


def _times(t: Extended, loss: Extended) -> Extended:
    """A product in which a factor 0 takes out whatever the other is."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.where(t == 0, t, t * loss)


def _exponential(x: Extended) -> Extended:
    """e**-|x|, not too small to have all its digits."""
    return np.exp(-np.minimum(np.abs(x), EXTENDED_FAR))


def _extended_softplus(x: Extended) -> Extended:
    return np.maximum(x, 0) + np.log1p(_exponential(x))


def _extended_sigmoid(x: Extended) -> Extended:
    e = _exponential(x)
    return np.where(x > 0, 1, e) / (1 + e)


def _sum(pair: Pair, sign: Callable[[Extended], Extended]) -> Extended:
    """The sum of what both classes add, or with `sign` np.abs, of its magnitudes."""
    x, t = pair.inputs, pair.targets
    return _times(sign(t), _extended_softplus(-x)) + _times(sign(1 - t), _extended_softplus(x))


def extended_value(pair: Pair) -> Screened:
    value = _sum(pair, np.positive)
    return value, of_terms(value, terms_of_value(pair))


def extended_gradient(pair: Pair) -> Screened:
    x, t = pair.inputs, pair.targets
    gradient = (1 - t) * _extended_sigmoid(x) - t * _extended_sigmoid(-x)
    return gradient, of_terms(gradient, terms_of_gradient(pair))


def extended_second_derivative(pair: Pair) -> Screened:
    second = _extended_sigmoid(pair.inputs) * _extended_sigmoid(-pair.inputs)
    return np.where(np.isnan(pair.targets), pair.targets, second), LIBRARY_BOUND


def terms_of_value(pair: Pair) -> Extended:
    return _sum(pair, np.abs)


def terms_of_gradient(pair: Pair) -> Extended:
    x, t = pair.inputs, pair.targets
    return np.abs(1 - t) * _extended_sigmoid(x) + np.abs(t) * _extended_sigmoid(-x)


def terms_of_second_derivative(pair: Pair) -> Extended:
    return extended_second_derivative(pair)[0]


def _probability(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _target_of_no_loss(x: Any) -> Any:
    """Beyond the labels: softplus(x) = t x."""
    return np.log1p(np.exp(x)) / x


LOSS = Loss(
    "binary_cross_entropy",
    outputs(*map(guarded, (value, gradient, second_derivative))),
    outputs(extended_value, extended_gradient, extended_second_derivative),
    function="binary_cross_entropy",
    uses_difference_only=False,
    even=False,
    algebraic=False,
    exponential=True,
    ulp_float64=outputs(4, 4, 4),
    targets=(1.0,),
    balanced_targets=_probability,
    targets_of_no_loss=_target_of_no_loss,
    terms=outputs(terms_of_value, terms_of_gradient, terms_of_second_derivative),
    hard_outputs=OUTPUTS[:2],
    special_values=(
        SpecialValues(
            {},
            (
                ((1e4, 1.0), (0.0, -0.0, 0.0)),
                ((-1e4, 0.0), (0.0, 0.0, 0.0)),
                ((16.0 * 512, 0.0), (8192.0, 1.0, 0.0)),
                ((-16.0 * 512, 1.0), (8192.0, -1.0, 0.0)),
                ((0.0, 0.5), (math.log(2), 0.0, 0.25)),
                ((-0.0, 1.0), (math.log(2), -0.5, 0.25)),
                ((INF, 1.0), (0.0, -0.0, 0.0)),
                ((INF, 0.0), (INF, 1.0, 0.0)),
                ((-INF, 1.0), (INF, -1.0, 0.0)),
                ((NAN, 1.0), (NAN, NAN, NAN)),
                ((1.0, NAN), (NAN, NAN, NAN)),
            ),
        ),
    ),
)
