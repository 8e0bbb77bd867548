"""The pinball loss, which a quantile of the targets minimises."""

from __future__ import annotations

from typing import Any

from .._problem import Call
from .._public import loss
from .._spec import LossSpec, Parameter
from .._types import Array, Axis, Numbers, Reduction, Values
from . import l1
from ._parts import zero


def value(xp: Any, r: Any, quantile: Any) -> Any:
    """A slope times |r|, so that automatic differentiation finds the gradient 0 at 0."""
    return xp.where(r > 0, 1.0 - quantile, quantile) * l1.value(xp, r)


def gradient(xp: Any, r: Any, quantile: Any) -> Any:
    """1 - quantile above 0, -quantile below, 0 at 0."""
    return xp.where(r > 0, 1.0 - quantile, xp.where(r < 0, -quantile, r))


def second_derivative(xp: Any, r: Any, quantile: Any) -> Any:
    """0."""
    return zero(xp, r)


PINBALL = LossSpec(
    "pinball",
    value,
    gradient,
    second_derivative,
    parameters=(Parameter("quantile", above=0.0, below=1.0),),
)


@loss
def pinball_loss(
    inputs: Array | Numbers,
    targets: Array | Numbers,
    quantile: Values = 0.5,
    reduction: Reduction = "none",
    *,
    weights: Values | None = None,
    where: Values | None = None,
    axis: Axis = None,
) -> Call[Array]:
    r"""The pinball loss, which a quantile of the targets minimises.

    .. math::
        l(a) = \max\left((1 - q) a, -q a\right)
        \qquad a = \text{inputs} - \text{targets}

    Args:
        quantile: the q of the formula: a number in (0, 1), or an array that broadcasts to the
            shape of the residuals, such as one number for each column.

    Returns:
        In float64, the kernel is within 1 ULP.

    Raises:
        TypeError: a `quantile` that is neither a number nor an array.
        ValueError: a number `quantile` that is not in (0, 1).

    Special values:
        The gradient at 0 is 0. An infinite residual has the loss inf. Where an array `quantile`
        is not in (0, 1), the result is NaN.

    Example:
        >>> import lossless, numpy as np
        >>> predictions, targets = np.array([1.0, 2.0, 10.0]), np.array([3.0, 2.0, 6.0])
        >>> lossless.pinball_loss(predictions, targets, quantile=0.75)
        array([1.5, 0. , 1. ])

    References:
        R. Koenker and G. Bassett, "Regression Quantiles", Econometrica 46 (1978), 33-50.

    *New in 0.1.0.*
    """
    return Call(PINBALL, (inputs, targets), (quantile,), reduction, weights, where, axis)
