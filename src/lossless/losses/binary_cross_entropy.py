"""The binary cross entropy of logits, or of probabilities."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from .._problem import Call
from .._public import loss
from .._spec import LossSpec
from .._types import Array, Axis, Numbers, Reduction, Values
from ._parts import zero

# Logarithms of probabilities are at least LOWEST_LOG, so they are LOWEST_LOG for numbers up to
# these: the largest numbers below e**-100.
LOWEST_LOG = -100.0
LEAST_FLOAT32 = 26 * 2.0**-149
LEAST_FLOAT64 = float.fromhex("0x1.a8c1f14e2af5cp-145")


def value(xp: Any, x: Any, t: Any) -> Any:
    """log(1 + e^-|x|) plus x (1 - t) for x > 0, else -x t: both are positive for 0 <= t <= 1."""
    u = xp.where(x > 0, 1.0 - t, -t)
    nothing = xp.logical_and(u == 0, xp.isinf(x))  # `&` reads beyond x under MLX's vmap
    factor = xp.where(nothing, 0.0, x)
    return factor * u + xp.log1p(xp.exp(xp.where(x > 0, -x, x)))


def gradient(xp: Any, x: Any, t: Any) -> Any:
    """sigmoid(x) - t, without the cancellation of 1 - e^-x / (1 + e^-x) - t."""
    q = xp.exp(-xp.abs(x))
    rest = xp.where(x > 0, 1.0 - t, t) - q / (1.0 + q)
    return xp.where(x > 0, rest, -rest)


def second_derivative(xp: Any, x: Any, t: Any) -> Any:
    """e^-|x| / (1 + e^-|x|)²."""
    q = xp.exp(-xp.abs(x))
    second = q / xp.square(1.0 + q)
    return xp.where(second > 0.25, 0.25, second) + zero(xp, t)  # rounding may exceed 1/4


def of_probabilities_value(xp: Any, x: Any, t: Any) -> Any:
    """-t log x - (1 - t) log(1 - x)."""
    x = _probability(xp, x)
    none, all_, small = _log_is_lowest(xp, x), x >= 1, x < 0.25
    log = xp.where(none, LOWEST_LOG, xp.log(xp.where(none, 1.0, x)))
    # For a large x, 1 - x has all the digits that count, unlike XLA's log1p in float64.
    large = xp.log(1.0 - xp.where(xp.logical_or(small, all_), 0.0, x))
    log_other = xp.where(small, xp.log1p(-xp.where(small, x, 0.0)), large)
    return -t * log - (1.0 - t) * xp.where(all_, LOWEST_LOG, log_other)


def of_probabilities_gradient(xp: Any, x: Any, t: Any) -> Any:
    """(x - t) / (x (1 - x)); where one logarithm is the lowest, only the part of the other."""
    x = _probability(xp, x)
    none, all_ = _log_is_lowest(xp, x), x >= 1
    only_one = xp.logical_or(none, all_)
    some = xp.where(only_one, 0.5, x)
    by_one = xp.where(none, 0.0, t / xp.where(none, 1.0, x))
    by_zero = xp.where(all_, 0.0, (1.0 - t) / (1.0 - xp.where(all_, 0.0, x)))
    return xp.where(only_one, by_zero - by_one, (some - t) / some / (1.0 - some))


def of_probabilities_second_derivative(xp: Any, x: Any, t: Any) -> Any:
    """t / x² + (1 - t) / (1 - x)², without the part of a lowest logarithm."""
    x = _probability(xp, x)
    none, all_ = _log_is_lowest(xp, x), x >= 1
    one, zero = xp.where(none, 1.0, x), 1.0 - xp.where(all_, 0.0, x)
    by_one, by_zero = t / one, (1.0 - t) / zero / zero
    # XLA would turn t / x / x into t / x², which is infinite where x² underflows.
    by_one = xp.where(by_one == 0, by_one, by_one * (1.0 / one))
    return xp.where(none, 0.0, by_one) + xp.where(all_, 0.0, by_zero)


def _probability(xp: Any, x: Any) -> Any:
    """x, or NaN where it is below 0 or above 1."""
    return x + xp.where(xp.logical_or(x < 0, x > 1), math.nan, xp.zeros_like(x))


def _log_is_lowest(xp: Any, x: Any) -> Any:
    """Where log x <= -100; not where x is NaN."""
    is_float32 = float(xp.finfo(x.dtype).max) < 2.0**128
    return x <= (LEAST_FLOAT32 if is_float32 else LEAST_FLOAT64)


BINARY_CROSS_ENTROPY = LossSpec(
    "binary_cross_entropy",
    value,
    gradient,
    second_derivative,
    uses_difference_only=False,
    targets=(0.0, 1.0),
    function="binary_cross_entropy",
    mlx_name="binary_cross_entropy",
)

OF_PROBABILITIES = replace(
    BINARY_CROSS_ENTROPY,
    name="binary_cross_entropy_of_probabilities",
    value=of_probabilities_value,
    gradient=of_probabilities_gradient,
    second_derivative=of_probabilities_second_derivative,
)


@loss
def binary_cross_entropy(
    inputs: Array | Numbers,
    targets: Array | Numbers,
    weights: Values | None = None,
    with_logits: bool = True,
    reduction: Reduction = "mean",
    *,
    where: Values | None = None,
    axis: Axis = None,
) -> Call[Array]:
    r"""The binary cross entropy of logits, or of probabilities.

    .. math::
        l = -t \log p - (1 - t) \log(1 - p)
        \qquad p = \frac{1}{1 + e^{-\text{inputs}}}
        \qquad t = \text{targets}

    With `with_logits=False`, :math:`p = \text{inputs}`, and logarithms below -100 count as -100,
    so that probabilities of 0 and 1 have a finite loss. Logits are more precise.

    Args:
        inputs: the logits, or the probabilities.
        targets: the labels 0 and 1, or probabilities.
        with_logits: whether `inputs` are logits.

    Special values:
        An infinite logit has the loss 0 if its label agrees, and inf with the gradient ±1 if not.
        A probability of 0 or 1 has the loss 0 if its label agrees, and 100 with the gradient 0 if
        not. A probability below 0 or above 1 gives NaN.

    Example:
        >>> import lossless, numpy as np
        >>> logits, labels = np.array([2.0, -40.0, 0.5]), np.array([1, 0, 0])
        >>> lossless.binary_cross_entropy(logits, labels, reduction="none")
        array([1.26928011e-01, 4.24835426e-18, 9.74076984e-01])
        >>> probabilities = np.array([0.75, 0.0, 1.0])
        >>> lossless.binary_cross_entropy(
        ...     probabilities, labels, with_logits=False, reduction="none"
        ... )
        array([  0.28768207,   0.        , 100.        ])

    References:
        The negative log-likelihood of a Bernoulli distribution; D. R. Cox, "The Regression
        Analysis of Binary Sequences", Journal of the Royal Statistical Society B 20 (1958).

    *New in 0.1.0.*
    """
    spec = BINARY_CROSS_ENTROPY if with_logits else OF_PROBABILITIES
    return Call(spec, (inputs, targets), (), reduction, weights, where, axis)
