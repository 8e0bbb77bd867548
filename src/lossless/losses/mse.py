"""The square of the residual; by default its mean, the mean squared error."""

from __future__ import annotations

from typing import Any

from .._problem import Call
from .._public import loss
from .._spec import LossSpec
from .._types import Array, Axis, Numbers, Reduction, Values
from ._parts import zero


def value(xp: Any, r: Any) -> Any:
    """r²."""
    return r * r


def gradient(xp: Any, r: Any) -> Any:
    """2r."""
    return 2.0 * r


def second_derivative(xp: Any, r: Any) -> Any:
    """2."""
    return zero(xp, r) + 2.0


MSE = LossSpec(
    "mse",
    value,
    gradient,
    second_derivative,
    operands=("predictions", "targets"),
    mlx_name="mse_loss",
)


@loss
def mse_loss(
    predictions: Array | Numbers,
    targets: Array | Numbers,
    reduction: Reduction = "mean",
    *,
    weights: Values | None = None,
    where: Values | None = None,
    axis: Axis = None,
) -> Call[Array]:
    r"""The square of the residual; by default its mean, the mean squared error.

    .. math::
        l(a) = a^2 \qquad a = \text{predictions} - \text{targets}

    Special values:
        An infinite residual has the loss inf and the gradient ±inf. A finite residual whose square
        overflows has the loss inf, too, and a finite gradient.

    Example:
        >>> import lossless, numpy as np
        >>> predictions, targets = np.array([1.0, 2.0, 10.0]), np.array([1.5, 2.0, 3.5])
        >>> lossless.mse_loss(predictions, targets, reduction="none")
        array([ 0.25,  0.  , 42.25])

    References:
        The definition; its minimum is the mean (C. F. Gauss, 1809).

    *New in 0.1.0.*
    """
    return Call(MSE, (predictions, targets), (), reduction, weights, where, axis)
